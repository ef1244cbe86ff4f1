"""Many random models against themselves run in full: Keras and torch, each from a seed of its own.

    python tests/random_runs.py --count 10000 --seed 0
    python tests/random_runs.py --framework torch --count 1 --seed 1234  # one of them again

Run from the root of a clone. Models are those of `random_models` and `random_modules`, grown from
numbers that the seed gives; half of them are saturated at some positions, the others called with
replaced ranges. Prints every seed whose results differ from the model's own, and how many ran, now
and then while it runs and at the end. Ends with status 1 where any differs. A seed is the same
model for as long as those two modules stay as they are, and ``--seed`` goes on where another run
ended.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("FASTISM_NAIVE_BELOW", "0")
sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

FRAMEWORKS = ("torch", "keras")
#: A line of progress comes after so many models, or so many seconds, whichever is first.
MODELS, SECONDS = 100, 10.0


class Seeded:
    """What hypothesis' ``draw`` gives, from a seed instead."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def __call__(self, strategy: Any, label: Any = None) -> Any:
        """A value of one of the few strategies that models are grown from."""
        while hasattr(strategy, "wrapped_strategy"):
            strategy = strategy.wrapped_strategy
        kind = type(strategy).__name__
        if kind == "IntegersStrategy":
            return self._random.randint(strategy.start, strategy.end)
        if kind == "SampledFromStrategy":
            return self._random.choice(list(strategy.elements))
        if kind == "JustStrategy":
            return strategy.value
        if kind == "BooleansStrategy":
            return self._random.random() < 0.5
        if kind == "PermutationStrategy":
            return self._random.sample(list(strategy.values), len(strategy.values))
        raise NotImplementedError(f"{kind} is not drawn from a seed here")


def _torch(seed: int) -> Callable[[], None]:
    from random_modules import grown
    from test_random_modules import check

    example = grown(Seeded(seed), "float64")
    return lambda: check(example, seed)


def _keras(seed: int) -> Callable[[], None]:
    from random_models import grown
    from test_random_models import PRECISE, TOLERANCES, check

    example = grown(Seeded(seed), PRECISE)
    return lambda: check(example, seed, TOLERANCES[PRECISE])


RUNS = {"torch": _torch, "keras": _keras}


def mismatches(framework: str, seeds: range) -> Iterator[tuple[int, str]]:
    """Every seed that is done, and how its results differ; nothing where they do not."""
    for number, seed in enumerate(seeds):
        if number == 1:
            _look_at_garbage_less_often()
        try:
            RUNS[framework](seed)()
        except Exception as error:
            yield seed, f"{type(error).__name__}: {error}"
        else:
            yield seed, ""


def _look_at_garbage_less_often() -> None:
    """Leave a framework's own objects, now that it is imported, out of collections of garbage."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def main(arguments: list[str] | None = None) -> int:
    """Run as many as are asked for; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10000, help="models in all")
    parser.add_argument("--seed", type=int, default=0, help="of the first model; others follow")
    parser.add_argument("--framework", choices=FRAMEWORKS, help="one of both only")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after so long")
    given = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    chosen = [given.framework] if given.framework else list(FRAMEWORKS)
    begin, found = time.monotonic(), 0
    for number, framework in enumerate(chosen):
        seeds = range(given.seed, given.seed + given.count // len(chosen))
        last, ran = begin + given.seconds * (number + 1) / len(chosen), 0
        told = time.monotonic()
        for seed, difference in mismatches(framework, seeds):
            ran += 1
            if difference:
                found += 1
                print(f"{framework}, seed {seed}: {difference}", flush=True)
            if ran % MODELS == 0 or time.monotonic() - told > SECONDS:
                told = time.monotonic()
                print(f"{framework}: {ran} of {len(seeds)}, {found} mismatches", flush=True)
            if time.monotonic() > last:
                break
        which = f"seeds {seeds.start} to {seeds.start + ran - 1}" if ran else "none"
        print(f"{framework}: {ran} random models, {which}", flush=True)
    print(f"{found} mismatches in {time.monotonic() - begin:.0f} s")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())

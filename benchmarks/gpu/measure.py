"""Naive and fast ISM in turns, and what both differ from float64 by.

Requirements: numpy and torch.
"""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from benchmarks.clock import Repeats, alternate
from benchmarks.floor.products import saturating_products
from benchmarks.floor.rate import RateProbe, makers
from benchmarks.gpu.profiled import Profile, kernels_of, profiled
from benchmarks.gpu.rows import Row
from benchmarks.gpu.subject import DATA, Subject, build
from benchmarks.records import How, Record, Result, What, Where
from fastism import FastISM, NaiveISM, Saturation
from fastism.calls.result import listed

#: Seconds that one run of naive ISM may take; longer ones are a sample of positions and scaled.
MOST_NAIVE = 1.0
#: Seconds of a round of plain products.
RATE_SECONDS = 0.1
#: Positions whose effects are compared.
COMPARED = 24
#: Bytes of the device that a call may take at most above the model and its result.
MOST_MEMORY = 2 << 30


@dataclass(frozen=True)
class Setting:
    """How rows are run.

    Attributes
    ----------
    device : {"cpu", "gpu"}
    torch_device : str
        The same as PyTorch calls it.
    repeats : Repeats
    where : Where
    largest_batch : int
        Most mutants in a batch of naive ISM; below 1024 that is its size, and nothing is tried.
    rates : bool
        Whether plain products are timed as well.
    """

    device: str
    torch_device: str
    repeats: Repeats
    where: Where
    largest_batch: int
    rates: bool = True


def throughput(row: Row, subject: Subject, setting: Setting) -> Iterator[Record]:
    """Seconds of naive ISM with its best batch and of fast ISM with each number of sequences."""
    given = {"input_shape": subject.sequences.shape[1:], "precision": row.precision}
    naive = NaiveISM(subject.module, test_correctness=False, **given)
    begun = time.perf_counter()
    fast = FastISM(subject.module, test_correctness=False, **given)
    built = time.perf_counter() - begun
    calls: dict[str, Callable[[], object]] = {}
    first: dict[int, _First] = {}
    for number in row.sequences:
        chosen = subject.sequences[:number]
        calls[f"fast {number}"] = lambda chosen=chosen: fast.saturate(chosen)
        first[number] = _first_call(calls[f"fast {number}"], setting)
    some, positions = _tuned(naive, subject, setting.largest_batch)
    calls["naive"] = lambda: naive.saturate(some, positions=positions)
    calls["naive"]()
    found = alternate(calls, setting.repeats)
    rates = _rates(fast, row, subject, len(found["naive"])) if setting.rates else ()
    job = uuid.uuid4().hex[:12]
    share = len(some) * len(positions) / subject.length
    for number in row.sequences:  # naive ISM takes as long for each of several sequences
        yield record_of(
            row, setting, subject, "naive_ism", number, len(positions), found["naive"], job,
            batch=naive.batch_size,
            scale=number / share,
            macs=float(fast.plan.naive_macs),
        )  # fmt: skip
    difference, spread = compared(fast, naive, subject)
    profiles = _profiles(calls, row.sequences, setting)
    for number in row.sequences:
        made = record_of(
            row, setting, subject, "fast_ism", number, subject.length, found[f"fast {number}"],
            job,
            macs=float(fast.plan.fast_macs),
            first_call=round(first[number].seconds, 3),
            gpu_peak_bytes=first[number].peak,
            gpu_result_bytes=first[number].result,
            launches=profiles[number].launches if number in profiles else -1,
            device_seconds=profiles[number].seconds if number in profiles else -1.0,
        )  # fmt: skip
        result = replace(
            made.result,
            difference=difference,
            spread=spread,
            build_seconds=round(built, 3),
            rates=rates,
        )
        yield replace(made, result=result)
    naive_each = statistics.median(found["naive"]) / share
    print(f"  naive: {naive_each:.4g} s a sequence in batches of {naive.batch_size}", flush=True)
    for number in row.sequences:
        each = statistics.median(found[f"fast {number}"]) / number
        pairs = zip(found["naive"], found[f"fast {number}"], strict=True)
        ratios = sorted(n / share / (f / number) for n, f in pairs)
        print(
            f"  fast, {number} a call: {each:.4g} s, "
            f"{statistics.median(ratios):.3g} times naive ({ratios[0]:.3g} to {ratios[-1]:.3g}); "
            f"first call {first[number].seconds:.3g} s, {first[number].shown}; "
            f"largest difference {difference / max(spread, 1e-30):.2g} sd of the effects",
            flush=True,
        )
        if said := above_limit(first[number].peak, first[number].result, MOST_MEMORY):
            print(f"  {said}", flush=True)
        if number in profiles:
            wall = statistics.median(found[f"fast {number}"])
            print(f"    {profiles[number].shown(number, wall)}", flush=True)
    print(f"  {kernels_of(fast)}", flush=True)


def above_limit(peak: int, result: int, limit: int) -> str:
    """What to say where a call took too much memory; nothing where it did not.

    Parameters
    ----------
    peak : int
        Most bytes of the device during the call, above the model.
    result : int
        Those of the result.
    limit : int
        That the rest may take.
    """
    own = peak - result
    if own <= limit:
        return ""
    shown, most = own / 2**20, limit / 2**20
    return f"MEMORY: {shown:.0f} MiB above the model and the result; at most {most:.0f} MiB wanted"


@dataclass(frozen=True)
class _First:
    """What a first call took, and a later one of the device's memory.

    Attributes
    ----------
    seconds : float
    peak, result : int
        Bytes above the model, and those of the result; 0 on a CPU.
    """

    seconds: float
    peak: int = 0
    result: int = 0

    @property
    def shown(self) -> str:
        """As a part of a line."""
        mib = (self.peak / 2**20, self.result / 2**20)
        return "{:.0f} MiB above the model, {:.0f} of them the result".format(*mib)


def _first_call(call: Callable[[], Saturation], setting: Setting) -> _First:
    """Seconds of a first call, and the most memory of the device that a later one takes."""
    begun = time.perf_counter()
    made = call()
    taken = time.perf_counter() - begun
    if setting.device == "cpu":
        return _First(taken)
    result = sum(y.nbytes for y in (*listed(made.mutants), *listed(made.reference)))
    del made
    torch.cuda.synchronize()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    return _First(taken, torch.cuda.max_memory_allocated() - before, result)


def _rates(fast: FastISM, row: Row, subject: Subject, rounds: int) -> tuple[float, ...]:
    """FLOP/s of plain products of the plan's shapes in the precision of a row, after its rounds."""
    products = saturating_products(fast, subject.sequences[:1])
    probe = RateProbe(products, makers("torch", row.precision), RATE_SECONDS)
    return tuple(probe.run() for _ in range(rounds))


def _tuned(naive: NaiveISM, subject: Subject, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Choose the batch size; sequences and positions of a run that takes not too long."""
    if largest < 1024:
        naive.batch_size = largest
    else:
        naive.tune(subject.sequences[:1])
    every = np.arange(subject.length)
    # Whole batches of different mutants, so that nothing is filled up.
    count = -(-naive.batch_size // (3 * subject.length))
    some = subject.sequences[: max(count, 1)]
    begun = time.perf_counter()
    naive.saturate(some[:1], positions=every[: max(naive.batch_size // 3, 1)])
    begun = time.perf_counter()
    mutants = 3 * min(max(naive.batch_size // 3, 1), subject.length)
    naive.saturate(some[:1], positions=every[: mutants // 3])
    each = (time.perf_counter() - begun) / max(mutants, naive.batch_size)
    fitting = int(MOST_NAIVE / each)
    whole = 3 * subject.length * len(some)
    if whole <= fitting:
        return some, every
    batches = max(min(fitting, whole) // naive.batch_size, 1)
    number = batches * naive.batch_size // (3 * len(some))
    return some, every[: min(max(number, 1), subject.length)]


def _profiles(
    calls: dict[str, Callable[[], object]], sequences: Sequence[int], setting: Setting
) -> dict[int, Profile]:
    """What calls of fast ISM do on the device, by their number of sequences; empty on a CPU."""
    if setting.device == "cpu":
        return {}
    made = {number: profiled(calls[f"fast {number}"]) for number in sequences}
    return {number: profile for number, profile in made.items() if profile is not None}


def compared(fast: FastISM, other: NaiveISM, subject: Subject) -> tuple[float, float]:
    """Largest difference of effects on a few positions, and their standard deviation.

    Both are of the output where the former is largest as a part of the latter.
    """
    positions = np.unique(np.linspace(0, subject.length - 1, COMPARED).astype(int))
    x = subject.sequences[:1]
    pairs = [_effects(ism.saturate(x, positions=positions)) for ism in (fast, other)]
    return max(
        ((float(np.abs(a - b).max()), float(b.std())) for a, b in zip(*pairs, strict=True)),
        key=lambda found: found[0] / max(found[1], 1e-30),
    )


def _effects(made: Any) -> list[np.ndarray]:
    delta = made.delta()
    return [y.astype(np.float64) for y in (delta if isinstance(delta, list) else [delta])]


def errors(row: Row, subject: Subject, setting: Setting) -> Iterator[Record]:
    """How far effects are from those in float64, of naive and fast ISM in each precision."""
    double = build(row.architecture, row.length, setting.torch_device, "float64")
    shape = subject.sequences.shape[1:]
    truth = NaiveISM(double, input_shape=shape, batch_size=64, test_correctness=False)
    wide = replace(subject, module=double, sequences=subject.sequences.astype(np.float64))
    positions = np.unique(np.linspace(0, subject.length - 1, COMPARED).astype(int))
    exact = _effects(truth.saturate(wide.sequences[:1], positions=positions))
    for precision in ("float32", "tf32") if setting.device == "gpu" else ("float32",):
        for method, maker in (("naive_ism", NaiveISM), ("fast_ism", FastISM)):
            ism = maker(
                subject.module, input_shape=shape, precision=precision, test_correctness=False
            )
            if method == "naive_ism":
                ism.batch_size = 64
            made = _effects(ism.saturate(subject.sequences[:1], positions=positions))
            pairs = list(zip(made, exact, strict=True))
            most = [float(np.abs(a - e).max() / e.std()) for a, e in pairs]
            rms = [float(np.sqrt(np.mean((a - e) ** 2)) / e.std()) for a, e in pairs]
            worst = int(np.argmax(most))
            print(
                f"  {method}, {precision}: largest {most[worst]:.2g}, rms {rms[worst]:.2g} "
                "sd of the effects",
                flush=True,
            )
            record = record_of(
                replace(row, precision=precision), setting, subject, method, 1, len(positions), [],
                uuid.uuid4().hex[:12],
                rms_in_sd=rms[worst],
            )  # fmt: skip
            spread = float(exact[worst].std())
            result = replace(record.result, difference=most[worst] * spread, spread=spread)
            yield replace(record, result=result)


def record_of(
    row: Row,
    setting: Setting,
    subject: Subject,
    method: str,
    number: int,
    positions: int,
    seconds: list[float],
    job: str,
    batch: int | None = None,
    scale: float = 1.0,
    macs: float | None = None,
    **settings: int | float | str,
) -> Record:
    """A record of one method on this row."""
    return Record(
        What(
            study="gpu",
            kind=row.kind,
            method=method,
            architecture=row.architecture,
            length=subject.length,
            sequences=number,
            positions=positions,
            alternatives=3,
            data=DATA.format(length=subject.length),
        ),
        How(
            backend="torch",
            keras_backend="torch",
            device=setting.device,
            batch_size=batch,
            warm_up=1,
            extrapolated=scale != 1.0,
            scale=scale,
            settings={"precision": row.precision, **settings},
            job=job,
            model="torch",
            mode="eager",
        ),
        Result(seconds=tuple(seconds), macs=macs),
        setting.where,
    )

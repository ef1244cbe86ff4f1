"""Two methods on one model, timed in turns: what the studies of fast against naive ISM share.

Requirements: numpy; Keras and PyTorch for `Twins`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.attribution.twins import make_twin
from benchmarks.clock import Ratio, paired_ratio
from benchmarks.jobs.select_sequences import encoded
from fastism import FastISM, NaiveISM

#: What `Turns.cells` holds.
COLUMNS = ("naive ISM, s", "fastISM, s", "speedup", "of processor time")


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of some runs, on the clock and of the process."""

    clock: list[float]
    process: list[float]

    def add(self, clock: float, process: float) -> None:
        """Note one run."""
        self.clock.append(clock)
        self.process.append(process)

    def run(self, call: Callable[[], Any], factor: float = 1.0) -> Any:
        """Time a call of this process; its seconds count `factor` times."""
        clock, process = time.perf_counter(), time.process_time()
        made = call()
        spent = time.process_time() - process
        self.add((time.perf_counter() - clock) * factor, spent * factor)
        return made


@dataclass(frozen=True, slots=True)
class Turns:
    """Runs of a slow and a fast method, one after the other.

    Attributes
    ----------
    slow, fast : Timed
        Entry i of both is of round i.
    """

    slow: Timed
    fast: Timed

    @classmethod
    def empty(cls) -> Turns:
        """No rounds yet."""
        return cls(Timed([], []), Timed([], []))

    @property
    def clock(self) -> Ratio:
        """How many times faster, on the clock."""
        return paired_ratio(self.slow.clock, self.fast.clock)

    @property
    def process(self) -> Ratio:
        """How many times less time of processors."""
        return paired_ratio(self.slow.process, self.fast.process)

    @property
    def cells(self) -> list[str]:
        """Medians of both, and both ratios, for the columns `COLUMNS` of a table."""
        return [
            f"{median(self.slow.clock):.3g}",
            f"{median(self.fast.clock):.3g}",
            told_ratio(self.clock),
            told_ratio(self.process),
        ]


def told_ratio(ratio: Ratio) -> str:
    """The median, and in brackets the least and the most."""
    return f"{ratio.median:.3g} ({ratio.least:.3g}–{ratio.most:.3g})"


def in_turns(
    slow: Callable[[], Any],
    fast: Callable[[], Any],
    rounds: int,
    slow_factor: float = 1.0,
    fast_factor: float = 1.0,
) -> tuple[Turns, Any, Any]:
    """Time two calls in turns, so that what slows the machine for a while hits both.

    Parameters
    ----------
    slow, fast : callable
        Each returns only when its work is done.
    rounds : int
        Runs of each, at least one.
    slow_factor, fast_factor : float
        What seconds are multiplied with, where a call does only a part of the work.

    Returns
    -------
    turns : Turns
    slow_made, fast_made : object
        What the last calls returned.
    """
    turns = Turns.empty()
    slow_made = fast_made = None
    for _ in range(rounds):
        slow_made = turns.slow.run(slow, slow_factor)
        fast_made = turns.fast.run(fast, fast_factor)
    return turns, slow_made, fast_made


@dataclass(frozen=True, slots=True)
class Twins:
    """A PyTorch twin of a Keras model with both methods, and one sequence.

    Attributes
    ----------
    fast : FastISM
    naive : NaiveISM
        At its best batch size.
    x : ndarray, shape (1, characters, length)
    """

    fast: FastISM
    naive: NaiveISM
    x: np.ndarray

    @classmethod
    def make(cls, name: str, length: int, fasta: Path) -> Twins:
        """Of an architecture by name, and the first sequence of a file."""
        module = make_twin(build(name, length))
        x = encoded(fasta, length)[0][None].transpose(0, 2, 1).astype(np.float32)
        settings: dict[str, Any] = {
            "input_shape": (x.shape[1], length),
            "test_correctness": False,
        }
        fast, naive = FastISM(module, **settings), NaiveISM(module, **settings)
        naive.tune(x)
        return cls(fast, naive, x)


def known_architecture(name: str) -> str:
    """The name, where there is such an architecture.

    Raises
    ------
    argparse.ArgumentTypeError
        There is none.
    """
    if name not in ARCHITECTURES:
        raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(ARCHITECTURES)}.")
    return name


def spread(first: int, count: int, number: int) -> np.ndarray:
    """`number` evenly spaced positions of `count` from `first` on, both ends among them."""
    return np.unique(np.linspace(first, first + count - 1, number).astype(int))

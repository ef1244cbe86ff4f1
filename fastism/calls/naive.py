"""Naive ISM: every mutant through the whole model, in compiled batches.

Requirements: numpy; the model only through its front end.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from math import inf
from typing import Any

import numpy as np

from fastism.calls.mutants import Mutants, Part
from fastism.errors import no_memory
from fastism.frontends.mutant_batches import Batches

Forward = Callable[[Sequence[Any]], list[np.ndarray]]
#: Batch sizes that tuning tries, smallest first; an accelerator has room for larger ones.
BATCH_SIZES = (16, 32, 64, 128, 256, 512)
LARGE_BATCH_SIZES = (*BATCH_SIZES, 1024, 2048, 4096, 8192)
#: And where little memory is given.
SMALL_BATCH_SIZES = (1, 2, 4, 8)
#: Used where nothing is to be timed.
USUAL_BATCH_SIZE = 128
#: Batches of a size that run while it is tried out: one to warm up, and some to time.
TRIALS = 3


def fitting_sizes(mutants: int, accelerated: bool = False, most: float = inf) -> list[int]:
    """The batch sizes worth trying for so many mutants, on a CPU or an accelerator.

    Parameters
    ----------
    mutants : int
    accelerated : bool
    most : float
        Mutants for which there is memory.
    """
    sizes = LARGE_BATCH_SIZES if accelerated else BATCH_SIZES
    if most < sizes[0]:
        return [size for size in SMALL_BATCH_SIZES if size <= max(most, 1)][-1:]
    return [size for size in sizes if size <= min(max(mutants, sizes[0]), most)]


def may_measure() -> bool:
    """Whether batch sizes may be timed; results round alike in every run where they may not."""
    return os.environ.get("FASTISM_MEASURE", "1") != "0"


class Fastest:
    """The fastest of some batch sizes, of which the rates come in one after another.

    Sizes beyond the best one are given up when two in a row are slower.

    Parameters
    ----------
    first : int
        The size to begin with.
    """

    def __init__(self, first: int) -> None:
        self.size, self._rate, self._worse = first, 0.0, 0

    def found(self, size: int, seconds: float) -> bool:
        """Take in how long a batch of a size took; whether that is enough."""
        rate = size / max(seconds, 1e-9)
        self._worse = 0 if rate > self._rate else self._worse + 1
        if rate > self._rate:
            self.size, self._rate = size, rate
        return self._worse == 2


def run_mutants(forward: Forward, batches: Batches, mutants: Mutants, size: int) -> Iterator[Part]:
    """Outputs of all mutants, `size` at a time.

    Parameters
    ----------
    forward : callable
        The compiled model on a list of inputs; all calls get the same batch size, so that
        nothing is compiled twice (the last batch is filled up with its first mutant).
    batches : callable
        Makes the inputs of a batch.
    mutants : Mutants
    size : int
    """
    for first in range(0, len(mutants), size):
        yield _run(forward, batches, mutants, first, size)


def run_while_tuning(
    forward: Forward, batches: Batches, mutants: Mutants, sizes: Sequence[int]
) -> Generator[Part, None, int]:
    """Outputs of all mutants, the first of them in batches of several sizes, which are timed.

    Of every size three batches run, the first of which may compile. Sizes for which there are too
    few mutants, or for which the device has no room, are left out.

    Parameters
    ----------
    forward, batches, mutants
        As for `run_mutants`.
    sizes : sequence of int
        The sizes to try, smallest first.

    Returns
    -------
    int
        The fastest size.
    """
    fastest, first = Fastest(sizes[0]), 0
    for size in sizes if len(sizes) > 1 else ():
        if first + TRIALS * size > len(mutants):
            break
        seconds = []
        try:
            for _ in range(TRIALS):
                begin = time.perf_counter()
                part = _run(forward, batches, mutants, first, size)
                seconds.append(time.perf_counter() - begin)
                first += size
                yield part
        except Exception as error:
            if size == sizes[0] or not no_memory(error):
                raise
            break
        if fastest.found(size, min(seconds[1:])):
            break
    for start in range(first, len(mutants), fastest.size):
        yield _run(forward, batches, mutants, start, fastest.size)
    return fastest.size


def _run(forward: Forward, batches: Batches, mutants: Mutants, first: int, size: int) -> Part:
    """Outputs of one batch of mutants."""
    index = np.arange(first, min(first + size, len(mutants)))
    padded = np.concatenate([index, np.repeat(index[:1], size - len(index))])
    given = (mutants.sequence[padded], mutants.start[padded], mutants.replacement[padded])
    outputs = forward(batches(*given))
    return Part(index, [y[: len(index)] for y in outputs])


def tune_batch_size(
    forward: Forward, inputs: Sequence[np.ndarray], sizes: Sequence[int] = BATCH_SIZES
) -> int:
    """The batch size with the most sequences per second.

    Each size is warmed up (which compiles) and then timed over at least two batches; sizes
    beyond the best one are given up when two in a row are slower, or when the device has no room.

    Parameters
    ----------
    forward : callable
        The compiled model.
    inputs : sequence of ndarray, each (sequences, *shape)
        Any valid input; its first sequence is repeated.
    """
    fastest = Fastest(sizes[0])
    for size in sizes if len(sizes) > 1 else ():
        batch = [np.repeat(x[:1], size, 0) for x in inputs]
        try:
            seconds = _seconds(forward, batch)
        except Exception as error:
            if size == sizes[0] or not no_memory(error):
                raise
            break
        if fastest.found(size, seconds):
            break
    return fastest.size


def _seconds(forward: Forward, batch: Sequence[np.ndarray]) -> float:
    """The shortest time of a few runs behind a warm-up."""
    forward(batch)
    seconds: list[float] = []
    while len(seconds) < 2 or (sum(seconds) < 0.2 and len(seconds) < 10):
        begin = time.perf_counter()
        forward(batch)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)

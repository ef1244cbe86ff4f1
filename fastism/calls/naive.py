"""Naive ISM: every mutant through the whole model, in compiled batches.

Requirements: numpy; the model only through its front end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from fastism.calls.mutants import Mutants, Part
from fastism.errors import no_memory
from fastism.frontends.mutant_batches import Batches

Forward = Callable[[Sequence[Any]], list[np.ndarray]]
#: Batch sizes that tuning tries, smallest first; an accelerator has room for larger ones.
BATCH_SIZES = (16, 32, 64, 128, 256, 512)
LARGE_BATCH_SIZES = (*BATCH_SIZES, 1024, 2048, 4096, 8192)


def fitting_sizes(mutants: int, accelerated: bool = False) -> list[int]:
    """The batch sizes worth trying for so many mutants, on a CPU or an accelerator."""
    sizes = LARGE_BATCH_SIZES if accelerated else BATCH_SIZES
    return [size for size in sizes if size <= max(mutants, sizes[0])]


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
        index = np.arange(first, min(first + size, len(mutants)))
        padded = np.concatenate([index, np.repeat(index[:1], size - len(index))])
        given = (mutants.sequence[padded], mutants.start[padded], mutants.replacement[padded])
        outputs = forward(batches(*given))
        yield Part(index, [y[: len(index)] for y in outputs])


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
    best, most, worse = sizes[0], 0.0, 0
    for size in sizes:
        batch = [np.repeat(x[:1], size, 0) for x in inputs]
        try:
            rate = size / _seconds(forward, batch)
        except Exception as error:
            if size == sizes[0] or not no_memory(error):
                raise
            break
        worse = 0 if rate > most else worse + 1
        if rate > most:
            best, most = size, rate
        if worse == 2:
            break
    return best


def _seconds(forward: Forward, batch: Sequence[np.ndarray]) -> float:
    """The shortest time of a few runs behind a warm-up."""
    forward(batch)
    seconds: list[float] = []
    while len(seconds) < 2 or (sum(seconds) < 0.2 and len(seconds) < 10):
        begin = time.perf_counter()
        forward(batch)
        seconds.append(time.perf_counter() - begin)
    return min(seconds)

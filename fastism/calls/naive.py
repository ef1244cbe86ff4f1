"""Naive ISM: every mutant through the whole model, in compiled batches.

Requirements: numpy; the model only through its front end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fastism.calls.mutants import Mutants, Part

Forward = Callable[[Sequence[np.ndarray]], list[np.ndarray]]

#: Batch sizes that tuning tries, smallest first.
BATCH_SIZES = (16, 32, 64, 128, 256, 512)


def fitting_sizes(mutants: int) -> list[int]:
    """The batch sizes worth trying for so many mutants."""
    return [size for size in BATCH_SIZES if size <= max(mutants, BATCH_SIZES[0])]


def run_mutants(
    forward: Forward, inputs: Sequence[np.ndarray], sequence: int, mutants: Mutants, size: int
) -> Iterator[Part]:
    """Outputs of all mutants, `size` at a time.

    Parameters
    ----------
    forward : callable
        The compiled model on a list of inputs; all calls get the same batch size, so that
        nothing is compiled twice (the last batch is filled up with its first mutant).
    inputs : sequence of ndarray, each (sequences, *shape)
    sequence : int
        Which input is mutated.
    mutants : Mutants
    size : int
    """
    width = mutants.replacement.shape[1]
    for first in range(0, len(mutants), size):
        index = np.arange(first, min(first + size, len(mutants)))
        padded = np.concatenate([index, np.repeat(index[:1], size - len(index))])
        batch = [x[mutants.sequence[padded]] for x in inputs]
        rows = mutants.start[padded][:, None] + np.arange(width)
        batch[sequence][np.arange(size)[:, None], rows] = mutants.replacement[padded]
        outputs = forward(batch)
        yield Part(index, [y[: len(index)] for y in outputs])


def tune_batch_size(
    forward: Forward, inputs: Sequence[np.ndarray], sizes: Sequence[int] = BATCH_SIZES
) -> int:
    """The batch size with the most sequences per second.

    Each size is warmed up (which compiles) and then timed over at least two batches; sizes
    beyond the best one are given up when two in a row are slower.

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
        forward(batch)
        seconds = []
        while len(seconds) < 2 or (sum(seconds) < 0.2 and len(seconds) < 10):
            begin = time.perf_counter()
            forward(batch)
            seconds.append(time.perf_counter() - begin)
        rate = size / min(seconds)
        worse = 0 if rate > most else worse + 1
        if rate > most:
            best, most = size, rate
        if worse == 2:
            break
    return best

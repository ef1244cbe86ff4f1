"""How many mutants run together in the memory there is, and fewer where it turns out to be less.

Requirements: numpy.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastism.calls.mutants import Mutants
from fastism.errors import FastISMError
from fastism.planning.plan import Plan
from fastism.running.chunks import Chunk, make_batches

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Gathered:
    """The chunks of the last mutants: those of other sequences mostly are at the same places."""

    sequence: np.ndarray
    start: np.ndarray
    sizes: tuple[int, int, int]
    batches: list[list[Chunk]]

    def serves(self, mutants: Mutants, sizes: tuple[int, int, int]) -> bool:
        """Whether other mutants are gathered in the same way."""
        return (
            sizes == self.sizes
            and np.array_equal(mutants.start, self.start)
            and np.array_equal(mutants.sequence, self.sequence)
        )


class Budget:
    """The bytes that mutants of a plan may take at a time.

    Parameters
    ----------
    plan : Plan
    memory : int
        Bytes; weights and references come on top. Windows of a chunk may take a half, what a batch
        leaves behind a half, and tensors of steps in full a quarter.
    """

    def __init__(self, plan: Plan, memory: int) -> None:
        self.plan, self.memory, self._most_bytes = plan, memory, memory
        self._last: _Gathered | None = None

    @property
    def most_in_full(self) -> int:
        """Most mutants whose steps in full run together."""
        return max(self.memory // 4 // self.plan.full_bytes, 1)

    def batches(self, mutants: Mutants, chunk_bytes: int) -> Iterator[list[Chunk]]:
        """The chunks that mutants run in, batch by batch.

        Parameters
        ----------
        mutants : Mutants
        chunk_bytes : int
            Working set of one chunk, as the backend likes it.

        Yields
        ------
        list of Chunk
            The chunks that share their readouts.
        """
        if not len(mutants):
            return
        plan = self.plan
        slots = plan.layout.block * plan.alternatives
        most = min(self.most_in_full, max(self.memory // 2 // plan.window_bytes, 1))
        chunk_bytes = min(chunk_bytes, self._most_bytes)
        per_chunk = min(max(chunk_bytes // plan.window_bytes, 1), most)
        per_batch = max(self.memory // 2 // max(plan.stored_bytes, 1), slots)
        sizes = slots, per_chunk, per_batch
        if self._last is None or not self._last.serves(mutants, sizes):
            made = list(make_batches(plan.layout, mutants, *sizes))
            self._last = _Gathered(mutants.sequence, mutants.start, sizes, made)
        yield from self._last.batches

    def spans(self, batch: Sequence[Chunk]) -> Iterator[tuple[int, int]]:
        """Runs of chunks ``(first, last)`` whose steps in full fit (at least one chunk each)."""
        most, first, total = self.most_in_full, 0, 0
        for i, chunk in enumerate(batch):
            if i > first and total + chunk.slots.size > most:
                yield first, i
                first, total = i, 0
            total += chunk.slots.size
        yield first, len(batch)

    def halve(self, error: Exception, chunk_bytes: int) -> None:
        """Let chunks and batches take half of what they took, down to a block at a time.

        Parameters
        ----------
        error : Exception
            What the device said when its memory was used up.
        chunk_bytes : int
            As for `batches`.

        Raises
        ------
        FastISMError
            From `error`, where a block at a time is what was tried.
        """
        chunk = min(chunk_bytes, self.memory // 2, self._most_bytes)
        if chunk < self.plan.window_bytes and self.memory // 4 < self.plan.stored_bytes:
            raise FastISMError(
                f"The device has no memory left even for the smallest chunk of mutants "
                f"({type(error).__name__}). Free some, give fewer sequences at a time, or run on "
                "the CPU."
            ) from error
        self.memory, self._most_bytes = self.memory // 2, chunk // 2
        logger.warning(
            "%s with chunks of %d bytes; going on with %d.",
            type(error).__name__,
            chunk,
            self._most_bytes,
        )

"""Mutants to chunks: which mutants share a block, and which blocks run together.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from fastism.calls.mutants import Mutants
from fastism.planning.layout import Layout


@dataclass(frozen=True)
class Chunk:
    """Blocks that run together.

    Parameters
    ----------
    sequence, hull : ndarray of int, shape (blocks,)
    slots : ndarray of int, shape (blocks, mutants of a block)
        Indices of mutants; -1 for an empty slot.
    """

    sequence: np.ndarray
    hull: np.ndarray
    slots: np.ndarray


@dataclass(frozen=True)
class _Blocks:
    sequence: np.ndarray
    hull: np.ndarray
    begin: np.ndarray
    count: np.ndarray
    order: np.ndarray


def make_batches(
    layout: Layout, mutants: Mutants, slots: int, per_chunk: int, per_batch: int
) -> Iterator[list[Chunk]]:
    """Group mutants into chunks, and chunks into batches that share their readouts.

    Parameters
    ----------
    layout : Layout
    mutants : Mutants
    slots : int
        Mutants per block where shapes must be equal (``layout.uniform``).
    per_chunk, per_batch : int
        Most mutants in a chunk and in a batch.

    Yields
    ------
    list of Chunk
        Consecutive hulls of all sequences, so that mutants whose windows reach the readout at
        the same position meet in one batch.
    """
    blocks = _blocks(layout, mutants, slots if layout.uniform else None)
    total = np.cumsum(blocks.count)
    first = 0
    # Where shapes must be equal, batches hold whole chunks, so that no place stays empty.
    chunk = max(min(per_chunk, per_batch) // slots, 1)
    whole = max(per_batch // slots // chunk, 1) * chunk
    while first < len(total):
        done = total[first - 1] if first else 0
        last = max(int(np.searchsorted(total, done + per_batch, side="right")), first + 1)
        if layout.uniform:
            last, per_chunk = min(first + whole, len(total)), chunk * slots
        yield list(_chunks(layout, blocks, np.arange(first, last), slots, per_chunk))
        first = last


def _blocks(layout: Layout, mutants: Mutants, most: int | None) -> _Blocks:
    """Mutants of one sequence and hull, in hull order; split where there are too many."""
    hulls = layout.hull_of(mutants.start)
    order = np.lexsort((mutants.start, mutants.sequence, hulls))
    hull, sequence = hulls[order], mutants.sequence[order]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (hull[1:] != hull[:-1]) | (sequence[1:] != sequence[:-1])
    if most is not None:
        begin = np.flatnonzero(new)
        within = np.arange(len(order)) - np.repeat(begin, np.diff([*begin, len(order)]))
        new |= within % most == 0
    begin = np.flatnonzero(new)
    count = np.diff([*begin, len(order)])
    return _Blocks(sequence[begin], hull[begin], begin, count, order)


def _chunks(
    layout: Layout, blocks: _Blocks, chosen: np.ndarray, slots: int, per_chunk: int
) -> Iterator[Chunk]:
    if layout.uniform:
        size = max(per_chunk // slots, 1)
        size = min(size, len(blocks.begin))
        for first in range(0, len(chosen), size):
            yield _padded(blocks, chosen[first : first + size], slots, size)
        return
    key = layout.classes[blocks.hull[chosen]] * (blocks.count.max() + 1) + blocks.count[chosen]
    for value in np.unique(key):
        group = chosen[key == value]
        count = int(blocks.count[group[0]])
        pieces = -(-len(group) * count // max(per_chunk, count))
        for part in np.array_split(group, pieces):
            index = blocks.order[blocks.begin[part][:, None] + np.arange(count)]
            yield Chunk(blocks.sequence[part], blocks.hull[part], index)


def _padded(blocks: _Blocks, part: np.ndarray, slots: int, size: int) -> Chunk:
    """A chunk of exactly `size` blocks of `slots` mutants; what is missing is -1."""
    index = np.full((size, slots), -1, dtype=np.int64)
    column = np.arange(slots)
    filled = column < blocks.count[part][:, None]
    where = np.minimum(blocks.begin[part][:, None] + column, len(blocks.order) - 1)
    index[: len(part)] = np.where(filled, blocks.order[where], -1)
    repeat = np.concatenate([part, np.repeat(part[-1:], size - len(part))])
    return Chunk(blocks.sequence[repeat], blocks.hull[repeat], index)


def input_windows(
    layout: Layout, row: int, chunk: Chunk, mutants: Mutants, dtype: str
) -> np.ndarray:
    """Deltas of the perturbed input, shape (width, blocks, mutants of a block, channels).

    Parameters
    ----------
    row : int
        Row of the perturbed input in ``layout.starts``.
    """
    width, channels = mutants.delta.shape[1:]
    start = layout.starts[row, chunk.hull]
    size = int(layout.widths[row, chunk.hull[0]])
    x = np.zeros((size, *chunk.slots.shape, channels), dtype=dtype)
    block, slot = np.nonzero(chunk.slots >= 0)
    index = chunk.slots[block, slot]
    position = mutants.start[index] - start[block]
    for i in range(width):
        x[position + i, block, slot] = mutants.delta[index, i]
    return x


def input_edits(layout: Layout, row: int, chunk: Chunk, mutants: Mutants) -> np.ndarray:
    """What a device makes the windows of `input_windows` from, whatever their width.

    Parameters
    ----------
    row : int
        Row of the perturbed input in ``layout.starts``.

    Returns
    -------
    ndarray of int32, shape (2, blocks, mutants of a block)
        Where in its window the edit of each mutant begins, and the number of its kind. An empty
        slot has an edit behind its window.
    """
    start, size = layout.starts[row, chunk.hull], layout.widths[row, chunk.hull[0]]
    begin = mutants.start[chunk.slots] - start[:, None]
    filled = chunk.slots >= 0
    kind = mutants.kinds[1][chunk.slots]
    return np.where(filled, np.stack([begin, kind]), [[[size]], [[0]]]).astype(np.int32)

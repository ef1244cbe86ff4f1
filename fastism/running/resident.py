"""An engine whose outputs stay on the device, and their final layout there.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import prod
from typing import Any

import numpy as np

from fastism.backends.base import Array, Backend
from fastism.calls.mutants import Part
from fastism.running.engine import Engine


class ResidentEngine(Engine):
    """As `Engine`, but outputs of the reference and of all parts are arrays of the backend."""

    def _arrived(self, x: Array) -> Any:
        return x

    def _leaving(self, x: Array, filled: np.ndarray) -> Callable[[], Any]:
        kept = x if len(filled) == x.shape[0] else self.b.take(x, filled, 0)
        return lambda: kept


def laid_out(
    b: Backend,
    reference: Sequence[Array],
    parts: Iterable[Part],
    index: tuple[np.ndarray, ...],
    shape: Sequence[int],
    swapped: bool,
) -> list[Array]:
    """Outputs of all mutants of some sequences as results hold them, made by one gather each.

    Parameters
    ----------
    b : Backend
    reference : sequence of array, each (sequences, *output)
    parts : iterable of Part
        With arrays of the backend.
    index : tuple of ndarray of int, each (mutants,)
        Where every mutant belongs: its sequence, and its place in `shape`.
    shape : sequence of int
        How many mutants a sequence has at most: ranges, or positions and characters.
    swapped : bool
        Whether the axes of `shape` are exchanged.

    Returns
    -------
    list of array, each (sequences, *shape, *output)
        The reference where there is no mutant.
    """
    parts = list(parts)
    count = len(reference[0])
    place = np.zeros((count, *shape), dtype=np.int64)
    place += np.arange(count).reshape(-1, *[1] * len(shape))
    rows = place.copy()
    done = count
    for part in parts:
        rows[tuple(i[part.index] for i in index)] = done + np.arange(len(part.index))
        done += len(part.index)
    if swapped:
        place, rows = (np.ascontiguousarray(x.swapaxes(1, 2)) for x in (place, rows))
    made = []
    for number, before in enumerate(reference):
        pieces = [part.outputs[number] for part in parts]
        if any(piece is None for piece in pieces):
            chosen = b.take(before, place.reshape(-1), 0)
        else:
            chosen = b.take(b.concatenate([before, *pieces], 0), rows.reshape(-1), 0)
        made.append(b.reshape(chosen, (*place.shape, *before.shape[1:])))
    return made


def reordered(b: Backend, x: Array, order: np.ndarray, rank: int) -> Array:
    """An output with its elements in the order, and the shape, of `order`.

    Parameters
    ----------
    b : Backend
    x : array, shape (..., *output)
        With `rank` axes before those of the output.
    order : ndarray of int
        Indices into the flat output.
    rank : int
    """
    leading = x.shape[:rank]
    flat = b.reshape(x, (prod(leading), -1))
    return b.reshape(b.take(flat, order.reshape(-1), 1), (*leading, *order.shape))

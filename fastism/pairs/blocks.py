"""Single edits of one sequence in blocks of neighbouring positions.

Requirements: numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastism.calls.mutants import Mutants
from fastism.intervals import Interval


@dataclass(frozen=True)
class Blocks:
    """Which edits are taken together.

    Parameters
    ----------
    edits : tuple of ndarray of int
        Per block the numbers of its edits, in the order of their positions.
    changed : Interval
        The positions that each block changes.
    """

    edits: tuple[np.ndarray, ...]
    changed: Interval

    def __len__(self) -> int:
        return len(self.edits)


def make_blocks(position: np.ndarray, block: int) -> Blocks:
    """Edits whose positions lie in the same stretch of `block` positions.

    Parameters
    ----------
    position : ndarray of int, shape (edits,)
    block : int
    """
    order = np.argsort(position, kind="stable")
    stretch = position[order] // block
    parts = np.split(order, np.flatnonzero(np.diff(stretch)) + 1) if len(order) else []
    first = np.array([position[part[0]] for part in parts], dtype=np.int64)
    last = np.array([position[part[-1]] for part in parts], dtype=np.int64)
    return Blocks(tuple(parts), Interval(first, last + 1))


def input_deltas(mutants: Mutants, edits: np.ndarray, window: tuple[int, int]) -> np.ndarray:
    """Deltas of the perturbed input, ``(width, 1, edits, channels)``."""
    x = np.zeros((window[1] - window[0], 1, len(edits), mutants.delta.shape[2]))
    x[mutants.start[edits] - window[0], 0, np.arange(len(edits))] = mutants.delta[edits, 0]
    return x

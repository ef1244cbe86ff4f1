"""Mutants of a few sequences, and the outputs that a model gives for some of them.

Requirements: numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Mutants:
    """Single-edit mutants of a few sequences.

    Parameters
    ----------
    sequence : ndarray of int, shape (mutants,)
        Which sequence is changed.
    start : ndarray of int, shape (mutants,)
        First changed position.
    replacement : ndarray, shape (mutants, width, channels)
        What stands there instead.
    delta : ndarray, shape (mutants, width, channels)
        Replacement minus what stood there.
    """

    sequence: np.ndarray
    start: np.ndarray
    replacement: np.ndarray
    delta: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    def some(self, index: np.ndarray) -> Mutants:
        """Those at `index`, in that order."""
        given = (self.sequence, self.start, self.replacement, self.delta)
        return Mutants(*(x[index] for x in given))


@dataclass(frozen=True)
class Part:
    """Outputs of some mutants.

    Parameters
    ----------
    index : ndarray of int, shape (mutants,)
        Which mutants.
    outputs : list of ndarray
        One per wanted output, ``(mutants, *shape)``; None for an output that does not depend on
        the perturbed input.
    """

    index: np.ndarray
    outputs: list[np.ndarray | None]

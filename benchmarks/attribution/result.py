"""What a run of a method returns.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, slots=True)
class Attribution:
    """What a run returns, on the host.

    Attributes
    ----------
    values : tuple of ndarray
        Of exact ISM, one per output tensor: the outputs of the mutants,
        ``(sequences, positions, characters, *output)``. Of other methods, one per scalar output
        that is explained: the attributions, ``(sequences, positions, characters)``.
    positions : ndarray of int, shape (positions,)
        Which positions of the sequence (0-based) the second axis holds.
    """

    values: tuple[np.ndarray, ...]
    positions: np.ndarray

    @classmethod
    def of(cls, values: np.ndarray | Sequence[np.ndarray], positions: np.ndarray) -> Attribution:
        """An attribution from what a library returns: an array, or a list of them."""
        listed = values if isinstance(values, (list, tuple)) else [values]
        return cls(tuple(listed), np.asarray(positions))

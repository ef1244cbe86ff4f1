"""What saturation mutagenesis returns.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

Outputs = np.ndarray | list[np.ndarray]


@dataclass(frozen=True)
class Saturation:
    """Model outputs for every character at every position.

    Axes: N sequences, P positions (all L of them unless some were chosen), C characters.
    Where the model has several outputs, every array is a list of arrays, one per output.

    Parameters
    ----------
    reference : ndarray, shape (N, *output)
        Outputs for the sequences as they are.
    mutants : ndarray, shape (N, P, C, *output)
        Outputs with character c at position p; at the reference character, the reference output.
    positions : ndarray of int, shape (P,)
        0-based positions.
    alternatives : ndarray of int, shape (N, P)
        How many of the C characters differ from what stands there: C - 1 where the sequence is
        one-hot, C where it is not (such as N, encoded as zeros).
    """

    reference: Outputs
    mutants: Outputs
    positions: np.ndarray
    alternatives: np.ndarray

    def delta(self) -> Outputs:
        """Mutants minus reference, shape (N, P, C, *output); zero at the reference character."""
        return self._each(lambda mutants, reference: mutants - reference[:, None, None])

    def importance(self) -> Outputs:
        """Minus the mean effect of the alternatives, shape (N, P, *output).

        Positive where the character that stands there raises the output.
        """

        def mean_effect(mutants: np.ndarray, reference: np.ndarray) -> np.ndarray:
            total = (mutants - reference[:, None, None]).sum(2)
            count = self.alternatives.reshape(*self.alternatives.shape, *[1] * (total.ndim - 2))
            return (-total / count).astype(total.dtype)

        return self._each(mean_effect)

    def _each(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Outputs:
        if isinstance(self.mutants, list):
            return [function(m, r) for m, r in zip(self.mutants, self.reference, strict=True)]
        return function(self.mutants, self.reference)

"""What saturation mutagenesis returns.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

#: Axes of mutants, in the order of the model's own input.
CHANNELS_LAST = ("sequence", "position", "character", "output...")
CHANNELS_FIRST = ("sequence", "character", "position", "output...")
Outputs = np.ndarray | list[np.ndarray]


def listed(x: Outputs) -> list[np.ndarray]:
    """Outputs as a list, also where there is only one."""
    return x if isinstance(x, list) else [x]


@dataclass(frozen=True)
class Saturation:
    """Model outputs for every character at every position.

    Axes: N sequences, P positions (all L of them unless some were chosen), C characters.
    Positions and characters come in the order of the model's input, which `axes` names: positions
    first for Keras models, characters first for torch modules that take ``(N, C, L)``. Where the
    model has several outputs, every array is a list of arrays, one per output.

    Parameters
    ----------
    reference : ndarray, shape (N, *output)
        Outputs for the sequences as they are.
    mutants : ndarray, shape (N, P, C, *output) or (N, C, P, *output)
        Outputs with character c at position p; at the reference character, the reference output.
    positions : ndarray of int, shape (P,)
        0-based positions.
    alternatives : ndarray of int, shape (N, P)
        How many of the C characters differ from what stands there: C - 1 where the sequence is
        one-hot, C where it is not (such as N, encoded as zeros).
    axes : tuple of str
        Names of the axes of `mutants`: ``("sequence", "position", "character", "output...")``, or
        with the second and third swapped.
    """

    reference: Outputs
    mutants: Outputs
    positions: np.ndarray
    alternatives: np.ndarray
    axes: tuple[str, ...] = CHANNELS_LAST

    def delta(self) -> Outputs:
        """Mutants minus reference, with the axes of `mutants`; zero at the reference character."""
        return self._each(lambda mutants, reference: mutants - reference[:, None, None])

    def importance(self) -> Outputs:
        """Minus the mean effect of the alternatives, shape (N, P, *output).

        Positive where the character that stands there raises the output.
        """
        characters = self.axes.index("character")

        def mean_effect(mutants: np.ndarray, reference: np.ndarray) -> np.ndarray:
            total = (mutants - reference[:, None, None]).sum(characters)
            count = self.alternatives.reshape(*self.alternatives.shape, *[1] * (total.ndim - 2))
            mean = -total / count
            # Tensors of PyTorch divide by integers without changing their type.
            return mean.astype(total.dtype) if isinstance(mean, np.ndarray) else mean

        return self._each(mean_effect)

    def _each(self, function: Callable[[np.ndarray, np.ndarray], np.ndarray]) -> Outputs:
        if isinstance(self.mutants, list):
            return [function(m, r) for m, r in zip(self.mutants, self.reference, strict=True)]
        return function(self.mutants, self.reference)


@dataclass(frozen=True)
class Perturbed:
    """Model outputs for a list of perturbations.

    Where the model has several outputs, every array is a list of arrays, one per output.

    Parameters
    ----------
    reference : ndarray, shape (N, *output)
        Outputs for the sequences as they are.
    mutants : ndarray, shape (M, *output)
        Outputs under each perturbation, in the order given.
    sequence : ndarray of int, shape (M,)
        Which sequence each perturbation changes.
    """

    reference: Outputs
    mutants: Outputs
    sequence: np.ndarray

    def delta(self) -> Outputs:
        """Mutants minus the reference of their sequence, with the axes of `mutants`."""
        if isinstance(self.mutants, list):
            pairs = zip(self.mutants, self.reference, strict=True)
            return [mutants - reference[self.sequence] for mutants, reference in pairs]
        return self.mutants - self.reference[self.sequence]

"""The layout of models that methods are given: Keras models, or their twins as PyTorch modules.

Requirements: numpy, fastism.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.attribution.result import Attribution

if TYPE_CHECKING:
    from fastism.calls.result import Saturation


@dataclass(frozen=True, slots=True)
class AxisOrder:
    """How sequences are handed to ISM of a model, and what comes back from it.

    Attributes
    ----------
    kind : {"keras", "torch"}
        Keras models take ``(sequences, length, characters)``, PyTorch modules
        ``(sequences, characters, length)``.
    """

    kind: str

    def input_shape(self, sequences: np.ndarray) -> tuple[int, int] | None:
        """What a PyTorch module does not tell, ``(characters, length)``; None for Keras models.

        Parameters
        ----------
        sequences : ndarray, shape (sequences, length, characters)
        """
        _, length, characters = sequences.shape
        return (characters, length) if self.kind == "torch" else None

    def given(self, sequences: np.ndarray) -> np.ndarray:
        """Sequences ``(sequences, length, characters)`` as the model takes them."""
        if self.kind == "torch":
            return np.ascontiguousarray(sequences.transpose(0, 2, 1))
        return sequences

    def attribution(self, result: Saturation) -> Attribution:
        """A result of ISM with positions before characters, which is a view of it."""
        mutants = result.mutants if isinstance(result.mutants, list) else [result.mutants]
        if self.kind == "torch":
            mutants = [y.swapaxes(1, 2) for y in mutants]
        return Attribution.of(mutants, result.positions)

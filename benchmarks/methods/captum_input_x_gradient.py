"""Input × gradient of captum, on the PyTorch twin.

Shrikumar et al. 2016, doi:10.48550/arXiv.1605.01713; Kokhlikyan et al. 2020 for captum,
doi:10.48550/arXiv.2009.07896.

Requirements: numpy, fastism; torch and captum once it is set up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.captum_method import CaptumMethod
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.identities import relative_difference
from benchmarks.attribution.linear import TOLERANCE, finite, linear_model, removal_effect
from benchmarks.attribution.twins import linear_twin


class CaptumInputXGradient(CaptumMethod):
    """The gradient of an output with respect to the one-hot sequence, times the sequence."""

    name = "captum_input_x_gradient"
    label = "input × gradient (captum)"

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Find the best batch size for this number of sequences."""
        super().prepare(model, sequences)
        self._batch = self.tune(self._time_gradient, sequences, len(sequences))

    def make(self, part: Any) -> Any:
        """The `InputXGradient` of captum."""
        from captum.attr import InputXGradient

        return InputXGradient(part)

    def explain(self, entry: Explained) -> np.ndarray:
        """One gradient per sequence."""
        captum, size = self._captum[entry.output], self._batch
        parts = [
            captum.attribute(self._x[i : i + size].requires_grad_(), target=entry.element)
            for i in range(0, len(self._x), size)
        ]
        return np.concatenate([self._array(part) for part in parts])

    @property
    def batch_size(self) -> int | None:
        """The best batch size, found by timing several."""
        return self._batch

    def check(self, result: Attribution) -> Check | None:
        """On a linear model: what ISM finds when a position is replaced by zeros."""
        sequences = self._sequences[:2]
        model = linear_model(*sequences.shape[1:])
        other = type(self)(self.backend)
        other._twin, other._model = linear_twin(model), model
        other.set_up(model, sequences)
        found = np.stack([value.sum(2) for value in other.run().values], axis=-1)
        (exact,) = removal_effect(model, sequences)
        residual = relative_difference(found, exact) if finite(result) else float("inf")
        return Check("on a linear model, exact ISM with replacement by zero", residual, TOLERANCE)

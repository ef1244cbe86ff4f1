"""Gradient × input, on TensorFlow.

Simonyan et al. 2014 (doi:10.48550/arXiv.1312.6034) for the gradient, Shrikumar et al. 2016
(doi:10.48550/arXiv.1605.01713) for its product with the input.

Requirements: numpy, fastism; TensorFlow once it is set up.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.identities import relative_difference
from benchmarks.attribution.linear import TOLERANCE, finite, linear_model, removal_effect
from benchmarks.attribution.per_output import PerOutputMethod
from benchmarks.attribution.tensorflow_model import TensorFlowModel


class GradientXInput(PerOutputMethod):
    """The gradient of an output with respect to the one-hot sequence, times the sequence."""

    name = "gradient_x_input"
    label = "gradient × input"
    packages = ("tensorflow",)

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Compile, and find the best batch size for this number of sequences."""
        self._compiled = TensorFlowModel(model)
        for entry in self.explained:  # compiles every output tensor
            self._compiled.gradient(sequences[:1], entry)
        self._batch = self.tune(
            lambda x: self._compiled.gradient(x, self.explained[0]), sequences, len(sequences)
        )

    def explain(self, entry: Explained) -> np.ndarray:
        """One gradient per sequence."""
        return self._sequences * self._compiled.gradients(self._sequences, entry, self._batch)

    @property
    def batch_size(self) -> int | None:
        """The best batch size, found by timing several."""
        return self._batch

    def check(self, result: Attribution) -> Check | None:
        """On a linear model: what ISM finds when a position is replaced by zeros."""
        sequences = self._sequences[:2]
        model = linear_model(*sequences.shape[1:])
        other = type(self)(self.backend)
        other.set_up(model, sequences)
        found = np.stack([value.sum(2) for value in other.run().values], axis=-1)
        (exact,) = removal_effect(model, sequences)
        residual = relative_difference(found, exact) if finite(result) else float("inf")
        return Check("on a linear model, exact ISM with replacement by zero", residual, TOLERANCE)

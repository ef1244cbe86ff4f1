"""Taylor ISM: the first-order approximation of ISM, from one gradient, on TensorFlow.

Sasse et al. 2023, "Quick and effective approximation of in silico saturation mutagenesis
experiments with first-order Taylor expansion" (iScience 2024, doi:10.1016/j.isci.2024.110807).

Requirements: numpy, fastism; TensorFlow once it is set up.
"""

from __future__ import annotations

import numpy as np

from benchmarks.attribution.agreement import Agreement, agreement
from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.identities import relative_difference
from benchmarks.attribution.linear import TOLERANCE, alternatives_effect, finite, linear_model
from benchmarks.methods.gradient_x_input import GradientXInput


class TaylorISM(GradientXInput):
    """The effect of every character at every position, to first order.

    Replacing the reference character by another moves the one-hot input by their difference, so
    that the output changes by the difference of the two gradients there. Attributions are these
    predicted effects; they are zero at the reference character.
    """

    name = "taylor_ism"
    label = "Taylor ISM"

    def explain(self, entry: Explained) -> np.ndarray:
        """One gradient per sequence, minus its value at the reference character."""
        gradient = self._compiled.gradients(self._sequences, entry, self._batch)
        return gradient - (gradient * self._sequences).sum(2, keepdims=True)

    def check(self, result: Attribution) -> Check | None:
        """On a linear model, the approximation is exact ISM."""
        sequences = self._sequences[:2]
        model = linear_model(*sequences.shape[1:])
        other = type(self)(self.backend)
        other.set_up(model, sequences)
        found = np.stack(other.run().values, axis=-1)
        exact = alternatives_effect(model, sequences)
        residual = relative_difference(found, exact) if finite(result) else float("inf")
        return Check("on a linear model, exact ISM", residual, TOLERANCE)

    def ism_error(self, result: Attribution, exact: Attribution) -> Agreement | None:
        """Predicted against exact effects, over the explained outputs; the worst counts.

        Raises
        ------
        ValueError
            `exact` has positions that `result` has not, or other sequences.
        """
        x = self._sequences[:, exact.positions]
        pairs = []
        for entry in self.explained:
            mutants = exact.values[entry.output]
            mutants = mutants.reshape(*mutants.shape[:3], -1)[..., entry.element]
            reference = (mutants * x).sum(2, keepdims=True)
            pairs.append(mutants - reference)
        return agreement(Attribution.of(pairs, exact.positions), result)

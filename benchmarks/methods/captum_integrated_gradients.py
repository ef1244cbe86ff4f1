"""Integrated gradients of captum, on the PyTorch twin.

Sundararajan, Taly & Yan 2017, doi:10.48550/arXiv.1703.01365; Kokhlikyan et al. 2020 for captum,
doi:10.48550/arXiv.2009.07896.

Requirements: numpy, fastism; torch and captum once it is set up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.captum_method import CaptumMethod
from benchmarks.attribution.completeness import MORE_STEPS, integral_completeness
from benchmarks.attribution.explained import Explained

STEPS = 50


class CaptumIntegratedGradients(CaptumMethod):
    """The gradient, averaged from zeros to the sequence by Gauss-Legendre quadrature.

    Sequences are explained one at a time: the steps of one fill a batch.
    """

    name = "captum_integrated_gradients"
    label = "integrated gradients (captum)"

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Find the best batch size for the steps of a sequence."""
        super().prepare(model, sequences)
        self._batch = self.tune(self._time_gradient, sequences, STEPS)

    def make(self, part: Any) -> Any:
        """The `IntegratedGradients` of captum."""
        from captum.attr import IntegratedGradients

        return IntegratedGradients(part)

    def explain(self, entry: Explained) -> np.ndarray:
        """One gradient per sequence and step."""
        sequences = range(len(self._x))
        return np.stack([self._integrate(i, entry, STEPS) for i in sequences])

    def _integrate(self, sequence: int, entry: Explained, steps: int) -> np.ndarray:
        found = self._captum[entry.output].attribute(
            self._x[sequence : sequence + 1],
            baselines=0,
            target=entry.element,
            n_steps=steps,
            method="gausslegendre",
            internal_batch_size=self._batch,
        )
        return self._array(found)[0].astype(np.float32, copy=False)

    @property
    def passes(self) -> int:
        """The steps."""
        return STEPS

    @property
    def check_runs(self) -> float:
        """More steps, for one sequence."""
        return sum(MORE_STEPS) / STEPS / len(self._sequences)

    @property
    def batch_size(self) -> int | None:
        """The best batch size, found by timing several."""
        return self._batch

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """Outputs and steps."""
        return {**super().settings, "steps": STEPS, "baseline": "zeros"}

    def check(self, result: Attribution) -> Check | None:
        """Attributions sum up to the output minus that of zeros."""
        zeros = self._x[:1] * 0
        differences = [
            self._outputs_of(self._x, entry) - self._outputs_of(zeros, entry)
            for entry in self.explained
        ]

        def integrate(sequence: int, steps: int) -> list[np.ndarray]:
            return [self._integrate(sequence, entry, steps) for entry in self.explained]

        return integral_completeness(result, differences, STEPS, integrate)

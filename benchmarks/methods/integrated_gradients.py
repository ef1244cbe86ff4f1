"""Integrated gradients from a baseline of zeros, on TensorFlow.

Sundararajan, Taly & Yan 2017, doi:10.48550/arXiv.1703.01365.

Requirements: numpy, fastism; TensorFlow once it is set up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.completeness import MORE_STEPS, integral_completeness
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.per_output import PerOutputMethod
from benchmarks.attribution.tensorflow_model import TensorFlowModel

STEPS = 50


class IntegratedGradients(PerOutputMethod):
    """The gradient, averaged from zeros to the sequence by Gauss-Legendre quadrature."""

    name = "integrated_gradients"
    label = "integrated gradients"
    packages = ("tensorflow",)

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Compile, and find the best batch size for all steps of these sequences."""
        self._compiled = TensorFlowModel(model)
        for entry in self.explained:  # compiles every output tensor
            self._compiled.gradient(sequences[:1], entry)
        self._batch = self.tune(
            lambda x: self._compiled.gradient(x, self.explained[0]),
            sequences,
            len(sequences) * STEPS,
        )

    def explain(self, entry: Explained) -> np.ndarray:
        """One gradient per sequence and step, in full batches across sequences."""
        return self._integrate(self._sequences, entry, STEPS)

    def _integrate(self, x: np.ndarray, entry: Explained, steps: int) -> np.ndarray:
        points, weights = quadrature(steps)
        total = np.zeros_like(x)
        rows = len(x) * steps
        for first in range(0, rows, self._batch):
            sequence, step = np.divmod(np.arange(first, min(first + self._batch, rows)), steps)
            scaled = x[sequence] * points[step, None, None]
            gradient = self._compiled.gradient(scaled, entry) * weights[step, None, None]
            starts = np.flatnonzero(np.diff(sequence, prepend=-1))
            total[sequence[starts]] += np.add.reduceat(gradient, starts, axis=0)
        return total * x

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
        zeros = np.zeros_like(self._sequences[:1])
        differences = [
            self._outputs_of(entry) - self._compiled.outputs(zeros, entry)
            for entry in self.explained
        ]

        def integrate(sequence: int, steps: int) -> list[np.ndarray]:
            x = self._sequences[sequence : sequence + 1]
            return [self._integrate(x, entry, steps)[0] for entry in self.explained]

        return integral_completeness(result, differences, STEPS, integrate)

    def _outputs_of(self, entry: Explained) -> np.ndarray:
        x, size = self._sequences, self._batch
        return np.concatenate(
            [self._compiled.outputs(x[i : i + size], entry) for i in range(0, len(x), size)]
        )


def quadrature(steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of Gauss-Legendre quadrature from 0 to 1.

    Parameters
    ----------
    steps : int
        Number of points; polynomials of a degree below twice as much are integrated exactly.

    Returns
    -------
    points, weights : ndarray, float32, shape (steps,)

    Examples
    --------
    >>> points, weights = quadrature(2)
    >>> round(float((weights * points**3).sum()), 6)
    0.25
    """
    points, weights = np.polynomial.legendre.leggauss(steps)
    return (0.5 * (points + 1)).astype(np.float32), (0.5 * weights).astype(np.float32)

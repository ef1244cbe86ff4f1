"""Fast ISM: exact, by delta propagation, one variant per backend.

Requirements: numpy, fastism; the backend's framework once it is set up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Method, Setting
from benchmarks.attribution.input_shapes import input_shape
from benchmarks.floor.products import saturating_products
from benchmarks.floor.rate import RateProbe, makers
from fastism.backends import available_backends


class FastMethod(Method):
    """All alternatives at all positions, on one backend, at the default memory budget."""

    name = "fast_ism"
    label = "fastISM"
    exact = True
    models = ("keras", "torch")

    def __init__(self, backend: str, kind: str = "keras") -> None:
        super().__init__(backend)
        self._kind = kind
        self._ism: Any = None

    @classmethod
    def variants(cls, setting: Setting) -> list[Method]:
        """One variant per backend that is asked for."""
        return [cls(backend, setting.model) for backend in setting.backends]

    def refuse(self) -> str | None:
        """Refuse where the framework is not installed."""
        if self.backend in available_backends():
            return None
        return f"The package {self.backend} is not installed."

    def set_up(self, model: Any, sequences: np.ndarray) -> None:
        """Plan the model and copy its weights, once."""
        if self._ism is None:
            from fastism import FastISM

            shape = input_shape(self._kind, sequences)
            self._ism = FastISM(
                model, test_correctness=False, backend=self.backend, input_shape=shape
            )
        self._sequences = sequences

    def run(self) -> Attribution:
        """Run all alternatives at all positions."""
        result = self._ism.saturate_by_position(self._sequences)
        return Attribution.of(result.mutants, result.positions)

    def rate_probe(self, clock: Callable[[], float]) -> RateProbe:
        """Plain matrix products of the shapes of the plan, on the same framework."""
        products = saturating_products(self._ism, self._sequences)
        return RateProbe(products, makers(self.backend), clock=clock)

    @property
    def macs(self) -> float | None:
        """Multiply-adds of the plan."""
        return float(self._ism.plan.fast_macs)

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """How many neighbouring positions share a window, and PyTorch's compiled kernel."""
        settings: dict[str, int | float | str] = {"block": int(self._ism.plan.layout.block)}
        if self.backend == "torch":
            from fastism.backends.compiled import kernel_in_use

            settings["kernel"] = kernel_in_use()
        return settings

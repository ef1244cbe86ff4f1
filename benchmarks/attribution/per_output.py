"""Methods that explain one scalar output at a time.

Requirements: numpy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from benchmarks.attribution.targets import Target, count_targets, output_shapes, sample_targets
from benchmarks.methods.base import Attribution, Method
from fastism.naive import BATCH_SIZES, tune_batch_size


class PerOutputMethod(Method):
    """Explains some scalar outputs of a model one after the other; the time is scaled to all.

    Subclasses prepare in `prepare` and explain one output in `explain`.

    Attributes
    ----------
    packages : tuple of str
        What must be installed, by import name.
    frameworks : tuple of str
        What the method can run on.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    frameworks: ClassVar[tuple[str, ...]] = ("tensorflow",)

    def refuse(self) -> str | None:
        """Refuse models of another framework, and where a package is not installed."""
        if self.backend not in self.frameworks:
            known = " or ".join(self.frameworks)
            return f"It runs on {known}; the models run on {self.backend}."
        missing = [package for package in self.packages if find_spec(package) is None]
        return f"The package {', '.join(missing)} is not installed." if missing else None

    def set_up(self, model: Any, sequences: np.ndarray) -> None:
        """Choose the outputs to explain, and prepare for this number of sequences."""
        shapes = output_shapes(model)
        self.targets = sample_targets(shapes)
        self._outputs = count_targets(shapes)
        self._sequences = sequences
        self.prepare(model, sequences)

    @abstractmethod
    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """What `set_up` does beyond choosing `targets`, by which compilations may go."""

    @abstractmethod
    def explain(self, target: Target) -> np.ndarray:
        """Attributions of all sequences for one output, ``(sequences, length, characters)``."""

    @staticmethod
    def tune(pass_on: Callable[[np.ndarray], object], x: np.ndarray, rows: int) -> int:
        """The best batch size for a number of inputs.

        Parameters
        ----------
        pass_on : callable
            Runs a batch, and returns when that is done.
        x : ndarray, shape (sequences, length, characters)
            Any valid input.
        rows : int
            How many inputs there are in all, of which batches are made.
        """
        return tune_batch_size(lambda batch: pass_on(batch[0]), [x], batch_sizes(rows))

    def run(self) -> Attribution:
        """Explain every chosen output."""
        values = [self.explain(target) for target in self.targets]
        return Attribution.of(values, np.arange(self._sequences.shape[1]))

    @property
    def scale(self) -> float:
        """All scalar outputs over those that a run explains."""
        return self._outputs / len(self.targets)

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """How many scalar outputs the model has, and how many of them a run explains."""
        return {"outputs": self._outputs, "outputs_timed": len(self.targets)}


def batch_sizes(rows: int) -> list[int]:
    """Batch sizes that are worth trying for so many inputs: full batches, up to all of them.

    Examples
    --------
    >>> batch_sizes(50), batch_sizes(1), batch_sizes(10_000)
    ([16, 32, 50], [1], [16, 32, 64, 128, 256, 512])
    """
    smaller = [size for size in BATCH_SIZES if size < rows]
    return [*smaller, rows] if rows <= BATCH_SIZES[-1] else smaller

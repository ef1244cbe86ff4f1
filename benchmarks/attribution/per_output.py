"""Methods that explain one scalar output at a time, as many of them as there is time for.

Requirements: numpy.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any, ClassVar

import numpy as np

from benchmarks.attribution.base import Allowance, Attribution, Method, WouldExceed
from benchmarks.attribution.explained import (
    MOST_EXPLAINED,
    Explained,
    count_outputs,
    output_shapes,
    sample_outputs,
)
from fastism.calls.naive import BATCH_SIZES, tune_batch_size

#: Share of the time that is left that more outputs than one, or tuning, may take.
SHARE_OF_OUTPUTS = 0.5
SHARE_OF_TUNING = 0.1
#: Passes with each batch size that tuning makes at least.
TUNING_PASSES = 3


class PerOutputMethod(Method):
    """Explains some scalar outputs of a model one after the other; the time is scaled to all.

    Subclasses implement `prepare` and, for one output, `explain`. If the time of a run is limited,
    one output of one sequence is explained first. From the time that takes follows how many
    outputs a run explains, or that there is not enough time for a single one.

    Attributes
    ----------
    packages : tuple of str
        What must be installed, by import name.
    frameworks : tuple of str
        What the method can run on.
    every_output_at_once : bool
        Whether a run takes as long for all outputs as for one.
    """

    packages: ClassVar[tuple[str, ...]] = ()
    frameworks: ClassVar[tuple[str, ...]] = ("tensorflow",)
    every_output_at_once: ClassVar[bool] = False

    def __init__(self, backend: str) -> None:
        super().__init__(backend)
        self._unit_seconds: float | None = None  # of one output of one sequence
        self._pass_seconds: float | None = None  # of one input through the model

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
        self._outputs = count_outputs(shapes)
        most = MOST_EXPLAINED
        if self.allowance is not None:
            most = self._affordable(self.allowance, model, sequences)
        self.explained = sample_outputs(shapes, most)
        self._sequences = sequences
        self.prepare(model, sequences)

    def _affordable(self, allowance: Allowance, model: Any, sequences: np.ndarray) -> int:
        """How many outputs a run may explain.

        Raises
        ------
        WouldExceed
            There is no time for one.
        """
        if self._unit_seconds is None:
            self._unit_seconds = self._probed(allowance, model, sequences[:1])
        self._sequences = sequences
        runs = allowance.runs + self.check_runs
        seconds = self._unit_seconds * len(sequences) * runs
        self._refuse_beyond(allowance, seconds, len(sequences))
        if self.every_output_at_once or seconds == 0:
            return MOST_EXPLAINED
        return int(np.clip(SHARE_OF_OUTPUTS * allowance.left // seconds, 1, MOST_EXPLAINED))

    def _probed(self, allowance: Allowance, model: Any, sequence: np.ndarray) -> float:
        """Seconds that one output of one sequence takes, the smaller of two where two are quick."""
        self.explained = sample_outputs(output_shapes(model), 1)
        self._sequences = sequence
        self.prepare(model, sequence)
        if self._pass_seconds is not None:
            estimate = self._pass_seconds * self.passes
            if allowance.exceeded(estimate * allowance.runs, ""):
                return estimate
        least = self._seconds_of(allowance, lambda: self.explain(self.explained[0]))
        if least <= SHARE_OF_TUNING * allowance.left:  # the first may have compiled something
            again = self._seconds_of(allowance, lambda: self.explain(self.explained[0]))
            least = min(least, again)
        return least

    def _refuse_beyond(self, allowance: Allowance, seconds: float, number: int) -> None:
        several = "1 sequence" if number == 1 else f"{number} sequences"
        what = f"{allowance.runs} runs of {several} and the check"
        if self._outputs > 1:
            what += f", for one of {self._outputs} outputs,"
        reason = allowance.exceeded(seconds, what)
        if reason:
            raise WouldExceed(reason)

    @staticmethod
    def _seconds_of(allowance: Allowance, work: Callable[[], object]) -> float:
        begin = allowance.clock()
        work()
        return allowance.clock() - begin

    @property
    def passes(self) -> int:
        """Inputs that go through the model for one output of one sequence."""
        return 1

    @abstractmethod
    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Called by `set_up` once `explained` is chosen: build or compile what explains these."""

    @abstractmethod
    def explain(self, entry: Explained) -> np.ndarray:
        """Attributions of all sequences for one output, ``(sequences, length, characters)``."""

    def tune(self, pass_on: Callable[[np.ndarray], object], x: np.ndarray, rows: int) -> int:
        """The best batch size for a number of inputs, of those that there is time to try.

        Parameters
        ----------
        pass_on : callable
            Runs a batch, and returns when that is done.
        x : ndarray, shape (sequences, length, characters)
            Any valid input.
        rows : int
            How many inputs there are in all, of which batches are made.
        """
        sizes = batch_sizes(rows)
        if self.allowance is not None:
            sizes = self._quick(self.allowance, pass_on, x, sizes)
        if len(sizes) == 1:
            return sizes[0]
        return tune_batch_size(lambda batch: pass_on(batch[0]), [x], sizes)

    def _quick(
        self,
        allowance: Allowance,
        pass_on: Callable[[np.ndarray], object],
        x: np.ndarray,
        sizes: list[int],
    ) -> list[int]:
        """The batch sizes that can be tried in a small share of what is left, one at least."""
        if self._pass_seconds is None:
            twice = [self._seconds_of(allowance, lambda: pass_on(x[:1])) for _ in range(2)]
            self._pass_seconds = min(twice)
        seconds = TUNING_PASSES * self._pass_seconds * np.cumsum(sizes)
        return sizes[: max(1, int((seconds <= SHARE_OF_TUNING * allowance.left).sum()))]

    def run(self) -> Attribution:
        """Explain every chosen output."""
        values = [self.explain(entry) for entry in self.explained]
        return Attribution.of(values, np.arange(self._sequences.shape[1]))

    @property
    def scale(self) -> float:
        """All scalar outputs over those that a run explains."""
        return self._outputs / len(self.explained)

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """How many scalar outputs the model has, and how many of them a run explains."""
        return {"outputs": self._outputs, "outputs_timed": len(self.explained)}


def batch_sizes(rows: int) -> list[int]:
    """Batch sizes that are worth trying for so many inputs: full batches, up to all of them.

    Examples
    --------
    >>> batch_sizes(50), batch_sizes(1), batch_sizes(10_000)
    ([16, 32, 50], [1], [16, 32, 64, 128, 256, 512])
    """
    smaller = [size for size in BATCH_SIZES if size < rows]
    return [*smaller, rows] if rows <= BATCH_SIZES[-1] else smaller

"""Naive ISM: every mutant through the whole model, at its best batch size.

Requirements: numpy, fastism; the framework of the model once it is set up, and a C++ compiler to
compile a PyTorch module on a CPU.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Method, Setting
from benchmarks.attribution.input_shapes import input_shape


class NaiveMethod(Method):
    """The baseline, timed on a sample of positions that fills whole batches.

    Parameters
    ----------
    backend : str
        The framework of the model.
    mutants : int
        About how many a run has, at least.
    kind : {"keras", "torch"}
        What kind of model it is given.
    mode : {"", "eager", "compiled"}
        How a PyTorch module is run; a Keras model is always compiled.
    """

    name = "naive_ism"
    label = "naive ISM"
    exact = True
    models = ("keras", "torch")

    def __init__(self, backend: str, mutants: int, kind: str = "keras", mode: str = "") -> None:
        super().__init__(backend)
        self._mutants = mutants
        self._kind = kind
        self.mode = mode
        self._ism: Any = None
        self._macs: float | None = None

    @classmethod
    def variants(cls, setting: Setting) -> list[Method]:
        """On the framework of the model; a PyTorch module both as it is and compiled."""
        given = setting.keras_backend, setting.naive_mutants, setting.model
        modes = ("eager", "compiled") if setting.model == "torch" else ("",)
        return [cls(*given, mode) for mode in modes]

    def refuse(self) -> str | None:
        """Refuse to compile a PyTorch module where nothing can be compiled."""
        return not_compiling() if self.mode == "compiled" else None

    def set_up(self, model: Any, sequences: np.ndarray) -> None:
        """Find the best batch size, once, and choose the positions."""
        count, length, characters = sequences.shape
        alternatives = characters - 1
        if self._ism is None:
            self._ism = self._tuned(model, sequences, alternatives)
        some = sample_size(self._ism.batch_size, count * alternatives, length, self._mutants)
        self._sequences = sequences
        self._positions = np.unique(np.linspace(0, length - 1, some).astype(int))
        # The reference pass is one more input per sequence, in the sample as in the whole.
        self._scale = (length * alternatives + 1) / (len(self._positions) * alternatives + 1)

    def _tuned(self, model: Any, sequences: np.ndarray, alternatives: int) -> Any:
        from fastism import FastISM, NaiveISM
        from fastism.calls.naive import BATCH_SIZES

        shape = input_shape(self._kind, sequences)
        ism = NaiveISM(model, input_shape=shape, compiled=self.mode == "compiled")
        # Tuning tries only batches that the first call can fill.
        enough = min(-(-BATCH_SIZES[-1] // alternatives), sequences.shape[1])
        ism.saturate_by_position(sequences[:1], positions=range(enough))
        plan = FastISM(model, test_correctness=False, input_shape=shape).plan
        self._macs = float(plan.naive_macs)
        return ism

    def run(self) -> Attribution:
        """Run all alternatives at the sampled positions."""
        result = self._ism.saturate_by_position(self._sequences, positions=self._positions)
        return Attribution.of(result.mutants, result.positions)

    @property
    def scale(self) -> float:
        """Inputs of the whole over inputs of the sample."""
        return self._scale

    @property
    def positions(self) -> int | None:
        """How many positions the sample has."""
        return len(self._positions)

    @property
    def batch_size(self) -> int | None:
        """The best batch size, found by timing several."""
        return self._ism.batch_size

    @property
    def macs(self) -> float | None:
        """Multiply-adds of a whole pass of the model."""
        return self._macs


@cache
def not_compiling() -> str | None:
    """Why `torch.compile` cannot be used in this process, or None."""
    import torch

    try:
        torch.compile(lambda x: torch.relu(x) + 1)(torch.zeros(8))
    except Exception as error:  # a compiler that is missing, or that fails in whatever way
        reason = " ".join(str(error).split())
        return f"torch.compile does not work here. {type(error).__name__}: {reason[:300]}"
    return None


def sample_size(batch: int, per_position: int, length: int, inputs: int) -> int:
    """Choose how many positions to time, so that their mutants fill whole batches.

    The time of a sample is scaled up to all positions. A batch that is not full costs as much as a
    full one, so a sample that ends with a partly filled batch would make naive ISM look slower
    than it is. The smallest number of positions is chosen that has about `inputs` inputs and fills
    its batches to at least 99%; if there is none, the number that fills them best.

    Parameters
    ----------
    batch : int
        Inputs per batch.
    per_position : int
        Inputs per position, of all sequences together.
    length : int
        Number of positions there are.
    inputs : int
        How many inputs there should be, all in all.

    Returns
    -------
    int
        Between 1 and `length`.

    Examples
    --------
    >>> sample_size(128, 3, 1000, 256)  # 255 inputs for 256 places
    85
    >>> sample_size(256, 96, 1000, 256)  # 768 inputs for 768 places
    8
    """

    def fill(positions: int) -> float:
        filled = positions * per_position
        return filled / (-(-filled // batch) * batch)

    least = max(1, inputs // per_position)
    choices = range(min(least, length), length + 1)
    full = (p for p in choices if fill(p) >= 0.99)
    return next(full, max(choices, key=lambda p: (fill(p), -p)))

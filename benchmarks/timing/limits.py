"""What a timing job leaves out, because it would take too long or too much memory.

Requirements: numpy and psutil.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import psutil

from benchmarks.clock import Clock
from benchmarks.methods import Method

#: Share of the free memory that the result of one method may take.
SHARE = 0.5


@dataclass
class Limits:
    """Seconds and bytes of a job.

    Parameters
    ----------
    seconds : float
        That the whole job may take.
    runs : int
        That a method makes at least with each number of sequences, the warm-up included.
    clock : callable
        Seconds.
    """

    seconds: float
    runs: int
    clock: Clock = time.perf_counter

    def __post_init__(self) -> None:
        """Begin to count."""
        self._begin = self.clock()
        self._known: dict[str, float] = {}
        self._reserved = 0.0

    @property
    def left(self) -> float:
        """Seconds that are left and not reserved."""
        return self.seconds - (self.clock() - self._begin) - self._reserved

    def reserve(self, seconds: float) -> None:
        """Set time aside for runs that are going to be made, until `release`."""
        self._reserved += seconds

    def release(self) -> None:
        """Reserve nothing any more."""
        self._reserved = 0.0

    def knows(self, key: str) -> bool:
        """Whether something was noted of a method."""
        return key in self._known

    def note(self, key: str, per_sequence: float) -> None:
        """Remember what a method takes: seconds of the whole work, per sequence."""
        self._known[key] = per_sequence

    def too_long(self, key: str, method: Method, number: int) -> str | None:
        """Why a method cannot be timed on so many sequences in what is left, or None.

        Parameters
        ----------
        key : str
            As for `note`; without a note, every method may run.
        method : Method
            Set up for these sequences.
        number : int
            Of sequences.
        """
        if key not in self._known:
            return None
        run = self._known[key] * number / method.scale
        return self.exceeded(run * self.runs, f"{self.runs} runs of {number} sequences")

    def over(self) -> str | None:
        """Why nothing more is begun, or None while there is time."""
        if self.left > 0:
            return None
        return f"The {self.seconds:.0f} s of this job were spent or promised before it was set up."

    def exceeded(self, seconds: float, what: str) -> str | None:
        """Why something expected to take so many seconds is not begun, or None."""
        if seconds <= self.left:
            return None
        return (
            f"{what} are expected to take {seconds:.0f} s; {max(self.left, 0):.0f} s are left of "
            f"the {self.seconds:.0f} s of this job."
        )


def too_large(method: Method, model: Any, sequences: np.ndarray) -> str | None:
    """Why the result of a method would not fit into memory, or None.

    This concerns exact methods, which return every output of every mutant. A result may take only
    a share of the free memory, because the framework needs some as well.
    """
    elements = _output_elements(model, sequences)
    if not method.exact or not elements:
        return None
    number, length, characters = sequences.shape
    size = number * (method.positions or length) * characters * elements * 4
    free = psutil.virtual_memory().available
    if size <= SHARE * free:
        return None
    return (
        f"The outputs of all mutants of {number} sequences take {size / 2**30:.1f} GiB, more than "
        f"{SHARE:.0%} of the {free / 2**30:.1f} GiB that are free."
    )


def _output_elements(model: Any, sequences: np.ndarray) -> int:
    """Elements of all outputs for one sequence; 0 where the model does not tell."""
    if getattr(model, "outputs", None):
        return sum(prod(output.shape[1:]) for output in model.outputs)
    if not hasattr(model, "state_dict"):
        return 0
    import torch

    with torch.inference_mode():
        device = next(model.parameters()).device
        outputs = model(torch.from_numpy(sequences[:1].swapaxes(1, 2).copy()).to(device))
    several = outputs if isinstance(outputs, (list, tuple)) else [outputs]
    return sum(y.numel() for y in several)

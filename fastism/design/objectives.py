"""What a design is to reach: one number for the outputs of every mutant, the larger the better.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastism.calls.result import Outputs
from fastism.errors import FastISMError

#: Outputs of mutants, each (mutants, *output), to numbers (mutants,).
Objective = Callable[[Outputs], np.ndarray]


@dataclass(frozen=True)
class Goal:
    """One number of the model's outputs, and how much it counts.

    Parameters
    ----------
    entry : int or tuple of int
        Index into the output, without the batch axis; ``()`` for the sum of all its entries. An
        output that is a single number has entry 0.
    output : int
        Which output, where the model has several.
    weight : float
        What the number is multiplied with: negative to make it small.
    """

    entry: int | tuple[int, ...] = ()
    output: int = 0
    weight: float = 1.0

    def value(self, outputs: Sequence[np.ndarray]) -> np.ndarray:
        """The weighted number for every mutant, shape (mutants,)."""
        made = outputs[self.output]
        chosen = made[(slice(None), *self._index(made.shape[1:]))]
        return self.weight * chosen.reshape(len(chosen), -1).sum(1, dtype=np.float64)

    def check(self, shapes: Sequence[tuple[int, ...]]) -> None:
        """Raise unless the model has such a number among outputs of `shapes`."""
        if not 0 <= self.output < len(shapes):
            raise FastISMError(f"The model has outputs 0 to {len(shapes) - 1}; got {self.output}.")
        shape = shapes[self.output]
        index = self._index(shape)
        fits = len(index) <= len(shape)
        if not fits or any(not 0 <= i < n for i, n in zip(index, shape, strict=False)):
            have = f"shape {shape}" if shape else "a single number, entry 0"
            raise FastISMError(f"Output {self.output} has {have}; no entry {self.entry}.")

    def _index(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Where the entry is in an output of this shape."""
        index = (self.entry,) if isinstance(self.entry, int) else tuple(self.entry)
        return () if not shape and index == (0,) else index


def as_objective(given: Any, shapes: Sequence[tuple[int, ...]]) -> Objective:
    """What users call an objective as a function of outputs.

    Parameters
    ----------
    given : int, Goal, sequence of Goal, or callable
        An entry of a model's only output; numbers that are weighted and added up; or a function
        from outputs (mutants, *output), a list of them where the model has several, to numbers
        (mutants,).
    shapes : sequence of tuple
        Shapes of the model's outputs.

    Raises
    ------
    FastISMError
        If the model has no such output.
    """
    if callable(given) and not isinstance(given, Goal):
        return given
    goals = [given] if isinstance(given, (int, np.integer, Goal)) else list(given)
    goals = [goal if isinstance(goal, Goal) else Goal(int(goal)) for goal in goals]
    if not goals:
        raise FastISMError("No objective was given; give an entry of the output, or a Goal.")
    for goal in goals:
        goal.check(shapes)

    def total(outputs: Outputs) -> np.ndarray:
        listed = outputs if isinstance(outputs, list) else [outputs]
        return np.sum([goal.value(listed) for goal in goals], 0)

    return total

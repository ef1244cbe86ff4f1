"""Which scalar outputs of a model are explained.

Requirements: numpy. Methods of the gradient family explain one scalar at a time; of a model with
many of them, some are timed and the time is scaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np

#: How many scalar outputs a run explains at most.
MOST_TARGETS = 4


@dataclass(frozen=True, slots=True)
class Target:
    """One scalar output of a model.

    Attributes
    ----------
    output : int
        Which of the model's output tensors.
    element : int
        Which element of it, flattened without the batch axis.
    """

    output: int
    element: int


def output_shapes(model: object) -> list[tuple[int, ...]]:
    """Shapes of the outputs of a Keras model, without the batch axis."""
    return [tuple(output.shape[1:]) for output in model.outputs]


def count_targets(shapes: Sequence[tuple[int, ...]]) -> int:
    """How many scalar outputs there are, over all output tensors."""
    return sum(prod(shape) for shape in shapes)


def sample_targets(shapes: Sequence[tuple[int, ...]], most: int = MOST_TARGETS) -> list[Target]:
    """Evenly spaced scalar outputs, the first and the last among them.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the output tensors, without the batch axis.
    most : int, default 4
        How many at most.

    Returns
    -------
    list of Target
        In the order of the outputs.

    Examples
    --------
    >>> sample_targets([(5,), (1,)], most=2)
    [Target(output=0, element=0), Target(output=1, element=0)]
    """
    sizes = [prod(shape) for shape in shapes]
    ends = np.cumsum(sizes)
    chosen = np.unique(np.linspace(0, ends[-1] - 1, min(most, int(ends[-1]))).round().astype(int))
    outputs = np.searchsorted(ends, chosen, side="right")
    return [
        Target(int(o), int(i - (ends[o] - sizes[o]))) for o, i in zip(outputs, chosen, strict=True)
    ]

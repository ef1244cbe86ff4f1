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
MOST_EXPLAINED = 4


@dataclass(frozen=True, slots=True)
class Explained:
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


def count_outputs(shapes: Sequence[tuple[int, ...]]) -> int:
    """How many scalar outputs there are, over all output tensors."""
    return sum(prod(shape) for shape in shapes)


def sample_outputs(
    shapes: Sequence[tuple[int, ...]], most: int = MOST_EXPLAINED
) -> list[Explained]:
    """Evenly spaced scalar outputs, the first and the last among them.

    Parameters
    ----------
    shapes : sequence of tuple of int
        Of the output tensors, without the batch axis.
    most : int, default 4
        How many at most.

    Returns
    -------
    list of Explained
        In the order of the outputs.

    Examples
    --------
    >>> sample_outputs([(5,), (1,)], most=2)
    [Explained(output=0, element=0), Explained(output=1, element=0)]
    """
    sizes = [prod(shape) for shape in shapes]
    ends = np.cumsum(sizes)
    chosen = np.unique(np.linspace(0, ends[-1] - 1, min(most, int(ends[-1]))).round().astype(int))
    outputs = np.searchsorted(ends, chosen, side="right")
    return [
        Explained(int(o), int(i - (ends[o] - sizes[o])))
        for o, i in zip(outputs, chosen, strict=True)
    ]

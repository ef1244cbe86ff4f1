"""Arrays of pairs that parts write into, and what parts are reduced to before.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fastism.calls.axis_order import POSITIONS_FIRST, AxisOrder
from fastism.calls.mutants import Part
from fastism.errors import FastISMError
from fastism.pairs.result import PairPart

#: ``(mutants, *output)`` to ``(mutants, *reduced)``.
Reduction = Callable[[np.ndarray], np.ndarray]

_REDUCTIONS = {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min}


def check_reduction(reduce: Any) -> Reduction | None:
    """A function for what users give as ``reduce=``.

    Raises
    ------
    FastISMError
        If it is neither None, a known name, nor callable.
    """
    if reduce is None:
        return None
    if callable(reduce):
        return _Checked(reduce)
    if isinstance(reduce, str) and reduce in _REDUCTIONS:
        function = _REDUCTIONS[reduce]
        return lambda y: function(y, axis=tuple(range(1, y.ndim)))
    raise FastISMError(
        f"reduce={reduce!r} was given; expected None, one of {', '.join(_REDUCTIONS)}, or a "
        "function of an array (mutants, *output) that keeps the first axis."
    )


@dataclass(frozen=True)
class _Checked:
    """A user's reduction, whose result is checked."""

    function: Reduction

    def __call__(self, y: np.ndarray) -> np.ndarray:
        made = np.asarray(self.function(y))
        if made.shape[:1] != y.shape[:1]:
            raise FastISMError(
                f"reduce made an array of shape {made.shape} of one of shape {y.shape}; the first "
                "axis, the mutants, must stay."
            )
        return made


def reduced(outputs: Sequence[np.ndarray | None], reduction: Reduction | None) -> list:
    """Every output by itself through the reduction."""
    if reduction is None:
        return list(outputs)
    return [None if y is None else reduction(y) for y in outputs]


def fill_singles(
    alone: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    index: tuple[np.ndarray, np.ndarray],
    parts: Iterator[Part],
) -> None:
    """Write outputs of single edits where they belong.

    Parameters
    ----------
    alone : sequence of ndarray, each (P, C, *output)
        To fill: with the reference output wherever there is no edit.
    reference : sequence of ndarray, each (1, *output)
    index : tuple of ndarray of int, each shape (edits,)
        Row of its position and character of every edit.
    parts : iterator of Part
    """
    rows, characters = index
    for array, y in zip(alone, reference, strict=True):
        array[...] = y[0]
    for part in parts:
        for array, y in zip(alone, part.outputs, strict=True):
            if y is not None:
                array[rows[part.index], characters[part.index]] = y


def fill_doubles(
    both: Sequence[np.ndarray],
    alone: Sequence[np.ndarray],
    reference: Sequence[np.ndarray],
    index: tuple[np.ndarray, np.ndarray],
    first: int,
    parts: Iterator[PairPart],
) -> None:
    """Write outputs of pairs where they belong, also with the edits exchanged.

    Parameters
    ----------
    both : sequence of ndarray, each (R, C, P - first, C, *output)
        To fill: rows `first` to ``first + R`` with all from `first` on.
    alone : sequence of ndarray, each (P, C, *output)
        Outputs of single edits.
    reference, index
        As for `fill_singles`.
    first : int
    parts : iterator of PairPart
    """
    rows, characters = index
    for array, single, y in zip(both, alone, reference, strict=True):
        _without_pairs(array, single, y[0], index, first)
    for part in parts:
        a = rows[part.first] - first, characters[part.first]
        z = rows[part.second] - first, characters[part.second]
        for array, y in zip(both, part.outputs, strict=True):
            if y is not None:
                array[*a, *z] = y
                here = z[0] < len(array)
                back = (x[here] for x in (*z, *a))
                array[*back] = y[here]


def _without_pairs(
    both: np.ndarray,
    alone: np.ndarray,
    reference: np.ndarray,
    index: tuple[np.ndarray, np.ndarray],
    first: int,
) -> None:
    """Where an edit changes nothing, and where both are at one position."""
    mine, rest = alone[first : first + len(both)], alone[first:]
    both[...] = mine[:, :, None, None] + rest - reference
    # An edit that changes nothing leaves the other one alone, to the last bit.
    nothing = np.ones(alone.shape[:2], dtype=bool)
    nothing[index] = False
    both[nothing[first : first + len(both)]] = rest
    both.transpose(2, 3, 0, 1, *range(4, both.ndim))[nothing[first:]] = mine


@dataclass
class FilledPairs:
    """Outputs of all sequences; those of one sequence at a time are written into it.

    Parameters
    ----------
    count, positions, characters : int
        Numbers of sequences, positions and characters.
    order : AxisOrder
        How the arrays lie in memory; their axes have positions before characters in any case.
    dtype : dtype, optional
        That of the outputs by default.

    Attributes
    ----------
    reference, singles, doubles : list of ndarray
        One per output, from the first sequence on; see `fastism.pairs.Pairs`.
    """

    count: int
    positions: int
    characters: int
    order: AxisOrder = POSITIONS_FIRST
    dtype: np.dtype | None = None
    reference: list[np.ndarray] = field(default_factory=list)
    singles: list[np.ndarray] = field(default_factory=list)
    doubles: list[np.ndarray] = field(default_factory=list)

    def fill(
        self,
        number: int,
        index: tuple[np.ndarray, np.ndarray],
        reference: Sequence[np.ndarray],
        singles: Iterator[Part],
        pairs: Iterator[PairPart],
    ) -> None:
        """Take all outputs of one sequence.

        Parameters
        ----------
        number : int
            Which sequence.
        index : tuple of ndarray of int, each shape (edits,)
            Row of its position and character of every edit.
        reference : sequence of ndarray, each (1, *output)
        singles : iterator of Part
        pairs : iterator of PairPart
        """
        self._make(reference)
        outputs = range(len(reference))
        alone = [self.singles[i][number] for i in outputs]
        both = [self.doubles[i][number] for i in outputs]
        for i in outputs:
            self.reference[i][number] = reference[i][0]
        fill_singles(alone, reference, index, singles)
        fill_doubles(both, alone, reference, index, 0, pairs)

    def _make(self, reference: Sequence[np.ndarray]) -> None:
        if self.reference:
            return
        count, one = (self.count,), (self.positions, self.characters)
        for y in reference:
            kind, output = y.dtype if self.dtype is None else self.dtype, y.shape[1:]
            self.reference.append(np.empty((self.count, *output), kind))
            self.singles.append(self.order.empty((count, one), output, kind))
            self.doubles.append(self.order.empty((count, one, one), output, kind))

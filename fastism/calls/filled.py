"""Arrays of results that groups of sequences fill one after the other.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from fastism.calls.axis_order import POSITIONS_FIRST, AxisOrder


@dataclass
class Filled:
    """Outputs of all sequences; groups of them write into it, so that none has arrays of its own.

    Parameters
    ----------
    count : int
        Number of sequences.
    shape : tuple of int
        How many mutants a sequence has: ranges, or positions and characters.
    order : AxisOrder
        How the arrays lie in memory; their axes have positions before characters in any case.
    dtype : dtype, optional
        That of the outputs by default.

    Attributes
    ----------
    reference, mutants : list of ndarray, each (N, *output) and (N, *shape, *output)
        One per output, from the first group on.
    """

    count: int
    shape: tuple[int, ...]
    order: AxisOrder = POSITIONS_FIRST
    dtype: np.dtype | None = None
    reference: list[np.ndarray] = field(default_factory=list)
    mutants: list[np.ndarray] = field(default_factory=list)

    def group(self, part: slice, reference: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Take the reference of the sequences in `part`.

        Returns
        -------
        list of ndarray, each (sequences of the part, *shape, *output)
            Views of their mutants, which hold the reference as yet.
        """
        self._make(reference)
        views = []
        for all_reference, all_mutants, y in zip(
            self.reference, self.mutants, reference, strict=True
        ):
            all_reference[part] = y
            view = all_mutants[part]
            view[...] = y.reshape(len(y), *[1] * len(self.shape), *y.shape[1:])
            views.append(view)
        return views

    def put(
        self,
        part: slice,
        reference: Sequence[np.ndarray],
        mutants: Sequence[np.ndarray],
        write: Callable[[np.ndarray, np.ndarray], None],
    ) -> None:
        """Take all that there is of the sequences in `part`, mutants in the order of `order`.

        `write` copies the second array into the first.
        """
        self._make(reference)
        groups = (1, len(self.shape))
        for number, (before, made) in enumerate(zip(reference, mutants, strict=True)):
            self.reference[number][part] = before
            write(self.order.outward(self.mutants[number], groups)[part], made)

    def _make(self, reference: Sequence[np.ndarray]) -> None:
        """Make the arrays, when the first group has come."""
        if self.reference:
            return
        for y in reference:
            kind = y.dtype if self.dtype is None else self.dtype
            self.reference.append(np.empty((self.count, *y.shape[1:]), kind))
            axes = ((self.count,), self.shape)
            self.mutants.append(self.order.empty(axes, y.shape[1:], kind))

"""The order of positions and characters in what users give and get.

Inside the library positions come before characters everywhere. Models that take sequences
``(N, C, L)``, as modules of torch do, are given and return characters first: that is exchanged
here, and only in the public methods.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class AxisOrder:
    """In which order a caller wants positions and characters.

    Parameters
    ----------
    characters_first : bool
        Whether characters come before positions.
    """

    characters_first: bool = False

    def empty(
        self, axes: Sequence[tuple[int, ...]], rest: tuple[int, ...], dtype: np.dtype
    ) -> np.ndarray:
        """An array to fill with positions first, whose memory has the order of the caller.

        So `outward` gives a contiguous array, and nothing large is ever copied.

        Parameters
        ----------
        axes : sequence of tuple of int
            Leading axes in groups of one, which stay, and two, ``(positions, characters)``.
        rest : tuple of int
            Axes that follow.
        dtype : dtype

        Returns
        -------
        ndarray
            A view with the axes in the order given.
        """
        groups = [each[::-1] if self.characters_first else each for each in axes]
        made = np.empty((*(n for each in groups for n in each), *rest), dtype)
        return self.outward(made, [len(each) for each in axes])

    def outward(self, array: np.ndarray, groups: Sequence[int] = (1, 2)) -> np.ndarray:
        """A view in the order of the caller: positions and characters change places, or nothing.

        Parameters
        ----------
        array : ndarray, shape (N, positions, characters, ...)
        groups : sequence of int
            Sizes of the groups of leading axes, as in `empty`; positions and characters are the
            groups of two.
        """
        if not self.characters_first:
            return array
        order, first = [], 0
        for size in groups:
            order += range(first, first + size)[::-1]
            first += size
        return array.transpose(*order, *range(first, array.ndim))


#: What the library works in.
POSITIONS_FIRST = AxisOrder()

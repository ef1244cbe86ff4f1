"""Rows of a figure and where their axes are, in inches.

Requirements: matplotlib.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fastism.errors import FastISMError

LEFT, RIGHT, GAP = 0.85, 1.15, 0.08  # inches beside the axes, and between them
TITLE, TICKS, LABEL = 0.32, 0.24, 0.2  # inches of lines of text
_KEY, _KEY_WIDTH = 0.26, 5.9  # inches of a line of the key, and of both entries side by side
#: Up to so many positions stand in one row; more are cut into rows of about `_PART`, unless they
#: are so many that only an overview is of use.
_WHOLE, _PART, _OVERVIEW = 150, 120, 1000


def row_length(positions: int, per_row: int | None) -> int:
    """Positions of a row, where none is chosen so that letters can be read.

    Examples
    --------
    >>> [row_length(n, None) for n in (150, 151, 400, 1000, 2000)]
    [150, 80, 100, 120, 2000]
    >>> row_length(400, 200)
    200
    """
    if per_row is not None:
        return min(per_row, positions)
    if positions <= _WHOLE or positions > _OVERVIEW:
        return positions
    share = -(-positions // -(-positions // _PART))
    return -(-share // 10) * 10


def axes_width(positions: int, width: float | None, left: float = LEFT) -> float:
    """Inches of axes with so many positions, in a figure whose width may be given.

    Raises
    ------
    FastISMError
        If the width leaves no room for axes.
    """
    if width is None:
        narrow = float(np.clip(0.09 * positions, 5.5, 11.0))
        return max(narrow, min(0.06 * positions, 18.0))
    inner = width - left - RIGHT
    if inner < 0.5:
        raise FastISMError(
            f"A width of {width:g} inches leaves no room beside the labels; expected at least "
            f"{left + RIGHT + 0.5:.1f}."
        )
    return inner


def key_lines(width: float, entries: int) -> int:
    """Lines that the key of a figure of so many inches takes.

    Examples
    --------
    >>> [key_lines(width, 2) for width in (4.0, 12.0)]
    [2, 1]
    """
    return 1 if entries == 1 or width >= _KEY_WIDTH else entries


def key_height(width: float, entries: int) -> float:
    """Inches of the key."""
    return _KEY * key_lines(width, entries)


@dataclass
class Sheet:
    """A figure on which axes are placed from above, in inches.

    Parameters
    ----------
    width, height : float
    """

    width: float
    height: float

    def __post_init__(self) -> None:
        self.figure = Figure(figsize=(self.width, self.height), facecolor="white")
        FigureCanvasAgg(self.figure)

    def axes(self, left: float, top: float, width: float, height: float, **extra: Any) -> Axes:
        """Axes whose upper left corner is so far from that of the figure."""
        bottom = self.height - top - height
        box = (
            left / self.width,
            bottom / self.height,
            width / self.width,
            height / self.height,
        )
        return self.figure.add_axes(box, **extra)

    def text(self, left: float, top: float, text: str, size: float, weight: str) -> None:
        """A line of text, cut where it would leave the figure."""
        most = int((self.width - left) * 110 / size)
        self.figure.text(
            left / self.width,
            1 - top / self.height,
            textwrap.shorten(text, most, placeholder="…"),
            fontsize=size,
            fontweight=weight,
            va="top",
        )

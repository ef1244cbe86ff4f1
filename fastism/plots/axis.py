"""Positions along an axis, and the size of what is drawn in a cell.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from matplotlib.axes import Axes


def label_positions(ax: Axes, count: int, start: int, step: int, axis: str) -> None:
    """Ticks at round positions.

    Parameters
    ----------
    ax : Axes
    count : int
        Positions along the axis.
    start, step : int
        Position of the first one, and 1 or -1.
    axis : str
        What positions refer to.
    """
    width = ax.get_figure().get_size_inches()[0] * ax.get_position().width
    longest = len(f"{start + step * count:,}")
    most = max(width / (0.09 * longest + 0.35), 1)
    spacing = next(s for s in _round_numbers() if count / s <= most)
    positions = start + step * np.arange(count)
    ticks = np.flatnonzero(positions % spacing == 0)
    if not len(ticks):  # a short row between two round positions
        ticks = np.array([0])
    ax.set_xticks(ticks, [f"{positions[i]:,}" for i in ticks])
    ax.set_xlabel(axis)


def _round_numbers() -> Iterator[int]:
    decade = 1
    while True:
        yield from (decade, 2 * decade, 5 * decade)
        decade *= 10


def mark_size(ax: Axes, part: float) -> float:
    """Size in points of a mark that takes a part of a cell of one position and one row."""
    figure = ax.get_figure()
    width, height = figure.get_size_inches() * ax.get_position().size * 72
    cell = min(width / np.ptp(ax.get_xlim()), height / np.ptp(ax.get_ylim()))
    return float(np.clip(part * cell, 0.5, 5.0))

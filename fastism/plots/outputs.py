"""The importance of every position for many outputs.

Requirements: matplotlib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fastism.errors import FastISMError
from fastism.plots import heat, layout, tracks
from fastism.plots.axis import label_positions
from fastism.plots.layout import LABEL, RIGHT, TICKS, TITLE, Sheet
from fastism.plots.sequences import AXIS
from fastism.plots.style import SETTINGS, Look

PLUS = "above a quarter of the scale"


def plot_outputs(
    importance: np.ndarray,
    labels: Sequence[str],
    *,
    start: int = 0,
    step: int = 1,
    title: str = "",
    axis: str = AXIS,
    highlights: Sequence[tuple[int, int]] = (),
    look: Look | None = None,
) -> Figure:
    """A heatmap of the importance of every position for every output.

    Parameters
    ----------
    importance : ndarray, shape (P, outputs)
    labels : sequence of str
        Of the outputs.
    start, step, title, axis
        As for `plot_sequence`.
    highlights : sequence of (int, int)
        Rows that stand out, half-open.
    look : Look or None
        Width, limit and colours.

    Returns
    -------
    matplotlib Figure
        A row per output; all on one scale.

    Raises
    ------
    FastISMError
        If the shapes do not fit.
    """
    importance, look = np.asarray(importance, np.float64), look or Look()
    if importance.ndim != 2 or importance.shape[1] != len(labels) or not importance.size:
        raise FastISMError(
            f"Got importance of shape {importance.shape} and {len(labels)} labels; expected "
            "(positions, outputs) and a label per output."
        )
    height = float(np.clip(0.19 * len(labels), 0.8, 9.0))
    shown = [textwrap.shorten(label, 24, placeholder="…") for label in labels]
    every = -(-len(labels) // int(height / 0.15))
    left = 0.35 + 0.075 * max(map(len, shown))
    width = layout.axes_width(len(importance), look.width, left)
    with matplotlib.rc_context(SETTINGS):
        below = TICKS + LABEL + 0.08 + layout.key_height(width, 1)
        sheet = Sheet(left + width + RIGHT, 0.1 + TITLE + height + below)
        sheet.text(left, 0.13, look.title or title, 10, "normal")
        cells = sheet.axes(left, 0.1 + TITLE, width, height)
        limit = look.limit or float(np.abs(importance).max()) or 1.0
        mesh = heat.draw_heat(cells, importance.T, limit, look.map())
        rows = range(0, len(labels), every)
        cells.set_yticks(rows, [shown[i] for i in rows], fontsize=8)
        label_positions(cells, len(importance), start, step, axis)
        tracks.draw_highlights((), cells, highlights)
        bar = sheet.axes(left + width + 0.12, 0.1 + TITLE, 0.12, max(min(height, 2.5), 0.8))
        heat.draw_scale(sheet.figure, mesh, bar, "importance")
        heat.draw_key(sheet.figure, left, {"+": PLUS})
    return sheet.figure

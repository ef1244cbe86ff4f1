"""A figure of a scan: what a change does at every position, a line for each change.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fastism.errors import FastISMError
from fastism.plots.axis import label_positions
from fastism.plots.style import COLOURS, SETTINGS, Look
from fastism.plots.tracks import draw_highlights

#: Lines are told apart by their dashes as well as by their colours.
_DASHES = ("-", "--", ":", "-.")
_WIDTH, _HEIGHT = 7.0, 2.2  # inches


def plot_scan(
    deltas: np.ndarray,
    names: Sequence[str],
    *,
    start: int = 0,
    step: int = 1,
    title: str = "",
    output: str = "output",
    axis: str = "position in the sequence (bp, 0-based)",
    highlights: Sequence[tuple[int, int]] = (),
    look: Look | None = None,
) -> Figure:
    """The effects of changes at every position.

    Parameters
    ----------
    deltas : ndarray, shape (W, P)
        Changed minus reference, of one sequence and one number of the outputs: a part of
        `Scan.delta`, of neighbouring positions.
    names : sequence of str
        Of the W changes: `Scan.names`.
    start, step : int
        Position of the first column, and 1 or -1: where positions go from there.
    title : str
    output : str
        What the effects are on.
    axis : str
        What positions refer to.
    highlights : sequence of (int, int)
        Columns that stand out, half-open.
    look : Look or None
        Title, width, and limit of the effects.

    Returns
    -------
    matplotlib Figure
        A line for each change.

    Raises
    ------
    FastISMError
        If the shapes do not fit.
    """
    look, deltas = look or Look(), np.asarray(deltas, np.float64)
    if deltas.ndim != 2 or len(deltas) != len(names) or not deltas.size:
        raise FastISMError(
            f"Got effects of shape {deltas.shape} and {len(names)} names of changes; expected "
            "(changes, positions) and a name for each change, of one sequence and one number of "
            "the outputs, such as scan.delta()[0, :, :, 0]."
        )
    with matplotlib.rc_context(SETTINGS):
        figure = Figure((look.width or _WIDTH, _HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        colours = [COLOURS[letter] for letter in "CTAG"]
        for i, (name, values) in enumerate(zip(names, deltas, strict=True)):
            form = {"color": colours[i % len(colours)], "linestyle": _DASHES[i % len(_DASHES)]}
            panel.plot(values, label=name, linewidth=1.1, **form)
        panel.axhline(0, color="#888888", linewidth=0.6, zorder=0)
        panel.set_xlim(-0.5, deltas.shape[1] - 0.5)
        if look.limit is not None:
            panel.set_ylim(-look.limit, look.limit)
        panel.set_ylabel(f"effect on {output}")
        panel.spines[["top", "right"]].set_visible(False)
        label_positions(panel, deltas.shape[1], start, step, axis)
        draw_highlights((panel,), panel, highlights)
        if len(names) > 1 or names[0]:
            panel.legend(frameon=False, fontsize=8, ncols=min(len(names), 4), loc="best")
        panel.set_title(look.title or title, fontsize=9)
    return figure

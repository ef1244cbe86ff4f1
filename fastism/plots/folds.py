"""A figure of several models: their mean along a sequence, with a band of what they differ by.

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

_WIDTH, _HEIGHT = 7.0, 2.2  # inches


def plot_folds(
    deltas: np.ndarray,
    sd: np.ndarray,
    *,
    start: int = 0,
    step: int = 1,
    title: str = "",
    output: str = "output",
    axis: str = "position in the sequence (bp, 0-based)",
    highlights: Sequence[tuple[int, int]] = (),
    look: Look | None = None,
) -> Figure:
    """What several models agree on: mean effects with a band of one standard deviation.

    At every position it is the substitution whose mean effect is the strongest.

    Parameters
    ----------
    deltas : ndarray, shape (P, C)
        Means over models of mutants minus reference, of one sequence and one number of the outputs.
    sd : ndarray, shape (P, C)
        Standard deviations over models, as `fastism score --sd` keeps them.
    start, step : int
        Position of the first row, and 1 or -1: where positions go from there.
    title : str
    output : str
        What the effects are on.
    axis : str
        What positions refer to.
    highlights : sequence of (int, int)
        Rows that stand out, half-open.
    look : Look or None
        Title, width, and limit of the effects.

    Returns
    -------
    matplotlib Figure
        A line with a band around it.

    Raises
    ------
    FastISMError
        If the shapes do not fit, or a number is not finite.
    """
    look = look or Look()
    deltas, sd = (np.asarray(x, np.float64) for x in (deltas, sd))
    if deltas.ndim != 2 or deltas.shape != sd.shape or not deltas.size:
        raise FastISMError(
            f"Got effects of shape {deltas.shape} and standard deviations of shape {sd.shape}; "
            "expected (positions, characters) of both, of one sequence and one number of the "
            "outputs."
        )
    if not (np.isfinite(deltas).all() and np.isfinite(sd).all()):
        raise FastISMError(
            "Some effects or standard deviations are NaN or infinite; choose other positions."
        )
    strongest = np.abs(deltas).argmax(1)[:, None]
    mean, spread = (np.take_along_axis(x, strongest, 1)[:, 0] for x in (deltas, sd))
    with matplotlib.rc_context(SETTINGS):
        figure = Figure((look.width or _WIDTH, _HEIGHT), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        rows = np.arange(len(mean))
        band = {"color": COLOURS["C"], "alpha": 0.3, "linewidth": 0}
        panel.fill_between(rows, mean - spread, mean + spread, label="1 sd of models", **band)
        panel.plot(rows, mean, color=COLOURS["C"], linewidth=1.1, label="mean")
        panel.axhline(0, color="#888888", linewidth=0.6, zorder=0)
        panel.set_xlim(-0.5, len(mean) - 0.5)
        if look.limit is not None:
            panel.set_ylim(-look.limit, look.limit)
        panel.set_ylabel(f"strongest effect\non {output}")
        panel.spines[["top", "right"]].set_visible(False)
        label_positions(panel, len(mean), start, step, axis)
        draw_highlights((panel,), panel, highlights)
        panel.legend(frameon=False, fontsize=8, ncols=2, loc="best")
        panel.set_title(look.title or title, fontsize=9)
    return figure

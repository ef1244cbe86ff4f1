"""A figure of haplotypes: what changes do together against the sum of what each does alone.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from fastism.errors import FastISMError
from fastism.plots.style import COLOURS, SETTINGS, Look

_SIDE = 4.2  # inches
#: So many of those that are furthest from additive have their name beside them.
NAMED = 5
_LETTERS = 30  # of a name


def plot_haplotypes(
    joint: np.ndarray,
    summed: np.ndarray,
    *,
    additive: np.ndarray | None = None,
    names: Sequence[str] = (),
    title: str = "",
    output: str = "output",
    look: Look | None = None,
) -> Figure:
    """The effect of several changes together beside the sum of their single effects.

    Parameters
    ----------
    joint : ndarray, shape (H,)
        Effects of haplotypes, on one number of the outputs.
    summed : ndarray, shape (H,)
        Sums of the effects that their changes have alone.
    additive : ndarray of bool, shape (H,), or None
        Which differ by no more than rounding; by default those within 1e-5 and a thousandth of the
        largest effect.
    names : sequence of str
        Of the haplotypes; the five that are furthest from additive are named.
    title : str
    output : str
        What the effects are on.
    look : Look or None
        Title, width, and limit of both axes.

    Returns
    -------
    matplotlib Figure
        A dot for each haplotype, on the diagonal where effects add up; a triangle where they do
        not.

    Raises
    ------
    FastISMError
        If the shapes do not fit, or a number is not finite.
    """
    look = look or Look()
    joint, summed = (np.asarray(x, np.float64) for x in (joint, summed))
    _check(joint, summed, names)
    alike = _alike(joint, summed) if additive is None else np.asarray(additive, bool)
    if alike.shape != joint.shape:
        raise FastISMError(
            f"Got {joint.size} haplotypes and additive of shape {alike.shape}; expected a value "
            "for each."
        )
    with matplotlib.rc_context(SETTINGS):
        width = look.width or _SIDE
        figure = Figure((width, width), layout="constrained")
        FigureCanvasAgg(figure)
        panel = figure.subplots()
        _diagonal(panel, joint, summed, look.limit)
        for chosen, mark, colour, label in (
            (alike, "o", COLOURS["C"], "additive"),
            (~alike, "^", COLOURS["T"], "not additive"),
        ):
            form = {"marker": mark, "color": colour, "markersize": 4.5, "alpha": 0.8}
            label = f"{label} ({int(chosen.sum()):,})"
            panel.plot(summed[chosen], joint[chosen], linestyle="", label=label, **form)
        _name(panel, joint, summed, ~alike, names)
        panel.set_xlabel(f"sum of the single effects on {output}")
        panel.set_ylabel(f"joint effect on {output}")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(frameon=False, fontsize=8, loc="best")
        panel.set_title(look.title or title, fontsize=9)
    return figure


def _check(joint: np.ndarray, summed: np.ndarray, names: Sequence[str]) -> None:
    if joint.ndim != 1 or joint.shape != summed.shape or not joint.size:
        raise FastISMError(
            f"Got joint effects of shape {joint.shape} and sums of shape {summed.shape}; expected "
            "(haplotypes,) of both, of one number of the outputs, and at least one."
        )
    if len(names) not in (0, joint.size):
        raise FastISMError(f"Got {joint.size} haplotypes and {len(names)} names.")
    if not (np.isfinite(joint).all() and np.isfinite(summed).all()):
        raise FastISMError(
            "Some effects are NaN or infinite; leave out haplotypes that were not scored."
        )


def _alike(joint: np.ndarray, summed: np.ndarray) -> np.ndarray:
    """Which differ by no more than rounding does."""
    return np.abs(joint - summed) <= 1e-5 + 1e-3 * np.maximum(np.abs(joint), np.abs(summed))


def _diagonal(panel: Axes, joint: np.ndarray, summed: np.ndarray, limit: float | None) -> None:
    """Both axes from the same number to the same number, with lines through zero."""
    low, high = min(joint.min(), summed.min(), 0.0), max(joint.max(), summed.max(), 0.0)
    margin = 0.06 * (high - low or 1.0)
    ends = (low - margin, high + margin) if limit is None else (-limit, limit)
    panel.set_xlim(*ends)
    panel.set_ylim(*ends)
    panel.set_box_aspect(1)
    panel.axhline(0, color="#cccccc", linewidth=0.6, zorder=0)
    panel.axvline(0, color="#cccccc", linewidth=0.6, zorder=0)
    panel.plot(ends, ends, color="#888888", linewidth=0.8, zorder=0)


def _name(
    panel: Axes, joint: np.ndarray, summed: np.ndarray, apart: np.ndarray, names: Sequence[str]
) -> None:
    """Names of those that are furthest from additive, on the side where there is room."""
    if not names:
        return
    off = np.where(apart, np.abs(joint - summed), 0.0)
    middle = np.mean(panel.get_xlim())
    for number in np.argsort(-off, kind="stable")[:NAMED]:
        if not apart[number]:
            return
        right = summed[number] > middle
        panel.annotate(
            names[number] if len(names[number]) <= _LETTERS else f"{names[number][:_LETTERS]}…",
            (summed[number], joint[number]),
            xytext=(-5 if right else 5, 0),
            textcoords="offset points",
            ha="right" if right else "left",
            va="center",
            fontsize=7,
        )

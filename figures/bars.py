"""Groups of horizontal bars on a log scale, told apart by hatches as well as colours.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter

from figures import style

TOP, BAR, GAP, BOTTOM = 0.8, 0.19, 0.16, 1.05  # inches
WIDTH = 9.0
HATCHES = ("", "////", "....", "xxxx", "\\\\\\\\", "++++", "oo")
MISSING = "not run"


@dataclass(frozen=True)
class Series:
    """One bar of every group.

    Attributes
    ----------
    label : str
    values : sequence of float or None
        One per group; None is said to be not run.
    paper : sequence of float or None
        What the paper has for it, drawn as a mark.
    """

    label: str
    values: Sequence[float | None]
    paper: Sequence[float | None] = ()


def draw_bars(
    title: str, axis: str, groups: Sequence[str], series: Sequence[Series], caption: str
) -> Figure:
    """Draw one group of bars under another.

    Parameters
    ----------
    title : str
    axis : str
        What the horizontal axis shows, with its unit.
    groups : sequence of str
    series : sequence of Series
    caption : str

    Returns
    -------
    Figure
        The caller writes and closes it.
    """
    rows = len(groups) * (len(series) * BAR + GAP)
    height = TOP + rows + BOTTOM
    figure, panel = plt.subplots(
        figsize=(WIDTH, height),
        gridspec_kw={
            "left": 0.21,
            "right": 0.97,
            "top": 1 - TOP / height,
            "bottom": BOTTOM / height,
        },
    )
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    panel.grid(axis="x")
    seen = [v for one in series for v in (*one.values, *one.paper) if v]
    low, high = (min(seen) / 3, max(seen) * 3) if seen else (0.1, 10.0)
    panel.set_xlim(low, high)
    step = len(series) * BAR + GAP
    for index, one in enumerate(series):
        for group, value in enumerate(one.values):
            _draw(panel, group * step + index * BAR, index, value, low)
            mark = one.paper[group] if one.paper else None
            if mark:
                place = group * step + index * BAR
                panel.plot(mark, place, "D", color="black", markerfacecolor="white", markersize=4)
    middles = [g * step + (len(series) - 1) * BAR / 2 for g in range(len(groups))]
    panel.set_yticks(middles, groups)
    panel.set_ylim(rows - GAP, -BAR)
    panel.set_xlabel(axis)
    style.add_title(figure, title, 0.1)
    _legend(figure, series, height)
    style.add_caption(figure, caption, BOTTOM - 0.5)
    return figure


def face(index: int) -> dict[str, object]:
    """Colour and hatch of the bars of a series."""
    colors = (style.BLUE, *style.OTHERS)
    return {
        "facecolor": colors[index % len(colors)],
        "hatch": HATCHES[index % len(HATCHES)],
        "edgecolor": "white",
        "linewidth": 0.0,
    }


def _draw(panel: Axes, place: float, index: int, value: float | None, low: float) -> None:
    if value is None:
        panel.text(low * 1.05, place, MISSING, va="center", fontsize=6.5, color="#555555")
        return
    panel.barh(place, value - low, BAR * 0.86, left=low, **face(index))
    text = f"{value:.3g}" if value < 1000 else f"{value:.0f}"
    panel.text(value * 1.06, place, text, va="center", fontsize=6.5)


def _legend(figure: Figure, series: Sequence[Series], height: float) -> None:
    handles: list[Patch | Line2D] = [
        Patch(label=one.label, **face(index)) for index, one in enumerate(series)
    ]
    if any(value for one in series for value in one.paper):
        mark = {"color": "black", "markerfacecolor": "white", "markersize": 4}
        handles.append(
            Line2D([], [], linestyle="none", marker="D", label="the paper (P100)", **mark)
        )
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(0, 1 - 0.26 / height),
        ncols=4,
        fontsize=8,
        handlelength=2.4,
    )

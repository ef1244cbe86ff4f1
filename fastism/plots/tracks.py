"""What is known of a sequence beside its scores: highlighted parts, and labelled bars.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from matplotlib.axes import Axes
from matplotlib.patches import Polygon, Rectangle

FILL, EDGE, _BAR = "#F0E442", "#8a7f00", "#56B4E9"
LANE = 0.19  # inches
_LETTER = 0.068  # inches of a letter of a label, about
#: Further lanes would leave no room for the sequence.
_MOST_LANES = 12


@dataclass(frozen=True)
class Bar:
    """Something that lies on a part of a sequence, such as a match of a motif.

    Attributes
    ----------
    first, last : int
        Rows of the figure, half-open.
    label : str
    strand : {"+", "-", "."}
        ``+`` points to the right.
    """

    first: int
    last: int
    label: str = ""
    strand: str = "."


def within(bars: Iterable[Bar], first: int, last: int) -> list[Bar]:
    """What lies on positions [first, last), counted from there and cut to them."""
    return [
        replace(bar, first=max(bar.first, first) - first, last=min(bar.last, last) - first)
        for bar in bars
        if bar.first < last and bar.last > first
    ]


def lanes(bars: Sequence[Bar], cell: float) -> list[list[Bar]]:
    """Bars in as few lanes as they fit into with their labels.

    Parameters
    ----------
    bars : sequence of Bar
    cell : float
        Inches of a position.

    Returns
    -------
    list of list of Bar
        At most twelve lanes; what fits into none is in the last one.
    """
    made: list[list[Bar]] = []
    ends: list[float] = []
    for bar in sorted(bars, key=lambda b: (b.first, b.last, b.label, b.strand)):
        free = next((i for i, end in enumerate(ends) if end <= bar.first), None)
        if free is None and len(made) < _MOST_LANES:
            made.append([])
            ends.append(0.0)
        lane = len(made) - 1 if free is None else free
        made[lane].append(bar)
        ends[lane] = bar.last + (len(bar.label) * _LETTER + 0.12) / cell
    return made


def draw_bars(ax: Axes, made: Sequence[Sequence[Bar]], positions: int, cell: float) -> None:
    """Bars with their labels on the right, arrows where they have a strand."""
    for lane, bars in enumerate(made):
        for bar in bars:
            left, right = bar.first - 0.5, bar.last - 0.5
            tip = min(0.07 / cell, right - left)
            points = [(left, lane + 0.2), (right, lane + 0.2), (right, lane + 0.8)]
            points.append((left, lane + 0.8))
            if bar.strand == "+":
                points[1:3] = [(right - tip, lane + 0.2), (right, lane + 0.5)]
                points.insert(3, (right - tip, lane + 0.8))
            elif bar.strand == "-":
                points[3:] = [(left + tip, lane + 0.8), (left, lane + 0.5)]
                points[0] = (left + tip, lane + 0.2)
            ax.add_patch(Polygon(points, facecolor=_BAR, edgecolor="black", linewidth=0.4))
            ax.text(
                right + 0.04 / cell, lane + 0.5, bar.label, fontsize=7, va="center", clip_on=False
            )
    ax.set_xlim(-0.5, positions - 0.5)
    ax.set_ylim(max(len(made), 1), 0)
    ax.set_axis_off()


def draw_highlights(above: Sequence[Axes], heat: Axes, spans: Iterable[tuple[int, int]]) -> None:
    """Parts of a sequence, half-open: a ground behind letters and bars, a frame on the heatmap."""
    low, high = sorted(heat.get_ylim())
    for first, last in spans:
        for ax in above:
            ax.axvspan(first - 0.5, last - 0.5, color=FILL, alpha=0.45, linewidth=0, zorder=-10)
        frame = Rectangle((first - 0.5, low), last - first, high - low, fill=False, clip_on=False)
        frame.set(edgecolor=EDGE, linewidth=1.2, zorder=3)
        heat.add_patch(frame)

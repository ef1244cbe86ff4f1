"""A figure of pairs: the map of dependencies between positions, with logos along both axes.

Requirements: matplotlib, logomaker.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from fastism.errors import FastISMError
from fastism.plots.axis import label_positions
from fastism.plots.logo import draw_logo
from fastism.plots.style import SETTINGS, Look
from fastism.plots.tracks import EDGE, FILL, draw_highlights

_DEPENDENCY = LinearSegmentedColormap.from_list(
    "dependency", ["#ffffff", "#fdc38d", "#d9641e", "#6b2303"]
)
#: Share of the values that the scale covers: few neighbours that depend on each other a lot must
#: not leave everything else white.
COVERED = 0.995
#: What is said below a map.
KEY = (
    "Colour: the largest effect, without its sign, that two substitutions at these positions have "
    "beyond the sum of their single ones.",
    "Letters: as high as the mean effect of replacing them; upside down or to the right where that "
    "raises the output.",
)
_LOGO, _LEFT, _RIGHT, _TOP, _BOTTOM, _GAP = 0.8, 0.75, 1.1, 0.36, 0.5, 0.06  # inches
_LINE = 0.15  # inches of a line of the key
_SMALLEST, _LARGEST = 3.5, 9.0  # inches of the map


def plot_dependency(
    dependency: np.ndarray,
    deltas: np.ndarray,
    one_hot: np.ndarray,
    *,
    start: int = 0,
    step: int = 1,
    title: str = "",
    alphabet: str = "ACGT",
    output: str = "output",
    axis: str = "position in the sequence (bp, 0-based)",
    highlights: Sequence[tuple[int, int]] = (),
    look: Look | None = None,
) -> Figure:
    """A map of how positions depend on each other.

    Parameters
    ----------
    dependency : ndarray, shape (P, P)
        Largest absolute epistasis of every two positions.
    deltas : ndarray, shape (P, C)
        Single mutants minus reference, for the logos.
    one_hot : ndarray, shape (P, C)
        The sequence; zero rows have no letter.
    start, step : int
        Position of the first row, and 1 or -1: where positions go from there.
    title : str
    alphabet : str
        The C characters.
    output : str
        What the effects are on.
    axis : str
        What positions refer to.
    highlights : sequence of (int, int)
        Rows that stand out, half-open.
    look : Look or None
        Title, width, limit (where colours are darkest) and colours of letters.

    Returns
    -------
    matplotlib Figure
        A square map whose scale covers 99.5 percent of the values unless a limit is given, with a
        logo above it and one on its left: letters as high as the mean effect of replacing them. A
        key below says what colours and letters mean.

    Raises
    ------
    FastISMError
        If the shapes do not fit.
    """
    look = look or Look()
    dependency, deltas = (np.asarray(x, np.float64) for x in (dependency, deltas))
    one_hot, count = np.asarray(one_hot), len(dependency)
    single = (count, len(alphabet))
    if dependency.shape != (count, count) or {deltas.shape, one_hot.shape} != {single} or not count:
        raise FastISMError(
            f"Got a map of shape {dependency.shape}, deltas of shape {deltas.shape} and a sequence "
            f"of shape {one_hot.shape}; expected (P, P) and twice (P, {len(alphabet)})."
        )
    with matplotlib.rc_context(SETTINGS):
        figure, square, above, beside, bar = _layout(count, look.title or title, look.width)
        draw_logo(above, deltas, one_hot, alphabet)
        above.set_ylabel("importance")
        _draw_upright(beside, -deltas.sum(1), one_hot, alphabet, look)
        label_positions(square, count, start, step, axis)
        square.set_yticks(square.get_xticks(), [])
        mesh = _draw_map(square, dependency, look.limit)
        beyond = "max" if look.limit is None or dependency.max() > look.limit else "neither"
        scale = figure.colorbar(mesh, cax=bar, extend=beyond)
        scale.outline.set_linewidth(0.6)
        label = f"largest |epistasis| of {output}"
        scale.set_label("\n".join(textwrap.wrap(label, 30)), fontsize=8)
        draw_highlights((above,), square, highlights)
        _draw_sideways(square, beside, highlights)
        _draw_key(figure)
    return figure


def _draw_sideways(square: Axes, beside: Axes, spans: Sequence[tuple[int, int]]) -> None:
    """Highlights of the other axis of the map."""
    for first, last in spans:
        beside.axhspan(first - 0.5, last - 0.5, color=FILL, alpha=0.45, linewidth=0, zorder=-10)
        low, high = sorted(square.get_xlim())
        frame = Rectangle((low, first - 0.5), high - low, last - first, fill=False, clip_on=False)
        frame.set(edgecolor=EDGE, linewidth=1.2, zorder=3)
        square.add_patch(frame)


def _draw_key(figure: Figure) -> None:
    """What colours and letters mean, at the bottom of the figure."""
    width, height = figure.get_size_inches()
    lines = [line for part in KEY for line in textwrap.wrap(part, int(width * 15))]
    text = "\n".join(lines)
    figure.text(0.12 / width, 0.06 / height, text, fontsize=7.5, va="bottom", linespacing=1.3)


def _layout(count: int, title: str, wanted: float | None) -> tuple[Figure, Axes, Axes, Axes, Axes]:
    """A figure with axes for the map, both logos and the scale, as wide as is wanted."""
    around = _LEFT + _LOGO + _GAP + _RIGHT
    side = float(np.clip(0.06 * count, _SMALLEST, _LARGEST))
    side = side if wanted is None else max(wanted - around, 0.3)
    width = around + side
    lines = sum(len(textwrap.wrap(part, int(width * 15))) for part in KEY)
    below = _BOTTOM + 0.1 + _LINE * lines
    height = below + side + _GAP + _LOGO + _TOP
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)

    def add(x: float, y: float, w: float, h: float) -> Axes:
        return figure.add_axes((x / width, y / height, w / width, h / height))

    left = _LEFT + _LOGO + _GAP
    square = add(left, below, side, side)
    above = add(left, below + side + _GAP, side, _LOGO)
    beside = add(_LEFT, below, _LOGO, side)
    bar = add(left + side + 0.12, below, 0.12, min(side, 2.5))
    shown = textwrap.shorten(title, int(width * 11), placeholder="…")
    above.set_title(shown, loc="left", fontsize=10)
    square.set_xlim(-0.5, count - 0.5)
    square.set_ylim(count - 0.5, -0.5)
    return figure, square, above, beside, bar


def _draw_map(ax: Axes, dependency: np.ndarray, limit: float | None) -> object:
    apart = dependency[~np.eye(len(dependency), dtype=bool)]
    largest = float(np.quantile(apart, COVERED)) if apart.size else 0.0
    largest = limit or largest or float(dependency.max()) or 1.0
    edges = np.arange(len(dependency) + 1) - 0.5
    return ax.pcolormesh(
        edges,
        edges,
        dependency,
        cmap=_DEPENDENCY,
        norm=Normalize(0, largest),
        linewidth=0,
        rasterized=dependency.size > 20_000,
    )


def _draw_upright(
    ax: Axes, total: np.ndarray, one_hot: np.ndarray, alphabet: str, look: Look
) -> None:
    """The same logo from top to bottom, letters turned to the left."""
    importance = total / (len(alphabet) - one_hot.any(1))
    font = FontProperties(family="DejaVu Sans", weight="bold")
    shapes = {letter: TextPath((0, 0), letter, size=1, prop=font) for letter in alphabet}
    for position, row in enumerate(one_hot):
        if not row.any():
            continue
        letter = alphabet[int(row.argmax())]
        box = shapes[letter].get_extents()
        turned = Affine2D().translate(-box.x0, -box.y0)
        turned.scale(0.95 / box.width, importance[position] / box.height)
        # Along the letter to up the page, its height to the value.
        up = np.array([[0, 1, 0], [-1, 0, position + 0.475], [0, 0, 1.0]])
        turned += Affine2D(up)
        colour = look.letter(letter)
        ax.add_patch(PathPatch(turned.transform_path(shapes[letter]), color=colour, linewidth=0))
    low, high = min(importance.min(), 0.0), max(importance.max(), 0.0)
    margin = 0.06 * (high - low or 1.0)
    ax.set_xlim(high + margin, low - margin)
    ax.set_ylim(len(one_hot) - 0.5, -0.5)
    ax.axvline(0, color="black", linewidth=0.5)
    # Its scale is that of the logo above.
    ax.set_axis_off()

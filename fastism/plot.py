"""Figures of scores: the effects of all changes of a sequence, and importance for many outputs.

Figures are made without pyplot, so that nothing of the caller's own figures or settings changes.

Requirements: matplotlib, logomaker.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import logomaker
import matplotlib
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import LinearSegmentedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastism.errors import FastISMError
from fastism.files.whole import whole_file

FORMATS = (".svg", ".png")
#: Okabe and Ito's colours, which readers who confuse red and green can tell apart.
COLOURS = {"A": "#009E73", "C": "#0072B2", "G": "#E69F00", "T": "#D55E00", "U": "#D55E00"}
OTHER_COLOUR = "#333333"
SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "svg.fonttype": "path",  # looks the same where the font is missing
    "svg.hashsalt": "fastism",  # the same figure gives the same file
}
#: Blue lowers, white is zero, orange raises; the ends are equally dark.
_EFFECTS = LinearSegmentedColormap.from_list(
    "effects", ["#053061", "#2f79b5", "#a7cfe4", "#ffffff", "#fdc38d", "#d9641e", "#6b2303"]
)
#: Increases above this part of the scale carry a plus: in greyscale their colour says nothing.
_MARKED, _DARK = 0.25, 0.6
_LEFT, _RIGHT, _TOP, _BOTTOM = 0.85, 1.15, 0.36, 0.5  # inches around the axes
_WIDEST, _NARROWEST = 18.0, 5.5  # inches of the axes


def plot_sequence(
    deltas: np.ndarray,
    one_hot: np.ndarray,
    *,
    start: int = 0,
    step: int = 1,
    title: str = "",
    alphabet: str = "ACGT",
    output: str = "output",
    axis: str = "position in the sequence (bp)",
) -> Figure:
    """A heatmap of all changes under a logo of the importance.

    Parameters
    ----------
    deltas : ndarray, shape (P, C)
        Mutant minus reference: positions, characters.
    one_hot : ndarray, shape (P, C)
        The sequence; zero rows have no letter.
    start, step : int
        Position of the first row, and 1 or -1: where positions go from there.
    title : str
    alphabet : str
        The C characters.
    output : str
        What the effects are on; units come from here.
    axis : str
        What positions refer to.

    Returns
    -------
    matplotlib Figure
        Above, letters as high as the mean effect of replacing them, upside down where the effect is
        an increase. Below, a row per character; a dot marks the one that stands there, a plus what
        raises the output by more than a quarter of the scale.

    Raises
    ------
    FastISMError
        If the shapes do not fit.
    """
    deltas, one_hot = np.asarray(deltas, np.float64), np.asarray(one_hot)
    if deltas.shape != one_hot.shape or deltas.ndim != 2 or deltas.shape[1] != len(alphabet):
        raise FastISMError(
            f"Got deltas of shape {deltas.shape} and a sequence of shape {one_hot.shape}; expected "
            f"(positions, {len(alphabet)}) of both, for the alphabet {alphabet!r}."
        )
    if not len(deltas):
        raise FastISMError("There are no positions to plot.")
    # Wide figures are looked at from further away.
    enlarged = float(np.clip(len(deltas) / 150, 1.0, 1.5))
    logo_height, rows = 1.5 * enlarged, 0.22 * enlarged * len(alphabet)
    with matplotlib.rc_context(SETTINGS):
        figure, (logo, heat), bar = _panels(len(deltas), (logo_height, rows), title)
        draw_logo(logo, deltas, one_hot, alphabet)
        logo.set_ylabel("importance")
        mesh = _draw_heat(heat, deltas.T)
        position, character = np.nonzero(one_hot)
        heat.plot(position, character, "o", color="black", markersize=_mark_size(heat, 0.35))
        heat.set_yticks(range(len(alphabet)), list(alphabet))
        heat.set_ylabel("changed to")
        label_positions(heat, len(deltas), start, step, axis)
        _draw_bar(figure, mesh, bar, f"effect on {output}")
    return figure


def plot_outputs(
    importance: np.ndarray,
    labels: Sequence[str],
    *,
    start: int = 0,
    step: int = 1,
    title: str = "",
    axis: str = "position in the sequence (bp)",
) -> Figure:
    """A heatmap of the importance of every position for every output.

    Parameters
    ----------
    importance : ndarray, shape (P, outputs)
    labels : sequence of str
        Of the outputs.
    start, step, title, axis
        As for `plot_sequence`.

    Returns
    -------
    matplotlib Figure
        A row per output; all on one scale.

    Raises
    ------
    FastISMError
        If the shapes do not fit.
    """
    importance = np.asarray(importance, np.float64)
    if importance.ndim != 2 or importance.shape[1] != len(labels) or not importance.size:
        raise FastISMError(
            f"Got importance of shape {importance.shape} and {len(labels)} labels; expected "
            "(positions, outputs) and a label per output."
        )
    height = float(np.clip(0.19 * len(labels), 0.8, 9.0))
    shown = [textwrap.shorten(label, 24, placeholder="…") for label in labels]
    every = -(-len(labels) // int(height / 0.15))
    with matplotlib.rc_context(SETTINGS):
        left = 0.35 + 0.075 * max(map(len, shown))
        figure, (heat,), bar = _panels(len(importance), (height,), title, left)
        mesh = _draw_heat(heat, importance.T)
        rows = range(0, len(labels), every)
        heat.set_yticks(rows, [shown[i] for i in rows], fontsize=8)
        label_positions(heat, len(importance), start, step, axis)
        _draw_bar(figure, mesh, bar, "importance")
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure as SVG or PNG, as the extension says; the same figure, the same bytes.

    Raises
    ------
    FastISMError
        For another extension, or if it cannot be written.
    """
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in FORMATS:
        raise FastISMError(f"{path} must end in one of {', '.join(FORMATS)}.")
    metadata = {"Date": None} if suffix == ".svg" else {"Software": None}
    with matplotlib.rc_context(SETTINGS), whole_file(path) as beside:
        figure.savefig(beside, format=suffix[1:], dpi=200, metadata=metadata)


def _panels(
    positions: int, heights: Sequence[float], title: str, left: float = _LEFT
) -> tuple[Figure, list[Axes], Axes]:
    """A figure with axes of given heights (inches) above each other and one for a colour bar."""
    width = float(np.clip(0.045 * positions, _NARROWEST, _WIDEST))
    gap = 0.08
    inner = sum(heights) + gap * (len(heights) - 1)
    total_width, total_height = left + width + _RIGHT, _BOTTOM + inner + _TOP
    figure = Figure(figsize=(total_width, total_height), facecolor="white")
    FigureCanvasAgg(figure)

    def add(x: float, y: float, w: float, h: float, **extra: Any) -> Axes:
        box = (x / total_width, y / total_height, w / total_width, h / total_height)
        return figure.add_axes(box, **extra)

    axes: list[Axes] = []
    top = _BOTTOM + inner
    for height in heights:
        axes.append(add(left, top - height, width, height))
        top -= height + gap
    bar = add(left + width + 0.12, _BOTTOM, 0.12, max(min(heights[-1], 2.5), 0.8))
    for upper in axes[:-1]:
        upper.tick_params(labelbottom=False, bottom=False)
    for ax in axes:
        ax.set_xlim(-0.5, positions - 0.5)
    characters = int(total_width * 11)
    axes[0].set_title(textwrap.shorten(title, characters, placeholder="…"), loc="left", fontsize=10)
    return figure, axes, bar


def draw_logo(ax: Axes, deltas: np.ndarray, one_hot: np.ndarray, alphabet: str) -> None:
    """Letters of the sequence, as high as minus the mean effect of the alternatives."""
    alternatives = len(alphabet) - one_hot.any(1)
    importance = -deltas.sum(1) / alternatives
    heights = pd.DataFrame(one_hot * importance[:, None], columns=list(alphabet))
    colours = {letter: COLOURS.get(letter, OTHER_COLOUR) for letter in alphabet}
    logomaker.Logo(
        heights,
        ax=ax,
        color_scheme=colours,
        font_name="DejaVu Sans",
        font_weight="bold",
        baseline_width=0.5,
        show_spines=False,
        vpad=0.0,
        width=0.95,
    )
    ax.spines["left"].set_visible(True)
    low, high = min(importance.min(), 0.0), max(importance.max(), 0.0)
    margin = 0.06 * (high - low or 1.0)
    ax.set_ylim(low - margin, high + margin)
    ax.set_xlim(-0.5, len(deltas) - 0.5)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(bottom=False, labelbottom=False)


def _draw_heat(ax: Axes, values: np.ndarray) -> Any:
    """Cells of values (rows, positions), the first row on top, centred at zero."""
    largest = float(np.abs(values).max()) or 1.0
    rows, positions = values.shape
    mesh = ax.pcolormesh(
        np.arange(positions + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        values,
        cmap=_EFFECTS,
        norm=Normalize(-largest, largest),
        linewidth=0,
        rasterized=values.size > 20_000,
    )
    ax.set_ylim(rows - 0.5, -0.5)
    size = _mark_size(ax, 0.7)
    for low, high, colour in ((_MARKED, _DARK, "black"), (_DARK, 1.0, "white")):
        row, position = np.nonzero((values > low * largest) & (values <= high * largest))
        ax.plot(position, row, "+", color=colour, markersize=size, markeredgewidth=size / 5)
    return mesh


def _mark_size(ax: Axes, part: float) -> float:
    """Size in points of a mark that takes a part of a cell."""
    figure = ax.get_figure()
    width, height = figure.get_size_inches() * ax.get_position().size * 72
    cell = min(width / np.ptp(ax.get_xlim()), height / np.ptp(ax.get_ylim()))
    return float(np.clip(part * cell, 0.5, 5.0))


def label_positions(ax: Axes, count: int, start: int, step: int, axis: str) -> None:
    """Ticks at round positions."""
    width = ax.get_figure().get_size_inches()[0] * ax.get_position().width
    longest = len(f"{start + step * count:,}")
    most = max(width / (0.09 * longest + 0.35), 1)
    spacing = next(s for s in _round_numbers() if count / s <= most)
    positions = start + step * np.arange(count)
    ticks = np.flatnonzero(positions % spacing == 0)
    ax.set_xticks(ticks, [f"{positions[i]:,}" for i in ticks])
    ax.set_xlabel(axis)


def _round_numbers() -> Any:
    decade = 1
    while True:
        yield from (decade, 2 * decade, 5 * decade)
        decade *= 10


def _draw_bar(figure: Figure, mesh: Any, bar: Axes, label: str) -> None:
    """The scale of the colours, with the plus that marks increases."""
    scale = figure.colorbar(mesh, cax=bar)
    scale.outline.set_linewidth(0.6)
    scale.locator = MaxNLocator(5, symmetric=True)
    scale.update_ticks()
    height = figure.get_size_inches()[1] * bar.get_position().height
    scale.set_label("\n".join(textwrap.wrap(label, max(int(15 * height), 12))), fontsize=8)
    largest = mesh.norm.vmax
    marks = {"black": (_MARKED + _DARK) / 2, "white": (_DARK + 1) / 2}
    for colour, value in marks.items():
        bar.plot([0.5], [value * largest], "+", color=colour, markersize=4, markeredgewidth=0.8)

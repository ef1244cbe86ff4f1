"""Heatmaps around zero, their marks, the scale of their colours and the key of the marks.

Requirements: matplotlib.
"""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from fastism.plots.axis import mark_size
from fastism.plots.layout import key_lines

#: Increases above this part of the scale carry a plus: in greyscale their colour says nothing.
_MARKED, _DARK = 0.25, 0.6
#: Heatmaps with more values are a picture within an SVG or PDF.
_RASTERIZED = 20_000
DOT = "the letter of the sequence"
PLUS = "raises the output by more than a quarter of the scale"


def draw_heat(ax: Axes, values: np.ndarray, limit: float, colours: Colormap) -> Any:
    """Cells of values, the first row on top, and a plus where they are high.

    Parameters
    ----------
    ax : Axes
    values : ndarray, shape (rows, positions)
    limit : float
        Where colours are darkest; zero is in their middle.
    colours : Colormap

    Returns
    -------
    QuadMesh
        For the scale.
    """
    rows, positions = values.shape
    mesh = ax.pcolormesh(
        np.arange(positions + 1) - 0.5,
        np.arange(rows + 1) - 0.5,
        values,
        cmap=colours,
        norm=Normalize(-limit, limit),
        linewidth=0,
        rasterized=values.size > _RASTERIZED,
    )
    ax.set_xlim(-0.5, positions - 0.5)
    ax.set_ylim(rows - 0.5, -0.5)
    size = mark_size(ax, 0.7)
    for low, high, colour in ((_MARKED, _DARK, "black"), (_DARK, np.inf, "white")):
        row, position = np.nonzero((values > low * limit) & (values <= high * limit))
        ax.plot(position, row, "+", color=colour, markersize=size, markeredgewidth=size / 5)
    return mesh


def draw_dots(ax: Axes, one_hot: np.ndarray) -> None:
    """A dot for every letter of the sequence, shape (positions, rows)."""
    position, character = np.nonzero(one_hot)
    ax.plot(position, character, "o", color="black", markersize=mark_size(ax, 0.35))


def draw_scale(figure: Figure, mesh: Any, bar: Axes, label: str) -> None:
    """The scale of the colours."""
    values, limit = np.asarray(mesh.get_array()), mesh.norm.vmax
    beyond = (bool((values < -limit).any()), bool((values > limit).any()))
    extend = {(False, False): "neither", (True, False): "min", (False, True): "max"}
    scale = figure.colorbar(mesh, cax=bar, extend=extend.get(beyond, "both"))
    scale.outline.set_linewidth(0.6)
    scale.locator = MaxNLocator(5, symmetric=True)
    scale.update_ticks()
    height = figure.get_size_inches()[1] * bar.get_position().height
    scale.set_label("\n".join(textwrap.wrap(label, max(int(15 * height), 12))), fontsize=8)


def draw_key(figure: Figure, left: float, entries: dict[str, str]) -> None:
    """What marks mean, at the bottom of the figure.

    Parameters
    ----------
    figure : Figure
    left : float
        Inches from its left edge.
    entries : dict of str to str
        From marks of matplotlib to what they mean.
    """
    width, height = figure.get_size_inches()
    handles = [
        Line2D([], [], color="black", marker=mark, linestyle="", markersize=size, label=label)
        for (mark, label), size in zip(entries.items(), (3.0, 5.0)[-len(entries) :], strict=True)
    ]
    figure.legend(
        handles=handles,
        loc="lower left",
        bbox_to_anchor=((left - 0.1) / width, 0.03 / height),
        ncols=len(handles) // key_lines(width, len(handles)),
        frameon=False,
        fontsize=8,
        borderpad=0.2,
        handletextpad=0.1,
        columnspacing=1.5,
    )

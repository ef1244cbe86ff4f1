"""How figures look and how they are written.

Requirements: matplotlib.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

from matplotlib import pyplot as plt
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

# Okabe & Ito's colours; every mark differs in shape too, so that none needs its colour.
BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#666666"
OTHERS = (VERMILION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", GREY)

SETTINGS = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "svg.fonttype": "path",  # looks the same without the font
    "svg.hashsalt": "fastism",  # the same figure gives the same file
    "savefig.dpi": 200,
    "figure.facecolor": "white",
}


@contextmanager
def styled() -> Iterator[None]:
    """Use the settings of all figures within a ``with`` block."""
    with plt.rc_context(SETTINGS):
        yield


def label_decades(axis: Axis) -> None:
    """Label a logarithmic axis at 1, 2 and 5 times each power of ten."""
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    axis.set_minor_formatter(NullFormatter())


#: The id of the title in an SVG; a page that has the title as a heading hides it there.
TITLE_ID = "title"


def add_title(figure: Figure, text: str, top: float) -> None:
    """Write the title of a whole figure, `top` inches below its upper edge."""
    height = figure.get_size_inches()[1]
    figure.text(0.01, 1 - top / height, text, va="top", fontweight="bold", gid=TITLE_ID)


def add_caption(figure: Figure, text: str, bottom: float, characters: int = 165) -> None:
    """Write a caption under the axes.

    Parameters
    ----------
    figure : Figure
    text : str
        Wrapped to lines of at most `characters`.
    bottom : float
        Inches that are free at the bottom of the figure; the caption fills them from the top.
    """
    height = figure.get_size_inches()[1]
    lines = textwrap.fill(text, characters)
    figure.text(0.01, bottom / height, lines, va="top", ha="left", fontsize=7, color="#333333")


def write(figure: Figure, paths: Sequence[str | Path]) -> None:
    """Write a figure to files, in the format that each name asks for, and close it."""
    for path in map(Path, paths):
        path.parent.mkdir(parents=True, exist_ok=True)
        dated = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, metadata=dated)
    plt.close(figure)

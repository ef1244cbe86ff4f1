"""Figures that stand within the page, as SVG.

Requirements: matplotlib, logomaker.
"""

from __future__ import annotations

import re

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from fastism.plots.layout import LEFT, RIGHT, Sheet
from fastism.plots.saving import svg_text
from fastism.plots.style import SETTINGS

_ID = re.compile(r'(\bid="|url\(#|href="#)')


def inline(figure: Figure, number: int, label: str) -> str:
    """A figure as an SVG element whose names differ from those of other figures of the page.

    Parameters
    ----------
    figure : Figure
    number : int
        Of the figure in the page.
    label : str
        What it shows, for readers who do not see it; escaped already.
    """
    text = _ID.sub(rf"\g<1>figure{number}-", svg_text(figure))
    text = re.sub(r"\s*<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def along(mean: np.ndarray, start: int, output: str) -> Figure:
    """The mean absolute effect at every position.

    Parameters
    ----------
    mean : ndarray, shape (P,)
    start : int
        Position of the first one.
    output : str
        What the effects are on.
    """
    with matplotlib.rc_context(SETTINGS):
        sheet = Sheet(LEFT + 8.5 + RIGHT / 4, 2.1)
        ax = sheet.axes(LEFT, 0.15, 8.5, 1.4)
        positions = start + np.arange(len(mean))
        ax.fill_between(positions, mean, step="mid", color="#0072B2", alpha=0.8, linewidth=0)
        ax.set_xlim(start - 0.5, start + len(mean) - 0.5)
        ax.set_ylim(0, float(mean.max()) * 1.05 or 1.0)
        ax.set_xlabel("position in the sequence (bp, 0-based)")
        ax.set_ylabel(f"mean |effect|\non {output}"[:60])
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
    return sheet.figure

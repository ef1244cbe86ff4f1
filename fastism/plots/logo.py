"""Letters as high as the mean effect of replacing them.

Requirements: matplotlib, logomaker.
"""

from __future__ import annotations

import logomaker
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from fastism.plots.style import Look


def importance(deltas: np.ndarray, one_hot: np.ndarray) -> np.ndarray:
    """Minus the mean effect of the alternatives, shape (P,), of deltas of shape (P, C)."""
    return -deltas.sum(1) / (one_hot.shape[1] - one_hot.any(1))


def limits(values: np.ndarray) -> tuple[float, float]:
    """Ends of an axis that shows values and zero, with a margin."""
    low, high = min(float(values.min()), 0.0), max(float(values.max()), 0.0)
    margin = 0.06 * (high - low or 1.0)
    return low - margin, high + margin


def draw_logo(
    ax: Axes,
    deltas: np.ndarray,
    one_hot: np.ndarray,
    alphabet: str,
    *,
    between: tuple[float, float] | None = None,
    look: Look | None = None,
) -> None:
    """Letters of a sequence, upside down where replacing them raises the output.

    Parameters
    ----------
    ax : Axes
    deltas, one_hot : ndarray, shape (P, C)
    alphabet : str
    between : (float, float) or None
        Ends of the axis; by default those of this sequence.
    look : Look or None
    """
    values, look = importance(deltas, one_hot), look or Look()
    heights = pd.DataFrame(one_hot * values[:, None], columns=list(alphabet))
    logomaker.Logo(
        heights,
        ax=ax,
        color_scheme={letter: look.letter(letter) for letter in alphabet},
        font_name="DejaVu Sans",
        font_weight="bold",
        baseline_width=0.5,
        show_spines=False,
        vpad=0.0,
        width=0.95,
    )
    ax.spines["left"].set_visible(True)
    ax.set_ylim(*(between or limits(values)))
    ax.set_xlim(-0.5, len(deltas) - 0.5)
    ax.yaxis.set_major_locator(MaxNLocator(5))
    ax.tick_params(bottom=False, labelbottom=False)

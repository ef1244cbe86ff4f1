"""A figure of a design: the objective step by step, and logos of before and after.

Requirements: matplotlib; logomaker for logos.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from fastism.errors import FastISMError
from fastism.plots.axis import label_positions
from fastism.plots.logo import draw_logo, importance, limits
from fastism.plots.sequences import Effects
from fastism.plots.style import COLOURS, SETTINGS, Look
from fastism.plots.tracks import draw_highlights

if TYPE_CHECKING:
    from fastism.design import Substitution

_WIDTH, _STEPS, _LOGO = 7.0, 2.4, 1.3  # inches


def plot_design(
    substitutions: Sequence[Substitution],
    start: float | None = None,
    *,
    logos: Sequence[Effects] = (),
    alphabet: str = "ACGT",
    title: str = "",
    output: str = "the objective",
    look: Look | None = None,
) -> Figure:
    """The objective against the step, with what was changed at each.

    Parameters
    ----------
    substitutions : sequence of Substitution
        Of one sequence, in their order: a part of `Evolution.substitutions`.
    start : float or None
        The objective of the sequence as it was given: an entry of `Evolution.start`.
    logos : sequence of Effects
        The sequence before and after, or at several steps: logos below, on one scale, whose
        highlights are drawn. Positions of the substitutions within them stand out.
    alphabet : str
        The characters.
    title : str
    output : str
        What the objective is.
    look : Look or None
        Title, width, and colours of letters.

    Returns
    -------
    matplotlib Figure
        A dot for each step, with the substitutions made at it such as ``A310G``: positions are
        0-based.

    Raises
    ------
    FastISMError
        If there are no substitutions, or they are of several sequences.
    """
    look = look or Look()
    if len({s.sequence for s in substitutions}) != 1:
        raise FastISMError(
            f"Got {len(substitutions)} substitutions of "
            f"{len({s.sequence for s in substitutions})} sequences; expected those of one, such as "
            "[s for s in found.substitutions if s.sequence == 0]."
        )
    with matplotlib.rc_context(SETTINGS):
        heights = [_STEPS] + [_LOGO] * len(logos)
        figure = Figure((look.width or _WIDTH, sum(heights)), layout="constrained")
        FigureCanvasAgg(figure)
        panels = figure.subplots(len(heights), height_ratios=heights, squeeze=False)[:, 0]
        _draw_steps(panels[0], substitutions, start, alphabet)
        panels[0].set_ylabel(output)
        panels[0].set_title(look.title or title, fontsize=9)
        shown = [e.part(0, len(e.deltas)) for e in logos]
        values = [importance(e.deltas, e.one_hot) for e in shown]
        between = limits(np.concatenate(values)) if values else None
        for panel, effects in zip(panels[1:], shown, strict=True):
            draw_logo(panel, effects.deltas, effects.one_hot, alphabet, between=between, look=look)
            panel.set_ylabel("importance")
            panel.set_title(effects.title, fontsize=8, loc="left")
            panel.tick_params(bottom=True, labelbottom=True)
            label_positions(panel, len(effects.deltas), effects.start, effects.step, "")
            spans = [*effects.highlights, *_changed(effects, substitutions)]
            draw_highlights((panel,), panel, spans)
        if logos:
            panels[-1].set_xlabel(logos[-1].axis)
    return figure


def _draw_steps(
    panel: Axes, substitutions: Sequence[Substitution], start: float | None, alphabet: str
) -> None:
    made: dict[int, list[Substitution]] = {}
    for s in substitutions:
        made.setdefault(s.step, []).append(s)
    reached = {step: each[-1].objective for step, each in made.items()}
    if start is not None:
        reached = {0: float(start), **reached}
    steps, values = list(reached), list(reached.values())
    form = {"color": COLOURS["C"], "linewidth": 1.1, "marker": "o", "markersize": 4}
    panel.plot(steps, values, **form)
    rising = values[-1] >= values[0]
    for step, each in made.items():
        panel.annotate(
            " ".join(_spelled(s, alphabet) for s in each),
            (step, reached[step]),
            xytext=(4, -4 if rising else 4),
            textcoords="offset points",
            rotation=-35 if rising else 35,
            rotation_mode="anchor",
            ha="left",
            va="top" if rising else "bottom",
            fontsize=7,
        )
    margin = 0.12 * (max(values) - min(values) or 1.0)
    panel.set_ylim(min(values) - 2 * margin, max(values) + 2 * margin)
    panel.set_xlim(min(steps) - 0.3, max(steps) + 0.9)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.set_xlabel("step")
    panel.spines[["top", "right"]].set_visible(False)


def _spelled(s: Substitution, alphabet: str) -> str:
    """Such as A310G; a row that was not one-hot is N."""
    return f"{alphabet[s.before] if s.before >= 0 else 'N'}{s.position}{alphabet[s.after]}"


def _changed(effects: Effects, substitutions: Sequence[Substitution]) -> list[tuple[int, int]]:
    """Rows of a logo at which something was substituted."""
    rows = {(s.position - effects.start) * effects.step for s in substitutions}
    return [(row, row + 1) for row in sorted(rows) if 0 <= row < len(effects.deltas)]

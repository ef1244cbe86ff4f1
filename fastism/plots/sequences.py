"""The effects of all changes of one or more sequences, under logos of the importance.

Requirements: matplotlib, logomaker.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from fastism.errors import FastISMError
from fastism.plots import heat, layout, logo, tracks
from fastism.plots.axis import label_positions
from fastism.plots.layout import GAP, LABEL, LEFT, RIGHT, TICKS, TITLE, Sheet
from fastism.plots.style import SETTINGS, Look
from fastism.plots.tracks import Bar

AXIS = "position in the sequence (bp, 0-based)"
_KEY = {"o": heat.DOT, "+": heat.PLUS}


@dataclass(frozen=True)
class Effects:
    """One sequence of a figure.

    Attributes
    ----------
    deltas : ndarray, shape (P, C)
        Mutant minus reference: positions, characters.
    one_hot : ndarray, shape (P, C)
        The sequence; zero rows have no letter.
    title : str
    start, step : int
        Position of the first row, and 1 or -1: where positions go from there.
    axis : str
        What positions refer to.
    highlights : sequence of (int, int)
        Rows that stand out, half-open.
    bars : sequence of Bar
        What lies on the sequence, in rows.
    """

    deltas: np.ndarray
    one_hot: np.ndarray
    title: str = ""
    start: int = 0
    step: int = 1
    axis: str = AXIS
    highlights: Sequence[tuple[int, int]] = ()
    bars: Sequence[Bar] = ()

    def __len__(self) -> int:
        return len(self.deltas)

    def part(self, first: int, last: int) -> Effects:
        """Rows [first, last)."""
        spans = tracks.within((Bar(*span) for span in self.highlights), first, last)
        return Effects(
            self.deltas[first:last],
            self.one_hot[first:last],
            self.title,
            self.start + self.step * first,
            self.step,
            self.axis,
            [(bar.first, bar.last) for bar in spans],
            tracks.within(self.bars, first, last),
        )


def plot_sequence(
    deltas: np.ndarray,
    one_hot: np.ndarray,
    *,
    start: int = 0,
    step: int = 1,
    title: str = "",
    alphabet: str = "ACGT",
    output: str = "output",
    axis: str = AXIS,
    look: Look | None = None,
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
    look : Look or None
        Width, rows, limits and colours.

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
    shown = Effects(np.asarray(deltas), np.asarray(one_hot), title, start, step, axis)
    return plot_sequences([shown], alphabet=alphabet, output=output, look=look)


def plot_sequences(
    sequences: Sequence[Effects],
    *,
    alphabet: str = "ACGT",
    output: str = "output",
    look: Look | None = None,
) -> Figure:
    """Several sequences under each other, each as `plot_sequence` draws it.

    Parameters
    ----------
    sequences : sequence of Effects
    alphabet : str
        The C characters.
    output : str
        What the effects are on.
    look : Look or None
        Width, rows, limits and colours; by default all sequences share their limits.

    Returns
    -------
    matplotlib Figure
        Positions have one width everywhere. Long sequences take several rows.

    Raises
    ------
    FastISMError
        If there is no sequence, or shapes do not fit.
    """
    if not sequences:
        raise FastISMError("There are no sequences to plot.")
    made = [_checked(effects, alphabet) for effects in sequences]
    with matplotlib.rc_context(SETTINGS):
        return _Drawing(made, alphabet, output, look or Look()).figure()


def _checked(effects: Effects, alphabet: str) -> Effects:
    deltas = np.asarray(effects.deltas, np.float64)
    one_hot = np.asarray(effects.one_hot)
    if deltas.shape != one_hot.shape or deltas.ndim != 2 or deltas.shape[1] != len(alphabet):
        raise FastISMError(
            f"Got deltas of shape {deltas.shape} and a sequence of shape {one_hot.shape}; expected "
            f"(positions, {len(alphabet)}) of both, for the alphabet {alphabet!r}."
        )
    if not len(deltas):
        raise FastISMError("There are no positions to plot.")
    whole = Effects(**{**vars(effects), "deltas": deltas, "one_hot": one_hot})
    return whole.part(0, len(deltas))


@dataclass(frozen=True)
class _Row:
    """A part of a sequence, and the lanes of its bars."""

    effects: Effects
    lanes: list[list[Bar]]
    first: bool
    last: bool


class _Drawing:
    """Works out how large everything is, and then draws it from the top to the bottom."""

    def __init__(
        self, sequences: Sequence[Effects], alphabet: str, output: str, look: Look
    ) -> None:
        self._sequences, self._alphabet, self._look = sequences, alphabet, look
        self._label = f"effect on {output}"
        self._length = layout.row_length(max(map(len, sequences)), look.per_row)
        self._width = layout.axes_width(self._length, look.width)
        self._cell = self._width / self._length
        rows = sum(-(-len(effects) // self._length) for effects in sequences)
        # Wide figures are looked at from further away; many rows are to fit on a screen.
        enlarged = float(np.clip(self._length / 150, 1.0, 1.5)) if look.width is None else 1.0
        self._logo = (1.5 if rows == 1 else 1.1) * enlarged
        self._heat = 0.22 * enlarged * len(alphabet)

    def figure(self) -> Figure:
        """The whole figure."""
        groups = [list(self._rows(effects)) for effects in self._sequences]
        named = self._look.title and len(groups) > 1
        width = LEFT + self._width + RIGHT
        height = 0.1 + (TITLE if named else 0.0) + layout.key_height(width, len(_KEY))
        height += sum(self._height(row) for group in groups for row in group)
        sheet = Sheet(width, height)
        top = 0.1
        if named:
            sheet.text(LEFT, top, self._look.title, 11, "bold")
            top += TITLE
        for number, group in enumerate(groups):
            limit, between = self._limits(self._sequences[number])
            for row in group:
                scale = row.first and (self._look.own_limits or number == 0)
                self._draw(sheet, top, row, limit, between, scale)
                top += self._height(row)
        heat.draw_key(sheet.figure, LEFT, _KEY)
        return sheet.figure

    def _rows(self, effects: Effects) -> Iterator[_Row]:
        for first in range(0, len(effects), self._length):
            last = min(first + self._length, len(effects))
            part = effects.part(first, last)
            lanes = tracks.lanes(part.bars, self._cell)
            yield _Row(part, lanes, first == 0, last == len(effects))

    def _title(self, row: _Row) -> str:
        alone = len(self._sequences) == 1
        return (self._look.title if alone else "") or row.effects.title

    def _above(self, row: _Row) -> float:
        return TITLE - 0.06 if row.first and self._title(row) else 0.04

    def _track(self, row: _Row) -> float:
        return len(row.lanes) * tracks.LANE + (GAP if row.lanes else 0.0)

    def _height(self, row: _Row) -> float:
        below = TICKS + (LABEL + 0.08 if row.last else 0.02)
        return self._above(row) + self._track(row) + self._logo + GAP + self._heat + below

    def _limits(self, effects: Effects) -> tuple[float, tuple[float, float]]:
        """Of colours, and of logos."""
        chosen = [effects] if self._look.own_limits else self._sequences
        largest = max(float(np.abs(e.deltas).max()) for e in chosen) or 1.0
        values = np.concatenate([logo.importance(e.deltas, e.one_hot) for e in chosen])
        return self._look.limit or largest, logo.limits(values)

    def _draw(
        self,
        sheet: Sheet,
        top: float,
        row: _Row,
        limit: float,
        between: tuple[float, float],
        scale: bool,
    ) -> None:
        effects, width = row.effects, self._cell * len(row.effects)
        if row.first and self._title(row):
            sheet.text(LEFT, top + 0.03, self._title(row), 10, "normal")
        top += self._above(row)
        above: list[Axes] = []
        if row.lanes:
            above.append(sheet.axes(LEFT, top, width, len(row.lanes) * tracks.LANE))
            tracks.draw_bars(above[0], row.lanes, len(effects), self._cell)
        top += self._track(row)
        letters = sheet.axes(LEFT, top, width, self._logo)
        above.append(letters)
        logo.draw_logo(
            letters,
            effects.deltas,
            effects.one_hot,
            self._alphabet,
            between=between,
            look=self._look,
        )
        letters.set_ylabel("importance")
        below = top + self._logo + GAP
        cells = sheet.axes(LEFT, below, width, self._heat)
        mesh = heat.draw_heat(cells, effects.deltas.T, limit, self._look.map())
        heat.draw_dots(cells, effects.one_hot)
        cells.set_yticks(range(len(self._alphabet)), list(self._alphabet))
        cells.set_ylabel("changed to")
        label = effects.axis if row.last else ""
        label_positions(cells, len(effects), effects.start, effects.step, label)
        tracks.draw_highlights(above, cells, effects.highlights)
        if scale:
            height = min(self._logo + GAP + self._heat, 2.2)
            bar = sheet.axes(LEFT + self._width + 0.12, top, 0.12, height)
            heat.draw_scale(sheet.figure, mesh, bar, self._label)

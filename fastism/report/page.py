"""The page, put together.

Requirements: numpy; matplotlib and logomaker for its figures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from fastism.plots.sequences import Effects, plot_sequences
from fastism.plots.style import Look
from fastism.report import tables
from fastism.report.figures import along, inline
from fastism.report.looks import SCRIPT, STYLE
from fastism.report.summary import SequenceSummary, of_outputs, of_sequences
from fastism.store.scores import Scores

#: A figure of a longer sequence shows so many positions around the strongest effect.
SHOWN = 200
#: Nothing is loaded, whatever a name in the scores may hold.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Choice:
    """What the page is to show.

    Attributes
    ----------
    title : str
        Empty for the names of input and model.
    files : sequence of str
        Names of the files that the scores come from.
    drawn : sequence of int
        Rows of the sequences that are drawn.
    strongest : int
        So many more of the sequences with the strongest effects are drawn.
    rows : int
        Sequences of the table; of more, those with the strongest effects.
    """

    title: str
    files: Sequence[str]
    drawn: Sequence[int]
    strongest: int
    rows: int


#: Numbers of outputs that a table shows.
MOST_OUTPUTS = 500
#: Makes what a figure shows of a sequence: its summary, and the first and the last row.
Draw = Callable[[SequenceSummary, tuple[int, int]], Effects]


def page(everything: Scores, scores: Scores, choice: Choice, draw: Draw) -> str:
    """The page as HTML; the same scores and choice give the same bytes.

    Parameters
    ----------
    everything : Scores
        All outputs.
    scores : Scores
        The number that sequences are compared by.
    choice : Choice
    draw : Draw

    Returns
    -------
    str
    """
    header, skipped = everything.header, everything.skipped
    found, mean = of_sequences(scores)
    ordered = sorted(found, key=_strength, reverse=True)
    title = choice.title or f"{header.input} scored with {header.model}"
    name = scores.header.outputs[0].name
    drawn = [found[row] for row in choice.drawn]
    drawn += [s for s in ordered[: choice.strongest] if s.finite and s not in drawn]
    lines = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width">',
        f"<title>{escape(title)}</title><style>{STYLE}</style></head><body>",
        f"<h1>{escape(title)}</h1>",
        f"<p>{escape(_opening(scores, found, ordered, len(skipped)))}</p>",
        "<h2>What was scored</h2>",
        *tables.about(header, choice.files, len(found), len(skipped)),
        *_skipped(skipped),
    ]
    if found:
        lines += [
            "<h2>Effects</h2>",
            "<p>An effect is the output for a sequence with one substitution, minus the output for "
            "the sequence as it is.</p>",
            *_outputs(everything, scores),
            *_along(mean, header.positions[0], name),
            *_figures(drawn, scores, draw),
            *_table(ordered, choice.rows, name),
        ]
    lines += [
        f"<script>{SCRIPT}</script></body></html>",
    ]
    return "\n".join(lines) + "\n"


def _outputs(everything: Scores, scores: Scores) -> Iterator[str]:
    """All numbers of the outputs; of those that have too many, the one that is compared."""
    count = sum(len(output.columns()) for output in everything.header.outputs)
    if count > MOST_OUTPUTS:
        yield (
            f"<p>The outputs are {count} numbers for a sequence; the table shows the one that "
            "sequences are compared by.</p>"
        )
        everything = scores
    yield from tables.outputs(of_outputs(everything))


def _strength(summary: SequenceSummary) -> float:
    change = summary.strongest
    return abs(change.effect) if change else -1.0


def _opening(
    scores: Scores,
    found: Sequence[SequenceSummary],
    ordered: Sequence[SequenceSummary],
    skipped: int,
) -> str:
    """What was done and what came of it, in two sentences."""
    header = scores.header
    one = len(found) == 1
    said = (
        f"{len(found):,} sequence{'' if one else 's'} of {header.length:,} letters, every "
        f"substitution at {header.scored:,} positions; "
        f"{skipped:,} record{'' if skipped == 1 else 's'} skipped. "
    )
    change = ordered[0].strongest if ordered else None
    if change is None:
        return said + ("No substitution has an effect." if found else "There is nothing to show.")
    return said + (
        f"The strongest effect on {header.outputs[0].name} is {tables.number(change.effect)}, of "
        f"{change.before} to {change.after} at position {change.position}"
        + (f" ({change.where})" if change.where else "")
        + f" of {ordered[0].place.name}."
    )


def _skipped(skipped: Sequence[tuple[str, str]]) -> Iterator[str]:
    if skipped:
        yield "<h2>Records that were skipped</h2>"
        yield from tables.reasons(skipped)


def _along(mean: np.ndarray, start: int, output: str) -> Iterator[str]:
    if np.isfinite(mean).all():
        label = f"Mean absolute effect on {escape(output)} at every position"
        yield f"<figure>{inline(along(mean, start, output), 0, label)}"
        yield f"<figcaption>{label}, over all sequences.</figcaption></figure>"


def _figures(drawn: Sequence[SequenceSummary], scores: Scores, draw: Draw) -> Iterator[str]:
    if not drawn:
        return
    header = scores.header
    yield "<h2>Figures</h2>"
    yield (
        "<p>Letters are as high as the mean effect of replacing them, upside down where that "
        "raises the output.</p>"
    )
    for number, summary in enumerate(drawn, 1):
        name = escape(summary.place.name)
        if not summary.finite:
            yield f"<p>The outputs for {name} are not finite: there is nothing to draw.</p>"
            continue
        first, last = part = _part(summary, header.scored)
        effects = draw(summary, part)
        look = Look(per_row=100)
        figure = plot_sequences(
            [effects], alphabet=header.alphabet, output=header.outputs[0].name, look=look
        )
        yield f"<figure>{inline(figure, number, f'Effects on {name}')}"
        if last - first < header.scored:
            low = header.positions[0]
            yield (
                f'<figcaption class="soft">Positions {low + first} to {low + last} of {name}, '
                "around the strongest effect.</figcaption>"
            )
        yield "</figure>"


def _part(summary: SequenceSummary, scored: int) -> tuple[int, int]:
    """Rows to draw: all, or those around the strongest effect."""
    change = summary.strongest
    if scored <= SHOWN or change is None:
        return 0, min(scored, SHOWN)
    middle = change.position - summary.place.scored[0]
    first = int(np.clip(middle - SHOWN // 2, 0, scored - SHOWN))
    return first, first + SHOWN


def _table(ordered: Sequence[SequenceSummary], rows: int, output: str) -> Iterator[str]:
    yield "<h2>Sequences</h2>"
    shown = (
        f"The {rows:,} of {len(ordered):,} sequences with the strongest effects"
        if rows < len(ordered)
        else "All sequences"
    )
    yield (
        f"<p>{shown} on {escape(output)}, the strongest first: the substitutions that lower and "
        "that raise it most, at positions of the sequence and, in brackets, of the genome where it "
        "is known; all are 0-based. A click on a heading sorts.</p>"
    )
    yield from tables.sequences(ordered[:rows])

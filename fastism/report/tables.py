"""Tables of the page, as HTML.

Requirements: none.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from html import escape

from fastism.genomics.regions import Skip
from fastism.report.summary import Change, OutputSummary, SequenceSummary
from fastism.store.schema import Header

Cell = tuple[str, str | float]


def about(header: Header, files: Sequence[str], scored: int, skipped: int) -> Iterator[str]:
    """What was scored with what."""
    start, end = header.positions
    versions = ", ".join(f"{name} {version}" for name, version in sorted(header.versions.items()))
    rows = {
        "model": f"{header.model} (SHA-256 {header.model_hash})",
        "input": f"{header.input} (SHA-256 {header.input_hash})",
        "command": header.command,
        "sequences": f"{scored:,} scored, {skipped:,} skipped, of {header.expected:,} records",
        "length": f"{header.length:,}, positions {start}:{end} scored",
        "alphabet": header.alphabet,
        "outputs": ", ".join(
            f"{o.name} ({'×'.join(map(str, o.shape)) or 'a number'})" for o in header.outputs
        ),
        "kept": f"{header.content}, {header.dtype}",
        "versions": versions,
        "file": ", ".join(files),
    }
    if header.chrom_sizes:
        rows["genome"] = f"{len(header.chrom_sizes):,} contigs"
    if header.not_finite:
        rows["outputs that are not finite"] = header.not_finite
    yield '<div class="wide"><table class="about"><tbody>'
    for name, value in rows.items():
        yield f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>"
    yield "</tbody></table></div>"


def reasons(skipped: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Why records were skipped, with the first one of each kind of reason."""
    kinds = [(Skip.of(reason), f"{name}: {reason}") for name, reason in skipped]
    first = dict(reversed(kinds))
    counts = Counter(kind for kind, _ in kinds)
    rows: list[list[Cell]] = [
        [(kind, kind), (f"{n:,}", n), (first[kind], first[kind])]
        for kind, n in counts.most_common()
    ]
    yield '<div class="wide">'
    yield from sortable("skipped", ["reason", "records", "the first one"], rows, left=(0, 2))
    yield "</div>"


def outputs(found: Sequence[OutputSummary]) -> Iterator[str]:
    """One row for every number of the outputs."""
    head = ["output", "lowest reference", "mean reference", "highest reference"]
    head += ["strongest lowering", "strongest raising", "mean |effect|"]
    rows = [
        [(o.name, o.name), *map(_number, (*o.references, o.lowest, o.highest, o.mean))]
        for o in found
    ]
    yield '<div class="wide">'
    yield from sortable("outputs", head, rows, left=(0,))
    yield "</div>"


def sequences(found: Sequence[SequenceSummary]) -> Iterator[str]:
    """One row for every sequence; positions in brackets are those of the genome."""
    head = ["sequence", "place", "reference", "lowering", "change", "at", "raising", "change", "at"]
    head.append("mean |effect|")
    rows = [
        [
            (s.place.name, s.place.name),
            (s.place.interval(), s.place.interval()),
            _number(s.reference),
            *_change(s.lowering),
            *_change(s.raising),
            _number(s.mean),
        ]
        for s in found
    ]
    yield '<label>Names with <input id="filter" type="search"></label>'
    yield '<div class="tall">'
    yield from sortable("sequences", head, rows, left=(0, 1, 4, 7))
    yield "</div>"


def _change(change: Change | None) -> list[Cell]:
    if change is None:
        return [("–", ""), ("", ""), ("", "")]
    genomic = change.where.rpartition(":")[2].partition("-")[0]
    at = f"{change.position}" + (f" ({genomic})" if genomic else "")
    return [
        _number(change.effect),
        (f"{change.before}→{change.after}", f"{change.before}→{change.after}"),
        (at, change.position),
    ]


def _number(value: float) -> Cell:
    if not math.isfinite(value):
        return "not finite", ""
    return number(value), value


def number(value: float) -> str:
    """Four digits, with a minus that is as wide as a plus."""
    return f"{value:.4g}".replace("-", "−")


def sortable(
    name: str, head: Sequence[str], rows: Sequence[Sequence[Cell]], left: Sequence[int]
) -> Iterator[str]:
    """A table that is sorted by the heading that is clicked.

    Parameters
    ----------
    name : str
        Its id.
    head : sequence of str
    rows : sequence of (shown, value)
        A cell shows one and is sorted by the other; an empty value comes last.
    left : sequence of int
        Columns of words.
    """

    def kind(column: int) -> str:
        return ' class="left"' if column in left else ""

    cells = (
        f'<th{kind(i)} scope="col"><button type="button">{escape(text)}</button></th>'
        for i, text in enumerate(head)
    )
    yield f'<table id="{name}"><thead><tr>{"".join(cells)}</tr></thead><tbody>'
    for row in rows:
        shown = (
            f'<td{kind(i)} data-value="{escape(str(value))}">{escape(text)}</td>'
            for i, (text, value) in enumerate(row)
        )
        yield f"<tr>{''.join(shown)}</tr>"
    yield "</tbody></table>"

"""What `--highlight` and `--annotate` of `fastism plot` name, and where it lies on a sequence.

Requirements: matplotlib where bars are drawn.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastism.cli.exit_codes import Exit, stage
from fastism.cli.progress import note
from fastism.errors import FastISMError
from fastism.genomics.bed import read_intervals
from fastism.genomics.regions import Skipped
from fastism.plots.place import Place, Span, read_span

if TYPE_CHECKING:
    from fastism.plots.tracks import Bar


@dataclass(frozen=True)
class Tracks:
    """Everything that was named, by what named it.

    Attributes
    ----------
    parts : dict of str to list of Span
        Highlights: by the option's value.
    annotated : dict of str to list of Span
        Bars: by file.
    """

    parts: dict[str, list[Span]]
    annotated: dict[str, list[Span]]

    def check(self, shown: Sequence[tuple[Place, tuple[int, int]]]) -> None:
        """Refuse a highlight that touches nothing of what is shown; say so of a file.

        Raises
        ------
        FastISMError
            Naming it.
        """
        for given, spans in (*self.parts.items(), *self.annotated.items()):
            if any(_on(span, place, part) for span in spans for place, part in shown):
                continue
            if read_span(given) is None:
                note(f"No interval of {given} lies on what is shown.")
                continue
            place, part = shown[0]
            known = f" or {place.interval()}" if place.chrom else ""
            raise FastISMError(
                f"--highlight {given} lies on nothing that is shown; the first sequence is "
                f"{place.name!r}, positions {part[0] + place.scored[0]}:{part[1] + place.scored[0]}"
                f"{known}."
            )

    def highlights(self, place: Place, part: tuple[int, int]) -> list[tuple[int, int]]:
        """Rows of a part that stand out, half-open."""
        spans = (span for each in self.parts.values() for span in each)
        found = {on for span in spans if (on := _on(span, place, part))}
        return sorted(found)

    def bars(self, place: Place, part: tuple[int, int]) -> list[Bar]:
        """Bars on rows of a part."""
        from fastism.plots.tracks import Bar

        spans = (span for each in self.annotated.values() for span in each)
        return [
            Bar(*on, span.label, place.strand(span))
            for span in spans
            if (on := _on(span, place, part))
        ]


def read_tracks(highlights: Sequence[str], annotations: Sequence[Path]) -> Tracks:
    """Read what the options name.

    Parameters
    ----------
    highlights : sequence of str
        Spans, or BED files.
    annotations : sequence of Path
    """
    parts = {}
    for text in highlights:
        span = read_span(text)
        if span is None and not Path(text).exists():
            with stage(Exit.USAGE):
                raise FastISMError(
                    f"--highlight {text}: expected A:B within the sequence, CHROM:A-B, or a BED "
                    "file."
                )
        parts[text] = [span] if span else _read(Path(text))
    return Tracks(parts, {str(path): _read(path) for path in annotations})


def _read(path: Path) -> list[Span]:
    with stage(Exit.INPUT):
        return list(_spans(path))


def _spans(path: Path) -> Iterator[Span]:
    for found in read_intervals(path):
        if isinstance(found, Skipped):
            note(f"{path}: {found.name} is passed over: {found.reason}")
            continue
        whole = f"{found.chrom}:{found.start}-{found.end}({found.strand})"
        label = "" if found.name == whole else found.name
        yield Span(found.chrom, found.start, found.end, label, found.strand)


def _on(span: Span, place: Place, part: tuple[int, int]) -> tuple[int, int] | None:
    """Where a span lies on a part, in rows of the part; None if it does not."""
    rows = place.rows(span)
    if rows is None:
        return None
    first, last = max(rows[0], part[0]), min(rows[1], part[1])
    return (first - part[0], last - part[0]) if first < last else None

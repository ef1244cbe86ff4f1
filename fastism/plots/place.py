"""Where a sequence lies, and which of its positions a region means.

Requirements: none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fastism.errors import FastISMError
from fastism.genomics.named import interval_of

if TYPE_CHECKING:
    from fastism.store.scores import Scores


@dataclass(frozen=True)
class Span:
    """A half-open, 0-based interval with what is known of it.

    Attributes
    ----------
    chrom : str
        A chromosome or the name of a sequence; empty for positions within any sequence.
    start, end : int
    label : str
    strand : {"+", "-", "."}
    """

    chrom: str
    start: int
    end: int
    label: str = ""
    strand: str = "."


def read_span(text: str) -> Span | None:
    """``A:B`` within a sequence, or ``CHROM:A-B``; None for anything else, and for empty ones."""
    inside = re.fullmatch(r"(\d+):(\d+)", text.strip())
    genomic = re.fullmatch(r"(\S.*):(\d[\d,]*)-(\d[\d,]*)", text.strip())
    if inside:
        found = Span("", int(inside[1]), int(inside[2]))
    elif genomic:
        start, end = (int(genomic[i].replace(",", "")) for i in (2, 3))
        found = Span(genomic[1], start, end)
    else:
        return None
    return found if found.start < found.end else None


@dataclass(frozen=True)
class Place:
    """A sequence whose scored positions make the rows of a figure.

    Attributes
    ----------
    name : str
    scored : (int, int)
        Scored positions of the sequence, half-open.
    chrom : str
        Chromosome; empty where it is not known.
    first, step : int
        Genomic position of the sequence's first letter, and -1 on the minus strand, else 1; 0 and 1
        without a chromosome.
    """

    name: str
    scored: tuple[int, int]
    chrom: str = ""
    first: int = 0
    step: int = 1

    @property
    def axis(self) -> str:
        """What positions refer to, for the label of an axis."""
        if not self.chrom:
            return "position in the sequence (bp, 0-based)"
        minus = ", minus strand" if self.step < 0 else ""
        return f"position on {self.chrom} (bp, 0-based{minus})"

    def start(self, row: int) -> int:
        """Position of a row."""
        return self.first + self.step * (self.scored[0] + row)

    def covers(self, span: Span) -> bool:
        """Whether all of a span was scored."""
        found = self._within(span)
        return found is not None and self.scored[0] <= found[0] and found[1] <= self.scored[1]

    def rows(self, span: Span) -> tuple[int, int] | None:
        """The rows that a span touches; None if there are none."""
        found = self._within(span)
        if found is None:
            return None
        low, high = self.scored
        first, last = max(found[0], low) - low, min(found[1], high) - low
        return (first, last) if first < last else None

    def part(self, region: str | None) -> tuple[int, int]:
        """Rows of a region; all of them by default.

        Raises
        ------
        FastISMError
            For something that is no region, or one that was not scored.
        """
        low, high = self.scored
        if region is None:
            return 0, high - low
        span = read_span(region)
        found = self._within(span) if span else None
        if found is None or span is None:
            example = f" or {self.chrom}:A-B" if self.chrom else ""
            known = "" if self.chrom else f": the name of {self.name!r} has no interval"
            raise FastISMError(
                f"--region {region}: expected A:B within the sequence{example}{known}."
            )
        if not self.covers(span):
            raise FastISMError(
                f"--region {region} is not within the scored positions {low}:{high} of "
                f"{self.name!r}" + (f", {self.interval()}." if self.chrom else ".")
            )
        return found[0] - low, found[1] - low

    def strand(self, span: Span) -> str:
        """The strand of a span as the figure reads it: ``+`` points to the right."""
        turned = self.step < 0 and span.chrom == self.chrom
        return {"+": "-", "-": "+"}.get(span.strand, ".") if turned else span.strand

    def interval(self) -> str:
        """The scored positions, as CHROM:START-END; empty without a chromosome."""
        if not self.chrom:
            return ""
        ends = [self.first + self.step * x for x in (self.scored[0], self.scored[1] - 1)]
        return f"{self.chrom}:{min(ends)}-{max(ends) + 1}"

    def _within(self, span: Span) -> tuple[int, int] | None:
        """Positions in the sequence, which may lie beyond it; None for another chromosome."""
        if self.chrom and span.chrom == self.chrom:
            ends = ((x - self.first) * self.step for x in (span.start, span.end - 1))
            start, last = sorted(ends)
            return start, last + 1
        if not span.chrom or span.chrom in (self.name, *self.name.split(maxsplit=1)[:1]):
            return span.start, span.end
        return None


def place_of(
    name: str,
    length: int,
    scored: tuple[int, int],
    interval: tuple[str, int, int, str] | None = None,
) -> Place:
    """The place of a sequence, by its record or else by its name.

    Parameters
    ----------
    name : str
    length : int
        Of the sequence.
    scored : (int, int)
    interval : (chrom, start, end, strand) or None
        As the record has it; None or an empty chromosome where it has none.
    """
    known = interval if interval and interval[0] else interval_of(name, length)
    if known is None:
        return Place(name, scored)
    chrom, start, end, strand = known
    minus = strand == "-"
    return Place(name, scored, chrom, end - 1 if minus else start, -1 if minus else 1)


def places(scores: Scores) -> Iterator[Place]:
    """The places of all sequences of scores, in their order."""
    header = scores.header
    columns = (scores.column(c) for c in ("names", "chrom", "start", "end", "strand"))
    for name, *interval in zip(*columns, strict=True):
        yield place_of(name, header.length, header.positions, tuple(interval))

"""A sequence to be scored, where in a genome it lies, and why one is not scored.

Requirements: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class Region:
    """One sequence with its name and, where it comes from a genome, its interval.

    Attributes
    ----------
    name : str
        What outputs call it.
    sequence : str
        The letters in the model's orientation: for the minus strand the reverse complement.
    chrom : str
        Chromosome; empty where the sequence has no place in a genome.
    start, end : int
        0-based half-open genomic interval of `sequence`; -1 without a chromosome.
    strand : {"+", "-", "."}
        The strand that `sequence` reads along.
    """

    name: str
    sequence: str
    chrom: str = ""
    start: int = -1
    end: int = -1
    strand: str = "."


class Skip(StrEnum):
    """Kinds of reasons why a record is not scored; the documentation shows them."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Skip:
        """Words that carry a sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    BAD_LINE = "bad line", "the line of the BED file is no interval"
    UNKNOWN = "unknown contig", "the genome has no such contig (see --contigs rename)"
    BEYOND = "beyond the contig", "the interval or its window ends beyond the contig (see --pad N)"
    AMBIGUOUS = "ambiguous letter", "the sequence holds letters outside the alphabet"
    NOT_FINITE = "not finite", "the model's output is NaN or infinite for it or a mutant of it"

    def because(self, detail: str, line: int = 0) -> str:
        """A reason of this kind: the kind, what was found, and where in the file."""
        return f"{self.value}: {detail}{f' (line {line})' if line else ''}"

    @classmethod
    def of(cls, reason: str) -> str:
        """The kind of a reason that `because` gave."""
        return next((kind.value for kind in cls if reason.startswith(f"{kind.value}: ")), "other")


@dataclass(frozen=True, slots=True)
class Skipped:
    """A record that gives no scores.

    Attributes
    ----------
    name : str
        What outputs would have called it.
    reason : str
        Why, for people; see `Skip.because`.
    """

    name: str
    reason: str

"""A sequence to be scored, and where in a genome it lies.

Requirements: none.
"""

from __future__ import annotations

from dataclasses import dataclass


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

"""Intervals that stand in the names of sequences.

Requirements: none.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_INTERVAL = re.compile(
    r"(?:range=)?(?:\S*::)?(?P<chrom>\S+):(?P<start>\d[\d,]*)-(?P<end>\d[\d,]*)"
    r"(?:\((?P<strand>[-+.])\)|(?P<rc>/rc))?"
)
_STRAND = re.compile(r"\bstrand=([-+])")


class Interval(NamedTuple):
    """A 0-based half-open interval of a genome."""

    chrom: str
    start: int
    end: int
    strand: str


def interval_of(name: str, length: int) -> Interval | None:
    """The interval that a name of a FASTA record gives, where it is as long as the sequence.

    Parameters
    ----------
    name : str
        The header. The interval is a word of its own, ``CHROM:START-END`` with ``(+)`` or ``(-)``
        behind it (bedtools, samtools with ``--mark-strand sign``), ``/rc`` (samtools), or
        ``range=`` before it and ``strand=`` in another word (UCSC); a name and ``::`` may stand
        before it (bedtools). The first such word counts.
    length : int
        Of the sequence. It tells 0-based half-open intervals, as bedtools writes them, from 1-based
        closed ones, as samtools and UCSC do.

    Returns
    -------
    Interval or None
        None without an interval, and where it has another length in both ways of counting: of a
        part of a sequence nobody knows which part it is.

    Examples
    --------
    >>> interval_of("chrX:100-200(-)", 100)
    Interval(chrom='chrX', start=100, end=200, strand='-')
    >>> interval_of("chrX:101-200", 100)
    Interval(chrom='chrX', start=100, end=200, strand='.')
    >>> interval_of("chrX:100-200", 50) is None
    True
    """
    for word in name.split():
        match = _INTERVAL.fullmatch(word)
        if match is None:
            continue
        start, end = (int(match[n].replace(",", "")) for n in ("start", "end"))
        # The end is the same in both: a closed one names the last base, counted from 1.
        first = {end - start: start, end - start + 1: start - 1}.get(length, -1)
        if first < 0:
            return None
        elsewhere = _STRAND.search(name)
        strand = match["strand"] or ("-" if match["rc"] else elsewhere[1] if elsewhere else ".")
        return Interval(match["chrom"], first, end, strand)
    return None

"""Importance of one output along a genome as bedGraph: chrom, start, end and value.

Sorted by the names of chromosomes and by position, as ``sort -k1,1 -k2,2n`` in the C locale does;
neighbours of equal value share a line.

Requirements: numpy.
"""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from fastism.store.scores import Scores
from fastism.store.track import check, runs

__all__ = ["check", "write"]


def write(scores: Scores, path: Path) -> None:
    """Write the track of checked scores; raises OSError if it cannot be written."""
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for chrom, start, values in runs(scores, path.parent):
            for text, same in groupby(f"{value:.6g}" for value in values.tolist()):
                end = start + sum(1 for _ in same)
                handle.write(f"{chrom}\t{start}\t{end}\t{text}\n")
                start = end

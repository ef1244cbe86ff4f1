"""The genomic intervals of the rows that are scored, in their order, as BED or narrowPeak.

Line i is row i of every other export, above all of ``X.one_hot.npz`` and ``X.hypothetical.npz``:
hit callers and motif discovery take both. A line is as long as the scored positions, not as the
sequence. Where a padded window reaches beyond its chromosome, the interval ends there; the summit
(column 10 of narrowPeak) is the middle of the scored positions all the same.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fastism.errors import FastISMError
from fastism.store.join import check_placed
from fastism.store.scores import Scores

NARROW_PEAK = ".narrowpeak"


def check(scores: Scores) -> None:
    """Refuse scores of sequences that have no place in a genome.

    Raises
    ------
    FastISMError
        If there are such sequences.
    """
    check_placed(scores, "no interval")


def write(scores: Scores, path: Path) -> None:
    """Write a line per row, with the four further columns of narrowPeak if the name asks for it.

    Parameters
    ----------
    scores : Scores
        Checked.
    path : Path
        A new file.

    Raises
    ------
    FastISMError
        If the scored positions of a row lie beyond its chromosome.
    OSError
        If it cannot be written.
    """
    peaks = path.name.lower().endswith(NARROW_PEAK)
    with path.open("w", encoding="utf-8", newline="\n") as handle:
        for columns, summit in _rows(scores):
            columns += ["0", "-1", "-1", str(summit)] if peaks else []
            handle.write("\t".join(columns) + "\n")


def _rows(scores: Scores) -> Iterator[tuple[list[str], int]]:
    """Columns of BED, and the summit as an offset from the start."""
    first, last = scores.header.positions
    names = ("names", "chrom", "start", "end", "strand")
    for name, chrom, start, end, strand in zip(*map(scores.column, names), strict=True):
        # Positions count along the strand that was scored.
        begin, stop = (end - last, end - first) if strand == "-" else (start + first, start + last)
        summit = begin + (stop - begin) // 2
        size = scores.header.chrom_sizes.get(chrom, stop)
        begin, stop = max(begin, 0), min(stop, size)
        if not begin < stop:
            raise FastISMError(
                f"All scored positions of {name!r} lie beyond {chrom}, which has {size} bases: "
                "they have no interval. Score without --pad N, or other positions."
            )
        # A name with a tab would make two columns.
        yield [chrom, str(begin), str(stop), " ".join(name.split()), "0", strand], summit - begin


def without_letter(scores: Scores) -> dict[str, int]:
    """Sequences with positions that have no letter, such as N, among the scored ones.

    Returns
    -------
    dict of str to int
        From the name of a sequence to how many such positions it has.
    """
    found: dict[str, int] = {}
    names = scores.column("names")
    for rows in scores.blocks():
        letters = scores.one_hot(rows)[:, slice(*scores.header.positions)].any(2)
        missing = (~letters).sum(1)
        for row in np.flatnonzero(missing):
            found[names[rows.start + int(row)]] = int(missing[row])
    return found

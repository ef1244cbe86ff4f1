"""Importance of one output along a genome as bigWig.

Requirements: pyBigWig with numpy.
"""

from __future__ import annotations

import os
from pathlib import Path

import pyBigWig

from fastism.errors import FastISMError
from fastism.store import track
from fastism.store.scores import Scores


def check(scores: Scores) -> None:
    """Refuse scores that are no track, or one along chromosomes of unknown size.

    Raises
    ------
    FastISMError
        See `fastism.store.track.check`; and if the sizes of chromosomes are not known.
    """
    track.check(scores)
    unknown = sorted(set(scores.column("chrom")) - {*scores.header.chrom_sizes})
    if unknown:
        raise FastISMError(
            f"The size of chromosome {unknown[0]!r} is not known, which a bigWig file needs. "
            "Score a BED file with --genome, or export to .bedgraph."
        )


def write(scores: Scores, path: Path) -> None:
    """Write the track.

    Parameters
    ----------
    scores : Scores
        Checked.
    path : Path
        A new file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    sizes = scores.header.chrom_sizes
    _reserve(path, len(scores) * scores.header.scored)
    written = 0
    try:
        file = pyBigWig.open(str(path), "w")
        file.addHeader(sorted(sizes.items()))
        for chrom, start, part in track.runs(scores, path.parent):
            file.addEntries(chrom, start, values=part, span=1, step=1)
            written += len(part)
        file.close()
    except RuntimeError as error:
        raise OSError(f"pyBigWig: {error}") from error
    _check(path, written)


def _reserve(path: Path, values: int) -> None:
    """Find out whether the disk has room: pyBigWig hangs on a full one.

    Values take four bytes at most, levels for zooming less than as much again, and the index little
    more than that.
    """
    with path.open("wb") as file:
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, (1 << 16) + 10 * values)


def _check(path: Path, written: int) -> None:
    """Read the file's own count: the library does not report every failure to write."""
    try:
        with pyBigWig.open(str(path)) as file:
            held = file.header()["nBasesCovered"]
    except RuntimeError:
        held = 0
    if held != written:
        raise OSError(f"only {held} of {written} values were written")

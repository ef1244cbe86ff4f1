"""Importance along a genome: one value per position, whatever records it comes from.

Requirements: numpy.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from fastism.store.join import check_placed
from fastism.store.scores import Scores
from fastism.store.selection import check_single

#: Values that are handed out at a time, if there are so many neighbours.
_RUN = 1 << 16


def check(scores: Scores) -> None:
    """Refuse scores that are no track.

    Raises
    ------
    FastISMError
        If there are several numbers per mutant, or records without an interval.
    """
    check_single(scores)
    check_placed(scores, "no track")


def runs(scores: Scores, folder: Path) -> Iterator[tuple[str, int, np.ndarray]]:
    """Importance of neighbouring positions, in the order of a genome.

    Where records overlap, the mean. Values that are not finite, which scores hold where a model was
    not, and positions beyond the ends of a chromosome, where sequences were padded, are left out.
    Memory holds one stretch of overlapping records at most as long
    as the longest record; importance of all records waits in a temporary file, since their order is
    not that of the genome.

    Parameters
    ----------
    scores : Scores
        Checked.
    folder : Path
        Where the temporary file goes.

    Yields
    ------
    chrom : str
        Chromosomes in the order of their names.
    start : int
        0-based; ascending within a chromosome.
    values : ndarray of float32
        For start, start + 1, ...
    """
    run: list[np.ndarray] = []
    place, length = ("", 0), 0
    for chrom, start, values in _stretches(scores, folder):
        if run and ((chrom, start) != (place[0], place[1] + length) or length >= _RUN):
            yield from _known(scores, *place, np.concatenate(run))
            run = []
        if not run:
            place, length = (chrom, start), 0
        run.append(values)
        length += len(values)
    if run:
        yield from _known(scores, *place, np.concatenate(run))


def _known(
    scores: Scores, chrom: str, start: int, values: np.ndarray
) -> Iterator[tuple[str, int, np.ndarray]]:
    """The stretches of a run that lie on the chromosome and are finite."""
    good = np.isfinite(values)
    place = np.arange(start, start + len(values))
    good &= (place >= 0) & (place < scores.header.chrom_sizes.get(chrom, place[-1] + 1))
    edges = np.flatnonzero(np.diff(np.concatenate([[False], good, [False]]).astype(np.int8)))
    for low, high in zip(edges[::2], edges[1::2], strict=True):
        yield chrom, start + int(low), values[low:high]


def _stretches(scores: Scores, folder: Path) -> Iterator[tuple[str, int, np.ndarray]]:
    """Values as they become final, in stretches of any length."""
    chrom, start, reverse = _intervals(scores)
    order = sorted(range(len(chrom)), key=lambda row: (chrom[row], start[row], row))
    if not order:
        # An empty file cannot be mapped to memory.
        return
    with tempfile.TemporaryFile(dir=folder) as handle:
        for rows in scores.blocks():
            values = scores.importance(0, rows)
            handle.write(values.astype("<f4").tobytes())
        handle.flush()
        width = scores.header.scored
        values = np.memmap(handle, "<f4", "r", shape=(len(chrom), width))
        buffer = _Overlap(width)
        current = ""
        for row in order:
            if chrom[row] != current:
                yield from buffer.up_to(None, current)
                current = chrom[row]
            yield from buffer.up_to(start[row], current)
            buffer.add(values[row, ::-1] if reverse[row] else values[row])
        yield from buffer.up_to(None, current)


class _Overlap:
    """Sums over the records that reach beyond a position.

    Parameters
    ----------
    width : int
        Positions of a record.
    """

    def __init__(self, width: int) -> None:
        self._start = 0
        self._sum = np.zeros(width)
        #: Records that reach a position, and those of them that have a finite value there.
        self._reach = np.zeros(width, np.int64)
        self._count = np.zeros(width, np.int64)

    def up_to(self, position: int | None, chrom: str) -> Iterator[tuple[str, int, np.ndarray]]:
        """Hand out what no record from `position` on can change, and move there."""
        if not self._reach.any():
            # Padded sequences begin before their chromosome does.
            self._start = 0 if position is None else position
            return
        width = len(self._sum)
        left = width if position is None else min(position - self._start, width)
        # A record covers a stretch from where the buffer begins: what is covered has no gaps.
        covered = int(np.count_nonzero(self._reach[:left]))
        if covered:
            with np.errstate(invalid="ignore"):
                values = (self._sum[:covered] / self._count[:covered]).astype(np.float32)
            yield chrom, self._start, values
        for array in (self._sum, self._reach, self._count):
            array[: width - left] = array[left:].copy()
            array[width - left :] = 0
        self._start = 0 if position is None else position

    def add(self, values: np.ndarray) -> None:
        """Add a record that begins where the buffer begins."""
        finite = np.isfinite(values)
        self._sum += np.where(finite, values, 0)
        self._reach += 1
        self._count += finite


def _intervals(scores: Scores) -> tuple[list[str], list[int], list[bool]]:
    """Chromosome and start of the scored part of every record, and whether it runs backwards."""
    first, last = scores.header.positions
    chrom, strand = scores.column("chrom"), scores.column("strand")
    reverse = [s == "-" for s in strand]
    ends = zip(scores.column("start"), scores.column("end"), reverse, strict=True)
    start = [end - last if minus else begin + first for begin, end, minus in ends]
    return chrom, start, reverse

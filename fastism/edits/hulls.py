"""Edits that are near to each other as one edit, which replaces all between them by what is there.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from fastism.calls.inputs import listed_mutants
from fastism.calls.mutants import Mutants
from fastism.edits.listed import Edits

#: Whether some intervals of the input must be taken together, two by two, ``(n, n)`` of bool.
Near = Callable[[np.ndarray, np.ndarray], np.ndarray]


def spanned(x: np.ndarray, edits: Edits) -> Edits:
    """All edits of a mutant as one.

    Parameters
    ----------
    x : ndarray, shape (sequences, length, channels)
    edits : Edits
    """
    return _joined(x, edits, edits.mutant)


def joined(x: np.ndarray, edits: Edits, near: Near) -> Edits:
    """Edits of each mutant that act on each other as one, until none do.

    Parameters
    ----------
    x : ndarray, shape (sequences, length, channels)
    edits : Edits
    near : callable
        Takes starts and stops of the edits of one mutant.
    """
    while len(edits.start):
        ends = np.flatnonzero(np.diff(edits.mutant, append=-1)) + 1
        groups = np.empty(len(edits.start), np.int64)
        first = count = 0
        for last in ends:
            own = _groups(near(edits.start[first:last], edits.stop[first:last]))
            groups[first:last] = own + count
            first, count = last, count + own[-1] + 1
        if count == len(groups):
            break
        edits = _joined(x, edits, groups)
    return edits


def _groups(near: np.ndarray) -> np.ndarray:
    """Groups of edits in the order of their positions; what lies between two of one is in it."""
    # The last edit that one of those up to here must be taken together with.
    reach = np.maximum.accumulate([int(np.flatnonzero(row).max(initial=0)) for row in near])
    begins = np.arange(len(near)) > np.concatenate([[len(near)], reach[:-1]])
    return np.cumsum(begins)


def _joined(x: np.ndarray, edits: Edits, groups: np.ndarray) -> Edits:
    """One edit per group; groups are numbered by position."""
    firsts = np.flatnonzero(np.diff(groups, prepend=-1))
    lasts = np.append(firsts[1:], len(groups))
    stops = edits.stop
    replacement = []
    for first, last in zip(firsts, lasts, strict=True):
        begin, end = int(edits.start[first]), int(stops[first:last].max())
        new = x[edits.sequence[edits.mutant[first]], begin:end].astype(np.float64)
        for i in range(first, last):
            new[edits.start[i] - begin : stops[i] - begin] = edits.replacement[i]
        replacement.append(new)
    return replace(
        edits,
        mutant=edits.mutant[firsts],
        start=edits.start[firsts],
        replacement=tuple(replacement),
    )


def rounded_width(width: int, length: int) -> int:
    """The next width of 1, 2, 3, 4, 6, 8, 12, 16, ...: few plans serve edits of all widths.

    Examples
    --------
    >>> [rounded_width(width, 50) for width in (1, 5, 9, 33, 49)]
    [1, 6, 12, 48, 50]
    """
    power = 1 << (width.bit_length() - 1)
    for wide in (power, power * 3 // 2, 2 * power):
        if wide >= width:
            return min(wide, length)
    return length


def by_width(x: np.ndarray, edits: Edits) -> Iterator[tuple[np.ndarray, Mutants]]:
    """Edits as single-edit mutants of one width at a time; those that change nothing are left out.

    Parameters
    ----------
    x : ndarray, shape (sequences, length, channels)
    edits : Edits

    Yields
    ------
    index : ndarray of int
        Which edits.
    mutants : Mutants
    """
    length = x.shape[1]
    widths = np.array([rounded_width(len(new), length) for new in edits.replacement], np.int64)
    for width in np.unique(widths).tolist():
        index = np.flatnonzero(widths == width)
        sequence = edits.sequence[edits.mutant[index]]
        start = np.minimum(edits.start[index], length - width)
        new = x[sequence[:, None], start[:, None] + np.arange(width)].astype(np.float64)
        for row, i in enumerate(index):
            offset = edits.start[i] - start[row]
            new[row, offset : offset + len(edits.replacement[i])] = edits.replacement[i]
        mutants, changed = listed_mutants(x, sequence, start, new)
        if len(changed):
            yield index[changed], mutants


def distinct(edits: Edits) -> tuple[np.ndarray, np.ndarray]:
    """One edit of each kind, and the kind of every edit: haplotypes share variants.

    Returns
    -------
    kinds : ndarray of int
        The first edit of each kind.
    kind : ndarray of int, shape (edits,)
    """
    numbers: dict[tuple[int, int, bytes], int] = {}
    sequence = edits.sequence[edits.mutant]
    keys = zip(sequence.tolist(), edits.start.tolist(), edits.replacement, strict=True)
    kind = np.array([numbers.setdefault((s, p, r.tobytes()), len(numbers)) for s, p, r in keys])
    kinds = np.unique(kind, return_index=True)[1]
    return kinds, kind.astype(np.int64)

"""Pairs by single edits of mutants: every first edit makes a sequence of its own.

Requirements: numpy. What it takes is what single edits take, times the number of edits; it works
wherever single edits do, and is naive where they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fastism.calls.mutants import Mutants, Part
from fastism.pairs.result import PairPart

#: Reference outputs and outputs of mutants of some sequences.
Run = Callable[[list[np.ndarray], Mutants], tuple[list[np.ndarray], Iterator[Part]]]


def referenced_pairs(
    run: Run,
    inputs: Sequence[np.ndarray],
    which: int,
    mutants: Mutants,
    leading: tuple[int, int],
    size: int,
) -> Iterator[PairPart]:
    """Outputs of all pairs of edits of one sequence at two positions.

    Parameters
    ----------
    run : callable
        Takes sequences and single edits of them.
    inputs : sequence of ndarray, each (1, *shape)
        One per model input.
    which : int
        The input that is edited.
    mutants : Mutants
        The single edits, of one position each.
    leading : (int, int)
        Where the position of the first edit of a pair lies, half-open.
    size : int
        First edits that run together.

    Yields
    ------
    PairPart
        Every pair comes once.
    """
    order = np.argsort(mutants.start, kind="stable")
    start = mutants.start[order]
    behind = np.searchsorted(start, start, side="right")
    leads = (start >= leading[0]) & (start < leading[1])
    firsts = np.flatnonzero(leads & (behind < len(order)))
    for begin in range(0, len(firsts), size):
        group = firsts[begin : begin + size]
        edited = [np.repeat(x, len(group), 0) for x in inputs]
        edited[which][np.arange(len(group)), start[group]] = mutants.replacement[order[group], 0]
        sequence = np.repeat(np.arange(len(group)), len(order) - behind[group])
        second = order[np.concatenate([np.arange(behind[i], len(order)) for i in group])]
        chosen = mutants.some(second)
        seconds = Mutants(sequence, chosen.start, chosen.replacement, chosen.delta)
        for part in run(edited, seconds)[1]:
            first = order[group[sequence[part.index]]]
            yield PairPart(first, second[part.index], part.outputs)

"""Insertions and deletions of one window as splices of two sequences.

Requirements: numpy.

Those that shift the rest of the window by the same number of letters share it: on the plus strand
each of them is the window as it is to the left of its place, and the same shifted window to its
right; on the minus strand left and right are exchanged.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastism.genomics.locate import Perturbation
from fastism.scans.splices import Splices
from fastism.sequences import one_hot

#: With fewer of them, two more references and the junctions cost more than is saved.
FEWEST = 4
#: Words are of few widths, because each has a plan of its own; longer ones are left alone.
WIDTHS = (1, 4, 16, 64)


def mutated(perturbation: Perturbation) -> str:
    """The letters of the whole window after a perturbation."""
    before, start = perturbation.before, perturbation.start
    return before[:start] + perturbation.letters + before[start + len(perturbation.letters) :]


def splices_of(
    perturbations: Sequence[Perturbation], alphabet: str
) -> tuple[list[int], Splices | None]:
    """Indels of one window and one shift as splices.

    Parameters
    ----------
    perturbations : sequence of Perturbation
    alphabet : str

    Returns
    -------
    chosen : list of int
        Which of them.
    splices : Splices or None
        Their sequences, in that order; None for too few.
    """
    before = perturbations[0].before
    mutants = [mutated(p) for p in perturbations]
    minus = all(p.start == 0 for p in perturbations)
    if minus:
        # Seen from the other end, what is shifted is on the right.
        before, mutants = before[::-1], [m[::-1] for m in mutants]
    first = [_same(before, m) for m in mutants]
    # Of what is shifted, the one that begins first holds all that the others hold.
    shifted = mutants[int(np.argmin(first))]
    last = [len(m) - _same(shifted[::-1], m[::-1]) for m in mutants]
    widths = [max(b - a, 1) for a, b in zip(first, last, strict=True)]
    most = min(WIDTHS[-1], len(before))
    chosen = [i for i, width in enumerate(widths) if width <= most]
    if len(chosen) < FEWEST:
        return [], None
    needed = max(widths[i] for i in chosen)
    width = min(next(w for w in WIDTHS if w >= needed), len(before))
    start = np.array([min(first[i], len(before) - width) for i in chosen])
    words = [mutants[i][s : s + width] for i, s in zip(chosen, start, strict=True)]
    both = one_hot([before, shifted], alphabet, "zero")
    word = one_hot(words, alphabet, "zero")
    if minus:
        return chosen, Splices(
            both[1, ::-1], both[0, ::-1], len(before) - start - width, word[:, ::-1]
        )
    return chosen, Splices(both[0], both[1], start, word)


def _same(a: str, b: str) -> int:
    """How many letters two strings of one length have in common at their beginning."""
    pairs = zip(a, b, strict=True)
    return next((i for i, (x, y) in enumerate(pairs) if x != y), len(a))

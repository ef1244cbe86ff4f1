"""What scans are made of: sequences that are one sequence on the left and another on the right.

Requirements: numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Splices:
    """Sequences spliced from two of one length, with a word of one width at the junction.

    Mutant m is ``left`` before ``start[m]``, ``word[m]`` from there, and ``right`` behind it.

    Parameters
    ----------
    left, right : ndarray, shape (length, characters)
    start : ndarray of int, shape (mutants,)
        First position of the word, between 0 and length - width.
    word : ndarray, shape (mutants, width, characters)
    """

    left: np.ndarray
    right: np.ndarray
    start: np.ndarray
    word: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def width(self) -> int:
        """Positions of the word."""
        return self.word.shape[1]

    def some(self, index: np.ndarray) -> Splices:
        """Those at `index`, in that order."""
        return Splices(self.left, self.right, self.start[index], self.word[index])

    def firsts(self) -> np.ndarray:
        """The first mutants of all runs of neighbours with the same letters, ascending.

        Without one of two equal letters, it is the same sequence whichever of them is deleted.
        """
        start, word = self.start[:-1], self.word
        behind = np.minimum(start + self.width, len(self.right) - 1)
        # Both mutants from the junction of the first one on, and one position further.
        first = np.concatenate([word[:-1], self.right[behind][:, None]], 1)
        second = np.concatenate([self.left[start][:, None], word[1:]], 1)
        moved = (np.diff(self.start) == 1) & (first == second).all((1, 2))
        alike = (np.diff(self.start) == 0) & (word[:-1] == word[1:]).all((1, 2))
        return np.flatnonzero(np.concatenate([[True], ~(moved | alike)]))

    def sequences(self, index: np.ndarray) -> np.ndarray:
        """The spliced sequences themselves, shape (len(index), length, characters)."""
        position = np.arange(len(self.left))
        start = self.start[index, None]
        before = (position < start)[..., None]
        spliced = np.where(before, self.left[None], self.right[None])
        rows = np.arange(len(index))[:, None], start + np.arange(self.width)
        spliced[rows] = self.word[index]
        return spliced


def switched(left: np.ndarray, right: np.ndarray, positions: np.ndarray) -> Splices:
    """Chimeras: `left` before each of `positions`, `right` from there on.

    Parameters
    ----------
    left, right : ndarray, shape (length, characters)
    positions : ndarray of int, shape (mutants,)
        From 0 (all of `right`) to length (all of `left`).
    """
    # A junction has at least one position: the first of the right part, or the last of the left.
    start = np.minimum(positions, len(left) - 1)
    word = np.where((positions == len(left))[:, None], left[-1:], right[start])
    return Splices(left, right, start, word[:, None])


def deletions(
    x: np.ndarray, width: int, fill: np.ndarray, positions: np.ndarray, anchor: str
) -> Splices:
    """`width` letters deleted from each of `positions` on.

    Parameters
    ----------
    x : ndarray, shape (length, characters)
    width : int
    fill : ndarray, shape (width, characters)
        What follows the end of `x` (anchor "left") or precedes its start (anchor "right"), and
        moves in.
    positions : ndarray of int, shape (mutants,)
    anchor : {"left", "right"}
        Which end of the sequence stays where it is.
    """
    if anchor == "left":
        return switched(x, np.concatenate([x, fill])[width:], positions)
    shifted = np.concatenate([fill, x])[: len(x)]
    return switched(shifted, x, np.minimum(positions + width, len(x)))


def insertions(x: np.ndarray, word: np.ndarray, positions: np.ndarray, anchor: str) -> Splices:
    """`word` inserted before each of `positions`; what no longer fits falls off at one end.

    Parameters
    ----------
    x : ndarray, shape (length, characters)
    word : ndarray, shape (width, characters)
        No longer than `x`.
    positions : ndarray of int, shape (mutants,)
    anchor : {"left", "right"}
        Which end of the sequence stays where it is.
    """
    length, width = len(x), len(word)
    if anchor == "left":
        left, right = x, np.concatenate([word, x])[:length]
        first = positions
    else:
        left, right = np.concatenate([x, word])[width:], x
        first = positions - width
    start = np.clip(first, 0, length - width)
    # Near an end only a part of the word is left; the part of the junction beside it is sequence.
    place = start[:, None] + np.arange(width)
    inside = place - first[:, None]
    letters = word[np.clip(inside, 0, width - 1)]
    beside = np.where((inside < 0)[..., None], left[place], right[place])
    within = ((inside >= 0) & (inside < width))[..., None]
    return Splices(left, right, start, np.where(within, letters, beside))

"""Mutants that are made by several edits each, as users list them.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from fastism.errors import FastISMError


@dataclass(frozen=True)
class Edits:
    """The edits of some mutants, in the order of the mutants and then of their positions.

    Parameters
    ----------
    sequence : ndarray of int, shape (mutants,)
        Which sequence each mutant changes.
    mutant : ndarray of int, shape (edits,)
        Which mutant each edit belongs to, ascending.
    start : ndarray of int, shape (edits,)
        First position that an edit replaces.
    replacement : tuple of ndarray, each (width, channels)
        What stands there instead.
    """

    sequence: np.ndarray
    mutant: np.ndarray
    start: np.ndarray
    replacement: tuple[np.ndarray, ...]

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def stop(self) -> np.ndarray:
        """The position behind each edit, shape (edits,)."""
        widths = np.array([len(each) for each in self.replacement], np.int64)
        return self.start + widths

    def some(self, mutants: np.ndarray) -> Edits:
        """Those of some mutants, given in ascending order and numbered anew."""
        number = np.full(len(self), -1)
        number[mutants] = np.arange(len(mutants))
        kept = np.flatnonzero(number[self.mutant] >= 0)
        return Edits(
            self.sequence[mutants],
            number[self.mutant[kept]],
            self.start[kept],
            tuple(self.replacement[i] for i in kept),
        )


def has_several(start: Any) -> bool:
    """Whether the starts that a caller gives are lists, one per mutant."""
    return isinstance(start, list | tuple) and any(np.ndim(each) > 0 for each in start)


def check_edits(
    sequence: Any, start: Any, replacement: Any, shape: tuple[int, int, int], channels_first: bool
) -> Edits:
    """Lists of edits, checked.

    Parameters
    ----------
    sequence : array of int, shape (M,)
    start : sequence of M sequences of int
    replacement : sequence of M sequences of arrays, each (width, C)
        (C, width) with `channels_first`.
    shape : tuple of int
        Of the sequences that are changed: (N, L, C).
    channels_first : bool

    Raises
    ------
    FastISMError
        For lists that do not belong together, edits outside the sequences, and edits of one mutant
        that overlap.
    """
    numbers = np.asarray(sequence)
    count = len(start)
    if numbers.shape != (count,) or numbers.dtype.kind not in "iu" or len(replacement) != count:
        raise FastISMError(
            f"start lists the edits of {count} mutants; expected as many integers in sequence and "
            f"as many lists in replacement, got shape {numbers.shape} and {len(replacement)}."
        )
    if count and (numbers.min() < 0 or numbers.max() >= shape[0]):
        raise FastISMError(
            f"sequence reaches from {numbers.min()} to {numbers.max()}; there are {shape[0]}."
        )
    mutant: list[int] = []
    starts: list[int] = []
    replaced: list[np.ndarray] = []
    for number, (places, news) in enumerate(zip(start, replacement, strict=True)):
        one = _checked_mutant(number, places, news, shape, channels_first)
        mutant += [number] * len(one)
        starts += [place for place, _ in one]
        replaced += [new for _, new in one]
    made = np.array(mutant, np.int64), np.array(starts, np.int64)
    return Edits(numbers.astype(np.int64), *made, tuple(replaced))


def _checked_mutant(
    number: int,
    places: Sequence[Any],
    news: Sequence[Any],
    shape: tuple[int, int, int],
    channels_first: bool,
) -> list[tuple[int, np.ndarray]]:
    """Start and replacement of the edits of one mutant, by position."""
    starts = np.asarray(places)
    if starts.ndim != 1 or (starts.size and starts.dtype.kind not in "iu"):
        raise FastISMError(f"start of mutant {number} must be a list of integers; got {places!r}.")
    if len(news) != len(starts):
        raise FastISMError(
            f"Mutant {number} has {len(starts)} starts and {len(news)} replacements; expected one "
            "replacement for each start."
        )
    edits: list[tuple[int, np.ndarray]] = []
    for place, new in zip(starts.tolist(), news, strict=True):
        array = np.asarray(new, dtype=np.float64)
        array = array.T if channels_first else array
        if array.ndim != 2 or array.shape[1] != shape[2] or not len(array):
            rest = (shape[2], "width") if channels_first else ("width", shape[2])
            raise FastISMError(
                f"A replacement of mutant {number} has shape {np.shape(new)}; expected {rest}."
            )
        if not np.isfinite(array).all():
            raise FastISMError(f"A replacement of mutant {number} holds NaN or infinite values.")
        if place < 0 or place + len(array) > shape[1]:
            raise FastISMError(
                f"Mutant {number} replaces positions {place} to {place + len(array)} of sequences "
                f"that have {shape[1]}."
            )
        edits.append((place, array))
    edits.sort(key=lambda edit: edit[0])
    for (first, array), (second, _) in pairwise(edits):
        if first + len(array) > second:
            raise FastISMError(
                f"Two edits of mutant {number} replace position {second}; expected edits that do "
                "not overlap. Put them together into one."
            )
    return edits

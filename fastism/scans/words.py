"""Checks on what users hand to scans, and its translation to rows of characters.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastism.calls.inputs import host_array
from fastism.errors import FastISMError
from fastism.sequences import DNA, one_hot

ANCHORS = ("left", "right")


def check_anchor(anchor: str) -> None:
    """Raise unless `anchor` names an end of the sequence."""
    if anchor not in ANCHORS:
        raise FastISMError(
            f"anchor={anchor!r} is not known; give the end of the sequence that stays where it "
            'is, "left" or "right".'
        )


def check_widths(width: Any, length: int) -> list[int]:
    """Widths of deletions as a list.

    Raises
    ------
    FastISMError
        Unless every one is a whole number from 1 to `length`.
    """
    widths = list(width) if isinstance(width, (Sequence, np.ndarray)) else [width]
    for value in widths:
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise FastISMError(f"A deletion has a whole number of letters; got {value!r}.")
        if not 1 <= value <= length:
            raise FastISMError(
                f"A deletion has 1 to {length} letters, the length of the sequence; got {value}."
            )
    if not widths:
        raise FastISMError("No width of a deletion was given; give at least one.")
    return [int(value) for value in widths]


def check_fill(fill: Any, x: np.ndarray, width: int, channels_first: bool) -> np.ndarray:
    """What moves in at an end, shape (N, at least `width`, C).

    Parameters
    ----------
    fill : "N", str, sequence of str, or array
        As `Scans.deletions` takes it.
    x : ndarray, shape (N, L, C)
    width : int
        The widest deletion.
    channels_first : bool
        Whether arrays come as (C, F) and (N, C, F).

    Raises
    ------
    FastISMError
        If it does not fit the sequences, or is shorter than `width`.
    """
    count, _, characters = x.shape
    if isinstance(fill, str) and fill == "N":
        return np.zeros((count, width, characters), x.dtype)
    if isinstance(fill, str) or (isinstance(fill, (list, tuple)) and isinstance(fill[0], str)):
        rows = _encoded(fill, characters)
    else:
        rows = host_array(fill, "fill")
        rows = rows.swapaxes(-1, -2) if channels_first and rows.ndim in (2, 3) else rows
    rows = rows[None] if rows.ndim == 2 else rows
    fits = rows.ndim == 3 and rows.shape[0] in (1, count) and rows.shape[2] == characters
    if not fits or rows.shape[1] < width:
        raise FastISMError(
            f"fill has shape {rows.shape} (positions before characters); expected at least {width} "
            f"positions of {characters} characters, for all of the {count} sequences or each."
        )
    return np.broadcast_to(rows, (count, *rows.shape[1:])).astype(x.dtype)


def check_words(
    words: Any, x: np.ndarray, channels_first: bool
) -> tuple[list[str], list[np.ndarray]]:
    """Names and rows (width, C) of the words to insert.

    Raises
    ------
    FastISMError
        If there is none, one is empty or longer than the sequence, or does not fit its characters.
    """
    length, characters = x.shape[1:]
    if isinstance(words, str) or (hasattr(words, "ndim") and words.ndim == 2):
        words = [words]
    names, rows = [], []
    for number, word in enumerate(words):
        if isinstance(word, str) and not word:
            raise FastISMError(f"Word {number} is empty; expected 1 to {length} letters.")
        if isinstance(word, str):
            name, row = word.upper(), _encoded(word, characters)[0]
        else:
            name, row = f"word{number + 1}", host_array(word, "A word")
            row = row.T if channels_first else row
        if row.ndim != 2 or row.shape[1] != characters or not 1 <= len(row) <= length:
            raise FastISMError(
                f"A word has shape {row.shape} (positions before characters); expected 1 to "
                f"{length} positions of {characters} characters."
            )
        names.append(name)
        rows.append(row.astype(x.dtype))
    if not rows:
        raise FastISMError("No word to insert was given; give at least one.")
    return names, rows


def _encoded(letters: str | Sequence[str], characters: int) -> np.ndarray:
    """Letters of DNA as rows (N, width, C); N gives zeros."""
    if characters != len(DNA):
        raise FastISMError(
            f"Letters are read as DNA, and this model has {characters} characters: give rows of "
            "numbers instead."
        )
    return one_hot(letters, ambiguous="zero")

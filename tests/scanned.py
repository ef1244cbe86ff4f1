"""What scans must give, made by hand: the sequences themselves, position by position."""

from __future__ import annotations

import numpy as np


def deleted(
    x: np.ndarray, width: int, before: np.ndarray, behind: np.ndarray, anchor: str
) -> np.ndarray:
    """Each position's deletion of `x` (length, characters) with what lies around it."""
    length = len(x)
    around = np.concatenate([before, x, behind])
    first = len(before)
    rows = []
    for p in range(length):
        left = around[: first + p]
        right = around[first + p + width :]
        if anchor == "left":
            rows.append(np.concatenate([left, right])[first : first + length])
        else:
            # The letters left of the deletion move to the right, away from the start.
            stop = min(p + width, length)
            kept = np.concatenate([around[: first + stop - width], x[stop:]])
            rows.append(kept[-length:])
    return np.stack(rows)


def inserted(x: np.ndarray, word: np.ndarray, anchor: str) -> np.ndarray:
    """`word` before each position of `x`, cut to its length at the end that is not the anchor."""
    length = len(x)
    longer = [np.concatenate([x[:p], word, x[p:]]) for p in range(length)]
    return np.stack([y[:length] if anchor == "left" else y[len(word) :] for y in longer])


def chimeras(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a` before each position and `b` from it on, both ends included."""
    return np.stack([np.concatenate([a[:p], b[p:]]) for p in range(len(a) + 1)])

"""Where a perturbation reaches: integer arithmetic on arrays of half-open intervals.

Requirements: numpy only. Every function is vectorised over *hulls*, the input intervals that the
planner wants to know about, so that a whole sequence is planned with a few array operations.
All intervals are 0-based and half-open, ``[start, stop)``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """One interval per hull.

    Parameters
    ----------
    start, stop : ndarray of int64, shape (hulls,)
        First position and the position after the last one. ``stop > start`` always: an interval
        that would be empty is widened to one position, which is valid because a window may always
        be larger than what can change.
    """

    start: np.ndarray
    stop: np.ndarray

    @property
    def width(self) -> np.ndarray:
        """Number of positions, shape (hulls,)."""
        return self.stop - self.start

    def shift(self, offset: int) -> Interval:
        """Move by `offset` positions."""
        return Interval(self.start + offset, self.stop + offset)

    def clip(self, length: int) -> Interval:
        """Cut to ``[0, length)``, keeping at least one position."""
        start = np.clip(self.start, 0, length - 1)
        return Interval(start, np.clip(self.stop, start + 1, length))

    def contains(self, other: Interval) -> np.ndarray:
        """Whether each interval covers the one of `other`, shape (hulls,) of bool."""
        return (self.start <= other.start) & (other.stop <= self.stop)


def hull(intervals: Iterable[Interval]) -> Interval:
    """Smallest intervals that cover all of `intervals` (at least one must be given)."""
    items = list(intervals)
    return Interval(
        np.minimum.reduce([item.start for item in items]),
        np.maximum.reduce([item.stop for item in items]),
    )


def sliding_affected(
    x: Interval, size: int, stride: int, dilation: int, pad_left: int, length: int
) -> Interval:
    """Outputs of a sliding window that read at least one position of `x`.

    Output ``q`` reads the inputs ``q * stride - pad_left + t * dilation`` for ``t < size``.

    Parameters
    ----------
    x : Interval
        Affected inputs.
    size, stride, dilation, pad_left : int
        The sliding window: taps, step, distance between taps, padding on the left.
    length : int
        Number of outputs; the result is clipped to it.
    """
    reach = (size - 1) * dilation
    start = -((reach - pad_left - x.start) // stride)
    stop = (x.stop - 1 + pad_left) // stride + 1
    return Interval(start, stop).clip(length)


def sliding_required(
    out: Interval, size: int, stride: int, dilation: int, pad_left: int
) -> Interval:
    """Inputs that the outputs `out` of a sliding window read, padding included (not clipped)."""
    start = out.start * stride - pad_left
    stop = (out.stop - 1) * stride - pad_left + (size - 1) * dilation + 1
    return Interval(start, stop)


def sliding_reads(positions: np.ndarray, span: int, stride: int, pad_left: int) -> np.ndarray:
    """Consecutive inputs that consecutive outputs of a sliding window read.

    Parameters
    ----------
    positions : ndarray of int, shape (mutants, width)
        Consecutive outputs.
    span : int
        Distance from the first to the last tap, plus one.
    stride, pad_left : int

    Returns
    -------
    ndarray of int, shape (mutants, (width - 1) * stride + span)
        Positions may lie outside of the input, where its padding is.
    """
    count = (positions.shape[1] - 1) * stride + span
    return positions[:, :1] * stride - pad_left + np.arange(count)


def sliding_length(length: int, size: int, stride: int, dilation: int, pad: int) -> int:
    """Number of outputs of a sliding window over `length` inputs and `pad` padded positions."""
    return (length + pad - (size - 1) * dilation - 1) // stride + 1


def same_padding(length: int, size: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """Left and right padding of ``padding="same"``: ``ceil(length / stride)`` outputs."""
    outputs = -(-length // stride)
    total = max((outputs - 1) * stride + (size - 1) * dilation + 1 - length, 0)
    return total // 2, total - total // 2


def uniform(x: Interval, length: int) -> Interval:
    """Windows of one common width that contain `x` and stay inside ``[0, length)``.

    Needed where array shapes must not differ from block to block: windows that would leave the
    sequence are moved inside instead of being cut.
    """
    width = min(int(x.width.max()), length)
    start = np.clip(x.start, 0, length - width)
    return Interval(start, start + width)

"""What reads a vector from a spliced tensor: prefix of the left, junction, suffix of the right.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from fastism.backends.base import Array, Backend
from fastism.rules import FlattenDense, Joining, ReadsOut, Rule


class Readout(ABC):
    """Vectors of spliced tensors, of which only the junction differs from two references."""

    @abstractmethod
    def vectors(self, window: Array, start: np.ndarray) -> Array:
        """Vectors of some mutants, shape (mutants, features).

        Parameters
        ----------
        window : array, shape (mutants, width, channels)
            Values at the junction.
        start : ndarray of int, shape (mutants,)
        """


def make_readout(b: Backend, rule: Rule, weights: Any, table: Array) -> Readout:
    """The readout of `rule` from tensors spliced from the two rows of `table`.

    Parameters
    ----------
    table : array, shape (2, length, channels)
    """
    if rule.reads_out is ReadsOut.ROWS:
        return DenseReadout(b, rule, weights, table)
    if rule.reads_out is ReadsOut.JOIN:
        return JoinReadout(b, rule, table)
    return SumReadout(b, table, mean=rule.mode == "mean")


def _before(per_position: np.ndarray) -> np.ndarray:
    """Sums over everything before each position and before the end, shape (length + 1, n)."""
    total = np.cumsum(per_position, 0, dtype=np.float64)
    return np.concatenate([np.zeros_like(total[:1]), total])


class SumReadout(Readout):
    """Sum or mean over positions."""

    def __init__(self, b: Backend, table: Array, mean: bool) -> None:
        left, right = b.to_numpy(table)
        self.b, self._before = b, _before(left)
        behind = _before(right)
        self._behind = behind[-1] - behind
        self._scale = 1.0 / len(left) if mean else 1.0

    def vectors(self, window: Array, start: np.ndarray) -> Array:  # noqa: D102
        stop = start + int(window.shape[1])
        rest = self.b.constant(self._before[start] + self._behind[stop])
        return (self.b.sum(window, 1) + rest) * self._scale


class JoinReadout(Readout):
    """What is gathered over positions and joined: a maximum, a log-sum-exp, a softmax's mean."""

    def __init__(self, b: Backend, rule: Joining, table: Array) -> None:
        self.b, self.rule = b, rule
        before, behind = rule.sides(b, table)
        self._before, self._behind = before[0], behind[1]

    def vectors(self, window: Array, start: np.ndarray) -> Array:  # noqa: D102
        rest = self.beside(start, start + int(window.shape[1]))
        return self.rule.joined(self.b, self.rule.gathered(self.b, window, 1), rest)

    def beside(self, start: np.ndarray, stop: np.ndarray) -> Array:
        """What is gathered left and right of some windows, shape (mutants, features)."""
        left, right = self.b.take(self._before, start, 0), self.b.take(self._behind, stop, 0)
        return self.rule.joined(self.b, left, right)


class DenseReadout(Readout):
    """A dense layer after Flatten: the junction's rows are multiplied as differences to the left.

    Everything but those differences is a sum of what each position of the two references gives.
    """

    def __init__(self, b: Backend, rule: FlattenDense, weights: Any, table: Array) -> None:
        self.b, self._kernel, self._table = b, weights[0], table
        both = b.to_numpy(table).transpose(1, 0, 2)
        left, right = (both @ rule.kernel.astype(both.dtype)).transpose(1, 0, 2)
        bias = 0.0 if rule.bias is None else rule.bias
        self._before, behind = _before(left) + bias, _before(right)
        self._behind = behind[-1] - behind

    def vectors(self, window: Array, start: np.ndarray) -> Array:  # noqa: D102
        count, width = (int(n) for n in window.shape[:2])
        # Junctions that begin at one position are multiplied together.
        order = np.argsort(start, kind="stable")
        positions = start[order][:, None] + np.arange(width)
        rest = self.b.constant(
            self._before[start[order] + width] + self._behind[start[order] + width]
        )
        delta = self.b.take(window, order, 0) - self.b.rows(self._table[0], positions)
        blocks = self.b.transpose(delta, (1, 0, 2))[:, :, None]
        made = self.b.flatten_dense(
            [blocks], [start[order]], self._kernel, rest, [np.arange(count)]
        )
        return self.b.take(made, np.argsort(order), 0)

"""Softmax over all positions, and the sum of values that it weights: attention pooling.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.rules.base import (
    Array,
    Joining,
    ReadoutCall,
    ReadsOut,
    Rule,
    Shape,
    require_sequence,
)

if TYPE_CHECKING:
    from fastism.backends.base import Backend


@dataclass(frozen=True, eq=False)
class PositionSoftmax(Rule):
    """Softmax over the positions of every channel, which changes all of them."""

    local: ClassVar[bool] = False
    reach: ClassVar[str] = "a softmax over positions weighs every position against all others"

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return require_sequence("A softmax over positions", shapes[0])

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        (x,) = inputs
        raised = b.function("exp", x - b.max(x, 1)[:, None])
        return raised / b.sum(raised, 1)[:, None]


@dataclass(frozen=True, eq=False)
class GlobalSoftmaxPool(Joining):
    """What a sum of values weighted by the softmax of their logits over positions is made of.

    The input is ``(length, logits + values)``: logits and values side by side. The output is a
    vector of three parts: the largest logit, the sum of ``exp(logit - largest)``, and the sum of
    values times that. The third divided by the second is the weighted sum. Windows are summed
    anew and joined with what lies beside them, relative to the larger of both maxima, so that the
    result is exact too where a mutant removes the one position that outweighs all others.

    Parameters
    ----------
    logits : int
        Channels of logits: 1 for all values alike, or one for each of them.
    """

    logits: int

    reads_out: ClassVar[ReadsOut] = ReadsOut.JOIN

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        channels = require_sequence("A pool weighted by a softmax", shapes[0])[1]
        values = channels - self.logits
        if values < 1 or self.logits not in (1, values):
            raise FastISMError(
                f"A pool weighted by a softmax got {channels} channels of which {self.logits} are "
                "logits; one for all values, or one for each of them, is expected."
            )
        return (2 * self.logits + values,)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        return self.gathered(b, inputs[0], 1)

    def gathered(self, b: Backend, x: Array, axis: int) -> Array:
        """The three parts of some positions along one axis."""
        most = self._at_least(b, b.max(x[..., : self.logits], axis))
        place = (slice(None),) * axis
        raised = b.function("exp", x[..., : self.logits] - most[(*place, None)])
        total = b.sum(raised * x[..., self.logits :], axis)
        return b.concatenate([most, b.sum(raised, axis), total], len(total.shape) - 1)

    def joined(self, b: Backend, x: Array, y: Array) -> Array:
        """The three parts of two parts of the positions."""
        count = self.logits
        most = b.maximum(x[..., :count], y[..., :count])
        first, second = (b.function("exp", z[..., :count] - most) for z in (x, y))
        sums = x[..., count : 2 * count] * first + y[..., count : 2 * count] * second
        total = x[..., 2 * count :] * first + y[..., 2 * count :] * second
        return b.concatenate([most, sums, total], len(total.shape) - 1)

    def sides(self, b: Backend, x: Array) -> tuple[Array, Array]:
        """The three parts of everything left of each position, and from each position on."""
        alone = self._alone(b, x)
        rows, _, features = b.shape(alone)
        zeros = np.zeros(int(alone.shape[2]) - self.logits)
        nothing = b.constant(np.concatenate([self._lowest(b), zeros])[None, None])
        nothing = b.broadcast(nothing, (rows, 1, features))
        both = self._running(b, b.concatenate([alone, b.flip(alone, 1)], 0))
        left, right = both[:rows], b.flip(both[rows:], 1)
        return b.concatenate([nothing, left], 1), b.concatenate([right, nothing], 1)

    def read_window(self, b: Backend, weights: Any, call: ReadoutCall) -> Array:
        return self.joined(b, self.gathered(b, call.window, 0), call.beside())

    def _at_least(self, b: Backend, logits: Array) -> Array:
        """Logits of minus infinity, as of positions that a mask leaves out, as a number."""
        return b.maximum(logits, b.constant(self._lowest(b)))

    def _lowest(self, b: Backend) -> np.ndarray:
        """The smallest number there is: the largest logit of no positions at all."""
        return np.full(self.logits, np.finfo(b.dtype).min)

    def _alone(self, b: Backend, x: Array) -> Array:
        """The three parts of every position alone, ``(sequences, length, features)``."""
        most = self._at_least(b, x[..., : self.logits])
        raised = b.function("exp", x[..., : self.logits] - most)
        return b.concatenate([most, raised, raised * x[..., self.logits :]], 2)

    def _running(self, b: Backend, parts: Array) -> Array:
        """The three parts of everything up to each position, in steps that double."""
        step, length = 1, int(parts.shape[1])
        while step < length:
            both = self.joined(b, parts[:, :-step], parts[:, step:])
            parts = b.concatenate([parts[:, :step], both], 1)
            step *= 2
        return parts

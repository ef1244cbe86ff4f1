"""Pooling over neighbouring positions and over the whole sequence.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.intervals import (
    Interval,
    hull,
    sliding_affected,
    sliding_length,
    sliding_reads,
    sliding_required,
)
from fastism.rules.base import (
    Array,
    Joining,
    Kind,
    ReadoutCall,
    ReadsOut,
    Rule,
    Shape,
    WindowCall,
    require_sequence,
)

if TYPE_CHECKING:
    from fastism.backends.base import Backend


@dataclass(frozen=True, eq=False)
class _Pool(Rule):
    """Shared geometry: `size` neighbours every `stride` positions.

    Parameters
    ----------
    size, stride : int
    pad : tuple of int
        Positions added on the left and on the right; they never win a maximum.
    """

    size: int
    stride: int
    pad: tuple[int, int] = (0, 0)

    @property
    def shares_memory(self) -> bool:  # type: ignore[override]
        """Pooling over one position only picks positions."""
        return self.size == 1

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        length, channels = require_sequence("Pooling", shapes[0])
        out = sliding_length(length, self.size, self.stride, 1, sum(self.pad))
        if out < 1:
            raise FastISMError(
                f"Pooling over {self.size} positions does not fit an input of length {length}."
            )
        return out, channels

    def affected(self, inputs: Sequence[Interval | None], length: int) -> Interval:
        return sliding_affected(inputs[0], self.size, self.stride, 1, self.pad[0], length)

    def required(self, out: Interval) -> Interval:
        return sliding_required(out, self.size, self.stride, 1, self.pad[0])

    def frame(self, out: Interval) -> Interval:
        return self.required(out)

    def reads(self, positions: np.ndarray) -> np.ndarray:
        return sliding_reads(positions, self.size, self.stride, self.pad[0])

    def _aligned(self, b: Backend, call: WindowCall, fill: float) -> Array:
        read = (call.width - 1) * self.stride + self.size
        return b.place(call.inputs[0], call.offsets[0], read, fill)


@dataclass(frozen=True, eq=False)
class MaxPool(_Pool):
    """Maximum over `size` neighbours: on values, aligned to the pooling grid.

    Parameters
    ----------
    sign : ndarray of 1 and -1 or None, shape (channels,)
        Channels with -1 take the minimum instead (a maximum after a negative factor).
    negated : bool
        Whether these channels of the input are negated already, so that the maximum is taken of
        the input as it is, and negated back.
    """

    sign: np.ndarray | None = None
    negated: bool = False

    def sign_times(self, sign: np.ndarray) -> np.ndarray | None:
        """This pool's signs times `sign`; None if all are positive."""
        product = sign if self.sign is None else self.sign * sign
        return product if (product < 0).any() else None

    def prepare(self, b: Backend) -> Array | None:
        return None if self.sign is None else b.constant(self.sign)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        y = b.max_pool(self._upright(weights, inputs[0]), self.size, self.stride, self.pad)
        return y if weights is None else y * weights

    def outside(self, channels: int) -> np.ndarray:
        """Padding never wins, be it a maximum or, where the sign is negative, a minimum."""
        upright = self.sign is None or self.negated
        return np.full(channels, -np.inf) if upright else -np.inf * self.sign

    def values(
        self, b: Backend, weights: Any, inputs: Sequence[Array], positions: np.ndarray
    ) -> Array:
        y = b.max_pool(self._upright(weights, inputs[0]), self.size, self.stride, (0, 0))
        return y if weights is None else y * weights

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        x = self._upright(weights, call.inputs[0])
        x = self._aligned(b, replace(call, inputs=[x]), -np.inf)
        y = b.pool_window(x, self.size, self.stride, call.width, "max")
        return y if weights is None else y * weights

    def _upright(self, sign: Any, x: Array) -> Array:
        """The input with the channels negated that take the minimum."""
        return x if sign is None or self.negated else x * sign


@dataclass(frozen=True, eq=False)
class AveragePool(_Pool):
    """Mean over `size` neighbours; linear, so it acts on deltas.

    Parameters
    ----------
    count_padding : bool
        Whether padded positions count in the divisor (as in PyTorch; not in Keras).
    """

    count_padding: bool = False
    length: int = 0

    consumes: ClassVar[Kind] = Kind.DELTA

    def prepare(self, b: Backend) -> Array | None:
        """One over the number of positions averaged, ``(1, outputs, 1)``; None if constant."""
        if self.count_padding or self.pad == (0, 0):
            return None
        count = sliding_length(self.length, self.size, self.stride, 1, sum(self.pad))
        read = np.arange(count)[:, None] * self.stride - self.pad[0] + np.arange(self.size)
        inside = ((read >= 0) & (read < self.length)).sum(1)
        return b.constant((1.0 / np.maximum(inside, 1))[None, :, None])

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        total = b.sum_pool(inputs[0], self.size, self.stride, self.pad)
        return total * (1.0 / self.size if weights is None else weights)

    def values(
        self, b: Backend, weights: Any, inputs: Sequence[Array], positions: np.ndarray
    ) -> Array:
        total = b.sum_pool(inputs[0], self.size, self.stride, (0, 0))
        return total * (1.0 / self.size if weights is None else b.rows(weights[0], positions))

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        total = b.pool_window(
            self._aligned(b, call, 0.0), self.size, self.stride, call.width, "sum"
        )
        return total * (1.0 / self.size if weights is None else call.lookup(weights))


@dataclass(frozen=True, eq=False)
class SoftmaxPool(_Pool):
    """Mean over `size` neighbours, weighted by the softmax of their logits: attention pooling.

    Two inputs: values ``(length, channels)`` and logits ``(length, channels)`` or ``(length, 1)``.
    Groups do not overlap and are not padded, ``stride == size``.
    """

    shares_memory: ClassVar[bool] = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if len(shapes) != 2 or shapes[0][0] != shapes[1][0] or self.stride != self.size:
            raise FastISMError(
                f"Attention pooling over {self.size} positions got tensors of shapes {shapes}."
            )
        length, channels = super().output_shape(shapes)
        return length, max(channels, shapes[1][1])

    def local_for(self, shapes: Sequence[Shape], affected: Sequence[bool]) -> bool:
        return all(affected)

    def affected(self, inputs: Sequence[Interval | None], length: int) -> Interval:
        return hull(_Pool.affected(self, [x], length) for x in inputs if x is not None)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        x, logits = (y[:, : y.shape[1] // self.size * self.size] for y in inputs)
        most = b.max_pool(logits, self.size, self.size, (0, 0))
        raised = b.function("exp", logits - b.repeat(most, self.size, 1))
        total = b.sum_pool(raised * x, self.size, self.size, (0, 0))
        return total / b.sum_pool(raised, self.size, self.size, (0, 0))

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        given = (self.size, self.size, call.width)
        placed = [
            b.place(x, offset, call.width * self.size)
            for x, offset in zip(call.inputs, call.offsets, strict=True)
        ]
        most = b.repeat(b.pool_window(placed[1], *given, "max"), self.size, 0)
        raised = b.function("exp", placed[1] - most)
        total = b.pool_window(raised * placed[0], *given, "sum")
        return total / b.pool_window(raised, *given, "sum")


#: By the mode of a global pool that joins: the primitive over an axis, that of two arrays, and that
#: of everything up to each position.
_JOINS: dict[str, tuple[str, str, str]] = {
    "max": ("max", "maximum", "running_max"),
    "logsumexp": ("log_sum_exp", "log_add_exp", "running_log_sum_exp"),
}


@dataclass(frozen=True, eq=False)
class GlobalPool(Joining):
    """One number of every channel from all positions: ``(length, channels)`` to ``(channels,)``.

    The log-sum-exp is taken anew of what the window holds and of everything beside it, so that
    it stays exact where a mutant removes the one position that outweighs all others.

    Parameters
    ----------
    mode : {"mean", "sum", "max", "logsumexp"}
    """

    mode: str

    @property
    def consumes(self) -> Kind:  # type: ignore[override]
        """The mean and the sum are linear."""
        return Kind.VALUES if self.mode in _JOINS else Kind.DELTA

    @property
    def reads_out(self) -> ReadsOut:  # type: ignore[override]
        """The mean is a sum times a factor."""
        return ReadsOut.JOIN if self.mode in _JOINS else ReadsOut.SUM

    def gathered(self, b: Backend, x: Array, axis: int) -> Array:
        """The maximum or log-sum-exp along one axis."""
        return getattr(b, _JOINS[self.mode][0])(x, axis)

    def joined(self, b: Backend, x: Array, y: Array) -> Array:
        """What is gathered of two parts, from what is gathered of each; with broadcasting."""
        return getattr(b, _JOINS[self.mode][1])(x, y)

    def sides(self, b: Backend, x: Array) -> tuple[Array, Array]:
        """What is gathered of everything left of each position, and from each position on."""
        running = getattr(b, _JOINS[self.mode][2])
        left, right = running(x, 1), b.flip(running(b.flip(x, 1), 1), 1)
        return b.pad(left, 1, 0, -np.inf), b.pad(right, 0, 1, -np.inf)

    def factor(self, length: int) -> float:
        """What the sum over positions is multiplied with."""
        return 1.0 / length if self.mode == "mean" else 1.0

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return (require_sequence("Global pooling", shapes[0])[1],)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        if self.mode in _JOINS:
            return self.gathered(b, inputs[0], 1)
        total = b.sum(inputs[0], 1)
        return total if self.mode == "sum" else total * self.factor(inputs[0].shape[1])

    def read_window(self, b: Backend, weights: Any, call: ReadoutCall) -> Array:
        if self.mode in _JOINS:
            return self.joined(b, self.gathered(b, call.window, 0), call.beside())
        return b.sum(call.window, 0) * self.factor(call.length) + call.reference()[:, None]

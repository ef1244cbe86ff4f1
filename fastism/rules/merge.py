"""Operations that join several tensors: sums, products, extremes, concatenation.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.rules.base import Array, Kind, Rule, Shape, WindowCall, require_sequence

if TYPE_CHECKING:
    from fastism.backends.base import Backend


def broadcast_shapes(shapes: Sequence[Shape]) -> Shape:
    """Common shape of tensors without their batch axis; short ones get axes on the left."""
    try:
        return tuple(np.broadcast_shapes(*shapes))
    except ValueError:
        raise FastISMError(f"Tensors of shapes {list(shapes)} cannot be merged.") from None


def _same_rank(b: Backend, inputs: Sequence[Array]) -> list[Array]:
    """Insert axes of size one after the batch axis, so that shapes broadcast."""
    rank = max(len(x.shape) for x in inputs)
    return [
        x
        if len(x.shape) == rank
        else b.reshape(x, (-1, *(1,) * (rank - len(x.shape)), *x.shape[1:]))
        for x in inputs
    ]


class _Merge(Rule):
    """Shared by all merges: an affected input that is stretched along positions is not local."""

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return broadcast_shapes(shapes)

    def local_for(self, shapes: Sequence[Shape], affected: Sequence[bool]) -> bool:
        shape = self.output_shape(shapes)
        return all(
            len(s) == 2 and s[0] == shape[0] for s, a in zip(shapes, affected, strict=True) if a
        )


@dataclass(frozen=True, eq=False)
class WeightedSum(_Merge):
    """``sum_i weights[i] * x_i``: Add, Subtract and Average.

    Parameters
    ----------
    weights : tuple of float
        One per input.
    """

    weights: tuple[float, ...]

    consumes: ClassVar[None] = None
    accumulates: ClassVar[bool] = True

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        terms = zip(_same_rank(b, inputs), self.weights, strict=True)
        return reduce(lambda x, y: x + y, (x if w == 1 else x * w for x, w in terms))

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        inputs, wide = call.inputs, max(call.channels)
        if all(x is None or c < wide for x, c in zip(inputs, call.channels, strict=True)):
            # Only an input without a window has all channels: the others are stretched to it.
            ones = b.constant(np.ones(wide))
            inputs = [None if x is None else x * ones for x in inputs]
        return b.add_windows(inputs, self.weights, call.offsets, call.width, call.base, call.reuse)


@dataclass(frozen=True, eq=False)
class Elementwise(_Merge):
    """Product, quotient, maximum or minimum of tensors, element by element.

    Parameters
    ----------
    operation : {"multiply", "divide", "maximum", "minimum"}
    """

    operation: str

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        return self._combine(b, _same_rank(b, inputs))

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        placed = [
            b.place(x, offset, call.width)
            for x, offset in zip(call.inputs, call.offsets, strict=True)
        ]
        return self._combine(b, placed)

    def _combine(self, b: Backend, values: Sequence[Array]) -> Array:
        operations = {
            "multiply": lambda x, y: x * y,
            "divide": lambda x, y: x / y,
            "maximum": b.maximum,
            "minimum": b.minimum,
        }
        return reduce(operations[self.operation], values)


@dataclass(frozen=True, eq=False)
class Concatenate(Rule):
    """Tensors side by side.

    Parameters
    ----------
    axis : int
        Counted without the batch axis: 0 positions, 1 channels (0 features, for vectors).
    """

    axis: int

    consumes: ClassVar[None] = None

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        rest = {s[: self.axis] + s[self.axis + 1 :] for s in shapes}
        if len(rest) != 1:
            raise FastISMError(f"Tensors of shapes {list(shapes)} cannot be concatenated.")
        joined = list(shapes[0])
        joined[self.axis] = sum(s[self.axis] for s in shapes)
        return tuple(joined)

    def local_for(self, shapes: Sequence[Shape], affected: Sequence[bool]) -> bool:
        return self.axis == 1 and len(shapes[0]) == 2

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        return b.concatenate(list(inputs), self.axis + 1)

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        placed = [
            None if x is None else b.place(x, offset, call.width)
            for x, offset in zip(call.inputs, call.offsets, strict=True)
        ]
        return b.join_channels(placed, call.channels)


@dataclass(frozen=True, eq=False)
class ConstantChannels(Rule):
    """A tensor with constant channels before and behind its own: flags, controls, zeros.

    Parameters
    ----------
    before, behind : ndarray, shape (length, channels)
        Either may have no channels.
    """

    before: np.ndarray
    behind: np.ndarray

    consumes: ClassVar[None] = None

    @property
    def shares_memory(self) -> bool:  # type: ignore[override]
        """Where there are no channels to add, the tensor stays what it is."""
        return not self.before.shape[1] and not self.behind.shape[1]

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        length, channels = require_sequence("A tensor beside constant channels", shapes[0])
        if {len(self.before), len(self.behind)} != {length}:
            raise FastISMError(
                f"Constant channels of {len(self.before)} positions got shape {shapes[0]}."
            )
        return length, self.before.shape[1] + channels + self.behind.shape[1]

    def prepare(self, b: Backend) -> tuple[Array | None, Array | None]:
        tables = (self.before, self.behind)
        return tuple(b.constant(v[None]) if v.shape[1] else None for v in tables)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        before, behind = weights
        rows = b.shape(inputs[0])[0]
        sides = [
            None if v is None else b.broadcast(v, (rows, *v.shape[1:])) for v in (before, behind)
        ]
        parts = [sides[0], inputs[0], sides[1]]
        return b.concatenate([x for x in parts if x is not None], 2)

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        x = b.place(call.inputs[0], call.offsets[0], call.width)
        if self.shares_memory:
            return x
        values = call.kind is Kind.VALUES
        sides = [None if v is None or not values else call.lookup(v) for v in weights]
        own = call.channels[0]
        parts = [(sides[0], self.before.shape[1]), (x, own), (sides[1], self.behind.shape[1])]
        kept = [(y, count) for y, count in parts if count]
        return b.join_channels([y for y, _ in kept], [count for _, count in kept])

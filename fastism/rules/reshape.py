"""Operations that move positions about: crop, pad, upsample, flip, flatten, reshape.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.intervals import Interval
from fastism.rules.base import Array, Kind, Rule, Shape, WindowCall, require_sequence

if TYPE_CHECKING:
    from fastism.backends.base import Backend


@dataclass(frozen=True, eq=False)
class Shift(Rule):
    """Crop (negative) or zero-pad (positive) positions on both sides.

    Parameters
    ----------
    left, right : int
        Positions added; negative to crop.
    """

    left: int
    right: int

    consumes: ClassVar[Kind] = Kind.DELTA
    shares_memory: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        length, channels = require_sequence("Cropping or padding", shapes[0])
        if length + min(self.left, 0) + min(self.right, 0) < 1:
            raise FastISMError(f"Cropping leaves nothing of an input of length {length}.")
        return length + self.left + self.right, channels

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        x = inputs[0]
        first, last = max(-self.left, 0), x.shape[1] - max(-self.right, 0)
        return b.pad(x[:, first:last], max(self.left, 0), max(self.right, 0))

    def placed(self, x: Interval) -> Interval:
        return x.shift(self.left)

    def reads(self, positions: np.ndarray) -> np.ndarray:
        return positions - self.left

    def values(
        self, b: Backend, weights: Any, inputs: Sequence[Array], positions: np.ndarray
    ) -> Array:
        return inputs[0]

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        return b.place(call.inputs[0], call.offsets[0], call.width)


@dataclass(frozen=True, eq=False)
class Upsample(Rule):
    """Every position `factor` times, or once followed by zeros.

    Parameters
    ----------
    factor : int
    zeros : bool
        Insert zeros instead of copies, between positions only (the first half of a strided
        transposed convolution).
    """

    factor: int
    zeros: bool = False

    consumes: ClassVar[Kind] = Kind.DELTA

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        length, channels = require_sequence("Upsampling", shapes[0])
        return (length - 1) * self.factor + 1 if self.zeros else length * self.factor, channels

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        x = inputs[0]
        if not self.zeros:
            return b.repeat(x, self.factor, 1)
        return b.insert_zeros(x, self.factor, 1)[:, : (x.shape[1] - 1) * self.factor + 1]

    def placed(self, x: Interval) -> Interval:
        return Interval(x.start * self.factor, x.stop * self.factor)

    def reads(self, positions: np.ndarray) -> np.ndarray:
        if self.zeros:
            return np.where(positions % self.factor, -1, positions // self.factor)
        return positions // self.factor

    def values(
        self, b: Backend, weights: Any, inputs: Sequence[Array], positions: np.ndarray
    ) -> Array:
        return inputs[0]

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        spread = b.insert_zeros if self.zeros else b.repeat
        return b.place(spread(call.inputs[0], self.factor, 0), call.offsets[0], call.width)


@dataclass(frozen=True, eq=False)
class Flip(Rule):
    """Reverse the positions, the channels, or both (reverse complement of one-hot DNA).

    Parameters
    ----------
    length : int
        Number of positions.
    positions, channels : bool
        What is reversed.
    """

    length: int
    positions: bool = True
    channels: bool = False

    consumes: ClassVar[None] = None
    shares_memory: ClassVar[bool] = True

    @property
    def reverses(self) -> bool:  # type: ignore[override]
        """Reversed positions exchange left and right; reversed channels do not."""
        return self.positions

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return require_sequence("Flipping", shapes[0])

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        x = b.flip(inputs[0], 1) if self.positions else inputs[0]
        return b.flip(x, 2) if self.channels else x

    def required(self, out: Interval) -> Interval:
        return self.placed(out)

    def placed(self, x: Interval) -> Interval:
        if not self.positions:
            return x
        return Interval(self.length - x.stop, self.length - x.start)

    def reads(self, positions: np.ndarray) -> np.ndarray:
        return self.length - 1 - positions if self.positions else positions

    def values(
        self, b: Backend, weights: Any, inputs: Sequence[Array], positions: np.ndarray
    ) -> Array:
        return b.flip(inputs[0], 2) if self.channels else inputs[0]

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        x = b.flip(call.inputs[0], 0) if self.positions else call.inputs[0]
        return b.place(b.flip(x, 3) if self.channels else x, call.offsets[0], call.width)


@dataclass(frozen=True, eq=False)
class Channels(Rule):
    """Some neighbouring channels of every position, or entries of a vector.

    Parameters
    ----------
    start, stop : int
        Half-open.
    """

    start: int
    stop: int

    consumes: ClassVar[None] = None
    shares_memory: ClassVar[bool] = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if not 0 <= self.start < self.stop <= shapes[0][-1]:
            raise FastISMError(
                f"Channels {self.start} to {self.stop} are not among those of shape {shapes[0]}."
            )
        return (*shapes[0][:-1], self.stop - self.start)

    def local_for(self, shapes: Sequence[Shape], affected: Sequence[bool]) -> bool:
        return len(shapes[0]) == 2

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        return inputs[0][..., self.start : self.stop]

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        x = b.place(call.inputs[0], call.offsets[0], call.width)
        return x[..., self.start : self.stop]


@dataclass(frozen=True, eq=False)
class Reshape(Rule):
    """Another shape for the same elements in the same order, or with axes permuted first.

    Not local: a dense layer that reads a flattened tensor becomes `FlattenDense` instead.

    Parameters
    ----------
    shape : tuple of int
        Shape of the result without the batch axis.
    permutation : tuple of int or None
        Order of the input's axes without the batch axis.
    """

    shape: Shape
    permutation: tuple[int, ...] | None = None

    local: ClassVar[bool] = False

    @property
    def flattens(self) -> bool:
        """Whether this is a flatten to one axis, in any order of the axes."""
        return len(self.shape) == 1

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if prod(shapes[0]) != prod(self.shape):
            raise FastISMError(f"A tensor of shape {shapes[0]} cannot become {self.shape}.")
        return self.shape

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        x = inputs[0]
        if self.permutation is not None:
            x = b.transpose(x, (0, *(axis + 1 for axis in self.permutation)))
        return b.reshape(x, (-1, *self.shape))

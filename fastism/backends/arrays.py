"""The second of three protocols that a framework offers: plain operations on arrays.

Requirements: numpy only. A framework whose functions are called as in NumPy names their module as
`Arrays.xp` and has most of this; another one overrides the methods that use it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from fastism.backends.transfer import Array, Transfer


class Arrays(Transfer):
    """Operations on whole tensors, channels last.

    Attributes
    ----------
    xp : module
        Functions of arrays by NumPy's names, where the framework has them.
    """

    xp: ClassVar[Any] = None

    def upload(self, arrays: Sequence[np.ndarray]) -> list[Array]:
        """Copy several arrays of one type to the device in one transfer; floats become `dtype`."""
        flat = self.asarray(np.concatenate([x.reshape(-1) for x in arrays]))
        ends = np.cumsum([x.size for x in arrays]).tolist()
        return [
            self.reshape(flat[end - x.size : end], x.shape)
            for x, end in zip(arrays, ends, strict=True)
        ]

    def prepare_kernel(self, kernel: np.ndarray) -> Array:
        """A convolution kernel ``(taps, in / groups, out)`` in the form that `conv1d` wants."""
        return self.constant(kernel)

    def prepare_matrix(self, matrix: np.ndarray) -> Array:
        """A matrix ``(in, out)`` in the form that `matmul` wants on its right."""
        return self.constant(matrix)

    @abstractmethod
    def conv1d(
        self,
        x: Array,
        kernel: Array,
        stride: int,
        dilation: int,
        groups: int,
        pad: tuple[int, int],
    ) -> Array:
        """Convolution of ``(batch, length, in)`` with zero padding, channels last."""

    def conv_rows(self, x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
        """As `conv1d` without padding, for results that are read row by row.

        A backend that has a layout in which channels lie side by side gives it.
        """
        return self.conv1d(x, kernel, stride, dilation, groups, (0, 0))

    def max_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        """Maximum over neighbours of ``(batch, length, channels)``; padding never wins."""
        padded = self.pad(x, *pad, value=-np.inf)
        return self._pooled(padded, size, stride, self.maximum)

    def sum_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        """Sum over neighbours of ``(batch, length, channels)``, zero padded."""
        return self._pooled(self.pad(x, *pad), size, stride, lambda a, b: a + b)

    def _pooled(
        self, x: Array, size: int, stride: int, combine: Callable[[Array, Array], Array]
    ) -> Array:
        last = x.shape[1] - size + 1
        return reduce(combine, [x[:, i : i + last : stride] for i in range(size)])

    @abstractmethod
    def function(self, name: str, x: Array, reuse: bool = False, **parameters: Any) -> Array:
        """A function of `fastism.rules.pointwise` on an array with channels last.

        `reuse` allows the result to take the memory of `x`.
        """

    def layer_norm(self, x: Array, epsilon: float, centre: bool) -> Array:
        """Normalise over the last axis; without `centre` by the root mean square."""
        channels = x.shape[-1]
        keep = (*self.shape(x)[:-1], 1)
        if centre:
            x = x - self.reshape(self.sum(x, len(x.shape) - 1) / channels, keep)
        square = self.reshape(self.sum(x * x, len(x.shape) - 1) / channels, keep)
        return x * (square + epsilon) ** -0.5

    @abstractmethod
    def matmul(self, x: Array, y: Array) -> Array:
        """Matrix product over the last axis of `x` and the first of the matrix `y`."""

    def maximum(self, x: Array, y: Array) -> Array:
        """Element-wise maximum with broadcasting."""
        return self.xp.maximum(x, y)

    def minimum(self, x: Array, y: Array) -> Array:
        """Element-wise minimum with broadcasting."""
        return self.xp.minimum(x, y)

    def max(self, x: Array, axis: int) -> Array:
        """Maximum along one axis."""
        return self.xp.max(x, axis)

    def sum(self, x: Array, axis: int) -> Array:
        """Sum along one axis."""
        return self.xp.sum(x, axis)

    def running_max(self, x: Array, axis: int) -> Array:
        """Maximum of everything up to each position."""
        return self.xp.maximum.accumulate(x, axis)

    def log_add_exp(self, x: Array, y: Array) -> Array:
        """Logarithm of the sum of two exponentials, with broadcasting."""
        return self.xp.logaddexp(x, y)

    def log_sum_exp(self, x: Array, axis: int) -> Array:
        """Logarithm of the sum of the exponentials along one axis."""
        return self.xp.logaddexp.reduce(x, axis)

    def running_log_sum_exp(self, x: Array, axis: int) -> Array:
        """Log-sum-exp of everything up to each position."""
        return self.xp.logaddexp.accumulate(x, axis)

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        """Another shape; at most one -1."""
        return self.xp.reshape(x, tuple(shape))

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        """Permute the axes."""
        return self.xp.transpose(x, tuple(axes))

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """Join along an axis."""
        return arrays[0] if len(arrays) == 1 else self.xp.concatenate(list(arrays), axis)

    def flip(self, x: Array, axis: int) -> Array:
        """Reverse an axis."""
        return self.xp.flip(x, axis)

    def repeat(self, x: Array, times: int, axis: int) -> Array:
        """Repeat every element along an axis."""
        return self.xp.repeat(x, times, axis)

    def pad(self, x: Array, left: int, right: int, value: float = 0.0) -> Array:
        """Pad axis 1 of ``(batch, length, channels)`` with `value`."""
        if not left and not right:
            return x
        return self.xp.pad(x, ((0, 0), (left, right), (0, 0)), constant_values=value)

    def broadcast(self, x: Array, shape: Sequence[int]) -> Array:
        """Stretch axes of size one to `shape`."""
        return self.xp.broadcast_to(x, tuple(shape))

    def take(self, x: Array, index: Any, axis: int) -> Array:
        """Select along an axis by a vector of indices (host or device)."""
        return self.xp.take(x, index, axis)

    def rows(self, table: Array, index: np.ndarray) -> Array:
        """Rows of ``(length, channels)`` by an array of indices, shape (*index.shape, channels)."""
        chosen = self.take(table, index.reshape(-1), 0)
        return self.reshape(chosen, (*index.shape, table.shape[1]))

    def contiguous(self, x: Array) -> Array:
        """`x` itself or a copy whose memory is in the order of its axes."""
        return x

    def insert_zeros(self, x: Array, factor: int, axis: int) -> Array:
        """Every element along `axis` followed by ``factor - 1`` zeros."""
        mask = np.zeros(factor)
        mask[0] = 1
        shape = [1] * (len(x.shape) + 1)
        shape[axis + 1] = factor
        spread = self.reshape(self.repeat(x, factor, axis), self._split(x, axis, factor))
        return self.reshape(
            spread * self.constant(mask.reshape(shape)), self._merged(x, axis, factor)
        )

    def _split(self, x: Array, axis: int, factor: int) -> list[int]:
        shape = list(self.shape(x))
        return [*shape[: axis + 1], factor, *shape[axis + 1 :]]

    def _merged(self, x: Array, axis: int, factor: int) -> list[int]:
        shape = list(self.shape(x))
        return [*shape[:axis], shape[axis] * factor, *shape[axis + 1 :]]

    def shape(self, x: Array) -> Sequence[int]:
        """Shape of `x`; entries may be traced scalars."""
        return x.shape

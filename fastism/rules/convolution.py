"""Convolutions over positions: a delta window times each tap, added up where the tap points.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.intervals import (
    Interval,
    sliding_affected,
    sliding_length,
    sliding_reads,
    sliding_required,
)
from fastism.rules.base import Array, Kind, Rule, Shape, WindowCall, require_sequence

if TYPE_CHECKING:
    from fastism.backends.base import Backend


@dataclass(frozen=True, eq=False)
class Convolution(Rule):
    """``y[q] = bias + sum_t x[q * stride - pad_left + t * dilation] @ kernel[t]``.

    A dense layer on the last axis is the case of one tap.

    Parameters
    ----------
    kernel : ndarray, shape (taps, channels in / groups, channels out)
    bias : ndarray or None
        Shape (channels out,), or (length, channels out) where a batch norm before a padded
        convolution was folded in.
    stride, dilation, groups : int
    pad : tuple of int
        Zeros added on the left and on the right.
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None
    stride: int = 1
    dilation: int = 1
    groups: int = 1
    pad: tuple[int, int] = (0, 0)

    consumes: ClassVar[Kind] = Kind.DELTA

    @property
    def accumulates(self) -> bool:  # type: ignore[override]
        """Strided and grouped convolutions go through the framework's own convolution."""
        return self.taps_apart

    @property
    def takes_epilogue(self) -> bool:  # type: ignore[override]
        """What follows can start from the sums of the taps, while these are at hand."""
        return self.taps_apart

    @property
    def taps_apart(self) -> bool:
        """Whether each tap is one matrix product that is added into the output window."""
        return self.stride == 1 and self.groups == 1

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        length, channels = require_sequence("A convolution", shapes[0])
        if channels != self.kernel.shape[1] * self.groups:
            raise FastISMError(
                f"A convolution over {self.kernel.shape[1] * self.groups} channels "
                f"got an input of shape {shapes[0]}."
            )
        size = self.kernel.shape[0]
        out = sliding_length(length, size, self.stride, self.dilation, sum(self.pad))
        if out < 1:
            raise FastISMError(
                f"A convolution of {size} taps (dilation {self.dilation}) does not fit "
                f"an input of length {length}: give a longer sequence."
            )
        return out, self.kernel.shape[2]

    def prepare(self, b: Backend) -> tuple[Array, Array | None, Array | None]:
        bias = None if self.bias is None else b.constant(self.bias)
        taps = b.prepare_taps(self.kernel[::-1]) if self.taps_apart else None
        return b.prepare_kernel(self.kernel), bias, taps

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        kernel, bias, _ = weights
        y = b.conv1d(inputs[0], kernel, self.stride, self.dilation, self.groups, self.pad)
        return y if bias is None else y + bias

    def affected(self, inputs: Sequence[Interval | None], length: int) -> Interval:
        size = self.kernel.shape[0]
        return sliding_affected(inputs[0], size, self.stride, self.dilation, self.pad[0], length)

    def placed(self, x: Interval) -> Interval:
        if not self.taps_apart:
            return x
        reach = (self.kernel.shape[0] - 1) * self.dilation
        return Interval(x.start + self.pad[0] - reach, x.stop + self.pad[0])

    def frame(self, out: Interval) -> Interval:
        if self.taps_apart:
            return out
        return sliding_required(out, self.kernel.shape[0], self.stride, self.dilation, self.pad[0])

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        kernel, _, taps = weights
        if self.taps_apart:
            x, offset = call.inputs[0], call.offsets[0]
            given = (x, taps, self.dilation, offset, call.width)
            return b.overlap_add(*given, call.base, call.epilogue)
        size = self.kernel.shape[0]
        read = (call.width - 1) * self.stride + (size - 1) * self.dilation + 1
        x = b.place(call.inputs[0], call.offsets[0], read)
        return b.conv_window(x, kernel, self.stride, self.dilation, self.groups)

    def reads(self, positions: np.ndarray) -> np.ndarray:
        reach = (self.kernel.shape[0] - 1) * self.dilation
        return sliding_reads(positions, reach + 1, self.stride, self.pad[0])

    def values(
        self, b: Backend, weights: Any, inputs: Sequence[Array], positions: np.ndarray
    ) -> Array:
        kernel, bias, _ = weights
        y = b.conv_rows(inputs[0], kernel, self.stride, self.dilation, self.groups)
        if bias is None:
            return y
        return y + (bias if self.bias.ndim == 1 else b.rows(bias, positions))

    @property
    def kernel_shape(self) -> Shape:
        return self.kernel.shape

    def full_macs(self, shapes: Sequence[Shape], shape: Shape) -> int:
        return shape[0] * self.kernel.size

    def window_macs(self, inputs: Sequence[Interval | None], out: Interval) -> np.ndarray:
        if not self.taps_apart:
            return out.width * self.kernel.size
        x = inputs[0]
        offset = self.placed(x).start - out.start
        rows = np.zeros(len(out.start), dtype=np.int64)
        for tap in range(self.kernel.shape[0]):
            first = offset + tap * self.dilation
            rows += np.maximum(np.minimum(first + x.width, out.width) - np.maximum(first, 0), 0)
        return rows * self.kernel[0].size

    def constant_response(self, value: np.ndarray, length: int) -> np.ndarray:
        """Output for an input that is `value` (channels,) at every position, without the bias.

        Returns
        -------
        ndarray, shape (channels out,) without padding, else (outputs, channels out)
            Near the ends fewer taps see the sequence.
        """
        size, channels, outputs = self.kernel.shape
        kernel = self.kernel.astype(np.float64).reshape(size, channels, self.groups, -1)
        grouped = np.asarray(value, dtype=np.float64).reshape(self.groups, channels)
        taps = np.einsum("gc,tcgo->tgo", grouped, kernel).reshape(size, outputs)
        if self.pad == (0, 0):
            return taps.sum(0)
        count = sliding_length(length, size, self.stride, self.dilation, sum(self.pad))
        read = (
            np.arange(count)[:, None] * self.stride
            - self.pad[0]
            + np.arange(size)[None] * self.dilation
        )
        return ((read >= 0) & (read < length)).astype(np.float64) @ taps

"""A backend in plain numpy: slow, obvious, and hostile where the protocol allows it.

It runs graphs in float64 without a framework, so that the engine, the layouts and the rewrites are
tested in milliseconds. It counts the multiply-adds it does, hands out views of windows wherever
it can, and destroys every array that the engine says may be overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import erf
from typing import Any

import numpy as np

from fastism.backends.base import Backend


class NumpyBackend(Backend):
    """See `fastism.backends.base.Backend`.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    uniform : bool
        Ask for windows of equal widths, as a compiler with static shapes does.
    chunk_bytes : int
        Working set of a chunk; a few hundred bytes make many chunks of a small graph.
    """

    name = "numpy"

    def __init__(
        self, dtype: str = "float64", uniform: bool = False, chunk_bytes: int = 1 << 14
    ) -> None:
        super().__init__(dtype)
        self.uniform = uniform  # type: ignore[misc]
        self._chunk_bytes = chunk_bytes
        self.macs = 0

    @property
    def chunk_bytes(self) -> int:
        return self._chunk_bytes

    @staticmethod
    def _destroy(x: np.ndarray, reuse: bool) -> None:
        if reuse:
            x[...] = np.nan

    def asarray(self, x: np.ndarray) -> np.ndarray:
        x = np.asarray(x)
        return np.array(x, dtype=None if x.dtype.kind in "iu" else self.dtype)

    def to_numpy(self, x: np.ndarray) -> np.ndarray:
        return np.array(x)

    # ---- full tensors -------------------------------------------------------------------

    def conv1d(
        self,
        x: np.ndarray,
        kernel: np.ndarray,
        stride: int,
        dilation: int,
        groups: int,
        pad: tuple[int, int],
    ) -> np.ndarray:
        x = self.pad(x, *pad)
        return np.moveaxis(
            self._convolve(np.moveaxis(x, 1, 0), kernel, stride, dilation, groups), 0, 1
        )

    def _convolve(
        self, x: np.ndarray, kernel: np.ndarray, stride: int, dilation: int, groups: int
    ) -> np.ndarray:
        """Unpadded convolution along axis 0, channels last."""
        size, channels, features = kernel.shape
        count = (len(x) - (size - 1) * dilation - 1) // stride + 1
        grouped = x.reshape(*x.shape[:-1], groups, channels)
        taps = kernel.reshape(size, channels, groups, features // groups)
        out = np.zeros((count, *x.shape[1:-1], features), x.dtype)
        for q in range(count):
            for t in range(size):
                read = grouped[q * stride + t * dilation]
                product = np.einsum("...gc,cgf->...gf", read, taps[t])
                out[q] += product.reshape(*product.shape[:-2], features)
                self.macs += read.size * (features // groups)
        return out

    def max_pool(self, x: np.ndarray, size: int, stride: int, pad: tuple[int, int]) -> np.ndarray:
        return self._pool(self.pad(x, *pad, -np.inf), size, stride, "max")

    def sum_pool(self, x: np.ndarray, size: int, stride: int, pad: tuple[int, int]) -> np.ndarray:
        return self._pool(self.pad(x, *pad), size, stride, "sum")

    @staticmethod
    def _pool(x: np.ndarray, size: int, stride: int, mode: str) -> np.ndarray:
        count = (x.shape[1] - size) // stride + 1
        parts = [x[:, q * stride : q * stride + size] for q in range(count)]
        return np.stack([p.max(1) if mode == "max" else p.sum(1) for p in parts], 1)

    def function(
        self, name: str, x: np.ndarray, reuse: bool = False, **parameters: Any
    ) -> np.ndarray:
        y = np.array(FUNCTIONS[name](x, **parameters))
        self._destroy(x, reuse)
        return y

    def layer_norm(self, x: np.ndarray, epsilon: float, centre: bool) -> np.ndarray:
        centred = x - x.mean(-1, keepdims=True) if centre else x
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon)

    def matmul(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        self.macs += x.size * y.shape[1]
        return x @ y

    def maximum(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.maximum(x, y)

    def minimum(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return np.minimum(x, y)

    def max(self, x: np.ndarray, axis: int) -> np.ndarray:
        return x.max(axis)

    def sum(self, x: np.ndarray, axis: int) -> np.ndarray:
        return x.sum(axis)

    def running_max(self, x: np.ndarray, axis: int) -> np.ndarray:
        return np.maximum.accumulate(x, axis)

    def reshape(self, x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        return x.reshape(tuple(shape))

    def transpose(self, x: np.ndarray, axes: Sequence[int]) -> np.ndarray:
        return x.transpose(tuple(axes))

    def concatenate(self, arrays: Sequence[np.ndarray], axis: int) -> np.ndarray:
        return np.concatenate(list(arrays), axis)

    def flip(self, x: np.ndarray, axis: int) -> np.ndarray:
        return np.flip(x, axis)

    def repeat(self, x: np.ndarray, times: int, axis: int) -> np.ndarray:
        return x.repeat(times, axis)

    def pad(self, x: np.ndarray, left: int, right: int, value: float = 0.0) -> np.ndarray:
        return np.pad(x, ((0, 0), (left, right), (0, 0)), constant_values=value)

    def broadcast(self, x: np.ndarray, shape: Sequence[int]) -> np.ndarray:
        return np.broadcast_to(x, tuple(shape))

    def take(self, x: np.ndarray, index: Any, axis: int) -> np.ndarray:
        return x.take(index, axis)

    # ---- windows ------------------------------------------------------------------------

    def lookup(self, table: np.ndarray, sequence: Any, start: Any, width: Any) -> np.ndarray:
        slices = [
            table[s, int(a) : int(a) + width]
            for s, a in zip(np.asarray(sequence), np.asarray(start), strict=True)
        ]
        assert all(len(x) == width for x in slices), "a window leaves the sequence"
        return np.stack(slices, 1)[:, :, None]

    def place(self, x: np.ndarray, offset: Any, width: Any, fill: float = 0.0) -> np.ndarray:
        if offset is None:
            assert len(x) == width, "no offset was given although one is needed"
            return x
        if not np.ndim(offset) and offset <= 0 and len(x) + offset >= width:
            return x[-offset : width - offset]
        out = np.full((width, *x.shape[1:]), fill, x.dtype)
        for block, first in enumerate(np.broadcast_to(offset, x.shape[1])):
            for p in range(len(x)):
                if 0 <= p + first < width:
                    out[p + first, block] = x[p, block]
        return out

    def add_taps(
        self,
        x: np.ndarray,
        taps: np.ndarray,
        dilation: int,
        offset: Any,
        width: Any,
        base: np.ndarray | None,
    ) -> np.ndarray:
        out = np.zeros((width, *x.shape[1:3], taps.shape[2]), x.dtype)
        if base is not None:
            out += base
        for block, first in enumerate(np.broadcast_to(0 if offset is None else offset, x.shape[1])):
            for p in range(len(x)):
                for j in range(len(taps)):
                    q = p + j * dilation + first
                    if 0 <= q < width:
                        out[q, block] += x[p, block] @ taps[j]
                        self.macs += x[p, block].size * taps.shape[2]
        return out

    def conv_window(
        self, x: np.ndarray, kernel: np.ndarray, stride: int, dilation: int, groups: int
    ) -> np.ndarray:
        return self._convolve(x, kernel, stride, dilation, groups)

    def pool_window(
        self, x: np.ndarray, size: int, stride: int, width: Any, mode: str
    ) -> np.ndarray:
        if size == 1:
            return x[: (width - 1) * stride + 1 : stride]
        parts = [x[q * stride : q * stride + size] for q in range(width)]
        assert all(len(part) == size for part in parts), "the pool was given too little"
        return np.stack([p.max(0) if mode == "max" else p.sum(0) for p in parts])

    def add_windows(
        self,
        xs: Sequence[np.ndarray | None],
        weights: Sequence[float],
        offsets: Sequence[Any],
        width: Any,
        base: np.ndarray | None,
        reuse: Sequence[bool],
    ) -> np.ndarray:
        terms = [
            self.place(x, offset, width) * weight
            for x, weight, offset in zip(xs, weights, offsets, strict=True)
            if x is not None
        ]
        out = sum(terms) if base is None else sum(terms) + base
        for x, last in zip(xs, reuse, strict=True):
            self._destroy(x, last)
        return out

    def add_reference(self, x: np.ndarray, reference: np.ndarray, reuse: bool) -> np.ndarray:
        y = x + reference
        self._destroy(x, reuse)
        return y

    def rectify(self, x: np.ndarray, reference: np.ndarray, reuse: bool) -> np.ndarray:
        y = np.maximum(x, -reference)
        self._destroy(x, reuse)
        return y

    def join_channels(self, xs: Sequence[np.ndarray | None], channels: Sequence[int]) -> np.ndarray:
        like = next(x for x in xs if x is not None)
        shape = *like.shape[:2], max(x.shape[2] for x in xs if x is not None)
        filled = [
            np.zeros((*shape, c)) if x is None else np.broadcast_to(x, (*shape, c))
            for x, c in zip(xs, channels, strict=True)
        ]
        return np.concatenate(filled, 3)

    def rebuild(
        self, table: np.ndarray, sequence: Any, start: Any, x: np.ndarray, delta: bool
    ) -> np.ndarray:
        full = []
        for block, (s, first) in enumerate(zip(sequence, start, strict=True)):
            for mutant in range(x.shape[2]):
                tensor = table[s].copy()
                part = tensor[int(first) : int(first) + len(x)]
                part[...] = x[:, block, mutant] + (part if delta else 0)
                full.append(tensor)
        return np.stack(full)


def _softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def _gelu(x: np.ndarray, approximate: bool = True) -> np.ndarray:
    if approximate:
        return 0.5 * x * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return 0.5 * x * (1 + np.vectorize(erf, otypes=[float])(x / np.sqrt(2)))


def _elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


FUNCTIONS = {
    "abs": np.abs,
    "cos": np.cos,
    "elu": _elu,
    "exp": np.exp,
    "gelu": _gelu,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    "log": np.log,
    "log_softmax": lambda x: np.log(_softmax(x)),
    "negative": np.negative,
    "negative_part": lambda x: np.minimum(x, 0),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.0507009873554805 * _elu(x, 1.6732632423543772),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "sin": np.sin,
    "softmax": _softmax,
    "softplus": lambda x: np.logaddexp(x, 0),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": np.square,
    "tanh": np.tanh,
}

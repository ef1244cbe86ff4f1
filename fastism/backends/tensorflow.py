"""TensorFlow: one graph with static window widths for all chunks, and an offset per block.

Requirements: tensorflow. A graph costs some milliseconds a call whatever it computes, so blocks of
all phases and the ends of the sequence share chunks: windows of one width, moved inside at the
ends. (A graph with dynamic widths that are cut at the ends took twice as long on Basset.)
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial, reduce
from math import inf
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf

from fastism.backends.base import Array, Backend, Geometry
from fastism.backends.traced import Traced, trace

#: Below this many output channels all taps go into one matrix product, whose parts are added up:
#: a convolution with few output channels leaves most of the processor's vectors empty.
NARROW = 16


class TensorFlowBackend(Backend):
    """See `Backend`."""

    name: ClassVar[str] = "tensorflow"
    uniform: ClassVar[bool] = True

    def __init__(self, dtype: str) -> None:
        super().__init__(dtype)
        self._float = tf.as_dtype(dtype)
        self._rebuild = cache(self._trace_rebuild)

    # ---- transfer and compilation -------------------------------------------------------

    def asarray(self, x: np.ndarray) -> Array:
        x = np.asarray(x)
        if np.issubdtype(x.dtype, np.integer):
            return tf.convert_to_tensor(x)
        return tf.convert_to_tensor(np.ascontiguousarray(x, dtype=self.dtype))

    def to_numpy(self, x: Array) -> np.ndarray:
        return x.numpy()

    def prepare_taps(self, taps: np.ndarray) -> np.ndarray:
        """Kept on the host: as a constant of the graph its memory is rearranged only once."""
        return np.ascontiguousarray(taps, dtype=self.dtype)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return Traced(function)

    def compile_chunk(self, function: Callable[..., Any]) -> Callable[..., Any]:
        traced: list[Callable[..., Any]] = []

        def run(tables: Sequence[Array], geometry: Geometry, delta: Array) -> Any:
            if not traced:
                traced.append(_trace_chunk(function, tables, geometry, delta))
            return traced[0](tables, *_packed(geometry), delta)

        return run

    def available_memory(self) -> int | None:
        if not tf.config.list_physical_devices("GPU"):
            return None
        used = tf.config.experimental.get_memory_info("GPU:0")["current"]
        limit = tf.config.get_logical_device_configuration(
            tf.config.list_physical_devices("GPU")[0]
        )
        total = limit[0].memory_limit if limit and limit[0].memory_limit else None
        return 4 << 30 if total is None else max((total << 20) - used, 1 << 28)

    # ---- full tensors -------------------------------------------------------------------

    def conv1d(
        self,
        x: Array,
        kernel: Array,
        stride: int,
        dilation: int,
        groups: int,
        pad: tuple[int, int],
    ) -> Array:
        x = self.pad(x, *pad)
        if groups == 1:
            return tf.nn.conv1d(x, kernel, stride, "VALID", dilations=dilation)
        if kernel.shape[1] == 1:
            return self._depthwise(x, kernel, stride, dilation, groups)
        parts = zip(tf.split(x, groups, 2), tf.split(kernel, groups, 2), strict=True)
        outputs = [tf.nn.conv1d(a, k, stride, "VALID", dilations=dilation) for a, k in parts]
        return tf.concat(outputs, 2)

    def _depthwise(self, x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
        taps = tf.reshape(kernel, (1, kernel.shape[0], groups, -1))
        y = tf.nn.depthwise_conv2d(
            x[:, None], taps, (1, stride, stride, 1), "VALID", dilations=(1, dilation)
        )
        return y[:, 0]

    def max_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        return tf.nn.max_pool1d(self.pad(x, *pad, value=self._lowest), size, stride, "VALID")

    def sum_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        return tf.nn.avg_pool1d(self.pad(x, *pad), size, stride, "VALID") * size

    @property
    def _lowest(self) -> float:
        """TensorFlow's pooling ignores infinities in some builds; the lowest number never wins."""
        return float(np.finfo(self.dtype).min)

    def function(self, name: str, x: Array, reuse: bool = False, **parameters: Any) -> Array:
        return _FUNCTIONS[name](x, **parameters)

    def layer_norm(self, x: Array, epsilon: float, centre: bool) -> Array:
        if centre:
            x = x - tf.reduce_mean(x, -1, keepdims=True)
        return x * tf.math.rsqrt(tf.reduce_mean(tf.square(x), -1, keepdims=True) + epsilon)

    def matmul(self, x: Array, y: Array) -> Array:
        return tf.matmul(x, y)

    def maximum(self, x: Array, y: Array) -> Array:
        return tf.maximum(x, y)

    def minimum(self, x: Array, y: Array) -> Array:
        return tf.minimum(x, y)

    def max(self, x: Array, axis: int) -> Array:
        return tf.reduce_max(x, axis)

    def sum(self, x: Array, axis: int) -> Array:
        return tf.reduce_sum(x, axis)

    def running_max(self, x: Array, axis: int) -> Array:
        turned = tf.experimental.numpy.moveaxis(x, axis, 0)
        return tf.experimental.numpy.moveaxis(tf.scan(tf.maximum, turned), 0, axis)

    def log_add_exp(self, x: Array, y: Array) -> Array:
        return tf.experimental.numpy.logaddexp(x, y)

    def log_sum_exp(self, x: Array, axis: int) -> Array:
        return tf.reduce_logsumexp(x, axis)

    def running_log_sum_exp(self, x: Array, axis: int) -> Array:
        # One position after the other: in double precision, as there may be thousands.
        return tf.cast(tf.math.cumulative_logsumexp(tf.cast(x, tf.float64), axis), x.dtype)

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        return tf.reshape(x, tuple(shape))

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        return tf.transpose(x, tuple(axes))

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return arrays[0] if len(arrays) == 1 else tf.concat(list(arrays), axis)

    def flip(self, x: Array, axis: int) -> Array:
        return tf.reverse(x, (axis,))

    def repeat(self, x: Array, times: int, axis: int) -> Array:
        return tf.repeat(x, times, axis)

    def pad(self, x: Array, left: int, right: int, value: float = 0.0) -> Array:
        if not left and not right:
            return x
        return tf.pad(x, ((0, 0), (left, right), (0, 0)), constant_values=value)

    def broadcast(self, x: Array, shape: Sequence[int]) -> Array:
        return tf.broadcast_to(x, tuple(shape))

    def take(self, x: Array, index: Any, axis: int) -> Array:
        return tf.gather(x, index, axis=axis)

    def rows(self, table: Array, index: Any) -> Array:
        return tf.gather(table, index)

    def shape(self, x: Array) -> Sequence[int]:
        known = x.shape.as_list()
        dynamic = tf.shape(x)
        return [dynamic[i] if n is None else n for i, n in enumerate(known)]

    # ---- windows ------------------------------------------------------------------------

    def edit_windows(self, kinds: Array, edits: Array, width: int) -> Array:
        size, channels = kinds.shape[1:]
        step = tf.range(1, width + 1, dtype=edits.dtype)[:, None, None] - edits[0]
        row = edits[1] * size + tf.clip_by_value(step, 0, size - 1)
        return tf.gather(tf.reshape(kinds, (-1, channels)), row)

    def lookup(self, table: Array, sequence: Any, start: Any, width: Any) -> Array:
        length, channels = table.shape[1], table.shape[2]
        first = tf.cast(sequence, tf.int32) * length + tf.cast(start, tf.int32)
        rows = first[None] + tf.range(width)[:, None]
        return tf.gather(tf.reshape(table, (-1, channels)), rows)[:, :, None]

    def place(self, x: Array, offset: Any, width: Any, fill: float = 0.0) -> Array:
        if offset is None:
            return x
        paddings = ((1, 1), (0, 0), (0, 0), (0, 0))
        return self._pick(
            tf.pad(x, paddings, constant_values=tf.cast(fill, x.dtype)), offset, width
        )

    def _pick(self, x: Array, offset: Array, width: int) -> Array:
        """Place a window that has one row of filling before and after it."""
        size, channels = self.shape(x)[0], x.shape[3]
        blocks = tf.shape(x)[1]
        row = tf.range(width)[:, None] - offset[None]
        row = tf.clip_by_value(row, -1, size - 2) + 1
        index = row * blocks + tf.range(blocks)[None]
        flat = tf.reshape(x, (-1, tf.shape(x)[2] * channels))
        return tf.reshape(tf.gather(flat, index), (width, blocks, -1, channels))

    def add_taps(
        self,
        x: Array,
        taps: np.ndarray,
        dilation: int,
        offset: Any,
        width: Any,
        base: Array | None,
    ) -> Array:
        count, channels, features = taps.shape
        size, blocks, mutants, _ = self.shape(x)
        if features < NARROW:
            total = self._add_products(x, taps, dilation)
            total = self.place(total, offset, width)
            return total if base is None else total + base
        # Blocks and mutants are the columns of one image whose rows are positions, so that the
        # framework's convolution does the sum over taps without ever reading the padding. One
        # more row of padding on each side gives the zeros that placing needs.
        more = 0 if offset is None else 1
        reach = (count - 1) * dilation + more
        image = tf.reshape(x, (1, size, blocks * mutants, channels))
        padding = [[0, 0], [reach, reach], [0, 0], [0, 0]]
        y = tf.nn.conv2d(image, taps[::-1, None], 1, padding, dilations=(dilation, 1))
        total = tf.reshape(y, (size + reach + more, blocks, mutants, features))
        total = total if offset is None else self._pick(total, offset, width)
        return total if base is None else total + base

    def _add_products(self, x: Array, taps: np.ndarray, dilation: int) -> Array:
        """One product with all taps, and the sum of its shifted parts."""
        count, channels, features = taps.shape
        size, blocks, mutants, _ = self.shape(x)
        matrix = taps.transpose(1, 0, 2).reshape(channels, count * features)
        products = tf.matmul(tf.reshape(x, (-1, channels)), matrix)
        products = tf.reshape(products, (-1, count, features))
        products = tf.reshape(
            tf.transpose(products, (1, 0, 2)), (count, size, blocks, mutants, features)
        )
        reach = (count - 1) * dilation
        shifts = [j * dilation for j in range(count)]
        rest = ((0, 0), (0, 0), (0, 0))
        return tf.add_n(
            [tf.pad(products[j], ((s, reach - s), *rest)) for j, s in enumerate(shifts)]
        )

    def pool_window(self, x: Array, size: int, stride: int, width: Any, mode: str) -> Array:
        if size == stride:
            split = tf.reshape(x, (width, size, *self.shape(x)[1:]))
            return tf.reduce_max(split, 1) if mode == "max" else tf.reduce_sum(split, 1)
        last = (width - 1) * stride + 1
        rows = [x[i : i + last : stride] for i in range(size)]
        return reduce(tf.maximum, rows) if mode == "max" else tf.add_n(rows)

    def join_channels(self, xs: Sequence[Array | None], channels: Sequence[int]) -> Array:
        shapes = [tf.shape(x) for x in xs if x is not None]
        mutants = reduce(tf.maximum, [shape[2] for shape in shapes])
        width, blocks = shapes[0][0], shapes[0][1]
        filled = []
        for x, count in zip(xs, channels, strict=True):
            shape = (width, blocks, mutants, count)
            filled.append(tf.zeros(shape, self._float) if x is None else tf.broadcast_to(x, shape))
        return tf.concat(filled, 3)

    def rebuild(self, table: Array, sequence: Any, start: Any, x: Array, delta: bool) -> Array:
        index = (np.asarray(v, dtype=np.int32) for v in (sequence, start))
        return self._rebuild(delta)(table, *map(tf.convert_to_tensor, index), x)

    def _trace_rebuild(self, delta: bool) -> Callable[..., Array]:
        """One trace for tables of all nodes, in which no dimension is static."""
        index = tf.TensorSpec((None,), tf.int32)
        table = tf.TensorSpec((None,) * 3, self._float)
        windows = tf.TensorSpec((None,) * 4, self._float)
        return trace(partial(_rebuild, delta), [table, index, index, windows])


def _trace_chunk(
    function: Callable[..., Any], tables: Sequence[Array], geometry: Geometry, delta: Array
) -> Callable[..., Any]:
    """Trace `function` once for every number of sequences, blocks and mutants."""
    widths = tuple(geometry.widths)
    signature = [
        [tf.TensorSpec((None, *t.shape[1:]), t.dtype) for t in tables],
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((len(widths), None), tf.int32),
        tf.TensorSpec((len(geometry.offsets), None), tf.int32),
        tf.TensorSpec((delta.shape[0], None, None, delta.shape[3]), delta.dtype),
    ]

    def chunk(
        tables: Sequence[Array], sequence: Array, starts: Array, offsets: Array, delta: Array
    ) -> Any:
        per_placement = tf.unstack(offsets) if offsets.shape[0] else []
        return function(tables, Geometry(sequence, starts, widths, per_placement), delta)

    # No autograph: rules hold no control flow on tensors, and converting them takes seconds.
    return trace(chunk, signature, autograph=False)


def _packed(geometry: Geometry) -> tuple[Array, Array, Array]:
    blocks = len(geometry.sequence)
    offsets = np.asarray(geometry.offsets, dtype=np.int32).reshape(-1, blocks)
    arrays = (geometry.sequence, geometry.starts, offsets)
    return tuple(tf.convert_to_tensor(np.asarray(a, dtype=np.int32)) for a in arrays)


def _rebuild(delta: bool, table: Array, sequence: Array, start: Array, x: Array) -> Array:
    _, length, channels = tf.unstack(tf.shape(table))
    width, blocks, mutants, _ = tf.unstack(tf.shape(x))
    # Mutants in one row behind the channels, so that a position is one row to gather.
    rows = tf.reshape(tf.transpose(x, (1, 0, 2, 3)), (blocks, width, mutants * channels))
    position = tf.range(length)[None] - start[:, None]
    inside = (position >= 0) & (position < width)
    spread = tf.gather(rows, tf.clip_by_value(position, 0, width - 1), batch_dims=1)
    spread = tf.reshape(spread, (blocks, length, mutants, channels))
    reference = tf.gather(table, sequence)[:, :, None]
    here = inside[:, :, None, None]
    full = tf.where(here, reference + spread if delta else spread, reference)
    return tf.reshape(tf.transpose(full, (0, 2, 1, 3)), (-1, length, channels))


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "abs": tf.abs,
    "cos": tf.cos,
    "elu": lambda x, alpha=1.0: tf.where(x > 0, x, alpha * tf.math.expm1(tf.minimum(x, 0))),
    "exp": tf.exp,
    "gelu": lambda x, approximate=True: tf.nn.gelu(x, approximate),
    "hard_sigmoid": lambda x: tf.nn.relu6(x + 3) / 6,
    # TensorFlow's own leaky ReLU and ELU keep their parameter in single precision.
    "clip": lambda x, low=-inf, high=inf: tf.clip_by_value(x, low, high),
    "leaky_relu": lambda x, negative_slope=0.01: tf.where(x > 0, x, negative_slope * x),
    "log": tf.math.log,
    "log_softmax": tf.nn.log_softmax,
    "negative": tf.negative,
    "negative_part": lambda x: tf.minimum(x, 0),
    "relu": tf.nn.relu,
    "relu6": tf.nn.relu6,
    "selu": tf.nn.selu,
    "sigmoid": tf.nn.sigmoid,
    "silu": tf.nn.silu,
    "sin": tf.sin,
    "softmax": tf.nn.softmax,
    "softplus": tf.nn.softplus,
    "softsign": tf.nn.softsign,
    "sqrt": tf.sqrt,
    "square": tf.square,
    "tanh": tf.tanh,
}

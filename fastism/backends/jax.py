"""JAX: compiled for static shapes, one compilation per plan.

Requirements: jax. All windows of a plan have one width and come with one offset per block, so
XLA compiles a chunk once and every later chunk is a call. What differs from chunk to chunk
(sequences, starts, offsets) are arguments of that call.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import jaxpr_as_fun

from fastism.backends.base import Array, Backend, Geometry, per_mutant

#: The default of XLA on accelerators is TF32 or bfloat16 products, which are not exact ISM.
EXACT = lax.Precision.HIGHEST
#: Rows that are multiplied together after Flatten are cut into tiles of at least this many.
TILE = 128
#: Start of a slice along an axis that is kept whole, of the type of the other starts.
ORIGIN = np.int32(0)

# `jax.enable_x64` since JAX 0.8, `jax.experimental.enable_x64` before. It holds for one thread
# and one `with` block: the setting of the user's process stays as it is.
_enable_x64 = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64


class JaxBackend(Backend):
    """See `Backend`."""

    name: ClassVar[str] = "jax"
    xp: ClassVar[Any] = jnp
    uniform: ClassVar[bool] = True

    def _exact_types(self) -> Any:
        """Context in which 64-bit numbers exist if and only if `dtype` needs them."""
        return _enable_x64(self.dtype == "float64")

    # ---- transfer and compilation -------------------------------------------------------

    def asarray(self, x: np.ndarray) -> Array:
        x = np.asarray(x)
        dtype = np.int32 if np.issubdtype(x.dtype, np.integer) else self.dtype
        with self._exact_types():
            # A copy: on a CPU JAX would otherwise keep reading the caller's memory.
            return jnp.array(x, dtype=dtype, copy=True)

    def to_numpy(self, x: Array) -> np.ndarray:
        return np.array(x)

    def upload(self, arrays: Sequence[np.ndarray]) -> list[Array]:
        # Slices of one array would be compiled, each offset anew.
        is_index = np.issubdtype(np.asarray(arrays[0]).dtype, np.integer)
        dtype = np.int32 if is_index else self.dtype
        with self._exact_types():
            return jax.device_put([np.asarray(x, dtype=dtype) for x in arrays])

    def start_copy(self, x: Array) -> Callable[[], np.ndarray]:
        x.copy_to_host_async()
        return super().start_copy(x)

    def prepare_taps(self, taps: np.ndarray) -> Array:
        return self.constant(taps.transpose(1, 0, 2))

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return _Compiled(self, function)

    def compile_chunk(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(
            tables: Sequence[Array],
            sequence: Array,
            starts: Array,
            offsets: Array,
            delta: Array,
            widths: tuple[int, ...],
        ) -> Any:
            return function(tables, Geometry(sequence, starts, widths, list(offsets)), delta)

        compiled = _Compiled(self, run)

        def call(tables: Sequence[Array], geometry: Geometry, delta: Array) -> Any:
            sequence = np.asarray(geometry.sequence, dtype=np.int32)
            starts = np.asarray(geometry.starts, dtype=np.int32)
            offsets = np.asarray(geometry.offsets, dtype=np.int32).reshape(-1, len(sequence))
            widths = tuple(int(width) for width in geometry.widths)
            return compiled(tables, sequence, starts, offsets, delta, widths=widths)

        return call

    def available_memory(self) -> int | None:
        (device,) = jnp.zeros(()).devices()
        if device.platform == "cpu":
            return None
        statistics = device.memory_stats() or {}
        if "bytes_limit" not in statistics:
            return 4 << 30
        return max(statistics["bytes_limit"] - statistics.get("bytes_in_use", 0), 1 << 28)

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
        return _convolve(x, kernel, stride, dilation, groups, pad, "NWC")

    def max_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        return _reduce_window(x, -np.inf, lax.max, size, stride, pad)

    def sum_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        return _reduce_window(x, 0.0, lax.add, size, stride, pad)

    def function(self, name: str, x: Array, reuse: bool = False, **parameters: Any) -> Array:
        return _FUNCTIONS[name](x, **parameters)

    def matmul(self, x: Array, y: Array) -> Array:
        return _product(x, y)

    def running_max(self, x: Array, axis: int) -> Array:
        return lax.cummax(x, axis)

    def log_sum_exp(self, x: Array, axis: int) -> Array:
        return jax.nn.logsumexp(x, axis)

    def running_log_sum_exp(self, x: Array, axis: int) -> Array:
        return lax.cumlogsumexp(x, axis)

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        if len(arrays) == 1:
            return arrays[0]
        with self._exact_types():
            return jnp.concatenate(list(arrays), axis)

    def take(self, x: Array, index: Any, axis: int) -> Array:
        with self._exact_types():
            return _take(x, jnp.asarray(index, dtype=jnp.int32), axis)

    # ---- windows ------------------------------------------------------------------------

    def edit_windows(self, kinds: Array, edits: Array, width: int) -> Array:
        # Not compiled: older versions of JAX round numbers of 64 bits where these are not on.
        with self._exact_types():
            return super().edit_windows(kinds, edits, width)

    def flatten_dense(
        self,
        windows: Sequence[Array],
        starts: Sequence[np.ndarray],
        kernel: Array,
        reference: Array,
        sequences: Sequence[np.ndarray],
    ) -> Array:
        with self._exact_types():
            return super().flatten_dense(windows, starts, kernel, reference, sequences)

    def lookup(self, table: Array, sequence: Any, start: Any, width: Any) -> Array:
        _, _, channels = table.shape

        def one(which: Array, first: Array) -> Array:
            return lax.dynamic_slice(table, (which, first, ORIGIN), (1, width, channels))[0]

        return jax.vmap(one, out_axes=1)(_integers(sequence), _integers(start))[:, :, None]

    def place(self, x: Array, offset: Any, width: Any, fill: float = 0.0) -> Array:
        if offset is None:
            return x
        # A window of the padded array per block; `width` more on both sides is always enough.
        size, blocks, mutants, channels = x.shape
        edge = ((width, width), (0, 0), (0, 0), (0, 0))
        padded = jnp.pad(x, edge, constant_values=fill)
        first = jnp.clip(width - _integers(offset), 0, size + width)

        def one(block: Array, start: Array) -> Array:
            return lax.dynamic_slice(block, (start, ORIGIN, ORIGIN), (width, mutants, channels))

        return jax.vmap(one, (1, 0), 1)(padded, jnp.broadcast_to(first, (blocks,)))

    def add_taps(
        self,
        x: Array,
        taps: Array,
        dilation: int,
        offset: Any,
        width: Any,
        base: Array | None,
    ) -> Array:
        size = x.shape[0]
        channels, _, features = taps.shape
        if 2 * width * channels <= size * features:
            out = self._gathered(x, taps, dilation, offset, width)
        else:
            out = self.place(_spread(x, taps, dilation), offset, width)
        return out if base is None else out + base

    def _gathered(self, x: Array, taps: Array, dilation: int, offset: Any, width: int) -> Array:
        """Overlap-add of a narrow input as one product of what each output reads.

        With few channels in, writing the taps' products would cost more than multiplying zeros.
        """
        channels, count, features = taps.shape
        reach = (count - 1) * dilation
        offset = 0 if offset is None else offset
        wide = self.place(x, _integers(offset) + reach, width + reach)
        last = [reach - j * dilation for j in range(count)]
        read = jnp.stack([wide[first : first + width] for first in last], -1)
        rows = read.reshape(*read.shape[:3], channels * count)
        return _product(rows, taps.reshape(channels * count, features))

    def conv_window(
        self, x: Array, kernel: Array, stride: int, dilation: int, groups: int
    ) -> Array:
        size, blocks, mutants, channels = x.shape
        rows = x.reshape(size, blocks * mutants, channels)
        y = _convolve(rows, kernel, stride, dilation, groups, (0, 0), "WNC")
        return y.reshape(y.shape[0], blocks, mutants, y.shape[2])

    def add_reference(self, x: Array, reference: Array, reuse: bool) -> Array:
        with self._exact_types():
            return x + reference

    def rebuild(self, table: Array, sequence: Any, start: Any, x: Array, delta: bool) -> Array:
        with self._exact_types():
            return _rebuild(table, _integers(sequence), _integers(start), x, delta)

    def _changed_rows(
        self, windows: Sequence[Array], starts: Sequence[np.ndarray], kernel: Array
    ) -> Array:
        rows = per_mutant(windows, starts)
        first = np.cumsum([0, *(len(r) for r in rows)])
        results, order = [], []
        for width in sorted({w.shape[0] for w in windows}):
            chosen = [i for i, w in enumerate(windows) if w.shape[0] == width]
            start = np.concatenate([rows[i] for i in chosen])
            tiles = _tiles(start, width, kernel.shape[0])
            with self._exact_types():
                results.append(_tiled_dense([windows[i] for i in chosen], kernel, tiles))
            order.append(np.concatenate([np.arange(first[i], first[i + 1]) for i in chosen]))
        if len(results) == 1:
            return results[0]
        return self.take(self.concatenate(results, 0), np.argsort(np.concatenate(order)), 0)


class _Compiled:
    """A jitted function whose closed-over arrays are arguments of the compiled code.

    `jax.jit` writes them into the program as constants instead: with a model's weights that
    means a copy per compilation and minutes of constant folding.
    """

    def __init__(self, backend: JaxBackend, function: Callable[..., Any]) -> None:
        self._backend, self._function = backend, function
        self._made: dict[Any, tuple[Callable[..., list[Array]], list[Array], Any]] = {}

    def __call__(self, *args: Any, **static: Any) -> Any:
        leaves, tree = jax.tree.flatten(args)
        key = (tree, *static.items(), *((x.shape, x.dtype.name) for x in leaves))
        with self._backend._exact_types():
            if key not in self._made:
                self._made[key] = self._trace(args, static)
            run, weights, structure = self._made[key]
            return jax.tree.unflatten(structure, run(weights, leaves))

    def _trace(self, args: Any, static: dict[str, Any]) -> Any:
        traced, shapes = jax.make_jaxpr(partial(self._function, **static), return_shape=True)(*args)

        def run(weights: list[Array], leaves: list[Array]) -> list[Array]:
            return jaxpr_as_fun(traced.replace(consts=weights))(*leaves)

        return jax.jit(run), list(traced.consts), jax.tree.structure(shapes)


def _integers(x: Any) -> Array:
    return jnp.asarray(x, dtype=jnp.int32)


def _rounding() -> lax.Precision | None:
    """None, which leaves it to the context, where that asks for TF32; else as exact as can be."""
    asked = jax.config.jax_default_matmul_precision
    return None if asked == "tensorfloat32" else EXACT


def _product(x: Array, y: Array) -> Array:
    """Matrix product over the last axis of `x` and the first of `y`."""
    return lax.dot_general(x, y, (((x.ndim - 1,), (0,)), ((), ())), precision=_rounding())


def _convolve(
    x: Array,
    kernel: Array,
    stride: int,
    dilation: int,
    groups: int,
    pad: tuple[int, int],
    layout: str,
) -> Array:
    return lax.conv_general_dilated(
        x,
        kernel,
        (stride,),
        [pad],
        rhs_dilation=(dilation,),
        dimension_numbers=(layout, "WIO", layout),
        feature_group_count=groups,
        precision=_rounding(),
    )


def _reduce_window(
    x: Array,
    initial: float,
    combine: Callable[[Array, Array], Array],
    size: int,
    stride: int,
    pad: tuple[int, int],
) -> Array:
    shape, step = (1, size, 1), (1, stride, 1)
    start = np.asarray(initial, x.dtype)
    return lax.reduce_window(x, start, combine, shape, step, ((0, 0), pad, (0, 0)))


def _spread(x: Array, taps: Array, dilation: int) -> Array:
    """Overlap-add over everything that `x` reaches: all taps in one product, then shifted sums."""
    channels, count, features = taps.shape
    reach = (count - 1) * dilation
    products = _product(x, taps.reshape(channels, count * features))
    zero = np.zeros((), x.dtype)
    parts = []
    for j in range(count):
        part = products[..., j * features : (j + 1) * features]
        edge = (j * dilation, reach - j * dilation, 0)
        parts.append(lax.pad(part, zero, (edge, *[(0, 0, 0)] * 3)))
    return reduce(jnp.add, parts)


@partial(jax.jit, static_argnums=2)
def _take(x: Array, index: Array, axis: int) -> Array:
    return jnp.take(x, index, axis, mode="clip")


@partial(jax.jit, static_argnums=4)
def _rebuild(table: Array, sequence: Array, start: Array, x: Array, delta: bool) -> Array:
    width, _, mutants, channels = x.shape

    def one(which: Array, first: Array, window: Array) -> Array:
        reference = table[which]
        if delta:
            here = lax.dynamic_slice(reference, (first, ORIGIN), (width, channels))
            window = window + here[:, None]
        full = jnp.broadcast_to(reference[:, None], (table.shape[1], mutants, channels))
        full = lax.dynamic_update_slice(full, window, (first, ORIGIN, ORIGIN))
        return full.transpose(1, 0, 2)

    return jax.vmap(one, (0, 0, 1))(sequence, start, x).reshape(-1, *table.shape[1:])


def _tiles(start: np.ndarray, width: int, length: int) -> dict[str, np.ndarray]:
    """Cut the rows that have something at a position into tiles, for every position.

    The shapes follow from the number of rows, `width` and `length` alone, so that nothing is
    compiled again for other starts.

    Parameters
    ----------
    start : ndarray of int, shape (rows,)
        First position of each row's window.
    width, length : int
        Of the windows, and of the sequence that they lie in.

    Returns
    -------
    dict with
        order, start : shape (rows + tile,), rows by their start, and padding that no tile reads
        place : shape (rows,), where each row is in `order`
        position, first : shape (tiles,), the position of each tile and where it begins in `order`
        used : shape (), how many tiles there are; the rest is padding
    """
    rows = len(start)
    tile = max(width * rows // (4 * length), TILE)
    order = np.argsort(start, kind="stable")
    by_start = start[order]
    positions = np.arange(length)
    begin = np.searchsorted(by_start, positions - width, side="right")
    count = -(-(np.searchsorted(by_start, positions, side="right") - begin) // tile)
    used = count.sum()
    spare = width * rows // tile + length - used
    within = np.arange(used) - np.repeat(np.cumsum(count) - count, count)
    return {
        "order": np.pad(order, (0, tile)).astype(np.int32),
        "start": np.pad(by_start, (0, tile), constant_values=length).astype(np.int32),
        "place": np.argsort(order).astype(np.int32),
        "position": np.pad(np.repeat(positions, count), (0, spare)).astype(np.int32),
        "first": np.pad(np.repeat(begin, count) + within * tile, (0, spare)).astype(np.int32),
        "used": np.int32(used),
    }


@jax.jit
def _tiled_dense(windows: list[Array], kernel: Array, tiles: dict[str, Array]) -> Array:
    """``sum_p window[p] @ kernel[start + p]`` of every mutant, shape (mutants, features).

    Position by position, for then each matrix of the kernel is read for all the rows at once.
    """
    width, _, _, channels = windows[0].shape
    flat = jnp.concatenate([w.reshape(width, -1, channels) for w in windows], 1)
    tile = len(tiles["order"]) - len(tiles["place"])

    def one(i: Array, out: Array) -> Array:
        first, position = tiles["first"][i], tiles["position"][i]
        row = lax.dynamic_slice_in_dim(tiles["order"], first, tile)
        p = position - lax.dynamic_slice_in_dim(tiles["start"], first, tile)
        inside = (p >= 0) & (p < width)
        x = jnp.where(inside[:, None], flat[jnp.clip(p, 0, width - 1), row], 0)
        sums = lax.dynamic_slice_in_dim(out, first, tile) + _product(x, kernel[position])
        return lax.dynamic_update_slice_in_dim(out, sums, first, 0)

    out = jnp.zeros((len(tiles["order"]), kernel.shape[2]), kernel.dtype)
    return lax.fori_loop(0, tiles["used"], one, out)[tiles["place"]]


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "abs": jnp.abs,
    "cos": jnp.cos,
    "elu": jax.nn.elu,
    "exp": jnp.exp,
    "gelu": jax.nn.gelu,
    "hard_sigmoid": jax.nn.hard_sigmoid,
    "clip": lambda x, low=-jnp.inf, high=jnp.inf: jnp.clip(x, low, high),
    "leaky_relu": jax.nn.leaky_relu,
    "log": jnp.log,
    "log_softmax": jax.nn.log_softmax,
    "negative": jnp.negative,
    "negative_part": lambda x: jnp.minimum(x, 0),
    "relu": jax.nn.relu,
    "relu6": jax.nn.relu6,
    "selu": jax.nn.selu,
    "sigmoid": jax.nn.sigmoid,
    "silu": jax.nn.silu,
    "sin": jnp.sin,
    "softmax": jax.nn.softmax,
    "softplus": jax.nn.softplus,
    "softsign": jax.nn.soft_sign,
    "sqrt": jnp.sqrt,
    "square": jnp.square,
    "tanh": jnp.tanh,
}

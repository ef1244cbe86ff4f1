"""ATen operators that pool or reduce over positions, and upsampling.

Requirements: numpy. Handlers as in `fastism.frontends.torch_ops`, in the same register.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastism.frontends.torch_ops import (
    Handler,
    Made,
    Numbers,
    flat_axis,
    handles,
    one,
    unflattened,
)
from fastism.frontends.torch_values import Emit, Value
from fastism.rules import (
    AveragePool,
    Convolution,
    Dense,
    GlobalPool,
    MaxPool,
    Rule,
    Shift,
    Upsample,
)

# ---- pooling --------------------------------------------------------------------------------


@handles("max_pool1d.default")
def max_pool1d(
    emit: Emit,
    x: Value,
    size: Numbers,
    stride: Numbers = (),
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
) -> Made:
    """Max pooling; positions that `ceil_mode` adds never win."""
    if len(x.axes) != 2 or one(dilation) != 1:
        return "dilation" if len(x.axes) == 2 else "an input without a batch axis"
    size, stride, pad = _pooling(emit, x, size, stride, padding)
    return Value(emit.add(MaxPool(size, stride, pad), [emit.channels_last(x)]), (1, 0))


@handles("max_pool1d_with_indices.default")
def max_pool1d_with_indices(emit: Emit, x: Value, *settings: Any) -> Made:
    """Max pooling that also says where; that part has no rule."""
    made = max_pool1d(emit, x, *settings)
    return made if isinstance(made, str) else (made, None)


def _pooling(
    emit: Emit, x: Value, size: Numbers, stride: Numbers, padding: Numbers
) -> tuple[int, int, tuple[int, int]]:
    """Size, stride, and padding such that the result has the length that it must have."""
    size = one(size)
    stride = size if not isinstance(stride, int) and not len(stride) else one(stride)
    left, length = one(padding), emit.shape(x)[1]
    right = (emit.out[-1] - 1) * stride + size - length - left
    return size, stride, (left, max(right, 0))


@handles("avg_pool1d.default")
def avg_pool1d(
    emit: Emit,
    x: Value,
    size: Numbers,
    stride: Numbers = (),
    padding: Numbers = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Made:
    """Average pooling; what `ceil_mode` adds beyond the padding never counts."""
    if len(x.axes) != 2:
        return "an input without a batch axis"
    size, stride, (left, right) = _pooling(emit, x, size, stride, padding)
    node, length = emit.channels_last(x), emit.shape(x)[1]
    padded = one(padding)
    if count_include_pad and padded:
        node = emit.add(Shift(padded, padded), [node], " padded")
        length, left, right = length + 2 * padded, 0, max(right - padded, 0)
    rule = AveragePool(size, stride, (left, right), length=length)
    return Value(emit.add(rule, [node]), (1, 0))


@handles("max_pool2d.default")
def max_pool2d(
    emit: Emit,
    x: Value,
    size: Numbers,
    stride: Numbers = (),
    padding: Numbers = 0,
    dilation: Numbers = 1,
    ceil_mode: bool = False,
) -> Made:
    """Max pooling over two axes one of which has size one."""
    sizes = [size, size] if isinstance(size, int) else [*size, *size][:2]
    flat = flat_axis(emit, x, sizes, padding)
    if flat is None or (not isinstance(dilation, int) and set(dilation) != {1}):
        return "pooling over two axes"
    other = 1 - flat

    def along(v: Any) -> Any:
        return v if isinstance(v, int) or not len(v) else v[other % len(v)]

    length = emit.out[1 + other]
    emit.out = (emit.out[0], length)
    inner = Value(x.node, (x.axes[0], x.axes[1 + other]))
    steps = along(stride) if isinstance(stride, int) or len(stride) else sizes[other]
    made = max_pool1d(emit, inner, sizes[other], steps, along(padding), along(dilation))
    emit.out = (emit.out[0], *((1, length) if flat == 0 else (length, 1)))
    return unflattened(made, flat)


@handles("adaptive_avg_pool1d.default")
def adaptive_avg_pool1d(emit: Emit, x: Value, size: Numbers) -> Made:
    """Adaptive average pooling to one position, or to parts of equal length."""
    return _adaptive(emit, x, one(size), "mean")


@handles("adaptive_max_pool1d.default")
def adaptive_max_pool1d(emit: Emit, x: Value, size: Numbers) -> Made:
    """Adaptive max pooling to one position, or to parts of equal length."""
    made = _adaptive(emit, x, one(size), "max")
    return made if isinstance(made, str) else (made, None)


def _adaptive(emit: Emit, x: Value, count: int, mode: str) -> Made:
    if len(x.axes) != 2:
        return "an input without a batch axis"
    length = emit.shape(x)[1]
    node = emit.channels_last(x)
    if count == 1:
        return Value(emit.add(GlobalPool(mode), [node]), (0, None))
    if length % count:
        return "adaptive pooling to parts of unequal lengths"
    size = length // count
    rule: Rule = MaxPool(size, size) if mode == "max" else AveragePool(size, size, length=length)
    return Value(emit.add(rule, [node]), (1, 0))


@handles("upsample_nearest1d.default", "upsample_nearest1d.vec")
def upsample_nearest(emit: Emit, x: Value, size: Any = None, scales: Any = None) -> Made:
    """Every position a whole number of times."""
    length = emit.shape(x)[-1]
    factor = emit.out[-1] // length
    scale = scales[0] if isinstance(scales, (list, tuple)) and scales else scales
    if len(x.axes) != 2 or emit.out[-1] % length or scale not in (None, [], factor):
        return "a factor that is no whole number"
    return Value(emit.add(Upsample(factor), [emit.channels_last(x)]), (1, 0))


# ---- reductions -----------------------------------------------------------------------------

#: Reductions that are products with equal weights.
LINEAR = ("mean", "sum")


def reduction(mode: str) -> Handler:
    """Mean, sum, maximum or log-sum-exp over positions; mean and sum over channels too."""

    def handler(
        emit: Emit, x: Value, dims: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Made:
        rank = len(x.axes) + 1
        dims = [dims] if isinstance(dims, int) else list(dims or range(rank))
        dims = sorted(dim % rank for dim in dims)
        if 0 in dims:
            return "a reduction over the batch"
        return _reduced(emit, x, dims, keepdim, mode)

    return handler


def _reduced(emit: Emit, x: Value, dims: list[int], keepdim: bool, mode: str) -> Made:
    shape = emit.node_shape(x)
    gone = {emit.axis(x, dim) for dim in dims} - {None}
    node, numbers = x.node, {axis: axis for axis in range(len(shape))}
    if gone and len(shape) == 2 and 0 in gone and (mode in LINEAR or 1 not in gone):
        node = emit.add(GlobalPool(mode), [node])
        numbers = {1: 0}
        gone = gone - {0}
    if gone:
        last = len(shape) - 1
        if mode not in LINEAR or gone != {last}:
            return f"a {mode} over another axis than positions"
        count = shape[last]
        kernel = np.full((count, 1), 1.0 / count if mode == "mean" else 1.0, emit.dtype)
        vector = len(emit.node_shape(node)) == 1
        node = emit.add(Dense(kernel) if vector else Convolution(kernel[None]), [node])
        numbers.pop(last)
    axes = []
    for dim, axis in enumerate(x.axes, 1):
        if dim not in dims:
            axes.append(None if axis is None else numbers[axis])
        elif keepdim:
            axes.append(None)
    return Value(node, tuple(axes))


for _mode, _names in (
    ("mean", ("mean.dim",)),
    ("sum", ("sum.dim_IntList",)),
    ("max", ("amax.default",)),
    ("logsumexp", ("logsumexp.default",)),
):
    handles(*_names)(reduction(_mode))


@handles("max.dim")
def max_dim(emit: Emit, x: Value, dim: int, keepdim: bool = False) -> Made:
    """The maximum over positions; where it was has no rule."""
    made = reduction("max")(emit, x, dim, keepdim)
    return made if isinstance(made, str) else (made, None)

"""What ATen operators become: one function per kind, registered by operator.

Requirements: torch. A handler gets `Emit`, then the operator's arguments: a `Value` for a tensor of
the module, a torch tensor for a weight. It returns the `Value` of its result (or a tuple, with None
for results that it does not make), or a string saying why this call has no rule. Operators that
only look at a tensor differently stand in `fastism.frontends.torch_views`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from fastism.frontends.torch_values import Emit, Value, host
from fastism.rules import (
    Affine,
    Convolution,
    Dense,
    LayerNorm,
    Shift,
    Upsample,
)

Made = Value | tuple[Value | None, ...] | str
Handler = Callable[..., Made]
OPERATORS: dict[Any, Handler] = {}
#: Those whose first operand may be a weight.
ANY_OPERAND: set[Any] = set()
Numbers = Sequence[int] | int

DYNAMIC = "weights that are computed from the input"


def handles(*names: str, any_operand: bool = False) -> Callable[[Handler], Handler]:
    """Register a handler for operators by name, such as ``"conv1d.default"``.

    Its first argument after `Emit` is a `Value`, unless `any_operand` allows weights.
    """

    def register(handler: Handler) -> Handler:
        for name in names:
            operator, overload = name.split(".")
            packet = getattr(torch.ops.aten, operator, None)
            found = getattr(packet, overload, None)
            if found is not None:
                OPERATORS[found] = handler
                if any_operand:
                    ANY_OPERAND.add(found)
        return handler

    return register


def one(x: Numbers) -> int:
    """A number that may be given as a list of one."""
    return int(x if isinstance(x, int) else x[0])


def constants(*arrays: Any) -> bool:
    """Whether all are weights (or absent)."""
    return all(x is None or isinstance(x, torch.Tensor) for x in arrays)


# ---- convolution and linear -----------------------------------------------------------------


@handles("conv1d.default", "conv1d.padding")
def conv1d(
    emit: Emit,
    x: Value,
    weight: Any,
    bias: Any = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Made:
    """Convolution with any padding, stride, dilation and groups."""
    if not constants(weight, bias):
        return DYNAMIC
    if len(x.axes) != 2:
        return "an input without a batch axis"
    dilation = one(dilation)
    reach = (weight.shape[2] - 1) * dilation
    if padding == "same":
        pad = reach // 2, reach - reach // 2
    elif padding == "valid":
        pad = 0, 0
    else:
        pad = one(padding), one(padding)
    kernel = np.ascontiguousarray(host(weight).transpose(2, 1, 0))
    bias = None if bias is None else host(bias)
    rule = Convolution(kernel, bias, one(stride), dilation, groups, pad)
    return Value(emit.add(rule, [emit.channels_last(x)]), (1, 0))


@handles("conv_transpose1d.default")
def conv_transpose1d(
    emit: Emit,
    x: Value,
    weight: Any,
    bias: Any = None,
    stride: Numbers = 1,
    padding: Numbers = 0,
    output_padding: Numbers = 0,
    groups: int = 1,
    dilation: Numbers = 1,
) -> Made:
    """Zeros between the inputs, a convolution with flipped taps, and a crop."""
    if not constants(weight, bias):
        return DYNAMIC
    if len(x.axes) != 2:
        return "an input without a batch axis"
    stride, padding, dilation = one(stride), one(padding), one(dilation)
    taps = host(weight)[:, :, ::-1]
    kernel = np.concatenate([part.transpose(2, 0, 1) for part in np.split(taps, groups)], 2)
    reach = (kernel.shape[0] - 1) * dilation
    node = emit.channels_last(x)
    if stride > 1:
        node = emit.add(Upsample(stride, zeros=True), [node], " zeros")
    sides = reach - padding, reach - padding + one(output_padding)
    pad = max(sides[0], 0), max(sides[1], 0)
    bias = None if bias is None else host(bias)
    rule = Convolution(np.ascontiguousarray(kernel), bias, 1, dilation, groups, pad)
    node = emit.add(rule, [node])
    if min(sides) < 0:
        node = emit.add(Shift(min(sides[0], 0), min(sides[1], 0)), [node], " cropped")
    return Value(node, (1, 0))


@handles("convolution.default")
def convolution(
    emit: Emit,
    x: Value,
    weight: Any,
    bias: Any,
    stride: Numbers,
    padding: Numbers,
    dilation: Numbers,
    transposed: bool,
    output_padding: Numbers,
    groups: int,
) -> Made:
    """The general convolution, where it has one axis of positions."""
    if not constants(weight) or weight.dim() != 3:
        return "a convolution over two or more axes"
    if transposed:
        settings = (stride, padding, output_padding, groups, dilation)
        return conv_transpose1d(emit, x, weight, bias, *settings)
    return conv1d(emit, x, weight, bias, stride, padding, dilation, groups)


@handles("conv2d.default", "conv2d.padding")
def conv2d(
    emit: Emit,
    x: Value,
    weight: Any,
    bias: Any = None,
    stride: Numbers = 1,
    padding: Numbers | str = 0,
    dilation: Numbers = 1,
    groups: int = 1,
) -> Made:
    """A convolution over two axes one of which the kernel covers as a whole, as characters."""
    if not constants(weight, bias):
        return DYNAMIC
    flat = flat_axis(emit, x, weight.shape[2:], padding)
    spanned = _spanned_axis(emit, x, weight.shape, padding) if flat is None else None
    if flat is None and spanned is None:
        return "a convolution over two axes"
    other = 1 - (flat if spanned is None else spanned)

    def along(v: Any) -> Any:
        return v if isinstance(v, (int, str)) else v[other % len(v)]

    if spanned is not None:
        # Characters, and whatever else a kernel spans, are channels.
        flat = spanned
        inner = Value(x.node, (x.axes[1 + flat], x.axes[1 + other]))
        kernel = weight[:, 0] if flat == 0 else weight[:, 0].mT
    else:
        inner = Value(x.node, (x.axes[0], x.axes[1 + other]))
        kernel = weight.squeeze(2 + flat)
    made = conv1d(emit, inner, kernel, bias, along(stride), along(padding), along(dilation), groups)
    return unflattened(made, flat)


def flat_axis(emit: Emit, x: Value, size: Sequence[int], padding: Any) -> int | None:
    """Which of two spatial axes has size one and is left alone; None if neither."""
    if len(x.axes) != 3:
        return None
    for flat in (0, 1):
        pad = padding if isinstance(padding, (int, str)) else padding[flat % len(padding)]
        if emit.shape(x)[1 + flat] == 1 and size[flat] == 1 and pad in (0, "same", "valid"):
            return flat
    return None


def _spanned_axis(emit: Emit, x: Value, weight: Sequence[int], padding: Any) -> int | None:
    """Which of two spatial axes a kernel covers as a whole, where there is one channel."""
    if len(x.axes) != 3 or weight[1] != 1 or emit.shape(x)[0] != 1 or len(emit.node_shape(x)) != 2:
        return None
    for axis in (1, 0):
        pad = padding if isinstance(padding, (int, str)) else padding[axis % len(padding)]
        named = {x.axes[1], x.axes[2]} == {0, 1} and x.axes[1 + axis] == 1
        if named and emit.shape(x)[1 + axis] == weight[2 + axis] and pad in (0, "valid"):
            return axis
    return None


def unflattened(made: Made, flat: int) -> Made:
    """Put back the axis of size one."""
    if not isinstance(made, Value):
        return made
    channels, positions = made.axes
    spatial = (None, positions) if flat == 0 else (positions, None)
    return Value(made.node, (channels, *spatial))


@handles("linear.default")
def linear(emit: Emit, x: Value, weight: Any, bias: Any = None) -> Made:
    """A dense layer on vectors, or on the last axis."""
    if not constants(weight, bias):
        return DYNAMIC
    kernel = np.ascontiguousarray(host(weight).T)
    return dense(emit, x, kernel, None if bias is None else host(bias))


@handles("addmm.default", any_operand=True)
def addmm(emit: Emit, bias: Any, x: Value, weight: Any) -> Made:
    """A product with a constant matrix plus a constant vector."""
    if not isinstance(x, Value) or not constants(weight, bias) or bias.dim() != 1:
        return DYNAMIC
    return dense(emit, x, host(weight), host(bias))


def dense(emit: Emit, x: Value, kernel: np.ndarray, bias: np.ndarray | None) -> Made:
    """A product with a constant matrix, plus a constant vector, of vectors or over channels."""
    if len(x.axes) == 1:
        return Value(emit.add(Dense(kernel, bias), [emit.arranged(x, (0,))]), (0,))
    if len(x.axes) == 2:
        node = emit.arranged(x, (0, 1))
        return Value(emit.add(Convolution(kernel[None], bias), [node]), (0, 1))
    return "a dense layer on more than two axes"


# ---- normalisation --------------------------------------------------------------------------


def affine(emit: Emit, x: Value, scale: np.ndarray, shift: np.ndarray) -> Value:
    """``scale * x + shift`` per entry of the last axis of the node of `x`."""
    return Value(emit.add(Affine(scale, shift), [x.node]), x.axes)


@handles("_native_batch_norm_legit_no_training.default")
def native_batch_norm(
    emit: Emit, x: Value, weight: Any, bias: Any, mean: Any, var: Any, momentum: float, eps: float
) -> Made:
    """Batch norm with its running statistics, in the form that also returns what it saved."""
    made = batch_norm(emit, x, weight, bias, mean, var, False, momentum, eps)
    return made if isinstance(made, str) else (made, None, None)


@handles("batch_norm.default")
def batch_norm(
    emit: Emit,
    x: Value,
    weight: Any,
    bias: Any,
    mean: Any,
    var: Any,
    training: bool,
    momentum: float,
    eps: float,
    cudnn: bool = False,
) -> Made:
    """Batch norm with its running statistics."""
    if training or mean is None or var is None:
        return "batch norm with the statistics of the batch"
    if not constants(weight, bias, mean, var):
        return DYNAMIC
    if len(x.axes) == 2 and x.axes != (1, 0):
        x = Value(emit.channels_last(x), (1, 0))
    if emit.axis(x, 1) != len(emit.node_shape(x)) - 1:
        return "batch norm over another axis than channels"
    scale = 1.0 / np.sqrt(host(var).astype(np.float64) + eps)
    if weight is not None:
        scale = scale * host(weight)
    shift = -host(mean).astype(np.float64) * scale + (0.0 if bias is None else host(bias))
    return affine(emit, x, scale, shift)


@handles("layer_norm.default")
def layer_norm(
    emit: Emit,
    x: Value,
    shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    cudnn: bool = True,
) -> Made:
    """Layer norm over the last axis."""
    return _layer_norm(emit, x, shape, weight, bias, eps, centre=True)


@handles("native_layer_norm.default")
def native_layer_norm(
    emit: Emit, x: Value, shape: Sequence[int], weight: Any, bias: Any, eps: float
) -> Made:
    """Layer norm in the form that also returns its statistics."""
    made = _layer_norm(emit, x, shape, weight, bias, eps, centre=True)
    return made if isinstance(made, str) else (made, None, None)


@handles("rms_norm.default")
def rms_norm(
    emit: Emit, x: Value, shape: Sequence[int], weight: Any = None, eps: float | None = None
) -> Made:
    """RMS norm over the last axis."""
    eps = float(np.finfo(emit.dtype).eps) if eps is None else eps
    return _layer_norm(emit, x, shape, weight, None, eps, centre=False)


def _layer_norm(
    emit: Emit, x: Value, shape: Sequence[int], weight: Any, bias: Any, eps: float, centre: bool
) -> Made:
    if not constants(weight, bias):
        return DYNAMIC
    if len(shape) != 1:
        return "layer norm over several axes"
    if emit.axis(x, -1) != len(emit.node_shape(x)) - 1:
        if len(x.axes) > 2:
            return "layer norm over another axis than channels"
        natural = tuple(range(len(x.axes)))
        x = Value(emit.arranged(x, natural), natural)
    gamma, beta = (None if v is None else host(v) for v in (weight, bias))
    return Value(emit.add(LayerNorm(gamma, beta, eps, centre), [x.node]), x.axes)

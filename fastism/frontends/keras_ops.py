"""What `keras.ops` on symbolic tensors become: functions, slices, shapes, reductions.

Requirements: keras. Handlers as in `fastism.frontends.keras_layers`, in the same register.
"""

from __future__ import annotations

import importlib
from math import prod
from typing import Any

import keras
import numpy as np

from fastism.frontends.keras_folds import over_neighbours
from fastism.frontends.keras_layers import Emit, Handler, handles
from fastism.rules import (
    Channels,
    Concatenate,
    Convolution,
    Dense,
    Elementwise,
    Flip,
    GlobalPool,
    Pointwise,
    PositionSoftmax,
    Reshape,
    Rule,
    Shift,
)


def operation_class(module: str, name: str) -> type | None:
    """The class behind a `keras.ops` function, if this version of Keras has it."""
    return getattr(importlib.import_module(f"keras.src.ops.{module}"), name, None)


RESHAPE = operation_class("numpy", "Reshape")
#: What a shape means that has other rows than sequences.
FOLDED = "a sequence is several rows, or a part of one"


def _merge(rule: Rule) -> Handler:
    def handler(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
        if len(inputs) != 2:
            return "an operand that is no tensor of the model"
        return emit.add(rule, inputs)

    return handler


def _function(rule: Pointwise) -> Handler:
    def handler(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
        return emit.add(rule, inputs)

    return handler


for _module, _class, _handler in (
    ("numpy", "Maximum", _merge(Elementwise("maximum"))),
    ("numpy", "Minimum", _merge(Elementwise("minimum"))),
    ("nn", "HardSigmoid", _function(Pointwise("hard_sigmoid"))),
    ("nn", "Selu", _function(Pointwise("selu"))),
    ("nn", "Relu", _function(Pointwise("relu"))),
    ("nn", "Relu6", _function(Pointwise("relu6"))),
    ("nn", "Sigmoid", _function(Pointwise("sigmoid"))),
    ("nn", "Silu", _function(Pointwise("silu"))),
    ("nn", "Softplus", _function(Pointwise("softplus"))),
    ("nn", "Softsign", _function(Pointwise("softsign"))),
    ("numpy", "Absolute", _function(Pointwise("abs"))),
    ("numpy", "Cos", _function(Pointwise("cos"))),
    ("numpy", "Exp", _function(Pointwise("exp"))),
    ("numpy", "Log", _function(Pointwise("log"))),
    ("numpy", "Negative", _function(Pointwise("negative"))),
    ("numpy", "Sin", _function(Pointwise("sin"))),
    ("numpy", "Sqrt", _function(Pointwise("sqrt"))),
    ("numpy", "Square", _function(Pointwise("square"))),
    ("numpy", "Tanh", _function(Pointwise("tanh"))),
):
    handles(operation_class(_module, _class))(_handler)


@handles(operation_class("nn", "Gelu"))
def gelu(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """GELU, exact or by its approximation."""
    return emit.add(Pointwise("gelu", {"approximate": bool(operation.approximate)}), inputs)


@handles(operation_class("numpy", "Clip"))
def clip(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """A clip to two numbers."""
    limits = operation.x_min, operation.x_max
    if not all(isinstance(v, (int, float)) for v in limits):
        return "a clip to limits that are no numbers"
    return emit.add(Pointwise("clip", {"low": float(limits[0]), "high": float(limits[1])}), inputs)


@handles(operation_class("nn", "Elu"))
def elu(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """ELU."""
    return emit.add(Pointwise("elu", {"alpha": float(operation.alpha)}), inputs)


@handles(operation_class("nn", "LeakyRelu"))
def leaky_relu(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """Leaky ReLU."""
    slope = float(operation.negative_slope)
    return emit.add(Pointwise("leaky_relu", {"negative_slope": slope}), inputs)


@handles(operation_class("nn", "LogSigmoid"))
def log_sigmoid(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """``log(sigmoid(x)) = -softplus(-x)``."""
    x = emit.add(Pointwise("negative"), inputs, " negative")
    return emit.add(Pointwise("negative"), [emit.add(Pointwise("softplus"), [x], " softplus")])


@handles(operation_class("nn", "HardSilu"))
def hard_silu(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """``x * hard_sigmoid(x)``."""
    gate = emit.add(Pointwise("hard_sigmoid"), inputs, " gate")
    return emit.add(Elementwise("multiply"), [inputs[0], gate])


@handles(operation_class("nn", "Glu"))
def glu(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """The first half of the channels times the sigmoid of the second."""
    shape = emit.shape(inputs[0])
    if operation.axis not in (-1, len(shape)):
        return "another axis than channels"
    half = shape[-1] // 2
    first = emit.add(Channels(0, half), inputs, " first half")
    second = emit.add(Channels(half, 2 * half), inputs, " second half")
    return emit.add(
        Elementwise("multiply"), [first, emit.add(Pointwise("sigmoid"), [second], " gate")]
    )


def _over_channels(name: str) -> Handler:
    def handler(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
        if operation.axis not in (-1, len(emit.shape(inputs[0]))):
            return "another axis than channels"
        return emit.add(Pointwise(name), inputs)

    return handler


@handles(operation_class("nn", "Softmax"))
def softmax(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """Softmax over channels, or over positions."""
    if len(emit.shape(inputs[0])) == 2 and operation.axis in (1, -2):
        return emit.add(PositionSoftmax(), inputs)
    return _over_channels("softmax")(emit, operation, call, inputs)


handles(operation_class("nn", "LogSoftmax"))(_over_channels("log_softmax"))


@handles(
    *(operation_class("numpy", "Copy"), operation_class("core", "StopGradient")),
    operation_class("core", "Cast"),
)
def identity(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """The same tensor, of the same type."""
    before, after = call.input_tensors[0], call.output_tensors[0]
    return inputs[0] if before.dtype == after.dtype else f"a tensor of type {after.dtype}"


@handles(operation_class("numpy", "Transpose"))
def transpose(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """Another order of axes, the batch still first."""
    shape, axes = emit.shape(inputs[0]), operation.axes
    if axes is None or axes[0] != 0:
        return "an order of axes in which the batch is not first"
    order = tuple(axis % (len(shape) + 1) - 1 for axis in axes[1:])
    return emit.add(Reshape(tuple(shape[axis] for axis in order), order), inputs)


@handles(
    *(RESHAPE, operation_class("numpy", "ExpandDims")),
    operation_class("numpy", "Squeeze"),
)
def reshape(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """The same elements in another shape, the batch still first."""
    made = call.output_tensors[0].shape
    if len(made) == 1:
        return "one number per sequence, with no axis but the batch"
    if made[0] is not None:
        return "a shape whose first axis is not the batch"
    if None in made[1:]:
        return "a shape with another open axis than the batch"
    if prod(made[1:]) != prod(emit.shape(inputs[0])):
        return f"a shape in which {FOLDED}"
    return emit.add(Reshape(tuple(made[1:])), inputs)


@handles(operation_class("numpy", "Concatenate"))
def concatenate(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """Tensors side by side."""
    given = keras.tree.flatten(call.arguments.args)
    axis = operation.axis % (len(emit.shape(inputs[0])) + 1)
    if len(given) != len(inputs) or not axis:
        return "a constant part" if axis else "a concatenation along the batch"
    return emit.add(Concatenate(axis - 1), inputs)


@handles(operation_class("numpy", "GetItem"))
def getitem(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """A slice of positions or channels with step one."""
    key = (*call.arguments.args, *call.arguments.kwargs.values())[1]
    shape, everything = emit.shape(inputs[0]), slice(None)
    key = list(key) if isinstance(key, tuple) else [key]
    if key.count(Ellipsis) == 1:
        first = key.index(Ellipsis)
        key[first : first + 1] = [everything] * (len(shape) + 2 - len(key))
    key += [everything] * (len(shape) + 1 - len(key))
    plain = all(isinstance(k, slice) and k.step in (None, 1) for k in key)
    if len(shape) != 2 or len(key) != 3 or not plain or key[0] != everything:
        return "indexing other than a slice of positions or channels"
    (made,) = inputs
    first, last, _ = key[1].indices(shape[0])
    if (first, last) != (0, shape[0]):
        made = emit.add(Shift(-first, last - shape[0]), [made])
    first, last, _ = key[2].indices(shape[1])
    return made if (first, last) == (0, shape[1]) else emit.add(Channels(first, last), [made])


@handles(operation_class("numpy", "Flip"))
def flip(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """A flip of positions, channels or both."""
    shape = emit.shape(inputs[0])
    if len(shape) != 2 or operation.axis is None:
        return "a flip of the batch axis or of a vector"
    axis = operation.axis
    axes = {a % 3 for a in ([axis] if isinstance(axis, int) else axis)}
    if 0 in axes:
        return "a flip of the batch axis"
    return emit.add(Flip(shape[0], 1 in axes, 2 in axes), inputs)


def _reduction(mode: str) -> Handler:
    def handler(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
        shape = emit.shape(inputs[0])
        axis = operation.axis
        axes = [axis] if isinstance(axis, int) else list(axis or ())
        axes = [a % (len(shape) + 1) for a in axes]
        if len(shape) == 3 and not operation.keepdims and axes == [2]:
            return over_neighbours(emit, call, mode)
        if axes == [len(shape)] and mode in ("mean", "sum") and len(shape) < 3:
            return _over_last(emit, shape, operation.keepdims, mode, inputs)
        if len(shape) != 2 or axes != [1]:
            return "a reduction over other axes than positions"
        pooled = emit.add(GlobalPool(mode), inputs)
        if not operation.keepdims:
            return pooled
        return emit.add(Reshape((1, shape[1])), [pooled], " keepdims")

    return handler


def _over_last(
    emit: Emit, shape: tuple[int, ...], keepdims: bool, mode: str, inputs: list[int]
) -> int:
    """The mean or sum of channels: a product with equal weights."""
    kernel = np.full((shape[-1], 1), 1.0 / shape[-1] if mode == "mean" else 1.0, np.float32)
    made = emit.add(Dense(kernel) if len(shape) == 1 else Convolution(kernel[None]), inputs)
    return made if keepdims else emit.add(Reshape(shape[:-1] or (1,)), [made], " vector")


for _class, _mode in (
    *(("Mean", "mean"), ("Sum", "sum"), ("Max", "max")),
    ("Amax", "max"),
):
    handles(operation_class("numpy", _class))(_reduction(_mode))
handles(operation_class("math", "Logsumexp"))(_reduction("logsumexp"))

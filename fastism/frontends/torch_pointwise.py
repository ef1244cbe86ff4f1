"""ATen operators on every element alone: functions of one number, arithmetic, softmax.

Requirements: torch. Handlers as in `fastism.frontends.torch_ops`, in the same register.
"""

from __future__ import annotations

from math import inf
from typing import Any

import numpy as np
import torch

from fastism.frontends.torch_ops import Handler, Made, affine, handles
from fastism.frontends.torch_values import Emit, Value, host
from fastism.rules import (
    Elementwise,
    Pointwise,
    PositionAffine,
    PositionSoftmax,
    Rule,
    WeightedSum,
)

# ---- functions of one number ----------------------------------------------------------------


def pointwise(emit: Emit, x: Value, name: str, **parameters: Any) -> Value:
    """A function of one number by name."""
    return Value(emit.add(Pointwise(name, parameters), [x.node]), x.axes)


def _function(name: str) -> Handler:
    def handler(emit: Emit, x: Value) -> Made:
        return pointwise(emit, x, name)

    return handler


for _operator, _name in (
    ("abs", "abs"),
    ("cos", "cos"),
    ("exp", "exp"),
    ("hardsigmoid", "hard_sigmoid"),
    ("log", "log"),
    ("neg", "negative"),
    ("relu", "relu"),
    ("relu6", "relu6"),
    ("selu", "selu"),
    ("sigmoid", "sigmoid"),
    ("silu", "silu"),
    ("sin", "sin"),
    ("sqrt", "sqrt"),
    ("square", "square"),
    ("tanh", "tanh"),
):
    handles(f"{_operator}.default")(_function(_name))


@handles("gelu.default")
def gelu(emit: Emit, x: Value, *, approximate: str = "none") -> Made:
    """GELU, exact or by its approximation."""
    return pointwise(emit, x, "gelu", approximate=approximate == "tanh")


@handles("elu.default")
def elu(
    emit: Emit, x: Value, alpha: float = 1.0, scale: float = 1.0, input_scale: float = 1.0
) -> Made:
    """ELU."""
    if scale != 1 or input_scale != 1:
        return "an ELU with further factors"
    return pointwise(emit, x, "elu", alpha=float(alpha))


@handles("leaky_relu.default")
def leaky_relu(emit: Emit, x: Value, slope: float = 0.01) -> Made:
    """Leaky ReLU."""
    return pointwise(emit, x, "leaky_relu", negative_slope=float(slope))


@handles("softplus.default")
def softplus(emit: Emit, x: Value, beta: float = 1, threshold: float = 20) -> Made:
    """Softplus."""
    if beta == 1:
        return pointwise(emit, x, "softplus")
    inner = pointwise(emit, scaled(emit, x, float(beta)), "softplus")
    return scaled(emit, inner, 1.0 / beta)


@handles("log_sigmoid.default")
def log_sigmoid(emit: Emit, x: Value) -> Made:
    """``log(sigmoid(x)) = -softplus(-x)``."""
    return scaled(emit, pointwise(emit, scaled(emit, x, -1.0), "softplus"), -1.0)


@handles("hardtanh.default")
def hardtanh(emit: Emit, x: Value, low: float = -1, high: float = 1) -> Made:
    """A clip to two numbers."""
    return clamp(emit, x, low, high)


@handles("clamp.default", "clamp_min.default")
def clamp(emit: Emit, x: Value, low: Any = None, high: Any = None) -> Made:
    """A clip from below, from above or both."""
    limits = [v for v in (low, high) if v is not None]
    if not limits or not all(isinstance(v, (int, float)) for v in limits):
        return "a clip to limits that are no numbers"
    if low == 0 and high in (None, 6):
        return pointwise(emit, x, "relu" if high is None else "relu6")
    # A limit from below that is above the other one has no effect in PyTorch.
    low, high = -inf if low is None else low, inf if high is None else high
    return pointwise(emit, x, "clip", low=float(min(low, high)), high=float(high))


@handles("clamp_max.default")
def clamp_max(emit: Emit, x: Value, high: Any) -> Made:
    """A clip from above."""
    return clamp(emit, x, None, high)


@handles("hardswish.default")
def hardswish(emit: Emit, x: Value) -> Made:
    """``x * hard_sigmoid(x)``."""
    gate = pointwise(emit, x, "hard_sigmoid")
    return Value(emit.add(Elementwise("multiply"), [x.node, gate.node]), x.axes)


@handles("mish.default")
def mish(emit: Emit, x: Value) -> Made:
    """``x * tanh(softplus(x))``."""
    gate = pointwise(emit, pointwise(emit, x, "softplus"), "tanh")
    return Value(emit.add(Elementwise("multiply"), [x.node, gate.node]), x.axes)


@handles("pow.Tensor_Scalar")
def power(emit: Emit, x: Value, exponent: float) -> Made:
    """A square, a square root, or nothing."""
    if exponent == 1:
        return x
    if exponent not in (2, 0.5):
        return "a power other than 0.5, 1 and 2"
    return pointwise(emit, x, "square" if exponent == 2 else "sqrt")


@handles("softmax.int", "_softmax.default")
def softmax(emit: Emit, x: Value, dim: int, dtype: Any = None) -> Made:
    """Softmax over channels, or over positions."""
    if len(emit.node_shape(x)) == 2 and emit.axis(x, dim) == 0:
        return Value(emit.add(PositionSoftmax(), [x.node]), x.axes)
    return _over_channels(emit, x, dim, "softmax")


@handles("log_softmax.int", "_log_softmax.default")
def log_softmax(emit: Emit, x: Value, dim: int, dtype: Any = None) -> Made:
    """Log softmax over channels."""
    return _over_channels(emit, x, dim, "log_softmax")


def _over_channels(emit: Emit, x: Value, dim: int, name: str) -> Made:
    if emit.axis(x, dim) != len(emit.node_shape(x)) - 1:
        return "another axis than channels"
    return pointwise(emit, x, name)


# ---- arithmetic -----------------------------------------------------------------------------


def scaled(emit: Emit, x: Value, scale: float, shift: float = 0.0) -> Value:
    """``scale * x + shift`` with numbers."""
    if (scale, shift) == (1.0, 0.0):
        return x
    channels = emit.node_shape(x)[-1]
    return affine(emit, x, np.full(channels, scale), np.full(channels, shift))


def merged(emit: Emit, rule: Rule, x: Value, y: Value) -> Made:
    """Two tensors by a rule, broadcast as torch does."""
    found = emit.aligned([x, y])
    if isinstance(found, str):
        return found
    nodes, axes = found
    return Value(emit.add(rule, nodes), axes)


def with_constant(emit: Emit, x: Value, scale: Any, shift: Any) -> Made:
    """``scale * x + shift`` with numbers or weights."""
    arrays = []
    for constant in (scale, shift):
        made = _table(emit, x, constant)
        if isinstance(made, str):
            return made
        arrays.append(made)
    if all(len(table) == 1 for table in arrays):
        return affine(emit, x, *(table[0] for table in arrays))
    shape = emit.node_shape(x)
    tables = [
        None if (table == nothing).all() else np.ascontiguousarray(np.broadcast_to(table, shape))
        for table, nothing in zip(arrays, (1, 0), strict=True)
    ]
    return Value(emit.add(PositionAffine(*tables), [x.node]), x.axes)


def _table(emit: Emit, x: Value, constant: Any) -> np.ndarray | str:
    """A number or weight per position and entry of the last axis of the node.

    Returns
    -------
    ndarray, shape (1, channels), or (length, channels) where it differs by position
    """
    channels = emit.node_shape(x)[-1]
    if not isinstance(constant, torch.Tensor):
        return np.full((1, channels), float(constant))
    array = host(constant).astype(np.float64)
    rank = len(x.axes) + 1
    if array.ndim > rank or (array.ndim == rank and array.shape[0] != 1):
        return "a constant with more axes than the tensor"
    array = array.reshape(*[1] * (rank - array.ndim), *array.shape)[0]
    shape = emit.node_shape(x)
    for axis, count in zip(x.axes, array.shape, strict=True):
        if count > 1 and (axis is None or count != shape[axis]):
            return "a constant that stretches the tensor"
    named = [axis for axis in x.axes if axis is not None]
    kept = array.reshape(
        [n for n, axis in zip(array.shape, x.axes, strict=True) if axis is not None]
    )
    ordered = kept.transpose(np.argsort(named)) if named else kept
    if len(shape) == 1:
        return np.broadcast_to(ordered.reshape(-1), (1, channels))
    sizes = dict(zip(sorted(named), ordered.shape, strict=True))
    table = ordered.reshape(sizes.get(0, 1), sizes.get(1, 1))
    return np.broadcast_to(table, (len(table), channels))


def _is_number(x: Any) -> bool:
    return isinstance(x, (int, float, torch.Tensor)) and not isinstance(x, bool)


@handles("add.Tensor", "add.Scalar", any_operand=True)
def add(emit: Emit, x: Any, y: Any, alpha: float = 1) -> Made:
    """A sum of tensors, or with a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        return merged(emit, WeightedSum((1.0, float(alpha))), x, y)
    if isinstance(x, Value) and _is_number(y):
        return with_constant(emit, x, 1.0, y * alpha)
    if isinstance(y, Value) and _is_number(x):
        return with_constant(emit, y, float(alpha), x)
    return "an operand that is no number"


@handles("sub.Tensor", "sub.Scalar", any_operand=True)
def subtract(emit: Emit, x: Any, y: Any, alpha: float = 1) -> Made:
    """A difference of tensors, or with a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        return merged(emit, WeightedSum((1.0, -float(alpha))), x, y)
    if isinstance(x, Value) and _is_number(y):
        return with_constant(emit, x, 1.0, y * -alpha)
    if isinstance(y, Value) and _is_number(x):
        return with_constant(emit, y, -float(alpha), x)
    return "an operand that is no number"


@handles("rsub.Scalar", "rsub.Tensor", any_operand=True)
def subtract_from(emit: Emit, x: Any, y: Any, alpha: float = 1) -> Made:
    """``y - alpha * x``."""
    return subtract(emit, y, x, alpha)


@handles("mul.Tensor", "mul.Scalar", any_operand=True)
def multiply(emit: Emit, x: Any, y: Any) -> Made:
    """A product of tensors, or with a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        return merged(emit, Elementwise("multiply"), x, y)
    if isinstance(y, Value):
        x, y = y, x
    return with_constant(emit, x, y, 0.0) if _is_number(y) else "an operand that is no number"


@handles("div.Tensor", "div.Scalar", "true_divide.Tensor", any_operand=True)
def divide(emit: Emit, x: Any, y: Any) -> Made:
    """A quotient of tensors, or by a constant."""
    if isinstance(x, Value) and isinstance(y, Value):
        return merged(emit, Elementwise("divide"), x, y)
    if not isinstance(x, Value) or not _is_number(y):
        return "a constant divided by a tensor"
    if isinstance(y, torch.Tensor):
        return with_constant(emit, x, 1.0 / y.detach().double(), 0.0)
    return with_constant(emit, x, 1.0 / y, 0.0) if y else "a division by zero"


def _extreme(name: str) -> Handler:
    def handler(emit: Emit, x: Any, y: Any) -> Made:
        if not isinstance(x, Value) or not isinstance(y, Value):
            return "a constant operand"
        return merged(emit, Elementwise(name), x, y)

    return handler


handles("maximum.default", "max.other", any_operand=True)(_extreme("maximum"))
handles("minimum.default", "min.other", any_operand=True)(_extreme("minimum"))

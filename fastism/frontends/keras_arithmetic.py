"""What arithmetic of `keras.ops` becomes: of two tensors, or of a tensor and constants.

Requirements: keras. Handlers as in `fastism.frontends.keras_layers`, in the same register.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from fastism.frontends.keras_layers import Emit, Handler, handles, host
from fastism.frontends.keras_ops import operation_class
from fastism.rules import (
    Affine,
    Elementwise,
    Pointwise,
    PositionAffine,
    Rule,
    WeightedSum,
)

#: From a constant to scale and shift.
Constant = Callable[[np.ndarray], tuple[Any, Any]]


def _arithmetic(with_tensor: Rule, right: Constant, left: Constant | None) -> Handler:
    """Two tensors by a rule; a tensor and a constant on its right or left as an affine step."""

    def handler(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
        arguments = (*call.arguments.args, *call.arguments.kwargs.values())
        if len(arguments) != 2:
            return "arguments that the rule does not know"
        if len(inputs) == 2:
            return emit.add(with_tensor, inputs)
        tensors = [isinstance(x, keras.KerasTensor) for x in arguments]
        if all(tensors):
            # One tensor twice.
            return emit.add(with_tensor, [inputs[0], inputs[0]])
        formula = right if tensors[0] else left
        if formula is None:
            return "a constant divided by a tensor"
        return affine(emit, inputs[0], *formula(constant(arguments[tensors.index(False)])))

    return handler


def constant(x: Any) -> np.ndarray:
    """A number, an array, a variable or a tensor of the framework, as numbers."""
    plain = isinstance(x, (int, float, np.ndarray, np.generic, list, tuple))
    return np.asarray(x if plain else host(x), dtype=np.float64)


def affine(emit: Emit, x: int, scale: Any, shift: Any) -> int | str:
    """``scale * x + shift`` with arrays that broadcast as in the model, the batch axis included."""
    shape = emit.shape(x)
    tables = []
    for given in (scale, shift):
        table = np.asarray(given, dtype=np.float64)
        if table.ndim > len(shape) and table.shape[0] == 1:
            table = table[0]
        try:
            fits = np.broadcast_shapes(table.shape, shape) == shape
        except ValueError:
            fits = False
        if not fits:
            return "a constant that stretches the tensor or differs between sequences"
        tables.append(table)
    if all(table.ndim < 2 or set(table.shape[:-1]) == {1} for table in tables):
        flat = (np.broadcast_to(table.reshape(table.shape[-1:]), shape[-1:]) for table in tables)
        return emit.add(Affine(*flat), [x])
    if len(shape) != 2:
        return "a constant that differs along more axes than positions and channels"
    wide = [
        None if (table == nothing).all() else np.ascontiguousarray(np.broadcast_to(table, shape))
        for table, nothing in zip(tables, (1, 0), strict=True)
    ]
    return emit.add(PositionAffine(*wide), [x])


_ADD = _arithmetic(WeightedSum((1.0, 1.0)), lambda v: (1.0, v), lambda v: (1.0, v))
_SUBTRACT = _arithmetic(WeightedSum((1.0, -1.0)), lambda v: (1.0, -v), lambda v: (-1.0, v))
_MULTIPLY = _arithmetic(Elementwise("multiply"), lambda v: (v, 0.0), lambda v: (v, 0.0))
_DIVIDE = _arithmetic(Elementwise("divide"), lambda v: (1.0 / v, 0.0), None)
handles(operation_class("numpy", "Add"))(_ADD)
handles(operation_class("numpy", "Subtract"))(_SUBTRACT)
handles(operation_class("numpy", "Multiply"))(_MULTIPLY)
handles(operation_class("numpy", "Divide"), operation_class("numpy", "TrueDivide"))(_DIVIDE)


@handles(operation_class("numpy", "Power"))
def power(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """A square, a square root, or nothing."""
    base, exponent = (*call.arguments.args, *call.arguments.kwargs.values())[:2]
    if not isinstance(base, keras.KerasTensor) or isinstance(exponent, keras.KerasTensor):
        return "a power that depends on the input"
    value = constant(exponent)
    if value.ndim or float(value) not in (0.5, 1.0, 2.0):
        return "a power other than 0.5, 1 and 2"
    if value == 1:
        return inputs[0]
    return emit.add(Pointwise("square" if value == 2 else "sqrt"), inputs)

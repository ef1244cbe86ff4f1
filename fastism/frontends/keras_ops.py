"""What `keras.ops` on symbolic tensors become: arithmetic, functions, slices, reductions.

Requirements: keras. Handlers as in `fastism.frontends.keras_layers`, in the same register.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from fastism.frontends.keras_layers import LAYERS, Emit, Handler, handles
from fastism.rules import (
    Affine,
    Elementwise,
    Flip,
    GlobalPool,
    Pointwise,
    Reshape,
    Rule,
    Shift,
    WeightedSum,
)


def _operation(module: str, name: str) -> type | None:
    """The class behind a `keras.ops` function, if this version of Keras has it."""
    return getattr(importlib.import_module(f"keras.src.ops.{module}"), name, None)


def _arithmetic(with_tensor: Rule, constant: Callable[[float], tuple[float, float]]) -> Handler:
    """Two tensors by a rule; a tensor and a number as ``scale * x + shift``."""

    def handler(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
        arguments = (*call.arguments.args, *call.arguments.kwargs.values())
        if len(arguments) != 2:
            return "arguments that the rule does not know"
        if len(inputs) == 2:
            return emit.add(with_tensor, inputs)
        second = arguments[1]
        if isinstance(second, int | float):
            scale, shift = constant(float(second))
            channels = emit.shape(inputs[0])[-1]
            return emit.add(Affine(np.full(channels, scale), np.full(channels, shift)), inputs)
        return "an operand that is neither a tensor of the model nor a number on the right"

    return handler


LAYERS.update(
    {
        cls: handler
        for cls, handler in (
            (_operation("numpy", "Add"), _arithmetic(WeightedSum((1.0, 1.0)), lambda v: (1.0, v))),
            (
                _operation("numpy", "Subtract"),
                _arithmetic(WeightedSum((1.0, -1.0)), lambda v: (1.0, -v)),
            ),
            (
                _operation("numpy", "Multiply"),
                _arithmetic(Elementwise("multiply"), lambda v: (v, 0.0)),
            ),
            (
                _operation("numpy", "TrueDivide"),
                _arithmetic(Elementwise("divide"), lambda v: (1.0 / v, 0.0)),
            ),
            (
                _operation("numpy", "Divide"),
                _arithmetic(Elementwise("divide"), lambda v: (1.0 / v, 0.0)),
            ),
        )
        if cls is not None
    }
)


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
    handles(_operation(_module, _class))(_handler)


@handles(_operation("numpy", "GetItem"))
def getitem(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """A slice of positions with step one."""
    key = (*call.arguments.args, *call.arguments.kwargs.values())[1]
    shape = emit.shape(inputs[0])
    if len(shape) != 2 or not isinstance(key, tuple) or len(key) not in (2, 3):
        return "indexing other than a slice of positions"
    everything = slice(None)
    if key[0] != everything or (len(key) == 3 and key[2] != everything):
        return "indexing other than a slice of positions"
    if not isinstance(key[1], slice) or key[1].step not in (None, 1):
        return "indexing other than a slice of positions"
    first, last, _ = key[1].indices(shape[0])
    return emit.add(Shift(-first, last - shape[0]), inputs)


@handles(_operation("numpy", "Flip"))
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
        if len(shape) != 2 or [a % 3 for a in axes] != [1]:
            return "a reduction over other axes than positions"
        pooled = emit.add(GlobalPool(mode), inputs)
        if not operation.keepdims:
            return pooled
        return emit.add(Reshape((1, shape[1])), [pooled], " keepdims")

    return handler


for _class, _mode in (("Mean", "mean"), ("Sum", "sum"), ("Max", "max")):
    handles(_operation("numpy", _class))(_reduction(_mode))

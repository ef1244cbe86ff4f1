"""Operations on Keras tensors whose positions are split into groups of neighbours.

Requirements: keras. A model writes ``(batch, length, channels)`` as ``(batch, groups, neighbours,
channels)`` and pools over the neighbours by itself, as attention pooling does. The sum, mean or
maximum is met first; what came before it is read back from the notes that Keras keeps.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from fastism.frontends.keras_layers import Emit, host
from fastism.rules import Affine, AveragePool, Convolution, MaxPool, SoftmaxPool


def over_neighbours(emit: Emit, call: Any, mode: str) -> int | str:
    """A reduction over the neighbours of ``(groups, neighbours, channels)`` as a pool."""
    tensor = call.input_tensors[0]
    size = tensor.shape[2]
    refused = "a reduction over an axis that is not one of neighbouring positions"
    x = _unfolded(emit, tensor, size)
    if x is not None and mode != "logsumexp":
        if mode == "max":
            return emit.add(MaxPool(size, size), [x])
        made = emit.add(AveragePool(size, size, length=emit.shape(x)[0]), [x])
        if mode == "mean":
            return made
        channels = emit.shape(made)[1]
        return emit.add(Affine([size] * channels, [0.0] * channels), [made], " sum")
    if mode != "sum" or _kind(tensor) != "Multiply":
        return refused
    factors = _inputs(tensor)
    for values, weights in (factors, factors[::-1]):
        if len(factors) == 2 and _is_softmax(weights):
            x, logits = _unfolded(emit, values, size), _unfolded(emit, _inputs(weights)[0], size)
            if x is not None and logits is not None:
                return emit.add(SoftmaxPool(size, size), [x, logits])
    return refused


def _call(tensor: keras.KerasTensor) -> tuple[Any, Any]:
    history = tensor._keras_history
    return history.operation, history.operation._inbound_nodes[history.node_index]


def _kind(tensor: keras.KerasTensor) -> str:
    return type(_call(tensor)[0]).__name__


def _inputs(tensor: keras.KerasTensor) -> list[keras.KerasTensor]:
    return list(_call(tensor)[1].input_tensors)


def _is_softmax(tensor: keras.KerasTensor) -> bool:
    """Whether it is a softmax over the neighbours."""
    operation = _call(tensor)[0]
    axis = getattr(operation, "axis", None)
    return type(operation).__name__ == "Softmax" and axis in (-2, 2)


def _unfolded(emit: Emit, tensor: keras.KerasTensor, size: int) -> int | None:
    """The node ``(length, channels)`` of a tensor of groups; None where it is something else."""
    operation, call = _call(tensor)
    given = list(call.input_tensors)
    if type(operation).__name__ == "Reshape" and len(given) == 1:
        source = given[0]
        groups = source.shape[1] // size if len(source.shape) == 3 else 0
        same = tuple(tensor.shape[1:]) == (groups, size, source.shape[-1])
        return emit.known(source) if same and source.shape[1] == groups * size else None
    if type(operation).__name__ == "Matmul" and len(given) == 1:
        right = (*call.arguments.args, *call.arguments.kwargs.values())[1]
        x = _unfolded(emit, given[0], size)
        if x is None or isinstance(right, keras.KerasTensor) or len(right.shape) != 2:
            return None
        return emit.add(Convolution(host(right)[None]), [x], " logits")
    if isinstance(operation, layers.Dense) and len(given) == 1:
        x = _unfolded(emit, given[0], size)
        linear = operation.activation is keras.activations.linear
        if x is None or not linear:
            return None
        bias = host(operation.bias) if operation.use_bias else None
        return emit.add(Convolution(host(operation.kernel)[None], bias), [x], " logits")
    return None

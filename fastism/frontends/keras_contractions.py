"""Keras layers and operations that multiply tensors and sum over an axis: products, dot, einsum.

Requirements: keras. Handlers as in `fastism.frontends.keras_layers`, in the same register. A sum of
products over positions is a `GlobalPool` of a product, a readout where one factor is a softmax.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers

from fastism.frontends.keras_arithmetic import constant
from fastism.frontends.keras_layers import Emit, handles
from fastism.frontends.keras_ops import operation_class
from fastism.rules import Convolution, Dense, Elementwise, GlobalPool, Reshape

BOTH = "a product of two tensors that depend on the input"


def _summed(emit: Emit, x: int, y: int, shape: tuple[int, ...], paired: bool = False) -> int | str:
    """A sum over positions of products of ``(length, channels)`` and ``(length, 1)``, as `shape`.

    A vector ``(length,)`` is taken as a single channel. `paired` channels are multiplied one by
    one.
    """
    factors = []
    for index in (x, y):
        given = emit.shape(index)
        vector = len(given) == 1
        factors.append(emit.add(Reshape((*given, 1)), [index], " channel") if vector else index)
    lengths, channels = zip(*(emit.shape(i) for i in factors), strict=True)
    if lengths[0] != lengths[1] or not (paired or 1 in channels):
        return BOTH
    product = emit.add(Elementwise("multiply"), factors, " product")
    pooled = emit.add(GlobalPool("sum"), [product])
    return pooled if emit.shape(pooled) == shape else emit.add(Reshape(shape), [pooled], " shape")


def _turned(emit: Emit, x: int) -> int:
    """The same tensor with its two axes exchanged, without a step where that undoes one."""
    shape, node = emit.shape(x), emit.builder.nodes[x]
    if isinstance(node.rule, Reshape):
        before = emit.shape(node.inputs[0])
        if before == shape[::-1] and (node.rule.permutation == (1, 0) or 1 in shape):
            return node.inputs[0]
    return emit.add(Reshape(shape[::-1], (1, 0)), [x], " turned")


@handles(operation_class("numpy", "Matmul"))
def matmul(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """A product with a constant matrix; or of a row, or with a column, as a sum of products."""
    arguments = (*call.arguments.args, *call.arguments.kwargs.values())
    if len(inputs) == 2:
        first, second = (emit.shape(i) for i in inputs)
        if len(first) != 2 or len(second) != 2 or 1 not in (first[0], second[1]):
            return BOTH
        shape = (first[0], second[1])
        return _summed(emit, _turned(emit, inputs[0]), inputs[1], shape)
    if len(inputs) != 1 or isinstance(arguments[1], keras.KerasTensor):
        return BOTH
    kernel = constant(arguments[1]).astype(np.float32)
    if kernel.ndim != 2 or not isinstance(arguments[0], keras.KerasTensor):
        return "a product with a constant that is no matrix on the right"
    two = len(emit.shape(inputs[0])) == 2
    return emit.add(Convolution(kernel[None]) if two else Dense(kernel), inputs)


@handles(layers.Dot)
def dot(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Dot over positions, where one of both has one channel."""
    axes = [layer.axes] * 2 if isinstance(layer.axes, int) else list(layer.axes)
    ranks = [len(emit.shape(i)) for i in inputs]
    over = [axis % (rank + 1) for axis, rank in zip(axes, ranks, strict=True)]
    if over != [1, 1] or layer.normalize or max(ranks) > 2 or len(set(inputs)) != 2:
        return "a dot product over other axes than positions"
    return _summed(emit, *inputs, tuple(call.output_tensors[0].shape[1:]))


@handles(operation_class("numpy", "Einsum"))
def einsum(emit: Emit, operation: Any, call: Any, inputs: list[int]) -> int | str:
    """A sum over positions of a product of two tensors, one of which has one channel."""
    terms, _, out = operation.subscripts.replace(" ", "").partition("->")
    named = terms.split(",")
    if len(named) != 2 or len(inputs) != 2 or "." in terms or len({t[:1] for t in named}) != 1:
        return "an einsum of other than two tensors that depend on the input"
    summed = (set(named[0]) & set(named[1])) - set(out)
    kept = [[c for c in term[1:] if c not in summed] for term in named]
    rest = "".join(dict.fromkeys(kept[0] + kept[1]))
    plain = max(len(term) for term in named) < 4 and out == named[0][:1] + rest
    if len(summed) != 1 or not plain:
        return "an einsum of other than a sum over positions"
    over = summed.pop()
    turned = [
        _turned(emit, i) if term[1:].index(over) else i
        for i, term in zip(inputs, named, strict=True)
    ]
    shape = tuple(call.output_tensors[0].shape[1:])
    return _summed(emit, *turned, shape, paired=kept[0] == kept[1])


@handles(layers.RepeatVector)
def repeat_vector(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """RepeatVector: every entry as a position of several equal channels, turned."""
    (length,), count = emit.shape(inputs[0]), int(layer.n)
    column = emit.add(Reshape((length, 1)), inputs, " column")
    ones = np.ones((1, 1, count), np.float32)
    stretched = emit.add(Convolution(ones), [column], " stretched")
    return emit.add(Reshape((count, length), (1, 0)), [stretched])

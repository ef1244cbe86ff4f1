"""Keras layers over two axes that are one-dimensional: one axis is single, or spanned by a kernel.

Requirements: keras. A tensor ``(length, characters, 1)``, ``(1, length, channels)`` or ``(length,
1, channels)`` is kept as a node ``(length, channels)`` and a `Reshape` that adds the axis, which
the next layer takes off again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from keras import layers

from fastism.frontends.keras_layers import Emit, handles, host
from fastism.graph.nodes import GraphBuilder
from fastism.intervals import same_padding
from fastism.rules import AveragePool, Convolution, GlobalPool, MaxPool, Reshape

TWO_AXES = "two axes of more than one position each"


def flat(builder: GraphBuilder, x: int) -> tuple[int, int] | None:
    """The node without its single axis, and which axis that is; None for other tensors."""
    node = builder.nodes[x]
    if not isinstance(node.rule, Reshape) or node.rule.permutation is not None or node.stop:
        return None
    source = builder.nodes[node.inputs[0]].shape
    if len(node.shape) != 3 or len(source) != 2:
        return None
    for axis in (2, 0, 1):
        if node.shape[axis] == 1 and node.shape[:axis] + node.shape[axis + 1 :] == source:
            return node.inputs[0], axis
    return None


def restored(add: Callable[..., int], shape: tuple[int, ...], x: int, axis: int) -> int:
    """The single axis put back."""
    return add(Reshape((*shape[:axis], 1, *shape[axis:])), [x], " over two axes")


@handles(layers.Conv2D)
def conv2d(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Conv2D along one axis, the other single or spanned by the kernel."""
    found = flat(emit.builder, inputs[0])
    if found is None or layer.data_format != "channels_last":
        return TWO_AXES if found is None else "channels_first data format"
    source, axis = found
    kernel = host(layer.kernel)
    if axis == 2:
        # (length, characters, 1): a kernel that spans the characters makes them channels.
        if kernel.shape[1] != emit.shape(source)[1] or layer.padding != "valid":
            return "a kernel that does not span the characters"
        along, kernel, axis = 0, kernel[:, :, 0], 1
    else:
        along = 1 - axis
        if kernel.shape[axis] != 1:
            return "a kernel that is longer than the single axis"
        kernel = kernel.squeeze(axis)
    size, stride, dilation = len(kernel), layer.strides[along], layer.dilation_rate[along]
    length = emit.shape(source)[0]
    padded = layer.padding == "same"
    pad = same_padding(length, size, stride, dilation) if padded else (0, 0)
    bias = host(layer.bias) if layer.use_bias else None
    made = emit.add(Convolution(kernel, bias, stride, dilation, layer.groups, pad), [source])
    made = emit.activation(layer.activation, made)
    return restored(emit.add, emit.shape(made), made, axis)


@handles(layers.MaxPooling2D, layers.AveragePooling2D)
def pooling(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """MaxPooling2D and AveragePooling2D along one axis, the other single."""
    found = flat(emit.builder, inputs[0])
    if found is None or found[1] == 2 or layer.data_format != "channels_last":
        return TWO_AXES
    source, axis = found
    if layer.pool_size[axis] != 1:
        return "pooling that is longer than the single axis"
    length = emit.shape(source)[0]
    size, stride = layer.pool_size[1 - axis], layer.strides[1 - axis]
    pad = same_padding(length, size, stride) if layer.padding == "same" else (0, 0)
    largest = isinstance(layer, layers.MaxPooling2D)
    rule = MaxPool(size, stride, pad) if largest else AveragePool(size, stride, pad, length=length)
    made = emit.add(rule, [source])
    return restored(emit.add, emit.shape(made), made, axis)


@handles(layers.GlobalMaxPooling2D, layers.GlobalAveragePooling2D)
def global_pooling(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """GlobalMaxPooling2D and GlobalAveragePooling2D, one axis single."""
    found = flat(emit.builder, inputs[0])
    if found is None or found[1] == 2 or layer.data_format != "channels_last":
        return TWO_AXES
    mode = "max" if isinstance(layer, layers.GlobalMaxPooling2D) else "mean"
    pooled = emit.add(GlobalPool(mode), [found[0]])
    if not layer.keepdims:
        return pooled
    return emit.add(Reshape((1, 1, *emit.shape(pooled))), [pooled], " keepdims")

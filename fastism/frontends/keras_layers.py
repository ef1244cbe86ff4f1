"""What each Keras layer and operation becomes: one function per kind, registered by class.

Requirements: keras. A handler returns the index of the node that holds its result, or a string
saying why this particular setting has no rule; the layer is then opaque.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import keras
import numpy as np
from keras import activations, layers

from fastism.graph.nodes import GraphBuilder
from fastism.intervals import same_padding
from fastism.rules import (
    Affine,
    AveragePool,
    Concatenate,
    Convolution,
    Dense,
    Elementwise,
    GlobalPool,
    LayerNorm,
    MaxPool,
    Pointwise,
    PositionAffine,
    PositionSoftmax,
    Reshape,
    Rule,
    Shift,
    Upsample,
    WeightedSum,
)

Handler = Callable[["Emit", Any, Any, list[int]], int | str]
LAYERS: dict[type, Handler] = {}


@dataclass(frozen=True)
class Emit:
    """Adds nodes on behalf of one layer.

    Parameters
    ----------
    builder : GraphBuilder
    layer : keras operation
    opaque : callable
        ``opaque(name, function, input, reason)`` adds a function of one tensor: as the operations
        that it consists of, or else as an opaque one.
    prefix : str
        What stands before the layer's name: the layers whose `call` it is a part of.
    known : callable
        ``known(tensor)`` is the node of a symbolic tensor that came before; None if there is none.
    """

    builder: GraphBuilder
    layer: Any
    opaque: Callable[[str, Callable, int, str], int]
    prefix: str = ""
    known: Callable[[Any], int | None] = lambda tensor: None

    def add(self, rule: Rule, inputs: Sequence[int], suffix: str = "") -> int:
        """Add a node; return its index."""
        name = self.prefix + self.layer.name + suffix
        return self.builder.add(name, type(self.layer).__name__, rule, inputs)

    def shape(self, index: int) -> tuple[int, ...]:
        """Shape of a node without the batch axis."""
        return self.builder.nodes[index].shape

    def activation(self, function: Callable | None, x: int) -> int:
        """Add an activation function; unknown ones as the operations that they consist of."""
        if function is None or function is activations.linear:
            return x
        known = ACTIVATIONS.get(function)
        if known is None:
            name = f"{self.prefix}{self.layer.name} activation"
            return self.opaque(name, function, x, f"unknown activation {_name(function)}")
        suffix = "" if isinstance(self.layer, layers.Activation) else f" {_name(function)}"
        return self.add(Pointwise(known[0], dict(known[1])), [x], suffix)


ACTIVATIONS: dict[Callable, tuple[str, dict[str, Any]]] = {
    activations.elu: ("elu", {"alpha": 1.0}),
    activations.exponential: ("exp", {}),
    activations.gelu: ("gelu", {"approximate": False}),
    activations.hard_sigmoid: ("hard_sigmoid", {}),
    activations.leaky_relu: ("leaky_relu", {"negative_slope": 0.2}),
    activations.log_softmax: ("log_softmax", {}),
    activations.relu: ("relu", {}),
    activations.relu6: ("relu6", {}),
    activations.selu: ("selu", {}),
    activations.sigmoid: ("sigmoid", {}),
    activations.silu: ("silu", {}),
    activations.softmax: ("softmax", {}),
    activations.softplus: ("softplus", {}),
    activations.softsign: ("softsign", {}),
    activations.tanh: ("tanh", {}),
}


def _name(function: Any) -> str:
    return getattr(function, "__name__", type(function).__name__)


def host(x: Any) -> np.ndarray:
    """A weight as it is now, without a copy where later training cannot change it."""
    read = getattr(getattr(x, "value", None), "read_value", None)
    if read is not None:
        # A TensorFlow variable writes elsewhere while somebody holds what was read.
        return np.asarray(read())
    array = np.asarray(keras.ops.convert_to_numpy(x))
    return array.copy() if keras.backend.backend() == "torch" else array


def _bias(layer: Any) -> np.ndarray | None:
    return host(layer.bias) if layer.use_bias else None


def handles(*classes: type | None) -> Callable[[Handler], Handler]:
    """Register a handler for exact classes (subclasses may behave differently)."""

    def register(handler: Handler) -> Handler:
        LAYERS.update({cls: handler for cls in classes if cls is not None})
        return handler

    return register


# ---- nothing at inference ---------------------------------------------------------------


@handles(
    layers.ActivityRegularization,
    layers.AlphaDropout,
    layers.Dropout,
    layers.GaussianDropout,
    layers.GaussianNoise,
    layers.Identity,
    layers.SpatialDropout1D,
)
def identity(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Layers that only act in training."""
    return inputs[0]


# ---- convolution and dense --------------------------------------------------------------


def _padding(layer: Any, length: int, size: int, stride: int, dilation: int) -> tuple[int, int]:
    if layer.padding == "valid":
        return 0, 0
    if layer.padding == "causal":
        return (size - 1) * dilation, 0
    return same_padding(length, size, stride, dilation)


def _channels_first(layer: Any) -> str | None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        return "channels_first data format"
    return None


@handles(layers.Conv1D)
def conv(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Conv1D with any padding, stride, dilation and groups."""
    refused = _channels_first(layer)
    if refused:
        return refused
    size, stride, dilation = layer.kernel_size[0], layer.strides[0], layer.dilation_rate[0]
    pad = _padding(layer, emit.shape(inputs[0])[0], size, stride, dilation)
    rule = Convolution(host(layer.kernel), _bias(layer), stride, dilation, layer.groups, pad)
    return emit.activation(layer.activation, emit.add(rule, inputs))


@handles(layers.DepthwiseConv1D)
def depthwise(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """DepthwiseConv1D as a grouped convolution."""
    refused = _channels_first(layer)
    if refused:
        return refused
    rule = _depthwise_rule(emit, layer, layer.kernel, inputs[0], _bias(layer))
    return emit.activation(layer.activation, emit.add(rule, inputs))


def _depthwise_rule(
    emit: Emit, layer: Any, kernel: Any, x: int, bias: np.ndarray | None
) -> Convolution:
    weights = host(kernel)
    size, channels, multiplier = weights.shape
    stride, dilation = _one(layer.strides), _one(layer.dilation_rate)
    pad = _padding(layer, emit.shape(x)[0], size, stride, dilation)
    grouped = weights.reshape(size, 1, channels * multiplier)
    return Convolution(grouped, bias, stride, dilation, channels, pad)


def _one(x: Any) -> int:
    return x[0] if isinstance(x, (tuple, list)) else x


@handles(layers.SeparableConv1D)
def separable(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """SeparableConv1D as a grouped convolution and one of a single tap."""
    refused = _channels_first(layer)
    if refused:
        return refused
    deep = _depthwise_rule(emit, layer, layer.depthwise_kernel, inputs[0], None)
    x = emit.add(deep, inputs, " depthwise")
    x = emit.add(Convolution(host(layer.pointwise_kernel), _bias(layer)), [x])
    return emit.activation(layer.activation, x)


@handles(layers.Conv1DTranspose)
def conv_transpose(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Conv1DTranspose: zeros between the inputs, then a convolution with flipped taps."""
    refused = _channels_first(layer)
    if refused:
        return refused
    if layer.output_padding is not None and any(
        p is not None for p in np.atleast_1d(layer.output_padding)
    ):
        return "output_padding is set"
    length = emit.shape(inputs[0])[0]
    size, stride, dilation = layer.kernel_size[0], layer.strides[0], layer.dilation_rate[0]
    if stride > 1 and dilation > 1:
        return "both strides and dilation_rate exceed one"
    reach = (size - 1) * dilation
    full = (length - 1) * stride + 1 + reach
    if layer.padding == "same":
        wanted, first = length * stride, max(reach + 1 - stride, 0) // 2
    else:
        wanted, first = length * stride + max(reach + 1 - stride, 0), 0
    pad = (reach - first, reach - (full - first - wanted))
    if min(pad) < 0 or full < first + wanted:
        return "kernel shorter than the stride"
    x = inputs[0]
    if stride > 1:
        x = emit.add(Upsample(stride, zeros=True), [x], " zeros")
    kernel = np.ascontiguousarray(host(layer.kernel)[::-1].transpose(0, 2, 1))
    x = emit.add(Convolution(kernel, _bias(layer), 1, dilation, 1, pad), [x])
    return emit.activation(layer.activation, x)


@handles(layers.Dense)
def dense(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Dense on vectors, or on the channels of every position."""
    kernel = host(layer.kernel)
    if len(emit.shape(inputs[0])) == 2:
        rule: Rule = Convolution(kernel[None], _bias(layer))
    else:
        rule = Dense(kernel, _bias(layer))
    return emit.activation(layer.activation, emit.add(rule, inputs))


# ---- normalisation ----------------------------------------------------------------------


def _last_axis(axis: Any, rank: int) -> bool:
    axes = [axis] if isinstance(axis, int) else list(axis)
    return axes in ([-1], [rank])


@handles(layers.BatchNormalization)
def batch_norm(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """BatchNormalization with its moving statistics."""
    if not _last_axis(layer.axis, len(emit.shape(inputs[0]))):
        return "batch norm over another axis than channels"
    mean = host(layer.moving_mean).astype(np.float64)
    scale = 1.0 / np.sqrt(host(layer.moving_variance).astype(np.float64) + layer.epsilon)
    if layer.scale:
        scale = scale * host(layer.gamma)
    shift = -mean * scale + (host(layer.beta) if layer.center else 0.0)
    return emit.add(Affine(scale, shift), inputs)


@handles(layers.LayerNormalization)
def layer_norm(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """LayerNormalization over channels."""
    if not _last_axis(layer.axis, len(emit.shape(inputs[0]))):
        return "layer norm over other axes than channels"
    gamma = host(layer.gamma) if layer.scale else None
    beta = host(layer.beta) if layer.center else None
    return emit.add(LayerNorm(gamma, beta, layer.epsilon), inputs)


@handles(getattr(layers, "RMSNormalization", None))
def rms_norm(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """RMSNormalization over channels."""
    if not _last_axis(layer.axis, len(emit.shape(inputs[0]))):
        return "RMS norm over other axes than channels"
    return emit.add(LayerNorm(host(layer.scale), None, layer.epsilon, centre=False), inputs)


@handles(layers.Rescaling)
def rescaling(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Rescaling by numbers or per channel."""
    channels = emit.shape(inputs[0])[-1]
    scale = np.broadcast_to(np.asarray(layer.scale, dtype=np.float64), (channels,))
    shift = np.broadcast_to(np.asarray(layer.offset, dtype=np.float64), (channels,))
    return emit.add(Affine(scale, shift), inputs)


# ---- activations ------------------------------------------------------------------------


@handles(layers.Activation)
def activation(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Activation by name or function."""
    return emit.activation(layer.activation, inputs[0])


@handles(layers.ReLU)
def relu(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """ReLU, leaky or capped at six."""
    slope, cap = float(layer.negative_slope or 0.0), layer.max_value
    if layer.threshold or (slope and cap is not None) or cap not in (None, 6, 6.0):
        return "ReLU with a threshold or a cap other than six"
    if slope:
        return emit.add(Pointwise("leaky_relu", {"negative_slope": slope}), inputs)
    return emit.add(Pointwise("relu" if cap is None else "relu6"), inputs)


@handles(layers.LeakyReLU)
def leaky_relu(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """LeakyReLU."""
    slope = float(layer.negative_slope)
    return emit.add(Pointwise("leaky_relu", {"negative_slope": slope}), inputs)


@handles(layers.ELU)
def elu(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """ELU."""
    return emit.add(Pointwise("elu", {"alpha": float(layer.alpha)}), inputs)


@handles(layers.PReLU)
def prelu(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """PReLU: ``relu(x) - alpha * relu(-x)`` with a slope for each channel, or each position too."""
    shape, alpha = emit.shape(inputs[0]), host(layer.alpha)
    slopes = np.broadcast_to(alpha, shape)
    positive = emit.add(Pointwise("relu"), inputs)
    flipped = emit.add(Pointwise("negative"), inputs, " negative")
    below = emit.add(Pointwise("relu"), [flipped], " below")
    by_position = len(shape) == 2 and alpha.shape[0] > 1
    rule: Rule = Affine(-slopes.reshape(-1, shape[-1])[0], np.zeros(shape[-1]))
    if by_position:
        rule = PositionAffine(-slopes, None)
    return emit.add(WeightedSum((1.0, 1.0)), [positive, emit.add(rule, [below], " slope")])


@handles(layers.Softmax)
def softmax(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Softmax over channels, or over positions."""
    if len(inputs) == 1 and len(emit.shape(inputs[0])) == 2 and layer.axis in (1, -2, [1], [-2]):
        return emit.add(PositionSoftmax(), inputs)
    if len(inputs) != 1 or not _last_axis(layer.axis, len(emit.shape(inputs[0]))):
        return "softmax with a mask or over several axes"
    return emit.add(Pointwise("softmax"), inputs)


#: Layers that treat the last axis alone, so that it does not matter how many axes come before.
LAST_AXIS = (
    *(layers.Dense, layers.Activation, layers.Dropout, layers.ReLU, layers.LeakyReLU, layers.ELU),
    *(layers.Softmax, layers.LayerNormalization, layers.BatchNormalization),
)


@handles(layers.TimeDistributed)
def every_position(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """TimeDistributed of a layer that treats the last axis alone."""
    inner = layer.layer
    if type(inner) not in LAST_AXIS or len(emit.shape(inputs[0])) != 2 or len(inputs) != 1:
        return "TimeDistributed of a layer that does more than treat the last axis"
    axis = getattr(inner, "axis", -1)
    if axis not in (-1, [-1]):
        return "TimeDistributed of a layer that names its axis by number"
    return LAYERS[type(inner)](replace(emit, layer=inner), inner, call, inputs)


# ---- pooling ----------------------------------------------------------------------------


@handles(layers.MaxPooling1D, layers.AveragePooling1D)
def pooling(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """MaxPooling1D and AveragePooling1D."""
    refused = _channels_first(layer)
    if refused:
        return refused
    length = emit.shape(inputs[0])[0]
    size, stride = _one(layer.pool_size), _one(layer.strides)
    pad = same_padding(length, size, stride) if layer.padding == "same" else (0, 0)
    if isinstance(layer, layers.MaxPooling1D):
        return emit.add(MaxPool(size, stride, pad), inputs)
    return emit.add(AveragePool(size, stride, pad, length=length), inputs)


@handles(layers.GlobalMaxPooling1D, layers.GlobalAveragePooling1D)
def global_pooling(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """GlobalMaxPooling1D and GlobalAveragePooling1D."""
    if _channels_first(layer) or len(inputs) != 1:
        return _channels_first(layer) or "global pooling with a mask"
    mode = "max" if isinstance(layer, layers.GlobalMaxPooling1D) else "mean"
    pooled = emit.add(GlobalPool(mode), inputs)
    if not layer.keepdims:
        return pooled
    return emit.add(Reshape((1, emit.shape(pooled)[0])), [pooled], " keepdims")


# ---- shape ------------------------------------------------------------------------------


@handles(layers.Flatten)
def flatten(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Flatten."""
    if layer.data_format != "channels_last":
        return "channels_first data format"
    return emit.add(Reshape((prod(emit.shape(inputs[0])),)), inputs)


@handles(layers.Reshape)
def reshape(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Reshape; only a flatten keeps the windows."""
    shape, total = list(layer.target_shape), prod(emit.shape(inputs[0]))
    if -1 in shape:
        shape[shape.index(-1)] = total // -prod(shape)
    return emit.add(Reshape(tuple(int(n) for n in shape)), inputs)


@handles(layers.Permute)
def permute(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Permute."""
    order = tuple(axis - 1 for axis in layer.dims)
    before = emit.builder.nodes[inputs[0]]
    earlier = before.rule.permutation if isinstance(before.rule, Reshape) else None
    if earlier and [earlier[axis] for axis in order] == list(range(len(order))):
        # It undoes the layer before: how models that take characters first are wrapped.
        return before.inputs[0]
    shape = emit.shape(inputs[0])
    return emit.add(Reshape(tuple(shape[axis] for axis in order), order), inputs)


@handles(layers.Cropping1D)
def cropping(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Cropping1D."""
    return emit.add(Shift(-layer.cropping[0], -layer.cropping[1]), inputs)


@handles(layers.ZeroPadding1D)
def zero_padding(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """ZeroPadding1D."""
    refused = _channels_first(layer)
    return refused or emit.add(Shift(*layer.padding), inputs)


@handles(layers.UpSampling1D)
def upsampling(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """UpSampling1D."""
    return emit.add(Upsample(int(layer.size)), inputs)


# ---- merging ----------------------------------------------------------------------------


@handles(layers.Add)
def add(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Add."""
    return emit.add(WeightedSum((1.0,) * len(inputs)), inputs)


@handles(layers.Subtract)
def subtract(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Subtract."""
    return emit.add(WeightedSum((1.0, -1.0)), inputs)


@handles(layers.Average)
def average(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Average."""
    return emit.add(WeightedSum((1.0 / len(inputs),) * len(inputs)), inputs)


@handles(layers.Multiply)
def multiply(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Multiply."""
    return emit.add(Elementwise("multiply"), inputs)


@handles(layers.Maximum)
def maximum(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Maximum."""
    return emit.add(Elementwise("maximum"), inputs)


@handles(layers.Minimum)
def minimum(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Minimum."""
    return emit.add(Elementwise("minimum"), inputs)


@handles(layers.Concatenate)
def concatenate(emit: Emit, layer: Any, call: Any, inputs: list[int]) -> int | str:
    """Concatenate along any axis but the batch."""
    rank = len(emit.shape(inputs[0]))
    axis = layer.axis if layer.axis >= 0 else layer.axis + rank + 1
    return emit.add(Concatenate(axis - 1), inputs)

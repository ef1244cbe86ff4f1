"""Layers and functions that users write for Keras are read as the operations that they consist of.

The kinds are those of public models: a GELU of one's own, functions of `keras.ops` as activations
(Basenji and its followers), shifts and depth that are dropped at inference, attention pooling
(Enformer), squeeze-excitation, weight standardisation, residual blocks.
"""

from __future__ import annotations

import gc

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers, ops  # noqa: E402
from keras_zoo import between_convolutions, checked  # noqa: E402

from fastism import FastISM  # noqa: E402
from fastism.rules import SoftmaxPool  # noqa: E402

pytestmark = pytest.mark.keras
LENGTH = 72


class OwnGelu(layers.Layer):
    """GELU by a sigmoid."""

    def call(self, x):
        return ops.sigmoid(1.702 * x) * x


class Scale(layers.Layer):
    """A factor and a shift for every channel, and an encoding of positions."""

    def build(self, shape):
        self.factor = self.add_weight(shape=(shape[-1],), initializer="ones")
        self.shift = self.add_weight(shape=(1, 1, shape[-1]), initializer="ones")
        self.encoding = self.add_weight(shape=(shape[1], shape[-1]), initializer="ones")

    def call(self, x):
        return (x * self.factor + self.shift) * self.encoding - 0.5 * self.encoding


class Shifted(layers.Layer):
    """Noise, a shift and dropped depth in training; the identity at inference."""

    def call(self, x, training=False):
        if not training:
            return x
        return ops.roll(x, 1, axis=1) + keras.random.normal(ops.shape(x))


class Gate(layers.Layer):
    """One half of the channels opens the other."""

    def call(self, x):
        half = x.shape[-1] // 2
        return ops.tanh(x[..., :half]) * (1 - ops.sigmoid(x[:, :, half:]))


class Block(layers.Layer):
    """Layers within a layer, with a residual connection around them."""

    def __init__(self, **options):
        super().__init__(**options)
        self.norm, self.drop = layers.BatchNormalization(), layers.Dropout(0.5)
        self.conv, self.gelu = layers.Conv1D(8, 5, padding="same"), OwnGelu()

    def build(self, shape):
        for part in (self.norm, self.conv):
            part.build(shape)

    def call(self, x, training=False):
        y = self.norm(x, training=training)
        return x + self.conv(self.drop(self.gelu(y), training=training))


class SoftmaxPooling(layers.Layer):
    """Attention pooling: every two positions become their mean weighted by a softmax."""

    def __init__(self, size=2, **options):
        super().__init__(**options)
        self.size = size

    def build(self, shape):
        self.logits = layers.Dense(shape[-1], use_bias=False)
        self.logits.build((None, None, self.size, shape[-1]))

    def call(self, x):
        _, length, channels = x.shape
        x = ops.reshape(x, (-1, length // self.size, self.size, channels))
        return ops.sum(x * ops.softmax(self.logits(x), axis=-2), axis=-2)


class Neighbours(layers.Layer):
    """Mean and maximum over neighbours on an axis of their own."""

    def call(self, x):
        x = ops.reshape(x, (-1, x.shape[1] // 3, 3, x.shape[2]))
        return ops.concatenate([ops.mean(x, 2), ops.max(x, 2), ops.sum(x, -2)], axis=-1)


def gelu_of_enformer(x):
    return ops.sigmoid(1.702 * x) * x


#: What stands between two convolutions, all of it local.
LOCAL = {
    "own gelu": OwnGelu(),
    "scale": Scale(),
    "dropped at inference": Shifted(),
    "gate": Gate(),
    "block": Block(),
    "attention pooling": SoftmaxPooling(2),
    "attention pooling of three": SoftmaxPooling(3),
    "neighbours": Neighbours(),
    "activation of operations": layers.Activation(gelu_of_enformer),
    "approximate gelu": layers.Activation(lambda x: keras.activations.gelu(x, approximate=True)),
    "activation of a convolution": layers.Conv1D(8, 3, activation=gelu_of_enformer),
    "operations": gelu_of_enformer,
    "gelu on a tensor": keras.activations.gelu,
    "elu": lambda x: ops.elu(x, alpha=0.7),
    "leaky relu": lambda x: ops.leaky_relu(x, negative_slope=0.3),
    "selu": ops.selu,
    "softmax": ops.softmax,
    "log sigmoid": ops.log_sigmoid,
    "hard silu": ops.hard_silu,
    "glu": ops.glu,
    "powers": lambda x: (x**2 + 1) ** 0.5 - x**1,
    "number on the left": lambda x: 1.0 - (2.0 * x + 0.5) / 3.0,
    "matrix": lambda x: ops.matmul(x, np.linspace(-1, 1, 40, dtype="float32").reshape(8, 5)),
    "mean of channels": lambda x: x - ops.mean(x, axis=-1, keepdims=True),
    "prelu": layers.PReLU(shared_axes=[1]),
    "prelu by position": layers.PReLU(),
    "dense at every position": layers.TimeDistributed(layers.Dense(5, activation="tanh")),
    "lambda": layers.Lambda(lambda x: ops.tanh(x) * 0.5),
}


@pytest.mark.parametrize("case", LOCAL)
def test_what_is_local_runs_on_windows(case):
    ism = checked(between_convolutions(LOCAL[case], LENGTH), LENGTH)
    assert ism.plan.opaque == ()
    assert ism.plan.speedup > 3


def test_attention_pooling_is_one_step():
    plan = FastISM(between_convolutions(SoftmaxPooling(2), LENGTH), test_correctness=False).plan
    assert sum(isinstance(node.rule, SoftmaxPool) for node in plan.graph.nodes) == 1


def test_what_is_nothing_at_inference_vanishes():
    plan = FastISM(between_convolutions(Shifted(name="shift"), LENGTH)).plan
    assert not any("shift" in node.name for node in plan.graph.nodes)


class Excitation(layers.Layer):
    """Squeeze-excitation: channels are weighted by what all positions say."""

    def build(self, shape):
        self.down, self.up = layers.Dense(2, activation="relu"), layers.Dense(shape[-1])
        self.down.build((None, shape[-1]))
        self.up.build((None, 2))

    def call(self, x):
        return x * ops.sigmoid(self.up(self.down(ops.mean(x, axis=1, keepdims=True))))


class SelfAttention(layers.Layer):
    """Attention over all positions, written out."""

    def call(self, x):
        weights = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))) / 3.0)
        return ops.matmul(weights, x)


class NotTraced(layers.Layer):
    """A call that looks at the framework's own tensors."""

    def call(self, x):
        if isinstance(x, keras.KerasTensor):
            raise TypeError("only tensors with values")
        return ops.cumsum(x, axis=1)

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Excitation(name="own"), "reads from all positions"),
        (SelfAttention(name="own"), "in its call, "),
        (NotTraced(name="own"), "its call does more than Keras can trace"),
    ],
    ids=["excitation", "attention", "not traced"],
)
def test_what_is_global_is_right_and_says_why(layer, reason):
    plan = checked(between_convolutions(layer, LENGTH), LENGTH).plan
    assert any(name.startswith("own") for name in plan.opaque)
    assert reason in " ".join(plan.reasons.values())


def test_multiply_adds_of_a_traced_layer_are_counted():
    plan = FastISM(between_convolutions(SelfAttention(name="own"), LENGTH)).plan
    (own,) = [
        cost for node, cost in zip(plan.graph.nodes, plan.costs, strict=True) if node.name == "own"
    ]
    assert own.naive == 2 * LENGTH * LENGTH * 8


def test_a_layer_and_the_names_that_keras_gives_are_left_as_they_were():
    layer = Block()
    model = between_convolutions(layer, LENGTH)
    parts = [part for part in model._flatten_layers() if isinstance(part, layers.Layer)]
    before = [(len(part._inbound_nodes), len(part._outbound_nodes)) for part in parts]
    first = layers.Dense(1).name
    FastISM(model, test_correctness=False)
    gc.collect()
    assert [(len(part._inbound_nodes), len(part._outbound_nodes)) for part in parts] == before
    number = int(first.rpartition("_")[2]) if "_" in first else 0
    assert layers.Dense(1).name == f"dense_{number + 1}"


def test_early_stop_layers_may_be_ones_own():
    model = between_convolutions(OwnGelu(name="own"), LENGTH)
    ism = FastISM(model, early_stop_layers="own")
    assert "after an early stop layer" in str(ism.plan)

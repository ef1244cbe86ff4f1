"""Random Keras models over every layer that has a rule, and some that have none.

A model is grown layer by layer from numbers that hypothesis draws (and shrinks); all weights come
from a seeded generator, so that an example is the same on every Keras backend. Numbers that layers
are given are sums of powers of two: Keras rounds some of them to single precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod
from typing import Any

import keras
import numpy as np
from hypothesis import strategies as st
from keras import layers, ops
from random_draw import Draw

#: TensorFlow on a CPU cannot run a dilated transposed convolution, whatever the library does.
DILATED_TRANSPOSE = keras.backend.backend() != "tensorflow"
ACTIVATIONS = (
    "relu",
    "linear",
    "gelu",
    "elu",
    "softplus",
    "sigmoid",
    "tanh",
    "silu",
    "selu",
    "softsign",
    "hard_sigmoid",
    "relu6",
    "leaky_relu",
    "softmax",
)


@keras.saving.register_keras_serializable("tests")
class Neighbours(layers.Layer):
    """A layer that the library cannot know: every position minus the mean of all."""

    def call(self, x: Any) -> Any:
        return x - ops.mean(x, axis=1, keepdims=True)

    def compute_output_shape(self, shape: tuple) -> tuple:
        return shape


@dataclass
class Example:
    """A model and how to perturb it.

    Parameters
    ----------
    model : keras.Model
    sequence : int
        Which input is the sequence.
    stops : list of str
        Layers to stop early at.
    opaque : bool
        Whether a layer without a rule may be in it.
    steps : list of str
        How it was made, for people.
    """

    model: keras.Model
    sequence: int
    stops: list[str]
    opaque: bool
    steps: list[str] = field(default_factory=list)

    def __repr__(self) -> str:
        return "\n".join(["a model:", *self.steps, f"stops: {self.stops}"])

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    @property
    def shapes(self) -> list[tuple[int, ...]]:
        """Input shapes without the batch axis."""
        return [tuple(x.shape[1:]) for x in self.model.inputs]


def length_of(x: Any) -> int:
    return x.shape[1]


def channels_of(x: Any) -> int:
    return x.shape[2]


def weighted(x: Any, axis: int) -> Any:
    """The sum along an axis, weighted by softmaxes of the values themselves."""
    return ops.sum(x * ops.softmax(x, axis=axis), axis=axis)


def weighted_by_one(x: Any, axis: int) -> Any:
    """The mean along an axis of values times the softmax of the first channel."""
    return ops.mean(ops.softmax(x[:, :, :1], axis=axis) * x, axis=axis)


class Growing:
    """A functional model while it grows."""

    def __init__(self, d: Draw, dtype: str, shape: tuple[int, int], opaque: bool) -> None:
        self.d, self.dtype, self.allow_opaque = d, dtype, opaque
        self.opaque, self.steps = False, []
        # TensorFlow's slope of 0.2 is rounded to single precision.
        rounded = ["leaky_relu"] if dtype == "float64" else []
        self.activations = [name for name in ACTIVATIONS if name not in rounded]
        self.main = keras.Input(shape, dtype=dtype, name="sequence")
        self.inputs = [self.main]
        self.sequences, self.vectors = [self.main], []

    # ---- bookkeeping --------------------------------------------------------------------

    def layer(self, cls: type, *args: Any, **settings: Any) -> Any:
        said = [*map(repr, args), *(f"{k}={v!r}" for k, v in settings.items())]
        self.steps.append(f"{cls.__name__}({', '.join(said)})")
        return cls(*args, dtype=self.dtype, **settings)

    def keep(self, x: Any, what: str = "") -> Any:
        (self.sequences if len(x.shape) == 3 else self.vectors).append(x)
        self.steps.append(f"    {what} -> {x.shape[1:]}")
        return x

    def recent(self) -> Any:
        return self.d.of(self.sequences[-1], *self.sequences[-3:])

    def side(self, *shape: int) -> Any:
        """Another input of the model."""
        x = keras.Input(shape, dtype=self.dtype, name=f"side{len(self.inputs)}")
        self.inputs.append(x)
        self.steps.append(f"{x.name}{shape}")
        return x

    # ---- layers with one input ----------------------------------------------------------

    def convolution(self, x: Any) -> Any:
        d = self.d
        size = d.int(1, min(5, length_of(x)))
        stride, dilation = d.of((1, 1), (1, 1), (2, 1), (3, 1), (1, 2), (1, 3))
        padding = d.of("same", "same", "valid", "causal")
        if padding == "valid" and (size - 1) * dilation >= length_of(x):
            padding = "same"
        groups = d.of(1, 1, 1, *([2] if channels_of(x) % 2 == 0 else []))
        return self.layer(
            layers.Conv1D,
            groups * d.int(1, 4),
            size,
            strides=stride,
            dilation_rate=dilation,
            padding=padding,
            groups=groups,
            use_bias=d.bool(),
            activation=d.of("relu", *self.activations),
        )(x)

    def depthwise(self, x: Any) -> Any:
        d = self.d
        size = d.int(1, min(4, length_of(x)))
        stride, dilation = d.of((1, 1), (2, 1), (1, 2))
        reach = (size - 1) * dilation
        settings = {
            "strides": stride,
            "dilation_rate": dilation,
            "padding": d.of("same", *(["valid"] if reach < length_of(x) else [])),
            "depth_multiplier": d.int(1, 2),
            "use_bias": d.bool(),
            "activation": d.of(*self.activations),
        }
        if d.bool():
            return self.layer(layers.DepthwiseConv1D, size, **settings)(x)
        return self.layer(layers.SeparableConv1D, d.int(1, 4), size, **settings)(x)

    def transpose(self, x: Any) -> Any:
        d = self.d
        stride, size = d.int(1, 3) if length_of(x) <= 24 else 1, d.int(1, 5)
        self.opaque |= size < stride
        return self.layer(
            layers.Conv1DTranspose,
            d.int(1, 4),
            size,
            strides=stride,
            padding=d.of("same", "valid"),
            dilation_rate=d.of(1, 1, 2) if stride == 1 and DILATED_TRANSPOSE else 1,
            use_bias=d.bool(),
            activation=d.of(*self.activations),
        )(x)

    def normalise(self, x: Any) -> Any:
        kind = self.d.of("batch", "batch", "layer", "rescaling", "rms")
        if kind == "batch":
            options = {"scale": self.d.bool(), "center": self.d.bool()}
            return self.layer(layers.BatchNormalization, **options)(x)
        if kind == "layer":
            return self.layer(layers.LayerNormalization, epsilon=0.125)(x)
        if kind == "rms" and hasattr(layers, "RMSNormalization"):
            return self.layer(layers.RMSNormalization, epsilon=0.125)(x)
        return self.layer(layers.Rescaling, -0.75, offset=0.25)(x)

    def pool(self, x: Any) -> Any:
        d = self.d
        size = d.int(1, min(4, length_of(x)))
        cls = d.of(layers.MaxPooling1D, layers.MaxPooling1D, layers.AveragePooling1D)
        return self.layer(cls, size, strides=d.of(None, 1, 2, 3, 4), padding=d.of("valid", "same"))(
            x
        )

    def resize(self, x: Any) -> Any:
        d = self.d
        kind = d.of("crop", "pad", "upsample")
        if kind == "crop":
            left = d.int(0, min(3, length_of(x) - 1))
            right = d.int(0, min(3, length_of(x) - 1 - left))
            return self.layer(layers.Cropping1D, (left, right))(x)
        if kind == "pad":
            return self.layer(layers.ZeroPadding1D, (d.int(0, 3), d.int(0, 3)))(x)
        return self.layer(layers.UpSampling1D, d.int(1, 3))(x) if length_of(x) <= 24 else x

    def activate(self, x: Any) -> Any:
        name = self.d.of("layer", "exponential", "relu cap", "leaky", "elu", "dropout")
        if name == "exponential":
            # Of something bounded, so that towers of exponentials stay finite.
            x = self.layer(layers.LayerNormalization, epsilon=0.125)(x)
            return self.layer(layers.Activation, "exponential")(x)
        if name == "relu cap":
            return self.layer(layers.ReLU, max_value=self.d.of(None, 6))(x)
        if name == "leaky":
            return self.layer(layers.LeakyReLU, negative_slope=self.d.of(0.25, 0.0))(x)
        if name == "elu":
            return self.layer(layers.ELU, alpha=0.75)(x)
        if name == "dropout":
            return self.layer(layers.Dropout, 0.5)(x)
        return self.layer(layers.Activation, self.d.of(*self.activations))(x)

    def dense(self, x: Any) -> Any:
        return self.layer(layers.Dense, self.d.int(1, 4), activation=self.d.of(*self.activations))(
            x
        )

    def arithmetic(self, x: Any) -> Any:
        """`keras.ops` and operators on symbolic tensors."""
        length = length_of(x)
        first = self.d.int(0, min(3, length - 1))
        last = self.d.int(first + 1, length)
        kinds: dict[str, Callable] = {
            "x * 1.5 - 0.25": lambda: x * 1.5 - 0.25,
            "x / 4.0 + 1.0": lambda: x / 4.0 + 1.0,
            f"x[:, {first}:{last}]": lambda: x[:, first:last],
            f"x[:, {first}:{last}, :]": lambda: x[:, first:last, :],
            "flip positions": lambda: ops.flip(x, axis=1),
            "flip channels": lambda: ops.flip(x, axis=-1),
            "flip both": lambda: ops.flip(x, axis=(1, 2)),
            "x * x": lambda: x * x,
            "maximum(x, 0.5 * x)": lambda: ops.maximum(x, x * 0.5),
            "clip": lambda: ops.clip(x, -0.25, 0.5),
            "relu": lambda: ops.relu(x),
            "tanh": lambda: ops.tanh(x),
            "sin": lambda: ops.sin(x),
            "cos": lambda: ops.cos(x),
            "abs": lambda: ops.abs(x),
            "square": lambda: ops.square(x),
            "-x": lambda: ops.negative(x),
            "sqrt(sigmoid(x))": lambda: ops.sqrt(ops.sigmoid(x)),
            "log(softplus(x) + 1)": lambda: ops.log(ops.softplus(x) + 1.0),
            "exp(tanh(x))": lambda: ops.exp(ops.tanh(x)),
            "x / (2 + sigmoid(x))": lambda: x / (ops.sigmoid(x) + 2.0),
        }
        kind = self.d.of(*kinds)
        self.steps.append(kind)
        return kinds[kind]()

    def unknown(self, x: Any) -> Any:
        """Layers and functions without a rule, and reshapes that mix positions."""
        d = self.d
        kinds = ["reshape", "permute", "joined positions", "wide norm"]
        if self.allow_opaque:
            kinds += ["lstm", "attention", "lambda", "custom", "constant", "dot"]
            # Keras on torch cannot run a slice with a negative step.
            kinds += ["reversed"] if keras.backend.backend() != "torch" else []
        kind = d.of(*kinds)
        self.opaque |= kind not in ("reshape", "permute", "joined positions")
        length, channels = length_of(x), channels_of(x)
        if kind == "reshape":
            return self.layer(layers.Reshape, d.of((channels, length), (-1, 1)))(x)
        if kind == "permute":
            return self.layer(layers.Permute, (2, 1))(x)
        if kind == "joined positions":
            return self.layer(layers.Concatenate, axis=1)([x, x])
        if kind == "wide norm":
            return self.layer(layers.LayerNormalization, axis=[1, 2], epsilon=0.125)(x)
        if kind == "lstm":
            cell = d.of(layers.LSTM, layers.GRU)(2, return_sequences=True, dtype=self.dtype)
            return self.layer(layers.Bidirectional, cell)(x)
        if kind == "attention":
            return self.layer(layers.MultiHeadAttention, 1, 2)(x, value=x)
        if kind == "lambda":
            return layers.Lambda(lambda t: ops.cumsum(t, axis=1) * 0.2, dtype=self.dtype)(x)
        if kind == "custom":
            return self.layer(Neighbours)(x)
        if kind == "reversed":
            self.steps.append("x[:, ::-1]")
            return x[:, ::-1]
        if kind == "constant":
            self.steps.append("1.0 - x")
            return 1.0 - x
        self.steps.append("x @ (x^T x)")
        return ops.matmul(x, ops.matmul(ops.transpose(x, (0, 2, 1)), x)) / length

    def step(self, x: Any) -> Any:
        kinds = (
            self.convolution,
            self.convolution,
            self.pool,
            self.normalise,
            self.activate,
            self.resize,
            self.arithmetic,
            self.transpose,
            self.depthwise,
            self.dense,
        )
        return self.d.of(*kinds)(x)

    # ---- several tensors ----------------------------------------------------------------

    def same_shape(self, x: Any) -> Any:
        """A convolution that keeps length and channels."""
        return self.layer(
            layers.Conv1D,
            channels_of(x),
            self.d.of(1, 3),
            padding=self.d.of("same", "causal"),
            dilation_rate=self.d.of(1, 2, 4),
            activation=self.d.of("relu", "linear", "gelu"),
        )(x)

    def merge(self) -> Any:
        cls = self.d.of(
            layers.Add,
            layers.Add,
            layers.Subtract,
            layers.Average,
            layers.Multiply,
            layers.Maximum,
            layers.Minimum,
            layers.Concatenate,
        )
        return self.layer(cls)

    def branches(self, x: Any) -> Any:
        first = x if self.d.bool() else self.same_shape(x)
        return self.merge()([first, self.same_shape(x)])

    def residual_stack(self, x: Any) -> Any:
        for i in range(self.d.int(2, 3)):
            y = self.layer(
                layers.Conv1D,
                channels_of(x),
                3,
                padding="same",
                dilation_rate=2**i,
                activation="relu",
            )(x)
            x = self.layer(layers.Add)([x, y])
        return x

    def shared_layer(self, x: Any) -> Any:
        conv = self.layer(layers.Conv1D, channels_of(x), 3, padding="same", activation="tanh")
        return conv(conv(x)) if self.d.bool() else layers.Add(dtype=self.dtype)([x, conv(x)])

    def nested(self, x: Any) -> Any:
        """A functional or sequential model inside, once or on two strands."""
        shape = tuple(x.shape[1:])
        self.steps.append("{")
        if self.d.bool():
            inner = Growing(self.d, self.dtype, shape, False)
            inner.steps = self.steps
            y = inner.main
            for _ in range(self.d.int(1, 2)):
                y = inner.step(y)
            self.opaque |= inner.opaque
            model = keras.Model(inner.main, y)
        else:
            conv = self.layer(layers.Conv1D, 2, 3, padding="same", activation="relu")
            norm, pool = self.layer(layers.BatchNormalization), self.layer(layers.MaxPooling1D, 1)
            model = keras.Sequential([keras.Input(shape, dtype=self.dtype), conv, norm, pool])
        if self.d.bool():
            self.steps.append("} on both strands")
            return self.layer(layers.Add)([model(x), model(ops.flip(x, axis=(1, 2)))])
        self.steps.append("}")
        return model(x)

    def join_side(self, x: Any) -> Any:
        """Join with an input that is not perturbed, of any shape that fits."""
        length, channels = length_of(x), channels_of(x)
        if self.d.bool():
            side = self.side(length, self.d.int(1, 2))
            if self.d.bool():
                side = self.layer(layers.Conv1D, 2, 3, padding="same", activation="relu")(side)
            return self.layer(layers.Concatenate)(self.d.of([x, side], [side, x]))
        shape = self.d.of((length, channels), (length, 1), (1, channels), (channels,))
        cls = self.d.of(layers.Add, layers.Multiply, layers.Maximum, layers.Average)
        return self.layer(cls)([x, self.side(*shape)])

    def grow(self) -> None:
        x = self.recent()
        if length_of(x) * channels_of(x) > 400:
            x = self.layer(layers.MaxPooling1D, 4, padding="same")(x)
        kinds = (
            self.step,
            self.step,
            self.step,
            self.step,
            self.branches,
            self.residual_stack,
            self.nested,
            self.shared_layer,
            self.join_side,
            self.unknown,
        )
        kind = self.d.of(*kinds)
        y = kind(x)
        if y is not x:
            self.keep(y, kind.__name__)

    # ---- readouts -----------------------------------------------------------------------

    def read(self) -> Any:
        x = self.recent()
        kind = self.d.of("flatten", "flatten", "average", "max", "sum", "keepdims")
        if kind == "flatten":
            x = self.layer(layers.Flatten)(x)
        elif kind == "average":
            x = self.layer(layers.GlobalAveragePooling1D)(x)
        elif kind == "max":
            x = self.layer(layers.GlobalMaxPooling1D)(x)
        elif kind == "sum":
            self.steps.append("sum")
            total = self.d.of(ops.sum, ops.max, ops.mean, ops.logsumexp, weighted, weighted_by_one)
            x = total(x, axis=1)
        else:
            x = self.layer(layers.GlobalAveragePooling1D, keepdims=True)(x)
            x = self.layer(layers.Flatten)(x)
        return self.keep(x, "read")

    def head(self) -> None:
        d, x = self.d, self.read()
        kind = d.of("dense", "joined", "added", "multiplied", "normalised")
        if kind == "joined":
            other = d.of(self.read, lambda: self.side(3))()
            x = self.layer(layers.Concatenate)([x, other])
        elif kind in ("added", "multiplied"):
            cls = layers.Add if kind == "added" else layers.Multiply
            x = self.layer(cls)([x, self.side(x.shape[1])])
        elif kind == "normalised":
            x = self.layer(layers.BatchNormalization)(x)
        x = self.layer(layers.Dense, d.int(1, 4), activation=d.of(*self.activations))(x)
        if d.bool():
            x = self.layer(layers.Dense, d.int(1, 3), activation=d.of(*self.activations))(x)
        self.keep(x, kind)

    def finish(self) -> Example:
        made = [*self.sequences[1:], *self.vectors] or [self.main]
        chosen = {id(made[-1]): made[-1]}
        for _ in range(self.d.int(0, 2)):
            x = self.d.of(*made)
            chosen[id(x)] = x
        order = self.d.draw(st.permutations(range(len(self.inputs))))
        inputs = [self.inputs[i] for i in order]
        single = len(inputs) == 1 and self.d.bool()
        model = keras.Model(inputs[0] if single else inputs, list(chosen.values()))
        given = {x.name for x in inputs}
        names = [layer.name for layer in model.layers if layer.name not in given]
        stops = [self.d.of(*names)] if names and self.d.int(0, 4) == 0 else []
        self.steps.append(f"outputs {[x.shape[1:] for x in model.outputs]}")
        return Example(model, inputs.index(self.main), stops, self.opaque, self.steps)


def randomise(model: keras.Model, seed: int) -> None:
    """Give every weight a number from a seeded generator, batch norms statistics of all signs."""
    rng = np.random.default_rng(seed)
    values = []
    for weight in model.weights:
        shape, name = tuple(weight.shape), weight.path.rsplit("/", 1)[-1]
        if "variance" in name:
            values.append(rng.uniform(0.3, 2.0, shape))
        elif len(shape) > 1:
            values.append(rng.normal(size=shape) * 1.2 / np.sqrt(max(prod(shape[:-1]), 1)))
        else:
            values.append(rng.normal(size=shape) * 0.7)
    model.set_weights(values)


@st.composite
def examples(draw: Callable, dtype: str = "float64", opaque: bool = True) -> Example:
    """A random model.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    opaque : bool
        Whether layers without a rule may occur.
    """
    return grown(draw, dtype, opaque)


def grown(draw: Callable, dtype: str = "float64", opaque: bool = True) -> Example:
    """A random model; parameters as for `examples`.

    Parameters
    ----------
    draw : callable
        Gives a value of a strategy.
    """
    d = Draw(draw)
    # Names start anew; collecting what is no longer used by hand costs more than the rest.
    keras.backend.clear_session(free_memory=False)
    growing = Growing(d, dtype, (d.int(6, 20), d.of(4, 4, 2, 3)), opaque)
    for _ in range(d.int(1, 6)):
        growing.grow()
    for _ in range(d.of(1, 1, 2, 0)):
        growing.head()
    example = growing.finish()
    randomise(example.model, d.int(0, 2**32 - 1))
    return example

"""Small Keras members of published families.

Written from the descriptions in the papers that are named; sizes are ours.
"""

from __future__ import annotations

from typing import Any

import keras
from family import Register
from keras import layers, ops

family = Register("keras")


def convolved(x: Any, channels: int, size: int, pool: int = 1, **settings: Any) -> Any:
    """Convolution of equal length, batch norm, ReLU, maximum of `pool` neighbours."""
    x = layers.Conv1D(channels, size, padding="same", **settings)(x)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    return layers.MaxPooling1D(pool)(x) if pool > 1 else x


def gelu(x: Any) -> Any:
    """The approximation that Basenji and Enformer use."""
    return ops.sigmoid(1.702 * x) * x


@family("DeepSTARR", "de Almeida et al. 2022", 249)
def deepstarr() -> keras.Model:
    x = y = keras.Input((249, 4))
    for channels, size in ((24, 7), (12, 3), (12, 5), (16, 3)):
        y = convolved(y, channels, size, 2)
    y = layers.Flatten()(y)
    for units in (32, 32):
        y = layers.ReLU()(layers.BatchNormalization()(layers.Dense(units)(y)))
        y = layers.Dropout(0.4)(y)
    return keras.Model(x, [layers.Dense(1)(y), layers.Dense(1)(y)])


@family("Optimus 5-Prime", "Sample et al. 2019", 100)
def optimus() -> keras.Model:
    x = y = keras.Input((100, 4))
    for _ in range(3):
        y = layers.Conv1D(24, 8, padding="same", activation="relu")(y)
    y = layers.Dense(20, activation="relu")(layers.Flatten()(y))
    return keras.Model(x, layers.Dense(1)(layers.Dropout(0.2)(y)))


@family("APARENT", "Bogard et al. 2019", 205)
def aparent() -> keras.Model:
    x = keras.Input((205, 4))
    y = layers.Conv2D(20, (8, 4), activation="relu")(layers.Reshape((205, 4, 1))(x))
    y = layers.Conv2D(24, (6, 1), activation="relu")(layers.MaxPooling2D((2, 1))(y))
    y = layers.Dense(32, activation="relu")(layers.Flatten()(y))
    return keras.Model(x, layers.Dense(1, activation="sigmoid")(layers.Dropout(0.2)(y)))


@family("ResidualBind", "Koo et al. 2021", 200)
def residualbind() -> keras.Model:
    x = keras.Input((200, 4))
    y = convolved(x, 24, 11)
    inner = y
    for dilation in (1, 2, 4):
        inner = layers.Conv1D(24, 3, padding="same", dilation_rate=dilation)(inner)
        inner = layers.BatchNormalization()(inner)
        inner = layers.ReLU()(inner) if dilation < 4 else inner
    y = layers.ReLU()(layers.Add()([y, inner]))
    y = layers.Flatten()(layers.AveragePooling1D(10)(y))
    return keras.Model(x, layers.Dense(1)(layers.Dense(32, activation="relu")(y)))


@family("Xpresso", "Agarwal and Shendure 2020", 500, sides=((8,),))
def xpresso() -> keras.Model:
    x, half_life = keras.Input((500, 4)), keras.Input((8,))
    y = layers.Conv1D(16, 6, padding="same", activation="relu")(x)
    y = layers.MaxPooling1D(30)(y)
    y = layers.Conv1D(16, 9, padding="same", activation="relu")(y)
    y = layers.Flatten()(layers.MaxPooling1D(10)(y))
    y = layers.Concatenate()([y, half_life])
    for units in (16, 4):
        y = layers.Dense(units, activation="relu")(y)
    return keras.Model([x, half_life], layers.Dense(1)(y))


@family("BPNet, Keras", "Avsec, Weilert et al. 2021", 500)
def bpnet() -> keras.Model:
    x = keras.Input((500, 4))
    y = layers.Conv1D(16, 25, padding="same", activation="relu")(x)
    for i in range(1, 6):
        made = layers.Conv1D(16, 3, padding="same", dilation_rate=2**i, activation="relu")(y)
        y = layers.Add()([y, made])
    profile = layers.Conv1DTranspose(2, 25, padding="same")(y)
    counts = layers.Dense(2)(layers.GlobalAveragePooling1D()(y))
    return keras.Model(x, [profile, counts])


@family("SpliceAI", "Jaganathan et al. 2019", 400)
def spliceai() -> keras.Model:
    x = keras.Input((400, 4))
    y = layers.Conv1D(12, 1)(x)
    skip = layers.Conv1D(12, 1)(y)
    for size, dilation in ((11, 1), (11, 1), (11, 4), (21, 4)):
        inner = y
        for _ in range(2):
            inner = layers.ReLU()(layers.BatchNormalization()(inner))
            inner = layers.Conv1D(12, size, padding="same", dilation_rate=dilation)(inner)
        y = layers.Add()([y, inner])
        skip = layers.Add()([skip, layers.Conv1D(12, 1)(y)])
    return keras.Model(x, layers.Conv1D(3, 1, activation="softmax")(layers.Cropping1D(100)(skip)))


@family("Basenji2", "Kelley 2020", 768)
def basenji() -> keras.Model:
    x = y = keras.Input((768, 4))
    for channels, size, pool in ((12, 15, 2), (16, 5, 2), (16, 5, 2), (20, 5, 2)):
        y = layers.Conv1D(channels, size, padding="same", use_bias=False)(gelu(y))
        y = layers.MaxPooling1D(pool)(layers.BatchNormalization()(y))
    for rate in (1, 2, 4):
        inner = layers.Conv1D(10, 3, padding="same", dilation_rate=rate, use_bias=False)(gelu(y))
        inner = layers.Conv1D(20, 1, use_bias=False)(gelu(layers.BatchNormalization()(inner)))
        y = layers.Add()([y, layers.Dropout(0.3)(layers.BatchNormalization()(inner))])
    y = layers.Cropping1D(8)(y)
    y = gelu(layers.Conv1D(16, 1)(gelu(y)))
    return keras.Model(x, layers.Dense(4, activation="softplus")(y))


@family("scBasset", "Yuan and Kelley 2022", 672)
def scbasset() -> keras.Model:
    x = y = keras.Input((672, 4))
    for channels, size, pool in ((16, 17, 3), (16, 5, 2), (20, 5, 2), (20, 5, 2)):
        y = layers.Conv1D(channels, size, padding="same", use_bias=False)(gelu(y))
        y = layers.MaxPooling1D(pool)(layers.BatchNormalization()(y))
    y = layers.BatchNormalization()(layers.Conv1D(16, 1, use_bias=False)(gelu(y)))
    y = layers.BatchNormalization()(layers.Dense(8)(layers.Flatten()(gelu(y))))
    return keras.Model(x, layers.Dense(30, activation="sigmoid")(gelu(y)))


@family("CREsted's dilated CNN", "Kempynck et al. 2025", 512)
def crested_dilated() -> keras.Model:
    x = keras.Input((512, 4))
    y = convolved(x, 16, 21)
    for i in range(1, 5):
        size = y.shape[1]
        inner = layers.Conv1D(16, 3, padding="valid", dilation_rate=2**i)(y)
        inner = layers.ReLU()(layers.BatchNormalization()(inner))
        y = layers.Add()([layers.Cropping1D((size - inner.shape[1]) // 2)(y), inner])
    y = layers.Dropout(0.1)(layers.GlobalAveragePooling1D()(y))
    return keras.Model(x, layers.Dense(5, activation="softplus")(y))


class Neighbours(layers.Layer):
    """The mean of two neighbours, weighted by the softmax of a product over the channels."""

    def build(self, shape: Any) -> None:
        self.kernel = self.add_weight(shape=(shape[-1], shape[-1]), name="kernel")

    def call(self, x: Any) -> Any:
        x = ops.reshape(x, (-1, x.shape[1] // 2, 2, x.shape[2]))
        return ops.sum(x * ops.softmax(ops.matmul(x, self.kernel), axis=-2), axis=-2)


@family("CREsted's Enformer", "Kempynck et al. 2025", 512)
def crested_enformer() -> keras.Model:
    x = keras.Input((512, 4))
    y = Neighbours()(layers.Conv1D(12, 15, padding="same")(x))
    for _ in range(3):
        y = layers.Activation(gelu)(layers.BatchNormalization()(y))
        y = Neighbours()(layers.Conv1D(16, 5, padding="same")(y))
    inner = layers.LayerNormalization()(y)
    y = layers.Add()([y, layers.MultiHeadAttention(2, 8)(inner, inner)])
    y = layers.Activation(gelu)(layers.Conv1D(16, 1)(y))
    return keras.Model(
        x, layers.Dense(3, activation="softplus")(layers.GlobalAveragePooling1D()(y))
    )


@family("DeepFlyBrain", "Janssens et al. 2022", 500)
def deepflybrain() -> keras.Model:
    x, strand = keras.Input((500, 4)), keras.Input((500, 4))
    y = layers.MaxPooling1D(12)(layers.Conv1D(24, 24, activation="relu")(strand))
    y = layers.TimeDistributed(layers.Dense(16, activation="relu"))(y)
    y = layers.Bidirectional(layers.LSTM(8, return_sequences=True))(y)
    y = layers.Dense(16, activation="relu")(layers.Flatten()(layers.Dropout(0.2)(y)))
    shared = keras.Model(strand, layers.Dense(5, activation="sigmoid")(y))
    both = [shared(x), shared(ops.flip(x, axis=(1, 2)))]
    return keras.Model(x, layers.Maximum()(both))


@family("Saluki", "Agarwal and Kelley 2022", 384)
def saluki() -> keras.Model:
    x = keras.Input((384, 4))
    y = layers.Conv1D(16, 5, use_bias=False)(x)
    for _ in range(4):
        inner = layers.ReLU()(layers.LayerNormalization(epsilon=1e-3)(y))
        y = layers.MaxPooling1D(2)(layers.Dropout(0.3)(layers.Conv1D(16, 5)(inner)))
    y = layers.ReLU()(layers.LayerNormalization(epsilon=1e-3)(y))
    y = layers.ReLU()(layers.BatchNormalization()(layers.GRU(16, go_backwards=True)(y)))
    y = layers.ReLU()(layers.BatchNormalization()(layers.Dense(16)(y)))
    return keras.Model(x, layers.Dense(1)(y))


@family("Akita", "Fudenberg et al. 2020", 512, note="maps of contacts")
def akita() -> keras.Model:
    x = y = keras.Input((512, 4))
    for _ in range(5):
        y = convolved(y, 12, 5, 2)
    for rate in (1, 2):
        y = layers.Add()([y, convolved(y, 12, 3, dilation_rate=rate)])
    pairs = (y[:, :, None] + y[:, None]) / 2.0
    y = layers.Conv2D(6, 3, padding="same", activation="relu")(pairs)
    return keras.Model(x, layers.Dense(2)(y))

"""What the tests of small Keras architectures share: random weights, sequences, brute force."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import layers

from fastism import FastISM


def randomised(model: keras.Model, seed: int = 0) -> keras.Model:
    """The model with random weights under which everything has an effect."""
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        size = max(int(np.prod(weight.shape[:-1])), 1) if len(weight.shape) > 1 else 4
        values = rng.normal(size=weight.shape) * 1.2 / size**0.5
        weight.assign(np.abs(values) + 0.5 if "variance" in weight.path else values)
    return model


def one_hot(length: int, count: int = 2, seed: int = 0) -> np.ndarray:
    """Random sequences, shape (count, length, 4)."""
    letters = np.random.default_rng(seed).integers(4, size=(count, length))
    return np.eye(4, dtype=np.float32)[letters]


def between_convolutions(function: Callable[[Any], Any], length: int) -> keras.Model:
    """A convolution, what `function` makes of it, another convolution, a mean and a dense layer."""
    keras.utils.set_random_seed(0)
    x = keras.Input((length, 4))
    y = function(layers.Conv1D(8, 7, padding="same")(x))
    y = layers.GlobalAveragePooling1D()(layers.Conv1D(6, 5, activation="relu")(y))
    return randomised(keras.Model(x, layers.Dense(2)(y)))


def checked(model: keras.Model, length: int, positions: Sequence[int] | None = None) -> FastISM:
    """Fast ISM of `model` on (length, 4), whose mutants are those of the model run in full."""
    x = one_hot(length)
    middle = length // 2
    chosen = list(positions or sorted({0, 1, 2, middle, middle + 1, length - 2, length - 1}))
    ism = FastISM(model, test_correctness=False)
    made = ism.saturate(x, positions=chosen).mutants
    mutants = np.repeat(x[:, None, None], len(chosen), 1).repeat(4, 2)
    for column, position in enumerate(chosen):
        mutants[:, column, :, position] = np.eye(4)
    full = model(mutants.reshape(-1, length, 4), training=False)
    full = keras.ops.convert_to_numpy(full).reshape(made.shape)
    np.testing.assert_allclose(made, full, rtol=1e-4, atol=2e-5 * np.abs(full).max())
    assert np.ptp(made, axis=(1, 2)).max() > 1e-5, "no effect to see"
    return ism

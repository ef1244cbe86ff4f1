"""Two small models, inputs for them, and what they give: for tests of the public methods."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers
from random_models import randomise

from fastism.backends import available_backends

OWN = keras.backend.backend()
#: The model's own framework, and torch where that is another one.
BACKENDS = [OWN, *(["torch"] if "torch" in available_backends() and OWN != "torch" else [])]
LENGTH = 20
NEAR = {"rtol": 1e-4, "atol": 1e-5}


def single_model(dtype: str = "float32", length: int | None = LENGTH) -> keras.Model:
    """sequence -- conv -- batch norm -- relu -- pool -- conv -- mean -- dense(3)."""
    with_type = {"dtype": dtype}
    x = inputs = keras.Input((length, 4), **with_type)
    x = layers.Conv1D(6, 5, padding="same", **with_type)(x)
    x = layers.BatchNormalization(**with_type)(x)
    x = layers.ReLU(**with_type)(x)
    x = layers.MaxPooling1D(2, **with_type)(x)
    x = layers.Conv1D(5, 3, activation="gelu", name="last_conv", **with_type)(x)
    x = layers.GlobalAveragePooling1D(**with_type)(x)
    model = keras.Model(inputs, layers.Dense(3, name="out", **with_type)(x))
    randomise(model, 1)
    return model


def several_model() -> keras.Model:
    r"""
    cell type ----------------------------------\
    sequence -- conv -- conv -- flatten -- dense -- joined -- dense(2)    output 1
                           \--- conv to one channel, flattened (20)      output 0
    """
    cell_type = keras.Input((3,), name="cell_type")
    sequence = keras.Input((LENGTH, 4), name="sequence")
    x = layers.Conv1D(5, 3, padding="same", activation="relu")(sequence)
    x = layers.Conv1D(4, 3, padding="same", dilation_rate=2, activation="relu")(x)
    profile = layers.Flatten()(layers.Conv1D(1, 5, padding="same")(x))
    x = layers.Dense(4, activation="tanh")(layers.Flatten()(x))
    counts = layers.Dense(2)(layers.Concatenate()([x, cell_type]))
    model = keras.Model([cell_type, sequence], [profile, counts])
    randomise(model, 2)
    return model


def one_hot(count: int, seed: int = 0, length: int = LENGTH) -> np.ndarray:
    """Sequences, one with an unknown position (zeros)."""
    letters = np.random.default_rng(seed).integers(4, size=(count, length))
    x = np.eye(4, dtype=np.float32)[letters]
    x[0, 2] = 0
    return x


def real(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, LENGTH, 4))


def predict(model: keras.Model, *inputs: np.ndarray) -> Any:
    given = [np.asarray(x, "float32") for x in inputs]
    made = model(given if len(given) > 1 else given[0], training=False)
    arrays = [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(made)]
    return arrays if len(arrays) > 1 else arrays[0]


SINGLE = single_model()
SEVERAL = several_model()
CELLS = np.random.default_rng(3).normal(size=(3, 3)).astype(np.float32)


def ism_05(
    model: keras.Model,
    inputs: list[np.ndarray],
    ranges: list[tuple[int, int]],
    replace_with: Any,
    sequence: int = 0,
) -> list[np.ndarray]:
    """fastISM 0.5 as a loop over ranges, a batch of the model for each: (N, ranges, *output)."""
    width = ranges[0][1] - ranges[0][0]
    x = np.asarray(inputs[sequence], np.float32)
    new = np.zeros((width, x.shape[2]), np.float32)
    if not (np.isscalar(replace_with) and replace_with == 0):
        new[:] = np.asarray(replace_with)
    columns = []
    for start, stop in ranges:
        mutated = [np.array(given, np.float32) for given in inputs]
        mutated[sequence][:, start:stop] = new
        made = predict(model, *mutated)
        columns.append(made if isinstance(made, list) else [made])
    return [np.stack(outputs, 1) for outputs in zip(*columns, strict=True)]


#: Widths of ranges, and what replaces them.
REPLACEMENTS = {
    "zero": (1, 0),
    "a row": (1, [0, 0, 0, 1]),
    "a row of reals": (1, np.array([0.3, -1.0, 2.0, 0.5])),
    "a matrix of one row": (1, [[0.25, 0.25, 0.25, 0.25]]),
    "zero, wide": (4, 0),
    "a matrix": (4, np.eye(4)[[2, 0, 1, 1]]),
    "a matrix of reals": (3, np.arange(12).reshape(3, 4) / 10 - 0.5),
}

"""The same for Keras: Conv2D along one axis, the other single or spanned by the kernel."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers  # noqa: E402
from keras_zoo import checked, one_hot, randomised  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402

pytestmark = pytest.mark.keras
LENGTH = 300


def spanning(y):
    y = layers.Conv2D(8, (9, 4))(layers.Reshape((LENGTH, 4, 1))(y))
    y = layers.Activation("gelu")(layers.BatchNormalization()(y))
    y = layers.Dropout(0.2)(layers.MaxPooling2D((2, 1))(y))
    y = layers.Conv2D(6, (5, 1), activation="relu", padding="same")(y)
    return layers.GlobalAveragePooling2D()(y)


def one_row(y):
    y = layers.Conv2D(8, (1, 9), strides=(1, 2), use_bias=False)(layers.Reshape((1, LENGTH, 4))(y))
    y = layers.AveragePooling2D((1, 3))(layers.ReLU()(y))
    return layers.Flatten()(layers.Conv2D(4, (1, 3), dilation_rate=(1, 2))(y))


def one_column(y):
    y = layers.Conv2D(8, (9, 1), groups=2)(layers.Reshape((LENGTH, 1, 4))(y))
    return layers.GlobalMaxPooling2D()(layers.Conv2D(4, (3, 1), activation="relu")(y))


def partial(y):
    y = layers.Conv2D(3, (5, 2), activation="relu")(layers.Reshape((LENGTH, 4, 1))(y))
    return layers.GlobalAveragePooling2D()(y)


def model_of(function):
    keras.utils.set_random_seed(0)
    x = keras.Input((LENGTH, 4))
    return randomised(keras.Model(x, layers.Dense(2)(function(x))))


@pytest.mark.parametrize("function", [spanning, one_row, one_column])
def test_what_is_one_dimensional_runs_on_windows(function):
    plan = checked(model_of(function), LENGTH).plan
    assert plan.opaque == ()
    assert plan.speedup > 2


def test_two_real_axes_are_opaque_and_right():
    assert checked(model_of(partial), LENGTH).plan.opaque


INPUTS = {
    "(L, 4, 1)": ((LENGTH, 4, 1), (9, 4), 3),
    "(1, L, 4)": ((1, LENGTH, 4), (1, 9), 1),
    "(L, 1, 4)": ((LENGTH, 1, 4), (9, 1), 2),
}


@pytest.mark.parametrize("case", INPUTS)
def test_a_sequence_with_a_further_axis_is_taken_as_it_is(case):
    shape, kernel, axis = INPUTS[case]
    x, side = keras.Input(shape), keras.Input((3,))
    y = layers.Flatten()(layers.Conv2D(3, kernel, activation="relu")(x))
    model = randomised(keras.Model([x, side], layers.Dense(1)(layers.Concatenate()([y, side]))))
    given, beside = one_hot(LENGTH), np.ones((2, 3), np.float32)
    ism = FastISM(model)
    assert ism.plan.opaque == ()
    assert (ism.seqlen, ism.num_chars) == (LENGTH, 4)
    made = ism.saturate([given, beside], positions=[0, 150]).mutants
    wide = np.expand_dims(given, axis)
    same = ism.saturate([wide, beside], positions=[0, 150]).mutants
    np.testing.assert_array_equal(made, same)
    changed = given.copy()
    changed[:, 150] = np.eye(4)[2]
    full = model([np.expand_dims(changed, axis), beside], training=False)
    np.testing.assert_allclose(
        made[:, 1, 2], keras.ops.convert_to_numpy(full), rtol=1e-4, atol=1e-5
    )
    naive = NaiveISM(model).saturate([wide, beside], positions=[150]).mutants
    np.testing.assert_allclose(naive[:, 0], made[:, 1], rtol=1e-4, atol=1e-5)


def test_two_further_axes_are_refused():
    x = keras.Input((LENGTH, 1, 1))
    model = keras.Model(x, layers.Dense(1)(layers.Flatten()(x)))
    with pytest.raises(FastISMError, match="needs \\(length, channels\\)"):
        FastISM(model)

"""The same for Keras: Conv2D along one axis, the other single or spanned by the kernel."""

from __future__ import annotations

import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers  # noqa: E402
from keras_zoo import checked, randomised  # noqa: E402

from fastism import FastISM, FastISMError  # noqa: E402

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


def test_a_model_with_a_further_axis_is_refused_with_what_to_write():
    x = keras.Input((LENGTH, 4, 1))
    y = layers.Conv2D(3, (9, 4), activation="relu")(x)
    model = randomised(keras.Model(x, layers.Dense(1)(layers.Flatten()(y))))
    with pytest.raises(FastISMError) as caught:
        FastISM(model)
    wrapping = f"keras.Model(x, model(keras.layers.Reshape(({LENGTH}, 4, 1))(x)))"
    assert f"x = keras.Input(({LENGTH}, 4)); {wrapping}" in str(caught.value)
    x = keras.Input((LENGTH, 4))
    wrapped = keras.Model(x, model(layers.Reshape((LENGTH, 4, 1))(x)))
    assert checked(wrapped, LENGTH).plan.opaque == ()

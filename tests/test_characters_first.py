"""Keras models and sequences whose characters come before their positions are told, not misread."""

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402

pytestmark = pytest.mark.keras


def inner(permuted: bool = True) -> keras.Model:
    """Takes (4, 60); reads it as it is, or exchanges the axes first as such models do."""
    keras.utils.set_random_seed(1)
    x = keras.Input((4, 60))
    y = layers.Permute((2, 1))(x) if permuted else x
    y = layers.Conv1D(8, 3, padding="same", activation="relu")(y)
    return keras.Model(x, layers.Dense(1)(layers.GlobalAveragePooling1D()(y)))


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
@pytest.mark.parametrize("permuted", [True, False])
def test_a_model_of_four_positions_with_many_characters_is_refused(kind, permuted):
    with pytest.raises(FastISMError, match=r"60 characters first|Permute\(\(2, 1\)\)") as told:
        kind(inner(permuted))
    assert "keras.Input((60, 4))" in str(told.value)


def test_the_remedy_works_and_costs_nothing():
    x = keras.Input((60, 4))
    wrapped = keras.Model(x, inner()(layers.Permute((2, 1))(x)))
    ism = FastISM(wrapped)
    assert (ism.seqlen, ism.num_chars, ism.plan.opaque) == (60, 4, ())
    assert ism.plan.speedup > 5
    letters = np.random.default_rng(0).integers(4, size=(2, 60))
    given = np.eye(4, dtype="f4")[letters]
    assert ism.verify(given) < 1e-5


def test_sequences_with_axes_exchanged_are_refused():
    keras.utils.set_random_seed(1)
    x = keras.Input((6, 4))
    model = keras.Model(x, layers.Dense(1)(layers.Flatten()(x)))
    letters = np.array([[0, 1, 2, 3, 0, 1]])
    right = np.eye(4, dtype="f4")[letters]
    ism = FastISM(model)
    assert ism.saturate(right).mutants.shape == (1, 6, 4, 1)
    x = keras.Input((6, 6))
    square = FastISM(keras.Model(x, layers.Dense(1)(layers.Flatten()(x))))
    columns = np.eye(6, dtype="f4")[[[0, 1, 2, 0, 1, 2]]].swapaxes(1, 2)
    with pytest.raises(FastISMError, match="look like 6 characters at 6 positions"):
        square.saturate(columns)
    square.saturate(columns.swapaxes(1, 2))
    square.saturate(np.zeros((1, 6, 6)))


def test_channels_last_is_for_torch_modules():
    with pytest.raises(FastISMError, match="channels_last is for torch modules"):
        FastISM(inner(), channels_last=True)

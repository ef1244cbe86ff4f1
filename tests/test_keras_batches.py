"""The same check for Keras models: a sequence must give the same in every batch."""

from __future__ import annotations

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers, ops  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.rules import Opaque  # noqa: E402

pytestmark = pytest.mark.keras
LENGTH = 30


class Centred(layers.Layer):
    """Subtracts the mean over the batch."""

    def call(self, x):
        return x - ops.mean(x, axis=0, keepdims=True)


class Numbered(layers.Layer):
    """Adds its place in the batch to every sequence."""

    def call(self, x):
        return x + ops.cumsum(ops.ones_like(x), axis=0)


def model_with(layer: layers.Layer | None) -> keras.Model:
    keras.utils.set_random_seed(0)
    x = keras.Input((LENGTH, 4))
    y = layers.Conv1D(5, 3, activation="relu")(x)
    y = y if layer is None else layer(y)
    return keras.Model(x, layers.Dense(2)(layers.Flatten()(y)), name="mine")


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
@pytest.mark.parametrize(
    ("layer", "words"),
    [(Centred, "the others in its batch"), (Numbered, "its place in the batch")],
)
def test_what_mixes_a_batch_is_refused_and_the_layer_named(kind, layer, words):
    with pytest.raises(FastISMError) as caught:
        kind(model_with(layer(name="culprit")))
    assert f"What model 'mine' returns for a sequence depends on {words}" in str(caught.value)
    assert f"'culprit' ({layer.__name__}) is the first layer" in str(caught.value)


def test_on_request_every_sequence_runs_alone():
    model = model_with(Numbered())
    letters = np.random.default_rng(0).integers(4, size=(2, LENGTH))
    x = np.eye(4, dtype=np.float32)[letters]
    made = NaiveISM(model, batch_size=1).saturate(x, positions=[0, 12])

    def alone(sequence):
        return keras.ops.convert_to_numpy(model(sequence))[0]

    for row in range(2):
        changed = x[row : row + 1].copy()
        np.testing.assert_allclose(made.reference[row], alone(changed), rtol=1e-5)
        changed[0, 12] = np.eye(4)[3]
        np.testing.assert_allclose(made.mutants[row, 1, 3], alone(changed), rtol=1e-5)


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_what_treats_every_sequence_alike_is_accepted(kind):
    assert kind(model_with(None)).num_outputs == 1


def exchanged(y):
    """Positions before the batch, and back."""
    return ops.transpose(layers.Dense(3)(ops.transpose(y, (1, 0, 2))), (1, 0, 2))


def by_position(y):
    """Every position a row, and back."""
    return ops.reshape(layers.Dense(3)(ops.reshape(y, (-1, 5))), (-1, 28, 3))


def by_part(y):
    """Every quarter of a sequence a row, and back."""
    parts = layers.Conv1D(3, 3, padding="same")(ops.reshape(y, (-1, 7, 5)))
    return ops.reshape(parts, (-1, 28, 3))


def behind(y):
    """The batch behind an axis of length one, and back."""
    return ops.reshape(ops.reshape(y, (1, -1, 28, 5)), (-1, 28, 5))


@pytest.mark.parametrize("function", [exchanged, by_position, by_part, behind])
def test_a_batch_on_another_axis_for_a_while_runs_in_full_and_is_exact(function):
    ism = FastISM(model_with(function))
    letters = np.random.default_rng(0).integers(4, size=(2, LENGTH))
    assert ism.verify(np.eye(4, dtype=np.float32)[letters]) < 1e-5
    assert ism.plan.opaque
    assert ism.plan.fast_macs < ism.plan.naive_macs


def test_rows_that_are_parts_of_a_sequence_count_as_the_whole_one():
    plan = FastISM(model_with(by_part)).plan
    nodes = [node for node in plan.graph.nodes if isinstance(node.rule, Opaque)]
    assert [node.kind for node in nodes] == ["Reshape", "Conv1D", "Reshape"]
    # Four rows of 7 positions: kernels of 3 positions and 5 channels, to 3 channels.
    assert [node.rule.macs for node in nodes] == [0, 4 * 7 * 3 * 5 * 3, 0]
    assert [node.rule.elements for node in nodes] == [28 * 5, 28 * 5, 28 * 3]


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((-1, LENGTH - 2, 5), "is the first layer whose result differs"),
        ((-1, 5), r"Output 0 of model 'mine' has shape \(84, 5\) for a batch of 3 sequences"),
    ],
)
def test_a_batch_that_does_not_come_back_is_refused(shape, words):
    x = keras.Input((LENGTH, 4))
    y = ops.transpose(layers.Conv1D(5, 3)(x), (1, 0, 2))
    with pytest.raises(FastISMError, match=words):
        FastISM(keras.Model(x, ops.reshape(y, shape), name="mine"))

"""The architectures, against sizes worked out by hand."""

from dataclasses import dataclass, field

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the architectures are Keras models")

from benchmarks.architectures import ARCHITECTURES, build, randomise_batch_norm  # noqa: E402
from fastism.errors import FastISMError  # noqa: E402
from fastism.models import (  # noqa: E402
    basset_model,
    beluga_model,
    bpnet_model,
    deepsea_model,
    factorized_basset_model,
)

pytestmark = pytest.mark.keras


@dataclass(frozen=True)
class Case:
    """A model and what it must look like. A convolution has in * width * out + out parameters."""

    builder: object
    layers: int
    parameters: int
    outputs: list[tuple]
    arguments: dict = field(default_factory=dict)


CASES = {
    # conv 23100 + 660200 + 280200; norm 4 * (300 + 200 + 200 + 1000 + 1000); pools leave 20 of
    # 1000, so that fc 20 * 200 * 1000 + 1000, 1000 * 1000 + 1000, 1000 + 1.
    # Layers: input, 3 x 3, flatten, 5.
    "basset": Case(basset_model, 16, 963_500 + 10_800 + 4_001_000 + 1_001_000 + 1_001, [(1,)]),
    # As above with 2000 // 3 // 4 // 4 = 41 positions.
    "basset at 2000": Case(
        basset_model, 16, 963_500 + 10_800 + 8_201_000 + 1_001_000 + 1_001, [(1,)], {"seqlen": 2000}
    ),
    # One more character: 19 * 300 weights; ten outputs: 9 * 1001 more.
    "basset with 5 characters and 10 outputs": Case(
        basset_model, 16, 5_977_301 + 5_700 + 9_009, [(10,)], {"numchars": 5, "num_outputs": 10}
    ),
    # conv 624 + 9280 + 19300 + 105150 + 315300 + 420200 + 120200 + 120200 + 280200;
    # norm 4 * (48 + 64 + 100 + 150 + 300 + 4 * 200 + 2 * 1000); fc as Basset.
    # Layers: input, 9 x 3, 3 pools, flatten, 5.
    "factorized_basset": Case(
        factorized_basset_model,
        37,
        1_390_454 + 13_848 + 4_001_000 + 1_001_000 + 1_001,
        [(1,)],
    ),
    # conv 4 * 25 * 64 + 64; 9 x (64 * 3 * 64 + 64); profile 25 * 64 + 1; counts 64 + 1.
    # Layers: input, conv, 9 x 2, 4.
    "bpnet": Case(bpnet_model, 24, 6_464 + 9 * 12_352 + 1_601 + 65, [(1000,), (1,)]),
    "bpnet with 2 tasks and 3 dilated layers at 200": Case(
        bpnet_model,
        16,
        6_464 + 3 * 12_352 + 2 * (1_601 + 65),
        [(200,), (1,), (200,), (1,)],
        {"seqlen": 200, "num_dilated_convs": 3, "num_tasks": 2},
    ),
    # conv 10560 + 1229280 + 3687360; 1000 -> 993 -> 248 -> 241 -> 60 -> 53, so that
    # fc 53 * 960 * 925 + 925, 925 * 919 + 919. Layers: input, 2 x 3, 2, flatten, 2.
    "deepsea": Case(deepsea_model, 12, 4_927_200 + 47_064_925 + 850_994, [(919,)]),
    # conv 10560 + 819520 + 1229280 + 1843680 + 2458240 + 3277440; 2000 -> 1986 -> 496 -> 482 -> 120
    # -> 106, so that fc 106 * 640 * 2003 + 2003, 2003 * 2002 + 2002.
    # Layers: input, 2 x 4, 3, flatten, 2.
    "beluga": Case(beluga_model, 15, 9_638_720 + 135_885_523 + 4_012_008, [(2002,)]),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_architecture(case):
    model = case.builder(**case.arguments)
    length = case.arguments.get("seqlen", 2000 if case.builder is beluga_model else 1000)
    assert model.input_shape == (None, length, case.arguments.get("numchars", 4))
    assert [output.shape[1:] for output in model.outputs] == case.outputs
    assert len(model.layers) == case.layers
    assert model.count_params() == case.parameters
    assert model.name == case.builder.__name__


# The shortest sequence of which the pools and "valid" convolutions leave one position.
SHORTEST = {
    basset_model: 3 * 4 * 4,
    factorized_basset_model: 3 * 4 * 4,
    bpnet_model: 1,
    deepsea_model: ((1 + 7) * 4 + 7) * 4 + 7,
    beluga_model: ((1 + 14) * 4 + 14) * 4 + 14,
}


@pytest.mark.parametrize("builder", SHORTEST)
def test_shortest_length_works_and_shorter_is_refused(builder):
    shortest = SHORTEST[builder]
    x = np.zeros((2, shortest, 4), dtype=np.float32)
    for output in keras.tree.flatten(builder(seqlen=shortest)(x)):
        assert np.isfinite(keras.ops.convert_to_numpy(output)).all()
    with pytest.raises(FastISMError, match=f"{builder.__name__}: .*expected .*{shortest}"):
        builder(seqlen=shortest - 1)


@pytest.mark.parametrize("value", [0, -5, 100.0, "100", None, True])
def test_lengths_that_are_no_whole_numbers_are_refused(value):
    with pytest.raises(FastISMError, match="basset_model: seqlen="):
        basset_model(seqlen=value)


@pytest.mark.parametrize(
    ("builder", "argument", "value"),
    [
        (basset_model, "numchars", 0),
        (basset_model, "num_outputs", 0),
        (factorized_basset_model, "numchars", 1.5),
        (factorized_basset_model, "num_outputs", -1),
        (bpnet_model, "numchars", 0),
        (bpnet_model, "num_dilated_convs", -1),
        (bpnet_model, "num_tasks", 0),
        (deepsea_model, "num_outputs", 0),
        (beluga_model, "num_outputs", "all"),
    ],
)
def test_other_arguments_are_checked(builder, argument, value):
    with pytest.raises(FastISMError, match=f"{builder.__name__}: {argument}="):
        builder(**{argument: value})


def test_numpy_lengths_and_names_are_accepted():
    model = basset_model(seqlen=np.int64(96), name="mine")
    assert model.input_shape == (None, 96, 4)
    assert model.name == "mine"


def test_dropout_of_deepsea_and_beluga_is_as_published():
    def order(model):
        names = {"MaxPooling1D": "pool", "Dropout": "drop", "Conv1D": "conv"}
        return [
            (names[kind], layer.rate) if kind == "Dropout" else names[kind]
            for layer in model.layers
            if (kind := type(layer).__name__) in names
        ]

    early, late = ("drop", 0.2), ("drop", 0.5)
    assert order(deepsea_model(200)) == ["conv", "pool", early] * 2 + ["conv", late]
    assert order(beluga_model(310)) == ["conv", "conv", early, "pool"] * 2 + ["conv", "conv", late]


def one_hot_batch(sequences, length, seed=0):
    letters = np.random.default_rng(seed).integers(4, size=(sequences, length))
    return np.eye(4, dtype=np.float32)[letters]


def predictions(model, x):
    return [keras.ops.convert_to_numpy(y) for y in keras.tree.flatten(model(x, training=False))]


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_registry_builds_models_that_respond_to_their_input(name):
    length = 400
    model = build(name, length, seed=3)
    x = one_hot_batch(8, length)
    for output in predictions(model, x):
        assert np.isfinite(output).all()
        assert output.std(axis=0).max() > 1e-4
    again = build(name, length, seed=3)
    for first, second in zip(model.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["basset", "factorized_basset"])
def test_batch_norms_do_something(name):
    model = build(name, 200, seed=1)
    norms = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    assert len(norms) == {"basset": 5, "factorized_basset": 11}[name]
    for norm in norms:
        gamma, beta, mean, variance = norm.get_weights()
        assert norm.momentum == 0.99
        assert (variance > 0).all()
        assert 0.7 < (gamma > 0).mean() < 1
        assert min(gamma.std(), beta.std(), mean.std(), variance.std()) > 0
    # The last hidden layer is on the scale that its statistics promise.
    hidden = keras.Model(model.input, model.get_layer("fc2_norm").output)
    assert 0.3 < predictions(hidden, one_hot_batch(64, 200, seed=9))[0].std() < 3


def test_another_seed_is_another_model():
    first, second = (build("basset", 96, seed=seed) for seed in (0, 1))
    for variable, one, other in zip(
        first.weights, first.get_weights(), second.get_weights(), strict=True
    ):
        assert variable.name == "bias" or not np.array_equal(one, other)


def test_batch_norms_of_nested_models_are_reached():
    def block():
        inputs = keras.Input((20, 4))
        x = keras.layers.Conv1D(6, 3)(inputs)
        x = keras.layers.BatchNormalization(scale=False, name="inner_norm")(x)
        return keras.Model(inputs, x, name="block")

    inner = block()
    outer = keras.Sequential([keras.Input((20, 4)), inner, keras.layers.BatchNormalization()])
    randomise_batch_norm(outer, seed=0)
    assert inner.get_layer("inner_norm").get_weights()[1].any()  # moving mean
    assert outer.layers[-1].get_weights()[2].any()  # moving mean


def test_model_without_batch_norm_is_left_alone():
    model = bpnet_model(seqlen=30, num_dilated_convs=1)
    before = model.get_weights()
    randomise_batch_norm(model)
    for weight, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(weight, old)


def test_unknown_architecture_is_named_with_those_that_exist():
    with pytest.raises(FastISMError, match=r"'alexnet'.*basset, factorized_basset, bpnet"):
        build("alexnet", 1000)

"""Bad input: one exception type, saying what was given, what is expected and what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.backends import get_backend  # noqa: E402

pytestmark = pytest.mark.keras

LENGTH = 12


def model_of(*stack, shape=(LENGTH, 4), **options) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack], **options)


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return model_of(layers.Conv1D(3, 3, name="conv"), layers.Flatten(), layers.Dense(2))


@pytest.fixture(scope="module")
def ism(model) -> FastISM:
    return FastISM(model, test_correctness=False)


X = np.eye(4, dtype="float32")[np.arange(2 * LENGTH).reshape(2, LENGTH) % 4]


def with_value(value: float) -> np.ndarray:
    x = X.copy()
    x[1, 5, 2] = value
    return x


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[0], ["(12, 4)", "expected ('sequences', 12, 4)", "x[None]"]),
        (X[:, :5], ["(2, 5, 4)", "expected ('sequences', 12, 4)"]),
        (X[:, :, :3], ["(2, 12, 3)", "expected ('sequences', 12, 4)"]),
        (X.transpose(0, 2, 1), ["(2, 4, 12)", "transpose the last two axes"]),
        (X[:0], ["no sequences"]),
        (with_value(np.nan), ["nan at index (1, 5, 2)", "finite"]),
        (with_value(np.inf), ["inf at index (1, 5, 2)", "finite"]),
        (np.full((2, LENGTH, 4), "A"), ["dtype <U1", "one_hot"]),
        ([[1, 2], [3]], ["cannot be read as an array"]),
    ],
    ids=["rank", "length", "channels", "layout", "empty", "nan", "inf", "letters", "ragged"],
)
@pytest.mark.parametrize("method", ["__call__", "saturate"])
def test_input_that_does_not_fit(ism, method, x, words):
    with pytest.raises(FastISMError) as caught:
        getattr(ism, method)(x)
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("ranges", "words"),
    [
        ([(0, 2), (3, 4)], "widths [1, 2]"),
        ([(-1, 1)], "leaves the sequence of length 12"),
        ([(11, 13)], "(11, 13)"),
        ([(3, 3)], "empty"),
        ([], "list of (start, end) pairs"),
        ([(0.5, 1.5)], "list of (start, end) pairs"),
        ([(1, 2, 3)], "list of (start, end) pairs"),
    ],
)
@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_ranges_that_do_not_fit(model, kind, ranges, words):
    with pytest.raises(FastISMError, match=re.escape(words)):
        kind(model, change_ranges=ranges)


@pytest.mark.parametrize(
    "replacement", [1, [0, 1], np.zeros((2, 4)), [np.nan, 0, 0, 0], "A"], ids=str
)
def test_replacements_that_do_not_fit(ism, replacement):
    with pytest.raises(FastISMError, match="replace_with"):
        ism(X, replacement)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"positions": [12]}, "positions 0 to 11"),
        ({"positions": []}, "positions must be"),
        ({"positions": [0.5]}, "positions must be"),
        ({"outputs": [2]}, "integers from 0 to 1"),
        ({"outputs": {1: None}}, "outputs 0 to 0"),
        ({"dtype": "int8"}, "floating-point"),
        ({"dtype": "nonsense"}, "floating-point"),
    ],
)
def test_choices_that_do_not_fit(ism, options, words):
    with pytest.raises(FastISMError, match=re.escape(words)):
        ism.saturate(X, **options)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"early_stop_layers": "missing"}, "'missing'"),
        ({"early_stop_layers": ["conv", "absent"]}, "'absent'"),
        ({"seq_input_idx": 1}, "1 input"),
        ({"seq_input_idx": -1}, "seq_input_idx=-1"),
        ({"seq_input_idx": "seq"}, "expected an integer"),
        ({"seq_input_idx": None}, "expected an integer"),
        ({"seq_input_idx": 0.0}, "expected an integer"),
        ({"backend": "numpy"}, "Unknown backend 'numpy'"),
        ({"memory": 10}, "memory=10"),
        ({"seqlen": 13}, "length is 12"),
    ],
)
def test_settings_that_do_not_fit(model, options, words):
    with pytest.raises(FastISMError, match=re.escape(words)):
        FastISM(model, test_correctness=False, **options)


def test_inputs_of_a_dict_are_numbered_by_their_names():
    given = {"seq": keras.Input((LENGTH, 4), name="seq"), "cov": keras.Input((2,), name="cov")}
    joined = layers.Concatenate()([layers.Flatten()(given["seq"]), given["cov"]])
    model = keras.Model(given, layers.Dense(1)(joined))
    with pytest.raises(FastISMError, match=r"seq_input_idx='seq'.*0 is 'cov', 1 is 'seq'"):
        FastISM(model, "seq")
    ism = FastISM(model, np.int64(1), test_correctness=False)
    assert ism.saturate([np.ones((2, 2)), X]).mutants.shape == (2, LENGTH, 4, 1)


def test_unknown_early_stop_layers_are_answered_with_the_names_there_are(model):
    with pytest.raises(FastISMError, match=r"its layers are .*conv"):
        FastISM(model, early_stop_layers="missing")


def test_batch_sizes_below_one(model):
    with pytest.raises(FastISMError, match="at least 1"):
        NaiveISM(model, batch_size=0)


@pytest.mark.parametrize("thing", [3, None, "model.keras", lambda x: x, object()], ids=type)
def test_things_that_are_no_models(thing):
    with pytest.raises(FastISMError, match="not a model that can be read"):
        FastISM(thing)


def test_a_shape_is_for_torch_modules(model):
    with pytest.raises(FastISMError, match="a Keras model knows the shapes"):
        FastISM(model, input_shape=(4, 12))


def test_sequential_models_that_are_not_built():
    with pytest.raises(FastISMError, match=r"not built.*model\.build"):
        FastISM(keras.Sequential([layers.Conv1D(3, 3)]))


def test_subclassed_models():
    class Own(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(FastISMError, match="subclassed Own"):
        FastISM(Own())


def test_models_without_a_length_ask_for_it():
    model = model_of(layers.Conv1D(3, 3), layers.GlobalMaxPooling1D(), shape=(None, 4))
    with pytest.raises(FastISMError, match="seqlen=1000"):
        FastISM(model)


def test_inputs_that_are_no_sequences():
    model = model_of(layers.Dense(2), shape=(7,))
    with pytest.raises(FastISMError, match=r"needs \(length, channels\)\.$"):
        FastISM(model)
    a, b = keras.Input((7,)), keras.Input((LENGTH, 4))
    joined = layers.Concatenate()([a, layers.Flatten()(b)])
    with pytest.raises(FastISMError, match=r"If another input is the sequence.*seq_input_idx="):
        FastISM(keras.Model([a, b], joined))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float16"])
def test_half_precision(policy):
    model = model_of(layers.Conv1D(3, 3, dtype=policy), layers.Flatten())
    with pytest.raises(FastISMError, match="needs float32 or float64"):
        FastISM(model)


def test_wrong_number_of_inputs():
    a, b = keras.Input((LENGTH, 4)), keras.Input((LENGTH, 4))
    ism = FastISM(keras.Model([a, b], layers.Add()([a, b])), test_correctness=False)
    with pytest.raises(FastISMError, match="2 inputs"):
        ism(X)
    with pytest.raises(FastISMError, match="same number"):
        ism([X, X[:1]])


def test_a_backend_that_is_not_installed(monkeypatch):
    monkeypatch.setattr("fastism.backends.find_spec", lambda name: None)
    with pytest.raises(FastISMError, match=r"pip install '\.\[jax\]'"):
        get_backend("jax", "float32")


def test_opaque_layers_run_only_in_their_own_framework():
    own = keras.backend.backend()
    other = "torch" if own != "torch" else "jax"
    pytest.importorskip(other, reason="a second framework is needed")
    model = model_of(layers.Conv1D(3, 3), layers.GRU(2, name="recurrent"))
    with pytest.raises(FastISMError, match=rf"'recurrent' is opaque.*{own}"):
        FastISM(model, backend=other)

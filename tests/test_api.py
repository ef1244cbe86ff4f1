"""What the public classes share: naive ISM, settings that must not matter, and kinds of models."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from api_cases import (  # noqa: E402
    CELLS,
    LENGTH,
    NEAR,
    OWN,
    REPLACEMENTS,
    SEVERAL,
    SINGLE,
    ism_05,
    one_hot,
    predict,
    single_model,
)
from keras import layers  # noqa: E402
from random_graphs import outputs_of  # noqa: E402
from random_models import randomise  # noqa: E402

import fastism  # noqa: E402
from fastism import FastISM, FastISMError, NaiveISM, Saturation  # noqa: E402
from fastism.backends import available_backends  # noqa: E402
from fastism.frontends.keras import keras_graph  # noqa: E402

pytest_plugins = ["api_fixtures"]
pytestmark = pytest.mark.keras


# ---- naive ISM --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["zero", "a row", "a matrix"])
def test_naive_equals_a_loop_by_hand(kind):
    width, replacement = REPLACEMENTS[kind]
    ranges = [(i, i + width) for i in range(0, LENGTH - width + 1, 3)]
    x = one_hot(3)
    made = NaiveISM(SINGLE, 0, ranges, batch_size=7)(x, replacement)
    (expected,) = ism_05(SINGLE, [x], ranges, replacement)
    np.testing.assert_allclose(made, expected, **NEAR)


def test_naive_has_the_same_methods_with_the_same_results(ism_several):
    naive = NaiveISM(SEVERAL, seq_input_idx=1, batch_size=32)
    x = [CELLS, one_hot(3)]
    chosen = {"outputs": {1: None, 0: [2, 5]}, "positions": [0, 8, 19]}
    for a, b in zip(
        naive.saturate(x, **chosen).mutants, ism_several.saturate(x, **chosen).mutants, strict=True
    ):
        np.testing.assert_allclose(a, b, **NEAR)
    each = list(naive.saturate_each(zip(*x, strict=True), **chosen))
    assert [y.shape for y in each[0].mutants] == [(1, 3, 4, 2), (1, 3, 4, 2)]
    for a, b in zip(naive(x, [1, 0, 0, 0]), ism_several(x, [1, 0, 0, 0]), strict=True):
        np.testing.assert_allclose(a, b, **NEAR)


def test_naive_batch_sizes_do_not_change_results():
    x = one_hot(3)
    results = [NaiveISM(SINGLE, batch_size=size)(x) for size in (1, 13, 1000)]
    for y in results[1:]:
        np.testing.assert_allclose(y, results[0], **NEAR)


def test_naive_chooses_a_batch_size_at_the_first_use():
    naive = NaiveISM(SINGLE)
    assert naive.batch_size is None
    x = one_hot(2)
    (expected,) = ism_05(SINGLE, [x], naive.change_ranges, 0)
    np.testing.assert_allclose(naive(x), expected, **NEAR)
    assert naive.batch_size >= 16


def test_naive_runs_the_model_in_full_batches_only(monkeypatch):
    """So that it is compiled once; an honest baseline makes no needless calls."""
    naive = NaiveISM(SINGLE, batch_size=16)
    sizes, forward = [], naive._forward

    def counted(x):
        sizes.append(len(x[0]))
        return forward(x)

    monkeypatch.setattr(naive._front, "forward", counted)
    monkeypatch.setattr(naive, "_forward", counted)
    x = one_hot(3)
    naive(x)
    unknown = int((x.sum(2) == 0).sum())  # zeros already: nothing to replace by zero
    assert sizes.count(16) == -(-(3 * LENGTH - unknown) // 16)
    assert set(sizes) <= {1, 3, 16}  # output shapes, reference, mutants


# ---- settings that must not matter ------------------------------------------------------


def test_memory_does_not_change_results(backend):
    x, results = one_hot(5), []
    for memory in (1 << 20, 512 << 20):
        ism = FastISM(SEVERAL, 1, test_correctness=False, backend=backend, memory=memory)
        cells = np.resize(CELLS, (5, 3))
        results.append((ism([cells, x], [0, 1, 0, 0]), ism.saturate([cells, x]).mutants))
    for small, large in zip(*results, strict=True):
        for a, b in zip(small, large, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_backends_agree(backend):
    x = one_hot(3)
    own = FastISM(SINGLE, test_correctness=False)
    other = FastISM(SINGLE, test_correctness=False, backend=backend)
    assert (own.backend, other.backend) == (OWN, backend)
    np.testing.assert_allclose(other.saturate(x).mutants, own.saturate(x).mutants, **NEAR)


def test_inputs_may_be_of_any_array_type(ism):
    x = one_hot(2)
    expected = ism(x)
    tensors = [keras.ops.convert_to_tensor(x), x.astype(bool), x.astype(np.int8)]
    if "torch" in available_backends():
        import torch

        tensors.append(torch.from_numpy(x).requires_grad_())
    for given in (*tensors, x.astype(np.float64), x.tolist(), np.asfortranarray(x), [x]):
        np.testing.assert_array_equal(ism(given), expected)


# ---- kinds of models --------------------------------------------------------------------


def check(model: keras.Model, x: np.ndarray, **settings: Any) -> FastISM:
    ism = FastISM(model, test_correctness=False, **settings)
    (expected,) = ism_05(model, [x], ism.change_ranges, [0, 0, 1, 0])
    np.testing.assert_allclose(ism(x, [0, 0, 1, 0]), expected, **NEAR)
    return ism


def test_a_model_of_open_length_needs_the_length():
    model = single_model(length=None)
    with pytest.raises(FastISMError, match="seqlen"):
        FastISM(model)
    ism = check(model, one_hot(2, length=26), seqlen=26)
    assert ism.seqlen == 26
    naive = NaiveISM(model, seqlen=26, batch_size=16)
    assert naive.saturate(one_hot(1, length=26), positions=[25]).mutants.shape == (1, 1, 4, 3)


def test_sequential_and_nested_models():
    inner = keras.Sequential([keras.Input((LENGTH, 4)), layers.Conv1D(4, 3, padding="same")])
    outer = keras.Sequential([inner, inner, layers.GlobalMaxPooling1D(), layers.Dense(2)])
    outer.build((None, LENGTH, 4))
    randomise(outer, 4)
    check(outer, one_hot(2))


def test_a_model_whose_only_input_is_in_a_list():
    inputs = keras.Input((LENGTH, 4))
    outputs = layers.GlobalMaxPooling1D()(layers.Conv1D(3, 5, activation="relu")(inputs))
    check(keras.Model([inputs], [outputs]), one_hot(2))


def test_a_model_whose_inputs_are_named():
    """In the order of the model's own inputs, which Keras sorts by name."""
    side, sequence = keras.Input((2,), name="a_side"), keras.Input((LENGTH, 4), name="z_sequence")
    x = layers.GlobalMaxPooling1D()(layers.Conv1D(3, 5)(sequence))
    model = keras.Model(
        {"z_sequence": sequence, "a_side": side}, {"y": layers.Concatenate()([x, side])}
    )
    index = [tensor.name for tensor in model.inputs].index("z_sequence")
    given = [np.ones((2, 2), np.float32), one_hot(2)]
    given = given if index == 1 else given[::-1]
    ism = FastISM(model, index, test_correctness=False)
    naive = NaiveISM(model, index, batch_size=16)
    np.testing.assert_allclose(ism(given), naive(given), **NEAR)


def test_outputs_that_ignore_the_sequence_are_the_reference():
    side, sequence = keras.Input((2,)), keras.Input((LENGTH, 4))
    x = layers.GlobalAveragePooling1D()(layers.Conv1D(3, 5)(sequence))
    model = keras.Model([sequence, side], [x, layers.Dense(2)(side)])
    given = [one_hot(2), np.ones((2, 2), np.float32)]
    made = FastISM(model, test_correctness=False)(given)
    reference = predict(model, *given)[1]
    expected = np.broadcast_to(reference[:, None], (2, LENGTH, 2))
    np.testing.assert_allclose(made[1], expected, **NEAR)


def test_verify_reports_the_largest_difference_to_naive(ism, monkeypatch):
    x = one_hot(2)
    assert 0 <= ism.verify(x, positions=[0, 9, 19]) < 1e-5
    saturate = NaiveISM.saturate

    def off(self, *arguments: Any, **settings: Any) -> Saturation:
        made = saturate(self, *arguments, **settings)
        made.mutants[1, 0, 2, 1] += 5
        return made

    monkeypatch.setattr(NaiveISM, "saturate", off)
    assert ism.verify(x, positions=[0]) == pytest.approx(5, abs=1e-4)


@pytest.mark.parametrize("name", ["squeeze", "reshape"])
def test_an_output_of_one_number_says_that_it_has_no_axis_of_its_own(name):
    x = keras.Input((LENGTH, 4))
    y = layers.Dense(1)(layers.Flatten()(layers.Conv1D(3, 3)(x)))
    made = keras.ops.squeeze(y, -1) if name == "squeeze" else keras.ops.reshape(y, (-1,))
    plan = FastISM(keras.Model(x, made), test_correctness=False).plan
    (opaque,) = plan.opaque
    assert opaque.startswith(name)
    assert "one number per sequence, with no axis but the batch" in " ".join(str(plan).split())


def test_plan_is_a_table_of_layers_costs_and_reasons():
    inputs = keras.Input((LENGTH, 4))
    x = layers.Conv1D(4, 3, padding="same", name="first")(inputs)
    x = layers.LSTM(3, return_sequences=True, name="memory")(x)
    model = keras.Model(inputs, layers.Dense(1, name="out")(layers.Flatten()(x)))
    plan = FastISM(model, test_correctness=False).plan
    text = str(plan)
    for word in ("layer", "width", "naive", "fast", "ratio", "first", "memory", "out"):
        assert word in text
    assert "In full: memory (LSTM): no rule for LSTM: a state is handed on from one" in text
    assert plan.opaque == ("memory",)
    assert plan.naive_macs >= LENGTH * 3 * 16
    assert plan.speedup == pytest.approx(plan.naive_macs / plan.fast_macs)


def test_everything_public_is_documented_and_exported():
    assert set(fastism.__all__) == {
        "FastISM",
        "FastISMError",
        "NaiveISM",
        "Saturation",
        "register",
        "see_through",
        "__version__",
    }
    for name in fastism.__all__:
        assert getattr(fastism, name)
    for cls in (FastISM, NaiveISM, Saturation):
        for name, member in inspect.getmembers(cls):
            if not name.startswith("_") and (inspect.isfunction(member) or member is property):
                assert inspect.getdoc(member), f"{cls.__name__}.{name} has no docstring"


# ---- double precision -------------------------------------------------------------------


def basset_like(dtype: str) -> keras.Model:
    with_type = {"dtype": dtype}
    x = inputs = keras.Input((120, 4), **with_type)
    for filters, size, pool in ((40, 11, 3), (30, 7, 4), (30, 5, 2)):
        x = layers.Conv1D(filters, size, padding="same", activation="relu", **with_type)(x)
        x = layers.BatchNormalization(**with_type)(x)
        x = layers.MaxPooling1D(pool, **with_type)(x)
    x = layers.Flatten(**with_type)(x)
    x = layers.Dense(50, activation="relu", **with_type)(x)
    x = layers.BatchNormalization(**with_type)(x)
    return keras.Model(inputs, layers.Dense(2, **with_type)(x))


def test_fast_single_precision_is_as_close_to_double_precision_as_naive(backend):
    """Deltas are small numbers, so that their rounding is small too: what naive ISM loses when it
    subtracts two large outputs, delta propagation keeps.
    """
    single = basset_like("float32")
    randomise(single, 7)
    double = basset_like("float64")
    double.set_weights(single.get_weights())
    x = one_hot(3, length=120)
    fast = FastISM(single, test_correctness=False, backend=backend).saturate(x)
    naive = NaiveISM(single, batch_size=128).saturate(x)
    precise = FastISM(double, test_correctness=False, backend=backend).saturate(x)
    assert precise.mutants.dtype == np.float64

    # In numpy, because Keras rounds to single precision in places.
    graph = keras_graph(single)
    changed = np.argwhere(x == 0)
    mutants = x[changed[:, 0]]
    mutants[np.arange(len(changed)), changed[:, 1]] = np.eye(4)[changed[:, 2]]
    (reference,), (exact,) = outputs_of(graph, [x]), outputs_of(graph, [mutants])
    effect = exact - reference[changed[:, 0]]
    where = tuple(changed.T)
    np.testing.assert_allclose(precise.mutants[where], exact, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(precise.delta()[where], effect, rtol=1e-8, atol=1e-12)

    def error(made: np.ndarray, expected: np.ndarray) -> float:
        return float(np.sqrt(np.mean((made[where].astype(np.float64) - expected) ** 2)))

    assert error(fast.delta(), effect) < error(naive.delta(), effect)
    assert error(fast.mutants, exact) < 1.1 * error(naive.mutants, exact)

"""What users rely on: the calls of fastISM 0.5, saturation, and what they leave alone."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers  # noqa: E402
from random_graphs import outputs_of  # noqa: E402
from random_models import randomise  # noqa: E402

import fastism  # noqa: E402
from fastism import FastISM, FastISMError, NaiveISM, Saturation  # noqa: E402
from fastism.backends import available_backends  # noqa: E402
from fastism.frontends.keras import keras_graph  # noqa: E402
from fastism.rules import Convolution  # noqa: E402

pytestmark = pytest.mark.keras

OWN = keras.backend.backend()
#: The model's own framework, and torch where that is another one.
BACKENDS = [OWN, *(["torch"] if "torch" in available_backends() and OWN != "torch" else [])]
LENGTH = 20
NEAR = {"rtol": 1e-4, "atol": 1e-5}


# ---- models -----------------------------------------------------------------------------


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


@pytest.fixture(scope="module", params=BACKENDS)
def backend(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def ism(backend) -> FastISM:
    return FastISM(SINGLE, test_correctness=False, backend=backend)


@pytest.fixture(scope="module")
def ism_several(backend) -> FastISM:
    return FastISM(SEVERAL, 1, test_correctness=False, backend=backend)


# ---- the oracle: fastISM 0.5 in a few lines -----------------------------------------------


def ism_05(
    model: keras.Model,
    inputs: list[np.ndarray],
    ranges: list[tuple[int, int]],
    replace_with: Any,
    sequence: int = 0,
) -> list[np.ndarray]:
    """``(N, ranges, *output)`` per output: a loop over ranges, one batch of the model for each."""
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


REPLACEMENTS = {
    "zero": (1, 0),
    "a row": (1, [0, 0, 0, 1]),
    "a row of reals": (1, np.array([0.3, -1.0, 2.0, 0.5])),
    "a matrix of one row": (1, [[0.25, 0.25, 0.25, 0.25]]),
    "zero, wide": (4, 0),
    "a matrix": (4, np.eye(4)[[2, 0, 1, 1]]),
    "a matrix of reals": (3, np.arange(12).reshape(3, 4) / 10 - 0.5),
}


@pytest.mark.parametrize("kind", REPLACEMENTS)
@pytest.mark.parametrize("make", [one_hot, real])
def test_call_returns_what_05_returns(backend, kind, make):
    width, replacement = REPLACEMENTS[kind]
    ranges = [(i, i + width) for i in range(LENGTH - width + 1)]
    ism = FastISM(SINGLE, change_ranges=ranges, test_correctness=False, backend=backend)
    x = make(3)
    made = ism(x, replace_with=replacement)
    assert isinstance(made, np.ndarray)
    assert made.shape == (3, len(ranges), 3)
    (expected,) = ism_05(SINGLE, [x], ranges, replacement)
    np.testing.assert_allclose(made, expected, **NEAR)


def test_replacement_is_zero_by_default(ism):
    x = one_hot(2)
    np.testing.assert_array_equal(ism(x), ism(x, 0))
    np.testing.assert_array_equal(ism(x), ism(inp_batch=x, replace_with=np.zeros(4)))


@pytest.mark.parametrize(
    "ranges",
    [
        [(17, 20), (0, 3), (1, 4), (0, 3)],
        [(5, 10)],
        [(0, LENGTH)],
        np.array([[0, 2], [18, 20]]),
        ((3, 4), (19, 20)),
    ],
    ids=["unsorted, overlapping, twice", "one", "everything", "an array", "tuples"],
)
def test_ranges_may_be_anywhere_in_any_order(ranges):
    ism = FastISM(SINGLE, 0, ranges, test_correctness=False)
    x = one_hot(3)
    listed = [(int(a), int(z)) for a, z in ranges]
    assert ism.change_ranges == listed
    (expected,) = ism_05(SINGLE, [x], listed, 0)
    np.testing.assert_allclose(ism(x), expected, **NEAR)


@pytest.mark.parametrize("replacement", [0, [0, 1, 0, 0]])
def test_several_inputs_and_outputs_are_lists(ism_several, replacement):
    x = [CELLS, one_hot(3)]
    ranges = [(i, i + 1) for i in range(LENGTH)]
    expected = ism_05(SEVERAL, x, ranges, replacement, sequence=1)
    for given in (x, tuple(x)):
        made = ism_several(given, replace_with=replacement)
        assert isinstance(made, list)
        assert [y.shape for y in made] == [(3, LENGTH, LENGTH), (3, LENGTH, 2)]
        for a, b in zip(made, expected, strict=True):
            np.testing.assert_allclose(a, b, **NEAR)


def test_signatures_and_attributes_are_those_of_05(ism, ism_several):
    assert list(inspect.signature(FastISM).parameters)[:5] == [
        "model",
        "seq_input_idx",
        "change_ranges",
        "early_stop_layers",
        "test_correctness",
    ]
    assert list(inspect.signature(NaiveISM).parameters)[:3] == [
        "model",
        "seq_input_idx",
        "change_ranges",
    ]
    assert list(inspect.signature(FastISM.__call__).parameters) == [
        "self",
        "inp_batch",
        "replace_with",
    ]
    check = inspect.signature(FastISM.test_correctness).parameters
    assert {n: p.default for n, p in check.items() if n != "self"} == {
        "batch_size": 10,
        "replace_with": 0,
        "atol": 1e-6,
    }
    for made in (ism, NaiveISM(SINGLE)):
        assert (made.seqlen, made.num_chars, made.perturb_width) == (LENGTH, 4, 1)
        assert (made.num_inputs, made.num_outputs, made.seq_input_idx) == (1, 1, 0)
        assert made.model is SINGLE
        assert made.change_ranges[-1] == (LENGTH - 1, LENGTH)
    assert (ism_several.num_inputs, ism_several.num_outputs) == (2, 2)
    assert ism_several.output_names == ism_several.model.output_names


@pytest.mark.parametrize("stops", ["last_conv", ["last_conv"], ("last_conv", "out")])
def test_early_stop_layers_may_be_a_name_or_several(stops):
    x = one_hot(2)
    ism = FastISM(SINGLE, early_stop_layers=stops, test_correctness=False)
    (expected,) = ism_05(SINGLE, [x], ism.change_ranges, 0)
    np.testing.assert_allclose(ism(x), expected, **NEAR)
    assert "after an early stop layer" in str(ism.plan)
    assert ism.plan.full_steps


def test_wide_models_stop_where_they_are_told(ism):
    assert not any("early stop" in step.reason for step in ism.plan.steps)


def test_correctness_is_checked_at_once_and_on_demand(backend):
    ism = FastISM(SINGLE, backend=backend)
    assert ism.test_correctness() is True
    assert ism.test_correctness(batch_size=2, replace_with=[0, 1, 0, 0], atol=1e-7) is True


def test_correctness_says_no_when_the_model_has_changed():
    model = single_model()
    ism = FastISM(model)
    model.set_weights([w * 1.5 for w in model.get_weights()])
    assert ism.test_correctness() is False


def test_a_wrong_rule_is_found_when_the_object_is_made(monkeypatch):
    monkeypatch.setattr(Convolution, "placed", lambda self, x: x)
    with pytest.raises(FastISMError, match=r"differ.*report.*NaiveISM"):
        FastISM(SINGLE)
    FastISM(SINGLE, test_correctness=False)


# ---- nothing changes where nothing is changed ----------------------------------------------


@pytest.mark.parametrize("make", [one_hot, real])
def test_rows_equal_to_the_replacement_are_the_reference(ism, make):
    x = make(3)
    result = ism.saturate(x)
    for sequence, position in ((0, 0), (1, 7), (2, LENGTH - 1)):
        made = ism(x, replace_with=x[sequence, position])
        # Of two reference passes: the last bit may depend on where a framework's memory lies.
        assert_same_output(made[sequence, position], result.reference[sequence])
        same = (np.float32(x) == np.float32(x[sequence, position])).all(2)
        assert same.sum() < same.size
        expected = np.broadcast_to(result.reference[:, None], made.shape)
        assert_same_output(made[same], expected[same])


def assert_same_output(made, expected):
    """Equal but for the rounding of one number, far below any effect of a mutation."""
    np.testing.assert_allclose(made, expected, rtol=5e-7, atol=2e-7)


def test_a_matrix_equal_to_what_is_there_changes_nothing():
    x = one_hot(2)
    ism = FastISM(SINGLE, change_ranges=[(4, 9), (5, 10)], test_correctness=False)
    made = ism(x, replace_with=x[1, 4:9])
    assert not np.array_equal(made[0, 0], made[1, 0])
    assert_same_output(made[1, 0], ism.saturate(x, positions=[0]).reference[1])


def test_inputs_are_not_written_to(ism):
    x = one_hot(2)
    before = x.copy()
    ism(x, [0, 0, 1, 0])
    ism.saturate(x)
    NaiveISM(SINGLE, batch_size=16)(x, [0, 0, 1, 0])
    np.testing.assert_array_equal(x, before)


def test_the_model_is_left_as_it_was_found(backend):
    model = single_model()
    before, config = model.get_weights(), model.get_config()
    trainable = [layer.trainable for layer in model.layers]
    ism = FastISM(model, change_ranges=[(0, 2)], backend=backend)
    ism(one_hot(2))
    NaiveISM(model, batch_size=16).saturate(one_hot(1))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert model.get_config() == config
    assert [layer.trainable for layer in model.layers] == trainable


def test_later_training_does_not_change_an_object(backend):
    model = single_model()
    ism = FastISM(model, test_correctness=False, backend=backend)
    x = one_hot(2)
    before = ism(x)
    for weight in model.weights:
        weight.assign(weight * 0.5)
    np.testing.assert_array_equal(ism(x), before)
    again = FastISM(model, test_correctness=False, backend=backend)(x)
    assert not np.allclose(again, before)


# ---- saturation -------------------------------------------------------------------------


def test_result_has_every_character_at_every_position(ism):
    x = one_hot(3)
    result = ism.saturate(x)
    assert isinstance(result, Saturation)
    np.testing.assert_allclose(result.reference, predict(SINGLE, x), **NEAR)
    assert result.mutants.shape == (3, LENGTH, 4, 3)
    assert result.mutants.dtype == np.float32
    np.testing.assert_array_equal(result.positions, np.arange(LENGTH))
    ranges = [(i, i + 1) for i in range(LENGTH)]
    for c, row in enumerate(np.eye(4)):
        (expected,) = ism_05(SINGLE, [x], ranges, row)
        np.testing.assert_allclose(result.mutants[:, :, c], expected, **NEAR)


def test_the_reference_character_has_the_reference_output_and_no_delta(ism):
    x = one_hot(3)
    result = ism.saturate(x)
    delta = result.delta()
    assert delta.shape == result.mutants.shape
    assert (delta[x == 1] == 0).all()
    assert (np.abs(delta[x == 0]).max(-1) > 0).mean() > 0.9
    np.testing.assert_array_equal(delta, result.mutants - result.reference[:, None, None])


def test_importance_is_minus_the_mean_effect_of_the_alternatives(ism):
    x = one_hot(3)
    result = ism.saturate(x)
    importance, delta = result.importance(), result.delta()
    assert importance.shape == (3, LENGTH, 3)
    for n, p in np.ndindex(3, LENGTH):
        others = [c for c in range(4) if x[n, p, c] == 0]
        assert len(others) == result.alternatives[n, p] == (4 if (n, p) == (0, 2) else 3)
        expected = -delta[n, p, others].astype(float).mean(0)
        np.testing.assert_allclose(importance[n, p], expected, rtol=1e-5, atol=1e-7)


def test_real_valued_sequences_have_as_many_alternatives_as_characters(ism):
    result = ism.saturate(real(2))
    assert (result.alternatives == 4).all()


@pytest.mark.parametrize(
    ("positions", "expected"),
    [
        (slice(3, 9, 2), [3, 5, 7]),
        ([LENGTH - 1, 0, 4], [LENGTH - 1, 0, 4]),
        (np.array([6, 6]), [6, 6]),
        (range(2), [0, 1]),
    ],
    ids=["slice", "list", "array", "range"],
)
def test_positions_are_chosen_in_the_order_given(ism, positions, expected):
    x = one_hot(3)
    some, every = ism.saturate(x, positions=positions), ism.saturate(x)
    np.testing.assert_array_equal(some.positions, expected)
    np.testing.assert_allclose(some.mutants, every.mutants[:, expected], **NEAR)
    np.testing.assert_array_equal(some.alternatives, every.alternatives[:, expected])


@pytest.mark.parametrize(
    "outputs",
    [1, slice(1, 3), [2, 0], np.array([1])],
    ids=["number", "slice", "list", "array"],
)
def test_entries_of_one_output_are_chosen_before_anything_is_stored(ism, outputs):
    x = one_hot(2)
    some, every = ism.saturate(x, outputs=outputs), ism.saturate(x)
    entries = np.atleast_1d(np.arange(3)[outputs])
    assert some.mutants.shape == (2, LENGTH, 4, len(entries))
    np.testing.assert_allclose(some.mutants, every.mutants[..., entries], **NEAR)
    np.testing.assert_allclose(some.reference, every.reference[..., entries], **NEAR)


def test_several_outputs_are_lists_everywhere(ism_several):
    x = [CELLS, one_hot(3)]
    result = ism_several.saturate(x, positions=[0, 5])
    shapes = [(LENGTH,), (2,)]
    assert [y.shape for y in result.reference] == [(3, *s) for s in shapes]
    assert [y.shape for y in result.mutants] == [(3, 2, 4, *s) for s in shapes]
    assert [y.shape for y in result.delta()] == [(3, 2, 4, *s) for s in shapes]
    assert [y.shape for y in result.importance()] == [(3, 2, *s) for s in shapes]
    for reference, y in zip(predict(SEVERAL, *x), result.reference, strict=True):
        np.testing.assert_allclose(y, reference, **NEAR)


@pytest.mark.parametrize(
    ("outputs", "kept"),
    [
        ([1], {1: slice(None)}),
        ([1, 0], {1: slice(None), 0: slice(None)}),
        ({0: [3, 1]}, {0: [3, 1]}),
        ({1: None, 0: slice(0, 5)}, {1: slice(None), 0: slice(0, 5)}),
        ({0: 7}, {0: [7]}),
    ],
)
def test_outputs_and_their_entries_are_chosen_together(ism_several, outputs, kept):
    x = [CELLS, one_hot(3)]
    some, every = ism_several.saturate(x, outputs=outputs), ism_several.saturate(x)
    assert len(some.mutants) == len(kept)
    for y, r, (number, entries) in zip(some.mutants, some.reference, kept.items(), strict=True):
        np.testing.assert_allclose(y, every.mutants[number][..., entries], **NEAR)
        np.testing.assert_allclose(r, every.reference[number][..., entries], **NEAR)


@pytest.mark.parametrize("dtype", ["float16", np.float64])
def test_results_are_stored_in_the_type_asked_for(ism, dtype):
    x = one_hot(2)
    result = ism.saturate(x, dtype=dtype)
    for y in (result.reference, result.mutants, result.delta(), result.importance()):
        assert y.dtype == np.dtype(dtype)
    np.testing.assert_allclose(result.mutants, ism.saturate(x).mutants, rtol=1e-2, atol=1e-2)


def test_more_sequences_than_fit_a_run_are_put_together(backend):
    x = one_hot(70, length=LENGTH)
    ism = FastISM(SINGLE, test_correctness=False, backend=backend)
    whole = ism.saturate(x, positions=[1, 18])
    single = [ism.saturate(x[i : i + 1], positions=[1, 18]) for i in (0, 33, 69)]
    for i, alone in zip((0, 33, 69), single, strict=True):
        np.testing.assert_allclose(whole.mutants[i], alone.mutants[0], **NEAR)
        np.testing.assert_allclose(whole.reference[i], alone.reference[0], **NEAR)
    assert ism(x).shape == (70, LENGTH, 3)


# ---- one sequence at a time -------------------------------------------------------------


def test_saturate_each_yields_what_saturate_returns(ism):
    x = one_hot(5)
    whole = ism.saturate(x, outputs=[0, 2], positions=slice(2, 9))
    for given in (x, list(x), (row for row in x)):
        each = list(ism.saturate_each(given, outputs=[0, 2], positions=slice(2, 9)))
        assert len(each) == 5
        for i, result in enumerate(each):
            np.testing.assert_allclose(result.mutants, whole.mutants[i : i + 1], **NEAR)
            np.testing.assert_allclose(result.reference, whole.reference[i : i + 1], **NEAR)
            np.testing.assert_array_equal(result.alternatives, whole.alternatives[i : i + 1])
            assert result.importance().shape == (1, 7, 2)


def test_saturate_each_takes_tuples_where_there_are_several_inputs(ism_several):
    x = [CELLS, one_hot(3)]
    whole = ism_several.saturate(x, positions=[4])
    each = list(ism_several.saturate_each(zip(*x, strict=True), positions=[4]))
    assert len(each) == 3
    for i, result in enumerate(each):
        for y, all_of_it in zip(result.mutants, whole.mutants, strict=True):
            np.testing.assert_allclose(y, all_of_it[i : i + 1], **NEAR)


def test_saturate_each_takes_no_more_sequences_than_it_needs(ism):
    """Flat memory: at most one run's worth of sequences is taken from the source at a time."""
    x, pulled = one_hot(100), []

    def source() -> Iterator[np.ndarray]:
        for i, row in enumerate(x):
            pulled.append(i)
            yield row

    results = ism.saturate_each(source(), positions=[3])
    assert pulled == []
    next(results)
    first = len(pulled)
    assert first <= 32
    for _ in range(first - 1):
        next(results)
    assert len(pulled) == first
    assert len(list(results)) == 100 - first
    assert len(pulled) == 100


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

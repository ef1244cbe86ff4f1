"""Saturation, all at once or sequence by sequence, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from api_cases import (  # noqa: E402
    CELLS,
    LENGTH,
    NEAR,
    SEVERAL,
    SINGLE,
    ism_05,
    one_hot,
    predict,
    real,
    single_model,
)

from fastism import FastISM, NaiveISM, Saturation  # noqa: E402

pytest_plugins = ["api_fixtures"]
pytestmark = pytest.mark.keras


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

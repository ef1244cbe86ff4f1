"""Where the time goes, and rank correlations of attributions with exact ISM."""

import doctest

import numpy as np
import pytest
from benchmark_fakes import WHERE, FakeClock, FakeMethod

from benchmarks.clock import Repeats
from benchmarks.errors import BenchmarkError
from benchmarks.jobs.job import BreakdownJob
from benchmarks.methods import Attribution
from benchmarks.studies import breakdown, correlate
from benchmarks.studies.breakdown import (
    CONVOLUTIONS,
    WHOLE,
    as_records,
    measure_parts,
    methods_of_parts,
)
from benchmarks.studies.correlate import correlations, importance, spearman

LENGTH = 10


def one_hot(number=2, length=LENGTH, seed=0):
    letters = np.random.default_rng(seed).integers(4, size=(number, length))
    return np.eye(4, dtype=np.float32)[letters]


def method_of(values, name="deepshap", exact=False, **changes):
    method = FakeMethod(name, "tensorflow", FakeClock(), [1.0], values, **changes)
    method.exact = exact
    return method


# ---- correlations ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3], [10, 100, 1000], 1.0),
        ([1, 2, 3], [3, 2, 1], -1.0),
        ([1, 2, 2, 3], [1, 3, 2, 4], 0.9486832980505138),  # ties share their mean rank
    ],
)
def test_spearman_is_the_correlation_of_ranks(a, b, expected):
    assert spearman(np.array(a, float), np.array(b, float)) == pytest.approx(expected)


def test_spearman_of_a_constant_is_not_a_number():
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))
    with pytest.raises(BenchmarkError, match="same importance at all positions"):
        correlations(np.ones((1, 3)), np.ones((1, 3)))


def test_the_example_runs():
    assert doctest.testmod(correlate) == (0, doctest.testmod(correlate).attempted)


def linear(sequences, seed=1):
    """What exact ISM, Taylor ISM and gradient × input give for a linear model."""
    weights = np.random.default_rng(seed).normal(size=sequences.shape[1:])
    reference = (sequences * weights).sum((1, 2))
    here = (sequences * weights).sum(2)
    effects = weights[None] - here[..., None]
    return {
        "fast_ism": (reference[:, None, None] + effects)[..., None],
        "taylor_ism": effects,
        "gradient_x_input": sequences * weights,
    }


def test_importance_is_minus_the_mean_effect_of_the_alternatives():
    sequences = one_hot()
    values = linear(sequences)
    exact = method_of(values["fast_ism"], "fast_ism", exact=True)
    found = importance(exact, Attribution.of(values["fast_ism"], np.arange(LENGTH)), sequences)
    expected = -values["taylor_ism"].sum(2) / 3
    np.testing.assert_allclose(found, expected, atol=1e-12)
    taylor = method_of(values["taylor_ism"], "taylor_ism")
    given = Attribution.of(values["taylor_ism"], np.arange(LENGTH))
    np.testing.assert_allclose(importance(taylor, given, sequences), expected)


def test_importance_of_other_methods_is_their_share_of_the_position():
    sequences = one_hot()
    values = linear(sequences)["gradient_x_input"]
    given = Attribution.of(values, np.arange(LENGTH))
    found = importance(method_of(values), given, sequences)
    np.testing.assert_allclose(found, values.sum(2))


@pytest.mark.parametrize(
    "values",
    [
        [np.zeros((2, LENGTH, 4)), np.zeros((2, LENGTH, 4))],
        np.zeros((2, LENGTH - 1, 4)),
        np.zeros((2, LENGTH, 4, 3)),
    ],
    ids=["two outputs", "not all positions", "three outputs"],
)
def test_importance_needs_one_output_and_all_positions(values):
    given = Attribution.of(values, np.arange(LENGTH))
    with pytest.raises(BenchmarkError, match="expected one of shape"):
        importance(method_of(values), given, one_hot())


def test_every_method_is_correlated_or_says_why_not():
    sequences = one_hot()
    values = linear(sequences)
    exact = method_of(values["fast_ism"], "fast_ism", exact=True)
    methods = [
        method_of(values["taylor_ism"], "taylor_ism"),
        method_of(values["gradient_x_input"], reason="Not installed."),
        method_of(values["gradient_x_input"], error=MemoryError("too large")),
    ]
    found = [result for _, result in correlate.correlate(methods, None, sequences, exact)]
    assert found[0].correlations == pytest.approx((1.0, 1.0))
    assert (found[1].status, found[1].reason) == ("refused", "Not installed.")
    assert (found[2].status, found[2].reason) == ("failed", "MemoryError: too large")


# ---- breakdown -------------------------------------------------------------------------------


def test_parts_are_timed_in_turns_and_told_apart():
    clock = FakeClock()
    values = np.zeros((2, LENGTH, 4, 1))
    durations = {
        (WHOLE, "naive_ism"): 9.0,
        (WHOLE, "fast_ism"): 0.5,
        (CONVOLUTIONS, "naive_ism"): 8.0,
        (CONVOLUTIONS, "fast_ism"): 0.25,
    }
    methods = {
        key: FakeMethod(key[1], "tensorflow", clock, [seconds], values)
        for key, seconds in durations.items()
    }
    parts = {WHOLE: None, CONVOLUTIONS: None}
    seconds = measure_parts(parts, one_hot(), methods, Repeats(2, 2, 0.0), clock)
    assert seconds == {key: [2 * each] * 2 for key, each in durations.items()}
    job = BreakdownJob(study="s", architecture="basset", length=LENGTH, data="nowhere", sequences=2)
    done = list(as_records(job, 4, methods, seconds, WHERE))
    assert {r.what.kind for r in done} == {"breakdown"}
    assert [(r.how.settings["part"], r.what.method) for r in done] == list(durations)
    assert len({r.how.job for r in done}) == 1


@pytest.mark.tensorflow
def test_the_convolutions_end_where_the_dense_part_begins():
    pytest.importorskip("keras")
    from benchmarks.architectures import build

    model = build("basset", 100)
    part = breakdown.convolutions_of(model)
    kinds = [type(layer).__name__ for layer in part.layers]
    assert kinds.count("Conv1D") == 3
    assert (kinds.count("Flatten"), kinds.count("Dense")) == (0, 1)
    assert part.get_layer("conv1") is model.get_layer("conv1")
    with pytest.raises(BenchmarkError, match="has no Flatten"):
        breakdown.convolutions_of(part)
    assert {key[0] for key in methods_of_parts()} == {WHOLE, CONVOLUTIONS}

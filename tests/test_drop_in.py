"""The calls of fastISM 0.5, as scripts that were written for it use them."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from api_cases import (  # noqa: E402
    CELLS,
    LENGTH,
    NEAR,
    REPLACEMENTS,
    SEVERAL,
    SINGLE,
    ism_05,
    one_hot,
    real,
    single_model,
)

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.rules import Convolution  # noqa: E402

pytest_plugins = ["api_fixtures"]
pytestmark = pytest.mark.keras


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

"""Double mutants of random Keras models, on their own framework and on PyTorch."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile

keras = pytest.importorskip("keras", reason="the models are Keras models")

from random_models import Example, examples  # noqa: E402
from test_random_models import (  # noqa: E402
    ACROSS,
    BACKEND,
    PRECISE,
    SEEDS,
    TOLERANCES,
    Tolerance,
    assert_close,
    listed,
    packed,
    predictions,
    random_inputs,
    small_example,
    torch_is_installed,
)

from fastism import FastISM, FastISMError  # noqa: E402
from fastism.pairs.plan import PairStrategy  # noqa: E402

pytestmark = pytest.mark.keras


def doubled(example: Example, inputs: list[np.ndarray], positions: list[int]) -> list[np.ndarray]:
    """Every double mutant of two positions, ``(N, P, C, P, C, *output)``."""
    count, _, characters = inputs[example.sequence].shape
    shape = (count, len(positions), characters, len(positions), characters)
    grid = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), 1)
    batch = [x[grid[:, 0]].copy() for x in inputs]
    rows, where = np.arange(len(grid)), np.asarray(positions)
    for p, c in ((1, 2), (3, 4)):
        batch[example.sequence][rows, where[grid[:, p]]] = np.eye(characters)[grid[:, c]]
    return [y.reshape(*shape, *y.shape[1:]) for y in predictions(example, batch)]


def check(example: Example, seed: int, tolerance: Tolerance, backend: str | None = None) -> FastISM:
    rng = np.random.default_rng(seed)
    inputs = random_inputs(example, rng)
    length = example.shapes[example.sequence][0]
    positions = sorted({0, length - 1, int(rng.integers(length))})
    ism = FastISM(
        example.model,
        example.sequence,
        early_stop_layers=example.stops or None,
        test_correctness=False,
        backend=backend,
    )
    made = listed(ism.pairs(packed(inputs), positions=positions).doubles)
    expected = doubled(example, inputs, positions)
    apart = ~np.eye(len(positions), dtype=bool)
    made, expected = ([y.swapaxes(2, 3)[:, apart] for y in arrays] for arrays in (made, expected))
    assert_close(made, expected, predictions(example, inputs), tolerance)
    return ism


@pytest.mark.slow
@profile(4)
@given(examples(PRECISE), SEEDS)
def test_random_models(example, seed):
    check(example, seed, TOLERANCES[PRECISE])


@pytest.mark.slow
@pytest.mark.skipif(not torch_is_installed(), reason="PyTorch is not installed")
@pytest.mark.skipif(BACKEND == "torch", reason="all tests here run on torch already")
@profile(8)
@given(examples(PRECISE, opaque=False), SEEDS)
def test_random_models_on_torch(example, seed):
    """A model of another framework, its recognised layers on torch."""
    try:
        check(example, seed, ACROSS[PRECISE], "torch")
    except FastISMError as error:
        # A layer without a rule that was made need not have become part of the model.
        assert example.opaque
        assert "runs only in its own framework" in str(error)


@pytest.mark.skipif(BACKEND == "torch", reason="PyTorch has interactions")
def test_frameworks_that_compile_one_shape_take_references():
    ism = check(small_example(), 0, TOLERANCES["float32"])
    plan = ism.pair_plan()
    assert plan.strategy is PairStrategy.REFERENCES
    assert plan.fast_macs == pytest.approx(ism.plan.fast_macs, rel=0.5)
    assert "Strategy: references: this backend compiles windows of one shape" in str(plan)


@pytest.mark.skipif(not torch_is_installed(), reason="PyTorch is not installed")
@given(st.integers(0, 3))
@profile(4)
def test_interactions_on_torch(seed):
    ism = check(small_example(), seed, ACROSS["float32"], "torch")
    assert ism.pair_plan().strategy is PairStrategy.INTERACTIONS

"""Mutants of several edits, against the models themselves: far edits add up, near ones are one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile
from random_graphs import graphs, single_rules

from fastism.edits.hulls import joined, spanned
from fastism.edits.listed import check_edits
from fastism.edits.plan import EditStrategy, find_seam, make_edit_plan
from fastism.errors import FastISMError
from fastism.intervals import Interval
from fastism.planning.layout import affected_windows
from fastism.planning.plan import make_plan
from fastism.planning.steps import Mode
from fastism.rules import Kind

SEEDS = st.integers(0, 2**32 - 1)


def drawn(
    rng: np.random.Generator, mutants: int, length: int, channels: int, real: bool = True
) -> tuple[list[list[int]], list[list[np.ndarray]]]:
    """Starts and replacements (width, channels) that do not overlap, in any order."""
    starts: list[list[int]] = []
    news: list[list[np.ndarray]] = []
    for _ in range(mutants):
        edges = sorted(rng.choice(length + 1, min(2 * int(rng.integers(4)), length), replace=False))
        pairs = list(zip(edges[::2], edges[1::2], strict=False))
        rng.shuffle(pairs)
        # Mostly short ones, so that some are far apart.
        widths = [int(min(z - a, rng.integers(1, 4))) for a, z in pairs]
        starts.append([int(a) for a, _ in pairs])
        if real:
            news.append([rng.normal(size=(width, channels)) for width in widths])
        else:
            news.append([np.eye(channels)[rng.integers(channels, size=w)] for w in widths])
    return starts, news


def edited(
    x: np.ndarray, sequence: np.ndarray, starts: list[list[int]], news: list[list[np.ndarray]]
) -> np.ndarray:
    """Mutants ``(M, L, C)`` of sequences ``(N, L, C)``, made by hand."""
    made = x[sequence].copy()
    for row, (places, rows) in enumerate(zip(starts, news, strict=True)):
        for place, new in zip(places, rows, strict=True):
            made[row, place : place + len(new)] = new
    return made


# ---- random models ------------------------------------------------------------------------


@pytest.mark.torch
@pytest.mark.slow
@profile(10)
@given(st.data(), SEEDS)
def test_random_modules(data, seed):
    torch = pytest.importorskip("torch", reason="the models are torch modules")
    from random_modules import modules
    from test_pairs import settings_of
    from test_random_modules import assert_close, listed, packed, predictions

    from fastism import FastISM, NaiveISM

    torch.manual_seed(0)
    example = data.draw(modules("float64"))
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=(3, *shape)) for shape in example.shapes]
    x = inputs[example.sequence]
    x = x if example.channels_last else x.transpose(0, 2, 1)
    starts, news = drawn(rng, 6, x.shape[1], x.shape[2])
    sequence = rng.integers(3, size=6)
    mutants = [y[sequence] for y in inputs]
    made = edited(x, sequence, starts, news)
    mutants[example.sequence] = made if example.channels_last else made.transpose(0, 2, 1)
    outward = [[new if example.channels_last else new.T for new in each] for each in news]
    truth, reference = predictions(example, mutants), predictions(example, inputs)
    fast = FastISM(example.module, early_stop_layers=example.stops, **settings_of(example))
    naive = NaiveISM(example.module, batch_size=4, **settings_of(example))
    for ism in (fast, naive):
        found = listed(ism.perturb(packed(inputs), sequence, starts, outward).mutants)
        assert_close(found, truth, [y[sequence] for y in reference], example.dtype)


@pytest.mark.keras
@pytest.mark.slow
@profile(3)
@given(st.data(), SEEDS)
def test_random_keras_models(data, seed):
    pytest.importorskip("keras", reason="the models are Keras models")
    from random_models import examples
    from test_random_models import (
        PRECISE,
        TOLERANCES,
        assert_close,
        listed,
        packed,
        predictions,
        random_inputs,
    )

    from fastism import FastISM

    example = data.draw(examples(PRECISE))
    rng = np.random.default_rng(seed)
    inputs = random_inputs(example, rng)
    x = inputs[example.sequence]
    starts, news = drawn(rng, 5, x.shape[1], x.shape[2])
    sequence = rng.integers(len(x), size=5)
    mutants = [y[sequence].copy() for y in inputs]
    mutants[example.sequence] = edited(x, sequence, starts, news)
    ism = FastISM(
        example.model,
        example.sequence,
        early_stop_layers=example.stops or None,
        test_correctness=False,
    )
    found = listed(ism.perturb(packed(inputs), sequence, starts, news).mutants)
    truth, reference = predictions(example, mutants), predictions(example, inputs)
    assert_close(found, truth, [y[sequence] for y in reference], TOLERANCES[PRECISE])


# ---- geometry -----------------------------------------------------------------------------


@profile(30)
@given(st.one_of(graphs(), single_rules()), SEEDS)
def test_edits_that_are_not_near_share_no_nonlinear_step(graph, seed):
    """The windows of single letters, whichever way they are asked for, and the distance told."""
    plan = make_plan(graph)
    edits = make_edit_plan(plan, naive=False)
    length = graph.nodes[graph.perturbed].shape[0]
    places = np.sort(np.random.default_rng(seed).choice(length, min(length, 3), replace=False))
    near = edits.near(places, places + 1)
    each = [affected_windows(graph, plan.steps, Interval(p, p + 1)) for p in places[:, None]]
    for i, j in zip(*np.nonzero(~near), strict=True):
        for index, step in enumerate(plan.steps):
            node = graph.nodes[index]
            if step.mode is Mode.WINDOW and node.inputs and node.rule.consumes is Kind.VALUES:
                one, other = each[i][index], each[j][index]
                assert one.stop <= other.start or other.stop <= one.start
    far = np.abs(places[:, None] - places) >= edits.distance
    if edits.distance < length:
        assert not near[far].any()
    seam = find_seam(graph, plan.steps)
    assert {*seam.nodes, *seam.sides}.isdisjoint(seam.steps)
    assert len(seam.head.outputs) == len(seam.nodes)


def test_near_edits_become_one_and_take_in_what_lies_between():
    x = np.arange(40.0).reshape(1, 20, 2)
    news = [[np.ones((1, 2)), np.full((2, 2), 2.0), np.full((1, 2), 3.0)], []]
    edits = check_edits([0, 0], [[2, 4, 15], []], news, x.shape, channels_first=False)

    def near(start, stop):
        # Edits closer than three positions act on each other.
        return (start[:, None] < stop + 3) & (start < stop[:, None] + 3)

    made = joined(x, edits, near)
    assert made.start.tolist() == [2, 15] and made.stop.tolist() == [6, 16]
    np.testing.assert_array_equal(made.replacement[0], [[1, 1], x[0, 3], [2, 2], [2, 2]])
    whole = spanned(x, edits)
    assert whole.start.tolist() == [2] and whole.stop.tolist() == [16]
    np.testing.assert_array_equal(whole.replacement[0][4:13], x[0, 6:15])


# ---- a module that is known ---------------------------------------------------------------


@pytest.fixture(scope="module")
def basset():
    torch = pytest.importorskip("torch", reason="the model is a torch module")
    from fastism import FastISM

    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 6, 5, padding=2),
        torch.nn.ReLU(),
        torch.nn.MaxPool1d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 30, 8),
        torch.nn.ReLU(),
        torch.nn.Linear(8, 2),
    ).eval()
    return FastISM(module, input_shape=(4, 60), test_correctness=False, naive_below=0)


@pytest.mark.torch
def test_the_plan_says_what_adds_up_and_from_where_on(basset):
    plan = basset.edit_plan()
    assert plan.strategy is EditStrategy.ADDITION
    # Five letters before the pool, and the grid of the pool.
    assert plan.distance == 6
    told = str(plan)
    assert "Letters at least 6 positions apart add up at 4;" in told
    assert "For every mutant of far edits runs in full: 5, 6." in told


@pytest.mark.torch
def test_every_edit_runs_once_however_many_mutants_share_it(basset, monkeypatch):
    from fastism.running.engine import Engine

    seen = []
    run = Engine.run

    def counted(self, inputs, mutants, select=None):
        seen.append(len(mutants))
        return run(self, inputs, mutants, select)

    monkeypatch.setattr(Engine, "run", counted)
    x = np.eye(4)[np.random.default_rng(0).integers(4, size=(1, 60))].transpose(0, 2, 1)
    letter = 1 - x[0, :, :1]
    starts = [[5, 30], [5, 50], [30, 50], [5, 30, 50]]
    made = basset.perturb(x, [0] * 4, starts, [[letter] * len(each) for each in starts])
    # The first run has no mutant of a single edit and gives the reference.
    assert seen == [0, 3]
    alone = basset.perturb(x, [0] * 3, [[5], [30], [50]], [[letter]] * 3)
    assert made.mutants.shape == (4, 2) and alone.mutants.shape == (3, 2)


@pytest.mark.torch
def test_where_the_first_step_is_global_all_edits_are_one():
    torch = pytest.importorskip("torch", reason="the model is a torch module")
    from fastism import FastISM

    class Sorted(torch.nn.Module):
        def forward(self, x):
            return torch.sort(x, dim=2).values[:, :2, -3:].flatten(1)

    ism = FastISM(Sorted(), input_shape=(4, 20), test_correctness=False, naive_below=0)
    plan = ism.edit_plan()
    assert plan.strategy is EditStrategy.HULL
    assert "nothing adds up" in str(plan)


# ---- what does not fit --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "replacement", "message"),
    [
        ([[1], [2]], [[np.eye(4)[:1]]], "start lists the edits of 2 mutants"),
        ([[1, 2]], [[np.eye(4)[:1]]], "has 2 starts and 1 replacements"),
        ([[1.5]], [[np.eye(4)[:1]]], "must be a list of integers"),
        ([[1]], [[np.eye(3)[:1]]], "has shape \\(1, 3\\); expected \\('width', 4\\)"),
        ([[9]], [[np.eye(4)[:2]]], "replaces positions 9 to 11 of sequences that have 10"),
        ([[3, 2]], [[np.eye(4)[:1], np.eye(4)[:2]]], "Two edits of mutant 0 replace position 3"),
        ([[1]], [[np.full((1, 4), np.nan)]], "holds NaN"),
    ],
    ids=["lists", "replacements", "integers", "shape", "outside", "overlap", "nan"],
)
def test_lists_that_do_not_fit_are_refused(start, replacement, message):
    with pytest.raises(FastISMError, match=message):
        check_edits([0] * len(start), start, replacement, (1, 10, 4), channels_first=False)

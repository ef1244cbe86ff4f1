"""Where two edits act on each other, as planned, against the values themselves."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile
from random_graphs import evaluate, graphs, random_inputs

from fastism.graph import Graph, GraphBuilder
from fastism.intervals import Interval
from fastism.pairs.blocks import make_blocks
from fastism.pairs.windows import Span, find_roles, joint_windows
from fastism.planning.layout import affected_windows
from fastism.planning.plan import make_plan
from fastism.planning.steps import Mode
from fastism.rules import Convolution, GlobalPool, MaxPool, Pointwise, Source

SEEDS = st.integers(0, 2**32 - 1)


def planned(graph: Graph, first: np.ndarray, second: np.ndarray):
    """Roles, and windows of tiles of one position each."""
    plan = make_plan(graph)
    roles = find_roles(plan)
    sides = (affected_windows(graph, plan.steps, Interval(x, x + 1)) for x in (first, second))
    return plan, roles, joint_windows(graph, plan.steps, roles, *sides)


@profile(150)
@given(graphs(), SEEDS)
def test_interactions_lie_in_their_windows(graph, seed):
    rng = np.random.default_rng(seed)
    x = random_inputs(graph, 1, rng)
    length, channels = graph.nodes[graph.perturbed].shape
    first, second = np.sort(rng.choice(length, (6, 2)), 1).T if length > 1 else None
    apart = first < second
    if not apart.any():
        return
    first, second = first[apart], second[apart]
    plan, roles, joint = planned(graph, first, second)
    for tile, pair in enumerate(zip(first, second, strict=True)):
        batch = [np.repeat(y, 4, 0) for y in x]
        edited = batch[graph.sequence]
        for bit, position in enumerate(pair):
            rows = [row for row in range(4) if row >> bit & 1]
            edited[rows, position] = rng.normal(size=channels)
        for index, y in enumerate(evaluate(graph, batch)):
            if plan.steps[index].mode is not Mode.WINDOW or index in roles.values:
                continue
            interaction = np.abs(y[3] - y[1] - y[2] + y[0]).max(1) > 1e-9
            window = joint.windows[index]
            outside = np.ones(len(interaction), dtype=bool)
            outside[window.start[tile] : max(window.stop[tile], window.start[tile])] = False
            assert not (interaction & outside).any(), (index, pair)


def small(pool: bool) -> Graph:
    """conv (3) - ReLU - conv (3) - ReLU - perhaps a pool over four - mean, of 40 positions."""
    rng, builder = np.random.default_rng(0), GraphBuilder()
    x = builder.add("x", "Input", Source((40, 4)))
    y = x
    for channels in (4, 5):
        kernel = rng.normal(size=(3, channels, 5))
        y = builder.add("conv", "Conv1D", Convolution(kernel, pad=(1, 1)), [y])
        y = builder.add("relu", "ReLU", Pointwise("relu"), [y])
    if pool:
        y = builder.add("pool", "MaxPooling1D", MaxPool(4, 4), [y])
    return builder.build([x], [builder.add("mean", "Mean", GlobalPool("mean"), [y])], 0, "float64")


def test_edits_meet_where_both_reach():
    """Each edit reaches one position further with every convolution: 2, then 4 apart they meet."""
    distances = np.array([1, 2, 3, 4, 5])
    _, roles, joint = planned(small(False), np.full(5, 10), 10 + distances)
    assert roles.values == {1, 3}
    assert roles.nonlinear == {2, 4}
    assert joint.windows[2].width.tolist() == [2, 1, 0, 0, 0]
    assert joint.windows[4].width.tolist() == [4, 3, 2, 1, 0]
    assert joint.windows[4].start[:4].tolist() == [9, 10, 11, 12]
    # The second convolution gives values where its ReLU needs them.
    assert joint.windows[3].width.tolist() == [4, 3, 2, 1, 0]


def test_a_pool_lets_edits_meet_that_lie_in_one_of_its_windows():
    _, roles, joint = planned(small(True), np.array([8, 8]), np.array([13, 16]))
    assert 5 in roles.nonlinear
    # The first edit reaches 6 to 10, the others 11 to 15 and 14 to 18; its third window is 8 to 11.
    assert joint.windows[2].width.tolist() == [0, 0]
    assert (joint.windows[5].start[0], joint.windows[5].stop[0]) == (2, 3)
    assert joint.windows[5].width.tolist() == [1, 0]


def test_spans_meet_and_join():
    a = Span(np.array([0, 5, 3]), np.array([4, 9, 3]))
    b = Span(np.array([2, 9, 1]), np.array([6, 12, 2]))
    assert a.meet(b).filled.tolist() == [True, False, False]
    joined = a.join(b)
    assert joined.start.tolist() == [0, 5, 1]
    assert joined.stop.tolist() == [6, 12, 2]
    assert a.where(np.array([True, False, True])).width.tolist() == [4, 0, 0]


@pytest.mark.parametrize("block", [1, 3, 50])
def test_blocks_hold_all_edits_by_position(block):
    position = np.array([7, 7, 0, 12, 3, 5, 7])
    blocks = make_blocks(position, block)
    assert sorted(np.concatenate(blocks.edits).tolist()) == list(range(7))
    for number, edits in enumerate(blocks.edits):
        where = position[edits]
        assert (np.diff(where) >= 0).all()
        assert len(set(where // block)) == 1
        assert (blocks.changed.start[number], blocks.changed.stop[number]) == (
            where[0],
            where[-1] + 1,
        )
    assert (np.diff(blocks.changed.start) > 0).all()

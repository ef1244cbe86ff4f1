"""Every rule and random graphs of them, on deltas against full recomputation.

In float64 on `NumpyBackend`, which destroys what may be overwritten and counts what it does, in
both forms of layout: windows cut at the ends of the sequence, and windows of equal widths.
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from numpy_backend import NumpyBackend
from profiles import profile
from random_graphs import (
    graphs,
    mutated,
    outputs_of,
    random_inputs,
    random_mutants,
    single_rules,
)

from fastism.calls.mutants import Mutants
from fastism.errors import FastISMError
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.graph.simplify import simplify
from fastism.planning.layout import make_layout
from fastism.planning.plan import Plan, _costs, make_plan
from fastism.planning.steps import Mode
from fastism.rules import (
    Affine,
    Concatenate,
    Convolution,
    Dense,
    FlattenDense,
    GlobalPool,
    MaxPool,
    Pointwise,
    Reshape,
    Shift,
    Source,
    WeightedSum,
)
from fastism.running.engine import Engine


def run(
    graph: Graph,
    inputs: list[np.ndarray],
    mutants: Mutants,
    *,
    plan: Plan | None = None,
    uniform: bool = False,
    memory: int = 1 << 20,
    chunk_bytes: int = 1 << 14,
) -> tuple[list[np.ndarray], list[np.ndarray | None], NumpyBackend]:
    """Reference, outputs of all mutants (None for those that do not depend on them), backend."""
    if plan is None:
        plan = make_plan(graph, mutants.replacement.shape[1], 3, uniform)
    backend = NumpyBackend("float64", uniform, chunk_bytes)
    reference, parts = Engine(plan, backend, memory).run(inputs, mutants)
    backend.macs = 0
    made: list = [None] * len(reference)
    seen = np.zeros(len(mutants), int)
    for part in parts:
        seen[part.index] += 1
        for i, y in enumerate(part.outputs):
            if y is not None:
                if made[i] is None:
                    made[i] = np.full((len(mutants), *y.shape[1:]), np.nan)
                made[i][part.index] = y
    assert (seen == 1).all(), "a mutant came twice or not at all"
    return reference, made, backend


def largest_error(graph: Graph, inputs: list, mutants: Mutants, **options) -> float:
    """Difference to full recomputation, relative to the largest value of each output."""
    reference, made, _ = run(graph, inputs, mutants, **options)
    expected = outputs_of(graph, mutated(inputs, graph.sequence, mutants))
    worst = 0.0
    for y, full in zip(reference, outputs_of(graph, inputs), strict=True):
        worst = max(worst, np.abs(y - full).max() / (1 + np.abs(full).max()))
        assert np.isfinite(full).all()
    for full, mine, y in zip(expected, made, reference, strict=True):
        got = y[mutants.sequence] if mine is None else mine
        difference = np.abs(got - full).max() / (1 + np.abs(full).max())
        worst = max(worst, np.inf if np.isnan(difference) else difference)
    return worst


def describe(graph: Graph) -> str:
    lines = [
        f"{i}: {n.kind}{n.inputs} -> {n.shape}{' STOP' if n.stop else ''} {_settings(n.rule)}"
        for i, n in enumerate(graph.nodes)
    ]
    return "\n".join([*lines, f"outputs {graph.outputs}"])


def _settings(rule) -> dict:
    values = getattr(rule, "__dict__", {})
    return {k: v.shape if isinstance(v, np.ndarray) else v for k, v in values.items()}


SEEDS = st.integers(0, 2**32 - 1)


@profile(300)
@given(single_rules(), st.integers(1, 3), st.booleans(), SEEDS)
def test_one_rule(graph, width, uniform, seed):
    note(describe(graph))
    rng = np.random.default_rng(seed)
    width = min(width, graph.nodes[graph.perturbed].shape[0])
    inputs = random_inputs(graph, 2, rng)
    mutants = random_mutants(graph, inputs, width, 12, rng)
    assert largest_error(graph, inputs, mutants, uniform=uniform) < 1e-12


@profile(400)
@given(graphs(), st.integers(1, 3), st.booleans(), st.booleans(), SEEDS)
def test_random_graphs(graph, width, uniform, simplified, seed):
    note(describe(graph))
    rng = np.random.default_rng(seed)
    width = min(width, graph.nodes[graph.perturbed].shape[0])
    inputs = random_inputs(graph, 3, rng)
    mutants = random_mutants(graph, inputs, width, 20, rng)
    graph = simplify(graph) if simplified else graph
    assert largest_error(graph, inputs, mutants, uniform=uniform) < 1e-10


@profile(60)
@given(graphs(), st.booleans(), SEEDS)
def test_chunk_and_memory_sizes_do_not_change_results(graph, uniform, seed):
    note(describe(graph))
    rng = np.random.default_rng(seed)
    inputs = random_inputs(graph, 3, rng)
    mutants = random_mutants(graph, inputs, 1, 30, rng)
    plan = make_plan(graph, 1, 3, uniform)
    results = [
        run(graph, inputs, mutants, plan=plan, uniform=uniform, memory=m, chunk_bytes=c)[1]
        for m, c in ((1 << 24, 1 << 20), (1 << 10, 64))
    ]
    for large, small in zip(*results, strict=True):
        if large is None:
            assert small is None
        else:
            np.testing.assert_allclose(small, large, rtol=1e-12, atol=1e-12)


# ---- the work claimed is the work done --------------------------------------------------


def every_start(graph: Graph, inputs: list, alternatives: int, rng) -> Mutants:
    """`alternatives` replacements at every position of every sequence."""
    x = inputs[graph.sequence]
    count, length, channels = x.shape
    sequence, start = (i.ravel() for i in np.indices((count, length)))
    sequence, start = np.repeat(sequence, alternatives), np.repeat(start, alternatives)
    replacement = rng.normal(size=(len(start), 1, channels))
    return Mutants(sequence, start, replacement, replacement - x[sequence, start][:, None])


def claimed(plan: Plan, mutants: Mutants) -> int:
    """What the rules say that these mutants cost, summed over the hulls they are in."""
    hulls = plan.layout.hull_of(mutants.start)
    total = 0
    for node, step, cost in zip(plan.graph.nodes, plan.steps, plan.costs, strict=True):
        inputs = [plan.layout.windows.get(i) for i in node.inputs]
        index = plan.graph.nodes.index(node)
        if step.mode is Mode.FULL:
            total += cost.naive * len(mutants)
        elif step.mode is Mode.READOUT:
            total += np.broadcast_to(
                node.rule.window_macs(inputs, inputs[0]), plan.layout.classes.shape
            )[hulls].sum()
        elif step.mode is Mode.WINDOW and node.inputs:
            total += node.rule.window_macs(inputs, plan.layout.windows[index])[hulls].sum()
    return int(total)


@profile(80)
@given(graphs(), SEEDS)
def test_multiply_adds_done_are_those_claimed(graph, seed):
    note(describe(graph))
    rng = np.random.default_rng(seed)
    inputs = random_inputs(graph, 2, rng)
    mutants = every_start(graph, inputs, 3, rng)
    plan = make_plan(simplify(graph), 1, 3)
    _, _, backend = run(plan.graph, inputs, mutants, plan=plan)
    assert backend.macs == claimed(plan, mutants)
    plan = in_blocks_of_one(plan)
    _, _, backend = run(plan.graph, inputs, mutants, plan=plan)
    assert backend.macs == claimed(plan, mutants)
    assert backend.macs == pytest.approx(plan.fast_macs * len(mutants), rel=1e-9)


def in_blocks_of_one(plan: Plan) -> Plan:
    """The same plan with every position in a block of its own."""
    layout = make_layout(plan.graph, plan.steps, 1, 1, 0, False)
    return replace(plan, layout=layout, costs=_costs(plan.graph, plan.steps, layout))


def small_model() -> Graph:
    r"""x -- conv 5 same -- relu -- pool 3 -- conv 3 dilated -- flatten, dense 4 -- dense 1."""
    rng = np.random.default_rng(0)
    builder = GraphBuilder()
    x = first = builder.add("x", "Input", Source((24, 4)))
    for name, rule in (
        ("first", Convolution(rng.normal(size=(5, 4, 6)), None, pad=(2, 2))),
        ("relu", Pointwise("relu")),
        ("pool", MaxPool(3, 3)),
        ("second", Convolution(rng.normal(size=(3, 6, 5)), None, 1, 2, 1, (2, 2))),
        ("read", FlattenDense(rng.normal(size=(8, 5, 4)))),
        ("out", Dense(rng.normal(size=(4, 1)))),
    ):
        x = builder.add(name, name, rule, [x])
    return builder.build([first], [x], 0, "float64")


def test_multiply_adds_of_a_small_model_counted_by_hand():
    """Every position alone (blocks of one), 24 positions: sums over positions, per alternative.

    first: 5 taps of 24 outputs each, but 3 pairs (input, tap) hang over at each end: 24*5 - 6.
    The window is aligned to the pool: of its outputs only those above do work.
    second: 3 taps, dilation 2, of the 8 pooled positions; naive 8 * 3.
    """
    graph = small_model()
    plan = in_blocks_of_one(make_plan(graph, 1, 3))
    assert [c.naive for c in plan.costs] == [0, 24 * 5 * 24, 0, 0, 8 * 3 * 30, 8 * 5 * 4, 4]
    rng = np.random.default_rng(1)
    inputs = random_inputs(graph, 1, rng)
    _, _, backend = run(graph, inputs, every_start(graph, inputs, 1, rng), plan=plan)
    # Pooled positions that each of the 24 positions reaches: outputs p-2..p+2 over thirds.
    reached = [range(max(p - 2, 0) // 3, min(p + 2, 23) // 3 + 1) for p in range(24)]
    second = [sum(0 <= q + shift < 8 for q in pooled for shift in (-2, 0, 2)) for pooled in reached]
    ends = [(max(r[0] - 2, 0), min(r[-1] + 2, 7) + 1) for r in reached]
    rows = [stop - start for start, stop in ends]
    expected = (24 * 5 - 6) * 24 + sum(second) * 30 + sum(rows) * 20 + 24 * 4
    assert backend.macs == expected
    assert plan.fast_macs == pytest.approx(expected / 24)


# ---- known traps ------------------------------------------------------------------------


def check(graph: Graph, width: int = 1) -> None:
    rng = np.random.default_rng(5)
    inputs = random_inputs(graph, 2, rng)
    mutants = random_mutants(graph, inputs, width, 25, rng)
    for uniform in (False, True):
        assert largest_error(graph, inputs, mutants, uniform=uniform) < 1e-12


@pytest.mark.parametrize("reader", ["the view", "the original"])
@pytest.mark.parametrize(
    "rule", [Shift(2, 0), Shift(-1, -1), MaxPool(1, 2)], ids=["pad", "crop", "pool of one"]
)
def test_a_view_of_a_window_is_not_overwritten_while_the_window_is_needed(rule, reader):
    r"""
         /-- crop or pad (may be a view) -- relu (in place) --\
    x --                                                       outputs
         \----------------- relu (in place) ------------------/
    """
    builder = GraphBuilder()
    x = builder.add("x", "Input", Source((12, 2)))
    kernel = np.random.default_rng(0).normal(size=(3, 2, 2))
    y = builder.add("conv", "Conv1D", Convolution(kernel, pad=(1, 1)), [x])
    moved = builder.add("moved", "Shift", rule, [y])
    both = [("view", moved), ("original", y)]
    ends = []
    for name, source in both if reader == "the view" else both[::-1]:
        tanh = builder.add(f"tanh {name}", "Tanh", Pointwise("tanh"), [source])
        ends.append(builder.add(f"mean {name}", "Mean", GlobalPool("sum"), [tanh]))
    check(builder.build([x], ends, 0, "float64"))


@pytest.mark.parametrize("weights", [(1.0, 1.0), (0.5, -1.0)])
@pytest.mark.parametrize("order", [1, -1])
def test_a_sum_stretches_the_channels_of_a_perturbed_input(weights, order):
    builder = GraphBuilder()
    x = builder.add("x", "Input", Source((7, 1)))
    side = builder.add("side", "Input", Source((7, 3)))
    y = builder.add("sum", "Add", WeightedSum(weights), [x, side][::order])
    kernel = np.random.default_rng(0).normal(size=(2, 3, 2))
    z = builder.add("conv", "Conv1D", Convolution(kernel), [y])
    check(builder.build([x, side], [y, z], 0, "float64"))


def test_an_output_may_be_the_input_itself_or_not_depend_on_it():
    builder = GraphBuilder()
    x = builder.add("x", "Input", Source((5, 2)))
    side = builder.add("side", "Input", Source((3,)))
    other = builder.add("relu", "ReLU", Pointwise("relu"), [side])
    graph = builder.build([x, side], [x, other], 0, "float64")
    check(graph)
    rng = np.random.default_rng(0)
    inputs = random_inputs(graph, 1, rng)
    _, made, _ = run(graph, inputs, random_mutants(graph, inputs, 1, 4, rng))
    assert made[1] is None


def test_mutants_may_change_any_number_of_positions_up_to_all():
    for width in (1, 5, 23, 24):
        check(small_model(), width)


def test_no_mutants_are_no_work():
    graph = small_model()
    inputs = random_inputs(graph, 1, np.random.default_rng(0))
    empty = Mutants(np.zeros(0, int), np.zeros(0, int), np.zeros((0, 1, 4)), np.zeros((0, 1, 4)))
    reference, made, backend = run(graph, inputs, empty)
    assert made == [None]
    assert backend.macs == 0
    np.testing.assert_allclose(reference[0], outputs_of(graph, inputs)[0])


def test_the_comparison_finds_a_wrong_rule(monkeypatch):
    """Nothing above means anything if a wrong rule passed."""
    graph = small_model()
    rng = np.random.default_rng(0)
    inputs = random_inputs(graph, 1, rng)
    mutants = random_mutants(graph, inputs, 1, 12, rng)
    assert largest_error(graph, inputs, mutants) < 1e-12
    affected = Convolution.affected

    def narrow(self, x, length):
        made = affected(self, x, length)
        return replace(made, stop=np.maximum(made.stop - 1, made.start + 1))

    monkeypatch.setattr(Convolution, "affected", narrow)
    assert largest_error(graph, inputs, mutants) > 1e-3


# ---- shapes that do not fit -------------------------------------------------------------

MISFITS = [
    (Convolution(np.ones((3, 4, 2))), [(9, 3)], "over 4 channels"),
    (Convolution(np.ones((3, 4, 2))), [(2, 4)], "longer sequence"),
    (Convolution(np.ones((3, 4, 2))), [(12,)], "position axis"),
    (MaxPool(5, 5), [(4, 2)], "does not fit"),
    (Shift(-2, -2), [(4, 2)], "leaves nothing"),
    (Affine(np.ones(3), np.ones(3)), [(4, 2)], "3 channels"),
    (Dense(np.ones((3, 2))), [(4,)], "3 features"),
    (FlattenDense(np.ones((3, 2, 1))), [(3, 4)], "flattened"),
    (Reshape((5,)), [(3, 2)], "cannot become"),
    (WeightedSum((1.0, 1.0)), [(3, 2), (4, 2)], "cannot be merged"),
    (Concatenate(1), [(3, 2), (4, 2)], "cannot be concatenated"),
    (GlobalPool("mean"), [(4,)], "position axis"),
]


@pytest.mark.parametrize(
    ("rule", "shapes", "message"), MISFITS, ids=[type(m[0]).__name__ + m[2] for m in MISFITS]
)
def test_shapes_that_do_not_fit_are_refused(rule, shapes, message):
    with pytest.raises(FastISMError, match=message):
        rule.output_shape(shapes)


def test_unknown_functions_and_parameters_are_refused_with_those_that_exist():
    for function, parameters in (("swiglu", {}), ("relu", {"alpha": 1.0})):
        with pytest.raises(FastISMError, match=f"{function}.*known: .*softplus"):
            Pointwise(function, parameters)

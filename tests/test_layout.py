"""Planned windows against brute-force dependence, and planned costs against a hand count."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile
from random_graphs import dependence, graphs, single_rules

from fastism.graph.nodes import Graph, GraphBuilder
from fastism.graph.simplify import simplify
from fastism.intervals import Interval, same_padding
from fastism.planning.layout import Layout, make_layout
from fastism.planning.plan import Plan, _costs, make_plan
from fastism.planning.steps import assign_steps
from fastism.rules import (
    Affine,
    AveragePool,
    Convolution,
    Dense,
    FlattenDense,
    GlobalPool,
    Kind,
    MaxPool,
    Pointwise,
    Source,
    Upsample,
    WeightedSum,
)

# ---- one rule ---------------------------------------------------------------------------


def is_tight(rule) -> bool:
    """Whether an interval can say exactly what changes: no holes between what is read."""
    if isinstance(rule, Convolution):
        return rule.dilation == 1 and rule.stride <= rule.kernel.shape[0]
    if isinstance(rule, MaxPool | AveragePool):
        return rule.stride <= rule.size
    return not (isinstance(rule, Upsample) and rule.zeros)


@profile(300)
@given(single_rules())
def test_affected_interval_of_a_rule_is_what_can_change(graph):
    """Never narrower than brute-force dependence; equal to it where an interval can be."""
    source, node = graph.nodes[graph.perturbed], graph.nodes[graph.outputs[0]]
    length = source.shape[0]
    pairs = [(a, z) for a in range(length) for z in range(a + 1, min(a + 5, length) + 1)]
    start, stop = np.array(pairs).T
    made = node.rule.affected([Interval(start, stop)], node.shape[0])
    assert (made.start >= 0).all()
    assert (made.stop <= node.shape[0]).all()
    assert (made.width >= 1).all()
    for i, (a, z) in enumerate(pairs):
        changed = np.zeros(length, bool)
        changed[a:z] = True
        hit = np.flatnonzero(dependence(graph, changed)[graph.outputs[0]])
        if not len(hit):
            assert made.width[i] == 1 or not is_tight(node.rule)
        elif is_tight(node.rule):
            assert (made.start[i], made.stop[i]) == (hit[0], hit[-1] + 1)
        else:
            assert made.start[i] <= hit[0]
            assert hit[-1] < made.stop[i]


# ---- whole graphs -----------------------------------------------------------------------


def check_windows(graph: Graph, layout: Layout, width: int) -> None:
    """Every window is inside its tensor and covers what each perturbation of its hull reaches."""
    length = graph.nodes[graph.perturbed].shape[0]
    starts = np.arange(length - width + 1)
    hulls = layout.hull_of(starts)
    assert (np.diff(hulls) >= 0).all()
    assert hulls[0] == 0
    assert hulls[-1] < len(layout.classes)
    assert (np.bincount(hulls, minlength=len(layout.counts)) == layout.counts).all()
    for node, window in layout.windows.items():
        count = graph.nodes[node].shape[0]
        assert (window.start >= 0).all()
        assert (window.stop <= count).all()
        assert (window.width >= 1).all()
        if layout.uniform:
            assert len(set(window.width.tolist())) == 1
    for start, h in zip(starts, hulls, strict=True):
        changed = np.zeros(length, bool)
        changed[start : start + width] = True
        seen = dependence(graph, changed)
        for node, window in layout.windows.items():
            hit = np.flatnonzero(seen[node])
            inside = (window.start[h] <= hit) & (hit < window.stop[h])
            assert inside.all(), f"{graph.nodes[node].name} misses {hit[~inside]}"


def check_values_are_covered(graph: Graph, layout: Layout) -> None:
    """A step on values finds every in-sequence input of its window in its inputs' windows."""
    steps = assign_steps(graph)
    for node, window in layout.windows.items():
        if steps[node].consumes in (None, Kind.DELTA):
            continue
        for source in graph.nodes[node].inputs:
            if source in layout.windows:
                length = graph.nodes[source].shape[0]
                needed = graph.nodes[node].rule.required(window).clip(length)
                assert layout.windows[source].contains(needed).all()


def check_classes(graph: Graph, layout: Layout) -> None:
    """Hulls of one class have equal shapes: equal widths and relative placements."""
    for value in np.unique(layout.classes):
        members = layout.classes == value
        for table in (layout.widths, *([] if layout.uniform else [layout.offsets])):
            assert (table[:, members] == table[:, members][:, :1]).all()


@profile(250)
@given(
    graphs(),
    st.integers(1, 4),
    st.sampled_from([(1, 0), (2, 0), (2, 1), (3, 2), (4, 1), (5, 0), (8, 7), (32, 3)]),
    st.booleans(),
    st.sampled_from([1, 1, 2, 3, 8]),
)
def test_windows_cover_what_can_change(graph, width, block, same, joined):
    width = min(width, graph.nodes[graph.perturbed].shape[0])
    layout = make_layout(graph, assign_steps(graph), width, *block, same, joined)
    check_windows(graph, layout, width)
    check_values_are_covered(graph, layout)
    check_classes(graph, layout)


@profile(60)
@given(graphs(), st.integers(1, 3), st.booleans())
def test_chosen_layouts_of_simplified_graphs_cover_what_can_change(graph, width, same):
    graph = simplify(graph)
    plan = make_plan(graph, width, 3, same)
    check_windows(graph, plan.layout, width)
    check_values_are_covered(graph, plan.layout)
    assert plan.layout.uniform is same
    assert plan.window_bytes > 0
    assert plan.full_bytes > 0


def test_the_check_itself_finds_a_window_that_is_too_narrow():
    builder = GraphBuilder()
    x = builder.add("x", "Input", Source((9, 1)))
    y = builder.add("y", "Conv1D", Convolution(np.ones((3, 1, 1)), pad=(1, 1)), [x])
    graph = builder.build([x], [y], 0, "float64")
    layout = make_layout(graph, assign_steps(graph), 1, 1, 0, False)
    check_windows(graph, layout, 1)
    layout.windows[1].stop[4] -= 1
    with pytest.raises(AssertionError, match="y misses"):
        check_windows(graph, layout, 1)


@pytest.mark.parametrize(("length", "width"), [(1, 1), (5, 5), (6, 2), (13, 4)])
def test_every_start_is_in_the_hull_that_changes_it(length, width):
    """Hulls tile the starts; a hull spans what all of its starts change, and no more."""
    builder = GraphBuilder()
    x = builder.add("x", "Input", Source((length, 1)))
    graph = builder.build([x], [x], 0, "float64")
    for block in range(1, 7):
        for phase, same in product(range(block), (False, True)):
            layout = make_layout(graph, assign_steps(graph), width, block, phase, same)
            window = layout.windows[0]
            starts = np.arange(length - width + 1)
            hulls = layout.hull_of(starts)
            for h in np.unique(hulls):
                mine = starts[hulls == h]
                assert window.start[h] <= mine[0]
                assert mine[-1] + width <= window.stop[h]
                if not same:
                    assert window.width[h] <= block + width - 1
            assert layout.counts.tolist() == np.bincount(hulls).tolist()
            inner = starts >= phase
            assert ((starts[inner] - phase) // block == hulls[inner] - (phase > 0)).all()


def test_blocks_at_the_ends_are_joined_where_reading_kernels_costs_more_than_wider_blocks():
    g, features = GraphBuilder(), 500
    y = g.add("x", "Input", Source((300, 4)))
    y = g.add("first", "Conv1D", Convolution(np.zeros((8, 4, features), np.float32)), [y])
    y = g.add("pool", "MaxPooling1D", MaxPool(4, 4), [y])
    y = g.add("second", "Conv1D", Convolution(np.zeros((8, features, features), np.float32)), [y])
    y = g.add("dense", "Dense", FlattenDense(np.zeros((66, features, 2), np.float32)), [y])
    graph = g.build([0], [y], 0, "float32")
    layout = make_plan(graph).layout
    assert len(layout.firsts) < 300 // layout.block


@pytest.mark.parametrize("joined", [1, 2, 3, 100])
def test_only_hulls_without_equals_are_joined(joined):
    """Near both ends, where windows are cut; those in between stay as they are."""
    builder = GraphBuilder()
    x = builder.add("x", "Input", Source((60, 1)))
    y = builder.add("y", "Conv1D", Convolution(np.ones((9, 1, 1)), pad=(4, 4)), [x])
    graph = builder.build([x], [y], 0, "float64")
    steps = assign_steps(graph)
    apart = make_layout(graph, steps, 1, 2, 0, False)
    layout = make_layout(graph, steps, 1, 2, 0, False, joined)
    inner = (apart.firsts >= 4) & (apart.firsts + 2 <= 60 - 4)
    assert set(apart.firsts[inner]) <= set(layout.firsts)
    assert len(layout.firsts) == inner.sum() + 2 * -(-2 // joined)
    assert layout.counts.sum() == 60
    assert layout.counts.max() == 2 * min(joined, 2)


# ---- multiply-adds, against DESIGN.md section 2 ---------------------------------------------


def lazy(*shape: int) -> np.ndarray:
    """Weights that take no memory: only their shape matters here."""
    return np.broadcast_to(np.float32(0), shape)


class Stack:
    """Builds the graph that a Keras model becomes after simplification, layer by layer."""

    def __init__(self, length: int) -> None:
        self.builder = GraphBuilder()
        self.x = self.start = self.builder.add("x", "Input", Source((length, 4)))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.builder.nodes[self.x].shape

    def add(self, rule, *inputs: int) -> "Stack":
        kind = type(rule).__name__
        name = f"{kind} {len(self.builder.nodes)}"
        self.x = self.builder.add(name, kind, rule, inputs or (self.x,))
        return self

    def conv(self, features: int, size: int, padding: str, dilation: int = 1) -> "Stack":
        length, channels = self.shape
        pad = same_padding(length, size, 1, dilation) if padding == "same" else (0, 0)
        return self.add(Convolution(lazy(size, channels, features), None, 1, dilation, 1, pad))

    def relu(self) -> "Stack":
        return self.add(Pointwise("relu"))

    def norm(self) -> "Stack":
        return self.add(Affine(np.ones(self.shape[-1]), np.zeros(self.shape[-1])))

    def pool(self, size: int) -> "Stack":
        return self.add(MaxPool(size, size))

    def dense(self, features: int) -> "Stack":
        rule = FlattenDense if len(self.shape) == 2 else Dense
        return self.add(rule(lazy(*self.shape, features)))

    def plan(self, *outputs: int) -> Plan:
        return make_plan(self.builder.build([self.start], outputs or [self.x], 0, "float32"))


def basset(length: int) -> Plan:
    g = Stack(length)
    for features, size, pool in ((300, 19, 3), (200, 11, 4), (200, 7, 4)):
        g.conv(features, size, "same").pool(pool).relu().norm()
    return g.dense(1000).relu().dense(1000).relu().dense(1).plan()


def factorized_basset(length: int) -> Plan:
    g = Stack(length)
    groups = (
        (((48, 3), (64, 3), (100, 3), (150, 7), (300, 7)), 3),
        (((200, 7), (200, 3), (200, 3)), 4),
        (((200, 7),), 4),
    )
    for convolutions, pool in groups:
        for number, (features, size) in enumerate(convolutions):
            g.conv(features, size, "same")
            if number < len(convolutions) - 1:
                g.relu()
        g.pool(pool).relu()
    return g.dense(1000).relu().dense(1000).relu().dense(1).plan()


def bpnet(length: int) -> Plan:
    g = Stack(length)
    trunk = g.conv(64, 25, "same").relu().x
    for i in range(9):
        branch = g.conv(64, 3, "same", 2**i).relu().x
        trunk = g.add(WeightedSum((1.0, 1.0)), trunk, branch).x
    profile = g.conv(1, 25, "same").x
    g.x = trunk
    return g.add(GlobalPool("mean")).dense(1).plan(profile, g.x)


def deepsea(length: int) -> Plan:
    g = Stack(length)
    g.conv(320, 8, "valid").pool(4).relu().conv(480, 8, "valid").pool(4).relu()
    return g.conv(960, 8, "valid").relu().dense(925).relu().dense(919).plan()


def beluga(length: int) -> Plan:
    g = Stack(length)
    for features, pool in ((320, 4), (480, 4), (640, 1)):
        g.conv(features, 8, "valid").relu().conv(features, 8, "valid")
        if pool > 1:
            g.pool(pool)
        g.relu()
    return g.dense(2003).relu().dense(2002).plan()


#: Model, length, naive and fast multiply-adds in millions as DESIGN.md section 2 has them.
TABLE = [
    (basset, 1000, 271, 7.8),
    (basset, 2000, 542, 7.8),
    (factorized_basset, 1000, 697, 14.4),
    (factorized_basset, 2000, 1394, 14.4),
    (bpnet, 1000, 118, 17),
    (bpnet, 2000, 236, 18),
    (deepsea, 1000, 549, 29),
    (beluga, 2000, 3900, 122),
]


@pytest.mark.parametrize(
    ("build", "length", "naive", "fast"),
    TABLE,
    ids=[f"{row[0].__name__}-{row[1]}" for row in TABLE],
)
def test_planned_multiply_adds_are_those_counted_by_hand(build, length, naive, fast):
    """Naive within 1%: the table is rounded. Fast: the hand count lets every window have its full
    width, the planner cuts windows at the ends of the sequence, which saves most where windows are
    wide (up to a quarter in DeepSEA, where the last of them is 10 of 53 positions). Neighbours that
    share a block share the hull of their windows, which may cost a quarter more.
    """
    plan = build(length)
    assert plan.naive_macs == pytest.approx(naive * 1e6, rel=0.01)
    single = make_layout(plan.graph, plan.steps, 1, 1, 0, False)
    alone = sum(cost.fast for cost in _costs(plan.graph, plan.steps, single))
    assert 0.74 * fast * 1e6 < alone < 1.01 * fast * 1e6
    assert alone <= plan.fast_macs < 1.25 * alone

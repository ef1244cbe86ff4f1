"""Where two edits of one mutant act on each other: integer arithmetic, before anything runs.

Requirements: numpy only.

Let d(i) be what edit i alone adds to a tensor, its delta. With both edits the tensor is

    reference + d(i) + d(j) + e(i, j)

which defines the *interaction* e. It is zero wherever one of the two edits does not reach, so that
it lives on the intersection of their affected intervals. Linear steps carry interactions as they
carry deltas. A nonlinear step makes one from the values of its inputs, reference plus deltas plus
interaction, wherever both edits reach its output. Edits whose intervals never meet have none
anywhere: their effects on every tensor, and on every linear readout, add up exactly.

Edits of neighbouring positions are taken together, as a *block*; a pair of blocks is a *tile*. All
windows of a tile are those of the hulls of its two blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np

from fastism.graph import Graph
from fastism.intervals import Interval
from fastism.planning.fuse import Tail
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode, Step
from fastism.rules import Kind, ReadsOut


@dataclass(frozen=True)
class Span:
    """One interval per tile, empty where it does not stop behind its start.

    Parameters
    ----------
    start, stop : ndarray of int, shape (tiles,)
    """

    start: np.ndarray
    stop: np.ndarray

    @property
    def filled(self) -> np.ndarray:
        """Which are not empty, shape (tiles,) of bool."""
        return self.stop > self.start

    @property
    def width(self) -> np.ndarray:
        """Number of positions, shape (tiles,)."""
        return np.maximum(self.stop - self.start, 0)

    def interval(self) -> Interval:
        """The same for the arithmetic of rules, one position wide where it is empty."""
        return Interval(self.start, np.maximum(self.stop, self.start + 1))

    def meet(self, other: Span) -> Span:
        """What lies in both."""
        return Span(np.maximum(self.start, other.start), np.minimum(self.stop, other.stop))

    def join(self, other: Span) -> Span:
        """The smallest that covers both; an empty one covers nothing."""
        both = self.filled & other.filled
        mine = Span(
            np.where(self.filled, self.start, other.start),
            np.where(self.filled, self.stop, other.stop),
        )
        return Span(
            np.where(both, np.minimum(self.start, other.start), mine.start),
            np.where(both, np.maximum(self.stop, other.stop), mine.stop),
        )

    def where(self, kept: np.ndarray) -> Span:
        """Empty wherever `kept` is false."""
        return Span(self.start, np.where(kept, self.stop, self.start))


@dataclass(frozen=True)
class Roles:
    """What the nodes of a graph do to interactions, whichever edits there are.

    Parameters
    ----------
    nodes : tuple of int
        Those that run on windows, in topological order.
    nonlinear : frozenset of int
        Those that make interactions from values.
    values : frozenset of int
        Those whose readers all want values, which they give at once.
    tails : dict of int to Tail
        A ReLU, perhaps with a residual sum, that runs in the pass of a convolution.
    last_reader : dict of int to int
        The last node that reads the windows of another one; not of those that something beyond
        the windows reads.
    totals : frozenset of int
        Those whose interactions are read by sums and means over all positions only.
    """

    nodes: tuple[int, ...]
    nonlinear: frozenset[int]
    values: frozenset[int]
    tails: dict[int, Tail]
    last_reader: dict[int, int]
    totals: frozenset[int]


def find_roles(plan: Plan) -> Roles:
    """Roles of the nodes of a plan of single edits."""
    graph, steps, kept = plan.graph, plan.steps, plan.rebuilt
    nodes = tuple(i for i, step in enumerate(steps) if step.mode is Mode.WINDOW)
    made = [i for i in nodes if graph.nodes[i].inputs]
    nonlinear = frozenset(i for i in made if graph.nodes[i].rule.consumes is Kind.VALUES)
    values = set()
    for index in nodes:
        readers = [c for c in graph.consumers[index] if steps[c].mode is not Mode.FULL]
        wanted = readers and all(graph.nodes[c].rule.consumes is Kind.VALUES for c in readers)
        able = index in nonlinear or graph.nodes[index].rule.accumulates
        if wanted and able and graph.nodes[index].inputs and index not in kept:
            values.add(index)
    tails = {i: tail for i, tail in plan.tails.items() if tail.pool is None and i in values}
    tails = {i: tail for i, tail in tails.items() if tail.relu not in values}
    inside = {*nodes}
    last_reader = {
        i: max(graph.consumers[i])
        for i in nodes
        if graph.consumers[i] and inside.issuperset(graph.consumers[i]) and i not in kept
    }
    totals = frozenset(
        i for i in nodes if graph.consumers[i] and i not in kept and _only_summed(plan, i)
    )
    return Roles(nodes, nonlinear, frozenset(values), tails, last_reader, totals)


def _only_summed(plan: Plan, index: int) -> bool:
    """Whether sums over all positions are all that reads a node."""
    readers = plan.graph.consumers[index]
    return {*readers} <= {*plan.readouts} and all(
        plan.graph.nodes[i].rule.reads_out is ReadsOut.SUM for i in readers
    )


@dataclass(frozen=True)
class Joint:
    """Windows of interactions in some tiles.

    Parameters
    ----------
    windows : dict of int to Span
        What to compute of each node: values for those of `Roles.values`, else its interaction.
    reads : dict of (int, int) to Span
        For nonlinear nodes and maxima over all positions: what to read of each input.
    offsets : dict of (int, int) to ndarray of int, shape (tiles,)
        Where the window of an input lies in the frame of a node that runs on windows.
    """

    windows: dict[int, Span]
    reads: dict[tuple[int, int], Span]
    offsets: dict[tuple[int, int], np.ndarray]


def joint_windows(
    graph: Graph,
    steps: Sequence[Step],
    roles: Roles,
    first: Mapping[int, Interval],
    second: Mapping[int, Interval],
) -> Joint:
    """Plan the windows of tiles.

    Parameters
    ----------
    graph : Graph
    steps : sequence of Step
    roles : Roles
    first, second : mapping of int to Interval
        Affected intervals of the first and the second block of every tile, by node; arrays of one
        length, or of length one.

    Returns
    -------
    Joint
    """
    both = {i: Span(first[i].start, first[i].stop).meet(_span(second[i])) for i in roles.nodes}
    support = _support(graph, roles, both)
    windows, reads = dict(support), {}
    for index in reversed(range(len(graph.nodes))):
        mode = steps[index].mode
        if index in roles.values:
            needs = [reads[argument] for argument in _arguments(graph, index) if argument in reads]
            windows[index] = reduce(Span.join, needs)
        if mode is Mode.WINDOW and index in roles.nonlinear:
            for k, source in enumerate(graph.nodes[index].inputs):
                if steps[source].mode is Mode.WINDOW:
                    reads[index, k] = _read(graph, index, source, windows[index])
        elif mode is Mode.READOUT and graph.nodes[index].rule.consumes is Kind.VALUES:
            reads[index, 0] = both[graph.nodes[index].inputs[0]]
    return Joint(windows, reads, _offsets(graph, roles, windows, reads))


def single_windows(
    graph: Graph, steps: Sequence[Step], roles: Roles, affected: Mapping[int, Interval]
) -> Joint:
    """Plan the windows of single edits: every node's delta, wherever it can differ from zero.

    Parameters
    ----------
    graph : Graph
    steps : sequence of Step
    roles : Roles
    affected : mapping of int to Interval
        Of every block, by node.
    """
    windows = {i: _span(affected[i]) for i in roles.nodes}
    reads = {
        (index, k): _read(graph, index, source, windows[index])
        for index in roles.nodes
        if index in roles.nonlinear
        for k, source in enumerate(graph.nodes[index].inputs)
        if steps[source].mode is Mode.WINDOW
    }
    return Joint(windows, reads, _offsets(graph, roles, windows, reads))


def _span(x: Interval) -> Span:
    return Span(x.start, x.stop)


def _arguments(graph: Graph, index: int) -> list[tuple[int, int]]:
    """Every reader of a node, and as which of its arguments."""
    return [
        (reader, k)
        for reader in dict.fromkeys(graph.consumers[index])
        for k, source in enumerate(graph.nodes[reader].inputs)
        if source == index
    ]


def _support(graph: Graph, roles: Roles, both: Mapping[int, Span]) -> dict[int, Span]:
    """Forward: where interactions can differ from zero."""
    support: dict[int, Span] = {}
    for index in roles.nodes:
        node = graph.nodes[index]
        if not node.inputs:
            # Two edits at two positions do not act on each other yet.
            support[index] = both[index].where(np.zeros_like(both[index].start, dtype=bool))
        elif index in roles.nonlinear:
            support[index] = both[index]
        else:
            reached = [
                _reached(graph, index, k, support[source])
                for k, source in enumerate(node.inputs)
                if source in support
            ]
            support[index] = reduce(Span.join, reached).meet(both[index])
    return support


def _reached(graph: Graph, index: int, argument: int, x: Span) -> Span:
    """Outputs of a linear node that one of its inputs reaches."""
    node = graph.nodes[index]
    inputs: list[Interval | None] = [None] * len(node.inputs)
    inputs[argument] = x.interval()
    return _span(node.rule.affected(inputs, node.shape[0])).where(x.filled)


def _read(graph: Graph, index: int, source: int, out: Span) -> Span:
    """What a nonlinear node reads of an input."""
    required = graph.nodes[index].rule.required(out.interval())
    return _span(required.clip(graph.nodes[source].shape[0])).where(out.filled)


def _offsets(
    graph: Graph,
    roles: Roles,
    windows: Mapping[int, Span],
    reads: Mapping[tuple[int, int], Span],
) -> dict[tuple[int, int], np.ndarray]:
    offsets = {}
    for index in roles.nodes:
        rule = graph.nodes[index].rule
        for k, source in enumerate(graph.nodes[index].inputs):
            given = reads.get((index, k)) or windows.get(source)
            if given is not None:
                frame = rule.frame(windows[index].interval())
                offsets[index, k] = rule.placed(given.interval()).start - frame.start
    return offsets

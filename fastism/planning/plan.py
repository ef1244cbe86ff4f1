"""Graph to plan: order, windows, costs, block and chunk sizes. Pure, frozen, explained.

Requirements: numpy and rich (only to print).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import nan, prod

import numpy as np

from fastism.graph.nodes import Graph
from fastism.planning.costs import Cost
from fastism.planning.fuse import Tail, find_tails
from fastism.planning.layout import Layout, make_layout
from fastism.planning.reasons import reasons, reasons_told, spreading
from fastism.planning.report import (
    Row,
    cost_table,
    expectation,
    kernels_told,
    runs_on,
    shown_width,
    way_told,
)
from fastism.planning.steps import Mode, Step, assign_steps
from fastism.planning.worth import is_naive
from fastism.rules import Opaque

#: Block sizes the planner chooses from.
BLOCKS = (1, 2, 3, 4, 5, 6, 8, 9, 10, 12, 16, 20, 24, 32)
#: How many neighbouring blocks it may join where no other block has the same windows.
JOINED = (1, 2, 3, 4, 6, 8, 12, 16)
#: Rates for choosing the block size, of a two-core machine; only their ratios matter.
MACS_PER_SECOND = 7e10
BYTES_PER_SECOND = 2e10
SECONDS_PER_OPERATION = 1e-5
#: Working set of a chunk in the same estimate.
CHUNK_BYTES = 16 << 20


@dataclass(frozen=True)
class Plan:
    """How a model is run for all perturbations of one width.

    Parameters
    ----------
    graph : Graph
    steps : tuple of Step
    layout : Layout
    tails : mapping of int to Tail
        What runs in the pass of a convolution, by the index of the convolution.
    costs : tuple of Cost
        One per node.
    alternatives : int
        Mutants per perturbation start that block and chunk sizes were chosen for.
    window_bytes : int
        Largest working set of the windows of one mutant.
    stored_bytes : int
        Bytes per mutant that wait for the end of all chunks.
    full_bytes : int
        Largest working set per mutant of the steps that run in full.
    kernels : mapping of int to tuple of str
        By node the kernels that a backend has chosen so far; the plan itself has no say in it.
    least : float
        The speedup below which mutants run the naive way, see `fastism.planning.worth`.
    """

    graph: Graph
    steps: tuple[Step, ...]
    layout: Layout
    tails: Mapping[int, Tail]
    costs: tuple[Cost, ...]
    alternatives: int
    window_bytes: int
    stored_bytes: int
    full_bytes: int
    kernels: Mapping[int, tuple[str, ...]] = field(default_factory=dict)
    least: float = 0.0

    @property
    def naive(self) -> bool:
        """Whether mutants run the naive way, each through the whole model, and not by this plan."""
        return is_naive(self.naive_macs, self.fast_macs, bool(self.full_steps), self.least)

    @property
    def naive_macs(self) -> int:
        """Multiply-adds of naive ISM per mutant."""
        return sum(cost.naive for cost in self.costs)

    @property
    def fast_macs(self) -> float:
        """Multiply-adds of this plan per mutant."""
        return sum(cost.fast for cost in self.costs)

    def seconds(self, mutants: int) -> float:
        """About how long so many mutants take on a machine of two cores."""
        return self.fast_macs * mutants / MACS_PER_SECOND

    @property
    def speedup(self) -> float:
        """Ratio of multiply-adds, the speedup to expect at equal rates.

        NaN where layers run in full whose multiply-adds cannot be known, see `uncounted`.
        """
        return nan if self.uncounted else self.naive_macs / max(self.fast_macs, 1.0)

    @cached_property
    def reasons(self) -> dict[int, str]:
        """Why steps run in full, by node: where windows end, and whatever is costly behind that."""
        return reasons(self.graph, self.steps, self.costs)

    @property
    def opaque(self) -> tuple[str, ...]:
        """Names of the layers at which windows end, in topological order; `reasons` says why."""
        ends = spreading(self.graph, self.steps)
        return tuple(
            node.name
            for i, (node, step) in enumerate(zip(self.graph.nodes, self.steps, strict=True))
            if step.reason or i in ends
        )

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of the layers that run in full at a cost that cannot be known."""
        return tuple(
            self.graph.nodes[i].name
            for i in self.full_steps
            if isinstance(self.graph.nodes[i].rule, Opaque)
            and self.graph.nodes[i].rule.macs is None
        )

    @property
    def window_steps(self) -> tuple[int, ...]:
        """Nodes that run on windows by a step of their own, without the perturbed input."""
        taken = {i for tail in self.tails.values() for i in tail.nodes}
        return tuple(i for i in self.layout.nodes if self.graph.nodes[i].inputs and i not in taken)

    @property
    def full_steps(self) -> tuple[int, ...]:
        """Nodes that run on whole tensors of the mutants."""
        return tuple(i for i, step in enumerate(self.steps) if step.mode is Mode.FULL)

    @property
    def readouts(self) -> tuple[int, ...]:
        """Nodes that read a feature vector from a window."""
        return tuple(i for i, step in enumerate(self.steps) if step.mode is Mode.READOUT)

    @property
    def rebuilt(self) -> tuple[int, ...]:
        """Nodes whose windows are turned into whole tensors at the end of a chunk."""
        full = {i for n in self.full_steps for i in self.graph.nodes[n].inputs}
        full.update(self.graph.outputs)
        return tuple(i for i in self.layout.nodes if i in full)

    def __str__(self) -> str:
        """Layers, how each runs, affected widths, multiply-adds, and why anything is in full."""
        rows = [
            Row(
                (
                    node.name + (f" (+ {', '.join(node.absorbed)})" if node.absorbed else ""),
                    node.kind,
                    runs_on(step),
                    str(node.shape[0]) if len(node.shape) == 2 else "",
                    shown_width(cost),
                ),
                cost.naive,
                cost.fast,
                node.name not in self.uncounted,
            )
            for node, step, cost in zip(self.graph.nodes, self.steps, self.costs, strict=True)
        ]
        total = Row(("per mutant",), self.naive_macs, self.fast_macs, not self.uncounted)
        remarks = (
            "Widths in positions, costs in multiply-adds per mutant, averaged over the sequence;\n"
            f"blocks of {self.layout.block} positions. {expectation(self.speedup, self.uncounted)}",
            *way_told(self.naive, self.least),
            *reasons_told(self.graph, self.costs, self.reasons, bool(self.uncounted)),
            *kernels_told(self.graph, self.kernels),
        )
        words, numbers = ("layer", "kind", "runs on"), ("length", "width")
        return cost_table(words, numbers, rows, total, remarks)


def mutant_bytes(graph: Graph) -> int:
    """About what a mutant takes while it runs through the whole model: its largest operation."""
    size = np.dtype(graph.dtype).itemsize
    return (
        2
        * size
        * max(
            prod(node.shape) + sum(prod(graph.nodes[i].shape) for i in node.inputs)
            for node in graph.nodes
        )
    )


def make_plan(graph: Graph, width: int = 1, alternatives: int = 3, uniform: bool = False) -> Plan:
    """Plan all perturbations of `width` positions.

    Parameters
    ----------
    graph : Graph
        A simplified graph (see `fastism.graph.simplify`).
    width : int
        Positions that one perturbation replaces.
    alternatives : int
        Replacements per position that are expected.
    uniform : bool
        Whether the backend needs equal shapes for all blocks.
    """
    steps = assign_steps(graph)
    layout = _choose_layout(graph, steps, width, alternatives, uniform)
    return plan_of(graph, steps, layout, alternatives)


def plan_of(graph: Graph, steps: tuple[Step, ...], layout: Layout, alternatives: int) -> Plan:
    """The plan with a given layout.

    Parameters
    ----------
    graph : Graph
    steps : tuple of Step
    layout : Layout
    alternatives : int
        Mutants per perturbation start.
    """
    return Plan(
        graph,
        steps,
        layout,
        find_tails(graph, steps, layout),
        _costs(graph, steps, layout),
        alternatives,
        _window_bytes(graph, steps, layout),
        _stored_bytes(graph, steps, layout),
        _full_bytes(graph, steps),
    )


def _choose_layout(
    graph: Graph, steps: Sequence[Step], width: int, alternatives: int, same: bool
) -> Layout:
    """The block size, phase and joining with the least estimated time for one sequence."""
    length = graph.nodes[graph.perturbed].shape[0]

    def layout(block: int, phase: int, joined: int) -> Layout:
        return make_layout(graph, steps, width, block, phase, same, joined)

    def seconds(made: Layout) -> float:
        return _estimate(graph, steps, made, alternatives)

    sizes = [block for block in BLOCKS if block == 1 or block <= length // 4]
    grids = [(block, phase) for block in sizes for phase in range(min(block, 8))]
    best = min(grids, key=lambda grid: seconds(layout(*grid, 1)))
    return min((layout(*best, joined) for joined in ((1,) if same else JOINED)), key=seconds)


def _estimate(graph: Graph, steps: Sequence[Step], layout: Layout, alternatives: int) -> float:
    """Seconds per sequence by a coarse model of arithmetic, memory traffic and calls."""
    macs = window_macs(graph, steps, layout)
    mutants = layout.counts.sum() * alternatives
    arithmetic = sum(macs.values()) * mutants / MACS_PER_SECOND
    size = np.dtype(graph.dtype).itemsize
    # Reference windows are read once per block, the mutants' windows once per pass, and kernels
    # once per chunk: of a few mutants they are most of what is read.
    rows = layout.counts * alternatives * 3 + 4
    traffic = sum(
        (layout.windows[i].width * rows).sum() * graph.nodes[i].shape[1] * size
        for i in layout.nodes
    )
    bytes_in_all = mutants * _window_bytes(graph, steps, layout)
    filled = min(bytes_in_all / CHUNK_BYTES, len(layout.classes))
    chunks = max(len(np.unique(layout.classes)), filled)
    traffic += chunks * sum(_kernel_size(graph, i) for i in layout.nodes) * size
    calls = chunks * sum(_calls(graph, i) for i in layout.nodes)
    return arithmetic + traffic / BYTES_PER_SECOND + calls * SECONDS_PER_OPERATION


def _calls(graph: Graph, index: int) -> int:
    """Operations of a window step: a product per tap, and what goes on around them."""
    return 3 + (graph.nodes[index].rule.kernel_shape or (0,))[0]


def _kernel_size(graph: Graph, index: int) -> int:
    """Numbers that a chunk reads of the weights of a node."""
    shape = graph.nodes[index].rule.kernel_shape
    return prod(shape) if shape else 0


def _inputs(graph: Graph, layout: Layout, index: int) -> list:
    return [layout.windows.get(i) for i in graph.nodes[index].inputs]


def window_macs(graph: Graph, steps: Sequence[Step], layout: Layout) -> dict[int, float]:
    """Multiply-adds per mutant by node; the reference pass is not in it."""
    macs = {}

    def mean(per_hull: np.ndarray) -> float:
        return float(
            np.average(np.broadcast_to(per_hull, layout.counts.shape), weights=layout.counts)
        )

    for index, (node, step) in enumerate(zip(graph.nodes, steps, strict=True)):
        inputs = _inputs(graph, layout, index)
        if step.mode is Mode.FULL:
            shapes = [graph.nodes[i].shape for i in node.inputs]
            macs[index] = float(node.rule.full_macs(shapes, node.shape))
        elif step.mode is Mode.WINDOW and node.inputs:
            macs[index] = mean(node.rule.window_macs(inputs, layout.windows[index]))
        elif step.mode is Mode.READOUT:
            macs[index] = mean(node.rule.window_macs(inputs, inputs[0]))
    return macs


def _costs(graph: Graph, steps: Sequence[Step], layout: Layout) -> tuple[Cost, ...]:
    macs = window_macs(graph, steps, layout)
    costs = []
    for index, node in enumerate(graph.nodes):
        naive = node.rule.full_macs([graph.nodes[i].shape for i in node.inputs], node.shape)
        window = layout.windows.get(index)
        mean = None if window is None else np.average(window.width, weights=layout.counts)
        width = float("nan") if mean is None else float(mean)
        costs.append(Cost(int(naive), macs.get(index, 0.0), width))
    return tuple(costs)


def _window_bytes(graph: Graph, steps: Sequence[Step], layout: Layout) -> int:
    """Largest total of the windows that are alive at one step, at their largest."""
    size = np.dtype(graph.dtype).itemsize
    last = {
        i: max((c for c in graph.consumers[i] if steps[c].mode is Mode.WINDOW), default=i)
        for i in layout.nodes
    }
    kept = {
        i for i in layout.nodes if any(steps[c].mode is not Mode.WINDOW for c in graph.consumers[i])
    }
    bytes_of = {
        i: int(layout.windows[i].width.max()) * graph.nodes[i].shape[1] * size for i in layout.nodes
    }
    return max(
        sum(bytes_of[i] for i in layout.nodes if i <= now and (last[i] >= now or i in kept))
        for now in layout.nodes
    )


def _stored_bytes(graph: Graph, steps: Sequence[Step], layout: Layout) -> int:
    """What a mutant leaves behind until its sequence's readouts run."""
    size = np.dtype(graph.dtype).itemsize
    total = 0
    for index, node in enumerate(graph.nodes):
        if steps[index].mode is Mode.READOUT:
            source = node.inputs[0]
            width = int(layout.windows[source].width.max())
            waiting = node.rule.waiting(width, graph.nodes[source].shape[1])
            total += (node.shape[0] + waiting) * size
    full = {i for n, s in enumerate(steps) if s.mode is Mode.FULL for i in graph.nodes[n].inputs}
    for index in full.union(graph.outputs).intersection(layout.nodes):
        width = int(layout.windows[index].width.max())
        total += width * graph.nodes[index].shape[1] * size
    return total


def _full_bytes(graph: Graph, steps: Sequence[Step]) -> int:
    """Tensors of the largest step in full, twice for temporaries; at least all outputs."""
    size = np.dtype(graph.dtype).itemsize
    most = sum(prod(graph.nodes[i].shape) for i in graph.outputs)
    for node, step in zip(graph.nodes, steps, strict=True):
        if step.mode is Mode.FULL:
            inputs = sum(prod(graph.nodes[i].shape) for i in node.inputs)
            most = max(most, 2 * (inputs + prod(node.shape) + node.rule.elements))
    return max(most, 1) * size

"""Windows of every block: one integer computation for the whole sequence, before anything runs.

Requirements: numpy only.

Perturbations that start at neighbouring positions run together, as one *block*. The interval of the
input that a block changes is its *hull*; in every tensor behind it, the block has one window, which
holds whatever any of its perturbations can reach.

Hulls whose windows have the same widths in every tensor, and lie in the same way to each other,
form a *class*: the arrays of their blocks have equal shapes, so that one chunk can hold many of
them. Near the ends of the sequence windows are cut off, and nearly every hull is then a class of
its own. A chunk for each of them would be slow, because a chunk of a few mutants takes almost as
long as one of many; neighbouring hulls are therefore joined there to one larger hull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from fastism.graph.nodes import Graph
from fastism.intervals import Interval, hull, uniform
from fastism.planning.steps import Mode, Step
from fastism.rules import Kind


@dataclass(frozen=True)
class Placement:
    """Where the window of an input lies within the positions that a step works on.

    These positions are the *frame* of the step (`fastism.rules.Rule.frame`): those that all of its
    inputs are brought to before they are added, or that its kernel reads.

    Parameters
    ----------
    node, argument : int
        The step and which of its inputs.
    offset : ndarray of int, shape (hulls,)
        First position of the window, counted from the beginning of the frame; negative where the
        window begins before it.
    """

    node: int
    argument: int
    offset: np.ndarray


@dataclass(frozen=True)
class Layout:
    """The windows of all hulls in all tensors, and how they lie to each other.

    Parameters
    ----------
    block : int
        Perturbation starts per hull, away from the ends of the sequence.
    firsts : ndarray of int, shape (hulls,)
        First perturbation start of every hull, ascending from 0.
    counts : ndarray of int, shape (hulls,)
        Perturbation starts of every hull.
    nodes : tuple of int
        The nodes that have a window, in topological order.
    windows : dict of int to Interval
        Window of each of `nodes` for every hull.
    placements : tuple of Placement
        Of inputs whose window differs from the frame of their step, for any hull.
    classes : ndarray of int, shape (hulls,)
        Class of every hull; hulls of one class have equal widths and offsets.
    uniform : bool
        Whether all windows of a node have one width (see `fastism.intervals.uniform`).
    """

    block: int
    firsts: np.ndarray
    counts: np.ndarray
    nodes: tuple[int, ...]
    windows: dict[int, Interval]
    placements: tuple[Placement, ...]
    classes: np.ndarray
    uniform: bool

    @cached_property
    def row_of(self) -> dict[int, int]:
        """Row of each node in `starts` and `widths`."""
        return {node: row for row, node in enumerate(self.nodes)}

    def coincide(self, first: int, second: int) -> bool:
        """Whether two nodes have the same windows."""
        a, b = self.windows[first], self.windows[second]
        return np.array_equal(a.start, b.start) and np.array_equal(a.stop, b.stop)

    @cached_property
    def placement_of(self) -> dict[tuple[int, int], int]:
        """Number of the placement of a node's argument; those that are the frame have none."""
        return {(p.node, p.argument): i for i, p in enumerate(self.placements)}

    @cached_property
    def starts(self) -> np.ndarray:
        """Window starts, shape (len(nodes), hulls)."""
        return np.stack([self.windows[i].start for i in self.nodes])

    @cached_property
    def widths(self) -> np.ndarray:
        """Window widths, shape (len(nodes), hulls)."""
        return np.stack([self.windows[i].width for i in self.nodes])

    @cached_property
    def offsets(self) -> np.ndarray:
        """Offsets of the placements, shape (len(placements), hulls)."""
        if not self.placements:
            return np.zeros((0, len(self.classes)), dtype=np.int64)
        return np.stack([placement.offset for placement in self.placements])

    def hull_of(self, starts: np.ndarray) -> np.ndarray:
        """Index of the hull that holds each perturbation start."""
        return np.searchsorted(self.firsts, starts, side="right") - 1


def make_layout(
    graph: Graph,
    steps: Sequence[Step],
    width: int,
    block: int,
    phase: int,
    same: bool,
    joined: int = 1,
) -> Layout:
    """Work out the windows of all hulls.

    Parameters
    ----------
    graph : Graph
    steps : sequence of Step
    width : int
        Width of every perturbation.
    block, phase : int
        Hulls begin at ``phase + i * block``; the first one is shorter unless `phase` is 0, and
        ``0 <= phase < block``.
    same : bool
        Whether windows must have one width for all hulls.
    joined : int
        Up to how many neighbouring hulls become one where each is a class of its own.
    """
    length = graph.nodes[graph.perturbed].shape[0]
    starts = length - width + 1
    firsts = np.arange(phase - block if phase else 0, starts, block, dtype=np.int64)
    firsts = np.maximum(firsts, 0)
    layout = _layout(graph, steps, width, block, firsts, same)
    if joined == 1 or same:
        return layout
    return _layout(graph, steps, width, block, _joined(layout, joined), same)


def _joined(layout: Layout, most: int) -> np.ndarray:
    """First starts of the hulls when neighbours are joined, up to `most` of them to one.

    Only hulls are joined that are the only one of their class, and whose neighbours are so too.
    """
    alone = (np.bincount(layout.classes) == 1)[layout.classes]
    edges = np.flatnonzero(np.diff(alone, prepend=~alone[:1], append=~alone[-1:]))
    keep = np.ones(len(alone), dtype=bool)
    for first, last in pairwise(edges):
        if alone[first]:
            keep[first:last] = np.arange(last - first) % most == 0
    return layout.firsts[keep]


def _layout(
    graph: Graph, steps: Sequence[Step], width: int, block: int, firsts: np.ndarray, same: bool
) -> Layout:
    """Windows of the hulls that begin at `firsts`."""
    length = graph.nodes[graph.perturbed].shape[0]
    ends = np.append(firsts[1:], length - width + 1)
    changed = Interval(firsts, ends + width - 1)
    affected = affected_windows(graph, steps, changed)
    windows = _planned(graph, steps, affected, same)
    placements, columns = [], []
    for index in windows:
        node, step = graph.nodes[index], steps[index]
        if step.mode is not Mode.WINDOW or not node.inputs:
            continue
        frame = node.rule.frame(windows[index])
        for argument, source in enumerate(node.inputs):
            if source not in windows:
                continue
            placed = node.rule.placed(windows[source])
            offset = placed.start - frame.start
            if offset.any() or (placed.width != frame.width).any():
                placements.append(Placement(index, argument, offset))
                columns.append(offset)
    if same:
        classes = np.zeros(len(firsts), dtype=np.int64)
    else:
        columns.extend(window.width for window in windows.values())
        table = np.stack(columns, 1)
        classes = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    counts = ends - firsts
    nodes = tuple(windows)
    return Layout(block, firsts, counts, nodes, windows, tuple(placements), classes, same)


def affected_windows(graph: Graph, steps: Sequence[Step], changed: Interval) -> dict[int, Interval]:
    """What can differ from the reference, tensor by tensor, from the input to the outputs.

    Parameters
    ----------
    graph : Graph
    steps : sequence of Step
    changed : Interval
        Intervals of the perturbed input.

    Returns
    -------
    dict of int to Interval
        One entry for every node that runs on windows, in topological order.
    """
    affected: dict[int, Interval] = {}
    for index, (node, step) in enumerate(zip(graph.nodes, steps, strict=True)):
        if step.mode is not Mode.WINDOW:
            continue
        if not node.inputs:
            affected[index] = changed
        else:
            inputs = [affected.get(i) for i in node.inputs]
            affected[index] = node.rule.affected(inputs, node.shape[0])
    return affected


def _planned(
    graph: Graph, steps: Sequence[Step], affected: dict[int, Interval], same: bool
) -> dict[int, Interval]:
    """Windows as wide as the steps behind them need, from the outputs back to the input.

    A step that works on values, such as a max pool, reads more positions than those that differ
    from the reference; the window of its input is widened to hold them.
    """
    planned = dict(affected)
    for index in sorted(affected, reverse=True):
        needs = [affected[index]]
        length = graph.nodes[index].shape[0]
        for reader in graph.consumers[index]:
            step = steps[reader]
            if step.mode is Mode.WINDOW and step.consumes is not Kind.DELTA:
                required = graph.nodes[reader].rule.required(planned[reader])
                needs.append(required.clip(length))
        window = hull(needs)
        planned[index] = uniform(window, length) if same else window
    return planned

"""Runs splices: two reference passes, junctions from values, readouts by prefix sums.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

import numpy as np

from fastism.backends.base import Array, Backend
from fastism.intervals import Interval, uniform
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode
from fastism.scans.readouts import Readout, make_readout
from fastism.scans.splices import Splices

#: Rows of the tables: what a tensor is on the left of the junction, and on its right.
LEFT, RIGHT = 0, 1
#: The nodes that have tables; all others are computed for every splice.
TABULATED = (Mode.WINDOW, Mode.REFERENCE)


class SpliceEngine:
    """Runs splices of two sequences through a model.

    Parameters
    ----------
    plan : Plan
        Says which nodes have windows, which read them out and which run in full.
    backend : Backend
    memory : int
        Bytes that mutants may take at a time.
    weights : list
        What `prepare_weights` gave for the plan's graph.
    """

    def __init__(self, plan: Plan, backend: Backend, memory: int, weights: list[Any]) -> None:
        self.plan, self.b, self.memory, self.weights = plan, backend, memory, weights
        self._nodes = [i for i, s in enumerate(plan.steps) if s.mode is Mode.WINDOW]

    def run(
        self, others: Sequence[np.ndarray | None], splices: Splices, outputs: Sequence[int]
    ) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
        """Outputs of all splices.

        Parameters
        ----------
        others : sequence of (ndarray, shape (*shape,)) or None
            The model's inputs; None where the spliced sequence goes.
        splices : Splices
        outputs : sequence of int
            Which outputs of the model.

        Yields
        ------
        index : ndarray of int, shape (mutants of a chunk,)
        made : list of ndarray, each (mutants of a chunk, *shape)
        """
        tables = self._references(others, splices)
        readouts = {i: self._readout(tables, i) for i in self.plan.readouts}
        wanted = [self.plan.graph.outputs[i] for i in outputs]
        windows = self._windows(splices)
        size = self._chunk_size(windows)
        for first in range(0, len(splices), size):
            index = np.arange(first, min(first + size, len(splices)))
            made = self._chunk(tables, readouts, splices, windows, index, wanted)
            yield index, [self.b.to_numpy(y) for y in made]

    def _references(
        self, others: Sequence[np.ndarray | None], splices: Splices
    ) -> list[Array | None]:
        """What every node with positions is left and right of the junction, each (2, *shape).

        Of a node that follows a reversal, the first row comes from the sequence on the right.
        """
        graph = self.plan.graph
        both = np.stack([splices.left, splices.right])
        tables: list[Array | None] = [None] * len(graph.nodes)
        for node, other in zip(graph.inputs, others, strict=True):
            given = both if other is None else np.stack([other, other])
            tables[node] = self.b.asarray(given)
        for index, node in enumerate(graph.nodes):
            if tables[index] is not None or self.plan.steps[index].mode not in TABULATED:
                continue
            inputs = [tables[i] for i in node.inputs]
            if node.rule.reverses:
                inputs = [self.b.flip(x, 0) for x in inputs]
            tables[index] = node.rule.full(self.b, self.weights[index], inputs)
        return tables

    def _readout(self, tables: Sequence[Array], index: int) -> Readout:
        source = self.plan.graph.nodes[index].inputs[0]
        return make_readout(
            self.b, self.plan.graph.nodes[index].rule, self.weights[index], tables[source]
        )

    def _windows(self, splices: Splices) -> dict[int, Interval]:
        """The junction of every splice at every node that has windows, of one width per node."""
        graph = self.plan.graph
        affected: dict[int, Interval] = {}
        for index in self._nodes:
            node = graph.nodes[index]
            if node.inputs:
                inputs = [affected.get(i) for i in node.inputs]
                affected[index] = node.rule.affected(inputs, node.shape[0])
            else:
                affected[index] = Interval(splices.start, splices.start + splices.width)
        return {i: uniform(x, graph.nodes[i].shape[0]) for i, x in affected.items()}

    def _chunk_size(self, windows: dict[int, Interval]) -> int:
        """How many splices run together: what they hold at a time must fit into the memory."""
        graph, size = self.plan.graph, np.dtype(self.plan.graph.dtype).itemsize
        most = 1
        for index in self._nodes:
            node = graph.nodes[index]
            if not node.inputs:
                continue
            width = int(windows[index].width[0])
            reads = node.rule.reads(np.arange(width)[None]).shape[1]
            channels = sum(graph.nodes[i].shape[-1] for i in node.inputs)
            most = max(most, 2 * reads * channels + width * node.shape[1])
        most += sum(prod(graph.nodes[i].shape) for i in self.plan.rebuilt)
        cache = min(self.b.chunk_bytes, self.memory // 2)
        fitting = max(cache // (most * size), 1)
        return int(min(fitting, max(self.memory // 4 // self.plan.full_bytes, 1)))

    # ---- one chunk ------------------------------------------------------------------------

    def _chunk(
        self,
        tables: Sequence[Array],
        readouts: dict[int, Readout],
        splices: Splices,
        windows: dict[int, Interval],
        index: np.ndarray,
        wanted: Sequence[int],
    ) -> list[Array]:
        """Outputs of the splices at `index`."""
        graph = self.plan.graph
        starts = {i: x.start[index] for i, x in windows.items()}
        made: dict[int, Array] = {graph.perturbed: self.b.asarray(splices.word[index])}
        last = {i: max((c for c in graph.consumers[i]), default=-1) for i in self._nodes}
        for node in self._nodes:
            if graph.nodes[node].inputs:
                width = int(windows[node].width[0])
                made[node] = self._window(tables, made, starts, node, width)
            for source in set(graph.nodes[node].inputs) & made.keys():
                if last[source] == node and source not in self.plan.rebuilt:
                    del made[source]
        given: dict[int, Array] = {}
        for node, readout in readouts.items():
            source = graph.nodes[node].inputs[0]
            given[node] = readout.vectors(made[source], starts[source])
        for node in self.plan.rebuilt:
            whole = np.broadcast_to(
                np.arange(graph.nodes[node].shape[0]), (len(index), graph.nodes[node].shape[0])
            )
            fill = np.zeros(graph.nodes[node].shape[1])
            given[node] = self._spliced(tables[node], made[node], starts[node], whole, fill)
        return self._in_full(tables, given, len(index), wanted)

    def _window(
        self,
        tables: Sequence[Array],
        made: dict[int, Array],
        starts: dict[int, np.ndarray],
        index: int,
        width: int,
    ) -> Array:
        """Values of one node on the junctions, shape (mutants, width, channels)."""
        node = self.plan.graph.nodes[index]
        positions = starts[index][:, None] + np.arange(width)
        reads = node.rule.reads(positions)
        inputs = []
        for source in node.inputs:
            shape = self.plan.graph.nodes[source].shape
            if (len(shape) == 2 and shape[0] > 1) or source in made:
                fill = node.rule.outside(shape[1])
                window, start = made.get(source), starts.get(source)
                inputs.append(self._spliced(tables[source], window, start, reads, fill))
            else:
                inputs.append(self.b.take(tables[source], np.zeros(len(reads), np.int64), 0))
        return node.rule.values(self.b, self.weights[index], inputs, positions)

    def _spliced(
        self,
        table: Array,
        window: Array | None,
        start: np.ndarray | None,
        positions: np.ndarray,
        fill: np.ndarray,
    ) -> Array:
        """A tensor of the mutants at some positions, shape (*positions.shape, channels).

        Parameters
        ----------
        table : array, shape (2, length, channels)
        window : array, shape (mutants, width, channels), or None
            The junctions; None for a tensor that does not depend on the sequence.
        start : ndarray of int, shape (mutants,), or None
        positions : ndarray of int, shape (mutants, positions)
        fill : ndarray, shape (channels,)
            What stands outside of the tensor.
        """
        _, length, channels = (int(n) for n in table.shape)
        rows = [self.b.reshape(table, (-1, channels)), self.b.constant(fill[None])]
        index = positions.copy()
        if window is not None:
            width = int(window.shape[1])
            rows.append(self.b.reshape(window, (-1, channels)))
            behind = positions - start[:, None]
            index += np.where(behind >= width, RIGHT * length, 0)
            first = 2 * length + 1 + np.arange(len(positions))[:, None] * width
            index = np.where((behind >= 0) & (behind < width), first + behind, index)
        outside = (positions < 0) | (positions >= length)
        return self.b.rows(self.b.concatenate(rows, 0), np.where(outside, 2 * length, index))

    def _in_full(
        self, tables: Sequence[Array], given: dict[int, Array], count: int, wanted: Sequence[int]
    ) -> list[Array]:
        """Steps in full behind the windows, and the outputs that are wanted."""
        graph = self.plan.graph
        left = np.full(count, LEFT)

        def value(i: int) -> Array:
            # What does not depend on the sequence is the same in both tables.
            return given[i] if i in given else self.b.take(tables[i], left, 0)

        for index in self.plan.full_steps:
            node = graph.nodes[index]
            inputs = [value(i) for i in node.inputs]
            given[index] = node.rule.full(self.b, self.weights[index], inputs)
        return [value(i) for i in wanted]

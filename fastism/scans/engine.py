"""Runs splices: two reference passes, junctions from values, readouts by prefix sums.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

import numpy as np

from fastism.backends.base import Array
from fastism.intervals import Interval, uniform
from fastism.planning.layout import affected_windows
from fastism.running.engine import Engine
from fastism.scans.junctions import LEFT, Junctions
from fastism.scans.readouts import Readout, make_readout
from fastism.scans.splices import Splices


class SpliceEngine:
    """Runs splices of two sequences through a model.

    Parameters
    ----------
    engine : Engine
        Its plan says which nodes have windows, which read them out and which run in full.
    width : int
        Positions of the words at the junctions.
    memory : int
        Bytes that mutants may take at a time.
    """

    def __init__(self, engine: Engine, width: int, memory: int) -> None:
        self.engine, self.plan, self.b, self.memory = engine, engine.plan, engine.b, memory
        graph = self.plan.graph
        waiting = tuple(dict.fromkeys(graph.nodes[i].inputs[0] for i in self.plan.readouts))
        given = (self.plan, self.b, engine.weights, waiting, self.plan.rebuilt)
        self._junctions = Junctions(*given)
        self._windows = self._all_windows(width)

    def _all_windows(self, width: int) -> dict[int, Interval]:
        """Junctions that begin at every position, at every node, of one width per node."""
        nodes = self.plan.graph.nodes
        starts = np.arange(nodes[self.plan.graph.perturbed].shape[0] - width + 1)
        changed = Interval(starts, starts + width)
        affected = affected_windows(self.plan.graph, self.plan.steps, changed)
        return {i: uniform(x, nodes[i].shape[0]) for i, x in affected.items()}

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
        tables = self._junctions.references(others, splices.left, splices.right)
        readouts = {i: self._readout(tables, i) for i in self.plan.readouts}
        wanted = [self.plan.graph.outputs[i] for i in outputs]
        size = min(self._chunk_size(), len(splices))
        for first in range(0, len(splices), size):
            index = np.arange(first, min(first + size, len(splices)))
            # Where shapes must be equal, the last chunk repeats splices.
            chosen = np.resize(index, size) if self.b.uniform else index
            made = self._chunk(tables, readouts, splices, chosen, wanted)
            yield index, [self.b.to_numpy(y)[: len(index)] for y in made]

    def _readout(self, tables: Mapping[int, Array], index: int) -> Readout:
        node = self.plan.graph.nodes[index]
        table = tables[node.inputs[0]]
        return make_readout(self.b, node.rule, self.engine.weights[index], table)

    def _chunk_size(self) -> int:
        """How many splices run together: what they hold at a time must fit into the memory."""
        graph, size = self.plan.graph, np.dtype(self.plan.graph.dtype).itemsize
        most = 1
        for index, window in self._windows.items():
            node = graph.nodes[index]
            if not node.inputs:
                continue
            width = int(window.width[0])
            reads = node.rule.reads(np.arange(width)[None]).shape[1]
            channels = sum(graph.nodes[i].shape[-1] for i in node.inputs)
            most = max(most, 2 * reads * channels + width * node.shape[1])
        most += sum(prod(graph.nodes[i].shape) for i in self.plan.rebuilt)
        cache = min(self.b.chunk_bytes, self.memory // 2)
        fitting = max(cache // (most * size), 1)
        return int(min(fitting, max(self.memory // 4 // self.plan.full_bytes, 1)))

    def _chunk(
        self,
        tables: Mapping[int, Array],
        readouts: Mapping[int, Readout],
        splices: Splices,
        index: np.ndarray,
        wanted: Sequence[int],
    ) -> list[Array]:
        """Outputs of the splices at `index`."""
        start = splices.start[index]
        windows = {i: Interval(x.start[start], x.stop[start]) for i, x in self._windows.items()}
        made, given = self._junctions.run(tables, windows, splices.word[index])
        for node, readout in readouts.items():
            source = self.plan.graph.nodes[node].inputs[0]
            given[node] = readout.vectors(made[source], windows[source].start)
        left = np.full(len(index), LEFT)
        given |= self.engine.in_full(tables, left, given)
        # What does not depend on the sequence is the same in both tables.
        return [given[i] if i in given else self.b.take(tables[i], left, 0) for i in wanted]

"""Values on the junctions of splices: everything beside them comes from two references.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from fastism.backends.base import Array, Backend
from fastism.intervals import Interval
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode

#: Rows of the tables: what a tensor is on the left of the junction, and on its right.
LEFT, RIGHT = 0, 1
#: The nodes that have tables; all others are computed for every splice.
TABULATED = (Mode.WINDOW, Mode.REFERENCE)


class Junctions:
    """Computes junctions; what is computed for them is compiled once.

    Parameters
    ----------
    plan : Plan
        Says which nodes have windows.
    b : Backend
    weights : sequence
        What `prepare_weights` gave for the plan's graph.
    kept : sequence of int
        The nodes whose junctions are wanted.
    whole : sequence of int
        The nodes that are wanted as whole tensors.
    """

    def __init__(
        self,
        plan: Plan,
        b: Backend,
        weights: Sequence[object],
        kept: Sequence[int],
        whole: Sequence[int],
    ) -> None:
        self.plan, self.b, self.weights = plan, b, weights
        self.kept, self.whole = tuple(kept), tuple(whole)
        steps = plan.steps
        self._nodes = tuple(i for i in plan.layout.nodes if plan.graph.nodes[i].inputs)
        self._tabulated = tuple(i for i, s in enumerate(steps) if s.mode in TABULATED)
        self._references = b.compile(self._run_references)
        self._windows = b.compile(self._run_windows)

    # ---- two references --------------------------------------------------------------------

    def references(
        self, others: Sequence[np.ndarray | None], left: np.ndarray, right: np.ndarray
    ) -> dict[int, Array]:
        """What every node with windows or without a junction is on both sides, each (2, *shape).

        Of a node that follows a reversal, the first row comes from the sequence on the right.

        Parameters
        ----------
        others : sequence of (ndarray, shape (*shape,)) or None
            The model's inputs; None where the spliced sequence goes.
        left, right : ndarray, shape (length, characters)
        """
        both = np.stack([left, right])
        given = [both if x is None else np.stack([x, x]) for x in others]
        made = self._references([self.b.asarray(x) for x in given])
        return dict(zip(self._tabulated, made, strict=True))

    def _run_references(self, inputs: Sequence[Array]) -> list[Array]:
        graph = self.plan.graph
        tables = dict(zip(graph.inputs, inputs, strict=True))
        for index in self._tabulated:
            if index in tables:
                continue
            node = graph.nodes[index]
            given = [tables[i] for i in node.inputs]
            if node.rule.reverses:
                given = [self.b.flip(x, 0) for x in given]
            tables[index] = node.rule.full(self.b, self.weights[index], given)
        return [self.b.contiguous(tables[i]) for i in self._tabulated]

    # ---- junctions -------------------------------------------------------------------------

    def run(
        self, tables: Mapping[int, Array], windows: Mapping[int, Interval], word: np.ndarray
    ) -> tuple[dict[int, Array], dict[int, Array]]:
        """Junctions of some splices.

        Parameters
        ----------
        tables : mapping of int to array
            From `references`.
        windows : mapping of int to Interval
            Where the junction of every splice lies at every node, of one width per node.
        word : ndarray, shape (splices, width, characters)
            The junctions of the spliced sequence.

        Returns
        -------
        junctions : dict of int to array, each (splices, width, channels)
            Values of the `kept` nodes.
        whole : dict of int to array, each (splices, length, channels)
            Values of the `whole` nodes.
        """
        given = [tables[i] for i in self._tabulated]
        indices = list(self._indices(windows, len(word)))
        if self.b.uniform:
            # One array on its way to the device instead of many small ones.
            indices = [np.concatenate(indices, 1)]
        made = self._windows(given, list(map(self.b.asarray, indices)), [self.b.asarray(word)])
        count = len(self.kept)
        junctions = dict(zip(self.kept, made[:count], strict=True))
        return junctions, dict(zip(self.whole, made[count:], strict=True))

    def _indices(self, windows: Mapping[int, Interval], count: int) -> Iterator[np.ndarray]:
        """Where everything is read, in the order in which `_run_windows` asks for it."""
        graph = self.plan.graph
        for index in self._nodes:
            node, window = graph.nodes[index], windows[index]
            positions = window.start[:, None] + np.arange(int(window.width[0]))
            yield positions
            reads = node.rule.reads(positions)
            for source in node.inputs:
                if self._spliced(source):
                    yield self._rows(graph.nodes[source].shape[0], windows.get(source), reads)
                else:
                    yield np.full((count, 1), LEFT)
        for index in self.whole:
            length = graph.nodes[index].shape[0]
            whole = np.broadcast_to(np.arange(length), (count, length))
            yield self._rows(length, windows[index], whole)

    def _spliced(self, source: int) -> bool:
        """Whether the tensor of a node is put together from both references and junctions."""
        shape = self.plan.graph.nodes[source].shape
        return source in self.plan.layout.windows or (len(shape) == 2 and shape[0] > 1)

    def _rows(self, length: int, window: Interval | None, positions: np.ndarray) -> np.ndarray:
        """Rows of what `_read` puts together, for some positions of a tensor.

        Parameters
        ----------
        length : int
            Of the tensor.
        window : Interval or None
            Its junctions; None for a tensor that does not depend on the sequence.
        positions : ndarray of int, shape (splices, positions)
        """
        index = positions.copy()
        if window is not None:
            width = int(window.width[0])
            behind = positions - window.start[:, None]
            index += np.where(behind >= width, RIGHT * length, 0)
            first = 2 * length + 1 + np.arange(len(positions))[:, None] * width
            index = np.where((behind >= 0) & (behind < width), first + behind, index)
        outside = (positions < 0) | (positions >= length)
        return np.where(outside, 2 * length, index)

    def _run_windows(
        self, tables: Sequence[Array], indices: Sequence[Array], word: Sequence[Array]
    ) -> list[Array]:
        """Junctions of the `kept` nodes, and the `whole` ones."""
        graph, last = self.plan.graph, self._last
        by_node = dict(zip(self._tabulated, tables, strict=True))
        made: dict[int, Array] = {graph.perturbed: word[0]}
        where = self._unpacked(indices[0]) if self.b.uniform else iter(indices)
        for index in self._nodes:
            node = graph.nodes[index]
            positions = next(where)
            inputs = [
                self._read(by_node[i], made.get(i), next(where), node.rule.outside)
                if self._spliced(i)
                else self.b.take(by_node[i], next(where)[:, 0], 0)
                for i in node.inputs
            ]
            made[index] = node.rule.values(self.b, self.weights[index], inputs, positions)
            for source in set(node.inputs) & made.keys():
                if last[source] == index:
                    del made[source]
        whole = [self._read(by_node[i], made[i], next(where), np.zeros) for i in self.whole]
        return [made[i] for i in self.kept] + whole

    def _unpacked(self, packed: Array) -> Iterator[Array]:
        """What `_indices` gives, which has the same widths for all splices."""
        first = 0
        for index in self._indices(self._anywhere, 1):
            width = index.shape[1]
            yield packed[:, first : first + width]
            first += width

    @property
    def _anywhere(self) -> dict[int, Interval]:
        """Windows of the first hull."""
        windows = self.plan.layout.windows.items()
        return {i: Interval(x.start[:1], x.stop[:1]) for i, x in windows}

    @property
    def _last(self) -> dict[int, int]:
        """The last node that reads the junctions of each; -1 where they are kept."""
        kept = {*self.kept, *self.whole}
        readers = self.plan.graph.consumers
        return {i: -1 if i in kept else max(readers[i], default=-1) for i in range(len(readers))}

    def _read(self, table: Array, window: Array | None, index: Array, outside: object) -> Array:
        """A tensor of the splices at some positions, shape (*index.shape, channels).

        Parameters
        ----------
        table : array, shape (2, length, channels)
        window : array, shape (splices, width, channels), or None
        index : array of int, shape (splices, positions)
            From `_rows`.
        outside : callable
            What stands outside of the tensor, by its number of channels.
        """
        channels = int(table.shape[2])
        fill = self.b.constant(outside(channels)[None])
        rows = [self.b.reshape(table, (-1, channels)), fill]
        if window is not None:
            rows.append(self.b.reshape(window, (-1, channels)))
        return self.b.rows(self.b.concatenate(rows, 0), index)

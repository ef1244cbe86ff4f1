"""Runs mutants of edits that are far apart: what each edit adds at the seam, and what is behind it.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastism.backends.base import Array, Backend
from fastism.calls.mutants import Part
from fastism.edits.hulls import by_width, distinct
from fastism.edits.listed import Edits
from fastism.edits.plan import Seam
from fastism.planning.plan import make_plan
from fastism.running.engine import Engine, whole_tensors

#: Mutants whose steps behind the seam run together.
MOST_MUTANTS = 128


class EditEngine:
    """A model that is run up to its seam for every edit, and from there on for every mutant.

    Parameters
    ----------
    seam : Seam
    backend : Backend
    memory : int
        Bytes that sums of a few mutants, and the mutants of an engine, may take.
    weights : sequence
        From `fastism.running.engine.prepare_weights`, of the graph of the seam.

    Attributes
    ----------
    most : int
        Mutants that run together behind the seam.
    """

    def __init__(self, seam: Seam, backend: Backend, memory: int, weights: Sequence[Any]) -> None:
        self.seam, self.b, self._memory, self._weights = seam, backend, memory, weights
        size = np.dtype(seam.graph.dtype).itemsize
        nodes = seam.graph.nodes
        widest = max(int(np.prod(nodes[i].shape)) for i in (*seam.nodes, *seam.steps))
        self.most = max(1, min(MOST_MUTANTS, memory // 4 // (4 * size * widest)))
        self._kept = max(2, memory // 2 // (size * seam.numbers))
        self._engines: dict[tuple[int, int], Engine] = {}
        self._behind = backend.compile(self._run_behind)
        self._references = backend.compile(self._run_references)

    def run(self, inputs: Sequence[np.ndarray], which: int, edits: Edits) -> Iterator[Part]:
        """Outputs of all mutants, whole, in the order of the outputs of the graph.

        Parameters
        ----------
        inputs : sequence of ndarray, each (sequences, *shape)
            One per model input.
        which : int
            The input that is edited.
        edits : Edits
            Those of one mutant do not act on each other before the seam.
        """
        tables = self._references([self.b.asarray(x) for x in inputs])
        split = len(self.seam.nodes)
        base = [self.b.to_numpy(y) for y in tables[:split]]
        sides = tables[split:]
        for mutants in self._chunks(edits):
            chosen = edits.some(mutants)
            sums = self._sums(inputs, which, chosen, base)
            for first in range(0, len(mutants), self.most):
                some = slice(first, first + self.most)
                given = [y[some] for y in sums]
                yield Part(mutants[some], self.finished(chosen.sequence[some], given, sides))

    def _chunks(self, edits: Edits) -> Iterator[np.ndarray]:
        """Mutants whose edits are in memory together."""
        counts = np.bincount(edits.mutant, minlength=len(edits)) + 1
        chunk = np.cumsum(counts) // self._kept
        for number in np.unique(chunk):
            yield np.flatnonzero(chunk == number)

    def _sums(
        self, inputs: Sequence[np.ndarray], which: int, edits: Edits, base: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        """What stands at the seam for every mutant, each (mutants, *shape)."""
        kinds, kind = distinct(edits)
        once = Edits(
            edits.sequence[edits.mutant[kinds]],
            np.arange(len(kinds)),
            edits.start[kinds],
            tuple(edits.replacement[i] for i in kinds),
        )
        alone = [np.zeros((len(kinds), *y.shape[1:]), y.dtype) for y in base]
        for index, mutants in by_width(inputs[which], once):
            reference, parts = self.head(mutants.width).run(inputs, mutants)
            for part in parts:
                for delta, y, before in zip(alone, part.outputs, reference, strict=True):
                    sequence = mutants.sequence[part.index]
                    delta[index[part.index]] = y - before[sequence]
        sums = []
        for delta, before in zip(alone, base, strict=True):
            total = before[edits.sequence].astype(np.float64)
            np.add.at(total, edits.mutant, delta[kind])
            sums.append(total.astype(before.dtype))
        return sums

    def head(self, width: int, alternatives: int = 1) -> Engine:
        """The model up to the seam, for edits of one width, so many at each position."""
        key = width, alternatives
        if key not in self._engines:
            head = self.seam.head
            plan = make_plan(head, width, alternatives, self.b.uniform)
            made = {
                id(node.rule): weights
                for node, weights in zip(self.seam.graph.nodes, self._weights, strict=True)
            }
            weights = [made[id(node.rule)] for node in head.nodes]
            self._engines[key] = Engine(plan, self.b, self._memory, weights)
        return self._engines[key]

    def unchanged(
        self, inputs: Sequence[np.ndarray]
    ) -> tuple[list[Array], list[np.ndarray | None]]:
        """What no edit of some sequences changes.

        Returns
        -------
        sides : list of array
            What steps behind the seam read.
        outputs : list of ndarray or None
            One per output of the graph; None for those that edits change.
        """
        graph, moving = self.seam.graph, {*self.seam.nodes, *self._computed}
        fixed = tuple(i for i in graph.outputs if i not in moving)
        if not (fixed or self.seam.sides):
            return [], [None] * len(graph.outputs)
        given = [self.b.asarray(x) for x in inputs]
        wanted = (*self.seam.sides, *fixed)
        values = whole_tensors(graph, self.b, self._weights, given, wanted)
        sides = [self.b.contiguous(values[i]) for i in self.seam.sides]
        return sides, [self.b.to_numpy(values[i]) if i in fixed else None for i in graph.outputs]

    def finished(
        self, sequence: np.ndarray, given: Sequence[np.ndarray], sides: Sequence[Array]
    ) -> list[np.ndarray | None]:
        """Outputs of some mutants, at most `most`; None for one that no edit changes.

        Parameters
        ----------
        sequence : ndarray of int, shape (mutants,)
            Which row of `sides` each mutant reads.
        given : sequence of ndarray, each (mutants, *shape)
            What stands at the nodes of the seam.
        sides : sequence of array
        """
        count = len(sequence)
        if self.b.uniform:
            # Frameworks that compile want equal shapes.
            padded = np.arange(self.most) % count
            sequence, given = sequence[padded], [y[padded] for y in given]
        arrays = [self.b.asarray(y) for y in given]
        made = self._behind(arrays, [self.b.take(y, sequence, 0) for y in sides])
        outputs = dict(zip(self._computed, made, strict=True))
        known = dict(zip(self.seam.nodes, given, strict=True))
        return [
            self.b.to_numpy(outputs[i])[:count]
            if i in outputs
            else known[i][:count]
            if i in known
            else None
            for i in self.seam.graph.outputs
        ]

    @property
    def _computed(self) -> tuple[int, ...]:
        behind = set(self.seam.steps)
        return tuple(dict.fromkeys(i for i in self.seam.graph.outputs if i in behind))

    def _run_references(self, inputs: Sequence[Array]) -> list[Array]:
        wanted = (*self.seam.nodes, *self.seam.sides)
        values = whole_tensors(self.seam.graph, self.b, self._weights, inputs, wanted)
        return [self.b.contiguous(values[i]) for i in wanted]

    def _run_behind(self, given: Sequence[Array], sides: Sequence[Array]) -> list[Array]:
        graph = self.seam.graph
        values = dict(zip((*self.seam.nodes, *self.seam.sides), (*given, *sides), strict=True))
        for index in self.seam.steps:
            node = graph.nodes[index]
            sources = [values[i] for i in node.inputs]
            values[index] = node.rule.full(self.b, self._weights[index], sources)
        return [values[i] for i in self._computed]

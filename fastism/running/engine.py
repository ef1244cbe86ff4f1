"""Runs a plan on a backend: reference pass, chunks of blocks, readouts, steps in full.

Requirements: numpy; frameworks only behind `Backend`. The engine computes no geometry.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import prod
from typing import Any

import numpy as np

from fastism.backends.base import Array, Backend, Geometry
from fastism.backends.precision import products_in
from fastism.calls.mutants import Mutants, Part
from fastism.errors import no_memory
from fastism.graph.nodes import Graph
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode
from fastism.rules import Kind, ReadsOut
from fastism.running.budget import Budget
from fastism.running.chunks import Chunk, input_edits, input_windows
from fastism.running.windows import Key, WindowRun

#: Output nodes, and the entries to keep of each.
Wanted = Sequence[tuple[int, np.ndarray | None]]


def prepare_weights(graph: Graph, backend: Backend) -> list[Any]:
    """Weights of every node as arrays of the backend."""
    return [node.rule.prepare(backend) for node in graph.nodes]


def whole_tensors(
    graph: Graph,
    b: Backend,
    weights: Sequence[Any],
    inputs: Sequence[Array],
    needed: Iterable[int],
) -> dict[int, Array]:
    """Values of nodes on whole sequences.

    Parameters
    ----------
    graph : Graph
    b : Backend
    weights : sequence
        From `prepare_weights`.
    inputs : sequence of array, each (sequences, *shape)
        One per model input.
    needed : iterable of int
        The nodes to keep; memory of others is given back as soon as it can be.
    """
    values: dict[int, Array] = dict(zip(graph.inputs, inputs, strict=True))
    kept = set(needed)
    remaining = [len(readers) for readers in graph.consumers]
    for index, node in enumerate(graph.nodes):
        if index in values:
            continue
        values[index] = node.rule.full(b, weights[index], [values[i] for i in node.inputs])
        for source in node.inputs:
            remaining[source] -= 1
            if not remaining[source] and source not in kept:
                values.pop(source, None)
    return values


@dataclass(frozen=True)
class Started:
    """Outputs of some mutants on their way to the host.

    Parameters
    ----------
    slots : ndarray of int, shape (slots,)
        Indices of mutants; -1 for an empty slot.
    filled : ndarray of int
        Which slots hold a mutant.
    copies : list of callable or None
        Per wanted output what waits for that of the mutants; None for one that does not depend on
        the input.
    """

    slots: np.ndarray
    filled: np.ndarray
    copies: list[Callable[[], np.ndarray] | None]

    def part(self) -> Part:
        """Wait for the outputs."""
        outputs = [None if copy is None else copy() for copy in self.copies]
        return Part(self.slots[self.filled], outputs)


class Engine:
    """A plan with its weights on a device.

    Parameters
    ----------
    plan : Plan
    backend : Backend
    memory : int
        Bytes that mutants may take at a time (weights and references come on top).
    weights : list, optional
        What `prepare_weights` gave for the same graph, to share it between plans.
    precision : {"float32", "tf32"}
        What factors of products of deltas are rounded to. Values, such as those of the reference
        and of dense layers on whole vectors, are never rounded: a delta may lose digits where a
        difference of two values would lose itself.
    """

    def __init__(
        self,
        plan: Plan,
        backend: Backend,
        memory: int,
        weights: list[Any] | None = None,
        precision: str = "float32",
    ) -> None:
        self.plan, self.b = plan, backend
        self.of_deltas = partial(products_in, backend.name, precision)
        self.of_values = partial(products_in, backend.name, "float32")
        self._budget, self._accelerated = Budget(plan, memory), backend.accelerated
        self._kinds: tuple[np.ndarray, Array] | None = None
        self.weights = prepare_weights(plan.graph, backend) if weights is None else weights
        self.windows: Callable[..., WindowRun] = WindowRun
        graph = plan.graph
        how = {i: graph.nodes[i].rule.reads_out for i in plan.readouts}
        # Readouts that wait for the end of a batch, the windows that wait for them, and the others.
        self._late = tuple(i for i in plan.readouts if how[i] is ReadsOut.ROWS)
        self._waiting = tuple(dict.fromkeys(graph.nodes[i].inputs[0] for i in self._late))
        self._early = tuple(i for i in plan.readouts if i not in self._late)
        self._joins = tuple(i for i in plan.readouts if how[i] is ReadsOut.JOIN)
        self._needed = self._needed_nodes()
        sides = [(i, side) for i in self._joins for side in ("left", "right")]
        self._keys: tuple[Key, ...] = (*self._needed, *sides)
        self._sides = tuple(
            i
            for i in dict.fromkeys(s for n in plan.full_steps for s in graph.nodes[n].inputs)
            if plan.steps[i].mode is Mode.REFERENCE
        )
        self._given = (*plan.readouts, *plan.rebuilt)
        self._reference = backend.compile(self._run_reference)
        self._chunk = backend.compile_chunk(self._run_chunk)
        self._full = backend.compile(self._run_full)

    # ---- reference ----------------------------------------------------------------------

    def reference(self, inputs: Sequence[np.ndarray]) -> dict[Key, Array]:
        """Full tensors of every node that later steps look at.

        Parameters
        ----------
        inputs : sequence of ndarray, each (sequences, *shape)
            One per model input.
        """
        with self.of_values():
            tables = self._reference([self.b.asarray(x) for x in inputs])
        return dict(zip(self._keys, tables, strict=True))

    @property
    def kernels(self) -> dict[int, tuple[str, ...]]:
        """By node the kernels that the backend has chosen for its weights so far."""
        names = {i: self.b.kernels_of(weights) for i, weights in enumerate(self.weights)}
        return {i: found for i, found in names.items() if found}

    @property
    def reference_bytes(self) -> int:
        """Bytes of the tables that one sequence's reference leaves behind."""
        size = np.dtype(self.plan.graph.dtype).itemsize
        return sum(prod(self.plan.graph.nodes[i].shape) for i in self._needed) * size

    def _needed_nodes(self) -> tuple[int, ...]:
        """Nodes whose reference is looked at after the reference pass."""
        graph, steps = self.plan.graph, self.plan.steps
        needed = set(graph.outputs) | set(self.plan.rebuilt) | set(self.plan.readouts)
        for index in self.plan.full_steps:
            needed.update(i for i in graph.nodes[index].inputs if steps[i].mode is Mode.REFERENCE)
        for index in (*self.plan.window_steps, *self.plan.readouts):
            step = steps[index]
            if step.consumes is Kind.RECTIFIED or step.produces in (Kind.VALUES, Kind.RECTIFIED):
                needed.add(index)
            for source in graph.nodes[index].inputs:
                made = steps[source].produces or Kind.DELTA
                if made is not step.consumes:
                    needed.add(source)
        needed.update(t.pool for t in self.plan.tails.values() if t.pool is not None)
        needed.update(graph.nodes[i].inputs[0] for i in self._joins)
        return tuple(sorted(needed))

    def _run_reference(self, inputs: Sequence[Array]) -> list[Array]:
        graph = self.plan.graph
        values = whole_tensors(graph, self.b, self.weights, inputs, self._needed)
        tables = [self.b.contiguous(values[i]) for i in self._needed]
        for index in self._joins:
            node = graph.nodes[index]
            tables.extend(node.rule.sides(self.b, values[node.inputs[0]]))
        return tables

    # ---- mutants ------------------------------------------------------------------------

    def run(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: Mapping[int, np.ndarray | None] | None = None,
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        """Outputs of the reference and of all mutants.

        Parameters
        ----------
        inputs : sequence of ndarray, each (sequences, *shape)
            One per model input, in float.
        mutants : Mutants
        select : mapping of int to (ndarray of int or None), optional
            The model outputs to keep, and which entries of each one's first axis.

        Returns
        -------
        reference : list of ndarray, each (sequences, *shape)
            In the order of `select`.
        parts : iterator of Part
            Every mutant comes once, in an order that suits the engine.
        """
        select = dict.fromkeys(range(len(self.plan.graph.outputs))) if select is None else select
        wanted = [(self.plan.graph.outputs[i], entries) for i, entries in select.items()]
        self.b.expect(self.plan.seconds(len(mutants)))
        tables = self.reference(inputs)
        reference = [self._arrived(self._selected(tables[i], e)) for i, e in wanted]
        return reference, self._parts(tables, mutants, wanted)

    def _arrived(self, x: Array) -> Any:
        """An output of the reference as `run` gives it."""
        return self.b.to_numpy(x)

    def _leaving(self, x: Array, filled: np.ndarray) -> Callable[[], Any]:
        """Begin to hand over an output of slots; what is returned gives that of those filled."""
        copy, whole = self.b.start_copy(x), len(filled) == x.shape[0]
        return copy if whole else lambda: copy()[filled]

    def _selected(self, x: Array, chosen: np.ndarray | None) -> Array:
        return x if chosen is None else self.b.take(x, chosen, 1)

    def _parts(self, tables: dict[Key, Array], mutants: Mutants, wanted: Wanted) -> Iterator[Part]:
        """Parts of all mutants; where the device has no room, again with chunks half as large."""
        left = np.arange(len(mutants))
        while len(left):
            chosen, done = mutants if len(left) == len(mutants) else mutants.some(left), []
            try:
                for part in self._landed(self._started(tables, chosen, wanted)):
                    done.append(part.index)
                    yield Part(left[part.index], part.outputs)
                return
            except Exception as error:
                if not no_memory(error):
                    raise
                self._budget.halve(error, self.b.chunk_bytes)
            # Outside of `except`, whose traceback keeps the arrays of the failed chunk alive.
            left = np.delete(left, np.concatenate(done)) if done else left

    def _started(
        self, tables: dict[Key, Array], mutants: Mutants, wanted: Wanted
    ) -> Iterator[Started]:
        for batch in self.batches(mutants):
            yield from self._run_batch(tables, mutants, batch, wanted)

    def batches(self, mutants: Mutants) -> Iterator[list[Chunk]]:
        """The chunks that mutants run in on this device, batch by batch."""
        return self._budget.batches(mutants, self.b.chunk_bytes)

    def _landed(self, started: Iterator[Started]) -> Iterator[Part]:
        """On the host; with an accelerator one behind, so that it has work meanwhile."""
        waiting: deque[Started] = deque()
        for item in started:
            waiting.append(item)
            if len(waiting) > self._accelerated:
                yield waiting.popleft().part()
        while waiting:
            yield waiting.popleft().part()

    def _run_batch(
        self,
        tables: dict[Key, Array],
        mutants: Mutants,
        batch: Sequence[Chunk],
        wanted: Wanted,
    ) -> Iterator[Started]:
        ordered = list(tables.values())
        stored = []
        for chunk, delta in zip(batch, self._deltas(mutants, batch), strict=True):
            with self.of_deltas():
                stored.append(self._chunk(ordered, self._geometry(chunk), delta))
        vectors = self._vectors(tables, batch, stored)
        for span in self._budget.spans(batch):
            yield self._finish(tables, batch, stored, vectors, span, wanted)

    def _deltas(self, mutants: Mutants, batch: Sequence[Chunk]) -> Iterator[Array]:
        """Windows of the perturbed input on the device, chunk by chunk."""
        layout = self.plan.layout
        row = layout.row_of[self.plan.graph.perturbed]
        if not self._accelerated:
            for chunk in batch:
                made = input_windows(layout, row, chunk, mutants, self.plan.graph.dtype)
                yield self.b.asarray(made)
            return
        kinds = self._kinds_there(mutants)
        edits = self.b.upload([input_edits(layout, row, chunk, mutants) for chunk in batch])
        for chunk, given in zip(batch, edits, strict=True):
            yield self.b.edit_windows(kinds, given, int(layout.widths[row, chunk.hull[0]]))

    def _kinds_there(self, mutants: Mutants) -> Array:
        """The kinds of edits as `Backend.edit_windows` wants them, copied once for all batches."""
        given, _ = mutants.kinds
        if self._kinds is None or self._kinds[0] is not given:
            between_zeros = np.pad(given, ((0, 0), (1, 1), (0, 0)))
            self._kinds = given, self.b.asarray(between_zeros)
        return self._kinds[1]

    def _geometry(self, chunk: Chunk) -> Geometry:
        layout = self.plan.layout
        offsets = layout.offsets[:, chunk.hull]
        return Geometry(
            chunk.sequence,
            layout.starts[:, chunk.hull],
            layout.widths[:, chunk.hull[0]].tolist(),
            list(offsets) if layout.uniform else offsets[:, 0].tolist(),
        )

    def _vectors(
        self, tables: dict[Key, Array], batch: Sequence[Chunk], stored: Sequence[list[Array]]
    ) -> dict[int, Array]:
        """Feature vectors ``(mutants of the batch, features)`` of every readout."""
        vectors: dict[int, Array] = {}
        for position, index in enumerate(self._early, len(self._waiting)):
            vectors[index] = self.b.concatenate([s[position] for s in stored], 0)
        for index in self._late:
            vectors[index] = self._read_rows(tables, index, batch, stored)
        return vectors

    def _read_rows(
        self,
        tables: dict[Key, Array],
        index: int,
        batch: Sequence[Chunk],
        stored: Sequence[list[Array]],
    ) -> Array:
        """What a readout at the end of a batch gives, ``(mutants of the batch, features)``."""
        node = self.plan.graph.nodes[index]
        source = node.inputs[0]
        position = self._waiting.index(source)
        with self.of_deltas():
            return node.rule.read_rows(
                self.b,
                self.weights[index],
                [s[position] for s in stored],
                [self.plan.layout.starts[self.plan.layout.row_of[source], c.hull] for c in batch],
                tables[index],
                [c.sequence for c in batch],
            )

    def _finish(
        self,
        tables: dict[Key, Array],
        batch: Sequence[Chunk],
        stored: Sequence[list[Array]],
        vectors: dict[int, Array],
        span: tuple[int, int],
        wanted: Wanted,
    ) -> Started:
        """Rebuilt tensors, steps in full and outputs of the chunks in `span`."""
        sizes = np.cumsum([0, *(chunk.slots.size for chunk in batch)])
        begin, end = int(sizes[span[0]]), int(sizes[span[1]])
        whole = begin == 0 and end == int(sizes[-1])
        given = {i: x if whole else x[begin:end] for i, x in vectors.items()}
        given |= self._rebuilt(tables, batch[span[0] : span[1]], stored[span[0] : span[1]])
        chunks = batch[span[0] : span[1]]
        sequence = np.concatenate([np.repeat(c.sequence, c.slots.shape[1]) for c in chunks])
        given |= self.in_full(tables, sequence, given)
        slots = np.concatenate([c.slots.reshape(-1) for c in chunks])
        filled = np.flatnonzero(slots >= 0)
        copies = [
            self._leaving(self._selected(given[index], chosen), filled) if index in given else None
            for index, chosen in wanted
        ]
        return Started(slots, filled, copies)

    def in_full(
        self, tables: Mapping[Key, Array], sequence: np.ndarray, given: Mapping[int, Array]
    ) -> dict[int, Array]:
        """Outputs of the model that come from steps in full.

        Parameters
        ----------
        tables : mapping of Key to array
            From `reference`.
        sequence : ndarray of int, shape (mutants,)
            Which sequence each mutant is of.
        given : mapping of int to array, each (mutants, *shape)
            Feature vectors of all readouts, and whole tensors of all nodes that are rebuilt.
        """
        if not self.plan.full_steps:
            return {}
        sides = [self.b.take(tables[i], sequence, 0) for i in self._sides]
        with self.of_values():
            computed = self._full(sides, [given[i] for i in self._given])
        return dict(zip(self._computed, computed, strict=True))

    @property
    def _computed(self) -> tuple[int, ...]:
        """Outputs of the model that are computed by steps in full."""
        full = set(self.plan.full_steps)
        return tuple(dict.fromkeys(i for i in self.plan.graph.outputs if i in full))

    def _rebuilt(
        self, tables: dict[Key, Array], chunks: Sequence[Chunk], stored: Sequence[list[Array]]
    ) -> dict[int, Array]:
        skip = len(self._waiting) + len(self._early)
        rebuilt = {}
        for position, index in enumerate(self.plan.rebuilt):
            starts = self.plan.layout.starts[self.plan.layout.row_of[index]]
            is_delta = self.plan.steps[index].produces is Kind.DELTA
            parts = [
                self.b.rebuild(
                    tables[index], c.sequence, starts[c.hull], windows[skip + position], is_delta
                )
                for c, windows in zip(chunks, stored, strict=True)
            ]
            rebuilt[index] = self.b.concatenate(parts, 0)
        return rebuilt

    def _run_full(self, sides: Sequence[Array], given: Sequence[Array]) -> list[Array]:
        """Steps in full: `sides` do not depend on the perturbation, `given` come from windows."""
        graph = self.plan.graph
        values = dict(zip((*self._sides, *self._given), (*sides, *given), strict=True))
        last = {i: max(graph.consumers[i], default=-1) for i in range(len(graph.nodes))}
        for index in self.plan.full_steps:
            node = graph.nodes[index]
            values[index] = self._step_in_full(index, [values[i] for i in node.inputs])
            for source in set(node.inputs):
                if last[source] == index and source not in graph.outputs:
                    del values[source]
        return [values[i] for i in self._computed]

    def _step_in_full(self, index: int, sources: Sequence[Array]) -> Array:
        """The whole tensor of one node."""
        return self.plan.graph.nodes[index].rule.full(self.b, self.weights[index], sources)

    # ---- windows ------------------------------------------------------------------------

    def _run_chunk(self, tables: Sequence[Array], geometry: Geometry, delta: Array) -> list[Array]:
        """All window steps of one chunk.

        Returns
        -------
        list of array
            Delta windows for dense layers after Flatten; vectors ``(mutants, channels)`` of
            global pooling; windows to rebuild, in the kind their step produces.
        """
        by_key = dict(zip(self._keys, tables, strict=True))
        run = self.windows(self.plan, self.b, self.weights, by_key, geometry, delta)
        for index in self.plan.window_steps:
            run.step(index)
        waiting = [run.window(i, Kind.DELTA) for i in self._waiting]
        early = [run.read(i) for i in self._early]
        return waiting + early + [run.stored(i) for i in self.plan.rebuilt]

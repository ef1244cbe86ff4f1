"""The window steps of one chunk: from the delta of the input to what the readouts need.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastism.backends.base import Array, Backend, Geometry
from fastism.backends.epilogue import Epilogue, Pooling
from fastism.planning.fuse import Tail
from fastism.planning.plan import Plan
from fastism.rules import Kind, ReadoutCall, WindowCall

#: A node, or a node and the side of what it gathers beside each position.
Key = int | tuple[int, str]


class WindowRun:
    """Windows of one chunk while its steps run.

    Parameters
    ----------
    plan : Plan
    b : Backend
    weights : sequence
        What `Rule.prepare` gave for every node.
    tables : dict of Key to array
        Reference tensors, ``(sequences, length, channels)``.
    geometry : Geometry
    delta : array
        Window of the perturbed input.
    """

    def __init__(
        self,
        plan: Plan,
        b: Backend,
        weights: Sequence[Any],
        tables: dict[Key, Array],
        geometry: Geometry,
        delta: Array,
    ) -> None:
        self.plan, self.b, self.weights = plan, b, weights
        self.tables, self.geometry = tables, geometry
        self.windows: dict[int, dict[Kind, Array]] = {
            self.plan.graph.perturbed: {Kind.DELTA: delta}
        }

    def step(self, index: int) -> None:
        """Compute the window of one node, or of the last one of what runs in the same pass."""
        tail = self.plan.tails.get(index)
        call = self._call(index, tail)
        made = self.plan.graph.nodes[index].rule.window(self.b, self.weights[index], call)
        if tail is None:
            self.windows[index] = {self.plan.steps[index].produces: made}
        else:
            self.windows[tail.end] = {Kind.DELTA: made}

    def _call(self, index: int, tail: Tail | None) -> WindowCall:
        """What the rule of a node gets for its own window and for its tail."""
        node, step = self.plan.graph.nodes[index], self.plan.steps[index]
        accumulated = node.rule.accumulates and step.consumes is Kind.DELTA and tail is None
        return WindowCall(
            [self._input(index, argument) for argument in range(len(node.inputs))],
            step.consumes,
            self._width(index),
            [self._offset(index, argument) for argument in range(len(node.inputs))],
            self._term(index, step.produces) if accumulated else None,
            step.reuse,
            [self.plan.graph.nodes[i].shape[-1] for i in node.inputs],
            lambda: self._reference(index),
            lambda table: self._lookup(table, index, self.geometry.sequence * 0),
            None if tail is None else self._epilogue(index, tail),
        )

    def _epilogue(self, index: int, tail: Tail) -> Epilogue:
        """The tail of a convolution with the windows that it needs."""
        reference = self._reference(index)
        if tail.pool is not None:
            return Epilogue(reference, pooling=self._pooling(tail.pool))
        if tail.total is None:
            return Epilogue(reference)
        sources = self.plan.graph.nodes[tail.total].inputs
        argument = 1 - sources.index(tail.relu)
        last = self.plan.steps[tail.total].reuse[argument]
        residual = self.window(sources[argument], Kind.DELTA, last)
        return Epilogue(reference, residual, self._offset(tail.total, argument))

    def _pooling(self, index: int) -> Pooling:
        """The max pool `index`, to be taken with the convolution before it."""
        rule, sign = self.plan.graph.nodes[index].rule, self.weights[index]
        where = self._offset(index, 0), self._width(index)
        return Pooling(rule.size, rule.stride, sign, *where, self._reference(index))

    def _input(self, index: int, argument: int) -> Array | None:
        """What a node reads as one of its arguments; None for a delta of zero."""
        step, source = self.plan.steps[index], self.plan.graph.nodes[index].inputs[argument]
        if source in self.windows:
            return self.window(source, step.consumes, last=step.reuse[argument])
        return self._side(source, index) if step.consumes is Kind.VALUES else None

    def _offset(self, index: int, argument: int) -> Any:
        """Where that argument is placed; None where there is nothing to move."""
        placed = self.plan.layout.placement_of.get((index, argument))
        return None if placed is None else self.geometry.offsets[placed]

    def window(self, index: int, kind: Kind, last: bool = False) -> Array:
        """The window of `index` as `kind`; if `last`, its memory may be taken."""
        kinds = self.windows[index]
        if kind not in kinds:
            have, x = next(iter(kinds.items()))
            add, subtract = self._term(index, kind), self._term(index, have)
            if add is None:
                term = -subtract
            else:
                term = add if subtract is None else add - subtract
            kinds[kind] = self.b.add_reference(x, term, reuse=last)
        made = kinds[kind]
        if last:
            del self.windows[index]
        return made

    def stored(self, index: int) -> Array:
        """The window of `index` in the kind its step produces."""
        return self.windows[index][self.plan.steps[index].produces or Kind.DELTA]

    def read(self, index: int) -> Array:
        """The vectors that a readout reads from its window, ``(mutants, features)``."""
        node = self.plan.graph.nodes[index]
        source = node.inputs[0]
        call = ReadoutCall(
            self.window(source, self.plan.steps[index].consumes),
            self._length(source),
            lambda: self._vectors(index),
            lambda: self._beside(index, source),
        )
        vectors = node.rule.read_window(self.b, self.weights[index], call)
        return self.b.reshape(vectors, (-1, node.shape[0]))

    def _vectors(self, index: int) -> Array:
        """What a readout gives for the reference of every block, ``(blocks, features)``."""
        return self.b.take(self.tables[index], self.geometry.sequence, 0)

    def _beside(self, index: int, source: int) -> Array:
        """What the readout gathers of the reference left and right of the window of `source`."""
        row, geometry, b = self.plan.layout.row_of[source], self.geometry, self.b
        start = geometry.starts[row]
        left = b.lookup(self.tables[index, "left"], geometry.sequence, start, 1)
        stop = start + geometry.widths[row]
        right = b.lookup(self.tables[index, "right"], geometry.sequence, stop, 1)
        return self.plan.graph.nodes[index].rule.joined(b, left, right)[0]

    def _length(self, index: int) -> int:
        return self.plan.graph.nodes[index].shape[0]

    def _width(self, index: int) -> Any:
        return self.geometry.widths[self.plan.layout.row_of[index]]

    def _lookup(self, table: Array, index: int, sequence: Any) -> Array:
        """Windows of `table` where node `index` has its windows."""
        row = self.plan.layout.row_of[index]
        return self.b.lookup(table, sequence, self.geometry.starts[row], self.geometry.widths[row])

    def _reference(self, index: int) -> Array:
        return self._lookup(self.tables[index], index, self.geometry.sequence)

    def _term(self, index: int, kind: Kind) -> Array | None:
        """What `kind` adds to the delta of node `index`."""
        if kind is Kind.DELTA:
            return None
        reference = self._reference(index)
        return reference if kind is Kind.VALUES else self.b.function("negative_part", reference)

    def _side(self, source: int, index: int) -> Array:
        """Reference window of an input that does not depend on the perturbation."""
        table = self.tables[source]
        while len(table.shape) < 3:
            table = table[:, None]
        length = self._length(index)
        if table.shape[1] != length:
            sequences, _, channels = self.b.shape(table)
            table = self.b.broadcast(table, (sequences, length, channels))
        return self._lookup(table, index, self.geometry.sequence)

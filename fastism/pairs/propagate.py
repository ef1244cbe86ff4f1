"""From the windows of inputs to those of all nodes, for one block or one tile.

Requirements: numpy; frameworks only behind `Backend`.

Both the deltas of single edits and the interactions of two are differences to a *prediction*: to
the reference, or to the reference plus both deltas. One piece of code carries them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastism.backends.base import Array, Backend
from fastism.backends.epilogue import JointEpilogue
from fastism.graph import Graph
from fastism.pairs.windows import Joint, Roles
from fastism.rules import Kind, WindowCall

#: Half-open.
Window = tuple[int, int]


@dataclass(frozen=True)
class Geometry:
    """The windows of one block or tile; see `Joint`. Nodes without a window are left out."""

    windows: Mapping[int, Window]
    reads: Mapping[tuple[int, int], Window]
    offsets: Mapping[tuple[int, int], int]


def geometries(joint: Joint) -> list[Geometry]:
    """The geometry of every tile of `joint`."""
    tiles = max(len(span.start) for span in joint.windows.values())

    def listed(spans: Mapping[Any, Any]) -> list[dict[Any, Window]]:
        made: list[dict[Any, Window]] = [{} for _ in range(tiles)]
        for key, span in spans.items():
            for tile, window in enumerate(
                zip(span.start.tolist(), span.stop.tolist(), strict=True)
            ):
                if window[1] > window[0]:
                    made[tile][key] = window
        return made

    offsets = {key: np.broadcast_to(x, tiles).tolist() for key, x in joint.offsets.items()}
    return [
        Geometry(windows, reads, {key: x[tile] for key, x in offsets.items()})
        for tile, (windows, reads) in enumerate(
            zip(listed(joint.windows), listed(joint.reads), strict=True)
        )
    ]


@dataclass(frozen=True)
class Model:
    """A graph with its weights and the reference of one sequence.

    Parameters
    ----------
    graph : Graph
    roles : Roles
    b : Backend
    weights : sequence
        From `fastism.running.engine.prepare_weights`.
    tables : mapping of int to array, each (1, *shape)
        Values of the sequence, of all nodes on windows and all that they read.
    """

    graph: Graph
    roles: Roles
    b: Backend
    weights: Sequence[Any]
    tables: Mapping[int, Array]

    def reference(self, index: int, window: Window) -> Array:
        """Values of a node on a window, ``(width, 1, 1, channels)``."""
        start, stop = window
        return self.tables[index][0, start:stop][:, None, None]

    def side(self, source: int, index: int, window: Window) -> Array:
        """What node `index` reads, on its own window, of one that no edit changes."""
        table = self.tables[source]
        while len(table.shape) < 3:
            table = table[:, None]
        if table.shape[1] != self.graph.nodes[index].shape[0]:
            width = window[1] - window[0]
            return self.b.broadcast(table[0][:, None, None], (width, 1, 1, table.shape[2]))
        return table[0, window[0] : window[1]][:, None, None]


class Propagation:
    """Windows of all nodes while they are made.

    Parameters
    ----------
    model : Model
    geometry : Geometry
    predicted : callable
        ``predicted(node, window)`` is what the window would hold without what is carried here,
        ``(width, blocks, mutants, channels)`` or less where it can be stretched to that.
    deltas : dict of int to array
        Known from the start: of the perturbed input, or nothing.
    alone : callable, optional
        ``alone(node, window)`` is what either edit adds to the reference, where interactions are
        carried. Without it nodes give deltas only. With it windows are let go behind their last
        reader, so that others get their memory while it is still in the caches.

    Attributes
    ----------
    deltas : dict of int to array, each (width, blocks, mutants, channels)
        Differences to the prediction, by node; those that are zero have none. Of `Roles.totals`
        it may be the total over all positions, as a window of one.
    """

    def __init__(
        self,
        model: Model,
        geometry: Geometry,
        predicted: Callable[[int, Window], Array],
        deltas: dict[int, Array],
        alone: Callable[[int, Window], tuple[Array, Array]] | None = None,
    ) -> None:
        self.model, self.geometry, self.predicted = model, geometry, predicted
        self.deltas, self._alone = deltas, alone
        self._gives_values = frozenset() if alone is None else model.roles.values
        self._values: dict[int, Array] = {}
        self._passed: set[int] = set()

    def run(self) -> dict[int, Array]:
        """Make all windows; `deltas`."""
        for index in self.model.roles.nodes:
            made = index in self.deltas or index in self._passed
            if index in self.geometry.windows and not made:
                if index in self.model.roles.tails and index in self._gives_values:
                    self._joined(index)
                else:
                    self._step(index)
                if self._alone is not None:
                    self._let_go(index)
        return self.deltas

    def _let_go(self, index: int) -> None:
        """Forget the windows that this node is the last one to read."""
        for source in self.model.graph.nodes[index].inputs:
            if self.model.roles.last_reader.get(source) == index:
                self.deltas.pop(source, None)
                self._values.pop(source, None)

    def _joined(self, index: int) -> None:
        """A convolution, its ReLU and perhaps a residual sum in one pass."""
        graph, windows, b = self.model.graph, self.geometry.windows, self.model.b
        tail, window, rule = self.model.roles.tails[index], windows[index], graph.nodes[index].rule
        source = graph.nodes[index].inputs[0]
        residual, offset = None, 0
        adds = tail.total is not None and windows[tail.total] == window
        if adds:
            (other,) = {*graph.nodes[tail.total].inputs} - {tail.relu} or {tail.relu}
            residual = self.deltas.get(other)
            offset = 0 if residual is None else windows[other][0] - window[0]
        end = tail.total if adds else tail.relu
        made = b.joint_overlap_add(
            self.deltas.get(source),
            self.model.weights[index][2],
            rule.dilation,
            self.geometry.offsets[index, 0],
            window[1] - window[0],
            JointEpilogue(
                self.model.reference(index, window),
                *self._alone(index, window),
                residual,
                offset,
                end in self.model.roles.totals,
            ),
        )
        self._passed.update((index, tail.relu))
        self.deltas[end] = made

    def _step(self, index: int) -> None:
        node, window = self.model.graph.nodes[index], self.geometry.windows[index]
        nonlinear, gives_values = index in self.model.roles.nonlinear, index in self._gives_values
        if nonlinear:
            inputs = [self._value(index, k) for k in range(len(node.inputs))]
            made = self._called(index, inputs, Kind.VALUES)
            if gives_values:
                self._values[index] = made
            else:
                self.deltas[index] = made - self.predicted(index, window)
            return
        inputs = [self.deltas.get(source) for source in node.inputs]
        made = None
        if any(x is not None for x in inputs):
            made = self._called(index, inputs, Kind.DELTA)
        if gives_values:
            base = self.predicted(index, window)
            self._values[index] = base if made is None else made + base
        elif made is not None:
            self.deltas[index] = made

    def _called(self, index: int, inputs: Sequence[Array | None], kind: Kind) -> Array:
        graph, (start, stop) = self.model.graph, self.geometry.windows[index]
        node = graph.nodes[index]
        offsets = [
            None if x is None else self.geometry.offsets.get((index, k))
            for k, x in enumerate(inputs)
        ]
        call = WindowCall(
            inputs,
            kind,
            stop - start,
            offsets,
            None,
            [False] * len(inputs),
            [graph.nodes[i].shape[-1] for i in node.inputs],
            lambda: self.model.reference(index, (start, stop)),
            lambda table: table[0, start:stop][:, None, None],
        )
        return node.rule.window(self.model.b, self.model.weights[index], call)

    def _value(self, index: int, argument: int) -> Array:
        """What a nonlinear node reads as one of its inputs."""
        source = self.model.graph.nodes[index].inputs[argument]
        read = self.geometry.reads.get((index, argument))
        if read is None:
            return self.model.side(source, index, self.geometry.windows[index])
        return self.value(source, read)

    def value(self, source: int, read: Window) -> Array:
        """Values of a node on a window: prediction plus difference."""
        if source in self._values:
            first = self.geometry.windows[source][0]
            return self._values[source][read[0] - first : read[1] - first]
        values = self.predicted(source, read)
        if source in self.deltas:
            offset = self.geometry.windows[source][0] - read[0]
            values = values + self.model.b.place(self.deltas[source], offset, read[1] - read[0])
        return values

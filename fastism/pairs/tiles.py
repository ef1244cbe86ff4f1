"""One tile: every pair of an edit of one block and an edit of another.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial, reduce

from fastism.backends.base import Array
from fastism.graph import Graph
from fastism.pairs.propagate import Geometry, Model, Propagation, Window
from fastism.pairs.singles import Singles, is_flatten, mean_factor
from fastism.rules import Joining, ReadsOut


@dataclass(frozen=True)
class Tile:
    """What is known of a tile before its dense layers and its steps in full run.

    Parameters
    ----------
    first, second : Singles
    flat : dict of int to (start, array (width, first, second, channels))
        Interactions that a dense layer after Flatten reads, by the node that has them.
    vectors : dict of int to array, each (first * second, features)
        Of global pools.
    rebuilt : dict of int to array, each (first * second, length, channels)
        Whole tensors.
    """

    first: Singles
    second: Singles
    flat: dict[int, tuple[int, Array]]
    vectors: dict[int, Array]
    rebuilt: dict[int, Array]

    def __len__(self) -> int:
        return len(self.first) * len(self.second)


@dataclass(frozen=True)
class Ends:
    """Where windows end.

    Parameters
    ----------
    flattened : tuple of int
        Nodes that a dense layer after Flatten reads.
    pools : tuple of int
        Pools over all positions.
    rebuilt : tuple of int
        Nodes that become whole tensors.
    """

    flattened: tuple[int, ...]
    pools: tuple[int, ...]
    rebuilt: tuple[int, ...]


def find_ends(graph: Graph, readouts: Sequence[int], rebuilt: Sequence[int]) -> Ends:
    """The ends of the windows of a plan."""
    nodes = graph.nodes
    flat = [nodes[i].inputs[0] for i in readouts if is_flatten(nodes[i].rule)]
    pools = tuple(i for i in readouts if not is_flatten(nodes[i].rule))
    return Ends(tuple(dict.fromkeys(flat)), pools, tuple(rebuilt))


class TileRun:
    """Runs the windows of one tile.

    Parameters
    ----------
    model : Model
    geometry : Geometry
        From `fastism.pairs.windows.joint_windows`.
    first, second : Singles
    """

    def __init__(self, model: Model, geometry: Geometry, first: Singles, second: Singles) -> None:
        self.model, self.geometry = model, geometry
        self.first, self.second = first, second
        self._propagation = Propagation(model, geometry, self.predicted, {}, self.alone)

    def run(self, ends: Ends) -> Tile:
        """All that the ends of the windows need."""
        deltas = self._propagation.run()
        flat = {i: (self.geometry.windows[i][0], deltas[i]) for i in ends.flattened if i in deltas}
        vectors = {i: self._pooled(i) for i in ends.pools}
        rebuilt = {i: self._rebuilt(i) for i in ends.rebuilt}
        return Tile(self.first, self.second, flat, vectors, rebuilt)

    def alone(self, index: int, window: Window) -> tuple[Array, Array]:
        """Both deltas, ``(width, first, 1, channels)`` and ``(width, 1, second, channels)``."""
        return self._delta(0, index, window), self._delta(1, index, window)

    def _delta(self, side: int, index: int, window: Window) -> Array:
        """Of the first or the second block, with an axis for the edits of the other one."""
        singles, (start, stop) = (self.first, self.second)[side], window
        delta = singles.deltas[index]
        width, edits, channels = delta.shape
        shape = (width, 1, edits, channels) if side else (width, edits, 1, channels)
        wide = self.model.b.reshape(delta, shape)
        return self.model.b.place(wide, singles.windows[index][0] - start, stop - start)

    def predicted(self, index: int, window: Window) -> Array:
        """Reference plus both deltas, ``(width, first, second, channels)``."""
        start, stop = window
        made = self.model.reference(index, window)
        for side, singles in enumerate((self.first, self.second)):
            begin, end = singles.windows[index]
            if begin < stop and start < end:
                made = made + self._delta(side, index, window)
        shape = (stop - start, len(self.first), len(self.second), made.shape[3])
        return made if tuple(made.shape) == shape else self.model.b.broadcast(made, shape)

    def _rebuilt(self, index: int) -> Array:
        length, channels = self.model.graph.nodes[index].shape
        values = self._propagation.value(index, (0, length))
        return self.model.b.reshape(
            self.model.b.transpose(values, (1, 2, 0, 3)), (-1, length, channels)
        )

    def _pooled(self, index: int) -> Array:
        """A pool over all positions, ``(first * second, channels)``."""
        node, b = self.model.graph.nodes[index], self.model.b
        if node.rule.reads_out is ReadsOut.JOIN:
            return b.reshape(self._joined(node.rule, node.inputs[0], index), (-1, node.shape[0]))
        delta = self._propagation.deltas.get(node.inputs[0])
        made = added(self.first, self.second, index, self.model.tables[index])
        if delta is not None:
            made = made + b.sum(delta, 0) * mean_factor(self.model, index)
        return b.reshape(made, (-1, node.shape[0]))

    def _joined(self, rule: Joining, source: int, index: int) -> Array:
        """What is gathered of where both, one, and none of the edits reach, joined."""
        b, shared = self.model.b, self.geometry.reads.get((index, 0))
        windows = [singles.windows[source] for singles in (self.first, self.second)]
        found = []
        for window in _outside((0, self.model.graph.nodes[source].shape[0]), windows):
            found.append(rule.gathered(b, self.model.reference(source, window), 0))
        for side, singles in enumerate((self.first, self.second)):
            begin, _ = windows[side]
            for start, stop in _outside(windows[side], [shared] if shared else []):
                delta = singles.deltas[source][start - begin : stop - begin]
                values = self.model.reference(source, (start, stop))[:, :, 0] + delta
                most = rule.gathered(b, values, 0)
                found.append(most[None] if side else most[:, None])
        if shared:
            found.append(rule.gathered(b, self._propagation.value(source, shared), 0))
        made = reduce(partial(rule.joined, b), found)
        shape = (len(self.first), len(self.second), made.shape[2])
        return b.broadcast(made, shape)


def added(first: Singles, second: Singles, index: int, reference: Array) -> Array:
    """A linear readout of all pairs without their interactions, ``(first, second, features)``."""
    return first.vectors[index][:, None] + (second.vectors[index] - reference)[None]


def _outside(whole: Window, windows: Sequence[Window]) -> list[Window]:
    """What is left of an interval without some others."""
    left, pieces = whole[0], []
    for start, stop in sorted(windows):
        if start > left:
            pieces.append((left, min(start, whole[1])))
        left = max(left, stop)
    if left < whole[1]:
        pieces.append((left, whole[1]))
    return pieces

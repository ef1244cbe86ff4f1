"""From tiles to outputs: dense layers after Flatten, steps in full, and copies to the host.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from fastism.backends.base import Array
from fastism.pairs.propagate import Model
from fastism.pairs.result import PairPart
from fastism.pairs.singles import is_flatten
from fastism.pairs.tiles import Ends, Tile, added
from fastism.running.engine import Engine, Wanted

#: Pairs whose steps in full run together: enough that reading weights does not count.
MOST_PAIRS = 2048


@dataclass(frozen=True)
class Kept:
    """Which of the pairs of a tile are wanted.

    Parameters
    ----------
    position : ndarray of int, shape (edits,)
        Of each edit.
    leading : (int, int)
        Where the position of the first edit lies, half-open.
    """

    position: np.ndarray
    leading: tuple[int, int]

    def __call__(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Whether each pair is wanted: in this order only, and at two positions."""
        one, other = self.position[first], self.position[second]
        return (one < other) & (one >= self.leading[0]) & (one < self.leading[1])


class Finisher:
    """Collects tiles, and gives their outputs a few thousand pairs at a time.

    Parameters
    ----------
    engine : Engine
    model : Model
    ends : Ends
    wanted : sequence of (int, ndarray of int or None)
    kept : Kept
    memory : int
        Bytes that vectors and whole tensors of the pairs may take.
    """

    def __init__(
        self,
        engine: Engine,
        model: Model,
        ends: Ends,
        wanted: Wanted,
        kept: Kept,
        memory: int,
    ) -> None:
        self._engine, self._model, self._ends = engine, model, ends
        self._wanted, self._kept = wanted, kept
        plan, nodes = engine.plan, engine.plan.graph.nodes
        numbers = sum(prod(nodes[i].shape) for i in (*plan.readouts, *plan.rebuilt))
        size = np.dtype(plan.graph.dtype).itemsize
        self._in_full = max(min(memory // 4 // plan.full_bytes, MOST_PAIRS), 1)
        self._most = max(min(memory // 4 // max(2 * numbers * size, 1), MOST_PAIRS), 1)
        self._tiles: list[Tile] = []
        self._count = 0

    def add(self, tile: Tile) -> None:
        """Take another tile."""
        self._tiles.append(tile)
        self._count += len(tile)

    @property
    def is_full(self) -> bool:
        """Whether it is time to flush."""
        return self._count >= self._most

    def flush(self) -> Iterator[PairPart]:
        """Outputs of all pairs that were collected."""
        tiles, self._tiles, self._count = self._tiles, [], 0
        if not tiles:
            return
        outputs = self._outputs(tiles)
        pairs = [np.meshgrid(t.first.edits, t.second.edits, indexing="ij") for t in tiles]
        first, second = (np.concatenate([pair[i].reshape(-1) for pair in pairs]) for i in (0, 1))
        kept = self._kept(first, second)
        if kept.all():
            yield PairPart(first, second, outputs)
        else:
            outputs = [None if y is None else y[kept] for y in outputs]
            yield PairPart(first[kept], second[kept], outputs)

    def _outputs(self, tiles: list[Tile]) -> list[np.ndarray | None]:
        b, wanted = self._model.b, self._wanted
        with self._engine.of_deltas():
            given = self._engine.b.compile(self._given)(tiles)
        count, parts = sum(map(len, tiles)), []
        for first in range(0, count, self._in_full):
            last = min(first + self._in_full, count)
            some = {i: x[first:last] for i, x in given.items()}
            which = np.zeros(last - first, dtype=np.int64)
            some |= self._engine.in_full(self._model.tables, which, some)
            parts.append([self._selected(some, index, chosen) for index, chosen in wanted])
        made = []
        for column in zip(*parts, strict=True):
            made.append(
                None if column[0] is None else np.concatenate([b.to_numpy(y) for y in column])
            )
        return made

    def _selected(
        self, given: Mapping[int, Array], index: int, chosen: np.ndarray | None
    ) -> Array | None:
        if index not in given:
            return None
        return given[index] if chosen is None else self._model.b.take(given[index], chosen, 1)

    def _given(self, tiles: list[Tile]) -> dict[int, Array]:
        """Feature vectors of all readouts, and whole tensors."""
        b, graph = self._model.b, self._model.graph
        given = {}
        for index in self._engine.plan.readouts:
            if is_flatten(graph.nodes[index].rule):
                given[index] = self._flatten_dense(tiles, index)
            else:
                given[index] = b.concatenate([tile.vectors[index] for tile in tiles], 0)
        for index in self._ends.rebuilt:
            given[index] = b.concatenate([tile.rebuilt[index] for tile in tiles], 0)
        return given

    def _flatten_dense(self, tiles: list[Tile], index: int) -> Array:
        """A dense layer after Flatten of all pairs, ``(pairs, features)``."""
        b, node = self._model.b, self._model.graph.nodes[index]
        reference, source = self._model.tables[index], node.inputs[0]
        near = [tile for tile in tiles if source in tile.flat]
        interactions = self._interactions(near, index, source) if near else None
        done, made = 0, []
        for tile in tiles:
            if source not in tile.flat:
                rows = added(tile.first, tile.second, index, reference)
            else:
                part = interactions[done : done + len(tile)]
                done += len(tile)
                part = b.reshape(part, (len(tile.first), len(tile.second), -1))
                rows = part + (tile.second.vectors[index] - reference)[None]
            made.append(b.reshape(rows, (len(tile), -1)))
        return b.concatenate(made, 0)

    def _interactions(self, near: list[Tile], index: int, source: int) -> Array:
        """What first edits and interactions give, ``(pairs of these tiles, features)``."""
        table = self._model.b.concatenate([tile.first.vectors[index] for tile in near], 0)
        ends = np.cumsum([len(tile.first) for tile in near])
        sequences = [np.arange(e - len(t.first), e) for t, e in zip(near, ends, strict=True)]
        starts = [np.full(len(tile.first), tile.flat[source][0]) for tile in near]
        windows = [tile.flat[source][1] for tile in near]
        kernel = self._model.weights[index][0]
        return self._model.b.flatten_dense(windows, starts, kernel, table, sequences)

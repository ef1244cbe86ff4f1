"""Runs splices: two reference passes, a chimera for every block of splices, deltas to that.

Requirements: numpy; frameworks only behind `Backend`.

Splices whose words begin at neighbouring positions form a block, as edits do (see
`fastism.planning.layout`). Left of the block's window all of them are the sequence on the left, and
right of it the sequence on the right. So is the *chimera* of the block, which goes over from one to
the other at an end of the block: its values in the windows are computed once
(`fastism.scans.junctions`), and the splices run as mutants of it, on deltas. Two neighbouring
blocks share the chimera that goes over where they meet.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np

from fastism.backends.base import Array, Backend
from fastism.calls.mutants import Mutants, Part
from fastism.intervals import Interval, uniform
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode
from fastism.running.chunks import Chunk
from fastism.running.engine import Engine, Started, Wanted
from fastism.running.windows import Key, WindowRun
from fastism.scans.junctions import LEFT, Junctions
from fastism.scans.readouts import JoinReadout, Readout, make_readout
from fastism.scans.splices import Splices

#: Chimeras run together in so many times the memory of a chunk.
SHARE = 4


@dataclass(frozen=True)
class Sides:
    """Both sequences of some splices, and what the model makes of them.

    Parameters
    ----------
    splices : Splices
    tables : mapping of int to array, each (2, *shape)
        From `Junctions.references`.
    readouts : mapping of int to Readout
    """

    splices: Splices
    tables: Mapping[int, Array]
    readouts: Mapping[int, Readout]


@dataclass(frozen=True)
class Chimeras:
    """What the model makes of some chimeras.

    Parameters
    ----------
    number : ndarray of int, shape (chimeras,)
        Ascending.
    windows : dict of int to Interval
        Of every node with windows, of one width per node: they hold those of all blocks.
    values : dict of int to array, each (chimeras, width, channels)
        There.
    whole : dict of int to array, each (chimeras, length, channels)
        Tensors that are rebuilt.
    vectors : dict of int to array, each (chimeras, features)
        Of readouts.
    """

    number: np.ndarray
    windows: dict[int, Interval]
    values: dict[int, Array]
    whole: dict[int, Array]
    vectors: dict[int, Array]


class ChimeraRun(WindowRun):
    """Windows of a chunk in which every block has a reference of its own.

    Tables are those of the blocks: windows ``(blocks, width, channels)``, vectors and what
    is gathered beside windows ``(blocks, features)``.
    """

    def _reference(self, index: int) -> Array:
        made = self.b.transpose(self.tables[index], (1, 0, 2))[:, :, None]
        return self.b.contiguous(made)

    def _vectors(self, index: int) -> Array:
        return self.tables[index]

    def _beside(self, index: int, source: int) -> Array:
        return self.tables[index, "left"][:, None]


class SpliceEngine(Engine):
    """Runs splices of two sequences through a model.

    Parameters
    ----------
    plan : Plan
        For edits as wide as the words at the junctions, one at every position.
    backend : Backend
    memory : int
        Bytes that mutants may take at a time.
    weights : list
        What `prepare_weights` gave for the plan's graph.
    """

    def __init__(self, plan: Plan, backend: Backend, memory: int, weights: list[Any]) -> None:
        super().__init__(plan, backend, memory, weights)
        graph = plan.graph
        self.windows = ChimeraRun
        windowed = [i for i in self._needed if i in plan.layout.row_of]
        sides = {i for n in plan.window_steps for i in graph.nodes[n].inputs}
        sides = sorted(i for i in sides if plan.steps[i].mode is Mode.REFERENCE)
        self._keys = (*windowed, *sides, *self._early, *((i, "left") for i in self._joins))
        waiting = dict.fromkeys(graph.nodes[i].inputs[0] for i in plan.readouts)
        kept = tuple(dict.fromkeys((*windowed, *waiting)))
        self._junctions = Junctions(plan, backend, weights, kept, plan.rebuilt)
        size = np.dtype(graph.dtype).itemsize
        widest = {i: int(x.width.max()) for i, x in plan.layout.windows.items()}
        each = sum(widest[i] * graph.nodes[i].shape[1] for i in kept)
        each += sum(prod(graph.nodes[i].shape) for i in plan.rebuilt)
        room = min(SHARE * backend.chunk_bytes, memory // 4)
        #: How many chimeras run together.
        self._most = max(room // (each * size), 1)
        # By hull the number of its chimera, and by chimera where it goes over. Where shapes must
        # be equal, every block has its own: how many are shared differs from chunk to chunk.
        hulls = np.arange(len(plan.layout.firsts))
        self._number = hulls if backend.uniform else hulls // 2
        meet = plan.layout.firsts if backend.uniform else plan.layout.firsts[1::2]
        self._cuts = np.append(meet, plan.layout.firsts[-1])

    def splices(
        self,
        others: Sequence[np.ndarray | None],
        splices: Splices,
        select: Mapping[int, np.ndarray | None],
    ) -> Iterator[Part]:
        """Outputs of all splices.

        Parameters
        ----------
        others : sequence of (ndarray, shape (*shape,)) or None
            The model's inputs; None where the spliced sequence goes.
        splices : Splices
            With words of the width that the plan is for.
        select : mapping of int to (ndarray of int or None)
            The model outputs to keep, and which entries of each one's first axis.

        Yields
        ------
        Part
            Every splice comes once. Outputs that do not depend on the sequence come, too.
        """
        tables = self._junctions.references(others, splices.left, splices.right)
        sides = Sides(splices, tables, {i: self._readout(tables, i) for i in self.plan.readouts})
        wanted = [(self.plan.graph.outputs[i], entries) for i, entries in select.items()]
        # Their deltas are those to chimeras: `_chunk_deltas`.
        every = np.zeros(len(splices), np.int64), splices.start, splices.word, splices.word
        for part in self._parts(sides, Mutants(*every), wanted):
            outputs = [
                self._unchanged(tables[node], entries, len(part.index)) if y is None else y
                for y, (node, entries) in zip(part.outputs, wanted, strict=True)
            ]
            yield Part(part.index, outputs)

    def _readout(self, tables: Mapping[int, Array], index: int) -> Readout:
        node = self.plan.graph.nodes[index]
        return make_readout(self.b, node.rule, self.weights[index], tables[node.inputs[0]])

    def _unchanged(self, table: Array, entries: np.ndarray | None, count: int) -> np.ndarray:
        """An output that does not depend on the sequence, once per mutant."""
        row = self.b.to_numpy(self._selected(table[: LEFT + 1], entries))
        return np.repeat(row, count, 0)

    # ---- batches -----------------------------------------------------------------------------

    def _run_batch(
        self, sides: Sides, mutants: Mutants, batch: Sequence[Chunk], wanted: Wanted
    ) -> Iterator[Started]:
        batch = sorted(batch, key=lambda chunk: int(chunk.hull[0]))
        stored, made, numbered = [], [], []
        for chunks in self._groups(batch):
            chimeras = self._chimeras(sides, np.concatenate([c.hull for c in chunks]))
            before = sum(len(x.number) for x in made)
            made.append(chimeras)
            for chunk in chunks:
                rows = self._rows(chimeras, chunk)
                numbered.append(replace(chunk, sequence=before + rows))
                given = self._tables_of(sides, chimeras, chunk, rows)
                delta = self.b.asarray(self._chunk_deltas(sides, mutants, chunk))
                geometry = replace(self._geometry(chunk), sequence=0 * chunk.sequence)
                stored.append(self._chunk(given, geometry, delta))
        tables = dict(sides.tables)
        for index in self.plan.readouts:
            tables[index] = self.b.concatenate([x.vectors[index] for x in made], 0)
        for index in self.plan.rebuilt:
            tables[index] = self.b.concatenate([x.whole[index] for x in made], 0)
        del made
        vectors = self._vectors(tables, numbered, stored)
        for span in self._budget.spans(numbered):
            yield self._finish(tables, numbered, stored, vectors, span, wanted)

    def in_full(
        self, tables: Mapping[Key, Array], sequence: np.ndarray, given: Mapping[int, Array]
    ) -> dict[int, Array]:
        """As for `Engine`; what does not depend on the sequence is the same for all blocks."""
        return super().in_full(tables, 0 * sequence, given)

    def _groups(self, batch: Sequence[Chunk]) -> Iterator[Sequence[Chunk]]:
        """Chunks whose chimeras run together; one, where shapes must be equal."""
        first, count = 0, 0
        for i, chunk in enumerate(batch):
            more = len(np.unique(self._number[chunk.hull]))
            if i > first and (count + more > self._most or self.b.uniform):
                yield batch[first:i]
                first, count = i, 0
            count += more
        yield batch[first:]

    # ---- chimeras ----------------------------------------------------------------------------

    def _chimeras(self, sides: Sides, hulls: np.ndarray) -> Chimeras:
        """The chimeras of the blocks in some hulls."""
        layout, nodes = self.plan.layout, self.plan.graph.nodes
        # Where shapes must be equal, those of blocks that fill a chunk come again.
        order = np.argsort(self._number[hulls], kind="stable")
        number, first = np.unique(self._number[hulls[order]], return_index=True)
        if self.b.uniform:
            number, first = self._number[hulls], np.arange(len(hulls))
        windows = {}
        for index, window in layout.windows.items():
            start = np.minimum.reduceat(window.start[hulls[order]], first)
            stop = np.maximum.reduceat(window.stop[hulls[order]], first)
            windows[index] = uniform(Interval(start, stop), nodes[index].shape[0])
        own = windows[self.plan.graph.perturbed]
        positions = own.start[:, None] + np.arange(int(own.width[0]))
        word = self._letters(sides.splices, number[:, None], positions)
        values, whole = self._junctions.run(sides.tables, windows, word)
        vectors = {}
        for index, readout in sides.readouts.items():
            source = nodes[index].inputs[0]
            vectors[index] = readout.vectors(values[source], windows[source].start)
        return Chimeras(number, windows, values, whole, vectors)

    def _rows(self, chimeras: Chimeras, chunk: Chunk) -> np.ndarray:
        """Rows of the chimeras of the blocks of one chunk."""
        if self.b.uniform:
            return np.arange(len(chunk.hull))
        return np.searchsorted(chimeras.number, self._number[chunk.hull])

    def _letters(self, splices: Splices, number: np.ndarray, positions: np.ndarray) -> np.ndarray:
        """Chimeras at some positions, shape (*positions.shape, characters)."""
        before = positions < self._cuts[number]
        return np.where(before[..., None], splices.left[positions], splices.right[positions])

    def _tables_of(
        self, sides: Sides, chimeras: Chimeras, chunk: Chunk, rows: np.ndarray
    ) -> list[Array]:
        """What the blocks of one chunk refer to, in the order of `_keys`.

        `rows` are those of their chimeras.
        """
        layout, nodes = self.plan.layout, self.plan.graph.nodes
        tables = []
        for key in self._keys:
            if isinstance(key, tuple):
                source = layout.windows[nodes[key[0]].inputs[0]]
                readout: JoinReadout = sides.readouts[key[0]]
                tables.append(readout.beside(source.start[chunk.hull], source.stop[chunk.hull]))
            elif key in chimeras.values:
                own = layout.windows[key]
                shift = own.start[chunk.hull] - chimeras.windows[key].start[rows]
                width = int(own.width[chunk.hull[0]])
                tables.append(_cut(self.b, chimeras.values[key], rows, shift, width))
            elif key in chimeras.vectors:
                tables.append(self.b.take(chimeras.vectors[key], rows, 0))
            else:
                tables.append(sides.tables[key])
        return tables

    def _chunk_deltas(self, sides: Sides, mutants: Mutants, chunk: Chunk) -> np.ndarray:
        """Splices minus chimeras, shape (width, blocks, mutants of a block, characters)."""
        layout, splices = self.plan.layout, sides.splices
        own, word = layout.windows[self.plan.graph.perturbed], splices.width
        width = int(own.width[chunk.hull[0]])
        positions = own.start[chunk.hull] + np.arange(width)[:, None]
        chimera = self._letters(splices, self._number[chunk.hull], positions)
        start = mutants.start[chunk.slots]
        behind = positions[:, :, None] - start
        inside = (behind >= 0) & (behind < word)
        written = mutants.replacement[chunk.slots[None], np.clip(behind, 0, word - 1)]
        left, right = splices.left[positions][:, :, None], splices.right[positions][:, :, None]
        made = np.where((behind < 0)[..., None], left, right)
        made = np.where(inside[..., None], written, made)
        filled = (chunk.slots >= 0)[..., None]
        return np.where(filled, made - chimera[:, :, None], 0).astype(self.plan.graph.dtype)


def _cut(b: Backend, table: Array, rows: np.ndarray, shift: np.ndarray, width: int) -> Array:
    """Parts of some rows of a table, shape (blocks, width, channels).

    Parameters
    ----------
    table : array, shape (chimeras, positions, channels)
    rows : ndarray of int, shape (blocks,)
    shift : ndarray of int, shape (blocks,)
        Where in each row its part begins.
    width : int
    """
    count, positions, channels = (int(n) for n in table.shape)
    if width == positions and np.array_equal(rows, np.arange(count)):
        return table
    if len(rows) == 1:
        first = int(shift[0])
        return table[int(rows[0]) :][:1, first : first + width]
    index = (rows * positions + shift)[:, None] + np.arange(width)
    return b.rows(b.reshape(table, (-1, channels)), index)

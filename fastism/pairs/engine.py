"""Runs pairs of edits: single deltas of every block, interactions of every tile, and readouts.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fastism.backends.base import Array
from fastism.calls.mutants import Mutants
from fastism.intervals import Interval
from fastism.pairs.blocks import Blocks, input_deltas, make_blocks
from fastism.pairs.propagate import Geometry, Model, geometries
from fastism.pairs.readouts import Finisher, Kept
from fastism.pairs.result import PairPart
from fastism.pairs.singles import Singles, run_singles
from fastism.pairs.tiles import Tile, TileRun, find_ends
from fastism.pairs.windows import Roles, find_roles, joint_windows, single_windows
from fastism.planning.layout import affected_windows
from fastism.planning.steps import Mode
from fastism.rules import ReadsOut
from fastism.running.engine import Engine, Wanted, whole_tensors


class PairEngine:
    """Pairs of edits on the backend and with the weights of an engine for single ones.

    Parameters
    ----------
    engine : Engine
        For edits of one position.
    block : int
        Positions per block.
    memory : int
        Bytes that deltas of single edits and outputs of pairs may take.
    """

    def __init__(self, engine: Engine, block: int, memory: int) -> None:
        self.engine, self.block, self.memory = engine, block, memory
        plan = engine.plan
        self._roles: Roles = find_roles(plan)
        self._ends = find_ends(plan.graph, plan.readouts, plan.rebuilt)
        self._linear = tuple(
            i for i in plan.readouts if plan.graph.nodes[i].rule.reads_out is not ReadsOut.JOIN
        )
        self._needed = tuple(i for i, step in enumerate(plan.steps) if step.mode is not Mode.FULL)
        self._reference = engine.b.compile(self._run_reference)
        self._singles = engine.b.compile(self._run_singles)
        self._tile = engine.b.compile(self._run_tile)

    def run(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        wanted: Wanted,
        leading: tuple[int, int],
    ) -> Iterator[PairPart]:
        """Outputs of all pairs of edits of one sequence at two positions.

        Parameters
        ----------
        inputs : sequence of ndarray, each (1, *shape)
            One per model input.
        mutants : Mutants
            The single edits, of one position each.
        wanted : sequence of (int, ndarray of int or None)
            Output nodes, and which entries of the first axis to keep.
        leading : (int, int)
            Where the position of the first edit of a pair lies, half-open.

        Yields
        ------
        PairPart
            Every pair comes once.
        """
        leads = int(np.sum((mutants.start >= leading[0]) & (mutants.start < leading[1])))
        self.engine.b.expect(self.engine.plan.seconds(leads * len(mutants) // 2))
        model = self._model(inputs)
        blocks = make_blocks(mutants.start, self.block)
        kept = Kept(mutants.start, leading)
        finisher = Finisher(self.engine, model, self._ends, wanted, kept, self.memory)
        for group in self._groups(blocks, leading):
            yield from self._run_group(model, mutants, blocks, group, finisher)
            yield from finisher.flush()

    def _model(self, inputs: Sequence[np.ndarray]) -> Model:
        engine = self.engine
        with engine.of_values():
            tables = self._reference([engine.b.asarray(x) for x in inputs])
        by_node = dict(zip(self._needed, tables, strict=True))
        return Model(engine.plan.graph, self._roles, engine.b, engine.weights, by_node)

    def _run_reference(self, inputs: Sequence[Array]) -> list[Array]:
        engine = self.engine
        values = whole_tensors(engine.plan.graph, engine.b, engine.weights, inputs, self._needed)
        return [engine.b.contiguous(values[i]) for i in self._needed]

    def _affected(self, changed: Interval) -> dict[int, Interval]:
        return affected_windows(self.engine.plan.graph, self.engine.plan.steps, changed)

    def _groups(self, blocks: Blocks, leading: tuple[int, int]) -> Iterator[range]:
        """First blocks whose deltas are kept together while second blocks pass by."""
        nodes, affected = self.engine.plan.graph.nodes, self._affected(blocks.changed)
        numbers = sum(affected[i].width * nodes[i].shape[1] for i in self._roles.nodes)
        edits = np.array([len(part) for part in blocks.edits])
        size = np.dtype(self.engine.plan.graph.dtype).itemsize
        used = np.cumsum(numbers * edits * size)
        first = int(np.searchsorted(blocks.changed.stop, leading[0], side="right"))
        end = int(np.searchsorted(blocks.changed.start, leading[1], side="left"))
        while first < end:
            before = used[first - 1] if first else 0
            last = int(np.searchsorted(used, before + self.memory // 2, side="right"))
            last = min(max(last, first + 1), end)
            yield range(first, last)
            first = last

    def _run_group(
        self, model: Model, mutants: Mutants, blocks: Blocks, group: range, finisher: Finisher
    ) -> Iterator[PairPart]:
        affected = self._affected(blocks.changed)
        plan = self.engine.plan
        single = geometries(single_windows(plan.graph, plan.steps, self._roles, affected))
        joint = {i: self._geometries(affected, i) for i in group}
        kept: dict[int, Singles] = {}
        for second in range(group.start, len(blocks)):
            with self.engine.of_deltas():
                singles = self._singles(model, mutants, blocks.edits[second], single[second])
            if second in group:
                kept[second] = singles
            for first, other in kept.items():
                if first == second and blocks.changed.width[first] == 1:
                    continue
                with self.engine.of_deltas():
                    tile = self._tile(model, joint[first][second - first], other, singles)
                finisher.add(tile)
                if finisher.is_full:
                    yield from finisher.flush()

    def _geometries(self, affected: dict[int, Interval], first: int) -> list[Geometry]:
        """Of the tiles of one first block and all second ones from it on."""
        one = {
            i: Interval(x.start[first : first + 1], x.stop[first : first + 1])
            for i, x in affected.items()
        }
        rest = {i: Interval(x.start[first:], x.stop[first:]) for i, x in affected.items()}
        plan = self.engine.plan
        return geometries(joint_windows(plan.graph, plan.steps, self._roles, one, rest))

    def _run_singles(
        self, model: Model, mutants: Mutants, edits: np.ndarray, geometry: Geometry
    ) -> Singles:
        window = geometry.windows[model.graph.perturbed]
        delta = model.b.asarray(input_deltas(mutants, edits, window))
        return run_singles(model, geometry, edits, delta, self._linear)

    def _run_tile(self, model: Model, geometry: Geometry, first: Singles, second: Singles) -> Tile:
        return TileRun(model, geometry, first, second).run(self._ends)

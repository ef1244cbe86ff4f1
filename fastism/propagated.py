"""Mutants of every call: by deltas where that saves something, else through the whole model.

Requirements: numpy; frameworks only through front ends and backends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from math import prod
from typing import Any

import numpy as np

from fastism.backends.base import Backend
from fastism.backends.precision import each_in, products_in
from fastism.calls.base import MOST_SEQUENCES
from fastism.calls.filled import Filled
from fastism.calls.inputs import Ranges, check_outputs, check_positions, saturating_mutants
from fastism.calls.mutants import Mutants, Part
from fastism.calls.result import Saturation
from fastism.edits.following import Following
from fastism.edits.hulls import joined
from fastism.edits.listed import Edits
from fastism.edits.plan import EditPlan, EditStrategy, Seam, make_edit_plan
from fastism.engines import Engines
from fastism.graph import Graph
from fastism.naive_ism import NaiveISM
from fastism.pairs.engine import PairEngine
from fastism.pairs.plan import PairPlan, PairStrategy
from fastism.pairs.result import PairPart
from fastism.planning.plan import Plan, mutant_bytes
from fastism.running.engine import Engine
from fastism.scans.methods import Made, Scans
from fastism.scans.splices import Splices

#: Effects of substitutions are kept from step to step of a design where a sequence has so many
#: times the distance from which on they add up: a change in its middle then leaves half of them.
FAR = 4


class Propagated(Scans):
    """What runs the mutants of `FastISM`.

    `FastISM` sets the simplified graph (`_graph`), the backend, the bytes that mutants may take at
    a time (`_memory`), the engines on them, the speedup below which mutants run through the whole
    model (`_least`), and what `NaiveISM` is to be given (`_given`).
    """

    _graph: Graph
    _backend: Backend
    _memory: int
    _engines: Engines
    _least: float
    _given: dict[str, Any]

    @property
    def plan(self) -> Plan:
        """How mutants are run; printing it shows widths, costs and the expected speedup.

        After a run it shows as well which kernels PyTorch runs, see `fastism.backends.choices`.
        """
        engine = self.engine
        return replace(engine.plan, kernels=engine.kernels, least=self._least)

    @property
    def engine(self) -> Engine:
        """What runs `plan`: its chunks, and the memory that they may take."""
        width = self.perturb_width
        return self._engines.single(width, self._other_chars if width == 1 else 1)

    @property
    def num_outputs(self) -> int:
        """How many outputs the model has."""
        return len(self._graph.outputs)

    @property
    def accelerated(self) -> bool:
        """As `BaseISM.accelerated`."""
        return self._backend.accelerated

    @property
    def backend(self) -> str:
        """Name of the framework that mutants run on."""
        return self._backend.name

    def edit_plan(self, outputs: Any = None) -> EditPlan:
        """How `perturb` runs mutants of several edits: what adds up, from which distance on.

        Parameters
        ----------
        outputs : optional
            As for `perturb`.
        """
        return self._edit_plan(tuple(check_outputs(outputs, self.output_shapes)))

    def pair_plan(self, positions: Any = None, outputs: Any = None) -> PairPlan:
        """How `pairs` runs: by which method and why, and what it costs.

        Parameters
        ----------
        positions, outputs : optional
            As for `pairs`.
        """
        select = check_outputs(outputs, self.output_shapes)
        chosen = np.unique(check_positions(positions, self.seqlen))
        return self._engines.pair_plan(tuple(select), chosen)

    def saturate_changing(
        self, count: int, positions: Any = None
    ) -> Callable[[Any, Sequence[int]], Saturation]:
        """`saturate` for sequences that change a little from call to call, such as designs.

        Substitutions far from what has changed keep what they add at the seam of `edit_plan`, where
        that pays: where most are far, and their effects fit into the memory for mutants.

        Parameters
        ----------
        count, positions
            As for `BaseISM.saturate_changing`.
        """
        chosen = check_positions(positions, self.seqlen)
        plan = self._edit_plan(every := tuple(range(self.num_outputs)))
        adds = plan.strategy is EditStrategy.ADDITION and not self._backend.resident
        if not adds or FAR * plan.distance > self.seqlen:
            return super().saturate_changing(count, positions)
        engine = self._engines.edits(every, plan.seam)
        kept = Following(engine, plan, self.seq_input_idx, chosen, self.num_chars)
        if count * kept.sequence_bytes > self._memory:
            return super().saturate_changing(count, positions)
        return lambda x, numbers: self._followed(kept, chosen, x, numbers)

    def naive(self, change_ranges: Ranges | None = None, batch_size: int | None = None) -> NaiveISM:
        """Naive ISM of the same model; parameters as for `NaiveISM`."""
        return NaiveISM(
            self.model,
            self.seq_input_idx,
            change_ranges,
            seqlen=self.seqlen,
            batch_size=batch_size,
            test_correctness=False,
            **self._given,
        )

    @cached_property
    def _whole(self) -> NaiveISM:
        """What runs mutants through the whole model where nothing is to be gained."""
        made = self.naive()
        made.limit(self._memory // mutant_bytes(self._graph))
        return made

    def _runs_naive(self, plan: Plan) -> bool:
        """Whether mutants run through the whole model instead of by `plan`."""
        return replace(plan, least=self._least).naive

    def _exactly(self) -> AbstractContextManager[None]:
        """Whatever the process allows: an engine rounds what it may where it works on deltas."""
        return products_in(self.backend, "float32")

    def _make_engines(self, make: Callable[..., Engines] = Engines) -> Engines:
        given = (self._backend, self._memory, self.precision, self._other_chars)
        return make(self._graph, *given)

    def _output_shapes(self, inputs: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
        return self._front.output_shapes(self._graph)

    def _sequences_per_run(self, width: int, alternatives: int) -> int:
        engine = self._engines.single(width, alternatives)
        if self._runs_naive(engine.plan):
            return self._whole._sequences_per_run(width, alternatives)
        room = self._memory // 4 // max(engine.reference_bytes, 1)
        if self._backend.resident:
            # Results of a group lie on the device twice: as they come, and as they leave.
            numbers = sum(map(prod, self.output_shapes)) * self.seqlen * self.num_chars
            size = np.dtype(self._graph.dtype).itemsize
            room = min(room, self._memory // 8 // (numbers * size))
        return max(1, min(MOST_SEQUENCES, room))

    def _run(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: dict[int, np.ndarray | None],
        alternatives: int,
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        engine = self._engines.single(mutants.width, alternatives)
        if self._runs_naive(engine.plan):
            return self._whole._run(inputs, mutants, select, alternatives)
        context = self._exactly
        with context():
            reference, parts = engine.run(inputs, mutants, self._kept(select))
        shown = partial(self._shown, select)
        parts = (Part(part.index, shown(part.outputs)) for part in each_in(parts, context))
        return shown(reference), parts

    def _edit_plan(self, outputs: tuple[int, ...]) -> EditPlan:
        plan = self._engines.of_outputs(outputs).plan
        return make_edit_plan(plan, self._runs_naive(plan))

    def _run_edits(
        self, inputs: Sequence[np.ndarray], edits: Edits, select: dict[int, np.ndarray | None]
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        plan = self._edit_plan(tuple(select))
        if plan.strategy is not EditStrategy.ADDITION:
            return super()._run_edits(inputs, edits, select)
        edits = joined(inputs[self.seq_input_idx], edits, plan.near)
        counts = np.bincount(edits.mutant, minlength=len(edits))
        alone, far = np.flatnonzero(counts < 2), np.flatnonzero(counts > 1)
        reference, parts = self._run_hulls(inputs, edits.some(alone), select)

        def every() -> Iterator[Part]:
            for part in parts:
                yield Part(alone[part.index], part.outputs)
            if len(far):
                for part in self._run_far(inputs, edits.some(far), plan.seam, select):
                    yield Part(far[part.index], part.outputs)

        return reference, every()

    def _followed(
        self, kept: Following, chosen: np.ndarray, x: Any, numbers: Sequence[int]
    ) -> Saturation:
        inputs, select = self._inputs(x), dict.fromkeys(range(self.num_outputs))
        whole = Filled(len(numbers), (len(chosen), self.num_chars), self._order)
        alternatives = np.zeros((len(numbers), len(chosen)), dtype=np.int64)
        for i, number in enumerate(numbers):
            one = [y[i : i + 1] for y in inputs]
            mutants, index = saturating_mutants(one[self.seq_input_idx], chosen)
            np.add.at(alternatives[i], index[1], 1)
            with products_in(self.backend, self.precision):
                reference, parts = kept.run(number, one, mutants, index)
                filled = whole.group(slice(i, i + 1), self._shown(select, reference))
                for made in parts:
                    where = tuple(axis[made.index] for axis in index)
                    for array, y in zip(filled, self._shown(select, made.outputs), strict=True):
                        if y is not None:
                            array[where] = y
        packed = self._packed(whole.reference), self._packed(whole.mutants)
        made = Saturation(*packed, chosen, alternatives)
        return replace(made, mutants=self._outward(made.mutants, (1, 2)), axes=self.axes)

    def _run_far(
        self,
        inputs: Sequence[np.ndarray],
        edits: Edits,
        seam: Seam,
        select: dict[int, np.ndarray | None],
    ) -> Iterator[Part]:
        """Mutants of edits that do not act on each other before the seam."""
        engine = self._engines.edits(tuple(select), seam)
        parts = engine.run(inputs, self.seq_input_idx, edits)
        every = dict.fromkeys(select)
        for part in each_in(parts, partial(products_in, self.backend, self.precision)):
            shown = zip(self._shown(every, part.outputs), select.values(), strict=True)
            chosen = [y if y is None or e is None else y[:, e] for y, e in shown]
            yield Part(part.index, chosen)

    def _run_pairs(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: dict[int, np.ndarray | None],
        leading: tuple[int, int],
    ) -> Iterator[PairPart]:
        plan = self.pair_plan(mutants.start, dict.fromkeys(select))
        if plan.strategy is not PairStrategy.INTERACTIONS:
            runner = self._whole if plan.strategy is PairStrategy.NAIVE else super()
            yield from runner._run_pairs(inputs, mutants, select, leading)
            return
        engine = self._engines.of_outputs(tuple(select))
        kept = self._kept(select).values()
        wanted = list(zip(engine.plan.graph.outputs, kept, strict=True))
        made = PairEngine(engine, plan.block, self._memory).run(inputs, mutants, wanted, leading)
        context = self._exactly
        for part in each_in(made, context):
            yield PairPart(part.first, part.second, self._shown(select, part.outputs))

    def _run_splices(
        self, inputs: Sequence[np.ndarray], splices: Splices, select: dict[int, np.ndarray | None]
    ) -> Made:
        engine = self._engines.splices(splices.width)
        if self._runs_naive(engine.plan):
            yield from self._whole._run_splices(inputs, splices, select)
            return
        others = [None if i == self.seq_input_idx else x[0] for i, x in enumerate(inputs)]
        # Where shapes must be equal, blocks are as large with fewer mutants, and as slow.
        uniform = self._backend.uniform
        firsts = np.arange(len(splices)) if uniform else splices.firsts()
        lengths = np.diff([*firsts, len(splices)])
        parts = engine.splices(others, splices.some(firsts), self._kept(select))
        for part in each_in(parts, self._exactly):
            times = lengths[part.index]
            alike = np.arange(times.sum()) - np.repeat(np.cumsum(times) - times, times)
            index = np.repeat(firsts[part.index], times) + alike
            yield index, [np.repeat(y, times, 0) for y in self._shown(select, part.outputs)]

    def _kept(self, select: Mapping[int, np.ndarray | None]) -> dict[int, np.ndarray | None]:
        """Entries that are chosen as soon as outputs are made."""
        # Along the first axis of the model's order of axes: after `_shown` where that changes it.
        return {i: None if self._front.view(i) else entries for i, entries in select.items()}

    def _shown(
        self, select: Mapping[int, np.ndarray | None], outputs: Sequence[np.ndarray | None]
    ) -> list[np.ndarray | None]:
        """Selected outputs in the model's own order of axes, each (mutants, *output) or None."""
        made = []
        for y, (i, entries) in zip(outputs, select.items(), strict=True):
            view = self._front.view(i)
            if y is not None and view:
                y = view(y)
                y = y if entries is None else y[:, entries]
            made.append(y)
        return made

"""Everything that runs mutants of one model on one backend, made when it is first needed.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from fastism.backends.base import Backend
from fastism.edits.engine import EditEngine
from fastism.edits.plan import Seam
from fastism.graph import Graph, with_outputs
from fastism.pairs.plan import PairPlan, make_pair_plan
from fastism.planning.plan import Plan, make_plan
from fastism.running.engine import Engine, prepare_weights
from fastism.running.resident import ResidentEngine
from fastism.scans.engine import SpliceEngine
from fastism.scans.plan import splice_plan


class Engines:
    """The engines of a model; all of them share its weights.

    Parameters
    ----------
    graph : Graph
    backend : Backend
    memory : int
        Bytes that mutants may take at a time.
    precision : {"float32", "tf32"}
    alternatives : int
        Substitutions of a position.
    """

    def __init__(
        self, graph: Graph, backend: Backend, memory: int, precision: str, alternatives: int
    ) -> None:
        self.graph, self.backend, self.memory = graph, backend, memory
        self._precision, self._alternatives = precision, alternatives
        self._weights = prepare_weights(graph, backend)
        self._single: dict[tuple[int, int], Engine] = {}
        self._resident: dict[tuple[int, int], ResidentEngine] = {}
        self._of_outputs: dict[tuple[int, ...], Engine] = {}
        self._pair_plans: dict[tuple[tuple[int, ...], bytes], PairPlan] = {}
        self._edits: dict[tuple[int, ...], EditEngine] = {}
        self._splices: dict[int, SpliceEngine] = {}

    def make(self, plan: Plan, weights: list[Any]) -> Engine:
        """What runs a plan of the whole graph."""
        return Engine(plan, self.backend, self.memory, weights, self._precision)

    def single(self, width: int, alternatives: int) -> Engine:
        """For mutants of one edit.

        Parameters
        ----------
        width : int
            Neighbouring positions that an edit replaces.
        alternatives : int
            Mutants of each place.
        """
        key = width, alternatives
        if key not in self._single:
            plan = make_plan(self.graph, width, alternatives, self.backend.uniform)
            self._single[key] = self.make(plan, self._weights)
        return self._single[key]

    def resident(self, width: int, alternatives: int) -> ResidentEngine:
        """As `single`, with results that stay on the device."""
        key = width, alternatives
        if key not in self._resident:
            given = (self.backend, self.memory, self._weights, self._precision)
            self._resident[key] = ResidentEngine(self.single(*key).plan, *given)
        return self._resident[key]

    def of_outputs(self, outputs: tuple[int, ...]) -> Engine:
        """For substitutions of one position, of those nodes alone that some outputs need."""
        if outputs not in self._of_outputs:
            graph = with_outputs(self.graph, outputs)
            plan = make_plan(graph, 1, self._alternatives, self.backend.uniform)
            nodes = zip(self.graph.nodes, self._weights, strict=True)
            made = {id(node.rule): weights for node, weights in nodes}
            weights = [made[id(node.rule)] for node in graph.nodes]
            self._of_outputs[outputs] = Engine(
                plan, self.backend, self.memory, weights, self._precision
            )
        return self._of_outputs[outputs]

    def pair_plan(self, outputs: tuple[int, ...], positions: np.ndarray) -> PairPlan:
        """How all pairs of some positions run.

        Parameters
        ----------
        outputs : tuple of int
        positions : ndarray of int, shape (positions,)
            Sorted, each once.
        """
        key = outputs, positions.tobytes()
        if key not in self._pair_plans:
            given = (positions, self._alternatives, self.backend.uniform)
            self._pair_plans[key] = make_pair_plan(self.of_outputs(outputs).plan, *given)
        return self._pair_plans[key]

    def edits(self, outputs: tuple[int, ...], seam: Seam) -> EditEngine:
        """For mutants of several edits that add up at a seam."""
        if outputs not in self._edits:
            weights = self.of_outputs(outputs).weights
            self._edits[outputs] = EditEngine(seam, self.backend, self.memory, weights)
        return self._edits[outputs]

    def splices(self, width: int) -> SpliceEngine:
        """For splices with words of one width."""
        if width not in self._splices:
            plan = splice_plan(self.graph, width, self.backend.uniform)
            self._splices[width] = SpliceEngine(plan, self.backend, self.memory, self._weights)
        return self._splices[width]

"""How mutants of several edits run on a model. Pure, frozen, explained.

Let two edits be so far apart that no nonlinear step on windows sees both. Then what they add to
every tensor that windows lead to is the sum of what each adds alone, exactly: to profiles, to the
vector of a dense layer after Flatten, to a mean or a sum over positions. These tensors are the
*seam* of the model. Behind it, steps in full (and what is not linear over all positions, as a
maximum) run once for every mutant on the sum. Edits that do meet are taken together as one that
spans both.

Where windows end at the input, nothing is left to add: a mutant is then one edit that spans all of
its edits.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import Enum
from functools import cached_property
from math import prod

import numpy as np

from fastism.graph import Graph, prune
from fastism.intervals import Interval
from fastism.pairs.windows import find_roles
from fastism.planning.layout import affected_windows
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode, Step
from fastism.rules import ReadsOut


class EditStrategy(Enum):
    """How edits of a mutant come together: far ones by ``ADDITION``, or all as one ``HULL``."""

    ADDITION = "addition"
    HULL = "hull"


@dataclass(frozen=True)
class Seam:
    """Where effects of edits that are far apart add up, and what runs behind that.

    Parameters
    ----------
    graph : Graph
    nodes : tuple of int
        The tensors that add up.
    sides : tuple of int
        Tensors that no edit changes and that steps behind the seam read.
    steps : tuple of int
        What runs behind the seam, on whole tensors, in topological order.
    """

    graph: Graph
    nodes: tuple[int, ...]
    sides: tuple[int, ...]
    steps: tuple[int, ...]

    @cached_property
    def head(self) -> Graph:
        """The model up to the seam, whose nodes are its outputs, in their order."""
        return prune(replace(self.graph, outputs=self.nodes))

    @property
    def numbers(self) -> int:
        """How many numbers add up for every mutant."""
        return sum(prod(self.graph.nodes[i].shape) for i in self.nodes)


def find_seam(graph: Graph, steps: Sequence[Step]) -> Seam:
    """The seam of a model whose steps are known."""
    behind = tuple(i for i, step in enumerate(steps) if _is_behind(graph, step, i))
    ends = dict.fromkeys((*(s for i in behind for s in graph.nodes[i].inputs), *graph.outputs))
    moving = (Mode.WINDOW, Mode.READOUT)
    nodes = tuple(i for i in ends if steps[i].mode in moving and i not in behind)
    read = dict.fromkeys(s for i in behind for s in graph.nodes[i].inputs)
    sides = tuple(i for i in read if steps[i].mode is Mode.REFERENCE)
    return Seam(graph, nodes, sides, behind)


def _is_behind(graph: Graph, step: Step, index: int) -> bool:
    """Whether a step is not linear and sees the whole tensor."""
    if step.mode is Mode.READOUT:
        return graph.nodes[index].rule.reads_out is ReadsOut.JOIN
    return step.mode is Mode.FULL


@dataclass(frozen=True)
class EditPlan:
    """How mutants of several edits run.

    Parameters
    ----------
    single : Plan
        Of edits of one position.
    strategy : EditStrategy
    reason : str
        Why that strategy.
    seam : Seam
    """

    single: Plan
    strategy: EditStrategy
    reason: str
    seam: Seam

    @cached_property
    def _meeting(self) -> tuple[int, ...]:
        """Nonlinear steps on windows, where edits may act on each other."""
        return tuple(sorted(find_roles(self.single).nonlinear))

    def near(self, start: np.ndarray, stop: np.ndarray) -> np.ndarray:
        """Which edits of one sequence act on each other before the seam.

        Parameters
        ----------
        start, stop : ndarray of int, shape (n,)
            The positions that edits replace, half-open.

        Returns
        -------
        ndarray of bool, shape (n, n)
        """
        both = np.eye(len(start), dtype=bool)
        if len(start) > 1:
            affected = affected_windows(self.single.graph, self.single.steps, Interval(start, stop))
            for index in self._meeting:
                a, z = affected[index].start, affected[index].stop
                both |= (a[:, None] < z[None]) & (a[None] < z[:, None])
        return both

    def meets(self, positions: np.ndarray, changed: np.ndarray) -> np.ndarray:
        """Which letters act on one of those that have changed, before the seam; each on itself.

        Parameters
        ----------
        positions : ndarray of int, shape (n,)
        changed : ndarray of int, shape (m,)

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        count, place = len(positions), np.concatenate([positions, changed])
        if not len(place):
            return np.zeros(count, dtype=bool)
        affected = affected_windows(
            self.single.graph, self.single.steps, Interval(place, place + 1)
        )
        both = np.isin(positions, changed)
        for index in self._meeting:
            a, z = affected[index].start, affected[index].stop
            meet = (a[:count, None] < z[None, count:]) & (a[None, count:] < z[:count, None])
            both |= meet.any(1)
        return both

    @cached_property
    def distance(self) -> int:
        """Positions between the starts of two single letters from which on their effects add up.

        The length of the sequence where there is no such distance.
        """
        length = self.single.graph.nodes[self.single.graph.perturbed].shape[0]
        place = np.arange(length)
        affected = affected_windows(
            self.single.graph, self.single.steps, Interval(place, place + 1)
        )
        most = 1
        for index in self._meeting:
            a, z = affected[index].start, affected[index].stop
            if (np.diff(a) < 0).any() or (np.diff(z) < 0).any():
                return length
            # The first edit behind each one whose interval begins where its own has ended.
            most = max(most, int((np.searchsorted(a, z) - place).max()))
        return min(most, length)

    def __str__(self) -> str:
        """The strategy, why, and from which distance on effects add up."""
        lines = [f"Strategy: {self.strategy.value}: {self.reason}."]
        if self.strategy is EditStrategy.ADDITION:
            nodes, steps = self.seam.graph.nodes, self.seam.steps
            lines.append(
                f"Letters at least {self.distance} positions apart add up at "
                f"{', '.join(nodes[i].name for i in self.seam.nodes)}; nearer ones are one edit."
            )
            behind = ", ".join(nodes[i].name for i in steps) or "nothing"
            lines.append(f"For every mutant of far edits runs in full: {behind}.")
        return "\n".join(lines)


def make_edit_plan(single: Plan, naive: bool) -> EditPlan:
    """Choose how mutants of several edits run.

    Parameters
    ----------
    single : Plan
        Of edits of one position, of a graph that has no outputs but the wanted ones.
    naive : bool
        Whether mutants run through the whole model anyway.
    """
    seam = find_seam(single.graph, single.steps)
    if naive:
        reason = "steps on whole tensors come so early that nothing is saved"
        return EditPlan(single, EditStrategy.HULL, reason, seam)
    if single.graph.perturbed in seam.nodes:
        reason = "a step on whole tensors reads the sequence itself, so that nothing adds up"
        return EditPlan(single, EditStrategy.HULL, reason, seam)
    reason = "effects add up where no nonlinear step sees two edits"
    return EditPlan(single, EditStrategy.ADDITION, reason, seam)

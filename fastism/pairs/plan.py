"""How pairs of edits run on a model, and what that costs. Pure, frozen, explained.

Requirements: numpy and rich (only to print).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from math import nan, prod

import numpy as np

from fastism.intervals import Interval
from fastism.pairs.blocks import make_blocks
from fastism.pairs.windows import Joint, Roles, find_roles, joint_windows
from fastism.planning.costs import Cost
from fastism.planning.layout import affected_windows
from fastism.planning.plan import BYTES_PER_SECOND, MACS_PER_SECOND, SECONDS_PER_OPERATION, Plan
from fastism.planning.report import Row, cost_table, expectation, shown_width
from fastism.planning.steps import Mode

#: Positions per block that the planner chooses from.
BLOCKS = (1, 2, 3, 4, 6, 8)
#: First blocks that costs are averaged over.
SAMPLE = 6
#: Passes over a window of all pairs of a tile, and calls of a framework: a convolution, its ReLU
#: and a residual are one pass. Measured on an AMD EPYC with two threads: pairs of BPNet are the
#: fastest in blocks of 3, those of Basset in blocks of 3 to 6.
PASSES, OPERATIONS = 2, 12
#: Bytes of the largest window of a tile that stay in a processor's caches.
CACHED = 48 << 20
#: Below this share of naive multiply-adds nothing is gained.
WORTH = 0.9


class PairStrategy(Enum):
    """How pairs run.

    ``INTERACTIONS``: what edits do alone is added up, and only what they do to each other is
    computed, where both reach. ``REFERENCES``: every mutant of the first edit is a reference for
    second edits. ``NAIVE``: every double mutant runs through the whole model.
    """

    INTERACTIONS = "interactions"
    REFERENCES = "references"
    NAIVE = "naive"


@dataclass(frozen=True)
class PairPlan:
    """How pairs of edits at some positions of a sequence run.

    Parameters
    ----------
    single : Plan
        Of edits of one position.
    positions : int
        How many there are.
    strategy : PairStrategy
    reason : str
        Why that strategy.
    block : int
        Positions per block.
    near : float
        Share of the pairs of positions that act on each other before steps in full.
    costs : tuple of Cost
        One per node.
    """

    single: Plan
    positions: int
    strategy: PairStrategy
    reason: str
    block: int
    near: float
    costs: tuple[Cost, ...]

    @property
    def naive_macs(self) -> int:
        """Multiply-adds of one double mutant through the whole model."""
        return self.single.naive_macs

    @property
    def fast_macs(self) -> float:
        """Multiply-adds of this plan per pair, without single edits and references."""
        return sum(cost.fast for cost in self.costs)

    @property
    def speedup(self) -> float:
        """Ratio of multiply-adds, the speedup to expect at equal rates.

        NaN where layers run in full whose multiply-adds cannot be known.
        """
        return nan if self.single.uncounted else self.naive_macs / max(self.fast_macs, 1.0)

    def __str__(self) -> str:
        """Layers, how wide both edits reach, multiply-adds per pair, the strategy and why."""
        known = not self.single.uncounted
        rows = [
            Row((node.name, node.kind, shown_width(cost, 1)), cost.naive, cost.fast)
            for node, cost in zip(self.single.graph.nodes, self.costs, strict=True)
        ]
        total = Row(("per pair",), self.naive_macs, self.fast_macs, known)
        remarks = [
            f"Strategy: {self.strategy.value}: {self.reason}.",
            f"Pairs of {self.positions} positions in blocks of {self.block}; "
            f"{100 * self.near:.0f}% act on each other before steps in full.",
        ]
        if known:
            remarks.append(expectation(self.speedup, ()))
        return cost_table(("layer", "kind"), ("width",), rows, total, remarks)


def make_pair_plan(
    single: Plan, positions: np.ndarray, alternatives: int, uniform: bool
) -> PairPlan:
    """Choose how pairs at `positions` run.

    Parameters
    ----------
    single : Plan
        Of edits of one position.
    positions : ndarray of int
        0-based.
    alternatives : int
        Edits per position.
    uniform : bool
        Whether the backend wants equal shapes for all windows: then only references suit it.
    """
    positions = np.unique(positions)
    roles = find_roles(single)
    sampled = [_Tiles(single, roles, positions, block, alternatives) for block in BLOCKS]
    best = min(sampled, key=_Tiles.seconds)
    costs = best.costs()
    naive, referenced = single.naive_macs, single.fast_macs
    given = (single, len(positions))
    if not naive or min(referenced, sum(c.fast for c in costs)) >= WORTH * naive:
        reason = "steps on whole tensors come so early that nothing is saved"
        costs = tuple(Cost(c.naive, float(c.naive), nan) for c in single.costs)
        return PairPlan(*given, PairStrategy.NAIVE, reason, best.block, 1.0, costs)
    if uniform:
        reason = "this backend compiles windows of one shape; backend='torch' has interactions"
        costs = single.costs
        return PairPlan(*given, PairStrategy.REFERENCES, reason, best.block, 1.0, costs)
    reason = "effects of single edits add up wherever only one of them reaches"
    return PairPlan(*given, PairStrategy.INTERACTIONS, reason, best.block, best.near(), costs)


class _Tiles:
    """Tiles of some first blocks, for averages."""

    def __init__(
        self, single: Plan, roles: Roles, positions: np.ndarray, block: int, alternatives: int
    ) -> None:
        self._plan, self._roles, self.block = single, roles, block
        blocks = make_blocks(positions, block)
        self._affected = affected_windows(single.graph, single.steps, blocks.changed)
        sizes = np.array([len(part) for part in blocks.edits])
        chosen = np.unique(np.linspace(0, len(blocks) - 1, SAMPLE).astype(int))
        each = [_pairs(sizes[first:], alternatives) for first in chosen]
        self._joints = [self._joint(first, len(blocks)) for first in chosen]
        self._run, self._wanted = [run for run, _ in each], [wanted for _, wanted in each]
        self._share = sum(map(len, self._run)) / (len(blocks) * (len(blocks) + 1) / 2)

    def _joint(self, first: int, count: int) -> Joint:
        one = {i: _part(x, slice(first, first + 1)) for i, x in self._affected.items()}
        rest = {i: _part(x, slice(first, count)) for i, x in self._affected.items()}
        return joint_windows(self._plan.graph, self._plan.steps, self._roles, one, rest)

    def _mean(self, per_tile: list[np.ndarray], weights: list[np.ndarray]) -> float:
        """Per pair that is wanted, of something in every tile times its weight."""
        total = sum(float((x * n).sum()) for x, n in zip(per_tile, weights, strict=True))
        return total / max(sum(float(n.sum()) for n in self._wanted), 1.0)

    def near(self) -> float:
        """Share of the pairs with an interaction."""
        return self._mean(
            [
                np.any([span.filled for span in joint.windows.values()], 0).astype(float)
                for joint in self._joints
            ],
            self._wanted,
        )

    def costs(self) -> tuple[Cost, ...]:
        """Per node, averaged over the pairs."""
        made = []
        for index, (step, cost) in enumerate(zip(self._plan.steps, self._plan.costs, strict=True)):
            fast, width = 0.0, nan
            if step.mode is Mode.FULL:
                fast = cost.fast
            elif step.mode in (Mode.WINDOW, Mode.READOUT):
                fast = self._mean([self._macs(joint, index) for joint in self._joints], self._run)
            if step.mode is Mode.WINDOW:
                widths = [joint.windows[index].width for joint in self._joints]
                width = self._mean(widths, self._wanted)
            made.append(Cost(cost.naive, fast, width))
        return tuple(made)

    def _macs(self, joint: Joint, index: int) -> np.ndarray:
        """Multiply-adds per pair of every tile."""
        node = self._plan.graph.nodes[index]
        if not node.rule.kernel_shape:
            return np.zeros(1)
        x = joint.windows[node.inputs[0]]
        out = joint.windows.get(index, x)
        macs = node.rule.window_macs([x.interval()], out.interval())
        return np.where(x.filled & out.filled, macs, 0)

    def seconds(self) -> float:
        """Of all tiles, by a coarse model of arithmetic, memory traffic and calls."""
        plan, nodes = self._plan, self._plan.graph.nodes
        size = np.dtype(plan.graph.dtype).itemsize
        macs = sum(cost.fast for cost in self.costs())
        whole = max((prod(nodes[i].shape) for i in plan.rebuilt), default=0)
        traffic, calls, largest = [], [], 0.0
        for joint, run in zip(self._joints, self._run, strict=True):
            numbers = [span.width * nodes[i].shape[1] for i, span in joint.windows.items()]
            traffic.append(sum(numbers) * PASSES * size)
            calls.append(sum(span.filled.astype(float) for span in joint.windows.values()))
            most = np.maximum(np.max(np.stack(numbers), 0), whole) * run
            largest = max(largest, float(most.max()) * size)
        slow = 1.0 + min(largest / CACHED, 2.0)
        each = macs / MACS_PER_SECOND
        each += slow * self._mean(traffic, self._run) / BYTES_PER_SECOND
        wanted = sum(float(n.sum()) for n in self._wanted)
        operations = OPERATIONS * sum(float(n.sum()) for n in calls)
        return (wanted * each + operations * SECONDS_PER_OPERATION) / self._share


def _pairs(sizes: np.ndarray, alternatives: int) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of the tiles of one block and those from it on: that run, and that are wanted.

    Parameters
    ----------
    sizes : ndarray of int
        Positions of the blocks.
    alternatives : int
    """
    run = sizes[0] * sizes * alternatives**2
    wanted = run.copy()
    # Within a block every pair runs in both orders, and with itself.
    wanted[0] = sizes[0] * (sizes[0] - 1) // 2 * alternatives**2
    run[0] *= sizes[0] > 1
    return run, wanted


def _part(x: Interval, chosen: slice) -> Interval:
    return Interval(x.start[chosen], x.stop[chosen])

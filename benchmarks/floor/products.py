"""The matrix products that a plan amounts to: shapes, and how much of the arithmetic each has.

Requirements: numpy, fastism.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastism.calls.inputs import saturating_mutants
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode
from fastism.rules import Convolution
from fastism.running.chunks import Chunk

if TYPE_CHECKING:
    from fastism import FastISM

#: Rows, inner and columns of ``(rows, inner) @ (inner, columns)``.
Shape = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Product:
    """The arithmetic of one layer as a matrix product.

    Attributes
    ----------
    layer : str
        The layer of the model that it is the arithmetic of.
    rows, inner, columns : int
        Of a convolution: multiply-adds of a chunk over inner times columns, which is mutants times
        positions where no tap is cut off; taps times channels in; channels out. Of a dense layer
        after Flatten: mutants that changed the same positions; positions times channels; features.
    macs : float
        Multiply-adds of this layer, per mutant.
    taps : int
        Of a convolution, else one.
    positions : int
        Of the window that a dense layer after Flatten reads, else one.
    """

    layer: str
    rows: int
    inner: int
    columns: int
    macs: float
    taps: int = 1
    positions: int = 1

    @property
    def flops(self) -> float:
        """Floating-point operations of the product, two per multiply-add."""
        return 2.0 * self.rows * self.inner * self.columns

    @property
    def shapes(self) -> tuple[Shape, ...]:
        """The ways to write the layer as one product; all have the same multiply-adds.

        A convolution can gather the inputs of all its taps into long rows before the product, or
        multiply every input by all taps and add up afterwards; the second is far faster where
        there are few output channels. A dense layer after Flatten can multiply whole windows, or
        go position by position, with one row for every window that covers the position.
        """
        gathered = self.rows, self.inner, self.columns
        added = self.rows, self.inner // self.taps, self.columns * self.taps
        covering = self.rows * self.positions, self.inner // self.positions, self.columns
        return tuple(dict.fromkeys((gathered, added, covering)))


def saturating_products(ism: FastISM, sequences: np.ndarray) -> tuple[Product, ...]:
    """Products of all alternatives at all positions, in the chunks that `ism` runs them in.

    Parameters
    ----------
    ism : FastISM
        Its backend and its memory budget decide how large chunks are.
    sequences : ndarray, shape (sequences, length, characters)
        One-hot; of many, those that share a run.
    """
    chosen = sequences[: ism.sequences_per_run]
    mutants, _ = saturating_mutants(chosen, np.arange(chosen.shape[1]))
    return plan_products(ism.engine.plan, list(ism.engine.batches(mutants)))


def plan_products(plan: Plan, batches: Sequence[Sequence[Chunk]]) -> tuple[Product, ...]:
    """One product per layer that multiplies, with the rows of its typical chunk.

    Chunks near the ends of a sequence have other numbers of rows than the rest. The number that
    stands for all is the weighted median: half of the layer's arithmetic is done in chunks that do
    not have more rows.

    Parameters
    ----------
    plan : Plan
    batches : sequence of sequence of Chunk
        From `fastism.running.engine.Engine.batches`.
    """
    made = []
    for index, cost in enumerate(plan.costs):
        if cost.fast:
            node = plan.graph.nodes[index]
            shape = _shape(plan, index, batches)
            taps = len(node.rule.kernel) if isinstance(node.rule, Convolution) else 1
            read = plan.steps[index].mode is Mode.READOUT
            positions = shape[1] // node.rule.kernel.shape[1] if read else 1
            made.append(Product(node.name, *shape, cost.fast, taps, positions))
    return tuple(made)


def _shape(plan: Plan, index: int, batches: Sequence[Sequence[Chunk]]) -> Shape:
    """Rows, inner and columns of a layer's typical product."""
    node, mode = plan.graph.nodes[index], plan.steps[index].mode
    rule, kernel = node.rule, node.rule.kernel
    columns = kernel.shape[-1]
    if mode is Mode.READOUT:
        rows, widths = _flattened_rows(plan, node.inputs[0], batches)
        width = int(_typical(widths, rows))
        return int(_typical(rows, rows)), width * kernel.shape[1], columns
    inner = int(np.prod(kernel.shape[:-1]))
    if mode is Mode.FULL:
        positions = plan.costs[index].naive // kernel.size
        rows = np.array([sum(c.slots.size for c in batch) for batch in batches]) * positions
    else:
        inputs = [plan.layout.windows.get(i) for i in node.inputs]
        macs = np.broadcast_to(
            rule.window_macs(inputs, plan.layout.windows[index]), plan.layout.counts.shape
        )
        chunks = [chunk for batch in batches for chunk in batch]
        rows = np.array([macs[c.hull].mean() * c.slots.size for c in chunks]) / kernel.size
    groups = rule.groups if isinstance(rule, Convolution) else 1
    return max(round(_typical(rows, rows)), 1), inner, columns // groups


def _flattened_rows(
    plan: Plan, source: int, batches: Sequence[Sequence[Chunk]]
) -> tuple[np.ndarray, np.ndarray]:
    """Mutants whose windows start and end at the same positions, and the widths of these."""
    row = plan.layout.row_of[source]
    rows, widths = [], []
    for batch in batches:
        hulls = np.concatenate([np.repeat(c.hull, c.slots.shape[1]) for c in batch])
        places = np.stack([plan.layout.starts[row, hulls], plan.layout.widths[row, hulls]])
        found, count = np.unique(places, axis=1, return_counts=True)
        rows.append(count)
        widths.append(found[1])
    return np.concatenate(rows), np.concatenate(widths)


def _typical(values: np.ndarray, weights: np.ndarray) -> float:
    """The weighted median: half of the weight belongs to values that are not larger."""
    order = np.argsort(values, kind="stable")
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])

"""How splices are planned: like edits, but every block or two pay for a chimera of their own.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fastism.graph.nodes import Graph
from fastism.planning.layout import Layout, make_layout
from fastism.planning.plan import BLOCKS, Plan, plan_of, window_macs
from fastism.planning.steps import Mode, Step, assign_steps

#: Multiply-adds of a chimera take so many times as long as those of deltas: it runs on values, most
#: of which are copied together first, and what a block costs beside its arithmetic is in it, too.
#: Measured with PyTorch: BPNet and Basset of 1000 bp, blocks of 8 to 32 positions in turns.
CHIMERA = 5
#: The same where shapes must be equal.
CHIMERA_UNIFORM = 3
#: What is left of the mutants where those of the same letters run once: a quarter of neighbours are
#: alike in random letters. Where shapes must be equal, all of them run.
DISTINCT = 0.75


def splice_plan(graph: Graph, width: int, uniform: bool) -> Plan:
    """Plan all splices with words of one width.

    Parameters
    ----------
    graph : Graph
        A simplified graph (see `fastism.graph.simplify`).
    width : int
        Positions of the words at the junctions.
    uniform : bool
        Whether the backend needs equal shapes for all blocks.
    """
    steps = assign_steps(graph)
    length = graph.nodes[graph.perturbed].shape[0]

    def layout(block: int, phase: int) -> Layout:
        return make_layout(graph, steps, width, block, phase, uniform)

    def cost(made: Layout) -> float:
        return _cost(graph, steps, made, uniform)

    sizes = [block for block in BLOCKS if block == 1 or block <= length // 4]
    block = min(sizes, key=lambda size: cost(layout(size, 0)))
    phase = min(range(min(block, 8)), key=lambda shift: cost(layout(block, shift)))
    return plan_of(graph, steps, layout(block, phase), alternatives=1)


def _cost(graph: Graph, steps: Sequence[Step], layout: Layout, uniform: bool) -> float:
    """Multiply-adds of all splices, as those of deltas; two blocks may share a chimera."""
    deltas = sum(window_macs(graph, steps, layout).values()) * layout.counts.sum()
    values = 0.0
    for index in layout.nodes:
        node = graph.nodes[index]
        if steps[index].mode is Mode.WINDOW and node.inputs:
            shapes = [graph.nodes[i].shape for i in node.inputs]
            each = node.rule.full_macs(shapes, node.shape) / node.shape[0]
            values += float(np.sum(layout.windows[index].width)) * each
    if uniform:
        return deltas + CHIMERA_UNIFORM * values
    return DISTINCT * deltas + CHIMERA * values / 2

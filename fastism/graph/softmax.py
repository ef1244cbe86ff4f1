"""Rewrites of a softmax over positions and of the sum of values that it weights.

Requirements: numpy only. As in `fastism.graph.simplify`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from fastism.graph.nodes import Graph, Node
from fastism.rules import (
    Affine,
    Channels,
    Concatenate,
    ConstantChannels,
    Convolution,
    Elementwise,
    GlobalPool,
    GlobalSoftmaxPool,
    Pointwise,
    PositionAffine,
    PositionSoftmax,
    Reshape,
    Rule,
)


def softmax_of_flat(graph: Graph, index: int) -> Graph | None:
    """A softmax over the one channel of all positions, flattened: a softmax over positions."""
    node = graph.nodes[index]
    if not isinstance(node.rule, Pointwise) or node.rule.function != "softmax":
        return None
    flat = graph.nodes[node.inputs[0]]
    if not isinstance(flat.rule, Reshape) or not flat.rule.flattens or flat.stop:
        return None
    source = graph.nodes[flat.inputs[0]]
    if len(source.shape) != 2 or source.shape[1] != 1:
        return None
    made = _Added(graph, node)
    weights = made.add(PositionSoftmax(), [flat.inputs[0]], " over positions")
    return made.graph(index, replace(node, rule=Reshape(flat.shape), inputs=(weights,)))


def softmax_pool(graph: Graph, index: int) -> Graph | None:
    """A sum or mean over positions of values times a softmax over positions: a readout."""
    pool = graph.nodes[index]
    if not isinstance(pool.rule, GlobalPool) or pool.rule.mode not in ("sum", "mean"):
        return None
    product, made = graph.nodes[pool.inputs[0]], _Added(graph, pool)
    found = _logits_and_values(graph, product, made)
    if found is None:
        return None
    both, softmax = found
    count = graph.nodes[softmax].shape[1]
    channels = made.shape(both)[1] - count
    absorbed = (product.name, graph.nodes[softmax].name)
    parts = made.add(GlobalSoftmaxPool(count), [both], " parts", absorbed)
    sums = made.add(Channels(count, 2 * count), [parts], " sum of weights")
    total = made.add(Channels(2 * count, 2 * count + channels), [parts], " sum")
    if pool.rule.mode == "mean":
        scale = np.full(channels, pool.rule.factor(product.shape[0]))
        total = made.add(Affine(scale, np.zeros(channels)), [total], " mean")
    return made.graph(index, replace(pool, rule=Elementwise("divide"), inputs=(total, sums)))


def _logits_and_values(graph: Graph, product: Node, made: _Added) -> tuple[int, int] | None:
    """A node of logits and values side by side, and that of the softmax; None for others."""
    suffix = " logits and values"
    if product.stop:
        return None
    if isinstance(product.rule, PositionAffine) and product.rule.shift is None:
        # The values are constants.
        (softmax,) = product.inputs
        node, table = graph.nodes[softmax], product.rule.scale
        if not isinstance(node.rule, PositionSoftmax) or node.stop:
            return None
        rule = ConstantChannels(table[:, :0], table)
        return made.add(rule, node.inputs, suffix), softmax
    if not isinstance(product.rule, Elementwise) or product.rule.operation != "multiply":
        return None
    found = _factors(graph, product)
    if found is None:
        return None
    softmax, values = found
    count, channels = graph.nodes[softmax].shape[1], graph.nodes[values].shape[1]
    if channels == 1 < count:
        # One value for several softmaxes.
        ones = np.ones((1, 1, count), graph.dtype)
        values = made.add(Convolution(ones), [values], " stretched")
    elif count not in (1, channels):
        return None
    return made.add(Concatenate(1), [graph.nodes[softmax].inputs[0], values], suffix), softmax


def _factors(graph: Graph, product: Node) -> tuple[int, int] | None:
    """The softmax and the values of a product over the same positions; None for others."""
    if len(product.inputs) != 2:
        return None
    for weights, values in (product.inputs, product.inputs[::-1]):
        softmax = _unstretched(graph, weights)
        node, shape = graph.nodes[softmax], graph.nodes[values].shape
        if not isinstance(node.rule, PositionSoftmax) or node.stop:
            continue
        if len(shape) == 2 and shape[0] == node.shape[0]:
            return softmax, values
    return None


def _unstretched(graph: Graph, index: int) -> int:
    """The one channel that a node repeats; the node itself where it does not."""
    node = graph.nodes[index]
    rule = node.rule
    if not isinstance(rule, Convolution) or rule.kernel.shape[:2] != (1, 1) or node.stop:
        return index
    plain = rule.bias is None and rule.stride == 1 and not any(rule.pad)
    return node.inputs[0] if plain and (rule.kernel == 1).all() else index


class _Added:
    """New nodes of a graph, made in place of one of its own.

    Parameters
    ----------
    graph : Graph
    node : Node
        Whose name and kind the new ones get.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph, self._node, self._nodes = graph, node, list(graph.nodes)

    def add(
        self, rule: Rule, inputs: Sequence[int], suffix: str, absorbed: tuple[str, ...] = ()
    ) -> int:
        """Add a node; return its index."""
        shape = tuple(rule.output_shape([self._nodes[i].shape for i in inputs]))
        name, kind = self._node.name + suffix, self._node.kind
        self._nodes.append(Node(name, kind, rule, tuple(inputs), shape, absorbed))
        return len(self._nodes) - 1

    def shape(self, index: int) -> tuple[int, ...]:
        """Of a node's result, without the batch axis."""
        return self._nodes[index].shape

    def graph(self, index: int, node: Node) -> Graph:
        """The graph with all that was added, and `node` in the place of `index`."""
        self._nodes[index] = node
        return replace(self._graph, nodes=tuple(self._nodes))

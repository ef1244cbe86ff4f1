"""Rewrites that leave a model's outputs unchanged and make its windows cheaper.

Requirements: numpy only. Every rewrite is exact in real arithmetic; weights are combined in
float64. Nodes marked as an early stop, and model outputs, keep their tensors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np

from fastism.graph.nodes import Graph, Node, prune
from fastism.graph.softmax import softmax_of_flat, softmax_pool
from fastism.rules import (
    Affine,
    Concatenate,
    Convolution,
    Dense,
    FlattenDense,
    MaxPool,
    Pointwise,
    Reshape,
    Rule,
    WeightedSum,
)

Rewrite = Callable[[Graph, int], Graph | None]


def simplify(graph: Graph) -> Graph:
    """Apply all rewrites until none applies."""
    for stage in (_EARLY, _LATE):
        changed = True
        while changed:
            changed = False
            for rewritten in _candidates(graph, stage):
                graph, changed = prune(rewritten), True
                break
    return graph


def _candidates(graph: Graph, stage: tuple[Rewrite, ...]) -> Iterator[Graph]:
    for index in range(len(graph.nodes)):
        for rewrite in stage:
            rewritten = rewrite(graph, index)
            if rewritten is not None:
                yield rewritten


def _changed(graph: Graph, nodes: dict[int, Node], redirect: dict[int, int]) -> Graph:
    """Replace nodes, and let readers of a redirected node read another one."""
    listed = list(graph.nodes)
    for index, node in nodes.items():
        if index == len(listed):
            listed.append(node)
        else:
            listed[index] = node
    fresh = set(nodes)
    moved = [
        replace(node, inputs=tuple(redirect.get(i, i) for i in node.inputs))
        if index not in fresh
        else node
        for index, node in enumerate(listed)
    ]
    outputs = tuple(redirect.get(i, i) for i in graph.outputs)
    return replace(graph, nodes=tuple(moved), outputs=outputs)


def _private_source(graph: Graph, index: int) -> int | None:
    """The only input of a node, if nobody else reads that and it need not be kept."""
    inputs = graph.nodes[index].inputs
    if len(inputs) != 1 or graph.nodes[inputs[0]].stop or inputs[0] in graph.outputs:
        return None
    return inputs[0] if graph.consumers[inputs[0]] == (index,) else None


def _cast(graph: Graph, x: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(x, dtype=graph.dtype)


def _scaled(graph: Graph, rule: Rule, scale: np.ndarray, shift: np.ndarray | float) -> Rule:
    """A linear rule followed by ``scale * y + shift``."""
    bias = np.zeros(1) if rule.bias is None else rule.bias.astype(np.float64)
    return replace(
        rule,
        kernel=_cast(graph, rule.kernel * scale),
        bias=_cast(graph, np.broadcast_to(bias * scale + shift, np.broadcast(bias, scale).shape)),
    )


def fold_affine_back(graph: Graph, index: int) -> Graph | None:
    """Convolution or dense layer, then batch norm: one layer with scaled weights."""
    node, source = graph.nodes[index], _private_source(graph, index)
    if not isinstance(node.rule, Affine) or source is None:
        return None
    before = graph.nodes[source]
    if isinstance(before.rule, Affine):
        scale = before.rule.scale * node.rule.scale
        rule: Rule = Affine(scale, before.rule.shift * node.rule.scale + node.rule.shift)
    elif isinstance(before.rule, Convolution | Dense | FlattenDense):
        rule = _scaled(graph, before.rule, node.rule.scale, node.rule.shift)
    else:
        return None
    absorbed = (*before.absorbed, node.name, *node.absorbed)
    merged = replace(before, rule=rule, absorbed=absorbed, stop=node.stop)
    return _changed(graph, {source: merged}, {index: source})


def fold_affine_forward(graph: Graph, index: int) -> Graph | None:
    """Batch norm read only by convolutions and dense layers: scaled weights, another bias."""
    node = graph.nodes[index]
    readers = graph.consumers[index]
    if not isinstance(node.rule, Affine) or node.stop or index in graph.outputs or not readers:
        return None
    if not all(_takes_affine(graph, reader) for reader in readers):
        return None
    changes = {}
    for reader in readers:
        after = graph.nodes[reader]
        rule = _after_affine(graph, after.rule, node)
        absorbed = (*after.absorbed, node.name, *node.absorbed)
        changes[reader] = replace(after, rule=rule, absorbed=absorbed, inputs=node.inputs)
    return _changed(graph, changes, {})


def _takes_affine(graph: Graph, index: int) -> bool:
    rule = graph.nodes[index].rule
    if isinstance(rule, Convolution):
        return rule.groups == 1
    if isinstance(rule, Dense):
        return len(graph.nodes[graph.nodes[index].inputs[0]].shape) == 1
    return isinstance(rule, FlattenDense)


def _after_affine(graph: Graph, rule: Rule, node: Node) -> Rule:
    scale = node.rule.scale.astype(np.float64)
    shift = node.rule.shift.astype(np.float64)
    if isinstance(rule, Convolution):
        response = rule.constant_response(shift, node.shape[0])
        kernel = rule.kernel * scale[None, :, None]
    elif isinstance(rule, FlattenDense):
        response = np.einsum("c,lco->o", shift, rule.kernel)
        kernel = rule.kernel * scale[None, :, None]
    else:
        response = shift @ rule.kernel
        kernel = rule.kernel * scale[:, None]
    bias = response if rule.bias is None else response + rule.bias
    return replace(rule, kernel=_cast(graph, kernel), bias=_cast(graph, bias))


def pool_before_pointwise(graph: Graph, index: int) -> Graph | None:
    """A maximum may be taken before a non-decreasing function: fewer elements are computed.

    Where a batch norm has negative factors, those channels need the minimum: see `MaxPool`.
    """
    pool, source = graph.nodes[index], _private_source(graph, index)
    if not isinstance(pool.rule, MaxPool) or source is None:
        return None
    before = graph.nodes[source]
    if isinstance(before.rule, Affine):
        sign = np.where(before.rule.scale < 0, -1.0, 1.0)
        rule = replace(pool.rule, sign=pool.rule.sign_times(sign))
    elif isinstance(before.rule, Pointwise) and before.rule.elementwise and before.rule.monotone:
        rule = pool.rule
    else:
        return None
    first = replace(pool, rule=rule, inputs=before.inputs, stop=False)
    second = replace(before, inputs=(source,), shape=pool.shape, stop=pool.stop)
    return _changed(graph, {source: first, index: second}, {})


def sign_into_convolution(graph: Graph, index: int) -> Graph | None:
    """A pool that takes minima of some channels becomes a maximum of a negated convolution."""
    pool, source = graph.nodes[index], _private_source(graph, index)
    if not isinstance(pool.rule, MaxPool) or pool.rule.sign is None or source is None:
        return None
    before = graph.nodes[source]
    if pool.rule.negated or not isinstance(before.rule, Convolution):
        return None
    negated = replace(before, rule=_scaled(graph, before.rule, pool.rule.sign, 0.0))
    plain = replace(pool, rule=replace(pool.rule, negated=True))
    return _changed(graph, {source: negated, index: plain}, {})


def join_reshapes(graph: Graph, index: int) -> Graph | None:
    """A reshape of a reshape is one reshape; a reshape to the same shape is nothing."""
    node = graph.nodes[index]
    if not isinstance(node.rule, Reshape) or node.stop or node.rule.permutation is not None:
        return None
    before = graph.nodes[node.inputs[0]]
    if before.shape == node.shape and not before.stop:
        return _changed(graph, {}, {index: node.inputs[0]})
    if isinstance(before.rule, Reshape) and not before.stop:
        rule = replace(before.rule, shape=node.shape)
        return _changed(graph, {index: replace(node, rule=rule, inputs=before.inputs)}, {})
    return None


def pointwise_before_flatten(graph: Graph, index: int) -> Graph | None:
    """A function of one number commutes with Flatten."""
    node, source = graph.nodes[index], _private_source(graph, index)
    if not isinstance(node.rule, Pointwise) or not node.rule.elementwise or source is None:
        return None
    before = graph.nodes[source]
    if not isinstance(before.rule, Reshape):
        return None
    shape = graph.nodes[before.inputs[0]].shape
    first = replace(node, inputs=before.inputs, shape=shape, stop=False)
    second = replace(before, inputs=(source,), stop=node.stop)
    return _changed(graph, {source: first, index: second}, {})


def dense_after_flatten(graph: Graph, index: int) -> Graph | None:
    """Flatten, then a dense layer: a dense layer that reads positions and channels."""
    node = graph.nodes[index]
    if not isinstance(node.rule, Dense):
        return None
    flat = graph.nodes[node.inputs[0]]
    if not isinstance(flat.rule, Reshape) or not flat.rule.flattens or flat.stop:
        return None
    shape = graph.nodes[flat.inputs[0]].shape
    if len(shape) != 2:
        return None
    kernel = node.rule.kernel
    if flat.rule.permutation == (1, 0):
        # The features come channel by channel.
        kernel = kernel.reshape(*shape[::-1], -1).transpose(1, 0, 2)
    rule = FlattenDense(np.ascontiguousarray(kernel).reshape(*shape, -1), node.rule.bias)
    absorbed = (flat.name, *node.absorbed)
    fused = replace(node, rule=rule, inputs=flat.inputs, absorbed=absorbed)
    return _changed(graph, {index: fused}, {})


def dense_of_concatenation(graph: Graph, index: int) -> Graph | None:
    """A dense layer on vectors side by side, some of them flattened: a sum of dense layers."""
    node = graph.nodes[index]
    if not isinstance(node.rule, Dense) or len(node.shape) != 1:
        return None
    joined = graph.nodes[node.inputs[0]]
    if not isinstance(joined.rule, Concatenate) or joined.stop:
        return None
    parts = [graph.nodes[i] for i in joined.inputs]
    if not any(isinstance(part.rule, Reshape) for part in parts):
        return None
    ends = np.cumsum([part.shape[0] for part in parts])
    kernels = np.split(node.rule.kernel, ends[:-1])
    changes, terms = {}, []
    for number, (source, kernel) in enumerate(zip(joined.inputs, kernels, strict=True)):
        rule = Dense(kernel, None if number else node.rule.bias)
        terms.append(len(graph.nodes) + number)
        name = f"{node.name} ({number + 1} of {len(parts)})"
        changes[terms[-1]] = Node(name, node.kind, rule, (source,), node.shape)
    total = WeightedSum((1.0,) * len(terms))
    changes[index] = replace(node, rule=total, inputs=tuple(terms))
    return _changed(graph, dict(sorted(changes.items(), key=lambda c: c[0])), {})


_EARLY: tuple[Rewrite, ...] = (
    join_reshapes,
    softmax_of_flat,
    softmax_pool,
    pool_before_pointwise,
    pointwise_before_flatten,
    dense_of_concatenation,
    dense_after_flatten,
    fold_affine_back,
)
_LATE: tuple[Rewrite, ...] = (
    sign_into_convolution,
    fold_affine_back,
    fold_affine_forward,
    # Again, for dense layers that have just lost a batch norm in between.
    dense_of_concatenation,
    dense_after_flatten,
)

"""A framework-neutral description of a model: nodes in topological order, channels last.

Requirements: numpy only. A front end builds a `Graph`, `fastism.graph.simplify` rewrites it and
`fastism.planning.plan` decides how to run it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastism.rules.base import Rule


@dataclass(frozen=True, eq=False)
class Node:
    """One operation of a model.

    Parameters
    ----------
    name : str
        The layer's name in the user's model.
    kind : str
        The layer's class in the user's model, for people to read.
    rule : Rule
        What the operation does, with its weights.
    inputs : tuple of int
        Indices of the nodes that it reads.
    shape : tuple of int
        Shape of its result without the batch axis: ``(length, channels)`` or ``(features,)``.
    absorbed : tuple of str
        Names of layers that were folded into this one.
    stop : bool
        Whether the user asked for everything after this node to be recomputed in full.
    """

    name: str
    kind: str
    rule: Rule
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    absorbed: tuple[str, ...] = ()
    stop: bool = False


@dataclass(frozen=True, eq=False)
class Graph:
    """A model as nodes in topological order.

    Parameters
    ----------
    nodes : tuple of Node
        Every node comes after the nodes it reads.
    inputs : tuple of int
        Indices of the input nodes in the order of the model's inputs.
    outputs : tuple of int
        Indices of the output nodes in the order of the model's outputs.
    sequence : int
        Which of `inputs` is the perturbed sequence.
    dtype : str
        ``"float32"`` or ``"float64"``.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    sequence: int = 0
    dtype: str = "float32"
    consumers: tuple[tuple[int, ...], ...] = field(init=False)

    def __post_init__(self) -> None:
        readers: list[list[int]] = [[] for _ in self.nodes]
        for index, node in enumerate(self.nodes):
            for source in node.inputs:
                readers[source].append(index)
        object.__setattr__(self, "consumers", tuple(tuple(reader) for reader in readers))

    @property
    def perturbed(self) -> int:
        """Index of the node that holds the perturbed sequence."""
        return self.inputs[self.sequence]


class GraphBuilder:
    """Collects nodes for a `Graph`; indices returned by `add` are the nodes' indices."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []

    def add(self, name: str, kind: str, rule: Rule, inputs: Sequence[int] = ()) -> int:
        """Append a node, working out its shape with the rule; return its index."""
        shape = rule.output_shape([self.nodes[i].shape for i in inputs])
        self.nodes.append(Node(name, kind, rule, tuple(inputs), tuple(shape)))
        return len(self.nodes) - 1

    def build(
        self, inputs: Iterable[int], outputs: Iterable[int], sequence: int, dtype: str
    ) -> Graph:
        """The finished graph, without the nodes that no output needs."""
        return prune(
            Graph(tuple(self.nodes), tuple(inputs), tuple(outputs), sequence=sequence, dtype=dtype)
        )


def prune(graph: Graph) -> Graph:
    """Drop nodes that no output needs (inputs stay) and number the rest in topological order."""
    order: list[int] = []
    seen: set[int] = set()

    def visit(root: int) -> None:
        stack = [(root, False)]
        while stack:
            index, expanded = stack.pop()
            if expanded:
                order.append(index)
            elif index not in seen:
                seen.add(index)
                stack.append((index, True))
                stack.extend((source, False) for source in reversed(graph.nodes[index].inputs))

    for index in (*graph.inputs, *graph.outputs):
        visit(index)
    number = {old: new for new, old in enumerate(order)}
    nodes = tuple(
        replace(graph.nodes[old], inputs=tuple(number[i] for i in graph.nodes[old].inputs))
        for old in order
    )
    return replace(
        graph,
        nodes=nodes,
        inputs=tuple(number[i] for i in graph.inputs),
        outputs=tuple(number[i] for i in graph.outputs),
    )


def with_outputs(graph: Graph, outputs: Sequence[int]) -> Graph:
    """The part of a graph that some of its outputs need.

    Parameters
    ----------
    graph : Graph
    outputs : sequence of int
        Numbers of outputs, not of nodes; those that are kept, in that order.
    """
    return prune(replace(graph, outputs=tuple(graph.outputs[i] for i in outputs)))

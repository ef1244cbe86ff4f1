"""A framework-neutral description of a model, and rewrites that make it cheaper to run."""

from fastism.graph.nodes import Graph, GraphBuilder, Node, prune, with_outputs

__all__ = ["Graph", "GraphBuilder", "Node", "prune", "with_outputs"]

"""Which steps run in the same pass as the convolution before them: its tail.

Requirements: numpy only. A window is large, and a pass over it costs about as much as the
arithmetic of a small convolution. A kernel that keeps a part of the window in registers can take
the ReLU, a residual sum or a max pool while it is at it. Here, once the layout is known, it is
decided what may be joined. How a backend does it is its own affair: it gets an
`fastism.backends.epilogue.Epilogue`, and what its kernels do not take it runs as separate passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fastism.graph.nodes import Graph
from fastism.planning.layout import Layout
from fastism.planning.steps import Mode, Step
from fastism.rules import Kind, MaxPool, WeightedSum


@dataclass(frozen=True)
class Tail:
    """What runs in the pass of a convolution, whose result is then the delta of `end`.

    Parameters
    ----------
    relu : int
        The ReLU that follows the convolution, or the pool.
    pool : int or None
        A max pool between the convolution and the ReLU.
    total : int or None
        The sum of the ReLU's delta and of a window that exists already: a residual connection.
    """

    relu: int
    pool: int | None = None
    total: int | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes of the tail in the order in which they run; none has a step of its own."""
        return tuple(i for i in (self.pool, self.relu, self.total) if i is not None)

    @property
    def end(self) -> int:
        """The node whose delta the pass gives."""
        return self.nodes[-1]


def find_tails(graph: Graph, steps: Sequence[Step], layout: Layout) -> dict[int, Tail]:
    """The tail of every convolution that has one, by the index of the convolution.

    Parameters
    ----------
    graph : Graph
    steps : sequence of Step
    layout : Layout
        Steps share a pass only where their windows coincide.
    """
    tails = {i: _tail(graph, steps, layout, i) for i in layout.nodes}
    return {i: tail for i, tail in tails.items() if tail is not None}


def _tail(graph: Graph, steps: Sequence[Step], layout: Layout, head: int) -> Tail | None:
    if not graph.nodes[head].rule.takes_epilogue:
        return None
    reader = _only_reader(graph, steps, head)
    if reader is None:
        return None
    if steps[head].produces is Kind.RECTIFIED and layout.coincide(reader, head):
        return Tail(reader, total=_residual_sum(graph, steps, layout, head, reader))
    pool = graph.nodes[reader].rule
    if steps[head].produces is not Kind.VALUES or not isinstance(pool, MaxPool):
        return None
    relu = _only_reader(graph, steps, reader)
    if relu is None or steps[relu].consumes is not Kind.RECTIFIED:
        return None
    # Signs that the convolution does not have in its kernel would come before the maximum.
    upright = pool.sign is None or pool.negated
    return Tail(relu, pool=reader) if upright and layout.coincide(relu, reader) else None


def _only_reader(graph: Graph, steps: Sequence[Step], index: int) -> int | None:
    """The window step that is the only one to look at the window of `index`, or None."""
    readers = graph.consumers[index]
    if len(readers) != 1 or index in graph.outputs or steps[readers[0]].mode is not Mode.WINDOW:
        return None
    return readers[0]


def _residual_sum(
    graph: Graph, steps: Sequence[Step], layout: Layout, head: int, relu: int
) -> int | None:
    """The sum of the delta of `relu` and of a window that was made before `head`, or None."""
    total = _only_reader(graph, steps, relu)
    if total is None or steps[total].produces is not Kind.DELTA:
        return None
    node = graph.nodes[total]
    if not isinstance(node.rule, WeightedSum) or node.rule.weights != (1.0, 1.0):
        return None
    (other,) = {*node.inputs} - {relu} or {relu}
    made_before = other < head and steps[other].mode is Mode.WINDOW
    # The sum may take the memory of that window, so nothing between here and there may read it.
    read_later = any(c > head for c in graph.consumers[other] if c != total)
    same_shape = graph.nodes[other].shape == node.shape == graph.nodes[relu].shape
    fits = made_before and not read_later and same_shape and layout.coincide(total, head)
    return total if fits else None

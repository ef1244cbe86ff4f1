"""Which form every node of a graph runs in: reference only, window, readout or full.

Requirements: numpy only. Pure functions of a graph. Geometry is the business of
`fastism.planning.layout`, costs and block size that of `fastism.planning.plan`, and which steps
share one pass that of `fastism.planning.fuse`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from fastism.graph.nodes import Graph, Node
from fastism.rules import (
    Kind,
    Opaque,
    Pointwise,
    Source,
)


class Mode(Enum):
    """How a node is computed for the mutants.

    ``REFERENCE``: it does not depend on the perturbed input. ``WINDOW``: on the affected
    interval only. ``READOUT``: a feature vector read from a window. ``FULL``: on whole tensors.
    """

    REFERENCE = "reference"
    WINDOW = "window"
    READOUT = "readout"
    FULL = "full"


@dataclass(frozen=True)
class Step:
    """How one node runs.

    Parameters
    ----------
    mode : Mode
    consumes, produces : Kind or None
        Kinds of window read and written (None unless the mode works on windows).
    reuse : tuple of bool
        Per input: this is the last step that reads its window, whose memory it may take.
    reason : str
        Why the node runs in full, for people; empty otherwise.
    """

    mode: Mode
    consumes: Kind | None = None
    produces: Kind | None = None
    reuse: tuple[bool, ...] = ()
    reason: str = ""


def assign_steps(graph: Graph) -> tuple[Step, ...]:
    """Decide mode and kinds for every node of `graph`."""
    modes, reasons = _modes(graph)
    wants = _wants_values(graph, modes)
    steps: list[Step] = []
    for index, node in enumerate(graph.nodes):
        consumes = produces = None
        if modes[index] in (Mode.WINDOW, Mode.READOUT):
            made = [steps[i].produces for i in node.inputs if modes[i] is Mode.WINDOW]
            consumes = _consumes(node, made, wants[index])
            if modes[index] is Mode.WINDOW:
                produces = _produces(graph, modes, index, consumes, wants)
        reuse = _last_use(graph, modes, steps, index)
        steps.append(Step(modes[index], consumes, produces, reuse, reasons[index]))
    return tuple(steps)


def _modes(graph: Graph) -> tuple[list[Mode], list[str]]:
    modes: list[Mode] = []
    reasons: list[str] = []
    for index, node in enumerate(graph.nodes):
        mode, reason = Mode.REFERENCE, ""
        sources = [modes[i] for i in node.inputs]
        if index == graph.perturbed:
            mode = Mode.WINDOW
        elif any(source is not Mode.REFERENCE for source in sources):
            mode, reason = _dependent_mode(graph, node, sources)
        modes.append(mode)
        reasons.append(reason)
    return modes, reasons


def _dependent_mode(graph: Graph, node: Node, sources: Sequence[Mode]) -> tuple[Mode, str]:
    if isinstance(node.rule, Opaque):
        return Mode.FULL, node.rule.reason
    if any(graph.nodes[i].stop for i in node.inputs):
        return Mode.FULL, "after an early stop layer"
    if Mode.FULL in sources or Mode.READOUT in sources:
        return Mode.FULL, ""
    affected = [source is not Mode.REFERENCE for source in sources]
    shapes = [graph.nodes[i].shape for i in node.inputs]
    if node.rule.reads_out is not None:
        return Mode.READOUT, ""
    if node.rule.local_for(shapes, affected):
        return Mode.WINDOW, ""
    return Mode.FULL, node.rule.reach or f"{node.kind} mixes positions of {shapes}"


def _window_readers(graph: Graph, modes: Sequence[Mode], index: int) -> list[int]:
    return [c for c in graph.consumers[index] if modes[c] in (Mode.WINDOW, Mode.READOUT)]


def _wants_values(graph: Graph, modes: Sequence[Mode]) -> list[bool]:
    """Per node: every step that reads its window works on values."""
    wants = [False] * len(graph.nodes)
    for index in reversed(range(len(graph.nodes))):
        readers = _window_readers(graph, modes, index)
        wants[index] = bool(readers) and all(
            wants[c]
            if _is_relu(graph.nodes[c]) or graph.nodes[c].rule.consumes is None
            else graph.nodes[c].rule.consumes is Kind.VALUES
            for c in readers
        )
    return wants


def _is_relu(node: Node) -> bool:
    return isinstance(node.rule, Pointwise) and node.rule.function == "relu"


def _consumes(node: Node, made: Sequence[Kind | None], wants_values: bool) -> Kind | None:
    """The kind of window that a node reads, given what its inputs made and its readers want."""
    if isinstance(node.rule, Source):
        return None
    if _is_relu(node):
        return Kind.VALUES if wants_values else Kind.RECTIFIED
    if node.rule.consumes is not None:
        return node.rule.consumes
    all_values = wants_values and all(kind is Kind.VALUES for kind in made)
    return Kind.VALUES if all_values else Kind.DELTA


def _produces(
    graph: Graph, modes: Sequence[Mode], index: int, consumes: Kind | None, wants: Sequence[bool]
) -> Kind:
    node = graph.nodes[index]
    if consumes is Kind.VALUES:
        return Kind.VALUES
    if not node.rule.accumulates:
        return Kind.DELTA
    if wants[index]:
        return Kind.VALUES
    readers = graph.consumers[index]
    if len(readers) == 1 and index not in graph.outputs:
        reader = readers[0]
        relu_on_delta = _is_relu(graph.nodes[reader]) and not wants[reader]
        if relu_on_delta and modes[reader] is Mode.WINDOW:
            return Kind.RECTIFIED
    return Kind.DELTA


def _last_use(
    graph: Graph, modes: Sequence[Mode], steps: Sequence[Step], index: int
) -> tuple[bool, ...]:
    """Per input: nothing reads its memory later, be it a step or a readout at a chunk's end."""
    node = graph.nodes[index]
    return tuple(
        modes[index] is Mode.WINDOW
        and modes[source] is Mode.WINDOW
        and node.inputs.count(source) == 1
        and source not in graph.outputs
        and max(graph.consumers[source]) == index
        and all(modes[c] is Mode.WINDOW for c in graph.consumers[source])
        and not _is_shared(graph, steps, source, index)
        for source in node.inputs
    )


def _is_shared(graph: Graph, steps: Sequence[Step], source: int, reader: int) -> bool:
    """Whether another window may look at the memory of the one that `reader` gets."""
    node = graph.nodes[source]
    views = (c for c in graph.consumers[source] if c != reader)
    if any(graph.nodes[c].rule.shares_memory for c in views):
        return True
    return bool(node.inputs) and node.rule.shares_memory and not all(steps[source].reuse)

"""Why steps run in full, for people: what made them global, and how much of the model they are.

Requirements: numpy only. Pure functions of a plan's parts.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod

from fastism.graph.nodes import Graph
from fastism.planning.costs import Cost
from fastism.planning.steps import Mode, Step

#: Part of naive ISM from which on a step in full says why, although the first one before it does.
SHARE = 1 / 20


def spreading(graph: Graph, steps: Sequence[Step]) -> dict[int, str]:
    """Steps at which what was read from the whole sequence reaches every position again.

    They need no window because no position is left out: the gate of squeeze-excitation, or a
    global pool that is multiplied back.

    Returns
    -------
    dict of int to str
        By node, why it runs in full.
    """
    found = {}
    for index, (node, step) in enumerate(zip(graph.nodes, steps, strict=True)):
        if step.mode is not Mode.FULL or step.reason or not _has_positions(node.shape):
            continue
        full = [i for i in node.inputs if steps[i].mode in (Mode.FULL, Mode.READOUT)]
        if not any(_has_positions(graph.nodes[i].shape) for i in full):
            readouts = dict.fromkeys(r for i in full for r in _readouts(graph, steps, i))
            told = " and ".join(_named(graph, r) for r in readouts)
            found[index] = f"what {told} reads from all positions changes every position here"
    return found


def reasons(graph: Graph, steps: Sequence[Step], costs: Sequence[Cost]) -> dict[int, str]:
    """Why a step runs in full: where the windows end, and of whatever is costly behind that.

    Returns
    -------
    dict of int to str
        By node, in topological order.
    """
    ends = spreading(graph, steps)
    ends.update({i: step.reason for i, step in enumerate(steps) if step.reason})
    total = sum(cost.naive for cost in costs)
    told = dict(ends)
    for index, step in enumerate(steps):
        costly = costs[index].naive > SHARE * total
        if step.mode is Mode.FULL and index not in ends and costly:
            told[index] = f"after {_named(graph, _first_global(graph, steps, ends, index))}"
    return dict(sorted(told.items()))


def reasons_told(
    graph: Graph, costs: Sequence[Cost], found: Mapping[int, str], uncounted: bool
) -> Iterator[str]:
    """A line for every step that says why it runs in full, with its part of naive ISM.

    Parameters
    ----------
    graph : Graph
    costs : sequence of Cost
    found : mapping of int to str
        From `reasons`.
    uncounted : bool
        Whether there are layers of unknown cost, of which parts cannot be told.
    """
    total = max(sum(cost.naive for cost in costs), 1)
    for index, reason in found.items():
        share = 0.0 if uncounted else costs[index].naive / total
        part = f" This is {share:.0%} of naive ISM." if share >= 0.005 else ""
        yield f"In full: {_named(graph, index)}: {reason}.{part}"


def _first_global(graph: Graph, steps: Sequence[Step], ends: dict[int, str], index: int) -> int:
    """The step where the windows ended, before `index`; a readout where nothing else did."""
    seen, stack, readouts = {index}, [index], []
    while stack:
        for source in graph.nodes[stack.pop()].inputs:
            if source in ends:
                return source
            if steps[source].mode is Mode.READOUT:
                readouts.append(source)
            elif steps[source].mode is Mode.FULL and source not in seen:
                seen.add(source)
                stack.append(source)
    return readouts[0]


def _readouts(graph: Graph, steps: Sequence[Step], index: int) -> list[int]:
    """The readouts, or whatever else reads all positions, that a vector comes from."""
    if steps[index].mode is Mode.READOUT or steps[index].reason:
        return [index]
    full = [i for i in graph.nodes[index].inputs if steps[i].mode in (Mode.FULL, Mode.READOUT)]
    return [r for i in full for r in _readouts(graph, steps, i)] or [index]


def _has_positions(shape: Sequence[int]) -> bool:
    return len(shape) > 1 and prod(shape[:-1]) > 1


def _named(graph: Graph, index: int) -> str:
    return f"{graph.nodes[index].name} ({graph.nodes[index].kind})"

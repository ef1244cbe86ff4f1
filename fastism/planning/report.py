"""Costs of layers as a table for people, from plain rows: it serves plans of edits and of pairs.

Requirements: rich.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.table import Table

from fastism.graph.nodes import Graph
from fastism.planning.costs import Cost
from fastism.planning.steps import Mode, Step


@dataclass(frozen=True)
class Row:
    """A line of the table: a layer, or the sum over all layers.

    Parameters
    ----------
    cells : tuple of str
        What stands in the columns before the costs.
    naive, fast : float
        Multiply-adds of naive ISM and of the plan.
    known : bool
        Whether they can be known.
    """

    cells: tuple[str, ...]
    naive: float
    fast: float
    known: bool = True

    @property
    def costs(self) -> tuple[str, str, str]:
        """Multiply-adds of naive ISM, of the plan, and their ratio, in words."""
        if not self.known:
            return "?", "?", "?"
        ratio = f"{self.naive / self.fast:.1f}" if self.naive and self.fast else ""
        return count(self.naive), count(self.fast), ratio


def cost_table(
    words: Sequence[str],
    numbers: Sequence[str],
    rows: Iterable[Row],
    total: Row,
    remarks: Iterable[str],
) -> str:
    """A table of layers with what they cost, naive and fast, and what is to be said below it.

    Parameters
    ----------
    words, numbers : sequence of str
        Headings of the columns before the costs: of text, then of numbers.
    rows : iterable of Row
        One per layer.
    total : Row
        The last line; cells that it lacks are empty.
    remarks : iterable of str
        Lines below the table.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in words:
        table.add_column(heading, overflow="fold")
    for heading in (*numbers, "naive", "fast", "ratio"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*row.cells, *row.costs)
    table.add_section()
    empty = [""] * (len(words) + len(numbers) - len(total.cells))
    table.add_row(*total.cells, *empty, *total.costs, style="bold")
    text = io.StringIO()
    console = Console(file=text, width=120, color_system=None)
    console.print(table)
    for line in remarks:
        console.print(line, markup=False)
    return text.getvalue().rstrip()


def shown_width(cost: Cost, digits: int = 0) -> str:
    """The mean width of a layer's windows; nothing where there are none."""
    return "" if cost.width != cost.width else f"{cost.width:.{digits}f}"


def expectation(speedup: float, uncounted: Iterable[str]) -> str:
    """The speedup to expect, or why it cannot be known.

    Parameters
    ----------
    speedup : float
    uncounted : iterable of str
        Names of the layers whose multiply-adds cannot be counted.
    """
    names = ", ".join(dict.fromkeys(uncounted))
    if not names:
        return f"Expected speedup at equal rates: {speedup:.1f} times."
    return (
        "The speedup cannot be known beforehand, because the multiply-adds of what runs in full "
        f"cannot be counted: {names}."
    )


def way_told(naive: bool, least: float) -> Iterator[str]:
    """A line about a plan that is not followed, because naive ISM costs no more."""
    if naive:
        yield (
            f"Less than {least:g} times is not worth it: every mutant runs through the whole "
            "model instead, in batches of the fastest size, as in naive ISM (naive_below=0 "
            "overrules that)."
        )


def kernels_told(graph: Graph, kernels: Mapping[int, Sequence[str]]) -> Iterator[str]:
    """A line for every kernel that was chosen, with its layers; none before anything ran."""
    layers: dict[str, list[str]] = {}
    for index, names in kernels.items():
        for name in names:
            layers.setdefault(name, []).append(graph.nodes[index].name)
    for name, found in layers.items():
        yield f"Kernel {name!r}: {', '.join(found)}."


def runs_on(step: Step) -> str:
    """What a step is run on, in words."""
    if step.mode is Mode.REFERENCE:
        return "reference"
    if step.mode is Mode.FULL:
        return "full tensor"
    if step.mode is Mode.READOUT:
        return "changed rows" if step.consumes and step.consumes.value == "delta" else "values"
    return "deltas" if step.consumes is None else step.consumes.value.replace("delta", "deltas")


def count(x: float) -> str:
    """A number for people, such as 3.4M; nothing for zero."""
    if not x:
        return ""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= limit:
            return f"{x / limit:.3g}{unit}"
    return f"{x:.0f}"

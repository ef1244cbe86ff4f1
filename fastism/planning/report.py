"""A plan as a table for people.

Requirements: numpy, rich.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from fastism.planning.steps import Mode, Step

if TYPE_CHECKING:
    from fastism.planning.plan import Plan


def plan_table(plan: Plan) -> str:
    """Layers, how each runs, affected widths, multiply-adds per mutant and what is opaque."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("layer", "kind", "runs on"):
        table.add_column(heading, overflow="fold")
    for heading in ("length", "width", "naive", "fast", "ratio"):
        table.add_column(heading, justify="right")
    rows = zip(plan.graph.nodes, plan.steps, plan.costs, strict=True)
    for node, step, cost in rows:
        name = node.name + (f" (+ {', '.join(node.absorbed)})" if node.absorbed else "")
        width = "" if cost.width != cost.width else f"{cost.width:.0f}"
        length = str(node.shape[0]) if len(node.shape) == 2 else ""
        ratio = f"{cost.naive / cost.fast:.1f}" if cost.naive and cost.fast else ""
        counts = count(cost.naive), count(cost.fast)
        if node.name in plan.uncounted:
            counts = "?", "?"
        table.add_row(name, node.kind, runs_on(step), length, width, *counts, ratio)
    table.add_section()
    table.add_row(
        "per mutant",
        "",
        "",
        "",
        "",
        *(("?", "?") if plan.uncounted else (count(plan.naive_macs), count(plan.fast_macs))),
        "?" if plan.uncounted else f"{plan.speedup:.1f}",
        style="bold",
    )
    text = io.StringIO()
    console = Console(file=text, width=120, color_system=None)
    console.print(table)
    console.print(
        "Widths in positions, costs in multiply-adds per mutant, averaged over the sequence;\n"
        f"blocks of {plan.layout.block} positions. {expectation(plan)}",
        markup=False,
    )
    for line in reasons_told(plan):
        console.print(line, markup=False)
    return text.getvalue().rstrip()


def expectation(plan: Plan) -> str:
    """The speedup to expect, or why it cannot be known."""
    if not plan.uncounted:
        return f"Expected speedup at equal rates: {plan.speedup:.1f} times."
    names = ", ".join(dict.fromkeys(plan.uncounted))
    return (
        "The speedup cannot be known beforehand, because the multiply-adds of what runs in full "
        f"cannot be counted: {names}."
    )


def reasons_told(plan: Plan) -> Iterator[str]:
    """A line for every step that says why it runs in full, with its part of naive ISM."""
    for index, reason in plan.reasons.items():
        node, cost = plan.graph.nodes[index], plan.costs[index]
        share = 0.0 if plan.uncounted else cost.naive / max(plan.naive_macs, 1)
        part = f" This is {share:.0%} of naive ISM." if share >= 0.005 else ""
        yield f"In full: {node.name} ({node.kind}): {reason}.{part}"


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

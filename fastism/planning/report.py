"""A plan as a table for people.

Requirements: numpy, rich.
"""

from __future__ import annotations

import io
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
        table.add_row(
            name,
            node.kind,
            runs_on(step),
            length,
            width,
            _count(cost.naive),
            _count(cost.fast),
            ratio,
        )
    table.add_section()
    table.add_row(
        "per mutant",
        "",
        "",
        "",
        "",
        _count(plan.naive_macs),
        _count(plan.fast_macs),
        f"{plan.speedup:.1f}",
        style="bold",
    )
    text = io.StringIO()
    console = Console(file=text, width=120, color_system=None)
    console.print(table)
    console.print(
        "Widths in positions, costs in multiply-adds per mutant, averaged over the sequence;\n"
        f"blocks of {plan.layout.block} positions. "
        f"Expected speedup at equal rates: {plan.speedup:.1f} times."
    )
    if plan.opaque:
        console.print("Layers in full that have no rule are not counted: expect less.")
    for node, step in zip(plan.graph.nodes, plan.steps, strict=True):
        if step.reason:
            console.print(f"In full: {node.name} ({node.kind}): {step.reason}.", markup=False)
    return text.getvalue().rstrip()


def runs_on(step: Step) -> str:
    """What a step is run on, in words."""
    if step.mode is Mode.REFERENCE:
        return "reference"
    if step.mode is Mode.FULL:
        return "full tensor"
    if step.mode is Mode.READOUT:
        return "changed rows" if step.consumes and step.consumes.value == "delta" else "values"
    return "deltas" if step.consumes is None else step.consumes.value.replace("delta", "deltas")


def _count(x: float) -> str:
    if not x:
        return ""
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= limit:
            return f"{x / limit:.3g}{unit}"
    return f"{x:.0f}"

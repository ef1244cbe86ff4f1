"""A plan of pairs as a table for people.

Requirements: numpy, rich.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from fastism.planning.report import count

if TYPE_CHECKING:
    from fastism.pairs.plan import PairPlan


def pair_plan_table(plan: PairPlan) -> str:
    """Layers, how wide both edits reach, multiply-adds per pair, and the method with its reason."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in ("layer", "kind"):
        table.add_column(heading, overflow="fold")
    for heading in ("width", "naive", "fast", "ratio"):
        table.add_column(heading, justify="right")
    for node, cost in zip(plan.single.graph.nodes, plan.costs, strict=True):
        width = "" if cost.width != cost.width else f"{cost.width:.1f}"
        ratio = f"{cost.naive / cost.fast:.1f}" if cost.naive and cost.fast else ""
        table.add_row(node.name, node.kind, width, count(cost.naive), count(cost.fast), ratio)
    table.add_section()
    known = not plan.single.uncounted
    total = (count(plan.naive_macs), count(plan.fast_macs), f"{plan.speedup:.1f}")
    total = total if known else ("?", "?", "?")
    table.add_row("per pair", "", "", *total, style="bold")
    text = io.StringIO()
    console = Console(file=text, width=120, color_system=None)
    console.print(table)
    console.print(f"Method: {plan.method.value}: {plan.reason}.", markup=False)
    console.print(
        f"Pairs of {plan.positions} positions in blocks of {plan.block}; "
        f"{100 * plan.near:.0f}% act on each other before steps in full."
    )
    if known:
        console.print(f"Expected speedup at equal rates: {plan.speedup:.1f} times.")
    return text.getvalue().rstrip()

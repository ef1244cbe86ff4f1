"""What the regression check prints.

Requirements: rich.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.table import Table

from benchmarks.records import Record, Where
from benchmarks.regression.baseline import Baseline
from benchmarks.regression.bounds import HALF, Finding

#: How the table names the kinds of comparisons that are in it.
KINDS = {
    "counted": "Counted: multiply-adds of the plan, none may fall.",
    "measured": "Measured: seconds, at least {fraction:g} of the baseline.",
    "promised": "Promised: seconds, the best framework, at least {half:g} of what the "
    "multiply-adds of the plan promise.",
}
#: What to do about what is worse, by kind.
MEANT = {
    "counted": "If that is meant, write a new baseline with --update.",
    "measured": "If that is meant, write a new baseline with --update.",
    "promised": "Less than half of what arithmetic promises is slow on every processor: "
    "`python -m benchmarks.floor.profile` shows which layers take the time.",
}


def table(findings: Sequence[Finding], baseline: Baseline) -> Table:
    """One row per comparison."""
    kinds = {each.kind for each in findings}
    captions = [text for kind, text in KINDS.items() if kind in kinds]
    result = Table(
        title=f"Speedups against the baseline of {baseline.where.date[:10]}",
        caption=" ".join(captions).format(fraction=baseline.fraction, half=HALF),
        title_justify="left",
        caption_justify="left",
    )
    result.add_column("what")
    result.add_column("how")
    for name in ("expected", "at least", "now", "share"):
        result.add_column(name, justify="right")
    result.add_column("")
    for each in findings:
        result.add_row(
            each.name,
            each.kind,
            f"{each.expected:.2f}×",
            f"{each.least:.2f}×",
            f"{each.found:.2f}×",
            f"{each.share:.0%}",
            "ok" if each.passed else "[bold red]worse",
        )
    return result


def regressed(finding: Finding) -> str:
    """What is worse, and what to do about it."""
    return (
        f"Regressed: {finding.name} ({finding.kind}): {finding.found:.4g}×, expected at least "
        f"{finding.least:.4g}×. {MEANT[finding.kind]}"
    )


def no_baseline(there: Where, here: Where) -> str:
    """What to say where a baseline is of another kind of processor."""
    return (
        f"There is no baseline of this kind of processor: it was taken on {there.cpu}, "
        f"{there.threads} threads; this is {here.cpu}, {here.threads} threads. Multiply-adds are "
        "compared with it, and measured speedups with what multiply-adds promise. `python -m "
        "benchmarks.regression --update --baseline FILE` takes one."
    )


def taken_over(earlier: Mapping[tuple[str, int], Sequence[Record]], path: Path) -> str:
    """What to say of cases that were measured before."""
    cases = ", ".join(f"{architecture} {length}" for architecture, length in earlier)
    date = min(record.where.date for taken in earlier.values() for record in taken)
    return f"Measured before, of this commit and on this processor ({path}, {date}): {cases}."

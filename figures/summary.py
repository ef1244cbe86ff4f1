"""What a run of the workflow ends with: the speedups, and where the files are.

Requirements: rich.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.records import read
from benchmarks.records.compare import Comparison, compare, main_cases, seconds_per_sequence
from figures.provenance import FRAMEWORKS, caption
from figures.speedup_table import shown_model

#: From here on it is said that a framework is slower than the best one.
MUCH_SLOWER = 2.0


def table(comparisons: Sequence[Comparison]) -> Table:
    """One row per comparison, with its fastest backend."""
    # Logs are 80 wide: narrow rules, and only the names of models may take two lines.
    result = Table(
        title="Exact ISM, seconds per sequence",
        title_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        padding=0,
    )
    result.add_column("model")
    for name in ("bp", "sequences", "naive", "fastISM", "speedup", "range"):
        result.add_column(name, justify="right", no_wrap=True)
    result.add_column("naive on", no_wrap=True)
    result.add_column("fast on", no_wrap=True)
    for c in comparisons:
        ratio = c.speedup(c.best)
        result.add_row(
            shown_model(c.naive),
            str(c.naive.what.length),
            str(c.naive.what.sequences),
            f"{seconds_per_sequence(c.naive)[0]:.3g}",
            f"{seconds_per_sequence(c.best)[0]:.3g}",
            f"[bold]{ratio.median:.1f}×",
            f"{ratio.least:.1f}–{ratio.most:.1f}",
            FRAMEWORKS[c.naive.how.backend],
            FRAMEWORKS[c.best.how.backend],
        )
    return result


def slow_backends(comparisons: Sequence[Comparison]) -> list[str]:
    """A line for each framework on which fast ISM is much slower than on the best one."""
    lines = []
    for c in comparisons:
        best = seconds_per_sequence(c.best)[0]
        for fast in c.fast[1:]:
            times = seconds_per_sequence(fast)[0] / best
            if times >= MUCH_SLOWER:
                lines.append(
                    f"{shown_model(c.naive)}, {c.naive.what.length} bp: "
                    f"{FRAMEWORKS[fast.how.backend]} takes {times:.1f} times as long as "
                    f"{FRAMEWORKS[c.best.how.backend]}."
                )
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the speedups and the files."""
    parser = argparse.ArgumentParser(prog="python -m figures.summary", description=main.__doc__)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--files", type=Path, nargs="*", default=[], help="to be listed")
    given = parser.parse_args(arguments)
    console = Console(highlight=False)
    comparisons = main_cases(compare(read(given.records)))
    if comparisons:
        console.print(table(comparisons))
        console.print(caption(comparisons, "range: of the ratio within a round"), style="dim")
        for line in slow_backends(comparisons):
            console.print(line, soft_wrap=True)
        console.print()
    for path in given.files:
        console.print(str(path), soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()

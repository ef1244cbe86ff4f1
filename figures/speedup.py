"""The figure of speedups: seconds per sequence, naive against fast ISM.

    python -m figures.speedup --records R.jsonl --output F.svg F.png

Requirements: matplotlib.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from math import sqrt
from pathlib import Path

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from benchmarks.records import read
from benchmarks.records.compare import Comparison, compare, main_cases, seconds_per_sequence
from fastism.errors import FastISMError
from figures import style
from figures.provenance import FRAMEWORKS, caption
from figures.speedup_table import shown_model

TITLE = "Exact ISM, every substitution of a sequence"
TOP, ROW, BOTTOM = 0.95, 0.58, 1.15  # inches
WIDTH = 9.0


def plot(comparisons: Sequence[Comparison]) -> Figure:
    """Draw the fewest and the most sequences in a panel each, one row per architecture and length.

    Parameters
    ----------
    comparisons : sequence of Comparison
        At least one.

    Returns
    -------
    Figure
        The caller writes and closes it.
    """
    groups = _groups(comparisons)
    cases = list(dict.fromkeys(_case(c) for c in comparisons))
    height = TOP + ROW * len(cases) + BOTTOM
    figure, panels = plt.subplots(
        1,
        len(groups),
        figsize=(WIDTH, height),
        sharex=True,
        sharey=True,
        squeeze=False,
        gridspec_kw={
            "left": 0.15,
            "right": 0.985,
            "top": 1 - TOP / height,
            "bottom": BOTTOM / height,
            "wspace": 0.06,
        },
    )
    for panel, group in zip(panels[0], groups, strict=True):
        numbers = sorted({c.naive.what.sequences for c in group})
        panel.set_title(_title(numbers))
        panel.set_xscale("log")
        panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        panel.grid(axis="x")
        for comparison in group:
            _draw(panel, comparison, cases.index(_case(comparison)), len(numbers) > 1)
        panel.set_xlabel("seconds per sequence, log scale")
    first = panels[0][0]
    first.set_yticks(range(len(cases)), [f"{name}\n{length} bp" for name, length in cases])
    first.set_ylim(len(cases) - 0.5, -0.5)
    _widen(first, comparisons)
    style.add_title(figure, TITLE, 0.1)
    figure.legend(
        handles=_legend(comparisons),
        loc="upper left",
        bbox_to_anchor=(0, 1 - 0.28 / height),
        ncols=4,
        fontsize=8,
    )
    style.add_caption(figure, caption(comparisons, "bars: all runs"), BOTTOM - 0.5)
    return figure


def _groups(comparisons: Sequence[Comparison]) -> list[list[Comparison]]:
    """The comparisons of each panel.

    The first has those with the fewest sequences of all; the second, of every case that was timed
    with more, the one with the most.
    """
    least = min(c.naive.what.sequences for c in comparisons)
    most: dict[tuple[str, int], Comparison] = {}
    for c in sorted(comparisons, key=lambda c: c.naive.what.sequences):
        if c.naive.what.sequences > least:
            most[_case(c)] = c
    few = [c for c in comparisons if c.naive.what.sequences == least]
    return [few, list(most.values())] if most else [few]


def _title(numbers: Sequence[int]) -> str:
    if list(numbers) == [1]:
        return "one sequence"
    *first, last = map(str, numbers)
    listed = f"{', '.join(first)} or {last}" if first else last
    return f"{listed} sequences in one call"


def _case(comparison: Comparison) -> tuple[str, int]:
    return shown_model(comparison.naive), comparison.naive.what.length


def _draw(panel: Axes, comparison: Comparison, row: int, counted: bool) -> None:
    """One row: naive, the best backend, the others, the floor, and the speedup as a number.

    Below the first two stands the framework that they ran on. The number of sequences stands beside
    the speedup where it is `counted`.
    """
    naive, best = comparison.naive, comparison.best
    slow, fast = seconds_per_sequence(naive)[0], seconds_per_sequence(best)[0]
    panel.plot([fast, slow], [row, row], color=style.GREY, linewidth=0.8, zorder=1)
    for record, color, marker, filled in (
        (naive, style.VERMILION, "s", False),
        (best, style.BLUE, "o", True),
    ):
        median, least, most = seconds_per_sequence(record)
        panel.plot([least, most], [row, row], color=color, linewidth=3, alpha=0.5, zorder=2)
        face = color if filled else "white"
        panel.plot(median, row, marker, color=color, markerfacecolor=face, markersize=7, zorder=3)
    for other in comparison.fast[1:]:
        median = seconds_per_sequence(other)[0]
        panel.plot(median, row, "d", color=style.BLUE, markerfacecolor="white", markersize=5)
    floor = comparison.floor(best)
    if floor:
        panel.plot(slow / floor, row, "|", color="black", markersize=13, markeredgewidth=1.4)
    for record, place in ((best, fast), (naive, slow)):
        panel.annotate(
            FRAMEWORKS[record.how.backend],
            (place, row),
            xytext=(0, -7),
            textcoords="offset points",
            ha="center",
            va="top",
            fontsize=7,
            color="#333333",
        )
    ratio = comparison.speedup(best).median
    times = f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×"
    times += "" if comparison.paired(best) else ", two jobs"
    times += f" ({naive.what.sequences} seq.)" if counted else ""
    panel.annotate(
        times,
        (sqrt(fast * slow), row),
        xytext=(0, 8),  # above the markers: the number may be wider than the way between them
        textcoords="offset points",
        ha="center",
        va="bottom",
        fontweight="bold",
    )


def _widen(panel: Axes, comparisons: Sequence[Comparison]) -> None:
    """Leave room for labels at both ends."""
    seen = [seconds_per_sequence(c.naive)[0] for c in comparisons]
    seen += [seconds_per_sequence(record)[0] for c in comparisons for record in c.fast]
    seen += [seconds_per_sequence(c.naive)[0] / (c.floor(c.best) or 1) for c in comparisons]
    panel.set_xlim(min(seen) / 1.6, max(seen) * 2.2)


def _legend(comparisons: Sequence[Comparison]) -> list[Line2D]:
    def entry(marker: str, color: str, face: str, label: str, size: float = 7) -> Line2D:
        return Line2D(
            [],
            [],
            linestyle="none",
            marker=marker,
            color=color,
            markerfacecolor=face,
            markersize=size,
            label=label,
        )

    entries = [
        entry("s", style.VERMILION, "white", "naive ISM"),
        entry("o", style.BLUE, style.BLUE, "fastISM, its fastest backend"),
    ]
    if any(len(c.fast) > 1 for c in comparisons):
        entries.append(entry("d", style.BLUE, "white", "fastISM, other backends", 5))
    entries.append(entry("|", "black", "black", "naive ÷ ratio of multiply-adds", 11))
    return entries


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the figure of speedups."""
    parser = argparse.ArgumentParser(prog="python -m figures.speedup", description=main.__doc__)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--output", type=Path, nargs="+", required=True, help=".svg, .png")
    given = parser.parse_args(arguments)
    comparisons = main_cases(compare(read(given.records)))
    if not comparisons:
        raise FastISMError(f"{given.records} has no naive ISM with a fast ISM to compare it with.")
    with style.styled():
        style.write(plot(comparisons), given.output)


if __name__ == "__main__":
    main()

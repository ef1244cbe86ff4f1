"""Floor: measured speedup against the ratio of multiply-adds, per architecture and backend.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.lines import Line2D

from benchmarks.records import Record
from benchmarks.records.compare import Comparison, compare, main_cases
from figures import style
from figures.drawings import NOT_RUN, Drawing
from figures.paper import PaperTiming
from figures.provenance import FRAMEWORKS, short_caption
from figures.speedup_table import fractions, shown_fraction, shown_model

TITLE = "How much of the saved arithmetic is saved time"
MARKERS = ("o", "s", "^", "D", "v", "P")
BACKENDS = {"tensorflow": style.VERMILION, "torch": style.BLUE, "jax": style.OTHERS[1]}
#: How marks of a GPU differ.
ON_GPU = {"markeredgecolor": "black", "markeredgewidth": 1.4}
LINES = {"tensorflow": "full", "torch": "none", "jax": "left"}


def draw(records: Sequence[Record], paper: Sequence[PaperTiming]) -> Drawing:
    """Draw one mark per architecture, length, backend and device, with one sequence."""
    comparisons = main_cases(compare(records))
    least = min((c.naive.what.sequences for c in comparisons), default=1)
    comparisons = [c for c in comparisons if c.naive.what.sequences == least]
    names = list(dict.fromkeys(c.naive.what.architecture for c in comparisons))
    figure, panel = plt.subplots(figsize=(9.0, 5.6))
    figure.subplots_adjust(left=0.08, right=0.66, top=0.92, bottom=0.21)
    panel.set_xscale("log")
    panel.set_yscale("log")
    rows, body = [], []
    for comparison in comparisons:
        marker = MARKERS[names.index(comparison.naive.what.architecture) % len(MARKERS)]
        for fast in comparison.fast:
            row = _row(comparison, fast)
            if row["macs_ratio"] is None:
                continue
            rows.append(row)
            body.append(_shown(comparison, fast, row))
            spread = [
                [row["speedup"] - row["speedup_least"]],
                [row["speedup_most"] - row["speedup"]],
            ]
            color = BACKENDS[fast.how.backend]
            panel.errorbar(
                row["macs_ratio"],
                row["speedup"],
                spread,
                fmt=marker,
                color=color,
                fillstyle=LINES[fast.how.backend],
                markerfacecoloralt="white",
                markersize=8,
                elinewidth=0.8,
                **(ON_GPU if fast.how.device == "gpu" else {}),
            )
    _frame(panel, rows)
    style.add_title(figure, TITLE, 0.1)
    _legend(figure, comparisons, names)
    used = [r for c in comparisons for r in (c.naive, *c.fast)]
    count = "one sequence" if least == 1 else f"{least} sequences"
    caption = (
        f"Exact ISM of {count} per run. Line: the speedup at equal rates of arithmetic. Above it, "
        "fastISM computes at a higher rate than naive ISM. Bars: least and most of the rounds. "
        "Fraction of floor: time of the multiply-adds in plain matrix products over measured time. "
        f"{short_caption(used)}"
    )
    style.add_caption(figure, caption, 0.5)
    header = ["model", "bp", "backend", "multiply-adds", "speedup", "share", "fraction of floor"]
    return Drawing(TITLE, caption, figure, rows, header, body, left=(0, 2))


def _row(comparison: Comparison, fast: Record) -> dict[str, object]:
    ratio, floor = comparison.speedup(fast), comparison.floor(fast)
    what = comparison.naive.what
    return {
        "architecture": what.architecture,
        "length": what.length,
        "sequences": what.sequences,
        "device": fast.how.device,
        "backend": fast.how.backend,
        "naive_backend": comparison.naive.how.backend,
        "macs_ratio": floor,
        "speedup": ratio.median,
        "speedup_least": ratio.least,
        "speedup_most": ratio.most,
        "share": ratio.median / floor if floor else None,
        **fractions(fast),
    }


def _shown(comparison: Comparison, fast: Record, row: dict[str, object]) -> list[str]:
    return [
        shown_model(comparison.naive),
        str(comparison.naive.what.length),
        FRAMEWORKS[fast.how.backend],
        f"{row['macs_ratio']:.1f}",
        f"{row['speedup']:.1f}",
        f"{row['share']:.0%}",
        shown_fraction(fast),
    ]


def _frame(panel: plt.Axes, rows: Sequence[dict[str, object]]) -> None:
    seen = [float(row[name]) for row in rows for name in ("macs_ratio", "speedup")]
    low, high = (min(seen) / 1.5, max(seen) * 1.5) if seen else (1.0, 100.0)
    panel.plot([low, high], [low, high], color="black", linewidth=0.8, zorder=0)
    panel.set_xlim(low, high)
    panel.set_ylim(low, high)
    for axis in (panel.xaxis, panel.yaxis):
        style.label_decades(axis)
    panel.grid()
    panel.set_xlabel("multiply-adds, naive over fast, times")
    panel.set_ylabel("seconds, naive over fast, times")
    if not rows:
        panel.text(0.5, 0.5, NOT_RUN, transform=panel.transAxes, ha="center")


def _legend(figure: plt.Figure, comparisons: Sequence[Comparison], names: Sequence[str]) -> None:
    labels = {
        c.naive.what.architecture: shown_model(c.naive).removesuffix(" (GPU)") for c in comparisons
    }
    handles = [
        Line2D([], [], linestyle="none", marker=marker, color="black", fillstyle="none", label=text)
        for marker, text in zip(MARKERS, (labels[name] for name in names), strict=False)
    ]
    used = dict.fromkeys(f.how.backend for c in comparisons for f in c.fast)
    handles += [
        Line2D(
            [],
            [],
            linestyle="none",
            marker="o",
            markersize=8,
            color=BACKENDS[backend],
            fillstyle=LINES[backend],
            markerfacecoloralt="white",
            label=f"fastISM on {FRAMEWORKS[backend]}",
        )
        for backend in used
    ]
    if any(f.how.device == "gpu" for c in comparisons for f in c.fast):
        look = {"marker": "o", "markersize": 8, "markerfacecolor": "white", **ON_GPU}
        handles.append(Line2D([], [], linestyle="none", label="on a GPU: black edge", **look))
    if handles:
        figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0.68, 0.92))

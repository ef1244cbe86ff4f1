"""Throughput against the number of sequences: fastISM, naive ISM and the peers.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullLocator

from benchmarks.peers import PEERS
from benchmarks.records import Record
from benchmarks.records.compare import BASELINE, FAST, seconds_per_sequence
from figures import style
from figures.choices import (
    LABELS,
    Case,
    cases,
    devices,
    number,
    reasons,
    shown_case,
    timed,
)
from figures.drawings import NOT_RUN, Drawing
from figures.paper import PaperTiming
from figures.provenance import FRAMEWORKS, short_caption

TITLE = "Exact ISM: sequences per minute against sequences per call"
METHODS = (FAST, BASELINE, *PEERS)
STYLES = {
    FAST: {"marker": "o", "linestyle": "-", "color": style.BLUE},
    BASELINE: {"marker": "s", "linestyle": "--", "color": style.VERMILION},
    "fastism05": {"marker": "^", "linestyle": "-.", "color": style.OTHERS[1]},
    "yuzu": {"marker": "D", "linestyle": ":", "color": style.OTHERS[2]},
    "tangermeme": {"marker": "v", "linestyle": (0, (5, 1, 1, 1, 1, 1)), "color": style.OTHERS[3]},
}
#: Rates whose extremes have a smaller ratio are labelled at 2 and 5 as well.
FEW_DECADES = 60
COLUMNS = 2


def fastest(records: Sequence[Record], method: str, case: Case, device: str) -> dict[int, Record]:
    """Per number of sequences, the run with the fewest seconds."""
    found: dict[int, Record] = {}
    for record in timed(records, method):
        what = record.what
        if (what.architecture, what.length) != case or record.how.device != device:
            continue
        other = found.get(what.sequences)
        if other is None or seconds_per_sequence(record)[0] < seconds_per_sequence(other)[0]:
            found[what.sequences] = record
    return dict(sorted(found.items()))


def draw(records: Sequence[Record], paper: Sequence[PaperTiming]) -> Drawing:
    """Draw one panel per architecture, length and device."""
    every = [(case, device) for device in devices(records) for case in cases()]
    lines = -(-len(every) // COLUMNS)
    height = 1.75 * lines + 1.6
    figure, panels = plt.subplots(lines, COLUMNS, figsize=(9.0, height), squeeze=False, sharex=True)
    figure.subplots_adjust(
        left=0.08,
        right=0.98,
        top=1 - 0.85 / height,
        bottom=1.0 / height,
        hspace=0.34,
        wspace=0.14,
    )
    rows, body = [], []
    for (case, device), panel in zip(every, panels.flat, strict=False):
        found = {method: fastest(records, method, case, device) for method in METHODS}
        _draw(panel, found)
        gpu = " (GPU)" if device == "gpu" else ""
        panel.set_title(shown_case(case) + gpu)
        rows += [_row(case, record) for per in found.values() for record in per.values()]
        counts = sorted({n for per in found.values() for n in per})
        for count in counts:
            cells = [found[m].get(count) for m in METHODS]
            shown = [number(_rate(record)) if record else "–" for record in cells]
            body.append([shown_case(case) + gpu, str(count), *shown])
    for panel in panels.flat[len(every) :]:
        panel.set_axis_off()
    numbers = sorted({row["sequences"] for row in rows})
    for panel in panels[-1]:
        panel.set_xlabel("sequences per call")
        panel.set_xticks(numbers, [str(count) for count in numbers])
    for panel in panels[:, 0]:
        panel.set_ylabel("sequences per minute")
    _label(figure, panels.flat, height)
    used = [r for r in timed(records) if r.what.method in METHODS]
    caption = (
        "All alternatives at all positions; the fastest framework and batch size of each method. "
        "Naive ISM is timed on a sample of positions and scaled, fastISM 0.5.1 on one of its "
        f"four characters, Yuzu without its precomputation. Bars: all runs. {short_caption(used)}"
    )
    style.add_caption(figure, caption, 0.45)
    header = ["model", "sequences per call", *(LABELS[method] for method in METHODS)]
    return Drawing(
        TITLE, caption, figure, rows, header, body, notes=reasons(records, METHODS, by_number=True)
    )


def _rate(record: Record) -> float:
    """Sequences per minute."""
    return 60 / seconds_per_sequence(record)[0]


def _draw(panel: Axes, found: dict[str, dict[int, Record]]) -> None:
    for method, per in found.items():
        if not per:
            continue
        each = [seconds_per_sequence(record) for record in per.values()]
        rates = [60 / median for median, _, _ in each]
        spread = [
            [60 / median - 60 / most for median, _, most in each],
            [60 / least - 60 / median for median, least, _ in each],
        ]
        panel.errorbar(
            list(per),
            rates,
            spread,
            label=LABELS[method],
            markersize=4.5,
            linewidth=1.1,
            elinewidth=0.7,
            **STYLES[method],
        )
    missing = [LABELS[method] for method, per in found.items() if not per]
    if missing:
        text = f"{NOT_RUN}: {', '.join(missing)}"
        panel.text(0.02, 0.03, text, transform=panel.transAxes, fontsize=6.5, color="#555555")
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.xaxis.set_minor_locator(NullLocator())
    panel.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
    panel.yaxis.set_minor_formatter(FuncFormatter(lambda y, _: ""))
    panel.margins(y=0.25)
    low, high = panel.get_ylim()
    if not any(found.values()):
        panel.set_yticks([], minor=False)
        panel.set_yticks([], minor=True)
    elif high / low < FEW_DECADES:
        style.label_decades(panel.yaxis)
    panel.grid()


def _label(figure: plt.Figure, panels: Sequence[Axes], height: float) -> None:
    style.add_title(figure, TITLE, 0.1)
    found = {}
    for panel in panels:
        for handle, label in zip(*panel.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    if found:
        figure.legend(
            found.values(),
            found.keys(),
            loc="upper left",
            bbox_to_anchor=(0, 1 - 0.26 / height),
            ncols=5,
            fontsize=8,
            handlelength=3.2,
        )


def _row(case: Case, record: Record) -> dict[str, object]:
    median, least, most = seconds_per_sequence(record)
    return {
        "architecture": case[0],
        "length": case[1],
        "device": record.how.device,
        "method": record.what.method,
        "sequences": record.what.sequences,
        "backend": FRAMEWORKS[record.how.backend],
        "batch_size": record.how.batch_size,
        "extrapolated": record.how.extrapolated,
        "seconds_per_sequence": median,
        "seconds_per_sequence_least": least,
        "seconds_per_sequence_most": most,
        "sequences_per_minute": _rate(record),
        "precomputation_seconds": record.result.build_seconds,
        "settings": str(dict(record.how.settings)),
    }

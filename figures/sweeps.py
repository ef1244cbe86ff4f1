"""Sweeps: speedup against one parameter of the paper's base network at a time.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from benchmarks.records import Record
from benchmarks.records.compare import BASELINE, FAST, Comparison, compare
from figures import choices, style
from figures.drawings import NOT_RUN, Drawing
from figures.paper import HARDWARE, PUBLISHED, PaperTiming
from figures.provenance import FRAMEWORKS, short_caption

TITLE = "Speedup of fastISM over naive ISM on the base network of the paper"
ARCHITECTURE = "sweep_base"
#: Parameters with the labels of their axes, and whether these are logarithmic.
PARAMETERS = {
    "sequence_length": ("sequence length, bp", True),
    "conv_width": ("width of the convolutions, positions", False),
    "channels": ("channels", True),
    "conv_layers": ("convolutional layers", False),
}
BASE = "4 × (convolution of 256 filters, 10 wide; batch norm; max pool 2), two dense layers of 1000"

Point = tuple[int, float]


def paper_speedups(paper: Sequence[PaperTiming], parameter: str) -> list[Point]:
    """Speedups of the paper, by the value of a parameter."""
    of = [t for t in paper if t.parameter == parameter and t.architecture == ARCHITECTURE]
    naive = {t.value: t.seconds for t in of if t.method == BASELINE}
    fast = {t.value: t.seconds for t in of if t.method == PUBLISHED}
    return [(value, naive[value] / fast[value]) for value in sorted(naive) if value in fast]


def measured(
    comparisons: Sequence[Comparison], parameter: str, device: str
) -> list[tuple[int, Comparison]]:
    """Comparisons by the value of a parameter; of several numbers of sequences, the most."""
    found: dict[int, Comparison] = {}
    for comparison in comparisons:
        name, _, value = comparison.naive.what.variant.partition("=")
        if name != parameter or comparison.naive.how.device != device:
            continue
        other = found.get(int(value))
        if other is None or other.naive.what.sequences < comparison.naive.what.sequences:
            found[int(value)] = comparison
    return sorted(found.items())


def draw(records: Sequence[Record], paper: Sequence[PaperTiming]) -> Drawing:
    """Draw four panels, one per parameter."""
    comparisons = [c for c in compare(records) if c.naive.what.architecture == ARCHITECTURE]
    devices = sorted({c.naive.how.device for c in comparisons}) or ["cpu"]
    figure, panels = plt.subplots(2, 2, figsize=(9.0, 6.9), sharey=True)
    figure.subplots_adjust(left=0.07, right=0.98, top=0.88, bottom=0.18, hspace=0.38, wspace=0.06)
    rows, body = [], []
    for (parameter, (label, logarithmic)), panel in zip(
        PARAMETERS.items(), panels.flat, strict=True
    ):
        theirs = paper_speedups(paper, parameter)
        ours = {device: measured(comparisons, parameter, device) for device in devices}
        _draw(panel, ours, theirs, logarithmic)
        panel.set_xlabel(label)
        for device in devices:
            for row in _rows(parameter, device, dict(ours[device]), dict(theirs)):
                rows.append(row)
                body.append(_shown(row, label, len(devices) > 1))
    for panel in panels[:, 0]:
        panel.set_ylabel("speedup, times")
    style.add_title(figure, TITLE, 0.1)
    handles, names = panels.flat[0].get_legend_handles_labels()
    if handles:
        figure.legend(handles, names, loc="upper left", bbox_to_anchor=(0, 0.965), ncols=4)
    used = [r for c in comparisons for r in (c.naive, *c.fast)]
    caption = (
        f"Base: {BASE}, 1000 bp; one parameter varied at a time. The fastest framework for "
        f"fastISM; naive ISM at its best batch size on TensorFlow. Bars: least and most of the "
        f"rounds. The paper: {HARDWARE}, fastISM 0.5. {short_caption(used)}"
    )
    style.add_caption(figure, caption, 0.62)
    header = ["parameter", "value", "naive ISM, s per sequence", "fastISM, s per sequence"]
    header += ["speedup", "multiply-adds", "paper: speedup"]
    return Drawing(TITLE, caption, figure, rows, header, body, notes=_notes(records))


def _draw(
    panel: Axes,
    ours: dict[str, list[tuple[int, Comparison]]],
    theirs: Sequence[Point],
    logarithmic: bool,
) -> None:
    marks = {"cpu": ("o", style.BLUE), "gpu": ("^", style.OTHERS[1])}
    values = {value for value, _ in theirs}
    for device, found in ours.items():
        marker, color = marks[device]
        if not found:
            continue
        x = [value for value, _ in found]
        values.update(x)
        ratios = [c.speedup(c.best) for _, c in found]
        y = [ratio.median for ratio in ratios]
        spread = [[r.median - r.least for r in ratios], [r.most - r.median for r in ratios]]
        label = f"fastISM, {device.upper()}"
        panel.errorbar(x, y, spread, marker=marker, color=color, capsize=2, label=label)
        floors = [(value, c.floor(c.best)) for value, c in found]
        known = [(value, floor) for value, floor in floors if floor]
        if known and device == "cpu":
            places, heights = zip(*known, strict=True)
            label = "ratio of multiply-adds"
            panel.plot(places, heights, "_", color="black", markersize=11, label=label)
    if theirs:
        x, y = zip(*theirs, strict=True)
        label = "the paper: fastISM 0.5, P100"
        panel.plot(
            x, y, "s--", color=style.VERMILION, markerfacecolor="white", markersize=5, label=label
        )
    for value in sorted({value for value, _ in theirs} - {v for f in ours.values() for v, _ in f}):
        if any(ours.values()):
            panel.text(
                value,
                0.04,
                f"ours: {NOT_RUN}",
                transform=panel.get_xaxis_transform(),
                rotation=90,
                ha="center",
                va="bottom",
                fontsize=7,
                color="#555555",
            )
    if not any(ours.values()):
        panel.text(0.5, 0.9, f"ours: {NOT_RUN}", transform=panel.transAxes, ha="center")
    if logarithmic:
        panel.set_xscale("log", base=2)
        panel.xaxis.set_minor_locator(NullLocator())
    panel.set_yscale("log")
    style.label_decades(panel.yaxis)
    panel.xaxis.set_major_locator(FixedLocator(sorted(values)))
    panel.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
    panel.grid()


def _rows(
    parameter: str, device: str, ours: dict[int, Comparison], theirs: dict[int, float]
) -> list[dict[str, object]]:
    rows = []
    for value in sorted({*ours, *theirs}):
        comparison = ours.get(value)
        row: dict[str, object] = {"parameter": parameter, "value": value, "device": device}
        if comparison:
            ratio = comparison.speedup(comparison.best)
            row |= {
                "sequences": comparison.naive.what.sequences,
                "backend": comparison.best.how.backend,
                "naive_seconds_per_sequence": _each(comparison.naive),
                "fast_seconds_per_sequence": _each(comparison.best),
                "speedup": ratio.median,
                "speedup_least": ratio.least,
                "speedup_most": ratio.most,
                "macs_ratio": comparison.floor(comparison.best),
            }
        rows.append(row | {"paper_speedup": theirs.get(value)})
    return rows


def _each(record: Record) -> float:
    return record.result.median * record.how.scale / record.what.sequences


def _shown(row: dict[str, object], label: str, several: bool) -> list[str]:
    def cell(name: str, missing: str = NOT_RUN) -> str:
        value = row.get(name)
        return missing if value is None else f"{value:.3g}"

    device = f" ({row['device']})" if several else ""
    return [
        label.split(",")[0] + device,
        str(row["value"]),
        cell("naive_seconds_per_sequence"),
        cell("fast_seconds_per_sequence"),
        cell("speedup"),
        cell("macs_ratio", "–"),
        cell("paper_speedup", "–"),
    ]


def _notes(records: Sequence[Record]) -> list[str]:
    found: dict[str, list[str]] = {}
    ran = {choices.cell(record) for record in records if record.result.status == "ok"}
    for record in records:
        if record.result.status == "skipped" and choices.cell(record) in ran:
            continue
        if record.what.variant and record.result.status != "ok":
            backend = FRAMEWORKS[record.how.backend]
            place = f"{record.what.variant} on {backend} ({record.how.device})"
            name = FAST if record.what.method == FAST else record.what.method
            said = f"{name}: {record.result.status}. {' '.join(record.result.reason.split())}"
            found.setdefault(said, []).append(place)
    return [f"{', '.join(places)}: {said}" for said, places in found.items()]

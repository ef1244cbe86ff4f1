"""Where the time goes: convolutions and dense part of Basset, naive and fast.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from matplotlib import pyplot as plt

from benchmarks.records import Record
from benchmarks.records.compare import BASELINE, FAST
from benchmarks.studies.breakdown import CONVOLUTIONS, WHOLE
from figures import style
from figures.bars import face
from figures.choices import LABELS, Case, shown_case
from figures.drawings import NOT_RUN, Drawing
from figures.paper import PaperTiming
from figures.provenance import short_caption

TITLE = "Where the time goes: convolutions and dense part"
METHODS = (BASELINE, FAST)
DEFAULT: Case = ("basset", 1000)
#: Not those of methods in other figures.
FACES = (5, 4)


@dataclass(frozen=True, slots=True)
class Parts:
    """Seconds per sequence of a method, and multiply-adds per mutant.

    Attributes
    ----------
    convolutions, dense : float
        Seconds; medians over rounds, of the dense part that of the difference to the whole.
    convolution_macs, dense_macs : float
    """

    convolutions: float
    dense: float
    convolution_macs: float
    dense_macs: float


def parts_of(whole: Record, convolutions: Record) -> Parts:
    """Split what a whole model takes; both records are of one job, paired by round.

    Seconds of naive ISM are scaled to all
    positions first, because both parts may have been timed on other samples of them.
    """

    def each(record: Record) -> list[float]:
        factor = record.how.scale / record.what.sequences
        return [seconds * factor for seconds in record.result.seconds]

    pairs = zip(each(whole), each(convolutions), strict=True)
    macs = whole.result.macs or 0.0, convolutions.result.macs or 0.0
    return Parts(
        median(each(convolutions)),
        max(median(a - b for a, b in pairs), 0.0),
        macs[1],
        max(macs[0] - macs[1], 0.0),
    )


def found_in(records: Sequence[Record]) -> dict[tuple[Case, str], Parts]:
    """Parts by case and method; of several jobs, the latest."""
    jobs: dict[tuple[Case, str], dict[str, dict[str, Record]]] = {}
    for record in records:
        what = record.what
        if what.kind != "breakdown" or record.result.status != "ok":
            continue
        key = (what.architecture, what.length), what.method
        job = jobs.setdefault(key, {}).setdefault(record.how.job, {})
        job[str(record.how.settings["part"])] = record
    found = {}
    for key, of in jobs.items():
        whole = [parts for parts in of.values() if WHOLE in parts and CONVOLUTIONS in parts]
        if whole:
            latest = max(whole, key=lambda parts: parts[WHOLE].where.date)
            found[key] = parts_of(latest[WHOLE], latest[CONVOLUTIONS])
    return found


def draw(records: Sequence[Record], paper: Sequence[PaperTiming]) -> Drawing:
    """Draw the shares of both parts, in seconds and in multiply-adds."""
    found = found_in(records)
    cases = list(dict.fromkeys(case for case, _ in found)) or [DEFAULT]
    keys = [(case, method) for case in cases for method in METHODS]
    height = 1.95 + 0.55 * len(keys)
    figure, panels = plt.subplots(1, 2, figsize=(9.0, height), sharey=True)
    figure.subplots_adjust(
        left=0.19, right=0.97, top=1 - 0.95 / height, bottom=0.95 / height, wspace=0.08
    )
    for place, key in enumerate(keys):
        parts = found.get(key)
        seconds = (parts.convolutions, parts.dense) if parts else None
        macs = (parts.convolution_macs, parts.dense_macs) if parts else None
        _bar(panels[0], place, seconds, lambda x: f"{x:.2g} s")
        _bar(panels[1], place, macs, lambda x: f"{x / 1e6:.3g} M")
    titles = ("seconds per sequence", "multiply-adds per mutant")
    for panel, title in zip(panels, titles, strict=True):
        panel.set_title(title)
        panel.set_xlim(0, 100)
        panel.set_xlabel("share, %")
    panels[0].set_yticks(
        range(len(keys)), [f"{shown_case(case)}\n{LABELS[method]}" for case, method in keys]
    )
    panels[0].set_ylim(len(keys) - 0.5, -0.5)
    style.add_title(figure, TITLE, 0.1)
    handles = [
        plt.Rectangle((0, 0), 1, 1, label=label, **face(FACES[index]))
        for index, label in enumerate(("convolutions, norms and pools", "dense part"))
    ]
    figure.legend(handles=handles, loc="upper left", bbox_to_anchor=(0, 1 - 0.28 / height), ncols=2)
    used = [r for r in records if r.what.kind == "breakdown" and r.result.status == "ok"]
    counts = sorted({r.what.sequences for r in used})
    caption = (
        "Convolutions: the model up to Flatten, with an average over positions and a dense unit "
        "instead of the dense part; dense part: the difference to the whole model, paired by "
        f"round. Sequences per run: {', '.join(map(str, counts)) or 'none'}; both methods on "
        f"TensorFlow. {short_caption(used)}"
    )
    style.add_caption(figure, caption, 0.42)
    header = ["model", "method", "convolutions, s", "dense part, s", "dense share"]
    header += ["convolutions, multiply-adds", "dense part, multiply-adds"]
    rows, body = [], []
    for case, method in keys:
        parts = found.get((case, method))
        rows.append(_row(case, method, parts))
        body.append(_shown(case, method, parts))
    return Drawing(TITLE, caption, figure, rows, header, body, left=(0, 1))


def _bar(panel: plt.Axes, place: int, values: tuple[float, float] | None, text: object) -> None:
    if values is None or not sum(values):
        panel.text(2, place, NOT_RUN, va="center", color="#555555")
        return
    left = 0.0
    for index, value in enumerate(values):
        share = 100 * value / sum(values)
        panel.barh(place, share, 0.5, left=left, **face(FACES[index]))
        if share > 9:
            panel.text(
                left + share / 2,
                place,
                text(value),
                ha="center",
                va="center",
                fontsize=7.5,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.2},
            )
        left += share


def _row(case: Case, method: str, parts: Parts | None) -> dict[str, object]:
    return {
        "architecture": case[0],
        "length": case[1],
        "method": method,
        "convolution_seconds_per_sequence": parts and parts.convolutions,
        "dense_seconds_per_sequence": parts and parts.dense,
        "convolution_macs_per_mutant": parts and parts.convolution_macs,
        "dense_macs_per_mutant": parts and parts.dense_macs,
    }


def _shown(case: Case, method: str, parts: Parts | None) -> list[str]:
    name = [shown_case(case), LABELS[method]]
    if parts is None:
        return [*name, *[NOT_RUN] * 5]
    share = parts.dense / (parts.dense + parts.convolutions)
    macs = (parts.convolution_macs, parts.dense_macs)
    return [
        *name,
        f"{parts.convolutions:.3g}",
        f"{parts.dense:.3g}",
        f"{share:.0%}",
        *(f"{count / 1e6:.3g} M" for count in macs),
    ]

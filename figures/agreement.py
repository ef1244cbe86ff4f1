"""Agreement: rank correlation with exact ISM, sequence by sequence.

Requirements: matplotlib, numpy.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

from benchmarks.records import Record
from figures import style
from figures.choices import LABELS, Case, shown_case
from figures.drawings import NOT_RUN, Drawing
from figures.paper import PaperTiming
from figures.provenance import short_caption

TITLE = "Agreement with exact ISM: Spearman correlation over positions"
METHODS = ("taylor_ism", "gradient_x_input", "integrated_gradients", "deepshap")
MARKERS = ("o", "s", "^", "D", "v", "P")
DEFAULT: Case = ("basset", 1000)


def found_in(records: Sequence[Record]) -> dict[tuple[Case, str], Record]:
    """The latest record by case and method, that which could not run included."""
    found: dict[tuple[Case, str], Record] = {}
    for record in records:
        if record.what.kind == "agreement":
            key = (record.what.architecture, record.what.length), record.what.method
            if key not in found or record.where.date >= found[key].where.date:
                found[key] = record
    return found


def draw(records: Sequence[Record], paper: Sequence[PaperTiming]) -> Drawing:
    """Draw one panel per architecture, one column of points per method."""
    found = found_in(records)
    cases = list(dict.fromkeys(case for case, _ in found)) or [DEFAULT]
    extra = [method for _, method in found if method not in METHODS]
    methods = [*METHODS, *dict.fromkeys(extra)]
    figure, panels = plt.subplots(1, len(cases), figsize=(9.0, 4.6), sharey=True, squeeze=False)
    figure.subplots_adjust(left=0.08, right=0.98, top=0.84, bottom=0.28, wspace=0.06)
    rows, body = [], []
    for case, panel in zip(cases, panels[0], strict=True):
        panel.set_title(shown_case(case))
        _draw(panel, [found.get((case, method)) for method in methods])
        panel.set_xticks(
            range(len(methods)), [LABELS.get(m, m).replace(" ", "\n", 1) for m in methods]
        )
        for method in methods:
            record = found.get((case, method))
            values = record.result.correlations if record else ()
            rows += [
                {
                    "architecture": case[0],
                    "length": case[1],
                    "method": method,
                    "sequence": index,
                    "spearman": value,
                }
                for index, value in enumerate(values)
            ]
            body.append([shown_case(case), LABELS.get(method, method), *_quantiles(values)])
    panels[0][0].set_ylabel("Spearman correlation")
    style.add_title(figure, TITLE, 0.1)
    used = [record for record in found.values() if record.result.correlations]
    counts = sorted({len(record.result.correlations) for record in used})
    caption = (
        "One point per sequence, line: median. Importance of a position: of exact and Taylor ISM, "
        "minus the mean effect of the alternatives; of the others, their attribution to the "
        f"position. {', '.join(map(str, counts)) or 'No'} promoters; models are untrained. "
        f"{short_caption(used)}"
    )
    style.add_caption(figure, caption, 0.55)
    header = ["model", "method", "sequences", "median", "lower quartile", "upper quartile"]
    return Drawing(TITLE, caption, figure, rows, header, body, left=(0, 1), notes=_notes(found))


def _draw(panel: Axes, records: Sequence[Record | None]) -> None:
    rng = np.random.default_rng(0)
    for place, record in enumerate(records):
        values = np.array(record.result.correlations if record else ())
        if not values.size:
            panel.text(place, 0.5, NOT_RUN, ha="center", rotation=90, color="#555555")
            continue
        panel.plot(
            place + rng.uniform(-0.18, 0.18, values.size),
            values,
            MARKERS[place % len(MARKERS)],
            color=(style.BLUE, *style.OTHERS)[place % 6],
            markerfacecolor="none",
            markersize=4.5,
        )
        median = np.median(values)
        panel.plot([place - 0.3, place + 0.3], [median, median], color="black", linewidth=1.4)
    panel.axhline(0, color="#999999", linewidth=0.8)
    panel.set_xlim(-0.6, len(records) - 0.4)
    low = min(
        (min(r.result.correlations) for r in records if r and r.result.correlations), default=0
    )
    panel.set_ylim(min(-0.05, panel.get_ylim()[0], low - 0.05), 1.03)
    panel.grid(axis="y")


def _quantiles(values: Sequence[float]) -> list[str]:
    if not values:
        return [NOT_RUN, "–", "–", "–"]
    median, lower, upper = np.quantile(values, [0.5, 0.25, 0.75])
    return [str(len(values)), *(f"{value:.3f}" for value in (median, lower, upper))]


def _notes(found: dict[tuple[Case, str], Record]) -> list[str]:
    return [
        f"{LABELS.get(method, method)}, {shown_case(case)}: {record.result.status}. "
        f"{' '.join(record.result.reason.split())}"
        for (case, method), record in found.items()
        if record.result.status != "ok"
    ]

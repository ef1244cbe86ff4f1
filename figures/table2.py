"""Table 2: fastISM beside the methods that need gradients, with one and with many outputs.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.records import Record
from benchmarks.records.compare import FAST
from figures.bars import Series, draw_bars
from figures.choices import (
    LABELS,
    best,
    cases,
    devices,
    number,
    per_100,
    reasons,
    shown_case,
    timed,
)
from figures.drawings import Drawing
from figures.paper import HARDWARE, PUBLISHED, PaperTiming, paper_seconds
from figures.provenance import short_caption

TITLE = "fastISM and gradient methods: seconds per 100 sequences, every output explained"
METHODS = (FAST, "gradient_x_input", "integrated_gradients", "deepshap")
#: Numbers of outputs; of BPNet, the profile and the counts.
OUTPUTS = {"basset": 1, "factorized_basset": 1, "deepsea": 919, "beluga": 2002}


def outputs(architecture: str, length: int) -> int | None:
    """How many scalars a model returns; None where that is not known."""
    return length + 1 if architecture == "bpnet" else OUTPUTS.get(architecture)


def draw(records: Sequence[Record], paper: Sequence[PaperTiming]) -> Drawing:
    """Draw one group per architecture, length and device, models with one output first."""
    ordered = sorted(cases(), key=lambda case: (outputs(*case) or 0) > 1)
    every = [(case, device) for device in devices(records) for case in ordered]
    found = {
        (method, *key): per_100(best(records, method, *key)) for method in METHODS for key in every
    }
    names = {method: PUBLISHED if method == FAST else method for method in METHODS}
    papers = {
        (method, case): paper_seconds(paper, names[method], *case)
        for method in METHODS
        for case, _ in every
    }
    rows, body = [], []
    for case, device in every:
        count = outputs(*case)
        rows.append(
            {
                "architecture": case[0],
                "length": case[1],
                "outputs": count,
                "device": device,
                **{f"{m}_seconds_per_100": found[m, case, device] for m in METHODS},
                **{f"paper_{names[m]}_seconds_per_100": papers[m, case] for m in METHODS},
            }
        )
        body.append(
            [
                shown_case(case) + (" (GPU)" if device == "gpu" else ""),
                str(count or "–"),
                *(number(found[m, case, device]) for m in METHODS),
                *(number(papers[m, case], "–") for m in METHODS),
            ]
        )
    caption = (
        "Gradient methods explain one output at a time: with many outputs they are timed on a "
        f"sample of them and scaled. The paper: {HARDWARE}, fastISM 0.5. "
        f"{short_caption(r for r in timed(records) if r.what.method in METHODS)}"
    )
    series = [
        Series(
            LABELS[method],
            [found[method, *key] for key in every],
            [papers[method, case] for case, _ in every],
        )
        for method in METHODS
    ]
    labels = [f"{row[0].replace(', ', chr(10))}, outputs: {row[1]}" for row in body]
    header = ["model", "outputs", *(LABELS[method] for method in METHODS)]
    header += [f"paper: {'fastISM 0.5' if m == FAST else LABELS[m]}" for m in METHODS]
    figure = draw_bars(TITLE, "seconds per 100 sequences, log scale", labels, series, caption)
    return Drawing(TITLE, caption, figure, rows, header, body, notes=reasons(records, METHODS))

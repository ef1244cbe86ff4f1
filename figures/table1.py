"""Table 1: seconds per 100 sequences, naive ISM, fastISM and the peers, beside the paper's.

Requirements: matplotlib.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.peers import PEERS
from benchmarks.records import Record
from benchmarks.records.compare import BASELINE, FAST
from figures.bars import Series, draw_bars
from figures.choices import (
    LABELS,
    best,
    cases,
    devices,
    number,
    per_100,
    ratio,
    reasons,
    shown_case,
    timed,
)
from figures.drawings import Drawing
from figures.paper import HARDWARE, PUBLISHED, PaperTiming, paper_seconds
from figures.provenance import short_caption

TITLE = "Exact ISM: seconds per 100 sequences"
METHODS = (FAST, BASELINE, *PEERS)
#: What the paper has for our methods.
PAPER = {BASELINE: BASELINE, FAST: PUBLISHED}


def draw(records: Sequence[Record], paper: Sequence[PaperTiming]) -> Drawing:
    """Draw one group per architecture, length and device."""
    every = [(case, device) for device in devices(records) for case in cases()]
    chosen = {(method, *key): best(records, method, *key) for method in METHODS for key in every}
    found = {key: per_100(record) for key, record in chosen.items()}
    papers = {
        (method, case): paper_seconds(paper, name, *case)
        for method, name in PAPER.items()
        for case, _ in every
    }
    rows, body = [], []
    for case, device in every:
        ours = {method: found[method, case, device] for method in METHODS}
        naive, fast = papers[BASELINE, case], papers[FAST, case]
        record = chosen[FAST, case, device]
        rows.append(
            {
                "architecture": case[0],
                "length": case[1],
                "device": device,
                **{f"{method}_seconds_per_100": value for method, value in ours.items()},
                "fast_backend": record and record.how.backend,
                "fast_sequences": record and record.what.sequences,
                "speedup": ours[FAST] and ours[BASELINE] and ours[BASELINE] / ours[FAST],
                "paper_naive_seconds_per_100": naive,
                "paper_fastism_seconds_per_100": fast,
                "paper_speedup": naive / fast if naive and fast else None,
            }
        )
        body.append(
            [
                shown_case(case) + (" (GPU)" if device == "gpu" else ""),
                number(ours[BASELINE]),
                number(ours[FAST]),
                ratio(ours[BASELINE], ours[FAST]),
                number(naive, "–"),
                number(fast, "–"),
                ratio(naive, fast),
                *(number(ours[peer]) for peer in PEERS),
            ]
        )
    caption = (
        "All alternatives at all positions, each method at its best number of sequences, batch "
        "size and framework; naive ISM scaled from a sample of positions, fastISM 0.5.1 from one "
        "of its four characters. Yuzu without its precomputation; tangermeme as it is called by "
        f"default, by windows where that is faster. {_most_sequences(records)}The paper: "
        f"{HARDWARE}, fastISM 0.5. "
        f"{short_caption(r for r in timed(records) if r.what.method in METHODS)}"
    )
    series = [
        Series(
            LABELS[method],
            [found[method, *key] for key in every],
            [papers[method, case] for case, _ in every] if method in PAPER else (),
        )
        for method in METHODS
    ]
    names = [row[0].replace(", ", "\n") for row in body]
    header = ["model", "naive ISM", "fastISM", "speedup", "paper: naive ISM"]
    header += ["paper: fastISM 0.5", "paper: speedup", *(PEERS[peer].label for peer in PEERS)]
    figure = draw_bars(TITLE, "seconds per 100 sequences, log scale", names, series, caption)
    return Drawing(TITLE, caption, figure, rows, header, body, notes=reasons(records, METHODS))


def _most_sequences(records: Sequence[Record]) -> str:
    """With how many sequences in a call each peer was tried, for the caption."""
    tried = {
        peer: max((r.what.sequences for r in timed(records) if r.what.method == peer), default=0)
        for peer in PEERS
    }
    parts = [f"{PEERS[peer].label} {most}" for peer, most in tried.items() if most]
    return f"Most sequences that were tried in a call: {', '.join(parts)}. " if parts else ""

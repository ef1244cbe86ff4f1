"""The table of speedups: fast against naive ISM, as CSV and as Markdown.

    python -m figures.speedup_table --records R.jsonl --csv T.csv --markdown T.md

Requirements: pandas.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import pandas

from benchmarks.architectures import ARCHITECTURES
from benchmarks.floor.fraction import recorded_fraction
from benchmarks.records import Record, read
from benchmarks.records.compare import (
    BASELINE,
    Comparison,
    compare,
    first_calls,
    main_cases,
    ratio_of_medians,
    seconds_per_sequence,
)
from benchmarks.records.tables import markdown_table
from figures.provenance import FRAMEWORKS, caption

SPREAD = "in brackets, least and most of the ratio within a round"
#: The framework of the column that has both methods on one framework.
REFERENCE = "tensorflow"
#: Beside a ratio that is not of runs in turns.
APART = "(apart)"
#: Beside a ratio to naive ISM that is known to be faster on a framework that was not run.
SLOWER = "†"
#: So many times the seconds of naive ISM elsewhere are more than what differs from job to job.
APART_BY = 1.1
#: The column of frameworks that fast ISM is slower on.
OTHERS = "on others, s"
#: Columns of words.
LEFT = ("model", "runs", "naive on", "fast on", OTHERS)
BACKEND = "Fast on: the framework that is fastest for fastISM, of those that were timed."
LEGEND = (
    "Multiply-adds: naive over fast, as the plan counts them. Fraction of floor: the time that "
    "the multiply-adds of fast ISM take in plain matrix products of the same shapes, measured in "
    "turns with it, over the time it takes. Difference: the largest between fast and naive ISM, in "
    "standard deviations of the effects of the mutations."
)


def rows(comparisons: Iterable[Comparison]) -> list[dict[str, Any]]:
    """One row per backend of every comparison, those that could not run included.

    Seconds are per sequence, for all mutants; ``least`` and ``most`` are of the repeats. Where the
    model ran on several frameworks there are rows of each; ``fastest_naive`` tells the one that
    the other table shows.
    """
    return [
        row
        for comparison in comparisons
        for each in (comparison, *comparison.others)
        for row in _rows(each, fastest=each is comparison)
    ]


def _rows(comparison: Comparison, fastest: bool) -> list[dict[str, Any]]:
    """The rows of models that run on one framework."""
    table = []
    naive = comparison.naive
    common = {
        "architecture": naive.what.architecture,
        "length": naive.what.length,
        "sequences": naive.what.sequences,
        "device": naive.how.device,
        "model": naive.how.model,
        "naive_backend": naive.how.backend,
        "fastest_naive": fastest,
        "naive_mode": naive.how.mode,
        "naive_batch_size": naive.how.batch_size,
        "naive_positions": naive.what.positions,
        "naive_extrapolated": naive.how.extrapolated,
        **_seconds("naive", naive),
    }
    for fast in comparison.fast:
        ratio = comparison.speedup(fast)
        table.append(
            {
                **common,
                "backend": fast.how.backend,
                "status": "ok",
                "best": fastest and fast is comparison.best,
                **_seconds("fast", fast),
                "speedup": ratio.median,
                "speedup_least": ratio.least,
                "speedup_most": ratio.most,
                "rounds": ratio.pairs,
                "in_turns": comparison.paired(fast),
                "ratio_of_medians": ratio_of_medians(naive, fast),
                "naive_macs": naive.result.macs,
                "fast_macs": fast.result.macs,
                "macs_ratio": comparison.floor(fast),
                **fractions(fast),
                "largest_difference": fast.result.difference,
                "effect_sd": fast.result.spread,
            }
        )
    for record in comparison.missing:
        result = record.result
        table.append(
            {
                **common,
                "backend": record.how.backend,
                "status": result.status,
                "best": False,
                "reason": result.reason,
            }
        )
    return table


def markdown(records: Sequence[Record]) -> str:
    """The tables for a reader: speedups, then first calls where there are any, and the caption.

    Parameters
    ----------
    records : sequence of Record
        Any; without comparisons among them, one sentence says so.
    """
    comparisons = main_cases(compare(records))
    if not comparisons:
        return "Not measured yet.\n"
    legend = f"{BACKEND} {LEGEND}" if _several_backends(comparisons) else LEGEND
    if not all(c.paired(c.best) for c in comparisons):
        legend += f" {APART}: naive and fast ISM were timed in two jobs; the ratio of the medians."
    if slow := {slower_naive(c, comparisons) for c in comparisons} - {None}:
        names = " or ".join(FRAMEWORKS[each] for each in sorted(slow))
        legend += (
            f" {SLOWER}: without naive ISM on {names}, which other rows show to be faster for the "
            "model."
        )
    parts = [_speedups(comparisons), caption(comparisons, SPREAD), legend]
    missing = _missing(comparisons)
    if missing:
        parts.append(missing)
    calls = first_calls(records)
    if calls:
        parts += [
            "The first use, in a fresh process: building takes in the loading of the backend's "
            "framework; memory is what the process needs on top of the model, the frameworks, and "
            "the result:",
            _first_calls(calls),
        ]
    return "\n\n".join(parts) + "\n"


def shown(architecture: str) -> str:
    """What a reader calls an architecture."""
    known = ARCHITECTURES.get(architecture)
    return known.label if known else architecture


def shown_model(record: Record) -> str:
    """What a reader calls the model of a record, with its device where that is a GPU."""
    return shown(record.what.architecture) + (" (GPU)" if record.how.device == "gpu" else "")


def fractions(fast: Record) -> dict[str, float | None]:
    """Rate of matrix products in FLOP/s, and fraction of the floor, where they were measured."""
    ratio = recorded_fraction(fast)
    return {
        "flops_per_second": median(fast.result.rates) if ratio else None,
        "fraction_of_floor": ratio and ratio.median,
        "fraction_least": ratio and ratio.least,
        "fraction_most": ratio and ratio.most,
    }


def shown_fraction(fast: Record) -> str:
    """The fraction of the floor for a reader; a dash in records from before it was measured."""
    ratio = recorded_fraction(fast)
    return "–" if ratio is None else f"{ratio.median:.2f} ({ratio.least:.2f}–{ratio.most:.2f})"


def _speedups(comparisons: Sequence[Comparison]) -> str:
    """The table; backends and modes have columns where there are several of them."""
    frameworks = list(dict.fromkeys(f for c in comparisons for f in c.frameworks))
    reference = REFERENCE if REFERENCE in frameworks else frameworks[0]
    both = f"both on {FRAMEWORKS[reference]}"
    columns = {
        "model": [shown_model(c.naive) for c in comparisons],
        "bp": [str(c.naive.what.length) for c in comparisons],
        "sequences": [str(c.naive.what.sequences) for c in comparisons],
        "naive ISM, s": [f"{seconds_per_sequence(c.naive)[0]:.3g}" for c in comparisons],
        "runs": [c.naive.how.mode or "compiled" for c in comparisons],
        "naive on": [FRAMEWORKS[c.naive.how.backend] for c in comparisons],
        "fastISM, s": [f"{seconds_per_sequence(c.best)[0]:.3g}" for c in comparisons],
        "fast on": [FRAMEWORKS[c.best.how.backend] for c in comparisons],
        OTHERS: [_on_others(c) for c in comparisons],
        "speedup": [
            shown_ratio(c, c.best, bold=not slow) + (f" {SLOWER}" if slow else "")
            for c, slow in ((c, slower_naive(c, comparisons)) for c in comparisons)
        ],
        both: [_own_ratio(c.on(reference)) for c in comparisons],
        "multiply-adds": [_decimal(c.floor(c.best)) for c in comparisons],
        "fraction of floor": [shown_fraction(c.best) for c in comparisons],
        "difference": [_digit(_relative(c.best)) for c in comparisons],
    }
    if not any(c.naive.how.mode for c in comparisons):
        del columns["runs"]
    if not _several_backends(comparisons):
        del columns["naive on"], columns["fast on"], columns[both]
    if not any(len(c.fast) > 1 for c in comparisons):
        del columns[OTHERS]
    header = list(columns)
    left = [i for i, name in enumerate(header) if name in LEFT]
    return markdown_table(header, list(zip(*columns.values(), strict=True)), left)


def slower_naive(comparison: Comparison, known: Iterable[Comparison]) -> str | None:
    """A framework on which naive ISM of the same model is faster, and was not run here.

    Naive ISM takes as long for each of several sequences, so that jobs with other numbers of them
    tell.
    """

    def case(record: Record) -> tuple[Any, ...]:
        return record.what.architecture, record.what.length, record.how.device, record.how.model

    seconds = seconds_per_sequence(comparison.naive)[0]
    others = {
        seconds_per_sequence(c.naive)[0]: c.naive.how.backend
        for c in known
        if case(c.naive) == case(comparison.naive)
        and c.naive.how.backend not in comparison.frameworks
    }
    fastest = min(others, default=None)
    return others[fastest] if fastest is not None and fastest * APART_BY < seconds else None


def _on_others(comparison: Comparison) -> str:
    """Seconds of fast ISM on the frameworks that are slower than the best one."""
    return ", ".join(
        f"{FRAMEWORKS[fast.how.backend]} {seconds_per_sequence(fast)[0]:.3g}"
        for fast in comparison.fast[1:]
    )


def _several_backends(comparisons: Sequence[Comparison]) -> bool:
    """Whether anything is on another framework than that of its model."""
    own = all(record is c.own for c in comparisons for record in c.fast)
    return not own or any(c.others for c in comparisons)


def _first_calls(calls: Sequence[Record]) -> str:
    header = [
        "model",
        "bp",
        "sequences",
        "backend",
        "building, s",
        "first call, s",
        "peak memory, MiB",
    ]
    body = [
        [
            shown(call.what.architecture),
            str(call.what.length),
            str(call.what.sequences),
            FRAMEWORKS[call.how.backend],
            f"{call.result.build_seconds:.1f}",
            f"{call.result.median:.1f}",
            f"{above_result(call) / 2**20:.0f}",
        ]
        for call in calls
    ]
    return markdown_table(header, body, left=(0, 3))


def above_result(call: Record) -> int:
    """Peak bytes above the model and the result; old records do not tell the result's."""
    return call.result.peak_bytes - (call.result.result_bytes or 0)


def _missing(comparisons: Sequence[Comparison]) -> str:
    lines = {
        f"- {_shown_method(r)}{shown_model(r)} at {r.what.length} on "
        f"{FRAMEWORKS[r.how.backend]}: "
        f"{r.result.status}. {' '.join(r.result.reason.split())}": None
        for c in comparisons
        for r in c.missing
    }
    return "\n".join(["Could not run:", "", *lines]) if lines else ""


def _shown_method(record: Record) -> str:
    """What a line says besides the model: nothing for fast ISM, how naive ISM was to run."""
    return f"naive ISM ({record.how.mode}) of " if record.what.method == BASELINE else ""


def shown_ratio(comparison: Comparison, fast: Record, bold: bool = False) -> str:
    """The speedup for a reader, with its range within a round where runs took turns."""
    ratio = comparison.speedup(fast)
    mark = "**" if bold else ""
    if not comparison.paired(fast):
        return f"{mark}{_times(ratio.median)}{mark} {APART}"
    return f"{mark}{_times(ratio.median)}{mark} ({_times(ratio.least)}–{_times(ratio.most)})"


def _own_ratio(comparison: Comparison | None) -> str:
    """The speedup where the fast method runs on the framework of the model too."""
    if comparison is None or comparison.own is None:
        return "–"
    return shown_ratio(comparison, comparison.own)


def _decimal(value: float | None) -> str:
    return "–" if value is None else f"{value:.1f}"


def _digit(value: float | None) -> str:
    return "–" if value is None else f"{value:.1g}"


def _times(ratio: float) -> str:
    return f"{ratio:.1f}" if ratio < 10 else f"{ratio:.0f}"


def _relative(record: Record) -> float | None:
    result = record.result
    return result.difference / result.spread if result.difference and result.spread else None


def _seconds(prefix: str, record: Record) -> dict[str, float]:
    names = ("seconds", "seconds_least", "seconds_most")
    values = seconds_per_sequence(record)
    return {f"{prefix}_{name}": value for name, value in zip(names, values, strict=True)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table of speedups."""
    parser = argparse.ArgumentParser(
        prog="python -m figures.speedup_table", description=main.__doc__
    )
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, required=True)
    given = parser.parse_args(arguments)
    records = read(given.records)
    table = pandas.DataFrame(rows(main_cases(compare(records)))).convert_dtypes()
    table.to_csv(given.csv, index=False)
    given.markdown.write_text(markdown(records))


if __name__ == "__main__":
    main()

"""Targets of speed and memory beside what was measured: met or not follows from the records.

    python -m figures.targets --records R.jsonl ... --csv T.csv --markdown T.md

Requirements: pandas.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas

from benchmarks.floor.fraction import recorded_fraction
from benchmarks.records import Record, read
from benchmarks.records.compare import FAST, compare, first_calls, main_cases, seconds_per_sequence
from benchmarks.records.tables import markdown_table
from figures.provenance import short_caption
from figures.speedup_table import above_result, shown

TITLE = "Targets, and what was measured"
#: What the table is called in the folder of a study, and among the committed figures.
FILE = "targets.md"
#: Least speedups over the fastest naive ISM, least fractions of the floor; one sequence.
SPEEDUPS = {
    ("basset", 1000): 30.0,
    ("basset", 2000): 55.0,
    ("factorized_basset", 1000): 38.0,
    ("factorized_basset", 2000): 70.0,
    ("bpnet", 1000): 8.0,
    ("bpnet", 2000): 14.0,
    ("deepsea", 1000): 15.0,
    ("beluga", 2000): 22.0,
}
FRACTIONS = {"basset": 0.65, "factorized_basset": 0.65, "deepsea": 0.65, "beluga": 0.65}
FRACTIONS |= {"bpnet": 0.6}
#: Least times faster than fastISM 0.5.1 at its best batch size, and with one sequence.
PUBLISHED = {"basset": 4.0, "bpnet": 3.0}
PUBLISHED_ONE = 50.0
#: Most seconds, in those of another method with Basset at 1000 bp.
GRADIENTS = {"integrated_gradients": 1.0, "deepshap": 1.5}
#: Most bytes above the model and the result.
MEMORY = 1 << 30
#: The frameworks on which these targets are to be reached.
BACKENDS = ("tensorflow", "torch")
#: Kinds of model that are held against naive ISM, and what a reader calls those that are not Keras.
MODELS = {"keras": "", "torch": ", PyTorch module"}


@dataclass(frozen=True, slots=True)
class Target:
    """One target and what was measured.

    Attributes
    ----------
    name : str
    bound : float
    at_least : bool
        Whether the measured value must not be below `bound`, or not above it.
    measured : float or None
        None where no record has it.
    """

    name: str
    bound: float
    at_least: bool
    measured: float | None

    @property
    def verdict(self) -> str:
        """Whether it is met."""
        if self.measured is None:
            return "not run"
        met = self.measured >= self.bound if self.at_least else self.measured <= self.bound
        return "met" if met else "not met"

    @property
    def shown(self) -> str:
        """What was measured, with so many digits that it is on the same side of the bound."""
        if self.measured is None:
            return "–"
        texts = (f"{self.measured:.{digits}g}" for digits in range(3, 18))
        return next(t for t in texts if replace(self, measured=float(t)).verdict == self.verdict)


def targets(records: Sequence[Record]) -> list[Target]:
    """Every target, in a fixed order, with what `records` say of it."""
    return [
        *_against_naive(records),
        *_against_published(records),
        *_against_gradients(records),
        *_memory(records),
    ]


def _against_naive(records: Sequence[Record]) -> Iterator[Target]:
    """Against naive ISM: Keras models, and their twins as PyTorch modules where those ran."""
    found = {
        (c.naive.what.architecture, c.naive.what.length, c.naive.how.model): c
        for c in main_cases(compare(records))
        if c.naive.what.sequences == 1 and c.naive.how.device == "cpu"
    }
    for model, suffix in MODELS.items():
        for (architecture, length), bound in SPEEDUPS.items():
            comparison = found.get((architecture, length, model))
            if comparison is None and suffix:
                continue
            case = f"{shown(architecture)} {length}{suffix}"
            fast = [r for r in comparison.fast if r.how.backend in BACKENDS] if comparison else []
            best = max((comparison.speedup(r).median for r in fast), default=None)
            yield Target(f"{case}: speedup over naive ISM", bound, True, best)
            fractions = [f.median for r in fast if (f := recorded_fraction(r))]
            least = FRACTIONS[architecture]
            yield Target(f"{case}: fraction of floor", least, True, max(fractions, default=None))


def _against_published(records: Sequence[Record]) -> Iterator[Target]:
    """Against fastISM 0.5 on the same machine.

    Its best is known only where it ran with several numbers of sequences.
    """
    for architecture, bound in PUBLISHED.items():
        theirs, ours = _of_both(records, "fastism05", architecture, _machine)
        name = f"{shown(architecture)} 1000: over fastISM 0.5.1"
        several = ours and len(theirs) > 1
        best = min(theirs.values()) / min(ours.values()) if several else None
        yield Target(f"{name}, each at its best number of sequences", bound, True, best)
        one = theirs[1] / ours[1] if 1 in theirs and 1 in ours else None
        yield Target(f"{name}, one sequence", PUBLISHED_ONE, True, one)


def _against_gradients(records: Sequence[Record]) -> Iterator[Target]:
    """Runs of one job."""
    one = [record for record in records if record.what.sequences == 1]
    for method, bound in GRADIENTS.items():
        theirs, ours = _of_both(one, method, "basset", lambda record: (record.how.job,))
        ratio = ours[1] / theirs[1] if theirs and ours else None
        name = f"Basset 1000: seconds over those of {method.replace('_', ' ')}, one sequence"
        yield Target(name, bound, False, ratio)


def _machine(record: Record) -> tuple[object, ...]:
    return record.where.cpu, record.where.gpu, record.where.threads


def _of_both(
    records: Sequence[Record],
    method: str,
    architecture: str,
    group: Callable[[Record], tuple[object, ...]],
) -> tuple[dict[int, float], dict[int, float]]:
    """Seconds of a method and of fast ISM in a group of records that has both.

    Of several, it is the one in which the method ran with the most sequences, then the latest.
    """
    groups: dict[tuple[object, ...], list[Record]] = {}
    for record in sorted(records, key=lambda record: record.where.date):
        groups.setdefault(group(record), []).append(record)
    pairs = [
        (_seconds(found, method, architecture), _seconds(found, FAST, architecture))
        for found in reversed(groups.values())
    ]
    both = [(theirs, ours) for theirs, ours in pairs if theirs and ours]
    return max(both, key=lambda pair: max(pair[0]), default=({}, {}))


def _memory(records: Sequence[Record]) -> Iterator[Target]:
    calls = [r for r in first_calls(records) if r.how.backend in BACKENDS]
    for architecture, length in SPEEDUPS:
        for number in (1, 32):
            peaks = [
                above_result(r) / MEMORY
                for r in calls
                if (r.what.architecture, r.what.length) == (architecture, length)
                and r.what.sequences == number
            ]
            count = "one sequence" if number == 1 else f"{number} sequences"
            name = f"{shown(architecture)} {length}: peak memory above the model, GiB, {count}"
            yield Target(name, 1.0, False, max(peaks, default=None))


def _seconds(records: Iterable[Record], method: str, architecture: str) -> dict[int, float]:
    """Least seconds per sequence by number of sequences, of Keras models, 1000 bp, on the CPU."""
    found: dict[int, float] = {}
    for record in records:
        what, how = record.what, record.how
        if (what.kind, what.method, what.architecture) != ("throughput", method, architecture):
            continue
        if what.length != 1000 or what.variant or how.device != "cpu" or how.model != "keras":
            continue
        if record.result.status == "ok" and (method != FAST or how.backend in BACKENDS):
            seconds = seconds_per_sequence(record)[0]
            found[what.sequences] = min(seconds, found.get(what.sequences, seconds))
    return found


def markdown(records: Sequence[Record]) -> str:
    """The table for a reader."""
    body = [
        [t.name, f"{'≥' if t.at_least else '≤'} {t.bound:g}", t.shown, t.verdict]
        for t in targets(records)
    ]
    table = markdown_table(["target", "bound", "measured", ""], body, left=(0, 3))
    note = (
        "fastISM is on TensorFlow or PyTorch, whichever is faster. Comparisons with fastISM 0.5.1 "
        "are of two jobs on one machine, those with gradient methods of one job."
    )
    return f"{table}\n\n{note} {short_caption(records)}\n"


def table(records: Sequence[Record]) -> pandas.DataFrame:
    """One row per target."""
    rows = [
        {"target": t.name, "bound": t.bound, "at_least": t.at_least, "measured": t.measured}
        | {"verdict": t.verdict}
        for t in targets(records)
    ]
    return pandas.DataFrame(rows)


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the table of targets."""
    parser = argparse.ArgumentParser(prog="python -m figures.targets", description=main.__doc__)
    parser.add_argument("--records", type=Path, nargs="+", required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--markdown", type=Path, required=True)
    given = parser.parse_args(arguments)
    records = read(given.records)
    writers: dict[Path, Callable[[], str]] = {
        given.csv: lambda: table(records).to_csv(index=False),
        given.markdown: lambda: markdown(records),
    }
    for path, text in writers.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text())


if __name__ == "__main__":
    main()

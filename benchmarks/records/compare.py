"""What follows from records: scaled seconds, speedups, the best backend.

Requirements: none beyond `benchmarks.clock`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from benchmarks.clock import Ratio, paired_ratio
from benchmarks.records import Record

BASELINE = "naive_ism"
FAST = "fast_ism"

#: Architecture, length, variant, number of sequences, device, kind and framework of the model.
Case = tuple[str, int, str, int, str, str, str]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Fast against naive ISM, for one architecture, length and number of sequences.

    Attributes
    ----------
    naive : Record
        The baseline: of naive ISM in several modes, the fastest.
    fast : tuple of Record
        One per backend that ran, the fastest first; from the job of the baseline, but for those of
        `main_cases` that ran in other jobs only.
    missing : tuple of Record
        Backends and modes that were refused or failed.
    others : tuple of Comparison
        The same case with the model on other frameworks, where naive ISM is slower. They are jobs
        of their own, so that their runs were not in turns with those of this one.
    """

    naive: Record
    fast: tuple[Record, ...]
    missing: tuple[Record, ...]
    others: tuple[Comparison, ...] = ()

    @property
    def best(self) -> Record:
        """The fastest backend."""
        return self.fast[0]

    @property
    def own(self) -> Record | None:
        """The framework that the Keras model runs on, if it was timed."""
        own = (r for r in self.fast if r.how.backend == self.naive.how.keras_backend)
        return next(filter(self.paired, own), None)

    def paired(self, fast: Record) -> bool:
        """Whether a record is of the same job as the baseline, so that their runs took turns."""
        return fast.how.job == self.naive.how.job

    @property
    def frameworks(self) -> tuple[str, ...]:
        """What the model was run on: the framework of this comparison, then those of the others."""
        return tuple(c.naive.how.keras_backend for c in (self, *self.others))

    def on(self, framework: str) -> Comparison | None:
        """The comparison with the model on a framework, if there is one."""
        return dict(zip(self.frameworks, (self, *self.others), strict=True)).get(framework)

    def speedup(self, fast: Record) -> Ratio:
        """Naive over fast seconds, paired by round; of medians where they are of two jobs."""
        if self.paired(fast):
            naive = [s * self.naive.how.scale for s in self.naive.result.seconds]
            return paired_ratio(naive, [s * fast.how.scale for s in fast.result.seconds])
        middle, least, most = seconds_per_sequence(self.naive)
        other, shortest, longest = seconds_per_sequence(fast)
        return Ratio(middle / other, least / longest, most / shortest, 0)

    def floor(self, fast: Record) -> float | None:
        """Naive over fast multiply-adds: the speedup at equal rates of arithmetic."""
        if not self.naive.result.macs or not fast.result.macs:
            return None
        return self.naive.result.macs / fast.result.macs


def seconds_per_sequence(record: Record) -> tuple[float, float, float]:
    """Median, least and most seconds for all mutants of one sequence, scaled to the whole."""
    factor = record.how.scale / record.what.sequences
    seconds = record.result.seconds
    return record.result.median * factor, min(seconds) * factor, max(seconds) * factor


def ratio_of_medians(naive: Record, fast: Record) -> float:
    """Ratio of the median seconds, scaled."""
    return seconds_per_sequence(naive)[0] / seconds_per_sequence(fast)[0]


def compare(records: Iterable[Record]) -> list[Comparison]:
    """Pair fast with naive records.

    Parameters
    ----------
    records : iterable of Record
        Those of other methods and kinds are passed over. Where a case was measured repeatedly,
        the latest job counts in which naive and fast ISM ran: one that was skipped or failed hides
        no earlier one.

    Returns
    -------
    list of Comparison
        Architectures in the order of their first record, then by length, variant, number of
        sequences, device, kind and framework of the model.
    """
    jobs: dict[Case, dict[str, list[Record]]] = {}
    order: dict[str, int] = {}
    for record in records:
        if record.what.kind != "throughput" or record.what.method not in (BASELINE, FAST):
            continue
        what = record.what
        order.setdefault(what.architecture, len(order))
        case = jobs.setdefault(_case(record), {})
        case.setdefault(record.how.job, []).append(record)

    comparisons = []
    for key in sorted(jobs, key=lambda k: (order[k[0]], *k[1:])):
        latest_first = sorted(jobs[key].values(), key=lambda g: g[0].where.date, reverse=True)
        found = next(filter(None, map(_of_job, latest_first)), None)
        if found:
            comparisons.append(found)
    return comparisons


def _of_job(group: Iterable[Record]) -> Comparison | None:
    """Naive and fast ISM of one job; None where one of them did not run."""
    naives, fasts, missing = [], [], []
    for record in group:
        if record.result.status != "ok":
            missing.append(record)
        else:
            (naives if record.what.method == BASELINE else fasts).append(record)
    if not naives or not fasts:
        return None
    naive = min(naives, key=lambda r: seconds_per_sequence(r)[0])
    fasts.sort(key=lambda r: seconds_per_sequence(r)[0])
    return Comparison(naive, tuple(fasts), tuple(missing))


def _case(record: Record) -> Case:
    what, how = record.what, record.how
    return (
        what.architecture,
        what.length,
        what.variant,
        what.sequences,
        how.device,
        how.model,
        how.keras_backend,
    )


def main_cases(comparisons: Iterable[Comparison]) -> list[Comparison]:
    """Leave out sweeps, and join the frameworks of a model.

    Returns
    -------
    list of Comparison
        One per case: with the framework on which naive ISM is fastest, by the median; those with
        other frameworks are its `others`, fastest first, and backends of fast ISM that were timed
        there only are among its `fast`.
    """
    cases: dict[tuple[str | int, ...], list[Comparison]] = {}
    for comparison in comparisons:
        if not comparison.naive.what.variant:
            cases.setdefault(_case(comparison.naive)[:-1], []).append(comparison)
    joined = []
    for found in cases.values():
        first, *others = sorted(found, key=lambda c: seconds_per_sequence(c.naive)[0])
        fast = {record.how.backend: record for record in first.fast}
        for other in others:
            fast = {record.how.backend: record for record in other.fast} | fast
        ordered = sorted(fast.values(), key=lambda r: seconds_per_sequence(r)[0])
        joined.append(replace(first, fast=tuple(ordered), others=tuple(others)))
    return joined


def first_calls(records: Iterable[Record]) -> list[Record]:
    """The latest record of kind "first_call" per architecture, length, sequences and backend."""
    latest: dict[tuple[str, int, int, str], Record] = {}
    for record in records:
        if record.what.kind == "first_call" and record.result.status == "ok":
            what = record.what
            key = (what.architecture, what.length, what.sequences, record.how.backend)
            if key not in latest or record.where.date >= latest[key].where.date:
                latest[key] = record
    return list(latest.values())

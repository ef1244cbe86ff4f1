"""What follows from records: scaled seconds, speedups, the best backend.

Requirements: none beyond `benchmarks.timing`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from benchmarks.records import Record
from benchmarks.timing import Ratio, paired_ratio

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
        One per backend that ran, the fastest first; all from the job of the baseline.
    missing : tuple of Record
        Backends and modes that were refused or failed.
    """

    naive: Record
    fast: tuple[Record, ...]
    missing: tuple[Record, ...]

    @property
    def best(self) -> Record:
        """The fastest backend."""
        return self.fast[0]

    @property
    def own(self) -> Record | None:
        """The framework that the Keras model runs on, if it was timed."""
        own = (r for r in self.fast if r.how.backend == r.how.keras_backend)
        return next(own, None)

    def speedup(self, fast: Record) -> Ratio:
        """Naive over fast seconds, paired by round."""
        naive = [s * self.naive.how.scale for s in self.naive.result.seconds]
        return paired_ratio(naive, [s * fast.how.scale for s in fast.result.seconds])

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
        its latest job counts.

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
        latest = max(jobs[key].values(), key=lambda group: group[0].where.date)
        ran = [r for r in latest if r.result.status == "ok"]
        naives = (r for r in ran if r.what.method == BASELINE)
        naive = min(naives, key=lambda r: seconds_per_sequence(r)[0], default=None)
        fast = [r for r in ran if r.what.method == FAST]
        if naive and fast:
            fast.sort(key=lambda r: seconds_per_sequence(r)[0])
            missing = (r for r in latest if r.result.status != "ok")
            comparisons.append(Comparison(naive, tuple(fast), tuple(missing)))
    return comparisons


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
    """Leave out sweeps, and of several frameworks of a model all but the fastest for naive ISM."""
    best: dict[tuple[str | int, ...], Comparison] = {}
    for comparison in comparisons:
        if comparison.naive.what.variant:
            continue
        key = _case(comparison.naive)[:-1]
        other = best.get(key)
        mine = seconds_per_sequence(comparison.naive)[0]
        if other is None or mine < seconds_per_sequence(other.naive)[0]:
            best[key] = comparison
    return list(best.values())


def first_calls(records: Iterable[Record]) -> list[Record]:
    """The latest record of kind "first_call" per architecture, length and backend."""
    latest: dict[tuple[str, int, str], Record] = {}
    for record in records:
        if record.what.kind == "first_call" and record.result.status == "ok":
            key = (record.what.architecture, record.what.length, record.how.backend)
            if key not in latest or record.where.date >= latest[key].where.date:
                latest[key] = record
    return list(latest.values())

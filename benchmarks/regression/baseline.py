"""Committed baselines: the multiply-adds and speedups that later states of the library must keep.

Requirements: none beyond `benchmarks.records.compare`. A baseline is one JSON file in
`benchmarks/baselines`, written by ``python -m benchmarks.regression --update``.
"""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.records import Record, Where
from benchmarks.records.compare import Comparison, compare
from benchmarks.regression.counting import Count
from fastism.errors import FastISMError

#: Raised when a field changes its meaning.
VERSION = 1
#: A measured speedup may fall to this fraction of its baseline. `unjustified` tells whether the
#: spread of repeated runs allows for such a fraction.
FRACTION = 0.7
#: In place of a framework: the fastest of those that ran.
BEST = "best"
Key = tuple[str, int, str]


@dataclass(frozen=True, slots=True)
class Speedup:
    """Speedup over naive ISM of one case, in repeated runs.

    Attributes
    ----------
    architecture : str
    length : int
    backend : str
        A framework, or "best".
    runs : tuple of float
        The speedup that each run found, itself a median over rounds, with the machine to itself.
    busy : tuple of float
        The same while other programs competed for the processors.
    """

    architecture: str
    length: int
    backend: str
    runs: tuple[float, ...]
    busy: tuple[float, ...] = ()

    @property
    def key(self) -> Key:
        """What tells it from the others."""
        return self.architecture, self.length, self.backend

    @property
    def name(self) -> str:
        """What a reader calls it."""
        return f"{self.architecture} {self.length}, {self.backend}"

    @property
    def median(self) -> float:
        """The speedup to compare with."""
        return statistics.median(self.runs)


@dataclass(frozen=True, slots=True)
class Baseline:
    """What later states of the library are compared with.

    Attributes
    ----------
    fraction : float
        Smallest share of a baseline's speedup that passes.
    counts : tuple of Count
    speedups : tuple of Speedup
    where : Where
        Machine, versions, commit and date.
    """

    fraction: float
    counts: tuple[Count, ...]
    speedups: tuple[Speedup, ...]
    where: Where
    version: int = VERSION

    def is_of(self, here: Where) -> bool:
        """Whether it was taken on such a processor, with as many threads."""
        return (self.where.cpu, self.where.threads) == (here.cpu, here.threads)

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        path.parent.mkdir(parents=True, exist_ok=True)
        content = json.dumps(dataclasses.asdict(self), indent=1, allow_nan=False)
        path.write_text(f"{content}\n")

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """The inverse of `write`.

        Raises
        ------
        FastISMError
            The file is missing, not JSON, of another version, or lacks a field or has one too many.
        """
        try:
            content = json.loads(path.read_text())
        except OSError:
            raise FastISMError(
                f"There is no baseline {path}; write one with "
                "`python -m benchmarks.regression --update`."
            ) from None
        except json.JSONDecodeError as error:
            raise FastISMError(f"The baseline {path} is not JSON: {error}.") from None
        found = content.get("version") if isinstance(content, dict) else None
        if found != VERSION:
            raise FastISMError(
                f"The baseline {path} has version {found!r}; expected {VERSION}. Write it anew "
                "with `python -m benchmarks.regression --update`."
            )
        try:
            return cls(
                **{
                    **content,
                    "counts": tuple(Count(**count) for count in content["counts"]),
                    "speedups": tuple(_speedup(each) for each in content["speedups"]),
                    "where": Where(**content["where"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise FastISMError(
                f"The baseline {path} has missing or unknown fields: {error}."
            ) from None


def _speedup(content: Mapping[str, Any]) -> Speedup:
    lists = {name: tuple(content[name]) for name in ("runs", "busy")}
    return Speedup(**{**content, **lists})


def speedups_of(records: Iterable[Record]) -> dict[Key, float]:
    """Speedups that one run found: the best backend, and the framework of the model."""
    found: dict[Key, float] = {}
    for comparison in compare(records):
        what = comparison.naive.what
        for backend, record in _backends(comparison).items():
            median = comparison.speedup(record).median
            found[what.architecture, what.length, backend] = median
    return found


def _backends(comparison: Comparison) -> dict[str, Record]:
    found = {BEST: comparison.best}
    if comparison.own:
        found[comparison.own.how.backend] = comparison.own
    return found


def summarise(alone: Sequence[Record], busy: Sequence[Record] = ()) -> tuple[Speedup, ...]:
    """Collect the speedups of repeated runs.

    Parameters
    ----------
    alone, busy : sequence of Record
        Of runs with the machine to themselves, and of others; one job of a case is one run.
    """
    runs, more = _by_case(alone), _by_case(busy)
    return tuple(
        Speedup(*key, tuple(values), tuple(more.get(key, ()))) for key, values in runs.items()
    )


def _by_case(records: Sequence[Record]) -> dict[Key, list[float]]:
    jobs: dict[str, list[Record]] = {}
    for record in records:
        jobs.setdefault(record.how.job, []).append(record)
    found: dict[Key, list[float]] = {}
    for group in jobs.values():
        for key, value in speedups_of(group).items():
            found.setdefault(key, []).append(round(value, 3))
    return found


def unjustified(speedups: Iterable[Speedup], fraction: float) -> list[str]:
    """Why a fraction does not fit the spread of repeated runs; empty where it does.

    The fraction fits if every run of the baseline would have passed the check itself, and if even
    the fastest of them would have failed it, had the library been half as fast.
    """
    wrong = []
    for each in speedups:
        every = [*each.runs, *each.busy]
        least, most = min(every) / each.median, max(every) / each.median
        if least < fraction:
            wrong.append(f"{each.name}: a run fell to {least:.2f} of the median, a false alarm")
        if most / 2 >= fraction:
            wrong.append(f"{each.name}: a run at half of {most:.2f} medians would have passed")
    return wrong

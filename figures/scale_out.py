"""What many sequences cost on a cluster: jobs, hours and disk, from measured rates and sizes.

    python -m figures.scale_out --records benchmarks/records/library-cpu.jsonl \
        --sizes benchmarks/records/store_size.json

Requirements: pandas (through the tables of `figures`).
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.records import Record, read
from benchmarks.records.compare import FAST, seconds_per_sequence
from benchmarks.records.tables import markdown_table
from benchmarks.studies import store_size
from benchmarks.studies.store_size import Measured, StoreSize
from fastism.errors import FastISMError
from figures.provenance import FRAMEWORKS, short_caption
from figures.speedup_table import shown

RECORDS = Path("benchmarks/records/library-cpu.jsonl")
SIZES = Path("benchmarks/records/store_size.json")
SEQUENCES = 100_000
#: Hours of scoring that a job is given, and jobs that run at the same time.
JOB_HOURS = 1.0
AT_ONCE = 20


@dataclass(frozen=True, slots=True)
class Load:
    """The jobs of a run.

    Attributes
    ----------
    hours : float
        Of all jobs together.
    jobs : int
    elapsed : float
        Hours until the last job is done, if `AT_ONCE` jobs always run and start at once.
    """

    hours: float
    jobs: int
    elapsed: float


def load(
    seconds: float,
    sequences: int = SEQUENCES,
    job_hours: float = JOB_HOURS,
    at_once: int = AT_ONCE,
) -> Load:
    """Cut a run into equal jobs of at most `job_hours`.

    Parameters
    ----------
    seconds : float
        Per sequence.
    sequences : int
    job_hours : float
    at_once : int
        Jobs that run at the same time.

    Raises
    ------
    FastISMError
        For a number that is not positive.

    Examples
    --------
    >>> load(0.36, 100_000, 1, 4)
    Load(hours=10.0, jobs=10, elapsed=3.0)
    """
    if min(seconds, sequences, job_hours, at_once) <= 0:
        raise FastISMError(
            f"Jobs cannot be worked out for {sequences} sequences of {seconds} s, {job_hours} h a "
            f"job and {at_once} jobs at once; all four must be positive."
        )
    hours = seconds * sequences / 3600
    # A millionth of a job is a matter of rounding.
    jobs = max(1, math.ceil(hours / job_hours - 1e-6))
    return Load(hours, jobs, math.ceil(jobs / at_once) * hours / jobs)


def fastest(records: Iterable[Record]) -> list[Record]:
    """Of every architecture, length and device, the fastest backend with the most sequences."""
    best: dict[tuple[str, int, str], Record] = {}
    for record in records:
        what, how = record.what, record.how
        if (what.kind, what.method, record.result.status) != ("throughput", FAST, "ok"):
            continue
        if what.variant:
            continue
        key = (what.architecture, what.length, how.device)
        if key not in best or _rank(record) < _rank(best[key]):
            best[key] = record
    return list(best.values())


def _rank(record: Record) -> tuple[int, float]:
    return -record.what.sequences, seconds_per_sequence(record)[0]


def markdown(records: Sequence[Record], measured: Measured) -> str:
    """Both tables with what they are based on.

    Parameters
    ----------
    records : sequence of Record
        Any; those of fast ISM are used.
    measured : Measured
        Sizes of stores.

    Raises
    ------
    FastISMError
        If no record gives a rate.
    """
    rates = fastest(records)
    if not rates:
        raise FastISMError("No record gives a rate of fast ISM; expected at least one.")
    threads = sorted({record.where.threads for record in rates})
    gpu = any(record.how.device == "gpu" for record in rates)
    parts = [
        f"Time for {SEQUENCES:,} sequences, all positions and alternatives:",
        _hours(rates),
        f"Rates: {short_caption(rates)} A job has {' or '.join(map(str, threads))} processors. "
        + ("" if gpu else "No GPU was measured. ")
        + "The backend is the fastest that was measured. Loading the model and its framework takes "
        "a job some seconds more, once.",
        f"Disk for {SEQUENCES:,} sequences:",
        _disk(measured.stores),
        f"Sizes: stores of {_counts(measured.stores)} sequences ({measured.data}), scored by "
        f"models with random weights, {measured.date[:10]}; names and the like add some bytes. "
        "Shards take as much space as the output, and both are there while they are merged; a "
        "shard that is not finished takes the uncompressed size.",
    ]
    return "\n\n".join(parts) + "\n"


def _hours(rates: Sequence[Record]) -> str:
    header = [
        "model",
        "bp",
        "backend",
        "s per sequence",
        "hours in all",
        f"jobs of at most {JOB_HOURS:g} h",
        f"hours with {AT_ONCE} jobs at once",
    ]
    body = []
    for record in rates:
        seconds = seconds_per_sequence(record)[0]
        jobs = load(seconds)
        device = " (GPU)" if record.how.device == "gpu" else ""
        body.append(
            [
                shown(record.what.architecture) + device,
                str(record.what.length),
                FRAMEWORKS[record.how.backend],
                f"{seconds:.3g}",
                f"{jobs.hours:.3g}",
                str(jobs.jobs),
                f"{jobs.elapsed:.2g}",
            ]
        )
    return markdown_table(header, body, left=(0, 2))


def _disk(stores: Sequence[StoreSize]) -> str:
    header = ["kept", "bp", "type", "per sequence", "output", "uncompressed, per sequence"]
    body = [
        [
            f"{math.prod(store.shape):,} {'value' if math.prod(store.shape) == 1 else 'values'} "
            f"({shown(store.architecture)})",
            str(store.length),
            store.dtype,
            in_bytes(store.per_sequence),
            in_bytes(store.per_sequence * SEQUENCES),
            in_bytes(store.raw),
        ]
        for store in stores
    ]
    return markdown_table(header, body, left=(0, 2))


def _counts(stores: Sequence[StoreSize]) -> str:
    return " and ".join(map(str, dict.fromkeys(store.sequences for store in stores)))


def in_bytes(number: float) -> str:
    """Bytes for people, in units of a thousand.

    Examples
    --------
    >>> in_bytes(12_345), in_bytes(6.8e11)
    ('12.3 kB', '680 GB')
    """
    for unit in ("B", "kB", "MB", "GB"):
        if number < 999.5:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} TB"


def committed() -> str:
    """Both tables from the records of the repository."""
    root = Path(__file__).resolve().parents[1]
    return markdown(read(root / RECORDS), store_size.read(root / SIZES))


def main(arguments: Sequence[str] | None = None) -> None:
    """Print what many sequences cost."""
    parser = argparse.ArgumentParser(prog="python -m figures.scale_out", description=main.__doc__)
    parser.add_argument("--records", type=Path, required=True, help="JSON lines")
    parser.add_argument(
        "--sizes", type=Path, required=True, help="JSON of benchmarks.studies.store_size"
    )
    given = parser.parse_args(arguments)
    print(markdown(read(given.records), store_size.read(given.sizes)), end="")


if __name__ == "__main__":
    main()

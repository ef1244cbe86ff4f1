"""Whether the library is still as fast as it was: counted and measured speedups against a baseline.

    python -m benchmarks.regression             compare; the exit status is 1 where one is worse
    python -m benchmarks.regression --update    measure repeatedly and write a new baseline

The plan's ratios of multiply-adds are deterministic and must not fall at all. Measured speedups
must stay above a fraction of the baseline's; what fails is measured once more before it counts.
Ratios of alternating runs travel better than seconds, yet not to another kind of processor: where
the baseline is of another one, the check says so, and the best framework must reach half of the
speedup that the multiply-adds promise. What the benchmark has just measured of this commit on such
a processor is not measured again (``--earlier``). It can be given a baseline of its own
(``--baseline``).

Requirements: rich; Keras, TensorFlow and, for the best backend, PyTorch.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from pathlib import Path

from rich.console import Console

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.errors import BenchmarkError
from benchmarks.jobs.job import TimingJob
from benchmarks.jobs.progress import Progress
from benchmarks.jobs.select_sequences import select
from benchmarks.records import Record, Where, environment
from benchmarks.records.compare import BASELINE, FAST
from benchmarks.regression.baseline import (
    FRACTION,
    Baseline,
    speedups_of,
    summarise,
    unjustified,
)
from benchmarks.regression.bounds import (
    Bound,
    Finding,
    compare_counts,
    measured_bounds,
    promised_bounds,
)
from benchmarks.regression.counting import Count, counted
from benchmarks.regression.earlier import Case, of_this_state
from benchmarks.regression.report import no_baseline, regressed, table, taken_over
from benchmarks.timing.measure import Subject, measure, variants
from fastism.errors import FastISMError
from fastism.sequences import one_hot

ROOT = Path(__file__).resolve().parents[2]
COMMITTED = ROOT / "benchmarks" / "baselines" / "cpu.json"
FASTA = ROOT / "data" / "dm3_promoters_2kb.fa.gz"
CASES = (("basset", 1000), ("bpnet", 1000), ("deepsea", 1000))
#: Runs behind a baseline; `unjustified` judges the fraction by their spread.
RUNS = 20

Measure = Callable[[Sequence[Case]], list[Record]]


def job_of(case: Case) -> TimingJob:
    """One sequence, naive ISM on a sample, fast ISM on the model's framework and on PyTorch."""
    architecture, length = case
    return TimingJob(
        study="regression",
        architecture=architecture,
        length=length,
        data=FASTA.name,
        sequences=(1,),
        methods=(BASELINE, FAST),
        backends=("tensorflow", "torch"),
        every_backend_up_to=1,
        keras_backend="tensorflow",
        device="cpu",
        naive_mutants=256,
        warm_up=1,
        least=5,
        most=7,
        seconds=5.0,
        tolerance=0.01,
        budget=3600.0,
        failures="stop",
    )


def measured(cases: Sequence[Case] = CASES, times: int = 1) -> list[Record]:
    """Time the cases, one after the other, in this process.

    Parameters
    ----------
    cases : sequence of (architecture, length)
    times : int, default 1
        Runs of each case; later ones use the models and batch sizes of the first.
    """
    where = environment.describe()
    found: list[Record] = []
    for case in cases:
        architecture, length = case
        (drawn,) = select(FASTA, 1, seed=1)
        sequences = one_hot([drawn.sequence[-length:]])
        subject = Subject(build(architecture, length), sequences, where)
        with Progress(f"{ARCHITECTURES[architecture].label}, {length} bp") as progress:
            job = job_of(case)
            methods = variants(job)
            for _ in range(times):
                found += measure(job, subject, methods, progress)
    return found


def check(
    baseline: Baseline, counts: Iterable[Count], measure_cases: Measure, here: Where
) -> list[Finding]:
    """Compare with a baseline; measured speedups that fail get a second chance.

    Parameters
    ----------
    baseline : Baseline
    counts : iterable of Count
        What the planner counts now.
    measure_cases : callable
        From cases to records.
    here : Where
        The machine.

    Returns
    -------
    list of Finding
        One per count of the baseline, and one per speedup: on the processor of the baseline all
        of them, on another one those of the best framework. Of a case that was measured twice, the
        better.
    """
    counts = list(counts)
    if baseline.is_of(here):
        bounds = measured_bounds(baseline)
    else:
        bounds = promised_bounds(baseline, counts)
    found = speedups_of(measure_cases(_cases(bounds)))
    failed = [bound for bound in bounds if not bound.judge(found).passed]
    if failed:
        again = speedups_of(measure_cases(_cases(failed)))
        found |= {key: max(value, found.get(key, 0.0)) for key, value in again.items()}
    return [*compare_counts(baseline, counts), *(bound.judge(found) for bound in bounds)]


def _cases(bounds: Iterable[Bound]) -> list[Case]:
    return list(dict.fromkeys(bound.key[:2] for bound in bounds))


def update(given: argparse.Namespace, console: Console) -> int:
    """Repeat the measurement in fresh processes until there are enough, and write a baseline."""
    given.runs.parent.mkdir(parents=True, exist_ok=True)
    while _number_of_runs(given.runs, given.busy_runs) < given.least_runs:
        command = [
            sys.executable,
            "-m",
            "benchmarks.regression.check",
            "--measure",
            str(given.runs),
        ]
        done = subprocess.run([*command, "--threads", str(given.threads)], check=False)
        if done.returncode:
            return done.returncode
    busy = records.read(given.busy_runs) if given.busy_runs else []
    speedups = summarise(records.read(given.runs), busy)
    wrong = unjustified(speedups, FRACTION)
    if wrong:
        console.print(
            f"No baseline is written: {FRACTION:g} does not fit the spread of the runs.",
            *wrong,
            sep="\n",
            style="bold red",
        )
        return 1
    baseline = Baseline(FRACTION, tuple(counted()), speedups, environment.describe())
    baseline.write(given.baseline)
    console.print(f"Written: {given.baseline}")
    return 0


def _number_of_runs(*paths: Path | None) -> int:
    """How many runs some files hold of the case that has fewest."""
    found = records.read([path for path in paths if path and path.is_file()])
    jobs = {(r.what.architecture, r.what.length, r.how.job) for r in found}
    return min(sum(job[:2] == case for job in jobs) for case in CASES)


def compare_now(given: argparse.Namespace, console: Console) -> int:
    """Compare with the baseline, print the table, and name what is worse."""
    baseline, here = Baseline.read(given.baseline), environment.describe()
    if not baseline.is_of(here):
        console.print(no_baseline(baseline.where, here), style="yellow", soft_wrap=True)
    known = records.read(given.earlier) if given.earlier and given.earlier.is_file() else []
    earlier = of_this_state(known, here, baseline, CASES)
    if earlier:
        console.print(taken_over(earlier, given.earlier), soft_wrap=True)
    taken: list[Record] = []

    def measure_cases(cases: Sequence[Case]) -> list[Record]:
        # A case that is asked for again has failed, and is measured.
        at_hand = {case: earlier.pop(case) for case in cases if case in earlier}
        found = measured([case for case in cases if case not in at_hand])
        taken.extend(found)
        return [*found, *chain.from_iterable(at_hand.values())]

    findings = check(baseline, counted(), measure_cases, here)
    if given.records:
        records.append(given.records, taken)
    console.print(table(findings, baseline))
    worse = [finding for finding in findings if not finding.passed]
    for finding in worse:
        console.print(regressed(finding), style="bold red", soft_wrap=True)
    return 1 if worse else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare speedups with the committed baseline, or write a new one."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.regression", description=main.__doc__
    )
    parser.add_argument("--baseline", type=Path, default=COMMITTED, help="JSON")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    parser.add_argument("--records", type=Path, help="where to append what is measured")
    parser.add_argument(
        "--earlier",
        type=Path,
        help="records of the benchmark: those of this commit and processor count, without baseline",
    )
    parser.add_argument("--measure", type=Path, help="measure, append to this file, and end")
    parser.add_argument("--times", type=int, default=1, help="with --measure: runs")
    parser.add_argument("--update", action="store_true", help="write a new baseline")
    parser.add_argument(
        "--runs",
        type=Path,
        default=Path("results/regression/runs.jsonl"),
        help="with --update: runs so far, to which the missing ones are added",
    )
    parser.add_argument(
        "--busy-runs", type=Path, help="with --update: runs on a busy machine, for their spread"
    )
    parser.add_argument("--least-runs", type=int, default=RUNS, help="with --update: how many")
    given = parser.parse_args(arguments)
    # Threads that wait must not spin: on a busy machine PyTorch would be ten times slower for it,
    # naive ISM on TensorFlow twice, and their ratio would say nothing. It costs up to a fifth of
    # the speed of PyTorch on a machine without other work, in the baseline as in what follows.
    os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    environment.prepare(threads=given.threads)
    console = Console(highlight=False)
    try:
        if given.measure:
            records.append(given.measure, measured(times=given.times))
            return 0
        return update(given, console) if given.update else compare_now(given, console)
    except (BenchmarkError, FastISMError) as error:
        console.print(str(error), style="bold red", markup=False, soft_wrap=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())

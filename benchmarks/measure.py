"""Time one architecture: all methods in turns, in one process, and check what they return.

    python -m benchmarks.measure --help

Requirements: rich; Keras with its framework, and those of the backends that are timed.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import environment, records
from benchmarks.agreement import Agreement, agreement
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.attribution.twins import make_twin
from benchmarks.compare import BASELINE, FAST
from benchmarks.job import Job
from benchmarks.limits import Limits, too_large
from benchmarks.methods import Attribution, Check, Method, Setting, discover
from benchmarks.progress import Progress, logger
from benchmarks.records import How, Record, Result, What, Where
from benchmarks.select_sequences import encoded
from benchmarks.timing import Clock, Repeats, alternate
from fastism.errors import FastISMError


class BenchmarkError(RuntimeError):
    """A job cannot give what it is for: methods disagree, or nothing could be run."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What methods are timed on.

    Attributes
    ----------
    model : keras.Model or torch.nn.Module
    sequences : ndarray, float32, shape (sequences, length, characters)
        One-hot, as many as the largest run takes.
    data : str
        Where the sequences are from.
    where : Where
        The system.
    """

    model: Any
    sequences: np.ndarray
    data: str
    where: Where


def variants(job: Job, found: Mapping[str, type[Method]] | None = None) -> list[Method]:
    """Every variant of the methods of a job."""
    known = discover() if found is None else found
    setting = Setting(job.keras_backend, job.backends, job.naive_mutants, job.model)
    return [variant for name in job.methods for variant in known[name].variants(setting)]


def measure(
    job: Job,
    subject: Subject,
    methods: Sequence[Method],
    progress: Progress,
    clock: Clock = time.perf_counter,
) -> Iterator[Record]:
    """Time all methods in turns, for each number of sequences.

    Parameters
    ----------
    job : Job
        What to time.
    subject : Subject
        What to time it on.
    methods : sequence of Method
        From `variants`.
    progress : Progress
        Where to show what is under way.
    clock : callable
        Seconds.

    Yields
    ------
    Record
        One per method and number of sequences, also for those that could not run.

    Raises
    ------
    BenchmarkError
        An exact method differs from naive ISM, or no naive ISM or no other method could run.
    """
    name = uuid.uuid4().hex[:12]
    limits = Limits(job.budget, max(job.warm_up, 1) + job.least, clock)
    fastest: Method | None = None
    for number in job.sequences:
        chosen = _chosen(job, methods, number, fastest)
        sequences = subject.sequences[:number]
        ready, failures = _warmed_up(job, chosen, subject.model, sequences, progress, limits)
        checks, failed = _checked(ready, progress)
        if failed:
            wrong = {_key(method) for method, _ in failed}
            ready = [(method, result) for method, result in ready if _key(method) not in wrong]
            failures += failed
        agreements = _agreements(job, ready, progress)
        timed = {_key(method): method for method, _ in ready}
        del ready  # the results can be large
        seconds = _timed(job, timed, number, progress, clock) if timed else {}
        for key, method in timed.items():
            limits.note(key, median(seconds[key]) * method.scale / number)
            found, check = agreements.get(key), checks.get(key)
            result = Result(
                seconds=tuple(seconds[key]),
                macs=method.macs,
                difference=found and found.difference,
                spread=found and found.spread,
                identity=check.identity if check else "",
                residual=check and check.residual,
            )
            yield _record(job, subject, method, number, result, name)
        for method, result in failures:
            yield _record(job, subject, method, number, result, name)
        fast = {median(seconds[key]): m for key, m in timed.items() if m.name == FAST}
        fastest = fast[min(fast)] if fast else fastest


def _timed(
    job: Job, timed: Mapping[str, Method], number: int, progress: Progress, clock: Clock
) -> dict[str, list[float]]:
    """Seconds of every method, in turns."""

    def announce(key: str, repeat: int) -> None:
        progress.now(f"{_shown(timed[key])}, {_count(number)}: repeat {repeat}")

    repeats = Repeats(job.least, job.most, job.seconds)
    runs = {key: method.run for key, method in timed.items()}
    seconds = alternate(runs, repeats, clock, announce)
    for key, method in timed.items():
        each = median(seconds[key]) * method.scale / number
        sample = f", scaled by {method.scale:.1f}" if method.scale != 1 else ""
        progress.done(
            f"{_shown(method)}, {_count(number)}: {each:.3g} s per sequence "
            f"({len(seconds[key])} repeats{sample})"
        )
    return seconds


def _chosen(
    job: Job, methods: Sequence[Method], number: int, fastest: Method | None
) -> list[Method]:
    """Leave out slow backends where they would take long."""
    if number <= job.every_backend_up_to or fastest is None:
        return list(methods)
    return [m for m in methods if m.name != FAST or m is fastest or m.backend == job.keras_backend]


def _warmed_up(
    job: Job,
    methods: Sequence[Method],
    model: Any,
    sequences: np.ndarray,
    progress: Progress,
    limits: Limits,
) -> tuple[list[tuple[Method, Attribution]], list[tuple[Method, Result]]]:
    """Set up and run every method; what cannot run is told apart, with its reason."""
    ready: list[tuple[Method, Attribution]] = []
    failures: list[tuple[Method, Result]] = []
    for method in methods:
        progress.now(f"{_shown(method)}, {_count(len(sequences))}: setting up and warming up")
        try:
            result = _first_run(job, method, model, sequences, limits)
        except Exception as error:  # whatever it is, it goes into the record
            logger.exception("%s failed", _shown(method))
            result = Result(status="failed", reason=f"{type(error).__name__}: {error}")
        if isinstance(result, Attribution):
            ready.append((method, result))
            continue
        failures.append((method, result))
        show = progress.wrong if result.status == "failed" else progress.done
        show(f"{_shown(method)}, {_count(len(sequences))}: {result.status}. {result.reason}")
    broken = [(m, r) for m, r in failures if r.status != "skipped"]
    absent = {_key(m) for m, _ in broken}
    for needed in (
        {_key(m) for m in methods if m.name == BASELINE},
        {_key(m) for m in methods if m.name != BASELINE},
    ):
        if needed and needed <= absent:
            reasons = [f"{_shown(m)}: {r.reason}" for m, r in broken if _key(m) in needed]
            raise BenchmarkError("Nothing can be compared. " + " ".join(reasons))
    return ready, failures


def _first_run(
    job: Job, method: Method, model: Any, sequences: np.ndarray, limits: Limits
) -> Attribution | Result:
    """What a method returns, or why it is left out."""
    reason = method.refuse()
    if reason:
        return Result(status="refused", reason=reason)
    method.set_up(model, sequences)
    reason = limits.too_long(_key(method), method, len(sequences))
    reason = reason or too_large(method, model, sequences)
    if reason:
        return Result(status="skipped", reason=reason)
    for _ in range(max(job.warm_up, 1)):
        begin = limits.clock()
        result = method.run()
        seconds = limits.clock() - begin
    reason = limits.exceeded(seconds * job.least, f"{job.least} runs more")
    return Result(status="skipped", reason=reason) if reason else result


def _checked(
    ready: Sequence[tuple[Method, Attribution]], progress: Progress
) -> tuple[dict[str, Check], list[tuple[Method, Result]]]:
    """Check the attributions of every method that has an identity; a wrong one is told apart."""
    held: dict[str, Check] = {}
    failed: list[tuple[Method, Result]] = []
    for method, result in ready:
        progress.now(f"{_shown(method)}: checking")
        try:
            check = method.check(result)
        except Exception as error:  # whatever it is, it goes into the record
            logger.exception("The check of %s failed", _shown(method))
            reason = f"The check failed. {type(error).__name__}: {error}"
            failed.append((method, Result(status="failed", reason=reason)))
            progress.wrong(f"{_shown(method)} failed. {reason}")
            continue
        if check is None:
            continue
        line = f"{check.identity}: residual {check.residual:.2g}"
        if check.holds:
            held[_key(method)] = check
            progress.done(f"{_shown(method)}: {line}")
        else:
            reason = f"{line}; expected at most {check.tolerance:g}."
            failed.append((method, Result(status="failed", reason=reason)))
            progress.wrong(f"{_shown(method)} failed. {reason}")
    return held, failed


def _agreements(
    job: Job, ready: Sequence[tuple[Method, Attribution]], progress: Progress
) -> dict[str, Agreement]:
    """Compare every exact method, and every approximation of one, with naive ISM."""
    baselines = [result for method, result in ready if method.name == BASELINE]
    found: dict[str, Agreement] = {}
    if not baselines:
        return found
    for method, result in ready:
        if method.name == BASELINE:
            continue
        if not method.exact:
            distance = method.ism_error(result, baselines[0])
            if distance is not None:
                found[_key(method)] = distance
                progress.done(
                    f"{_shown(method)}: approximates naive ISM to {distance.difference:.2g} at "
                    f"most, standard deviation of the effects {distance.spread:.2g}"
                )
            continue
        # Variants of naive ISM may have sampled different positions, so that each is compared.
        one = max((agreement(naive, result) for naive in baselines), key=Agreement.excess)
        found[_key(method)] = one
        line = (
            f"largest difference to naive ISM {one.difference:.2g}, standard deviation of the "
            f"effects {one.spread:.2g}"
        )
        if not one.within(job.tolerance):
            raise BenchmarkError(
                f"{_shown(method)} and naive ISM disagree on {job.architecture} at {job.length}: "
                f"{line}; expected at most {job.tolerance:g} standard deviations. "
                "Speed of a wrong result means nothing, so nothing is recorded."
            )
        progress.done(f"{_shown(method)}: {line}")
    return found


def _record(
    job: Job, subject: Subject, method: Method, number: int, result: Result, name: str
) -> Record:
    ran = result.status == "ok"
    length, characters = subject.sequences.shape[1:]
    positions = (method.positions if ran else None) or length
    return Record(
        What(
            study=job.study,
            kind="throughput",
            method=method.name,
            architecture=job.architecture,
            length=length,
            sequences=number,
            positions=positions,
            alternatives=characters - 1,
            data=subject.data,
            variant=job.variant,
        ),
        How(
            backend=method.backend,
            keras_backend=job.keras_backend,
            device=job.device,
            batch_size=method.batch_size if ran else None,
            warm_up=max(job.warm_up, 1),
            extrapolated=positions != length or (ran and method.scale != 1.0),
            scale=method.scale if ran else 1.0,
            settings=method.settings if ran else {},
            job=name,
            model=job.model,
            mode=method.mode,
        ),
        result,
        subject.where,
    )


def _key(method: Method) -> str:
    return f"{method.name}/{method.backend}/{method.mode}"


def _shown(method: Method) -> str:
    return f"{method.label} on {method.backend}" + (f", {method.mode}" if method.mode else "")


def _count(number: int) -> str:
    return "1 sequence" if number == 1 else f"{number} sequences"


def main(arguments: Sequence[str] | None = None) -> int:
    """Time one architecture and append the records to a file."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.measure", description=main.__doc__)
    parser.add_argument("--fasta", type=Path, required=True, help="enough sequences to run on")
    parser.add_argument("--data", required=True, help="where they are from, for the record")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines")
    Job.add_flags(parser)
    given = parser.parse_args(arguments)
    job = Job.from_flags(given)
    environment.prepare(job.keras_backend, job.device, given.threads)
    label = ARCHITECTURES[job.architecture].label
    varied = f", {job.variant.replace('_', ' ')}" if job.parameter else ""
    varied += ", as a PyTorch module" if job.model == "torch" else ""
    with Progress(f"{label}, {job.length} bp{varied}, {job.device}") as progress:
        try:
            reason = environment.missing_device(job.device)
            if reason:
                raise BenchmarkError(reason)
            sequences = encoded(given.fasta, job.length, joined=bool(job.parameter))
            model = build(job.architecture, job.length, **job.parameters)
            if job.model == "torch":
                model = make_twin(model)
            where = environment.describe(job.device)
            subject = Subject(model, sequences, given.data, where)
            for record in measure(job, subject, variants(job), progress):
                records.append(given.output, [record])
        except (BenchmarkError, FastISMError) as error:
            progress.wrong(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

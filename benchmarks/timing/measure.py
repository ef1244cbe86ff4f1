"""Time one architecture: all methods in turns, in one process, and check what they return.

    python -m benchmarks.timing.measure --help

Requirements: rich; Keras with its framework, and those of the backends that are timed.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import numpy as np

from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.attribution.agreement import Agreement, agreement
from benchmarks.attribution.twins import make_twin
from benchmarks.clock import Clock, Repeats, alternate
from benchmarks.errors import BenchmarkError, look_up
from benchmarks.jobs.document import measuring_parser
from benchmarks.jobs.job import TimingJob
from benchmarks.jobs.partial import Partial
from benchmarks.jobs.progress import Progress, counted, logger
from benchmarks.jobs.select_sequences import encoded
from benchmarks.methods import Attribution, Check, Method, Setting, discover
from benchmarks.records import How, Record, Result, What, Where, environment
from benchmarks.records.compare import BASELINE, FAST, seconds_per_sequence
from benchmarks.timing.limits import Limits
from benchmarks.timing.warm_up import warmed_up
from fastism.errors import FastISMError


@dataclass(frozen=True, slots=True)
class Subject:
    """What methods are timed on.

    Attributes
    ----------
    model : keras.Model or torch.nn.Module
    sequences : ndarray, float32, shape (sequences, length, characters)
        One-hot, as many as the largest run takes.
    where : Where
        The system.
    """

    model: Any
    sequences: np.ndarray
    where: Where


def variants(job: TimingJob, found: Mapping[str, type[Method]] | None = None) -> list[Method]:
    """Every variant of the methods of a job."""
    known = discover() if found is None else found
    setting = Setting(job.keras_backend, job.backends, job.naive_mutants, job.model)
    methods = [look_up("method", name, known) for name in job.methods]
    return [variant for method in methods for variant in method.variants(setting)]


def measure(
    job: TimingJob,
    subject: Subject,
    methods: Sequence[Method],
    progress: Progress,
    clock: Clock = time.perf_counter,
) -> Iterator[Record]:
    """Time all methods in turns, for each number of sequences: the records of `measure_each`."""
    for group in measure_each(job, subject, methods, progress, clock):
        yield from group


def measure_each(
    job: TimingJob,
    subject: Subject,
    methods: Sequence[Method],
    progress: Progress,
    clock: Clock = time.perf_counter,
    done: Sequence[Record] = (),
) -> Iterator[list[Record]]:
    """Time all methods in turns, for each number of sequences.

    Parameters
    ----------
    job : TimingJob
        What to time.
    subject : Subject
        What to time it on.
    methods : sequence of Method
        From `variants`.
    progress : Progress
        Where to show what is under way.
    clock : callable
        Seconds.
    done : sequence of Record
        Of the same job, from a run that was interrupted: their numbers of sequences are left out.

    Yields
    ------
    list of Record
        For a number of sequences: one per method, also for those that could not run.

    Raises
    ------
    BenchmarkError
        An exact method differs from naive ISM, or no naive ISM or no other method could run.
    """
    name = uuid.uuid4().hex[:12]
    limits = Limits(job.budget, max(job.warm_up, 1) + job.least, clock)
    fastest = _resumed(methods, limits, done)
    for number in job.sequences:
        if any(record.what.sequences == number for record in done):
            continue
        chosen = _chosen(job, methods, number, fastest)
        sequences = subject.sequences[:number]
        warm, failures = warmed_up(job, chosen, subject.model, sequences, progress, limits)
        counts = {w.method.key: w.counts for w in warm if w.counts is not None}
        ready = [(w.method, w.result) for w in warm]
        checks, failed = _checked(ready, progress)
        if failed:
            wrong = {method.key for method, _ in failed}
            ready = [(method, result) for method, result in ready if method.key not in wrong]
            failures += failed
        agreements = _agreements(job, ready, progress)
        timed = {method.key: method for method, _ in ready}
        del ready, warm  # the results can be large
        counts = {key: [seconds] for key, seconds in counts.items() if key in timed}
        seconds, rates = _timed(job, timed, counts, number, progress, limits) if timed else ({}, {})
        group: list[Record] = []
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
                rates=tuple(rates.get(key, ())),
            )
            warm_ups = 0 if key in counts else max(job.warm_up, 1)
            group.append(_record(job, subject, method, number, result, name, warm_ups))
        for method, result in failures:
            warm_ups = max(job.warm_up, 1)
            group.append(_record(job, subject, method, number, result, name, warm_ups))
        yield group
        fast = {median(seconds[key]): m for key, m in timed.items() if m.name == FAST}
        fastest = fast[min(fast)] if fast else fastest


def _resumed(methods: Sequence[Method], limits: Limits, done: Sequence[Record]) -> Method | None:
    """Note what earlier records of the job say, and return the fastest variant of fast ISM."""
    latest: dict[str, Record] = {}
    for record in done:
        if record.result.status == "ok":
            latest[_key_of(record)] = record
    known: dict[float, Method] = {}
    for method in methods:
        record = latest.get(method.key)
        if record is None:
            continue
        seconds = seconds_per_sequence(record)[0]
        limits.note(method.key, seconds)
        if method.name == FAST:
            known[seconds] = method
    return known[min(known)] if known else None


def _timed(
    job: TimingJob,
    timed: Mapping[str, Method],
    counts: Mapping[str, list[float]],
    number: int,
    progress: Progress,
    limits: Limits,
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Seconds of every method, in turns, and the rates that its probe measured in between.

    `counts` holds those of methods whose first run was long enough to be their only one. There is
    one round of the others then.
    """
    probes = {key: probe for key, m in timed.items() if (probe := m.rate_probe(limits.clock))}
    runs: dict[str, Callable[[], object]] = {}
    shown: dict[str, str] = {}
    for key, method in timed.items():
        if key not in counts:
            runs[key], shown[key] = method.run, method.shown
        if key in probes:
            beside = f"{key} rate"
            runs[beside], shown[beside] = probes[key].run, f"matrix products of {method.shown}"

    def announce(key: str, repeat: int) -> None:
        progress.now(f"{shown[key]}, {counted(number)}: repeat {repeat}")

    limits.release()
    # As many rounds of all, so that runs can be paired.
    most = job.least if counts else job.most
    repeats = Repeats(job.least, most, min(job.seconds, limits.left))
    seconds = {**alternate(runs, repeats, limits.clock, announce), **counts}
    for key, method in timed.items():
        each = median(seconds[key]) * method.scale / number
        sample = f", scaled by {method.scale:.1f}" if method.scale != 1 else ""
        progress.done(
            f"{method.shown}, {counted(number)}: {each:.3g} s per sequence "
            f"({len(seconds[key])} repeats{sample})"
        )
    return seconds, {key: probe.rates for key, probe in probes.items()}


def _chosen(
    job: TimingJob, methods: Sequence[Method], number: int, fastest: Method | None
) -> list[Method]:
    """Leave out slow backends where they would take long."""
    if number <= job.every_backend_up_to or fastest is None:
        return list(methods)
    return [m for m in methods if m.name != FAST or m is fastest or m.backend == job.keras_backend]


def _checked(
    ready: Sequence[tuple[Method, Attribution]], progress: Progress
) -> tuple[dict[str, Check], list[tuple[Method, Result]]]:
    """Check the attributions of every method that has an identity.

    Returns the checks that hold, by key of the method, and the methods whose check failed.
    """
    held: dict[str, Check] = {}
    failed: list[tuple[Method, Result]] = []
    for method, result in ready:
        progress.now(f"{method.shown}: checking")
        try:
            check = method.check(result)
        except Exception as error:  # whatever it is, it goes into the record
            logger.exception("The check of %s failed", method.shown)
            reason = f"The check failed. {type(error).__name__}: {error}"
            failed.append((method, Result(status="failed", reason=reason)))
            progress.wrong(f"{method.shown} failed. {reason}")
            continue
        if check is None:
            continue
        line = f"{check.identity}: residual {check.residual:.2g}"
        if check.holds:
            held[method.key] = check
            progress.done(f"{method.shown}: {line}")
        else:
            reason = f"{line}; expected at most {check.tolerance:g}."
            failed.append((method, Result(status="failed", reason=reason)))
            progress.wrong(f"{method.shown} failed. {reason}")
    return held, failed


def _agreements(
    job: TimingJob, ready: Sequence[tuple[Method, Attribution]], progress: Progress
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
                found[method.key] = distance
                progress.done(
                    f"{method.shown}: approximates naive ISM to {distance.difference:.2g} at "
                    f"most, standard deviation of the effects {distance.spread:.2g}"
                )
            continue
        # Variants of naive ISM may have sampled different positions, so that each is compared.
        one = max((agreement(naive, result) for naive in baselines), key=Agreement.excess)
        found[method.key] = one
        line = (
            f"largest difference to naive ISM {one.difference:.2g}, standard deviation of the "
            f"effects {one.spread:.2g}"
        )
        if not one.within(job.tolerance):
            raise BenchmarkError(
                f"{method.shown} and naive ISM disagree on {job.architecture} at {job.length}: "
                f"{line}; expected at most {job.tolerance:g} standard deviations. "
                "Speed of a wrong result means nothing, so nothing is recorded."
            )
        progress.done(f"{method.shown}: {line}")
    return found


def _record(
    job: TimingJob,
    subject: Subject,
    method: Method,
    number: int,
    result: Result,
    name: str,
    warm_ups: int,
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
            data=job.data,
            variant=job.variant,
        ),
        How(
            backend=method.backend,
            keras_backend=job.keras_backend,
            device=job.device,
            batch_size=method.batch_size if ran else None,
            warm_up=warm_ups,
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


def _key_of(record: Record) -> str:
    """The `key` of the method that a record is of."""
    return f"{record.what.method}/{record.how.backend}/{record.how.mode}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Time one architecture and write the records to a file when all are there."""
    parser = measuring_parser(TimingJob, "python -m benchmarks.timing.measure", main.__doc__)
    Partial.add_flag(parser)
    given = parser.parse_args(arguments)
    job: TimingJob = given.job
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
            subject = Subject(model, sequences, where)
            partial = Partial(given.partial, job)
            done = partial.read()
            if done:
                numbers = sorted({record.what.sequences for record in done})
                progress.done(f"Already measured: {', '.join(map(counted, numbers))}")
            for group in measure_each(job, subject, variants(job), progress, done=done):
                partial.append(group)
            partial.finish(given.output)
        except (BenchmarkError, FastISMError) as error:
            progress.wrong(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

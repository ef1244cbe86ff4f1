"""Set up the methods of a job and run each once, within the time of the job.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.errors import BenchmarkError
from benchmarks.jobs.job import TimingJob
from benchmarks.jobs.progress import Progress, counted, logger
from benchmarks.methods import Attribution, Method, WouldExceed
from benchmarks.records import Result
from benchmarks.records.compare import BASELINE
from benchmarks.timing.limits import Limits, too_large

#: Seconds from which on a first run counts where one round is enough: what compiling or choosing
#: kernels takes is some hundredths of it.
LONG = 60.0


@dataclass(frozen=True)
class Warm:
    """A method that ran once.

    Attributes
    ----------
    method : Method
    result : Attribution
        What it returned.
    counts : float or None
        Seconds of that run where it is the only one that is made, else None.
    """

    method: Method
    result: Attribution
    counts: float | None


def warmed_up(
    job: TimingJob,
    methods: Sequence[Method],
    model: Any,
    sequences: np.ndarray,
    progress: Progress,
    limits: Limits,
) -> tuple[list[Warm], list[tuple[Method, Result]]]:
    """Set up and run every method once.

    Returns
    -------
    tuple of two lists
        The methods that ran, and those that could not, with the result that says why.

    Raises
    ------
    BenchmarkError
        No naive ISM or no other method could run, although there was time for it.
    """
    ready: list[Warm] = []
    failures: list[tuple[Method, Result]] = []
    for method in methods:
        progress.now(f"{method.shown}, {counted(len(sequences))}: setting up and warming up")
        try:
            result = _first_run(job, method, model, sequences, limits)
        except Exception as error:  # whatever it is, it goes into the record
            logger.exception("%s failed", method.shown)
            result = Result(status="failed", reason=f"{type(error).__name__}: {error}")
        if isinstance(result, Warm):
            ready.append(result)
            continue
        failures.append((method, result))
        show = progress.wrong if result.status == "failed" else progress.done
        show(f"{method.shown}, {counted(len(sequences))}: {result.status}. {result.reason}")
    broken = [(m, r) for m, r in failures if r.status != "skipped"]
    absent = {m.key for m, _ in broken}
    for needed in (
        {m.key for m in methods if m.name == BASELINE},
        {m.key for m in methods if m.name != BASELINE},
    ):
        if needed and needed <= absent:
            reasons = [f"{m.shown}: {r.reason}" for m, r in broken if m.key in needed]
            raise BenchmarkError("Nothing can be compared. " + " ".join(reasons))
    return ready, failures


def _first_run(
    job: TimingJob, method: Method, model: Any, sequences: np.ndarray, limits: Limits
) -> Warm | Result:
    """What a method returns, or why it is left out."""
    reason = method.refuse()
    if reason:
        return Result(status="refused", reason=reason)
    reason = limits.over()
    if reason:
        return Result(status="skipped", reason=reason)
    method.allowance = limits
    key, number = method.key, len(sequences)
    try:
        if number > 1 and method.exact and not limits.knows(key):
            _probe(method, model, sequences[:1], limits)
        method.set_up(model, sequences)
    except WouldExceed as error:
        return Result(status="skipped", reason=str(error))
    reason = limits.too_long(key, method, number) or too_large(method, model, sequences)
    if reason:
        return Result(status="skipped", reason=reason)
    for _ in range(max(job.warm_up, 1)):
        begin = limits.clock()
        result = method.run()
        seconds = limits.clock() - begin
    counts = job.least == 1 and seconds >= LONG
    rounds = 0 if counts else job.least
    wanted = seconds * (rounds + method.check_runs)
    reason = limits.exceeded(wanted, f"{rounds} runs more" + _and_check(method))
    if reason:
        limits.note(key, seconds * method.scale / number)
        return Result(status="skipped", reason=reason)
    limits.reserve(wanted)
    return Warm(method, result, seconds if counts else None)


def _and_check(method: Method) -> str:
    return " and the check" if method.check_runs else ""


def _probe(method: Method, model: Any, sequence: np.ndarray, limits: Limits) -> None:
    """Note what one sequence takes; the first of two runs may have compiled something."""
    method.set_up(model, sequence)
    seconds = []
    for _ in range(2):
        begin = limits.clock()
        method.run()
        seconds.append(limits.clock() - begin)
        if limits.exceeded(seconds[0], "Another run"):
            break
    limits.note(method.key, min(seconds) * method.scale)

"""Leave records of a timing job that failed as a whole, or let the failure stand.

    python -m benchmarks.workflow.failed_job --help

The workflow calls it where `benchmarks.timing.measure` ended in failure or was killed, with the
same job: a process that the system stops for want of memory cannot leave a record itself.

Requirements: rich.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import records
from benchmarks.jobs.document import job_parser
from benchmarks.jobs.job import TimingJob
from benchmarks.jobs.partial import Partial
from benchmarks.jobs.progress import Progress
from benchmarks.records import How, Record, Result, What, environment
from benchmarks.timing.measure import variants

ALTERNATIVES = 3


def reason_of(log: Path, status: int) -> str:
    """Why a job failed: the signal that ended it, or the last line that it wrote."""
    if status > 128:
        killed = " The system may have run out of memory." if status == 137 else ""
        return f"The job was ended by signal {status - 128}.{killed}"
    text = log.read_text(errors="replace").strip() if log.is_file() else ""
    return text.splitlines()[-1] if text else f"The job ended with status {status}."


def missing_records(
    job: TimingJob, done: Sequence[Record], reason: str, status: str = "failed"
) -> Iterator[Record]:
    """One record per variant and number of sequences that has none."""
    known = {(r.what.method, r.how.backend, r.how.mode, r.what.sequences) for r in done}
    where = environment.describe(job.device)
    name = done[0].how.job if done else uuid.uuid4().hex[:12]
    for number in job.sequences:
        for method in variants(job):
            if (method.name, method.backend, method.mode, number) in known:
                continue
            yield Record(
                What(
                    study=job.study,
                    kind="throughput",
                    method=method.name,
                    architecture=job.architecture,
                    length=job.length,
                    sequences=number,
                    positions=job.length,
                    alternatives=ALTERNATIVES,
                    data=job.data,
                    variant=job.variant,
                ),
                How(
                    backend=method.backend,
                    keras_backend=job.keras_backend,
                    device=job.device,
                    batch_size=None,
                    warm_up=0,
                    extrapolated=False,
                    scale=1.0,
                    settings={},
                    job=name,
                    model=job.model,
                    mode=method.mode,
                ),
                Result(status=status, reason=reason),
                where,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Write what a job had recorded, and a failed record for whatever it had not."""
    parser = job_parser(TimingJob, "python -m benchmarks.workflow.failed_job", main.__doc__)
    parser.add_argument("--status", type=int, required=True, help="exit status of the job")
    parser.add_argument("--log", type=Path, required=True, help="what the job wrote")
    Partial.add_flag(parser)
    given = parser.parse_args(arguments)
    job: TimingJob = given.job
    if job.failures == "stop":
        return given.status
    reason = reason_of(given.log, given.status)
    # Kept where it is: whoever deletes the output to try again loses no measurement.
    done = Partial(given.partial, job).read()
    given.output.unlink(missing_ok=True)
    records.append(given.output, [*done, *missing_records(job, done, reason)])
    Progress(job.case).wrong(f"{job.case} failed; its records say why. {reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

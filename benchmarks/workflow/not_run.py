"""Say of every job that a study has not run that it was not run, and why.

    python -m benchmarks.workflow.not_run --config workflows/config/paper.yaml \
        --folder results/paper/records --reason "The run was ended after three hours."

A grid that takes longer than there is time for can be interrupted; with these records in place of
the missing ones, the workflow goes on to draw what there is. To run such a job after all, delete
its file. Jobs of a device that is not there say so instead.

Requirements: rich.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks import records
from benchmarks.jobs.progress import Progress
from benchmarks.peers.record import as_records, unmade
from benchmarks.records import Record, environment
from benchmarks.workflow.config import Config, load_config
from benchmarks.workflow.failed_job import missing_records
from fastism.errors import FastISMError

STATUS = "skipped"


def not_run(config: Config, folder: Path, reason: str) -> Iterator[tuple[Path, list[Record]]]:
    """The records of every timing job and peer that has no file yet.

    Parameters
    ----------
    config : Config
    folder : Path
        Where the workflow writes the records of the jobs.
    reason : str
        Why they were not run.

    Yields
    ------
    tuple of Path and list of Record
        A file that is missing, and what belongs into it.
    """
    for case, job in config.jobs.items():
        path = folder / f"{case}.jsonl"
        if not path.exists():
            why = environment.missing_device(job.device) or reason
            yield path, list(missing_records(job, [], why, STATUS))
    for case, job in config.peers.items():
        path = folder / f"{case}.jsonl"
        if not path.exists():
            report = unmade(job, reason, STATUS)
            yield path, list(as_records(job, report, environment.describe()))


def main(arguments: Sequence[str] | None = None) -> int:
    """Write records of the jobs that a study has not run."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.workflow.not_run", description=main.__doc__
    )
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="results/STUDY/records")
    parser.add_argument("--reason", required=True, help="why the jobs were not run")
    parser.add_argument("--device", choices=("cpu", "gpu"), help="jobs of this device only")
    given = parser.parse_args(arguments)
    progress = Progress("What was not run")
    try:
        config = load_config(given.config)
        for path, found in not_run(config, given.folder, given.reason):
            if given.device in (None, found[0].how.device):
                records.append(path, found)
                progress.done(f"{path.name}: {found[0].result.reason}")
    except FastISMError as error:
        progress.wrong(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Records of a job that is under way, outside of the files that the workflow knows.

Snakemake deletes the output of a rule that fails or is interrupted. What a job has measured is
therefore appended to a file beside the outputs, which becomes the output when the job is complete,
and which the next attempt goes on from.

Requirements: none beyond `benchmarks.records`.
"""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from benchmarks import records
from benchmarks.jobs.document import write_job
from benchmarks.jobs.job import Job
from benchmarks.records import Record


class Partial:
    """The records of one job so far: whole numbers of sequences, written at once.

    Parameters
    ----------
    folder : Path
        Where such files lie; made when there is something to write.
    job : Job
        One with other settings or other data has another file, so that nothing of it is taken for
        this one's.
    """

    def __init__(self, folder: Path, job: Job) -> None:
        settings = hashlib.sha256(write_job(job).encode()).hexdigest()[:12]
        self.path = Path(folder) / f"{job.case}-{settings}.jsonl"

    @staticmethod
    def add_flag(parser: argparse.ArgumentParser) -> None:
        """Give a parser the flag for the folder."""
        parser.add_argument(
            "--partial", type=Path, required=True, help="folder of records of unfinished jobs"
        )

    def read(self) -> list[Record]:
        """What an earlier attempt has measured; nothing where there was none."""
        return records.read(self.path) if self.path.is_file() else []

    def append(self, group: Iterable[Record]) -> None:
        """Add the records of one number of sequences."""
        records.append(self.path, group)

    def finish(self, output: Path) -> None:
        """Make it the output of the job, which is complete."""
        output.parent.mkdir(parents=True, exist_ok=True)
        os.replace(self.path, output)

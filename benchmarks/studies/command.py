"""The command of a study: jobs from the command line, one row of a table each, and the record.

Requirements: rich.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.jobs.progress import Progress
from benchmarks.records import environment
from benchmarks.records.tables import markdown_table
from fastism.errors import FastISMError

FASTA = environment.ROOT / "data" / "dm3_promoters_2kb.fa.gz"
#: What the head of every table ends with.
HOW = (
    "Processor time is that of the process on all processors. Difference: the largest to naive "
    "ISM, in standard deviations of the effects."
)


@dataclass(frozen=True, slots=True)
class Study:
    """A study whose jobs are rows of one table.

    Attributes
    ----------
    name : str
        Of its module in `benchmarks.studies`.
    description : str
        What the command does.
    job : callable
        From what the user writes for a job to the job.
    metavar, help : str
        How a job is written.
    header : tuple of str
    left : tuple of int
        Columns that are aligned to the left.
    row : callable
        From a job and the settings of the command line to the cells of its row.
    told : callable
        From a job to what people call it.
    head : callable
        From the settings to the text above the table, without machine and versions.
    """

    name: str
    description: str
    job: Callable[[str], Any]
    metavar: str
    help: str
    header: tuple[str, ...]
    left: tuple[int, ...]
    row: Callable[[Any, argparse.Namespace], list[str]]
    told: Callable[[Any], str]
    head: Callable[[argparse.Namespace], str]

    def parser(self, rounds: int, sample: int = 0, sampled: str = "") -> argparse.ArgumentParser:
        """A parser with the options that all studies have.

        Parameters
        ----------
        rounds : int
            Runs of each method unless the user says otherwise.
        sample : int
            Likewise for ``--sample``; 0 for no such option.
        sampled : str
            What the sample is.
        """
        parser = argparse.ArgumentParser(
            prog=f"python -m benchmarks.studies.{self.name}", description=self.description
        )
        parser.add_argument(
            "--job", type=self.job, nargs="+", required=True, metavar=self.metavar, help=self.help
        )
        parser.add_argument("--length", type=int, default=1000, help="of the sequence")
        parser.add_argument("--fasta", type=Path, default=FASTA, help="its first sequence is taken")
        parser.add_argument("--rounds", type=int, default=rounds, help="runs of each, in turns")
        if sample:
            parser.add_argument("--sample", type=int, default=sample, help=sampled)
        parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
        parser.add_argument("--markdown", type=Path, help="file to write the table to as well")
        return parser

    def run(self, given: argparse.Namespace, keras_backend: str = "torch") -> int:
        """Time all jobs, print the table and write the record; the exit status."""
        environment.prepare(keras_backend, "cpu", given.threads)
        body: list[list[str]] = []
        with Progress(self.name.capitalize()) as progress:
            try:
                for job in given.job:
                    body.append(self.row(job, given))
                    progress.done(self.told(job))
            except FastISMError as error:
                progress.wrong(str(error))
                return 1
        table = markdown_table(self.header, body, self.left)
        print(table)
        if given.markdown:
            where = environment.caption(environment.describe())
            given.markdown.parent.mkdir(parents=True, exist_ok=True)
            given.markdown.write_text(f"{self.head(given)} {where}\n\n{table}\n")
        return 0

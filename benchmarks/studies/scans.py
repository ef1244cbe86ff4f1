"""Deletions and insertions at every position, against naive ISM timed on a sample of positions.

    python -m benchmarks.studies.scans --job basset:1 bpnet:1 basset:GATAAG bpnet:GATAAG \
        --markdown benchmarks/records/scans.md

Requirements: rich; Keras with PyTorch.

Models are PyTorch twins of the Keras models, on which both methods run. Naive ISM runs eagerly at
its best batch size; it is timed on evenly spaced positions, and scaled by their number. Both run in
turns. Besides the time on the clock, that of the process on all processors is taken: on a machine
that others use it says more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.attribution.twins import make_twin
from benchmarks.clock import paired_ratio
from benchmarks.jobs.progress import Progress
from benchmarks.jobs.select_sequences import encoded
from benchmarks.records import environment
from benchmarks.records.tables import markdown_table
from benchmarks.studies.pairs import FASTA, Timed
from fastism import FastISM, NaiveISM
from fastism.base_ism import BaseISM
from fastism.calls.result import listed
from fastism.errors import FastISMError
from fastism.scans import Scan

HEADER = (
    *("model", "bp", "change", "mutants", "naive ISM, s", "fastISM, s"),
    *("speedup", "of processor time", "difference"),
)
LEFT = (0, 2)


@dataclass(frozen=True, slots=True)
class Job:
    """What is timed.

    Attributes
    ----------
    name : str
        Architecture.
    change : int or str
        Letters that are deleted, or the word that is inserted.
    """

    name: str
    change: int | str

    @classmethod
    def read(cls, text: str) -> Job:
        """From ARCHITECTURE:LETTERS or ARCHITECTURE:WORD."""
        name, _, change = text.partition(":")
        if name not in ARCHITECTURES:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(ARCHITECTURES)}.")
        if not change.isdecimal() and (not change or set(change.upper()) - set("ACGT")):
            raise argparse.ArgumentTypeError(
                f"{text}: give how many letters are deleted, or the word that is inserted."
            )
        return cls(name, int(change) if change.isdecimal() else change.upper())

    @property
    def told(self) -> str:
        """The change, for people."""
        return f"deletion of {self.change}" if isinstance(self.change, int) else f"+{self.change}"

    def run(self, ism: BaseISM, x: np.ndarray, positions: np.ndarray | None = None) -> Scan:
        """The scan of one model; of all positions, unless some are given."""
        given: dict[str, Any] = {"positions": positions}
        if isinstance(self.change, int):
            return ism.deletions(x, self.change, **given)
        return ism.insertions(x, self.change, **given)


def row(job: Job, length: int, fasta: Path, rounds: int, sample: int) -> list[str]:
    """Time one job, as a line of the table."""
    module = make_twin(build(job.name, length))
    x = encoded(fasta, length)[0][None].transpose(0, 2, 1).astype(np.float32)
    settings = {"input_shape": (x.shape[1], length), "test_correctness": False}
    fast, naive = FastISM(module, **settings), NaiveISM(module, **settings)
    some = np.unique(np.linspace(0, length - 1, sample).astype(int))
    naive.tune(x)
    scale = length / len(some)
    # A run of each first: memory, and what is made once.
    job.run(fast, x)
    job.run(naive, x, some[:4])
    slow_times, fast_times = Timed([], []), Timed([], [])
    for _ in range(rounds):
        slow = slow_times.run(lambda: job.run(naive, x, some), scale)
        made = fast_times.run(lambda: job.run(fast, x))
    clock = paired_ratio(slow_times.clock, fast_times.clock)
    process = paired_ratio(slow_times.process, fast_times.process)
    off = max(
        float(np.abs(a[:, :, some] - b).max() / (b - reference[:, None, None]).std())
        for a, b, reference in zip(
            listed(made.mutants), listed(slow.mutants), listed(slow.reference), strict=True
        )
    )
    return [
        job.name,
        str(length),
        job.told,
        f"{length:,}",
        f"{median(slow_times.clock):.3g}",
        f"{median(fast_times.clock):.3g}",
        f"{clock.median:.3g} ({clock.least:.3g}–{clock.most:.3g})",
        f"{process.median:.3g} ({process.least:.3g}–{process.most:.3g})",
        f"{off:.1g}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print times of deletions and insertions at every position, as a table in Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.scans", description=main.__doc__
    )
    parser.add_argument(
        "--job",
        type=Job.read,
        nargs="+",
        required=True,
        metavar="ARCHITECTURE:CHANGE",
        help="such as basset:1 for deletions of one letter, basset:GATAAG for insertions of a word",
    )
    parser.add_argument("--length", type=int, default=1000, help="of the sequence")
    parser.add_argument("--fasta", type=Path, default=FASTA, help="its first sequence is scanned")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each, in turns")
    parser.add_argument("--sample", type=int, default=64, help="positions that naive ISM runs")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    parser.add_argument("--markdown", type=Path, help="file to write the table to as well")
    given = parser.parse_args(arguments)
    environment.prepare("torch", "cpu", given.threads)
    body: list[list[str]] = []
    with Progress("Scans") as progress:
        try:
            for job in given.job:
                body.append(row(job, given.length, given.fasta, given.rounds, given.sample))
                progress.done(f"{job.name}, {job.told}")
        except FastISMError as error:
            progress.wrong(str(error))
            return 1
    table = markdown_table(HEADER, body, LEFT)
    print(table)
    if given.markdown:
        head = (
            f"Changes at every position of the first sequence of {given.fasta.name}; medians of "
            f"{given.rounds} runs in turns, in brackets the least and the most of the ratios "
            f"within a round. Naive ISM runs eagerly at its best batch size at {given.sample} "
            "positions, and is scaled. Processor time is that of the process on all processors. "
            "Difference: the largest to naive ISM, in standard deviations of the effects. "
            f"{environment.caption(environment.describe())}"
        )
        given.markdown.parent.mkdir(parents=True, exist_ok=True)
        given.markdown.write_text(f"{head}\n\n{table}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

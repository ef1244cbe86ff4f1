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
from typing import Any

import numpy as np

from benchmarks.studies.command import HOW, Study
from benchmarks.studies.turns import COLUMNS, Twins, in_turns, known_architecture, spread
from fastism.base_ism import BaseISM
from fastism.calls.result import listed
from fastism.scans import Scan

HEADER = ("model", "bp", "change", "mutants", *COLUMNS, "difference")
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
        known_architecture(name)
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


def row(job: Job, given: argparse.Namespace) -> list[str]:
    """Time one job, as a line of the table."""
    twins, length = Twins.make(job.name, given.length, given.fasta), given.length
    some = spread(0, length, given.sample)
    # A run of each first: memory, and what is made once.
    job.run(twins.fast, twins.x)
    job.run(twins.naive, twins.x, some[:4])
    turns, slow, made = in_turns(
        lambda: job.run(twins.naive, twins.x, some),
        lambda: job.run(twins.fast, twins.x),
        given.rounds,
        length / len(some),
    )
    off = max(
        float(np.abs(a[:, :, some] - b).max() / (b - reference[:, None, None]).std())
        for a, b, reference in zip(
            listed(made.mutants), listed(slow.mutants), listed(slow.reference), strict=True
        )
    )
    return [job.name, str(length), job.told, f"{length:,}", *turns.cells, f"{off:.1g}"]


def head(given: argparse.Namespace) -> str:
    """What stands above the table."""
    return (
        f"Changes at every position of the first sequence of {given.fasta.name}; medians of "
        f"{given.rounds} runs in turns, in brackets the least and the most of the ratios within a "
        f"round. Naive ISM runs eagerly at its best batch size at {given.sample} positions, and is "
        f"scaled. {HOW}"
    )


STUDY = Study(
    name="scans",
    description="Print times of deletions and insertions at every position, as a table.",
    job=Job.read,
    metavar="ARCHITECTURE:CHANGE",
    help="such as basset:1 for deletions of one letter, basset:GATAAG for insertions of a word",
    header=HEADER,
    left=LEFT,
    row=row,
    told=lambda job: f"{job.name}, {job.told}",
    head=head,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print times of deletions and insertions at every position, as a table in Markdown."""
    parser = STUDY.parser(5, 64, "positions that naive ISM runs")
    return STUDY.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

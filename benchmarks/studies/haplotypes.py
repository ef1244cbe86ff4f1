"""Haplotypes, mutants of several letters each, against naive ISM timed on a sample of them.

    python -m benchmarks.studies.haplotypes --job basset:256:4 bpnet:256:4 --threads 1 \
        --markdown benchmarks/records/haplotypes.md

Requirements: rich; Keras with PyTorch.

Haplotypes are drawn from sites with one substitution each, as copies of a chromosome share
variants. Models are PyTorch twins of the Keras models, on which both methods run, in turns. Naive
ISM runs eagerly at its best batch size on the first haplotypes, and is scaled by their number.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.studies.command import HOW, Study
from benchmarks.studies.turns import COLUMNS, Twins, in_turns, known_architecture
from fastism.base_ism import BaseISM
from fastism.calls.result import Perturbed, listed

HEADER = (
    *("model", "bp", "haplotypes", "letters each", "sites", "effects add up from"),
    *COLUMNS,
    "difference",
)
LEFT = (0,)
#: Sites that haplotypes are drawn from, and what they are drawn with.
SITES, SEED = 32, 17


@dataclass(frozen=True, slots=True)
class Job:
    """What is timed.

    Attributes
    ----------
    name : str
        Architecture.
    haplotypes : int
    letters : int
        Substitutions of each haplotype.
    """

    name: str
    haplotypes: int
    letters: int

    @classmethod
    def read(cls, text: str) -> Job:
        """From ARCHITECTURE:HAPLOTYPES:LETTERS."""
        name, *numbers = text.split(":")
        if len(numbers) != 2 or not all(n.isdecimal() and int(n) for n in numbers):
            raise argparse.ArgumentTypeError(f"{text}: give ARCHITECTURE:HAPLOTYPES:LETTERS.")
        haplotypes, letters = map(int, numbers)
        if letters > SITES:
            raise argparse.ArgumentTypeError(f"{text}: there are {SITES} sites to draw from.")
        return cls(known_architecture(name), haplotypes, letters)


@dataclass(frozen=True, slots=True)
class Haplotypes:
    """Substitutions of one sequence, some for each haplotype.

    Attributes
    ----------
    start : list of list of int
    replacement : list of list of ndarray, each (characters, 1)
    """

    start: list[list[int]]
    replacement: list[list[np.ndarray]]

    @classmethod
    def draw(cls, x: np.ndarray, job: Job) -> Haplotypes:
        """For a sequence (1, characters, length): sites, a substitution at each, and choices."""
        rng = np.random.default_rng(SEED)
        sites = rng.choice(x.shape[2], SITES, replace=False)
        letters = [np.roll(x[0, :, p : p + 1], rng.integers(1, x.shape[1]), axis=0) for p in sites]
        chosen = [rng.choice(SITES, job.letters, replace=False) for _ in range(job.haplotypes)]
        starts = [[int(sites[i]) for i in one] for one in chosen]
        return cls(starts, [[letters[i] for i in one] for one in chosen])

    def run(self, ism: BaseISM, x: np.ndarray, count: int | None = None) -> Perturbed:
        """The first ones, or all."""
        start, replacement = self.start[:count], self.replacement[:count]
        return ism.perturb(x, [0] * len(start), start, replacement)


def row(job: Job, given: argparse.Namespace) -> list[str]:
    """Time one job, as a line of the table."""
    twins = Twins.make(job.name, given.length, given.fasta)
    drawn, some = Haplotypes.draw(twins.x, job), min(given.sample, job.haplotypes)
    # A run of each first: memory, and what is made once.
    drawn.run(twins.fast, twins.x)
    drawn.run(twins.naive, twins.x, 4)
    turns, slow, made = in_turns(
        lambda: drawn.run(twins.naive, twins.x, some),
        lambda: drawn.run(twins.fast, twins.x),
        given.rounds,
        job.haplotypes / some,
    )
    off = max(
        float(np.abs(a[:some] - b).max() / (b - reference).std())
        for a, b, reference in zip(
            listed(made.mutants), listed(slow.mutants), listed(slow.reference), strict=True
        )
    )
    numbers = f"{job.haplotypes:,}", str(job.letters), str(SITES)
    distance = f"{twins.fast.edit_plan().distance} bp"
    return [job.name, str(given.length), *numbers, distance, *turns.cells, f"{off:.1g}"]


def head(given: argparse.Namespace) -> str:
    """What stands above the table."""
    return (
        f"Haplotypes of the first sequence of {given.fasta.name}, drawn from {SITES} sites with "
        f"one substitution each; medians of {given.rounds} runs in turns, in brackets the least "
        "and the most of the ratios within a round. Naive ISM runs eagerly at its best batch size "
        f"on {given.sample} of them, and is scaled. {HOW}"
    )


STUDY = Study(
    name="haplotypes",
    description="Print times of mutants of several letters each, as a table in Markdown.",
    job=Job.read,
    metavar="ARCHITECTURE:HAPLOTYPES:LETTERS",
    help="such as basset:256:4 for 256 haplotypes of four letters each",
    header=HEADER,
    left=LEFT,
    row=row,
    told=lambda job: f"{job.name}, {job.haplotypes} of {job.letters}",
    head=head,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print times of mutants of several letters each, as a table in Markdown."""
    parser = STUDY.parser(5, 64, "haplotypes that naive ISM runs")
    return STUDY.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

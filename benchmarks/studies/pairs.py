"""Every double mutant of a region, against naive ISM timed on a sample of them.

    python -m benchmarks.studies.pairs --job basset:200 bpnet:200:1 \
        --markdown benchmarks/records/pairs.md

Requirements: rich; Keras with PyTorch.

Models are PyTorch twins of the Keras models, on which both methods run. Naive ISM runs eagerly at
its best batch size; it is timed on all pairs of a few evenly spaced positions of the region, and
scaled by numbers of mutants. With ``--blocks``, fast ISM is timed on a few blocks of 48 first
positions with all behind them, and scaled likewise. Both run in turns. Besides the time on the
clock, that of the process on all processors is taken: on a machine that others use it says more.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.studies.command import HOW, Study
from benchmarks.studies.turns import COLUMNS, Twins, in_turns, known_architecture, spread
from fastism import FastISM

HEADER = (
    *("model", "bp", "region", "output", "double mutants"),
    *COLUMNS,
    *("multiply-adds", "difference"),
)
LEFT = (0, 3)
#: First positions of a block.
ROWS = 48


@dataclass(frozen=True, slots=True)
class Job:
    """What is timed.

    Attributes
    ----------
    name : str
        Architecture.
    region : int
        Positions in the middle of the sequence.
    output : int or None
        Number of the output to keep; None for all of the only one.
    """

    name: str
    region: int
    output: int | None

    @classmethod
    def read(cls, text: str) -> Job:
        """From ARCHITECTURE:REGION or ARCHITECTURE:REGION:OUTPUT."""
        name, region, *output = text.split(":")
        region_output = int(region), int(output[0]) if output else None
        return cls(known_architecture(name), *region_output)


def mutants_of(positions: int, characters: int = 4) -> int:
    """Double and single mutants of so many positions."""
    others = characters - 1
    return positions * (positions - 1) // 2 * others**2 + positions * others


def in_blocks(
    fast: FastISM, x: np.ndarray, region: np.ndarray, outputs: list[int] | None, blocks: int
) -> tuple[Callable[[], Any], float]:
    """A call that runs some blocks of first positions, and all pairs over the pairs of these."""
    count = len(region)
    firsts = [(2 * i + 1) * (count - ROWS) // (2 * blocks) for i in range(blocks)]

    def run() -> None:
        for first in firsts:
            next(fast.pair_rows(x, region, outputs, rows=ROWS, first=first))

    pairs = sum(count - 1 - row for first in firsts for row in range(first, first + ROWS))
    return run, count * (count - 1) / 2 / pairs


def row(job: Job, given: argparse.Namespace) -> list[str]:
    """Time one job, as a line of the table."""
    twins = Twins.make(job.name, given.length, given.fasta)
    fast, naive, x = twins.fast, twins.naive, twins.x
    first = (given.length - job.region) // 2
    region = np.arange(first, first + job.region)
    some = spread(first, job.region, given.sample)
    outputs = None if job.output is None else [job.output]
    scale = mutants_of(job.region) / mutants_of(len(some))
    # A short run of each first: memory, and what is made once.
    fast.pairs(x, positions=some, outputs=outputs)
    naive.pairs(x, positions=some[:4], outputs=outputs)
    call, of_all = lambda: fast.pairs(x, positions=region, outputs=outputs), 1.0
    if given.blocks:
        call, of_all = in_blocks(fast, x, region, outputs, given.blocks)
    turns, slow, made = in_turns(
        lambda: naive.pairs(x, positions=some, outputs=outputs), call, given.rounds, scale, of_all
    )
    plan = fast.pair_plan(region, outputs)
    if given.blocks:
        made, rows = fast.pairs(x, positions=some, outputs=outputs), np.arange(len(some))
    else:
        rows = some - first
    a, b = (y if outputs is None else y[0] for y in (made.doubles, slow.doubles))
    off = np.abs(a[:, :, rows][:, :, :, :, rows] - b).max()
    reference = slow.reference if outputs is None else slow.reference[0]
    effects = float((b - reference[:, None, None, None, None]).std())
    return [
        job.name,
        str(given.length),
        str(job.region),
        "all" if job.output is None else str(job.output),
        f"{mutants_of(job.region) - 3 * job.region:,}",
        *turns.cells,
        f"{plan.speedup:.3g}",
        f"{off / effects:.1g}",
    ]


def head(given: argparse.Namespace) -> str:
    """What stands above the table."""
    return (
        f"All double mutants of a region in the middle of the first sequence of "
        f"{given.fasta.name}; medians of {given.rounds} runs in turns, in brackets the least and "
        f"the most of the ratios within a round. Naive ISM runs eagerly at its best batch size on "
        f"all pairs of {given.sample} positions, and is scaled. {HOW} Multiply-adds: naive over "
        "fast, as the plan counts them."
    )


STUDY = Study(
    name="pairs",
    description="Print times of all double mutants of a region, as a table in Markdown.",
    job=Job.read,
    metavar="ARCHITECTURE:REGION[:OUTPUT]",
    help="such as basset:200 for 200 bp in the middle of the sequence",
    header=HEADER,
    left=LEFT,
    row=row,
    told=lambda job: f"{job.name}, {job.region} bp",
    head=head,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print times of all double mutants of a region, as a table in Markdown."""
    parser = STUDY.parser(3, 12, "positions that naive ISM runs")
    parser.add_argument(
        "--blocks", type=int, default=0, help=f"blocks of {ROWS} positions to run; 0 for all"
    )
    return STUDY.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

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
import time
from collections.abc import Callable, Sequence
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
from fastism import FastISM, NaiveISM
from fastism.errors import FastISMError

FASTA = environment.ROOT / "data" / "dm3_promoters_2kb.fa.gz"
HEADER = (
    *("model", "bp", "region", "output", "double mutants", "naive ISM, s", "fastISM, s"),
    *("speedup", "of processor time", "multiply-adds", "difference"),
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
        if name not in ARCHITECTURES:
            raise argparse.ArgumentTypeError(f"{name} is none of {', '.join(ARCHITECTURES)}.")
        return cls(name, int(region), int(output[0]) if output else None)


@dataclass(frozen=True, slots=True)
class Timed:
    """Seconds of some runs, on the clock and of the process."""

    clock: list[float]
    process: list[float]

    def run(self, call: Callable[[], Any], factor: float = 1.0) -> Any:
        """Time a call; its seconds count `factor` times."""
        clock, process = time.perf_counter(), time.process_time()
        made = call()
        self.clock.append((time.perf_counter() - clock) * factor)
        self.process.append((time.process_time() - process) * factor)
        return made


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


def row(job: Job, length: int, fasta: Path, rounds: int, sample: int, blocks: int) -> list[str]:
    """Time one job, as a line of the table."""
    module = make_twin(build(job.name, length))
    x = encoded(fasta, length)[0][None].transpose(0, 2, 1).astype(np.float32)
    settings = {"input_shape": (x.shape[1], length), "test_correctness": False}
    fast, naive = FastISM(module, **settings), NaiveISM(module, **settings)
    first = (length - job.region) // 2
    region = np.arange(first, first + job.region)
    some = region[np.unique(np.linspace(0, job.region - 1, sample).astype(int))]
    outputs = None if job.output is None else [job.output]
    naive.tune(x)
    scale = mutants_of(job.region) / mutants_of(len(some))
    # A short run of each first: memory, and what is made once.
    fast.pairs(x, positions=some, outputs=outputs)
    naive.pairs(x, positions=some[:4], outputs=outputs)
    slow_times, fast_times = Timed([], []), Timed([], [])
    call, of_all = lambda: fast.pairs(x, positions=region, outputs=outputs), 1.0
    if blocks:
        call, of_all = in_blocks(fast, x, region, outputs, blocks)
    for _ in range(rounds):
        slow = slow_times.run(lambda: naive.pairs(x, positions=some, outputs=outputs), scale)
        made = fast_times.run(call, of_all)
    clock = paired_ratio(slow_times.clock, fast_times.clock)
    process = paired_ratio(slow_times.process, fast_times.process)
    plan = fast.pair_plan(region, outputs)
    if blocks:
        made, rows = fast.pairs(x, positions=some, outputs=outputs), np.arange(len(some))
    else:
        rows = some - first
    a, b = (y if outputs is None else y[0] for y in (made.doubles, slow.doubles))
    off = np.abs(a[:, :, rows][:, :, :, :, rows] - b).max()
    reference = slow.reference if outputs is None else slow.reference[0]
    effects = float((b - reference[:, None, None, None, None]).std())
    return [
        job.name,
        str(length),
        str(job.region),
        "all" if job.output is None else str(job.output),
        f"{mutants_of(job.region) - 3 * job.region:,}",
        f"{median(slow_times.clock):.3g}",
        f"{median(fast_times.clock):.3g}",
        f"{clock.median:.3g} ({clock.least:.3g}–{clock.most:.3g})",
        f"{process.median:.3g} ({process.least:.3g}–{process.most:.3g})",
        f"{plan.speedup:.3g}",
        f"{off / effects:.1g}",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print times of all double mutants of a region, as a table in Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.studies.pairs", description=main.__doc__
    )
    parser.add_argument(
        "--job",
        type=Job.read,
        nargs="+",
        required=True,
        metavar="ARCHITECTURE:REGION[:OUTPUT]",
        help="such as basset:200 for 200 bp in the middle of the sequence",
    )
    parser.add_argument("--length", type=int, default=1000, help="of the sequence")
    parser.add_argument("--fasta", type=Path, default=FASTA, help="its first sequence is mutated")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each, in turns")
    parser.add_argument("--sample", type=int, default=12, help="positions that naive ISM runs")
    parser.add_argument(
        "--blocks", type=int, default=0, help=f"blocks of {ROWS} positions to run; 0 for all"
    )
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    parser.add_argument("--markdown", type=Path, help="file to write the table to as well")
    given = parser.parse_args(arguments)
    environment.prepare("torch", "cpu", given.threads)
    body: list[list[str]] = []
    with Progress("Pairs") as progress:
        try:
            for job in given.job:
                body.append(
                    row(job, given.length, given.fasta, given.rounds, given.sample, given.blocks)
                )
                progress.done(f"{job.name}, {job.region} of {given.length} bp")
        except FastISMError as error:
            progress.wrong(str(error))
            return 1
    table = markdown_table(HEADER, body, LEFT)
    print(table)
    if given.markdown:
        head = (
            f"All double mutants of a region in the middle of the first sequence of "
            f"{given.fasta.name}; medians of {given.rounds} runs in turns, in brackets the least "
            f"and the most of the ratios within a round. Naive ISM runs eagerly at its best batch "
            f"size on all pairs of {given.sample} positions, and is scaled. Processor time is that "
            "of the process on all processors. Multiply-adds: naive over fast, as the plan counts "
            "them. Difference: the largest to naive ISM, in standard deviations of the effects. "
            f"{environment.caption(environment.describe())}"
        )
        given.markdown.parent.mkdir(parents=True, exist_ok=True)
        given.markdown.write_text(f"{head}\n\n{table}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Directed evolution by exact ISM, against CREsted's `in_silico_evolution` on the same Keras model.

    python -m benchmarks.peers.environment --requirements workflows/envs/crested.txt \
        --folder .envs/crested --output .envs/crested.json
    python -m benchmarks.studies.designs --python .envs/crested/bin/python --threads 1 \
        --job basset basset:torch --markdown benchmarks/records/designs.md

Requirements: rich; Keras with TensorFlow, and PyTorch where jobs name it; an environment for
CREsted.

Both make the same substitutions of the same sequence: greedy steps that make the first output
large. CREsted runs in a process of its own, as it is called by its users: it predicts all mutants
at every step. Both run in turns, on the same processors. Besides the time on the clock, that of
each one's process on all processors is taken: on a machine that others use it says more.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.architectures import build
from benchmarks.jobs.select_sequences import encoded
from benchmarks.peers.designer import Crested
from benchmarks.studies.command import Study
from benchmarks.studies.turns import Turns, known_architecture, told_ratio
from fastism import FastISM
from fastism.backends import available_backends
from fastism.design import evolve
from fastism.sequences import to_string

HEADER = (
    *("model", "bp", "steps", "fastISM on", "CREsted, s a step", "fastISM, s a step"),
    *("speedup", "of processor time", "designs"),
)
LEFT = (0, 3, 8)
KERAS = "tensorflow"


@dataclass(frozen=True, slots=True)
class Job:
    """What is timed.

    Attributes
    ----------
    name : str
        Architecture.
    backend : str
        What fast ISM runs the Keras model on.
    """

    name: str
    backend: str

    @classmethod
    def read(cls, text: str) -> Job:
        """From ARCHITECTURE or ARCHITECTURE:BACKEND."""
        name, _, backend = text.partition(":")
        backend, known = backend or KERAS, available_backends()
        if backend not in known:
            raise argparse.ArgumentTypeError(f"{backend} is none of {', '.join(known)}.")
        return cls(known_architecture(name), backend)


def row(job: Job, given: argparse.Namespace) -> list[str]:
    """Time one job, as a line of the table."""
    model = build(job.name, given.length)
    x = encoded(given.fasta, given.length)[:1]
    ism = FastISM(model, backend=job.backend, test_correctness=False)
    evolve(ism, x, 1)  # Memory, and what is made once.
    turns, same = Turns.empty(), True
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.keras"
        model.save(file)
        with Crested(given.python, file, to_string(x)[0], given.steps) as other:
            for _ in range(given.rounds):
                slow = other.run()
                turns.slow.add(slow.clock, slow.process)
                fast = turns.fast.run(lambda: evolve(ism, x, given.steps))
                same = same and slow.design == to_string(fast.sequences)[0]
    return [
        job.name,
        str(given.length),
        str(given.steps),
        job.backend,
        f"{median(turns.slow.clock) / given.steps:.3g}",
        f"{median(turns.fast.clock) / given.steps:.3g}",
        told_ratio(turns.clock),
        told_ratio(turns.process),
        "the same" if same else "differ",
    ]


def head(given: argparse.Namespace) -> str:
    """What stands above the table."""
    return (
        f"Greedy evolution of the first sequence of {given.fasta.name} for {given.steps} steps, "
        "all substitutions at every step, the first output made large; the same Keras model. "
        f"CREsted 1.11.0, `in_silico_evolution` as it comes, on TensorFlow 2.21.0. Medians of "
        f"{given.rounds} runs in turns, in brackets the least and the most of the ratios within a "
        "round. Processor time is that of each one's process on all processors. Designs: whether "
        "both made the same substitutions."
    )


STUDY = Study(
    name="designs",
    description="Print times of directed evolution, fastISM's and CREsted's, as a table.",
    job=Job.read,
    metavar="ARCHITECTURE[:BACKEND]",
    help="such as basset, or basset:torch for fast ISM of the Keras model on PyTorch",
    header=HEADER,
    left=LEFT,
    row=row,
    told=lambda job: f"{job.name} on {job.backend}",
    head=head,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print times of directed evolution, fastISM's and CREsted's, as a table in Markdown."""
    parser = STUDY.parser(3)
    parser.add_argument("--steps", type=int, default=3, help="substitutions to make")
    parser.add_argument(
        "--python", type=Path, required=True, help="interpreter of an environment with CREsted"
    )
    return STUDY.run(parser.parse_args(arguments), KERAS)


if __name__ == "__main__":
    sys.exit(main())

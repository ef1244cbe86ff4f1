"""`fastism score` with several models, against one run for each of them.

    python -m benchmarks.studies.folds --job basset --threads 1 \
        --markdown benchmarks/records/folds.md

Requirements: rich; Keras with PyTorch; a system with `os.wait4` (Linux, macOS).

The models are files of one architecture. Every run is a process of its own, as users start it; its
time, that of processors and its largest memory are what the system says of it when it ends.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.architectures import build
from benchmarks.jobs.select_sequences import encoded
from benchmarks.studies.command import Study
from benchmarks.studies.turns import Turns, known_architecture, told_ratio
from fastism.errors import FastISMError
from fastism.sequences import to_string

HEADER = (
    *(
        "model",
        "bp",
        "sequences",
        "models",
        "one by one, s",
        "together, s",
        "one by one / together",
    ),
    *("of processor time", "memory one by one, MiB", "together, MiB"),
)
LEFT = (0,)
#: `ru_maxrss` counts kilobytes, on macOS bytes.
UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took.

    Attributes
    ----------
    clock, process : float
        Seconds, on the clock and of processors.
    memory : int
        Most bytes at a time.
    """

    clock: float
    process: float
    memory: int


def run(words: Sequence[str]) -> Used:
    """Run a command to its end.

    Raises
    ------
    FastISMError
        It failed; its message is shown as it comes.
    """
    begin = time.perf_counter()
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    said = process.stderr.read().decode()
    process.stderr.close()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise FastISMError(f"{' '.join(words)} ended with {process.returncode}: {said[-2000:]}")
    spent = usage.ru_utime + usage.ru_stime
    return Used(time.perf_counter() - begin, spent, usage.ru_maxrss * UNIT)


def in_rounds(
    commands: list[list[str]], together: list[str], rounds: int
) -> tuple[Turns, int, int]:
    """Times of commands one after the other and of one for all, and the largest memory of each."""
    turns, apart, joint = Turns.empty(), 0, 0
    for _ in range(rounds):
        each = [run(words) for words in commands]
        turns.slow.add(sum(u.clock for u in each), sum(u.process for u in each))
        one = run(together)
        turns.fast.add(one.clock, one.process)
        apart, joint = max(apart, *(u.memory for u in each)), max(joint, one.memory)
    return turns, apart, joint


def row(name: str, given: argparse.Namespace) -> list[str]:
    """Time one architecture, as a line of the table."""
    x = encoded(given.fasta, given.length)[: given.sequences]
    with tempfile.TemporaryDirectory() as folder:
        fasta, output = Path(folder) / "in.fa", Path(folder) / "out.h5"
        texts = to_string(x)
        fasta.write_text("".join(f">s{i}\n{text}\n" for i, text in enumerate(texts)))
        models = [Path(folder) / f"fold{i}.keras" for i in range(given.models)]
        for path in models:
            build(name, given.length).save(path)

        def words(*some: Path) -> list[str]:
            command = [sys.executable, "-m", "fastism", "score", *map(str, some), str(fasta)]
            return [*command, "-o", str(output), "--force"]

        run(words(models[0]))  # What is read from the disk for the first time.
        commands = [words(path) for path in models]
        turns, apart, joint = in_rounds(commands, words(*models), given.rounds)
    return [
        name,
        str(given.length),
        str(len(x)),
        str(given.models),
        *turns.cells[:2],
        told_ratio(turns.clock),
        told_ratio(turns.process),
        f"{apart / 2**20:,.0f}",
        f"{joint / 2**20:,.0f}",
    ]


def head(given: argparse.Namespace) -> str:
    """What stands above the table."""
    return (
        f"`fastism score` of the first {given.sequences} sequences of {given.fasta.name} with "
        f"{given.models} models of one architecture: a run for each, whose times are added up, and "
        f"one run for all that writes the mean. Medians of {given.rounds} rounds in turns, in "
        "brackets the least and the most of the ratios within a round; start of Python and "
        "frameworks included. Processor time is that of processes on all processors. Memory: the "
        "largest of any run, with Python, framework and model."
    )


STUDY = Study(
    name="folds",
    description="Print time and memory of scoring with several models, as a table in Markdown.",
    job=known_architecture,
    metavar="ARCHITECTURE",
    help="such as basset",
    header=HEADER,
    left=LEFT,
    row=row,
    told=str,
    head=head,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print time and memory of scoring with several models, as a table in Markdown."""
    parser = STUDY.parser(3)
    parser.add_argument("--models", type=int, default=3, help="how many models")
    parser.add_argument("--sequences", type=int, default=8, help="how many sequences")
    return STUDY.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())

"""What 100,000 sequences of 2 kb take on Basset with `fastism score`, from some of them.

    python -m benchmarks.gpu.scoring                       2,000 sequences on the GPU
    python -m benchmarks.gpu.scoring --device cpu --quick  everything tried out on a CPU

Every run is what users run: a process that reads windows of a genome, scores them and writes the
effects on one output to HDF5, and one that writes their importance to bigWig. A run of few
sequences comes first: it compiles what there is to compile, and what it takes is taken once for all
sequences.

How busy the GPU is comes from `nvidia-smi`, asked four times a second during the scoring: the part
of the time in which any program of the GPU ran.

Requirements: torch, typer, h5py, pyBigWig.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from benchmarks.errors import BenchmarkError
from benchmarks.gpu.rows import Row
from benchmarks.jobs.select_sequences import select
from benchmarks.records import How, Record, Result, What, Where, append, environment

FASTA = environment.ROOT / "data" / "dm3_promoters_2kb.fa.gz"
FOLDER = environment.ROOT / "benchmarks" / "records"
#: Sequences that the result is for, and those of the first run.
ALL, FEW = 100_000, 16
#: What a user is promised.
WANTED_SECONDS, WANTED_BUSY = 15 * 60, 0.7
#: Milliseconds between two questions.
EVERY = 250
CONTIG = "promoters"
#: The output that is kept.
OUTPUT = "0"
MODEL = """
from benchmarks.gpu.subject import build

def model():
    return build({architecture!r}, {length}, "cpu"), (4, {length})
"""


@dataclass(frozen=True)
class Run:
    """What one run took.

    Attributes
    ----------
    sequences : int
    scored, exported : float
        Seconds of `fastism score` to HDF5, and of `fastism export` to bigWig.
    busy : float or None
        Part of the former in which the GPU worked.
    """

    sequences: int
    scored: float
    exported: float
    busy: float | None = None

    @property
    def seconds(self) -> float:
        """Of both."""
        return self.scored + self.exported


def projected(few: Run, many: Run, sequences: int = ALL) -> float | None:
    """Seconds that more sequences take: what starting takes once, and the rest for each.

    None where starting takes so long that many take no longer than few.

    Examples
    --------
    >>> projected(Run(10, 4.0, 1.0), Run(110, 12.0, 3.0), 1010)
    105.0
    """
    if many.seconds <= few.seconds:
        return None
    each = (many.seconds - few.seconds) / (many.sequences - few.sequences)
    return few.seconds + each * (sequences - few.sequences)


def busy_share(said: str) -> float | None:
    """The part of the time that the busiest GPU worked; None where nothing was said.

    Parameters
    ----------
    said : str
        Lines of an index and a percentage, such as ``0, 87``.
    """
    found: dict[str, list[float]] = {}
    for line in said.splitlines():
        index, _, percent = line.partition(",")
        if percent.strip().isdigit():
            found.setdefault(index, []).append(float(percent) / 100)
    return max((sum(x) / len(x) for x in found.values()), default=None)


@contextmanager
def watched(log: Path) -> Iterator[Callable[[], float | None]]:
    """Ask how busy GPUs are in here; what is given says it afterwards."""
    program = shutil.which("nvidia-smi")
    if program is None:
        yield lambda: None
        return
    query = ["--query-gpu=index,utilization.gpu", "--format=csv,noheader,nounits"]
    with log.open("w") as file:
        process = subprocess.Popen([program, *query, f"--loop-ms={EVERY}"], stdout=file)
        try:
            yield lambda: busy_share(log.read_text())
        finally:
            process.terminate()
            process.wait()


@dataclass(frozen=True)
class Command:
    """How `fastism` is run.

    Attributes
    ----------
    row : Row
        Its architecture, length and precision.
    device : {"cpu", "gpu"}
    folder : Path
        For files.
    run : callable
        Runs the words behind ``fastism`` to their end.
    """

    row: Row
    device: str
    folder: Path
    run: Callable[[Sequence[str]], None]

    def score(self, sequences: Sequence[str]) -> Run:
        """Score some sequences, and take the time."""
        genome, regions = self._files(sequences)
        scores, track = self.folder / "scores.h5", self.folder / "importance.bw"
        model = self.folder / "model.py"
        given = {"architecture": self.row.architecture, "length": self.row.length}
        model.write_text(MODEL.format(**given))
        options = ["--device", self.device, "--precision", self.row.precision, "--force"]
        # A track is of one output. Effects on all 164 are 5 MB a sequence of 2 kb, which no disk
        # takes as fast as a GPU makes them.
        options += ["--outputs", OUTPUT]
        words = ["score", f"{model}:model", str(regions), "--genome", str(genome)]
        with watched(self.folder / "busy.txt") as busy:
            begun = time.perf_counter()
            self.run([*words, "-o", str(scores), *options])
            scored = time.perf_counter() - begun
        begun = time.perf_counter()
        self.run(["export", str(scores), "-o", str(track), "--output", "0:0", "--force"])
        exported = time.perf_counter() - begun
        share = busy() if self.device == "gpu" else None
        return Run(len(sequences), scored, exported, share)

    def _files(self, sequences: Sequence[str]) -> tuple[Path, Path]:
        """A genome of one contig, the sequences one behind the other, and windows on it."""
        genome, regions = self.folder / f"{len(sequences)}.fa", self.folder / "windows.bed"
        genome.write_text("\n".join([f">{CONTIG}", *sequences, ""]))
        length = self.row.length
        starts = (number * length for number in range(len(sequences)))
        regions.write_text("".join(f"{CONTIG}\t{start}\t{start + length}\n" for start in starts))
        return genome, regions


def as_user(words: Sequence[str]) -> None:
    """Run `fastism` in a process.

    Raises
    ------
    BenchmarkError
        It failed; with the end of what it said.
    """
    command = [sys.executable, "-m", "fastism", *words]
    path = os.pathsep.join(filter(None, [str(environment.ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True
    )
    if done.returncode:
        said = done.stderr.strip()[-1000:]
        raise BenchmarkError(f"fastism {words[0]} ended with {done.returncode}: {said}")


def measure(
    row: Row, device: str, where: Where, run: Callable[[Sequence[str]], None] = as_user
) -> Iterator[Record]:
    """Score few and many sequences; say what all would take, and how busy the GPU was."""
    number = max(row.sequences)
    few = min(FEW, number // 2)
    records = select(FASTA, number, 1)
    texts = [record.sequence[-row.length :] for record in records]
    with tempfile.TemporaryDirectory() as folder:
        command = Command(row, device, Path(folder), run)
        command.score(texts[:few])  # Compiles, and chooses kernels.
        first, many = command.score(texts[:few]), command.score(texts)
    whole = projected(first, many)
    for line in told(many, whole):
        print(f"  {line}", flush=True)
    yield _record(row, device, where, first, many, whole)


def told(many: Run, whole: float | None) -> list[str]:
    """What was found, for a reader."""
    lines = [
        f"{many.sequences} sequences: {many.scored:.3g} s to HDF5, {many.exported:.3g} s to bigWig"
    ]
    if whole is None:
        lines.append(f"too few sequences to say what {ALL} take: starting prevails")
    else:
        wanted = f"{WANTED_SECONDS / 60:.0f} wanted on a GPU"
        lines.append(f"{ALL} sequences would take {whole / 60:.3g} minutes ({wanted})")
    if many.busy is None:
        return [*lines, "how busy a GPU was is not known: there is none, or no nvidia-smi"]
    said = f"the GPU was busy {many.busy:.0%} of the time of scoring, says nvidia-smi"
    return [*lines, f"{said} ({WANTED_BUSY:.0%} wanted)"]


def _record(
    row: Row, device: str, where: Where, first: Run, many: Run, whole: float | None
) -> Record:
    settings: dict[str, int | float | str] = {
        "precision": row.precision,
        "score_seconds": round(many.scored, 3),
        "export_seconds": round(many.exported, 3),
        "few_sequences": first.sequences,
        "few_seconds": round(first.seconds, 3),
    }
    if whole is not None:
        settings |= {"projected_sequences": ALL, "projected_seconds": round(whole, 1)}
    if many.busy is not None:
        settings["gpu_busy"] = round(many.busy, 3)
    data = f"{FASTA.name}, seed 1, last {row.length} bp, windows of one contig"
    return Record(
        What("gpu", row.kind, "fast_ism", row.architecture, row.length, many.sequences,
             row.length, 3, data),
        How("torch", "torch", device, None, 1, False, 1.0, settings, uuid.uuid4().hex[:12],
            model="torch", mode="eager"),
        Result(seconds=(many.seconds,)),
        where,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Score sequences as users do, and project the time of 100,000."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu.scoring", description=main.__doc__
    )
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    parser.add_argument("--sequences", type=int, default=2000, help="at least 2 (2000)")
    parser.add_argument("--precision", choices=("float32", "tf32"), default="float32")
    parser.add_argument("--quick", action="store_true", help="4 of 150 bp: does it work?")
    parser.add_argument("--output", type=Path, default=FOLDER, help="folder of the record")
    given = parser.parse_args(arguments)
    if given.sequences < 2:
        parser.error("--sequences must be at least 2")
    row = Row("scoring", "basset", 2000, given.precision, (given.sequences,))
    if given.quick:
        row = replace(row, length=150, sequences=(4,))
    try:
        found = list(measure(row, given.device, environment.describe(given.device)))
    except BenchmarkError as error:
        print(error, file=sys.stderr)
        return 1
    suffix = given.device + ("-quick" if given.quick else "")
    append(given.output / f"scoring-{suffix}.jsonl", found)
    return 0


if __name__ == "__main__":
    sys.exit(main())

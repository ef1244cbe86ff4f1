"""What tests of sharded runs share: a small input, a model that can be held or killed, Snakemake.

Requirements: none; the processes that are started need torch, h5py, typer and Snakemake.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SEQUENCES, LENGTH, BATCH = 24, 60, 2
OPTIONS = {"batch": str(BATCH), "input_shape": "4,60"}

#: Beside it, every batch that was scored leaves a line in `batches`. After two batches, shard I
#: waits as long as there is a file hold-I, and kills itself once if there is a file kill-I.
MODEL = """
import os, signal, time
from pathlib import Path
import torch
from fastism.store.writer import StoreWriter

HERE = Path(__file__).resolve().parent
append = StoreWriter.append


def watched(self, *arguments, **more):
    append(self, *arguments, **more)
    shard = self.header.shard[0]
    with (HERE / "batches").open("a") as lines:
        lines.write(f"{shard} {self.consumed}\\n")
    if self.consumed != 4:
        return
    hold, kill, reached = (HERE / f"{word}-{shard}" for word in ("hold", "kill", "reached"))
    if hold.exists():
        reached.with_suffix(".new").write_text(f"{os.getpid()} {os.environ.get('SLURM_JOB_ID')}")
        reached.with_suffix(".new").rename(reached)
    while hold.exists():
        time.sleep(0.05)
    if kill.exists():
        kill.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


StoreWriter.append = watched


def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(4, 8, 5, padding=2),
        torch.nn.ReLU(),
        torch.nn.MaxPool1d(4),
        torch.nn.Flatten(),
        torch.nn.Linear(120, 3),
    ).eval()
"""


def write_run(folder: Path) -> Path:
    """A folder with the model and the input."""
    folder.mkdir(parents=True)
    (folder / "model.py").write_text(MODEL)
    letters = random.Random(0)
    records = (f">s{i}\n{''.join(letters.choices('ACGT', k=LENGTH))}\n" for i in range(SEQUENCES))
    (folder / "input.fa").write_text("".join(records))
    return folder


def score_whole(folder: Path) -> bytes:
    """The output of a run without shards."""
    options = [f"--{key.replace('_', '-')}={value}" for key, value in OPTIONS.items()]
    words = ["score", "model.py:build", "input.fa", *options, "-o", "output.h5"]
    done = subprocess.run(
        [sys.executable, "-m", "fastism", *words],
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return (folder / "output.h5").read_bytes()


def snakemake(*arguments: str | Path, config: dict[str, str] | None = None) -> list[str]:
    """The command that runs the workflow on what `write_run` wrote."""
    given = {"model": "model.py:build", "input": "input.fa", "output": "output.h5", **OPTIONS}
    pairs = [f"{key}={value}" for key, value in {**given, **(config or {})}.items()]
    workflow = ["--snakefile", ROOT / "workflows" / "score.smk"]
    command = [sys.executable, "-m", "snakemake", *workflow, *arguments, "--config", *pairs]
    return list(map(str, command))


def environment() -> dict[str, str]:
    """For processes that run what is in this repository, whose outputs are compared byte by byte.

    Kernels differ in rounding. On a busy machine another one may be found the fastest in the next
    process, so that nothing is timed.
    """
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "FASTISM_MEASURE": "0",
    }


def batches(folder: Path) -> list[str]:
    """Every batch that was scored, as "shard consumed", sorted."""
    return sorted((folder / "batches").read_text().splitlines())


def all_batches(shards: int) -> list[str]:
    """Every batch once; the shards are of one size."""
    size = SEQUENCES // shards
    ends = range(BATCH, size + 1, BATCH)
    return sorted(f"{shard} {end}" for shard in range(1, shards + 1) for end in ends)


def wait_for(condition: Callable[[], bool], process: subprocess.Popen) -> None:
    """Wait until something is true, or a process that was to make it true has ended."""
    while not condition() and process.poll() is None:
        time.sleep(0.05)

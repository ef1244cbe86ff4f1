"""The workflow on a Slurm of one node, with jobs that are killed."""

import os
import signal
import subprocess

import pytest
from sharded_runs import (
    ROOT,
    all_batches,
    batches,
    environment,
    score_whole,
    snakemake,
    wait_for,
    write_run,
)

from fastism.store import Store

pytestmark = [pytest.mark.torch, pytest.mark.slow]

SCRIPT = ROOT / "workflows" / "slurm" / "one_node.sh"
PROFILE = ROOT / "workflows" / "profiles" / "slurm"
SHARDS = 3
UNAVAILABLE = 3


@pytest.fixture
def slurm(tmp_path):
    """The environment of a shell to which a Slurm of one node was made known."""
    folder = tmp_path / "slurm"
    start = [SCRIPT, "start", folder]
    done = subprocess.run(start, capture_output=True, text=True, check=False)
    if done.returncode == UNAVAILABLE:
        pytest.skip(done.stderr.strip().splitlines()[-1])
    assert done.returncode == 0, done.stdout + done.stderr
    try:
        told = subprocess.run(
            ["bash", "-c", f"{done.stdout}\nenv -0"],
            env=environment(),
            capture_output=True,
            text=True,
            check=True,
        )
        yield dict(line.split("=", 1) for line in told.stdout.split("\0") if line)
    finally:
        subprocess.run([SCRIPT, "stop", folder], capture_output=True, check=True)


def run(command, folder, env):
    """A process that writes what it prints to a file."""
    with (folder / "printed").open("a") as printed:
        return subprocess.Popen(
            command, cwd=folder, env=env, stdout=printed, stderr=subprocess.STDOUT
        )


def reached(folder, number, workflow):
    """Process and job of a shard, once it waits in the middle of its work."""
    file = folder / f"reached-{number}"
    wait_for(file.exists, workflow)
    assert file.exists(), (folder / "printed").read_text()
    return file.read_text().split()


def next_reached(folder, numbers, workflow):
    """The first of some shards that waits in the middle of its work."""

    def waiting():
        return [number for number in numbers if (folder / f"reached-{number}").exists()]

    wait_for(lambda: bool(waiting()), workflow)
    assert waiting(), (folder / "printed").read_text()
    return waiting()[0]


def test_killed_jobs_go_on_where_they_were(tmp_path, slurm):
    whole = score_whole(write_run(tmp_path / "whole"))
    folder = write_run(tmp_path / "sharded")
    # Shorter waits than those of the profile, and no second try for jobs that fail.
    command = snakemake(
        *("--profile", PROFILE, "--retries", "0", "--latency-wait", "10"),
        *("--slurm-init-seconds-before-status-checks", "1", "--slurm-no-account"),
        config={"shards": str(SHARDS)},
    )
    held = (2, 3)
    for number in held:
        (folder / f"hold-{number}").touch()

    first = run(command, folder, slurm)
    stops = {
        2: lambda process, job: os.kill(int(process), signal.SIGKILL),
        3: lambda process, job: subprocess.run(["scancel", job], env=slurm, check=True),
    }
    try:
        # One after the other, in the order in which they get the one processor that there may be.
        while stops:
            number = next_reached(folder, stops, first)
            stops.pop(number)(*reached(folder, number, first))
        assert first.wait() != 0
    finally:
        first.kill()
    text = (folder / "printed").read_text()
    assert not (folder / "output.h5").exists(), text
    left = folder / "output.h5.shards"
    for number in held:
        with Store(left / f"{number}-of-{SHARDS}.h5.partial", allow_incomplete=True) as store:
            assert store.consumed == 4
    finished = left / f"1-of-{SHARDS}.h5"
    written = finished.stat().st_mtime_ns

    for number in held:
        (folder / f"hold-{number}").unlink()
    status = run(command, folder, slurm).wait()
    text = (folder / "printed").read_text()
    assert status == 0, text
    assert (folder / "output.h5").read_bytes() == whole
    # Nothing was lost, and nothing was scored twice.
    assert batches(folder) == all_batches(SHARDS)
    assert finished.stat().st_mtime_ns == written

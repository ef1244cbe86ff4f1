"""Peers: their environments, the protocol of their scripts, and records also of what fails."""

import dataclasses
import json
import re
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from benchmark_fakes import WHERE, FakeClock

from benchmarks import records
from benchmarks.jobs.document import write_job
from benchmarks.jobs.job import PeerJob
from benchmarks.peers import PEERS
from benchmarks.peers import environment as environments
from benchmarks.peers import record as peer_record
from benchmarks.peers.environment import PeerEnvironment, make, own_environment
from fastism.errors import FastISMError

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "benchmarks" / "peers"
JOB = PeerJob(
    study="test",
    architecture="basset",
    length=10,
    data="nowhere",
    peer="yuzu",
    sequences=(1, 4),
    batch_sizes=(2, 8),
    repeats=3,
    budget=100.0,
)

#: A script as peers have it, on what `script_common` offers; what it does depends on the length.
SCRIPT = """
import os, sys
sys.path.insert(0, {folder!r})
from script_common import Refused, Runner, main

class Fake(Runner):
    build_seconds = 2.5
    alternatives = 4
    def __init__(self, architecture, length, weights):
        super().__init__()
        if length == 11:
            raise Refused("Not of that length.")
        if length == 12:
            raise ValueError("singular matrix" + chr(10) + "more")
        self.settings = {{"weights": len(weights), "own": "fastism" not in sys.modules}}
    def scale(self, x, batch_size):
        return x.shape[1] / 5
    def run(self, x, batch_size):
        if x.shape[1] == 13 and len(x) == 4:
            os._exit(7)

main(Fake)
"""


def run_fake(tmp_path, monkeypatch, length=10, **changes):
    """What a peer reports whose script is the one above."""
    script = tmp_path / "run_fake.py"
    script.write_text(SCRIPT.format(folder=str(SCRIPTS)))
    fake = types.SimpleNamespace(script=str(script), framework="torch", label="Fake")
    monkeypatch.setattr(peer_record, "PEERS", {"yuzu": fake})
    job = dataclasses.replace(JOB, length=length, **changes)
    sequences = np.zeros((4, length, 4), np.float32)
    report = peer_record.measured(job, sys.executable, sequences, [np.ones(2), np.ones(3)])
    return report, list(peer_record.as_records(job, report, WHERE))


def test_what_a_peer_measures_becomes_records(tmp_path, monkeypatch):
    report, done = run_fake(tmp_path, monkeypatch)
    assert report["settings"] == {"weights": 2, "own": True}
    assert [r.what.sequences for r in done] == [1, 4]
    first = done[0]
    assert (first.what.method, first.how.backend, first.what.alternatives) == ("yuzu", "torch", 4)
    assert (first.what.positions, first.how.scale, first.how.extrapolated) == (10, 2.0, True)
    assert (first.how.batch_size in (2, 8), first.how.warm_up) == (True, 1)
    assert (first.result.status, len(first.result.seconds)) == ("ok", 3)
    assert first.result.build_seconds == 2.5
    assert first.where == WHERE
    assert records.Record.from_json(first.to_json()) == first


@pytest.mark.parametrize(
    ("length", "status", "reason"),
    [
        (11, "refused", "Not of that length."),
        (12, "failed", "ValueError: singular matrix"),
    ],
)
def test_a_peer_that_cannot_run_says_why(tmp_path, monkeypatch, length, status, reason):
    _, done = run_fake(tmp_path, monkeypatch, length)
    found = {(r.what.sequences, r.result.status, r.result.reason) for r in done}
    assert found == {(1, status, reason), (4, status, reason)}


def test_a_peer_that_dies_keeps_what_it_had_measured(tmp_path, monkeypatch):
    _, done = run_fake(tmp_path, monkeypatch, 13)
    assert [r.result.status for r in done] == ["ok", "failed"]
    assert "status 7" in done[1].result.reason


def test_a_peer_without_time_skips(tmp_path, monkeypatch):
    _, done = run_fake(tmp_path, monkeypatch, budget=0.0)
    assert [r.result.status for r in done] == ["ok", "skipped"]
    assert len(done[0].result.seconds) == 1  # without it, nothing would be known
    assert done[0].how.warm_up == 0
    assert "0 s are left of the 0 s" in done[1].result.reason


@pytest.mark.parametrize(("grows", "status"), [(True, "skipped"), (False, "ok")])
def test_what_more_sequences_take_depends_on_the_peer(monkeypatch, grows, status):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    import script_common

    class Peer(script_common.Runner):
        def run(self, x, batch_size):
            clock.now += 10.0

    clock, runner = FakeClock(), Peer()
    runner.grows = grows
    monkeypatch.setattr(script_common, "time", types.SimpleNamespace(perf_counter=clock))
    given = types.SimpleNamespace(batch_sizes=[1], repeats=3, budget=500.0)
    known = 10.0  # one sequence, or a run of any number
    found = script_common._measured(runner, np.zeros((64, 5, 4)), given, known, 35.0)
    assert found["status"] == status
    if status == "ok":
        assert found["seconds"] == [10.0, 10.0]  # the third would be too long
    else:
        assert (
            "64 sequences are expected to take 1280 s; 35 s are left of the 500 s"
            in (found["reason"])
        )


def test_a_peer_that_does_not_start_or_end_says_so(tmp_path):
    assert "could not be started" in peer_record._run([str(tmp_path / "python")], 1.0)
    sleep = [sys.executable, "-c", "import time; time.sleep(60)"]
    assert peer_record._run(sleep, 0.2) == "It was stopped after 0 s."
    kill = [sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"]
    assert peer_record._run(kill, 1e6) == "It was ended by signal 9."


def test_the_command_records_an_environment_that_could_not_be_made(tmp_path):
    made, fasta, out = (tmp_path / name for name in ("made.json", "some.fa", "records.jsonl"))
    PeerEnvironment("", "The environment could not be made: no network", {}).write(made)
    fasta.write_text(">a\nACGTACGTAC\n")
    given = ["--environment", made, "--fasta", fasta, "--output", out, "--job", write_job(JOB)]
    assert peer_record.main([str(each) for each in given]) == 0
    done = records.read(out)
    assert [r.result.reason for r in done] == ["The environment could not be made: no network"] * 2
    assert {r.result.status for r in done} == {"failed"}


def test_records_name_the_versions_of_the_peers_environment():
    made = PeerEnvironment("/python", "", {"torch": "1.0", "pip": "9", "yuzu-ism": "0.0.1"})
    versions = peer_record._versions(made)
    assert versions.pop("python")
    assert versions == {"torch": "1.0", "yuzu-ism": "0.0.1"}


# ---- environments ----------------------------------------------------------------------------


def pins(peer):
    lines = (ROOT / peer.requirements).read_text().splitlines()
    return [line for line in lines if line and not line.startswith("#")]


@pytest.mark.parametrize("name", PEERS)
def test_every_peer_has_a_script_and_pinned_requirements(name):
    peer = PEERS[name]
    assert peer.name == name
    assert all(re.fullmatch(r"[a-z-]+==\d+(\.\d+)+", pin) for pin in pins(peer))
    text = (ROOT / peer.script).read_text()
    assert "benchmarks" not in text.replace("benchmarked", "")
    torch = [pin for pin in pins(peer) if pin.startswith("torch==")]
    assert pins(peer)[: len(torch)] == torch  # what others require must not choose it


def test_a_peers_process_does_not_see_this_repository(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("VIRTUAL_ENV", "x")
    given = own_environment()
    assert "PYTHONPATH" not in given
    assert "VIRTUAL_ENV" not in given


@pytest.fixture
def commands(monkeypatch):
    """Commands instead of running them; the one that has a given word fails."""
    seen = []

    def run(command, fail="", **_):
        seen.append(command)
        failed = fail_on[0] and fail_on[0] in command
        listed = json.dumps([{"name": "torch", "version": "1.0"}])
        said = "Collecting\nERROR: No matching distribution\nERROR: for help visit"
        return subprocess.CompletedProcess(command, int(bool(failed)), listed, said)

    fail_on = [""]
    monkeypatch.setattr(environments.subprocess, "run", run)
    return seen, fail_on


def test_an_environment_is_made_with_the_first_pin_first(commands, tmp_path):
    seen, _ = commands
    path = tmp_path / "x.txt"
    path.write_text("# why\ntorch==1.0\nother==2.0\n")
    made = make(path, tmp_path / "env")
    assert (made.reason, made.versions) == ("", {"torch": "1.0"})
    assert made.python.endswith("env/bin/python")
    assert "--clear" in seen[0]
    assert seen[1][-1] == "torch==1.0"
    assert seen[2][-2:] == ["--requirement", str(path)]


def test_an_environment_that_cannot_be_made_is_described(commands, tmp_path):
    _, fail_on = commands
    fail_on[0] = "--requirement"
    path, out = tmp_path / "x.txt", tmp_path / "new" / "x.json"
    path.write_text("torch==1.0\n")
    where = ["--folder", str(tmp_path / "env"), "--output", str(out)]
    environments.main(["--requirements", str(path), *where])
    made = PeerEnvironment.read(out)
    assert made.python == ""
    assert made.reason.endswith("could not be made: ERROR: No matching distribution")


def test_a_strange_description_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"snake": 1}')
    for name in ("x.json", "none.json"):
        with pytest.raises(FastISMError, match="delete it"):
            PeerEnvironment.read(tmp_path / name)


# ---- models ----------------------------------------------------------------------------------


@pytest.mark.tensorflow
@pytest.mark.torch
@pytest.mark.parametrize("name", ["basset", "factorized_basset", "bpnet", "deepsea"])
def test_the_models_of_the_torch_peers_are_ours(monkeypatch, name):
    keras = pytest.importorskip("keras")
    torch = pytest.importorskip("torch")
    from benchmarks.architectures import build

    monkeypatch.syspath_prepend(str(SCRIPTS))
    import script_torch

    length = 200
    model = build(name, length)
    letters = np.random.default_rng(0).integers(4, size=(2, length))
    x = np.eye(4, dtype=np.float32)[letters]
    outputs = keras.tree.flatten(model(x, training=False))
    ours = np.concatenate([keras.ops.convert_to_numpy(y) for y in outputs], axis=1)
    theirs = script_torch.build(name, length, model.get_weights())
    with torch.no_grad():
        found = theirs(torch.from_numpy(x.transpose(0, 2, 1).copy())).numpy()
    np.testing.assert_allclose(found, ours, rtol=1e-3, atol=1e-4 * np.abs(ours).max())
    with pytest.raises((ValueError, StopIteration)):
        script_torch.build(name, length, [*model.get_weights()[:-1], np.ones(7, np.float32)])

"""The workflow as a user runs it: Snakemake in a process of its own."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import yaml

from benchmarks import records
from benchmarks.jobs.document import write_job
from benchmarks.jobs.job import FirstCallJob
from benchmarks.timing import first_call
from benchmarks.workflow.config import load_config
from figures.drawings import DRAWINGS

ROOT = Path(__file__).resolve().parents[1]

TINY = {
    "name": "tiny",
    "description": "Two short models, to see that everything fits together.",
    "data": {"fasta": "data/dm3_promoters_2kb.fa.gz", "seed": 0},
    "devices": ["cpu"],
    "keras_backend": "tensorflow",
    "methods": ["naive_ism", "fast_ism"],
    "backends": ["tensorflow", "torch"],
    "every_backend_up_to": 1,
    "sequences": [1, 2],
    "naive_mutants": 32,
    "warm_up": 1,
    "repeats": {"least": 2, "most": 2, "seconds": 0},
    "tolerance": 0.01,
    "job_seconds": 1e6,
    "failures": "stop",
    "first_call": False,
    "report": False,
    "cases": [
        {"architecture": "basset", "length": 100},
        {"architecture": "bpnet", "length": 60, "sequences": [1]},
    ],
}


def snakemake(folder, *arguments, **more):
    """Run Snakemake with results in a folder; return its exit status and what it printed.

    `more` are environment variables.
    """
    environment = {k: v for k, v in os.environ.items() if k != "KERAS_BACKEND"} | more
    where = ["--snakefile", ROOT / "Snakefile", "--directory", folder]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *where, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def write_config(folder, **changes):
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump({**TINY, **changes}))
    return path


@pytest.mark.parametrize("config", ["quick", "library", "paper"])
def test_dry_run(tmp_path, config):
    status, text = snakemake(tmp_path, "--cores", "2", "--dry-run", config)
    assert status == 0, text
    jobs = load_config(ROOT / "workflows" / "config" / f"{config}.yaml").jobs
    for case in jobs:
        assert f"results/{config}/records/{case}.jsonl" in text
    # Each timing job has the machine for itself.
    timing = [part for part in text.split("\n\n") if "rule time_" in part]
    assert timing
    assert all("threads: 2" in part for part in timing)


def test_dry_run_on_a_fresh_clone(tmp_path):
    """With the files that git knows of and nothing else."""
    git = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(git, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    where = ["--cores", "2", "--dry-run", "paper", "regression"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *where],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    for rule in ("time_architecture", "time_peer", "make_peer_environment", "time_parts"):
        assert f"rule {rule}:" in text
    for name in DRAWINGS:
        assert f"results/paper/{name}.svg" in text
    assert "python -m benchmarks.regression --threads 2" not in text  # a dry run runs nothing


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="there is a GPU")
def test_a_job_that_fails_leaves_records_and_is_not_run_again(tmp_path):
    given = {"architecture": "basset", "length": 60}
    config = write_config(tmp_path, devices=["gpu"], failures="record", cases=[given])
    folder = tmp_path / "results" / "tiny"
    wanted = ["results/tiny/records.jsonl", "--cores", "all", "--configfile", config]
    status, text = snakemake(tmp_path, *wanted)
    assert status == 0, text
    done = records.read(folder / "records.jsonl")
    assert {r.result.status for r in done} == {"failed"}
    assert all("No GPU is visible" in r.result.reason for r in done)

    status, text = snakemake(tmp_path, *wanted, "--dry-run")
    assert status == 0, text
    assert "time_architecture" not in text


#: Python imports it at its start: a job that has measured something kills itself, once.
KILL = """
import os, signal
from pathlib import Path
from benchmarks.jobs.partial import Partial

append = Partial.append


def killed(self, group):
    append(self, group)
    order = Path("kill")
    if order.exists():
        order.unlink()
        os.kill(os.getpid(), signal.SIGKILL)


Partial.append = killed
"""


@pytest.mark.tensorflow
@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="times a Keras model")
def test_a_job_that_is_killed_keeps_what_it_had_measured(tmp_path):
    given = {"architecture": "basset", "length": 100, "sequences": [1, 2]}
    config = write_config(tmp_path, failures="record", cases=[given], backends=["tensorflow"])
    folder = tmp_path / "results" / "tiny"
    wanted = ["results/tiny/records.jsonl", "--cores", "all", "--configfile", config]
    (tmp_path / "kill").touch()
    (tmp_path / "sitecustomize.py").write_text(KILL)
    python_path = os.pathsep.join([str(tmp_path), str(ROOT)])
    status, text = snakemake(tmp_path, *wanted, PYTHONPATH=python_path)
    assert status == 0, text
    assert not (tmp_path / "kill").exists()
    first = records.read(folder / "records.jsonl")
    found = {(r.what.method, r.what.sequences): r.result.status for r in first}
    assert found == {
        ("naive_ism", 1): "ok",
        ("fast_ism", 1): "ok",
        ("naive_ism", 2): "failed",
        ("fast_ism", 2): "failed",
    }
    assert all("signal 9" in r.result.reason for r in first if r.result.status == "failed")

    (path,) = (folder / "records").glob("*.jsonl")
    path.unlink()  # to try again
    (folder / "records.jsonl").unlink()
    status, text = snakemake(tmp_path, *wanted, PYTHONPATH=python_path)
    assert status == 0, text
    again = records.read(folder / "records.jsonl")
    assert {r.result.status for r in again} == {"ok"}
    assert len(again) == 4
    assert again[:2] == [r for r in first if r.result.status == "ok"]
    assert not list((folder / "partial").iterdir())


def test_dry_run_of_what_make_run_calls(tmp_path):
    status, text = snakemake(tmp_path, "--cores", "all", "--dry-run")
    assert status == 0, text
    for suffix in ("csv", "md", "svg", "png"):
        assert f"results/quick/speedup.{suffix}" in text


def test_an_unknown_key_stops_the_workflow_by_name(tmp_path):
    config = write_config(tmp_path, colour="red")
    status, text = snakemake(tmp_path, "--cores", "1", "--dry-run", "--configfile", config)
    assert status != 0
    assert "unknown key 'colour'" in text


def test_every_rule_has_a_log():
    for path in [ROOT / "Snakefile", *(ROOT / "workflows" / "rules").glob("*.smk")]:
        lines = [line.strip() for line in path.read_text().splitlines()]
        rules = sum(line.startswith("rule") and line.endswith(":") for line in lines)
        assert lines.count("log:") == rules, path.name


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None, reason="the model runs on TensorFlow"
)
def test_the_first_call_is_measured_in_a_process_of_its_own(tmp_path):
    fasta, out = tmp_path / "one.fa", tmp_path / "records.jsonl"
    fasta.write_text(f">a\n{'ACGT' * 25}\n")
    command = [sys.executable, "-m", "benchmarks.timing.first_call"]
    case = {"study": "tiny", "architecture": "basset", "length": 100, "data": "nowhere"}
    job = write_job(FirstCallJob(**case, backend="tensorflow"))
    where = ["--job", job, "--fasta", fasta, "--output", out]
    subprocess.run([*command, *where], cwd=ROOT, check=True, capture_output=True)
    (record,) = records.read(out)
    assert (record.what.kind, record.result.status) == ("first_call", "ok")
    assert 0 < record.result.build_seconds < record.result.build_seconds + record.result.median
    assert record.result.peak_bytes > 0


def test_a_first_call_that_fails_is_recorded_as_failed(tmp_path, monkeypatch):
    fasta, out = tmp_path / "one.fa", tmp_path / "records.jsonl"
    fasta.write_text(f">a\n{'ACGT' * 25}\n")
    case = {"study": "tiny", "architecture": "basset", "length": 100, "data": "nowhere"}
    job = write_job(FirstCallJob(**case, backend="abacus"))
    monkeypatch.setattr(first_call, "build", lambda *_: lambda sequences: sequences)
    assert first_call.main(["--job", job, "--fasta", str(fasta), "--output", str(out)]) == 0
    (record,) = records.read(out)
    assert (record.what.kind, record.result.status) == ("first_call", "failed")
    assert "abacus" in record.result.reason


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.torch
@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None or importlib.util.find_spec("torch") is None,
    reason="the workflow is run on TensorFlow and PyTorch",
)
def test_from_sequences_to_figures(tmp_path):
    config = write_config(tmp_path)
    arguments = ["--cores", "all", "--configfile", config]
    status, text = snakemake(tmp_path, *arguments)
    logs = "\n".join(path.read_text() for path in tmp_path.glob("results/tiny/logs/*.log"))
    assert status == 0, f"{text}\n{logs}"

    results = tmp_path / "results" / "tiny"
    done = records.read(results / "records.jsonl")
    assert {r.result.status for r in done} == {"ok"}
    assert {len(r.result.seconds) for r in done} == {2}
    # Basset with one sequence: naive and two backends; with two sequences the same, as the fastest
    # other backend is the only one; BPNet with one sequence.
    ran = [(r.what.architecture, r.what.sequences, r.what.method, r.how.backend) for r in done]
    assert sorted(ran)[:3] == [
        ("basset", 1, "fast_ism", "tensorflow"),
        ("basset", 1, "fast_ism", "torch"),
        ("basset", 1, "naive_ism", "tensorflow"),
    ]
    assert sum(name == "bpnet" for name, *_ in ran) == 3
    first = json.loads((results / "records.jsonl").read_text().splitlines()[0])
    assert first["what"]["data"] == "dm3_promoters_2kb.fa.gz, seed 0, last 100 bp"

    table = pandas.read_csv(results / "speedup.csv")
    assert (table["speedup"] > 0).all()
    assert (table["largest_difference"] <= 0.01 * table["effect_sd"]).all()
    best = table[table["best"]]
    assert list(best["architecture"]) == ["basset", "basset", "bpnet"]
    assert "| Basset | 100 | 1 |" in (results / "speedup.md").read_text()
    assert (results / "speedup.svg").read_text().startswith("<?xml")
    assert (results / "speedup.png").read_bytes().startswith(b"\x89PNG")
    # The run ends with the table and the files.
    assert "results/tiny/speedup.svg" in text
    assert "Basset" in text

    # A second run times nothing again.
    status, text = snakemake(tmp_path, *arguments)
    assert status == 0, text
    assert "time_architecture" not in text

"""Sharded scoring with Snakemake on this machine, and what a sharded run costs."""

import re
import shutil
import subprocess

import jsonschema
import pytest
import yaml
from sharded_runs import (
    OPTIONS,
    ROOT,
    all_batches,
    batches,
    environment,
    score_whole,
    snakemake,
    write_run,
)

from benchmarks import records as timed
from benchmarks.studies import store_size
from benchmarks.studies.store_size import StoreSize
from fastism.cli.workflow_options import config_schema, passed_on
from fastism.errors import FastISMError
from figures import scale_out

SCHEMA = config_schema(ROOT / "workflows", "score")
#: Keys of the config that the workflow itself needs.
OWN = {"model", "input", "output", "shards", "threads", "select"}
SHARDS = 2


def run(folder, *arguments, **config):
    """Run the workflow on two processors; exit status, and what it printed."""
    command = snakemake("--cores", "2", *arguments, config=config)
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run in two shards, the second of which was killed once, and the whole to compare with."""
    base = tmp_path_factory.mktemp("runs")
    whole = score_whole(write_run(base / "whole"))
    folder = write_run(base / "sharded")
    (folder / "kill-2").touch()
    status, text = run(folder, "--retries", "1", shards=SHARDS)
    return folder, whole, status, text


@pytest.fixture
def again(finished, tmp_path):
    """A copy of the finished run, and the bytes of the whole."""
    folder, whole, *_ = finished
    return shutil.copytree(folder, tmp_path / "copy"), whole


@pytest.mark.torch
def test_shards_give_the_bytes_of_one_run_though_a_job_was_killed(finished):
    folder, whole, status, text = finished
    assert status == 0, text
    assert "Trying to restart job" in text
    assert (folder / "output.h5").read_bytes() == whole
    assert batches(folder) == all_batches(SHARDS)


@pytest.mark.torch
def test_finished_shards_are_not_scored_again(again):
    folder, whole = again
    (folder / "output.h5").unlink()
    status, text = run(folder, shards=SHARDS)
    assert status == 0, text
    assert (folder / "output.h5").read_bytes() == whole
    assert batches(folder) == all_batches(SHARDS)


@pytest.mark.torch
def test_once_the_output_is_there_the_shards_are_not_needed(again):
    folder, _ = again
    shutil.rmtree(folder / "output.h5.shards")
    status, text = run(folder, "--dry-run", shards=SHARDS)
    assert status == 0, text
    assert "Nothing to be done" in text


@pytest.mark.torch
def test_shards_of_other_settings_are_not_taken_for_those_asked_for(again):
    folder, whole = again
    shards = folder / "output.h5.shards"
    before = (shards / f"1-of-{SHARDS}.h5").read_bytes()
    arguments = ["--cores", "1", "--show-failed-logs"]
    status, text = run(folder, *arguments, shards=SHARDS, positions="'10:20'")
    assert status != 0
    assert "positions: (0, 60) and (10, 20) now" in text
    names = [f"1-of-{SHARDS}.h5", f"1-of-{SHARDS}.h5.partial"]
    kept = [(shards / name).read_bytes() for name in names if (shards / name).exists()]
    assert before in kept
    assert (folder / "output.h5").read_bytes() == whole


@pytest.mark.torch
def test_merging_says_which_shard_is_missing(again):
    folder, _ = again
    shards = folder / "output.h5.shards"
    (folder / "output.h5").unlink()
    (shards / f"1-of-{SHARDS}.h5").unlink()
    for number in range(1, SHARDS + 1):
        (shards / f"{number}-of-{SHARDS}.done").touch()
    arguments = ["--show-failed-logs", "--rerun-triggers", "mtime"]
    status, text = run(folder, *arguments, shards=SHARDS)
    assert status != 0
    assert f"is one of {SHARDS} shards, and 1 of them are not given: 1" in text
    assert not (folder / "output.h5").exists()


def test_every_option_of_the_config_reaches_the_command(tmp_path):
    for name in ("model.keras", "other.keras", "peaks.bed", "genome.fa"):
        (tmp_path / name).touch()
    config = {
        "model": ["model.keras", "other.keras"],
        "input": "peaks.bed",
        "output": "out put.npz",
        "shards": 3,
        "threads": 2,
        "select": "0:1",
        "genome": "genome.fa",
        "positions": "10:20",
        "outputs": "0:3,5",
        "alphabet": "dna",
        "ambiguous": "skip",
        "pad": "N",
        "contigs": "rename",
        "not_finite": "keep",
        "strict": True,
        "precision": "tf32",
        "content": "mutants",
        "sd": True,
        "dtype": "float16",
        "batch": 4,
        "memory": "1G",
        "backend": "torch",
        "device": "gpu",
        "seqlen": 100,
        "input_shape": "4,100",
        "channels_last": True,
        "unsafe": True,
        "naive": True,
    }
    assert set(config) == set(SCHEMA["properties"])
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    workflow = [str(ROOT / "workflows" / "score.smk"), "--configfile", "config.yaml"]
    arguments = ["--cores", "2", "--dry-run", "--printshellcmds"]
    command = [*snakemake()[:3], "--snakefile", *workflow, *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    scoring = re.findall(r"Shell command: .*fastism score (.*)", done.stdout + done.stderr)
    assert len(scoring) == 3
    # A shard with a GPU takes one of those that the machine or the cluster has.
    assert len(re.findall(r"resources: .*\bgpu=1\b", done.stdout + done.stderr)) == 3
    assert scoring[0].startswith("model.keras other.keras peaks.bed ")
    for key, value in config.items():
        if key not in OWN:
            option = f"--{key.replace('_', '-')}"
            assert (option if value is True else f"{option}={value}") in scoring[0].split()
    assert re.search(
        r"fastism export 'out put.npz.shards'/\*-of-3.h5 -o 'out put.npz' --output=0:1 ",
        done.stdout + done.stderr,
    )
    assert "output: out put.one_hot.npz, out put.hypothetical.npz" in done.stdout + done.stderr


def test_what_is_wrong_with_a_config_is_said_key_by_key(tmp_path):
    given = {"shards": 0, "sharts": 3, "positions": "all"}
    status, text = run(tmp_path, "--dry-run", **given)
    assert status != 0
    assert "unknown key 'sharts'; expected some of model, input" in text
    assert "shards: 0 is less than the minimum of 1" in text
    assert "positions: 'all' does not match" in text
    assert "Traceback" not in text


def test_an_output_of_no_known_format_is_refused_before_anything_runs(tmp_path):
    status, text = run(tmp_path, "--dry-run", shards=2, output="scores.xlsx")
    assert status != 0
    assert "The config is not valid: output: scores.xlsx" in text


def test_keys_of_the_config_are_options_of_the_command():
    from fastism.cli.score import score

    assert SCHEMA["additionalProperties"] is False
    assert set(SCHEMA["properties"]) - OWN == set(passed_on(score))
    assert set(OPTIONS) <= set(SCHEMA["properties"])


def test_the_configs_in_the_docs_are_valid():
    text = (ROOT / "docs" / "cluster.md").read_text()
    examples = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    for command, example in zip(("score", "variants"), examples, strict=True):
        schema = config_schema(ROOT / "workflows", command)
        wrong = jsonschema.Draft202012Validator(schema).iter_errors(yaml.safe_load(example))
        assert [error.message for error in wrong] == []


def test_the_profile_names_rules_of_the_workflow():
    profile = (ROOT / "workflows" / "profiles" / "slurm" / "config.yaml").read_text()
    assert yaml.safe_load(profile)["executor"] == "slurm"
    # The commented part for GPUs too.
    workflow = (ROOT / "workflows" / "sharded.smk").read_text()
    (rule,) = re.findall(r"^# set-resources:\n#   (\w+):$", profile, re.MULTILINE)
    assert f"\nrule {rule}:\n" in workflow


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0.36, scale_out.Load(10.0, 10, 3.0)),
        (0.0001, scale_out.Load(0.0001 / 0.036, 1, 0.0001 / 0.036)),
        (0.378, scale_out.Load(10.5, 11, 3 * 10.5 / 11)),
    ],
    ids=["ten jobs", "one job", "eleven jobs"],
)
def test_jobs_and_hours_from_a_rate(seconds, expected):
    found = scale_out.load(seconds, sequences=100_000, job_hours=1, at_once=4)
    assert found.jobs == expected.jobs
    assert (found.hours, found.elapsed) == pytest.approx((expected.hours, expected.elapsed))


def test_jobs_of_nothing_are_refused():
    with pytest.raises(FastISMError, match="all four must be positive"):
        scale_out.load(0.0)


def test_rates_are_those_of_the_fastest_backend_with_the_most_sequences():
    records = timed.read(ROOT / scale_out.RECORDS)
    ran = [r for r in records if r.what.method == "fast_ism" and r.what.kind == "throughput"]
    found = scale_out.fastest(records)
    assert len({(r.what.architecture, r.what.length, r.how.device) for r in found}) == len(found)
    for record in found:
        case = (record.what.architecture, record.what.length)
        others = [r for r in ran if (r.what.architecture, r.what.length) == case]
        assert record.what.sequences == max(r.what.sequences for r in others)
        same = [r for r in others if r.what.sequences == record.what.sequences]
        assert record.result.median == min(r.result.median for r in same)


def test_the_tables_say_what_the_records_say():
    text = scale_out.committed()
    basset = next(
        r
        for r in scale_out.fastest(timed.read(ROOT / scale_out.RECORDS))
        if (r.what.architecture, r.what.length) == ("basset", 1000)
    )
    seconds = basset.result.median / basset.what.sequences
    cells = next(line for line in text.splitlines() if line.startswith("| Basset | 1000"))
    assert f"| {seconds:.3g} | {seconds * 1e5 / 3600:.3g} |" in cells
    assert "No GPU was measured." in text
    sizes = store_size.read(ROOT / scale_out.SIZES).stores
    assert {size.dtype for size in sizes} == {"float32", "float16"}
    for size in sizes:
        assert scale_out.in_bytes(size.per_sequence * 1e5) in text


def test_sizes_without_compression_are_those_of_the_numbers():
    size = StoreSize("basset", 1000, (3,), "float16", 2, 1000)
    assert size.per_sequence == 500
    assert size.raw == 1000 * 4 * 3 * 2 + 3 * 4 + 1000 * 4


def test_sizes_are_measured_on_stores_that_are_written(tmp_path):
    import numpy as np

    letters = np.random.default_rng(0)
    one_hot = np.eye(4, dtype=np.float32)[letters.integers(4, size=(64, 200))]
    deltas = letters.normal(size=(64, 200, 4, 1)).astype(np.float32)
    sizes = [
        store_size.written(one_hot, deltas[:, 0, 0], deltas, dtype) for dtype in store_size.ITEM
    ]
    numbers = deltas.size * 2
    assert numbers < sizes[1] < sizes[0] < 2 * numbers + one_hot.size + 60_000


def test_a_file_without_sizes_is_refused(tmp_path):
    (tmp_path / "sizes.json").write_text("[]")
    with pytest.raises(FastISMError, match="holds no sizes of stores"):
        store_size.read(tmp_path / "sizes.json")

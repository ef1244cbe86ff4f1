"""Records of what a study did not get to."""

from pathlib import Path

import pytest

from benchmarks import records
from benchmarks.workflow import not_run
from benchmarks.workflow.config import load_config

CONFIG = Path(__file__).resolve().parents[1] / "workflows" / "config" / "paper.yaml"
REASON = "The run was ended."


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One timing job and one peer have left records; all others are said not to be run."""
    folder = tmp_path_factory.mktemp("records")
    for name in ("basset_1000_cpu_tensorflow", "peer_yuzu_basset_1000"):
        (folder / f"{name}.jsonl").touch()
    status = not_run.main(["--config", str(CONFIG), "--folder", str(folder), "--reason", REASON])
    assert status == 0
    return folder


def test_every_job_has_a_file_afterwards_and_what_was_there_is_kept(folder):
    config = load_config(CONFIG)
    expected = {*config.jobs, *config.peers}
    assert {path.stem for path in folder.iterdir()} == expected
    assert (folder / "basset_1000_cpu_tensorflow.jsonl").read_text() == ""


def test_a_job_that_was_not_run_has_one_record_per_variant_and_number_of_sequences(folder):
    found = records.read(folder / "bpnet_1000_cpu_torch.jsonl")
    assert {(r.what.method, r.what.sequences) for r in found} == {
        (method, number) for method in ("naive_ism", "fast_ism") for number in (1, 8)
    }
    assert {r.result.status for r in found} == {"skipped"}
    assert {r.result.reason for r in found} == {REASON}
    assert found[0].what.data.endswith("last 1000 bp")


def test_peers_that_were_not_run_say_so(folder):
    found = records.read(folder / "peer_fastism05_bpnet_2000.jsonl")
    assert [r.what.sequences for r in found] == [1, 8, 64, 512]
    assert {(r.result.status, r.result.reason) for r in found} == {("skipped", REASON)}


def test_jobs_of_a_missing_device_say_that_it_is_missing(folder, monkeypatch):
    path = folder / "basset_1000_gpu_tensorflow.jsonl"
    path.unlink()
    monkeypatch.setattr(not_run.environment, "missing_device", lambda device: f"No {device}.")
    arguments = ["--config", str(CONFIG), "--folder", str(folder), "--reason", REASON]
    assert not_run.main(arguments) == 0
    assert {r.result.reason for r in records.read(path)} == {"No gpu."}


def test_one_device_can_be_chosen(tmp_path):
    arguments = ["--config", str(CONFIG), "--folder", str(tmp_path), "--reason", REASON]
    assert not_run.main([*arguments, "--device", "gpu"]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    assert names and all("_gpu_" in name for name in names)


def test_a_wrong_config_is_one_line(tmp_path, capsys):
    arguments = ["--config", str(tmp_path / "none.yaml"), "--folder", str(tmp_path)]
    assert not_run.main([*arguments, "--reason", REASON]) == 1
    assert "cannot be read" in capsys.readouterr().out

"""What was measured on a device is kept in the user's cache folder, and read by later processes."""

from __future__ import annotations

from pathlib import Path

import pytest
from test_choices import Clock, Kernels

from fastism.backends.choices import ROUNDS, Choices
from fastism.backends.kept_times import KeptTimes, cache_folder

FACTS = {"device": "a GPU", "torch": "2.13.0"}


def choices(folder: Path, clock: Clock, **facts: str) -> Choices:
    """As a new process makes it."""
    made = Choices(clock, KeptTimes({**FACTS, **facts}, folder))
    made.allow(1e6)
    return made


def test_a_later_process_measures_nothing_again(tmp_path):
    clock = Clock()
    kernels = Kernels(clock, first=3.0, second=2.0)
    assert choices(tmp_path, clock).best(("s", 1), kernels.names, kernels.trial) == "second"
    begun = clock.now
    later = choices(tmp_path, clock)
    assert later.best(("s", 1), kernels.names, kernels.trial) == "second"
    assert clock.now == begun and later.settled(("s", 1), kernels.names)
    assert kernels.runs == {"first": ROUNDS, "second": ROUNDS}


def test_only_a_kernel_that_is_new_is_measured(tmp_path):
    clock = Clock()
    old, new = Kernels(clock, a=3.0, b=2.0), Kernels(clock, a=3.0, b=2.0, c=1.0)
    choices(tmp_path, clock).best("shape", old.names, old.trial)
    assert choices(tmp_path, clock).best("shape", new.names, new.trial) == "c"
    assert new.runs == {"a": 0, "b": 0, "c": ROUNDS}


def test_devices_and_versions_have_files_of_their_own(tmp_path):
    clock = Clock()
    one, other = Kernels(clock, a=1.0, b=2.0), Kernels(clock, a=2.0, b=1.0)
    assert choices(tmp_path, clock).best("shape", one.names, one.trial) == "a"
    assert choices(tmp_path, clock, device="B").best("shape", other.names, other.trial) == "b"
    assert len([*tmp_path.glob("*.json")]) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"seconds": {"x": 1}}', '{"seconds": 3}'])
def test_a_damaged_file_is_written_anew(tmp_path, text):
    clock = Clock()
    kernels = Kernels(clock, a=1.0, b=2.0)
    KeptTimes(FACTS, tmp_path).path.write_text(text)
    assert choices(tmp_path, clock).best("shape", kernels.names, kernels.trial) == "a"
    assert KeptTimes(FACTS, tmp_path).get(repr("shape")) == {"a": 1.0, "b": 2.0}


def test_what_others_kept_meanwhile_stays(tmp_path):
    mine, other = KeptTimes(FACTS, tmp_path), KeptTimes(FACTS, tmp_path)
    assert mine.get("x") == {} and other.get("x") == {}
    other.put("x", {"a": 1.0})
    mine.put("y", {"b": 2.0})
    assert KeptTimes(FACTS, tmp_path).get("x") == {"a": 1.0}
    assert mine.get("x") == {"a": 1.0}


def test_a_folder_that_cannot_be_written_is_no_error(tmp_path):
    (tmp_path / "file").write_text("")
    kept = KeptTimes(FACTS, tmp_path / "file" / "folder")
    kept.put("x", {"a": 1.0})
    assert kept.get("x") == {"a": 1.0}


def test_the_folder_is_the_users_cache_unless_another_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("FASTISM_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "fastism"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "fastism"
    monkeypatch.setenv("FASTISM_CACHE_DIR", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"


@pytest.mark.torch
def test_a_backend_on_a_gpu_has_uniform_windows_and_keeps_what_it_measures(monkeypatch, tmp_path):
    torch = pytest.importorskip("torch")
    from fastism.backends import torch_uniform

    monkeypatch.setenv("FASTISM_CACHE_DIR", str(tmp_path))
    monkeypatch.delenv("FASTISM_UNIFORM", raising=False)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "a GPU")
    torch_uniform._choices.cache_clear()
    assert not torch_uniform.torch_backend("float32", "cpu").uniform
    monkeypatch.setattr(torch_uniform.TorchBackend, "accelerated", True)
    made = torch_uniform.torch_backend("float32", "cpu")
    assert made.uniform and made.resident
    assert made._choices._kept.path.parent == tmp_path
    torch_uniform._choices.cache_clear()

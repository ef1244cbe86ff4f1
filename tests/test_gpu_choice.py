"""Which GPU a process uses, told to frameworks through the environment."""

from __future__ import annotations

import os

import pytest

from fastism import FastISMError
from fastism.loading import devices
from fastism.loading.devices import choose_device, claim, visible_gpus


def test_devices_are_chosen_through_the_environment(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    monkeypatch.setenv("JAX_PLATFORMS", "")
    choose_device("cuda:1")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    choose_device("gpu")
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "7"
    with pytest.raises(FastISMError, match="1 can be seen"):
        choose_device("gpu:1")
    choose_device("cpu")
    assert (os.environ["CUDA_VISIBLE_DEVICES"], os.environ["JAX_PLATFORMS"]) == ("-1", "cpu")
    for wrong in ("tpu", "cpu:0", "gpu:x", "cuda:-1"):
        with pytest.raises(FastISMError, match="unknown"):
            choose_device(wrong)


def test_gpus_are_counted_without_a_framework(tmp_path):
    assert visible_gpus({}, tmp_path) == []
    for name in ("nvidia0", "nvidia2", "nvidiactl", "nvidia-uvm", "null"):
        (tmp_path / name).touch()
    assert visible_gpus({}, tmp_path) == ["0", "1"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "GPU-8a,3"}, tmp_path) == ["GPU-8a", "3"]
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": "-1"}, tmp_path) == []
    assert visible_gpus({"CUDA_VISIBLE_DEVICES": ""}, tmp_path) == []


def test_processes_on_one_machine_take_a_gpu_each(tmp_path):
    # What a process holds is open in it: here one process stands for three of them.
    assert [claim(["4", "GPU-a/b"], tmp_path) for _ in range(2)] == ["4", "GPU-a/b"]
    assert claim(["4", "GPU-a/b"], tmp_path) in ("4", "GPU-a/b")
    assert claim(["4", "GPU-a/b", "5"], tmp_path) == "5"


def test_a_gpu_without_a_number_is_one_that_nobody_has(tmp_path, monkeypatch):
    for number in range(2):
        (tmp_path / f"nvidia{number}").touch()
    monkeypatch.setattr(devices, "DEVICES", tmp_path)
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    chosen = []
    for _ in range(2):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
        choose_device("gpu")
        chosen.append(os.environ["CUDA_VISIBLE_DEVICES"])
    assert chosen == ["0", "1"]


def test_a_folder_that_cannot_be_written_does_not_matter(tmp_path):
    assert claim(["0", "1"], tmp_path / "missing") in ("0", "1")

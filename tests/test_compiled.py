"""The compiled kernels: built where a compiler is, right on every instruction set, and optional."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from backend_case import TOLERANCE, computed, expected
from backend_cases import CASES

pytestmark = [pytest.mark.torch, pytest.mark.processor]
torch = pytest.importorskip("torch")

from fastism.backends import compiled  # noqa: E402
from fastism.backends.torch import TorchBackend  # noqa: E402
from fastism.backends.torch_kernels import (  # noqa: E402
    CompiledColumns,
    CompiledNarrow,
    Problem,
)

#: What each processor can run.
RUNS = {"AVX512": {"AVX512", "AVX2"}, "AVX2": {"AVX2"}}
HERE = RUNS.get(torch.backends.cpu.get_cpu_capability(), set())
every_instruction_set = pytest.mark.parametrize("instructions", list(compiled.LIBRARIES))


def library(instructions: str):
    if instructions not in HERE:
        pytest.skip(f"PyTorch does not use {instructions} on this processor.")
    found = compiled._open(compiled.LIBRARIES[instructions])
    if found is None:
        pytest.skip("The package was installed without a C++ compiler.")
    return found


@pytest.fixture(autouse=True)
def turned_on(monkeypatch):
    """The kernels are tested also where the environment turns them off."""
    monkeypatch.delenv("FASTISM_COMPILED", raising=False)


def test_the_kernel_is_built_where_a_compiler_and_the_source_tree_are():
    in_source_tree = (Path(compiled.__file__).parents[2] / "setup.py").is_file()
    if not HERE or not in_source_tree or shutil.which("g++") is None:
        pytest.skip("No x86 processor with AVX2, no checkout, or no g++.")
    assert compiled.load() is not None


@every_instruction_set
def test_every_instruction_set_gives_the_right_numbers(instructions, monkeypatch):
    found = library(instructions)
    monkeypatch.setattr(compiled, "load", lambda: found)
    cases = [case for case in CASES["overlap_add"] if not case.per_block]
    outcomes = computed(cases, TorchBackend("float32", "cpu"))
    for case, (result, _) in zip(cases, outcomes, strict=True):
        truth = expected(case, "float32")
        allowed = TOLERANCE * np.finfo(np.float32).eps * np.abs(truth).max(initial=1)
        np.testing.assert_allclose(result, truth, rtol=0, atol=allowed, err_msg=case.name)


@every_instruction_set
def test_nan_is_handed_on(instructions):
    taps = np.ones((1, 2, 32), dtype=np.float32)
    x = torch.tensor([[[[np.nan, 1.0], [1.0, 1.0]]]])
    packed = compiled.PackedColumns(taps, library(instructions))
    y = packed.rectified_overlap_add(x, 1, 0, 1, torch.zeros(1, 1, 1, 32))
    assert torch.isnan(y[0, 0, 0]).all()
    assert (y[0, 0, 1] == 2).all()


@every_instruction_set
def test_nan_is_handed_on_to_few_channels(instructions):
    x = torch.ones(9, 1, 2, 2)
    x[4, 0, 1, 0] = np.nan
    packed = compiled.PackedNarrowColumns(np.ones((3, 2, 1), np.float32), library(instructions))
    y = packed.overlap_add(x, 0, 11, None)
    assert torch.isnan(y[4:7, 0, 1]).all()
    assert not torch.isnan(y[:, 0, 0]).any()
    assert not torch.isnan(y[:4, 0, 1]).any()


def accepting(count: int, channels: int, features: int) -> list[str]:
    """The compiled kernels that accept a convolution."""
    problem = Problem("float32", "cpu", count, channels, features, 1)
    both = (CompiledColumns, CompiledNarrow)
    return [kernel.name for kernel in both if kernel.accepts(problem)]


def test_the_environment_turns_it_off(monkeypatch):
    monkeypatch.setenv("FASTISM_COMPILED", "0")
    assert compiled.load() is None
    assert compiled.kernel_in_use() == "none"
    assert accepting(3, 4, 64) == []
    assert accepting(3, 4, 1) == []


def test_every_number_of_channels_out_has_one_kernel():
    columns = library(torch.backends.cpu.get_cpu_capability()).columns()
    assert accepting(3, 4, columns) == ["compiled"]
    assert accepting(3, 4, columns - 1) == ["compiled, narrow"]
    assert accepting(8, 4096, columns) == ["compiled"]


def test_a_library_that_is_missing_or_broken_is_done_without(monkeypatch, tmp_path):
    monkeypatch.setattr(compiled, "__file__", str(tmp_path / "compiled.py"))
    assert compiled._open.__wrapped__("_kernels_none") is None
    (tmp_path / f"_kernels_none{compiled.EXTENSION_SUFFIXES[0]}").write_bytes(b"no library")
    assert compiled._open.__wrapped__("_kernels_none") is None

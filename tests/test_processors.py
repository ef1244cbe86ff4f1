"""What `make test` sets to repeat the tests of engine and backends does what it says."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytestmark = [pytest.mark.torch, pytest.mark.processor]
torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from fastism.backends import compiled, onednn  # noqa: E402
from fastism.backends.choices import Choices  # noqa: E402
from fastism.backends.torch import TorchBackend  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def turned_on(monkeypatch):
    """What these tests see does not depend on what is turned off where they run."""
    for name in ("FASTISM_COMPILED", "FASTISM_ONEDNN", "FASTISM_MEASURE"):
        monkeypatch.delenv(name, raising=False)


class Namespaces(TorchDispatchMode):
    """Notes where the operators that run come from: ``aten`` is PyTorch's public interface."""

    def __init__(self):
        super().__init__()
        self.seen = set()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.seen.add(function.namespace)
        return function(*args, **(kwargs or {}))


def tried(monkeypatch, setting):
    """Operators and kernels that are tried for some layers where both switches are set so."""
    for name in ("FASTISM_COMPILED", "FASTISM_ONEDNN"):
        monkeypatch.setenv(name, setting)
    choices = Choices()
    choices.allow(1e9)
    b = TorchBackend("float32", "cpu", choices=choices)
    x = b.asarray(np.ones((5, 2, 40, 16)))
    with Namespaces() as run:
        for features in (3, 32):
            b.overlap_add(x, b.prepare_taps(np.ones((3, 16, features))), 1, 0, 7, None)
        b.matmul(x, b.prepare_matrix(np.ones((16, 8))))
    return run.seen, {name for times in choices._times.values() for name in times}


def test_nothing_of_our_own_and_nothing_private_is_tried_where_it_is_turned_off(monkeypatch):
    operators, kernels = tried(monkeypatch, "1")
    if not onednn._right() or compiled.load() is None:
        pytest.skip("No compiled kernels, or no oneDNN in PyTorch: there is nothing to turn off.")
    assert "mkldnn" in operators
    assert {"compiled", "compiled, narrow", "oneDNN", "oneDNN, narrow"} <= kernels
    operators, kernels = tried(monkeypatch, "0")
    assert operators == {"aten"}
    assert kernels == {"product per tap", "one product"}


@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 belongs to x86 processors")
def test_pytorch_and_the_kernels_keep_to_the_instructions_they_are_given():
    code = (
        "import torch; from fastism.backends import compiled; "
        "print(torch.backends.cpu.get_cpu_capability(), compiled.load()._name)"
    )
    if "AVX" not in torch.backends.cpu.get_cpu_capability() or compiled.load() is None:
        pytest.skip("This processor has no AVX2, or there are no compiled kernels.")
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "avx2", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True
    )
    capability, library = done.stdout.split()
    assert (capability, "_avx2" in library) == ("AVX2", True)


def test_make_test_repeats_them():
    """`make test` sets what these tests, and those of the other files, are run under."""
    makefile = (ROOT / "Makefile").read_text()
    recipe = makefile.split("\ntest: ")[1].split("\n\n")[0]
    assert "$(MAKE) test-processors" in recipe
    repeats = makefile.split("\ntest-processors: ")[1].split("\n\n")[0]
    for setting in ("AVX2_ONLY", "WITHOUT_KERNELS"):
        assert f"$({setting})" in repeats
    assert "AVX2_ONLY := ONEDNN_MAX_CPU_ISA=AVX2 ATEN_CPU_CAPABILITY=avx2\n" in makefile
    assert "WITHOUT_KERNELS := FASTISM_COMPILED=0 FASTISM_ONEDNN=0\n" in makefile

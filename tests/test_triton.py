"""The kernels in Triton, on a CPU: in Triton's interpreter, and compiled for a GPU without one.

They run in processes of their own: the interpreter must be asked for before Triton is imported, and
importing Triton ends a process in which TensorFlow was imported before.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Where the lock of Triton is installed, out of the sight of other processes.
APART = Path(sys.prefix) / "triton"
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed"),
    pytest.mark.skipif(
        find_spec("triton") is None and not APART.exists(),
        reason="triton is not installed: it comes with PyTorch's builds for GPUs, and with "
        "`make install-all`",
    ),
]


def run(file: str, **settings: str) -> str:
    """Run a file of tests in a process that sees Triton; what it printed."""
    path = os.pathsep.join([str(ROOT), str(APART)])
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, str(ROOT / "tests" / file)],
        env={**os.environ, "PYTHONPATH": path, "PYTEST_ADDOPTS": "", **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


AFTER_TENSORFLOW = """
import tensorflow, sys
import torch
from fastism import FastISM

module = torch.nn.Sequential(torch.nn.Conv1d(4, 3, 5), torch.nn.ReLU())
ism = FastISM(module.eval(), input_shape=(4, 20))
assert sys.modules["triton"] is None
print(ism.plan.opaque, ism.verify(torch.eye(4)[torch.arange(20) % 4].T[None]) < 1e-6)
"""


@pytest.mark.tensorflow
def test_modules_are_read_where_tensorflow_was_imported_before():
    """PyTorch imports Triton in passing, which would end the process.

    With Keras on PyTorch, `import tensorflow` alone would: it imports Keras.
    """
    path = os.pathsep.join([str(ROOT), str(APART)])
    done = subprocess.run(
        [sys.executable, "-c", AFTER_TENSORFLOW],
        env={**os.environ, "PYTHONPATH": path, "KERAS_BACKEND": "tensorflow"},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "() True\n"


def test_programs_compile_for_a_gpu():
    assert "11 passed" in run("triton_compiled.py")


def test_the_kernels_agree_with_loops_and_run_a_model():
    said = run("triton_cases.py", TRITON_INTERPRET="1")
    assert "passed" in said and "skipped" not in said

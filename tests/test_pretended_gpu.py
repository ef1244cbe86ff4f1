"""The tests of GPUs on one that is not there: see `pretended_gpu`.

They run in processes of their own, in which PyTorch finds a GPU.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
#: Where the lock of Triton is installed, out of the sight of other processes.
APART = Path(sys.prefix) / "triton"
#: Of the processes; a GPU that is there is none of their business.
ENVIRONMENT = {"KERAS_BACKEND": "torch", "CUDA_VISIBLE_DEVICES": "", "PYTEST_ADDOPTS": ""}
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed"),
]


def passed(*files: str, triton: bool = False, **settings: str) -> int:
    """Run files of tests, all of which must pass; their number. None of them is for the CPU."""
    path = os.pathsep.join(map(str, [ROOT, ROOT / "tests", *([APART] if triton else [])]))
    plugins = ("-p", "pretended_gpu", "-p", "no:xdist", "-p", "no:cacheprovider")
    command = [sys.executable, "-m", "pytest", "-q", *plugins]
    done = subprocess.run(
        [*command, "-k", "not cpu", *(ROOT / "tests" / file for file in files)],
        env={**os.environ, **ENVIRONMENT, "PYTHONPATH": path, **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "skipped" not in done.stdout
    return int(re.search(r"(\d+) passed", done.stdout)[1])


def test_what_every_device_must_give(tmp_path):
    """On PyTorch's operators, as on a machine without Triton."""
    kept = {"FASTISM_CACHE_DIR": str(tmp_path)}
    assert passed("test_gpu.py", "pretended_cases.py", **kept) == 33 + 7


@pytest.mark.skipif(
    find_spec("triton") is None and not APART.exists(),
    reason="triton is not installed: it comes with PyTorch's builds for GPUs, and with "
    "`make install-all`",
)
def test_calls_on_kernels_in_triton(tmp_path):
    """In the interpreter; nothing is measured, for which it is too slow."""
    settings = {"TRITON_INTERPRET": "1", "FASTISM_MEASURE": "0"}
    settings["FASTISM_CACHE_DIR"] = str(tmp_path)
    assert passed("pretended_cases.py", triton=True, **settings) == 7

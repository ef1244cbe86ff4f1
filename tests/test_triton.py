"""The kernels in Triton, on a CPU in Triton's interpreter: `tests/triton_cases.py` holds the tests.

The interpreter must be asked for before Triton is imported, so they run in another process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.torch,
    pytest.mark.skipif(find_spec("torch") is None, reason="torch is not installed"),
    pytest.mark.skipif(
        find_spec("triton") is None,
        reason="triton is not installed: it comes with PyTorch's builds for GPUs",
    ),
]


def test_the_kernels_agree_with_loops_and_run_a_model():
    given = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    cases = ROOT / "tests" / "triton_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, str(cases)], env=given, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout and "skipped" not in done.stdout

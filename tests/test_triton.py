"""The kernels in Triton, on a CPU in Triton's interpreter: `tests/triton_cases.py` holds the tests.

The interpreter must be asked for before Triton is imported, so they run in another process.
"""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

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


def compiled(name: str, constants: dict[str, Any]) -> str:
    """Machine code of a program for a GPU of compute capability 9.0, which needs no GPU."""
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from fastism.backends import triton_programs

    program = getattr(triton_programs, name)
    types = dict.fromkeys(program.arg_names, "i32") | dict.fromkeys(constants, "constexpr")
    types |= dict.fromkeys(FLOATS & types.keys(), "*fp32")
    types |= dict.fromkeys(INDICES & types.keys(), "*i64")
    types |= {"fill": "fp32"} if "fill" in types else {}
    at = {(program.arg_names.index(n),): value for n, value in constants.items()}
    made = triton.compile(ASTSource(program, types, at), target=GPUTarget("cuda", 90, 32))
    return made.asm["ptx"]


FLOATS = {"x", "taps", "base", "residual", "pool_sign", "pool_base", "out", "table"}
INDICES = {"offset", "residual_offset", "pool_offset", "sequence", "start"}
SWITCHES = (
    "STACKED", "FORWARD", "FLAT", "OFFSET", "BASE", "RELU", "RESIDUAL", "RESIDUAL_OFFSET",
    "POOLED", "POOL_OFFSET", "POOL_SIGN",
)  # fmt: skip


@pytest.mark.parametrize("precision", ["ieee", "tf32"])
def test_programs_compile_for_a_gpu(precision):
    """Also those parts of the language that the interpreter takes and the compiler might not."""
    tile = {"ROWS": 16, "FEATURES": 16, "TERMS": 16, "PRECISION": precision}
    pooled = {"FLAT", "OFFSET", "BASE", "POOLED", "POOL_OFFSET", "POOL_SIGN"}
    residual = {"STACKED", "OFFSET", "BASE", "RELU", "RESIDUAL", "RESIDUAL_OFFSET"}
    product = {"OFFSET", "BASE", "RELU"}
    code = {}
    for number, on in enumerate((pooled, residual, product, {"FORWARD", "OFFSET"})):
        code[number] = compiled("window", {name: name in on for name in SWITCHES} | tile)
    assert all("st.global" in text for text in code.values())
    assert ("tf32" in code[2]) == (precision == "tf32")
    for name, extra in (("looked_up", {}), ("placed", {}), ("rebuilt", {"DELTA": True})):
        assert "st.global" in compiled(name, {"NUMBERS": 128} | extra)


def test_the_kernels_agree_with_loops_and_run_a_model():
    given = {**os.environ, "TRITON_INTERPRET": "1", "PYTHONPATH": str(ROOT)}
    cases = ROOT / "tests" / "triton_cases.py"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist"]
    done = subprocess.run(
        [*command, str(cases)], env=given, cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "passed" in done.stdout and "skipped" not in done.stdout

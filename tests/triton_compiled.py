"""Programs in Triton are compiled for a GPU, which needs none; `tests/test_triton.py` runs this.

The interpreter takes parts of the language that the compiler might not.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime import driver

from fastism.backends import triton_programs
from fastism.backends.torch_triton import FoldedProduct, ImplicitProduct, Tile, compiled_together

FLOATS = {"x", "taps", "base", "residual", "pool_sign", "pool_base", "out", "table"}
INDICES = {"offset", "residual_offset", "pool_offset", "sequence", "start"}
SWITCHES = (
    "STACKED", "FORWARD", "FLAT", "OFFSET", "BASE", "RELU", "RESIDUAL", "RESIDUAL_OFFSET",
    "POOLED", "POOL_OFFSET", "POOL_SIGN",
)  # fmt: skip


def compiled(name: str, constants: dict[str, Any]) -> str:
    """Machine code of a program for a GPU of compute capability 9.0, which needs no GPU."""
    program = getattr(triton_programs, name)
    types = dict.fromkeys(program.arg_names, "i32") | dict.fromkeys(constants, "constexpr")
    types |= dict.fromkeys(FLOATS & types.keys(), "*fp32")
    types |= dict.fromkeys(INDICES & types.keys(), "*i64")
    types |= {"fill": "fp32"} if "fill" in types else {}
    at = {(program.arg_names.index(n),): value for n, value in constants.items()}
    made = triton.compile(ASTSource(program, types, at), target=GPUTarget("cuda", 90, 32))
    return made.asm["ptx"]


@pytest.mark.parametrize("precision", ["ieee", "tf32", "tf32x3"])
def test_programs_compile_for_a_gpu(precision):
    tile = {"ROWS": 16, "FEATURES": 16, "TERMS": 16, "PRECISION": precision}
    pooled = {"FLAT", "OFFSET", "BASE", "POOLED", "POOL_OFFSET", "POOL_SIGN"}
    residual = {"STACKED", "OFFSET", "BASE", "RELU", "RESIDUAL", "RESIDUAL_OFFSET"}
    product = {"OFFSET", "BASE", "RELU"}
    code = {}
    for number, on in enumerate((pooled, residual, product, {"FORWARD", "OFFSET"})):
        code[number] = compiled("window", {name: name in on for name in SWITCHES} | tile)
    assert all("st.global" in text for text in code.values())
    assert ("tf32" in code[2]) == (precision != "ieee")
    for name, extra in (("looked_up", {}), ("placed", {}), ("rebuilt", {"DELTA": True})):
        assert "st.global" in compiled(name, {"NUMBERS": 128} | extra)


class NoGPU:
    """What Triton asks a GPU before it compiles for one."""

    def get_current_device(self) -> int:
        return 0

    def get_current_stream(self, device: int) -> int:
        return 0

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cuda", 90, 32)


def test_programs_that_are_compared_are_compiled_together(monkeypatch, tmp_path):
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(driver, "_active", NoGPU())
    threads, here = [], threading.get_ident()
    compile_one = triton.compiler.compile

    def watched(*given: Any, **more: Any) -> Any:
        threads.append(threading.get_ident())
        return compile_one(*given, **more)

    monkeypatch.setattr(triton.compiler, "compile", watched)
    taps = np.random.default_rng(0).standard_normal((3, 16, 32), np.float32)
    x, cpu = torch.zeros(5, 2, 8, 16), torch.device("cpu")
    tiles = Tile(16, 16, 16), Tile(32, 32, 16)
    kernels = [ImplicitProduct(taps, 1, cpu, tile) for tile in tiles]
    kernels.append(FoldedProduct(taps, 1, cpu, tiles[0]))
    for _ in range(2):  # the second time all are there
        with compiled_together():
            for kernel in kernels:
                kernel.run(x, 0, 7, None)
    assert len(threads) == 3
    assert here not in threads

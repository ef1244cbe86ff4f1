"""Programs in Triton are compiled for a GPU, which needs none; `tests/test_triton.py` runs this.

The interpreter takes parts of the language that the compiler might not.
"""

from __future__ import annotations

import re
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.runtime import driver

from fastism.backends import triton_programs
from fastism.backends.torch_triton import FoldedProduct, ImplicitProduct
from fastism.backends.triton_runtime import compiled_together
from fastism.backends.triton_tiles import TILES, Tile

FLOATS = {"x", "taps", "rest", "base", "residual", "pool_sign", "pool_base", "out", "table"}
INDICES = {"offset", "residual_offset", "pool_offset", "sequence", "start"}
SWITCHES = (
    "STACKED", "FORWARD", "FLAT", "TURNED", "OFFSET", "BASE", "RELU", "RESIDUAL", "RESIDUAL_OFFSET",
    "POOLED", "POOL_OFFSET", "POOL_SIGN",
)  # fmt: skip


def compiled(name: str, constants: dict[str, Any], **options: int) -> Any:
    """A program for a GPU of compute capability 9.0, which needs no GPU."""
    program = getattr(triton_programs, name)
    types = dict.fromkeys(program.arg_names, "i32") | dict.fromkeys(constants, "constexpr")
    types |= dict.fromkeys(FLOATS & types.keys(), "*fp32")
    types |= dict.fromkeys(INDICES & types.keys(), "*i64")
    types |= {"fill": "fp32"} if "fill" in types else {}
    at = {(program.arg_names.index(n),): value for n, value in constants.items()}
    aligned = {
        (number,): [["tt.divisibility", 16]]
        for number, name in enumerate(program.arg_names)
        if types[name].startswith("*")
    }
    source = ASTSource(program, types, at, aligned)
    return triton.compile(source, target=GPUTarget("cuda", 90, 32), options=options)


def switched(on: set[str], tile: Tile, precision: str) -> dict[str, Any]:
    """The constants of `window`."""
    sizes = {"ROWS": tile.rows, "FEATURES": tile.features, "TERMS": tile.terms}
    return {name: name in on for name in SWITCHES} | sizes | {"PRECISION": precision, "UNIT": 4}


@pytest.mark.parametrize("precision", ["ieee", "tf32", "halves"])
def test_programs_compile_for_a_gpu(precision):
    turned = set() if precision == "ieee" else {"TURNED"}
    pooled = {"FLAT", "OFFSET", "BASE", "POOLED", "POOL_OFFSET", "POOL_SIGN"}
    residual = {"STACKED", "OFFSET", "BASE", "RELU", "RESIDUAL", "RESIDUAL_OFFSET"}
    product = {"OFFSET", "BASE", "RELU"} | turned
    code = {}
    for number, on in enumerate((pooled, residual, product, {"FORWARD", "OFFSET"})):
        constants = switched(on, Tile(16, 16, 16), precision)
        code[number] = compiled("window", constants).asm["ptx"]
    assert all("st.global" in text for text in code.values())
    assert ("tf32" in code[2]) == (precision != "ieee")
    for name, extra in (("looked_up", {}), ("placed", {}), ("rebuilt", {"DELTA": True})):
        assert "st.global" in compiled(name, {"NUMBERS": 128} | extra).asm["ptx"]


def stack(made: Any, folder: Path) -> int:
    """Bytes of local memory that a thread of a program takes: what registers do not hold."""
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    binary = folder / "program.cubin"
    binary.write_bytes(made.asm["cubin"])
    command = [str(tool), "--dump-resource-usage", str(binary)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return int(re.search(r"STACK:(\d+)", said)[1])


@pytest.mark.parametrize("tile", TILES, ids=str)
def test_registers_hold_the_sums_and_what_comes_behind_them(tile, tmp_path):
    on = {"OFFSET", "BASE", "RELU", "RESIDUAL", "RESIDUAL_OFFSET"}
    given = {"num_warps": tile.warps, "num_stages": tile.stages}
    made = compiled("window", switched(on, tile, "ieee"), **given)
    assert stack(made, tmp_path) == 0


def test_tensor_cores_read_turned_taps_as_they_lie(tmp_path):
    """Else each number would be copied by itself: 16 bytes at a time are copied, and no four."""
    tile = Tile(128, 64, 32)
    for precision in ("tf32", "halves"):
        on = {"OFFSET", "BASE", "RELU", "TURNED"}
        made = compiled("window", switched(on, tile, precision), num_warps=4, num_stages=3)
        code = made.asm["ptx"]
        assert "wgmma" in code
        assert re.search(r"cp\.async\.\w+\.shared\.global .*0x10", code)
        assert not re.search(r"cp\.async\.\w+\.shared\.global .*0x4,", code)


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

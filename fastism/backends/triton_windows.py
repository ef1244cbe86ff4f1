"""Programs in Triton that copy windows: what PyTorch's operators take several passes for.

Requirements: torch; triton once one is launched.
"""

from __future__ import annotations

from math import prod

import torch

_Tensor = torch.Tensor

#: Numbers that one program copies.
NUMBERS = 1024


def rebuilt(table: _Tensor, sequence: _Tensor, start: _Tensor, x: _Tensor, delta: bool) -> _Tensor:
    """See `Windows.rebuild`; indices are on the device."""
    from fastism.backends import triton_programs

    width, blocks, mutants, channels = x.shape
    length, rows = table.shape[1], blocks * mutants
    out = x.new_empty((rows, length, channels))
    grid = (rows, -(-prod(table.shape[1:]) // NUMBERS))
    given = (table.contiguous(), sequence, start, x.contiguous(), out)
    sizes = (rows, mutants, width, length, channels)
    triton_programs.rebuilt[grid](*given, *sizes, DELTA=delta, NUMBERS=NUMBERS)
    return out


def looked_up(table: _Tensor, sequence: _Tensor, start: _Tensor, width: int) -> _Tensor:
    """See `Windows.lookup`; indices are on the device."""
    from fastism.backends import triton_programs

    _, length, channels = table.shape
    out = table.new_empty((width, len(sequence), 1, channels))
    grid = (len(sequence), -(-width * channels // NUMBERS))
    sizes = (len(sequence), width, length, channels)
    triton_programs.looked_up[grid](
        table.contiguous(), sequence, start, out, *sizes, NUMBERS=NUMBERS
    )
    return out


def placed(x: _Tensor, offset: _Tensor, width: int, fill: float) -> _Tensor:
    """See `Windows.place`; offsets are on the device, one per block."""
    from fastism.backends import triton_programs

    size, blocks, mutants, channels = x.shape
    out = x.new_empty((width, blocks, mutants, channels))
    each = mutants * channels
    grid = (blocks, width, -(-each // NUMBERS))
    given = (x.contiguous(), offset.contiguous(), out)
    triton_programs.placed[grid](*given, blocks, size, each, fill, NUMBERS=NUMBERS)
    return out

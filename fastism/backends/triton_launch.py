"""What a kernel in Triton is launched with.

Requirements: torch; triton once a kernel is launched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from math import gcd
from typing import Any, ClassVar

import numpy as np
import torch

from fastism.backends import triton_runtime
from fastism.backends.epilogue import Epilogue
from fastism.backends.torch_kernels import Kernel, Problem
from fastism.backends.triton_tiles import WIDE, Tile, power, tiles

_Tensor = torch.Tensor

#: Numbers that a thread reads at a time, if there are as many side by side.
VECTOR = 4
#: Of fewer channels in than this, terms of several taps are added up together.
FEW_CHANNELS = 32


@dataclass(frozen=True)
class Rows:
    """Rows of windows that a launch works on.

    Parameters
    ----------
    x : tensor, contiguous
        Windows ``(size, blocks, mutants, channels)`` of some blocks, or their products with taps.
    first : int
        Number of the first of these rows among all.
    count, total, mutants : int
        How many these are, how many all are, and how many a block has.
    """

    x: _Tensor
    first: int
    count: int
    total: int
    mutants: int


@dataclass(frozen=True)
class Factors:
    """What a launch multiplies windows with, and how.

    Parameters
    ----------
    taps : tensor
        In the order (taps, channels, features), or (features, taps, channels) where `turned`.
        Programs that only add up products do not read it.
    rest : tensor
        What taps lack to single precision where `precision` is "halves"; not read otherwise.
    precision : {"ieee", "tf32", "halves"}
        Single precision, factors in TF32, or in two halves that are in TF32.
    turned : bool
        Whether numbers that are read together lie side by side along the sum, in products the
        rows, and not along features.
    """

    taps: _Tensor
    rest: _Tensor
    precision: str = "ieee"
    turned: bool = False


class TritonKernel(Kernel):
    """A kernel in Triton: one launch with whatever epilogue there is.

    Parameters
    ----------
    taps, dilation, device
        As for `Kernel`.
    tile : Tile
    """

    form: ClassVar[str]
    stacked: ClassVar[bool]
    places: ClassVar[bool] = True

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device, tile: Tile) -> None:
        super().__init__(taps, dilation, device)
        self._tile = tile

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        return triton_runtime.usable(torch.device(problem.device), problem.dtype)

    @classmethod
    def suits(cls, tile: Tile, problem: Problem) -> bool:
        """Whether tiles of this size are worth trying for a problem that it accepts."""
        needed = power(problem.features, 16)
        return len(tiles()) == 1 or min(needed, WIDE) <= tile.features <= needed

    def takes(self, epilogue: Epilogue) -> bool:
        return True

    def _launch(
        self,
        rows: Rows,
        factors: Factors,
        offset: Any,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None,
        out: _Tensor,
        forward: bool = False,
    ) -> None:
        """Fill the rows of `out`."""
        from fastism.backends.triton_programs import window

        pooling = None if epilogue is None else epilogue.pooling
        residual = None if epilogue is None else epilogue.residual
        tile = self._fitting()
        parts = -(-self.features // tile.features)
        grid = (-(-rows.count // tile.rows) * len(out) * parts,)
        unit = gcd(VECTOR, self.channels, self.features)

        def given(x: Any) -> _Tensor:
            return x if isinstance(x, torch.Tensor) else out

        def shift(x: Any) -> int:
            return 0 if x is None or isinstance(x, torch.Tensor) else int(x)

        moved = None if epilogue is None else epilogue.residual_offset
        pool_moved = None if pooling is None else pooling.offset
        launch = (
            partial(window.warmup, grid=grid) if triton_runtime.only_compiles() else window[grid]
        )
        launch(
            rows.x,
            factors.taps,
            factors.rest,
            given(offset),
            given(base),
            given(residual),
            given(moved),
            given(pool_moved),
            given(None if pooling is None else pooling.sign),
            given(None if pooling is None else pooling.reference),
            out,
            rows.first,
            rows.count,
            rows.total,
            rows.mutants,
            len(rows.x),
            width,
            len(out),
            self.channels // unit,
            self.features // unit,
            self.count,
            self.dilation,
            shift(offset),
            0 if residual is None else len(residual),
            shift(moved),
            1 if pooling is None else pooling.size,
            0 if pooling is None else pooling.stride,
            shift(pool_moved),
            STACKED=self.stacked,
            FORWARD=forward,
            FLAT=self.channels < FEW_CHANNELS,
            TURNED=factors.turned,
            OFFSET=isinstance(offset, torch.Tensor),
            BASE=base is not None,
            RELU=epilogue is not None and pooling is None,
            RESIDUAL=residual is not None,
            RESIDUAL_OFFSET=isinstance(moved, torch.Tensor),
            POOLED=pooling is not None,
            POOL_OFFSET=isinstance(pool_moved, torch.Tensor),
            POOL_SIGN=pooling is not None and pooling.sign is not None,
            PRECISION=factors.precision,
            UNIT=unit,
            ROWS=tile.rows,
            FEATURES=tile.features,
            TERMS=tile.terms,
            num_warps=tile.warps,
            num_stages=tile.stages,
        )

    def _fitting(self) -> Tile:
        """The tile, no wider than the window has channels."""
        tile = self._tile
        features = min(tile.features, power(self.features, 16))
        return Tile(tile.rows, features, tile.terms, tile.warps, tile.stages)

    def _prepared(
        self, x: _Tensor, width: int, base: _Tensor | None, epilogue: Epilogue | None
    ) -> tuple[_Tensor | None, Epilogue | None, _Tensor]:
        """What a launch reads, in the order that it reads it, and room for what it makes."""
        blocks, mutants = x.shape[1:3]

        def stretched(y: _Tensor | None, rows: int) -> _Tensor | None:
            return None if y is None else y.expand(len(y), blocks, rows, self.features).contiguous()

        base = stretched(base if epilogue is None else epilogue.reference, 1)
        made = width
        if epilogue is not None:
            pooling = epilogue.pooling
            residual = stretched(epilogue.residual, mutants)
            if pooling is not None:
                made = pooling.width
                reference = stretched(pooling.reference, 1)
                given = (pooling.size, pooling.stride, pooling.sign, pooling.offset, made)
                pooling = type(pooling)(*given, reference)
            epilogue = Epilogue(base, residual, epilogue.residual_offset, pooling)
        return base, epilogue, x.new_empty((made, blocks, mutants, self.features))

"""The kernels in Triton as entries of the list of kernels, one for each size of tiles.

Requirements: torch; triton where they are used, which is asked for by `usable` only. Single
precision; float64 runs on PyTorch's operators.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache, cached_property, partial
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from math import gcd, prod
from typing import Any, ClassVar

import numpy as np
import torch

from fastism.backends.epilogue import Epilogue
from fastism.backends.precision import products_in, torch_rounds_to_tf32
from fastism.backends.torch_kernels import Kernel, Problem

_Tensor = torch.Tensor
#: Whether programs that are launched are compiled and do not run.
_only_compiles: ContextVar[bool] = ContextVar("_only_compiles", default=False)

#: Bytes that products with all taps may take at a time.
MOST_BYTES = 64 << 20
#: Numbers that one program copies.
NUMBERS = 1024
#: Numbers that a thread reads at a time, if there are as many side by side.
VECTOR = 4
#: Of fewer channels in than this, terms of several taps are added up together.
FEW_CHANNELS = 32


@dataclass(frozen=True)
class Tile:
    """What one program makes, and how.

    Parameters
    ----------
    rows, features, terms : int
        Rows and channels of its part of the window, and terms of the sum that are read at a time;
        powers of two, for products 16 or more.
    warps, stages : int
        As Triton means them.
    """

    rows: int
    features: int
    terms: int
    warps: int = 4
    stages: int = 3

    def __str__(self) -> str:
        """As part of the name of a kernel."""
        return f"{self.rows}x{self.features}x{self.terms}"


#: Few, for each is compiled before it is measured. With more sums than 64 for each thread, 32 at a
#: time in a warp, registers do not hold what comes behind them as well.
TILES = (
    Tile(64, 128, 32),
    Tile(128, 128, 32, warps=8),
    Tile(128, 64, 32),
    Tile(64, 64, 32),
    Tile(128, 32, 32),
    Tile(128, 16, 16),
)
#: Sums of a program that adds up the parts of a product.
FOLDED = 2048
#: With fewer features than this, rows of products with all taps lie side by side.
FEW_FEATURES = 16
#: Features from which on a tile may be as small as this.
WIDE = 64
#: The interpreter takes as long for a small program as for a large one.
INTERPRETED_TILES = (Tile(64, 64, 32),)


@cache
def installed() -> bool:
    """Whether there is a Triton to import."""
    return find_spec("triton") is not None


def version() -> str:
    """Of Triton, whatever the package is called that brought it; "none" without one."""
    for name in ("triton", "pytorch-triton", "pytorch-triton-rocm"):
        with suppress(PackageNotFoundError):
            # Not by importing it: see `usable`.
            return metadata.version(name)
    return "unknown" if installed() else "none"


def interpreted() -> bool:
    """Whether programs run on a CPU, in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def usable(device: torch.device, dtype: str) -> bool:
    """Whether the kernels of this file can run.

    TensorFlow and Triton each bring a copy of LLVM. Where TensorFlow was imported before, importing
    Triton would end the process, so that PyTorch's own operators run there.
    """
    there = device.type == "cuda" or (device.type == "cpu" and interpreted())
    return there and dtype == "float32" and _loadable()


def _loadable() -> bool:
    return installed() and ("triton" in sys.modules or "tensorflow" not in sys.modules)


@contextmanager
def compiled_together() -> Iterator[None]:
    """A context in which programs are compiled, all at the same time, and none is run.

    A program takes seconds to compile, and a dozen of them are compared for a layer. Where Triton
    cannot compile several at a time they are compiled one by one, when they are run.
    """
    mode = None
    if _loadable() and not interpreted():
        import triton

        mode = getattr(triton, "AsyncCompileMode", None)
    if mode is None:
        yield
        return
    token = _only_compiles.set(True)
    try:
        # What does not compile is compiled again when it is run, and then the error is told.
        with ThreadPoolExecutor(os.cpu_count()) as pool, suppress(Exception), mode(pool):
            yield
    finally:
        _only_compiles.reset(token)


def tiles() -> tuple[Tile, ...]:
    """The tiles to choose from."""
    return INTERPRETED_TILES if interpreted() else TILES


def _power(number: int, least: int = 1) -> int:
    """The smallest power of two that is not below `number` and `least`."""
    return max(1 << (number - 1).bit_length(), least)


@dataclass(frozen=True)
class _Rows:
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
class _Factors:
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


class _Triton(Kernel):
    """What the kernels of this file share: one launch with whatever epilogue there is.

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
        return usable(torch.device(problem.device), problem.dtype)

    @classmethod
    def suits(cls, tile: Tile, problem: Problem) -> bool:
        """Whether tiles of this size are worth trying for a problem that it accepts."""
        needed = _power(problem.features, 16)
        return len(tiles()) == 1 or min(needed, WIDE) <= tile.features <= needed

    def takes(self, epilogue: Epilogue) -> bool:
        return True

    def _launch(
        self,
        rows: _Rows,
        factors: _Factors,
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
        launch = partial(window.warmup, grid=grid) if _only_compiles.get() else window[grid]
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
        features = min(tile.features, _power(self.features, 16))
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


class ImplicitProduct(_Triton):
    """Products with the taps in reach, added up in registers."""

    form = "Triton"
    stacked = False

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device, tile: Tile) -> None:
        super().__init__(taps, dilation, device, tile)
        self._taps = torch.tensor(np.ascontiguousarray(taps), device=device)

    @cached_property
    def _plain(self) -> _Factors:
        return _Factors(self._taps, self._taps)

    @cached_property
    def _rounded(self) -> _Factors:
        turned = _turned(self._taps)
        return _Factors(turned, turned, "tf32", turned=True)

    def _factors(self) -> _Factors:
        """Taps as the precision at the moment wants them."""
        return self._rounded if torch_rounds_to_tf32() else self._plain

    def run(
        self,
        x: _Tensor,
        offset: Any,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        base, epilogue, out = self._prepared(x, width, base, epilogue)
        count = x.shape[1] * x.shape[2]
        rows = _Rows(x.contiguous(), 0, count, count, x.shape[2])
        self._launch(rows, self._factors(), offset, width, base, epilogue, out)
        return out


def _turned(taps: _Tensor) -> _Tensor:
    """Taps with the terms of a feature side by side, (features, taps, channels)."""
    return taps.permute(2, 0, 1).contiguous()


def halves(x: _Tensor) -> tuple[_Tensor, _Tensor]:
    """A tensor as the sum of one in TF32, rounded to its ten bits (ties up), and of the rest."""
    pattern = x.contiguous().view(torch.int32)
    high = (pattern + (1 << 12)).bitwise_and_(-(1 << 13)).view(torch.float32)
    return high, x - high


class ImplicitHalves(ImplicitProduct):
    """As `ImplicitProduct`, with every factor in two TF32 halves.

    ``a * b`` is about ``a_hi * b_hi + a_hi * b_lo + a_lo * b_hi``: Ootomo and Yokota, 2022,
    arXiv:2203.03341. Triton's own way to do so (``tf32x3``) makes the halves of the taps anew in
    every program, with ten times the instructions of the products.
    """

    form = "Triton, TF32 halves"
    approximates = True

    @cached_property
    def _split(self) -> _Factors:
        return _Factors(*halves(_turned(self._taps)), "halves", turned=True)

    def _factors(self) -> _Factors:
        return self._split


class FoldedProduct(_Triton):
    """One product with all taps by PyTorch's library, and a launch that adds up its parts."""

    form = "product, Triton"
    stacked = True

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device, tile: Tile) -> None:
        super().__init__(taps, dilation, device, tile)
        stacked = np.ascontiguousarray(taps.transpose(1, 0, 2).reshape(self.channels, -1))
        self._stacked = torch.tensor(stacked, device=device)
        self._turned = self.features < FEW_FEATURES

    @classmethod
    def suits(cls, tile: Tile, problem: Problem) -> bool:
        return problem.count > 1

    def _fitting(self) -> Tile:
        features = min(_power(self.features), 64)
        return Tile(FOLDED // features, features, 16)

    def run(
        self,
        x: _Tensor,
        offset: Any,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        base, epilogue, out = self._prepared(x, width, base, epilogue)
        blocks, mutants = x.shape[1:3]
        factors = _Factors(self._stacked, self._stacked, turned=self._turned)
        for first, last in self._pieces(x):
            count = (last - first) * mutants
            part = x[:, first:last].reshape(len(x), count, self.channels)
            rows = _Rows(self._products(part), first * mutants, count, blocks * mutants, mutants)
            self._launch(rows, factors, offset, width, base, epilogue, out)
        return out

    def _products(self, part: _Tensor) -> _Tensor:
        """Products with all taps, side by side or, where these are turned, one behind the other."""
        return self._multiplied(part, self._stacked)

    def _multiplied(self, part: _Tensor, stacked: _Tensor) -> _Tensor:
        if self._turned:
            return torch.bmm(stacked.T.expand(len(part), -1, -1), part.transpose(1, 2))
        return (part.flatten(0, 1) @ stacked).view(len(part), -1)

    def _pieces(self, x: _Tensor) -> Iterator[tuple[int, int]]:
        """Runs of blocks whose products fit into the memory for them."""
        size, blocks, mutants = x.shape[:3]
        each = size * mutants * self.count * self.features * x.element_size()
        most = max(MOST_BYTES // each, 1)
        for first in range(0, blocks, most):
            yield first, min(first + most, blocks)


class FoldedHalves(FoldedProduct):
    """As `FoldedProduct`, with every factor in two TF32 halves, in one product in TF32.

    It has three times the terms: upper halves, and each with the lower half of the other.
    """

    form = "product of TF32 halves, Triton"
    approximates = True

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device, tile: Tile) -> None:
        super().__init__(taps, dilation, device, tile)
        high, low = halves(self._stacked)
        self._stacked_halves = torch.cat([low, high, high])

    def _products(self, part: _Tensor) -> _Tensor:
        high, low = halves(part)
        with products_in("torch", "tf32"):
            return self._multiplied(torch.cat([high, low, high], 2), self._stacked_halves)


@dataclass(frozen=True)
class Tiled:
    """A kernel with one size of tiles, as an entry of the list of kernels.

    Parameters
    ----------
    form : type
        `ImplicitProduct` or `FoldedProduct`.
    tile : Tile
    """

    form: type[_Triton]
    tile: Tile

    @property
    def name(self) -> str:
        """As `Kernel.name`."""
        return self.form.form if self.form.stacked else f"{self.form.form} {self.tile}"

    @property
    def approximates(self) -> bool:
        """As `Kernel.approximates`."""
        return self.form.approximates

    def accepts(self, problem: Problem) -> bool:
        """As `Kernel.accepts`."""
        return self.form.accepts(problem) and self.form.suits(self.tile, problem)

    def __call__(self, taps: np.ndarray, dilation: int, device: torch.device) -> Kernel:
        """The kernel."""
        return self.form(taps, dilation, device, self.tile)


def kernels() -> tuple[Tiled, ...]:
    """All kernels of this file; the first one is used before anything is measured."""
    plain = (Tiled(ImplicitProduct, tile) for tile in tiles())
    split = (Tiled(ImplicitHalves, tile) for tile in tiles())
    folded = (Tiled(form, tiles()[0]) for form in (FoldedProduct, FoldedHalves))
    return (*plain, *folded, *split)


class ChangedRows(_Triton):
    """A dense layer after Flatten on windows that begin anywhere, one program for any starts.

    Rows of neighbouring blocks begin at the same or neighbouring positions, so that a program
    reads the parts of the layer's kernel that its rows reach and no others.

    Parameters
    ----------
    kernel : tensor, shape (length, channels, features)
    tile : Tile
    """

    form = "changed rows, Triton"
    stacked = False

    def __init__(self, kernel: _Tensor, tile: Tile) -> None:
        self.count, self.channels, self.features = kernel.shape
        self.dilation, self._tile, self._kernel = 1, tile, kernel

    def run(
        self,
        x: _Tensor,
        offset: Any,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        count = x.shape[1] * x.shape[2]
        rows = _Rows(x.contiguous(), 0, count, count, x.shape[2])
        out = x.new_empty((1, *x.shape[1:3], self.features))
        # Turned it would be there twice: dense layers are the largest weights of most models.
        precision = "tf32" if torch_rounds_to_tf32() else "ieee"
        factors = _Factors(self._kernel, self._kernel, precision)
        self._launch(rows, factors, offset, 1, base, None, out, forward=True)
        return out

    def sums(self, windows: Sequence[_Tensor], starts: Sequence[_Tensor]) -> _Tensor:
        """``sum_p x[p] @ kernel[start + p]`` of all mutants, shape (mutants, features)."""
        made = [
            self.run(x, start, 1, None).view(-1, self.features)
            for x, start in zip(windows, starts, strict=True)
        ]
        return made[0] if len(made) == 1 else torch.cat(made)


def rebuilt(table: _Tensor, sequence: _Tensor, start: _Tensor, x: _Tensor, delta: bool) -> _Tensor:
    """See `Windows.rebuild`; indices are on the device."""
    from fastism.backends.triton_programs import rebuilt as program

    width, blocks, mutants, channels = x.shape
    length, rows = table.shape[1], blocks * mutants
    out = x.new_empty((rows, length, channels))
    grid = (rows, -(-prod(table.shape[1:]) // NUMBERS))
    given = (table.contiguous(), sequence, start, x.contiguous(), out)
    sizes = (rows, mutants, width, length, channels)
    program[grid](*given, *sizes, DELTA=delta, NUMBERS=NUMBERS)
    return out


def looked_up(table: _Tensor, sequence: _Tensor, start: _Tensor, width: int) -> _Tensor:
    """See `Windows.lookup`; indices are on the device."""
    from fastism.backends.triton_programs import looked_up as program

    _, length, channels = table.shape
    out = table.new_empty((width, len(sequence), 1, channels))
    grid = (len(sequence), -(-width * channels // NUMBERS))
    sizes = (len(sequence), width, length, channels)
    program[grid](table.contiguous(), sequence, start, out, *sizes, NUMBERS=NUMBERS)
    return out


def placed(x: _Tensor, offset: _Tensor, width: int, fill: float) -> _Tensor:
    """See `Windows.place`; offsets are on the device, one per block."""
    from fastism.backends.triton_programs import placed as program

    size, blocks, mutants, channels = x.shape
    out = x.new_empty((width, blocks, mutants, channels))
    each = mutants * channels
    grid = (blocks, width, -(-each // NUMBERS))
    sizes = (blocks, size, each, fill)
    program[grid](x.contiguous(), offset.contiguous(), out, *sizes, NUMBERS=NUMBERS)
    return out

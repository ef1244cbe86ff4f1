"""The kernels in Triton as entries of the list of kernels, one for each size of tiles.

Requirements: torch; triton where they are used, which is asked for by
`fastism.backends.triton_runtime.usable` only. Single precision; float64 runs on PyTorch's
operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from fastism.backends.epilogue import Epilogue
from fastism.backends.precision import products_in, torch_rounds_to_tf32
from fastism.backends.torch_kernels import Kernel, Problem
from fastism.backends.triton_launch import Factors, Rows, TritonKernel
from fastism.backends.triton_tiles import Tile, power, tiles

_Tensor = torch.Tensor

#: Bytes that products with all taps may take at a time.
MOST_BYTES = 64 << 20
#: Sums of a program that adds up the parts of a product.
FOLDED = 2048
#: With fewer features than this, rows of products with all taps lie side by side.
FEW_FEATURES = 16


class ImplicitProduct(TritonKernel):
    """Products with the taps in reach, added up in registers."""

    form = "Triton"
    stacked = False

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device, tile: Tile) -> None:
        super().__init__(taps, dilation, device, tile)
        self._taps = torch.tensor(np.array(taps, order="C"), device=device)

    @cached_property
    def _plain(self) -> Factors:
        return Factors(self._taps, self._taps)

    @cached_property
    def _rounded(self) -> Factors:
        turned = _turned(self._taps)
        return Factors(turned, turned, "tf32", turned=True)

    def _factors(self) -> Factors:
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
        rows = Rows(x.contiguous(), 0, count, count, x.shape[2])
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
    def _split(self) -> Factors:
        return Factors(*halves(_turned(self._taps)), "halves", turned=True)

    def _factors(self) -> Factors:
        return self._split


class FoldedProduct(TritonKernel):
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
        features = min(power(self.features), 64)
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
        factors = Factors(self._stacked, self._stacked, turned=self._turned)
        for first, last in self._pieces(x):
            count = (last - first) * mutants
            part = x[:, first:last].reshape(len(x), count, self.channels)
            rows = Rows(self._products(part), first * mutants, count, blocks * mutants, mutants)
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

    form: type[TritonKernel]
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


class ChangedRows(TritonKernel):
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
        rows = Rows(x.contiguous(), 0, count, count, x.shape[2])
        out = x.new_empty((1, *x.shape[1:3], self.features))
        # Turned it would be there twice: dense layers are the largest weights of most models.
        precision = "tf32" if torch_rounds_to_tf32() else "ieee"
        factors = Factors(self._kernel, self._kernel, precision)
        self._launch(rows, factors, offset, 1, base, None, out, forward=True)
        return out

    def sums(self, windows: Sequence[_Tensor], starts: Sequence[_Tensor]) -> _Tensor:
        """``sum_p x[p] @ kernel[start + p]`` of all mutants, shape (mutants, features)."""
        made = [
            self.run(x, start, 1, None).view(-1, self.features)
            for x, start in zip(windows, starts, strict=True)
        ]
        return made[0] if len(made) == 1 else torch.cat(made)

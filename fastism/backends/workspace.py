"""Large results in memory that is used again as soon as nothing refers to it.

Requirements: torch.

Memory that is allocated anew is cleared by the system, page by page: about a sixth of the time of
pairs on BPNet, whose windows take tens of megabytes each. An allocator gives such pieces back when
they are freed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import torch

_Tensor = torch.Tensor

#: Bytes from which on a result is kept here. Smaller ones an allocator keeps by itself.
LEAST = 1 << 20
#: Bytes of all pieces.
MOST = 1 << 28
#: Pieces are multiples of so many bytes, so that windows of nearly the same width share them.
STEP = 1 << 21


@dataclass(frozen=True)
class _Piece:
    """Memory, and how many refer to it while it is not in use."""

    numbers: _Tensor
    idle: int

    def fits(self, size: int) -> bool:
        """Whether it is free and as large as that, but not much larger."""
        large = size <= len(self.numbers) <= 2 * size + STEP
        return large and _references(self.numbers) == self.idle


class Workspace:
    """Pieces of memory of a processor, each for one result at a time.

    Without the private function of PyTorch that counts who refers to a piece, and for what is not
    on a processor, results are allocated as ever.
    """

    def __init__(self) -> None:
        self._pieces: list[_Piece] = []

    def empty(self, like: _Tensor, shape: Sequence[int]) -> _Tensor:
        """A tensor that holds anything, of the type and on the device of another one.

        Parameters
        ----------
        like : tensor
        shape : sequence of int
        """
        size, each = prod(shape), like.element_size()
        if size * each < LEAST or like.device.type != "cpu" or not _counts():
            return like.new_empty(tuple(shape))
        piece = self._free(like, size)
        return (like.new_empty(size) if piece is None else piece[:size]).view(tuple(shape))

    def clear(self) -> None:
        """Give all pieces back as soon as nothing refers to them."""
        self._pieces.clear()

    def _free(self, like: _Tensor, size: int) -> _Tensor | None:
        """A piece that nothing refers to, or a new one; None where there is no room for one."""
        for piece in self._pieces:
            if piece.numbers.dtype == like.dtype and piece.fits(size):
                return piece.numbers
        step = STEP // like.element_size()
        numbers = -(-size // step) * step
        taken = sum(piece.numbers.nbytes for piece in self._pieces)
        if taken + numbers * like.element_size() > MOST:
            return None
        made = like.new_empty(numbers)
        self._pieces.append(_Piece(made, _references(made)))
        return made


def _counts() -> bool:
    """Whether it can be known who refers to a piece of memory."""
    return hasattr(torch._C, "_storage_Use_Count")


def _references(x: _Tensor) -> int:
    """How many tensors and others share the memory of `x`, whatever part of it they show."""
    return torch._C._storage_Use_Count(x.untyped_storage()._cdata)

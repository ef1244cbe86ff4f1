"""A place for small results that outlive the large temporaries they were made beside.

Requirements: torch.
"""

from __future__ import annotations

from threading import Lock

import torch

_Tensor = torch.Tensor

#: Bytes of one allocation that results share. Above what glibc ever takes from its heap, so that
#: it comes from the system and goes back to it; memory that is not written to yet costs nothing.
SLAB = 33 << 20
#: Results begin at multiples of so many numbers.
ALIGNED = 16


class Shelf:
    """Copies of tensors, one behind the other in large pieces of memory.

    An allocator puts a small result into the gap that a temporary left. The next temporary of that
    size does not fit any more and is put elsewhere, so that memory grows with the number of
    chunks: for BPNet to ten times of what is in use. A piece is freed when nothing in it is used.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._slab: _Tensor | None = None
        self._used = 0

    def keep(self, x: _Tensor) -> _Tensor:
        """A copy of `x` in the order of its axes; `x` itself can go."""
        slab, first = self._room(x)
        kept = slab[first : first + x.numel()].view(x.shape)
        return kept.copy_(x)

    def _room(self, x: _Tensor) -> tuple[_Tensor, int]:
        """Where the copy of `x` goes: a piece of memory, and the first number in it."""
        size = -(-x.numel() // ALIGNED) * ALIGNED
        most = SLAB // x.element_size()
        if size > most:
            return x.new_empty(size), 0
        with self._lock:
            slab = self._slab
            if slab is None or slab.dtype != x.dtype or self._used + size > len(slab):
                slab, self._used = x.new_empty(most), 0
                self._slab = slab
            first = self._used
            self._used += size
        return slab, first

"""A backend in plain numpy: slow, obvious, and hostile where the protocol allows it.

It runs graphs in float64 without a framework, so that the engine, the layouts and the rewrites are
tested in milliseconds. It counts the multiply-adds it does, hands out views of windows wherever
it can, and destroys every array that the engine says may be overwritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from plain_numpy import PlainNumpy


class NumpyBackend(PlainNumpy):
    """See `fastism.backends.base.Backend`.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    uniform : bool
        Ask for windows of equal widths, as a compiler with static shapes does.
    chunk_bytes : int
        Working set of a chunk; a few hundred bytes make many chunks of a small graph.
    """

    def __init__(
        self, dtype: str = "float64", uniform: bool = False, chunk_bytes: int = 1 << 14
    ) -> None:
        super().__init__(dtype, uniform)
        self._chunk_bytes = chunk_bytes

    @property
    def chunk_bytes(self) -> int:
        return self._chunk_bytes

    @staticmethod
    def _destroy(x: np.ndarray, reuse: bool) -> None:
        if reuse:
            x[...] = np.nan

    def function(
        self, name: str, x: np.ndarray, reuse: bool = False, **parameters: Any
    ) -> np.ndarray:
        y = super().function(name, x, reuse, **parameters)
        self._destroy(x, reuse)
        return y

    def place(self, x: np.ndarray, offset: Any, width: Any, fill: float = 0.0) -> np.ndarray:
        if offset is None:
            assert len(x) == width, "no offset was given although one is needed"
            return x
        if not np.ndim(offset) and offset <= 0 and len(x) + offset >= width:
            return x[-offset : width - offset]
        return super().place(x, offset, width, fill)

    def pool_window(
        self, x: np.ndarray, size: int, stride: int, width: Any, mode: str
    ) -> np.ndarray:
        assert len(x) >= (width - 1) * stride + size, "the pool was given too little"
        return super().pool_window(x, size, stride, width, mode)

    def add_windows(
        self,
        xs: Sequence[np.ndarray | None],
        weights: Sequence[float],
        offsets: Sequence[Any],
        width: Any,
        base: np.ndarray | None,
        reuse: Sequence[bool],
    ) -> np.ndarray:
        # A copy, for one term alone may be a view of what is destroyed.
        out = np.array(super().add_windows(xs, weights, offsets, width, base, reuse))
        for x, last in zip(xs, reuse, strict=True):
            self._destroy(x, last)
        return out

    def add_reference(self, x: np.ndarray, reference: np.ndarray, reuse: bool) -> np.ndarray:
        y = super().add_reference(x, reference, reuse)
        self._destroy(x, reuse)
        return y

    def rectify(self, x: np.ndarray, reference: np.ndarray, reuse: bool) -> np.ndarray:
        y = super().rectify(x, reference, reuse)
        self._destroy(x, reuse)
        return y

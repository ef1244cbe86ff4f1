"""What follows a convolution in the same pass over its window, as data.

Requirements: none. `fastism.planning.fuse` decides what is joined; a kernel says which epilogues
it takes, and for the others `Backend.composed` runs the same operations one by one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Array = Any


@dataclass(frozen=True)
class Pooling:
    """A max pool between a convolution and its ReLU, on windows.

    Parameters
    ----------
    size, stride : int
    sign : array of 1 and -1 or None, shape (channels,)
        Factors of the maximum; where -1, the convolution's channel is negated already.
    offset
        Where the window of the convolution begins in what is pooled, as `offset` of `place`.
    width : int
        Width of the pooled window.
    reference : array, shape (width, blocks, 1, channels)
        What the pool gives for the reference.
    """

    size: int
    stride: int
    sign: Array | None
    offset: Any
    width: Any
    reference: Array

    @property
    def read(self) -> Any:
        """How many positions are pooled."""
        return (self.width - 1) * self.stride + self.size


@dataclass(frozen=True)
class Epilogue:
    """A ReLU behind a convolution, perhaps with a max pool before it or a residual after it.

    With `z` the reference and `d` the delta of the convolution, the result is
    ``relu(z + d) - relu(z)``, plus the residual. With a pool `p` it is
    ``relu(p(z + d)) - relu(p(z))``.

    Parameters
    ----------
    reference : array, shape (width, blocks, 1, channels)
        What the convolution gives for the reference, in its own window.
    residual : array or None, shape (size, blocks, mutants, channels)
        A delta to add behind the ReLU. Not together with `pooling`.
    residual_offset
        Where the residual begins in the window, as `offset` of `place`.
    pooling : Pooling or None
    """

    reference: Array
    residual: Array | None = None
    residual_offset: Any = None
    pooling: Pooling | None = None

    @property
    def what(self) -> str:
        """Its last operation before the result, for kernels that differ in what they take."""
        if self.pooling is not None:
            return "pool"
        return "ReLU" if self.residual is None else "residual"


@dataclass(frozen=True)
class JointEpilogue:
    """A ReLU behind the convolution of what two edits do to each other, perhaps with a residual.

    With `z` the reference, `a` and `b` the deltas of the edits alone and `e` what they add beyond
    that, the result is ``relu(z + a + b + e) - relu(z + a) - relu(z + b) + relu(z)``, plus the
    residual.

    Parameters
    ----------
    reference : array, shape (width, 1, 1, channels)
        What the convolution gives for the reference, in its own window.
    first : array, shape (width, first edits, 1, channels)
    second : array, shape (width, 1, second edits, channels)
    residual : array or None, shape (size, first edits, second edits, channels)
        To add behind the ReLU.
    residual_offset : int
        Where the residual begins in the window.
    total : bool
        Whether only the total over all positions is wanted, a window of one position.
    """

    reference: Array
    first: Array
    second: Array
    residual: Array | None = None
    residual_offset: int = 0
    total: bool = False

    @property
    def what(self) -> str:
        """As for `Epilogue`."""
        return "joint total" if self.total else "joint"

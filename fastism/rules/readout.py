"""Dense layers on feature vectors, and the dense layer that reads a flattened sequence.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.intervals import Interval
from fastism.rules.base import Array, Kind, ReadsOut, Rule, Shape, require_sequence

if TYPE_CHECKING:
    from fastism.backends.base import Backend


@dataclass(frozen=True, eq=False)
class Dense(Rule):
    """``x @ kernel + bias`` on feature vectors.

    Parameters
    ----------
    kernel : ndarray, shape (features in, features out)
    bias : ndarray or None, shape (features out,)
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None

    local: ClassVar[bool] = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if shapes[0][-1] != self.kernel.shape[0]:
            raise FastISMError(
                f"A dense layer over {self.kernel.shape[0]} features got shape {shapes[0]}."
            )
        return (*shapes[0][:-1], self.kernel.shape[1])

    def prepare(self, b: Backend) -> tuple[Array, Array | None]:
        return b.prepare_matrix(self.kernel), None if self.bias is None else b.constant(self.bias)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        kernel, bias = weights
        y = b.matmul(inputs[0], kernel)
        return y if bias is None else y + bias

    @property
    def kernel_shape(self) -> Shape:
        return self.kernel.shape

    def full_macs(self, shapes: Sequence[Shape], shape: Shape) -> int:
        return int(np.prod(shapes[0][:-1], dtype=np.int64)) * self.kernel.size


@dataclass(frozen=True, eq=False)
class FlattenDense(Rule):
    """A dense layer after Flatten: a delta reads only the rows of the positions it changed.

    Parameters
    ----------
    kernel : ndarray, shape (length, channels, features out)
    bias : ndarray or None, shape (features out,)
    """

    kernel: np.ndarray
    bias: np.ndarray | None = None

    consumes: ClassVar[Kind] = Kind.DELTA
    reads_out: ClassVar[ReadsOut] = ReadsOut.ROWS

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if require_sequence("A dense layer after Flatten", shapes[0]) != self.kernel.shape[:2]:
            raise FastISMError(
                f"A dense layer over {self.kernel.shape[:2]} flattened got shape {shapes[0]}."
            )
        return (self.kernel.shape[2],)

    def prepare(self, b: Backend) -> tuple[Array, Array | None]:
        return b.prepare_rows(self.kernel), None if self.bias is None else b.constant(self.bias)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        kernel, bias = weights
        y = b.add_rows(b.transpose(inputs[0], (1, 0, 2)), kernel, 0)
        return y if bias is None else y + bias

    @property
    def kernel_shape(self) -> Shape:
        return self.kernel.shape

    def waiting(self, width: int, channels: int) -> int:
        """The window, and its copy in the order in which rows are read."""
        return 2 * width * channels

    def read_rows(
        self,
        b: Backend,
        weights: Any,
        windows: Sequence[Array],
        starts: Sequence[np.ndarray],
        table: Array,
        sequences: Sequence[np.ndarray],
    ) -> Array:
        return b.flatten_dense(windows, starts, weights[0], table, sequences)

    def full_macs(self, shapes: Sequence[Shape], shape: Shape) -> int:
        return self.kernel.size

    def window_macs(self, inputs: Sequence[Interval | None], out: Interval) -> np.ndarray:
        return inputs[0].width * (self.kernel.shape[1] * self.kernel.shape[2])

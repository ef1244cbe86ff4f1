"""The primitives a framework must offer to run a plan, and what follows from them.

Requirements: numpy only. Window layout and terms: see `fastism.rules.base`. Offsets, widths and
starts reach the primitives as the backend's `Geometry` gives them: Python integers for eager
execution, traced scalars for graphs with dynamic shapes, or (offsets only) one number per block
where shapes must be static.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

from fastism.backends.epilogue import Epilogue, JointEpilogue

Array = Any


@dataclass(frozen=True)
class Geometry:
    """Where the windows of one chunk of blocks lie.

    Parameters
    ----------
    sequence : array of int, shape (blocks,)
        Which reference sequence each block belongs to.
    starts : array of int, shape (windows, blocks)
        Start of every window.
    widths : sequence of int, length windows
        Width of every window, common to the blocks.
    offsets : sequence
        For every placement of the plan: an integer, or shape (blocks,) where blocks differ.
    """

    sequence: Any
    starts: Any
    widths: Sequence[Any]
    offsets: Sequence[Any]


class Backend(ABC):
    """Array primitives of one framework.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Floating-point type of all arrays.

    Attributes
    ----------
    name : str
        ``"tensorflow"``, ``"torch"`` or ``"jax"``.
    uniform : bool
        Whether every chunk must have the same shapes (a compiler that needs static shapes).
        Windows at the ends of a sequence are then moved inside instead of being cut, and
        `Geometry.offsets` holds one number per block.
    """

    name: ClassVar[str]
    uniform: ClassVar[bool] = False

    def __init__(self, dtype: str) -> None:
        self.dtype = dtype

    # ---- transfer and compilation -------------------------------------------------------

    @abstractmethod
    def asarray(self, x: np.ndarray) -> Array:
        """Copy floating-point or integer numbers to the device; floats become `dtype`."""

    @abstractmethod
    def to_numpy(self, x: Array) -> np.ndarray:
        """Copy an array to the host."""

    def constant(self, x: np.ndarray) -> Array:
        """A weight on the device, in `dtype`."""
        return self.asarray(np.ascontiguousarray(x, dtype=self.dtype))

    def prepare_kernel(self, kernel: np.ndarray) -> Array:
        """A convolution kernel ``(taps, in / groups, out)`` in the form that `conv1d` wants."""
        return self.constant(kernel)

    def prepare_matrix(self, matrix: np.ndarray) -> Array:
        """A matrix ``(in, out)`` in the form that `matmul` wants on its right."""
        return self.constant(matrix)

    def prepare_rows(self, kernel: np.ndarray) -> Any:
        """A kernel ``(length, channels, out)`` in the form that `add_rows` wants."""
        return self.constant(kernel)

    def prepare_taps(self, taps: np.ndarray) -> Array:
        """Kernel taps in output order ``(taps, in, out)`` in the form that `overlap_add` wants."""
        return self.constant(taps)

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile a function of lists of arrays (eager frameworks return it as it is).

        From call to call, the first axes of the arrays may have other lengths.
        """
        return function

    def compile_chunk(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Compile ``function(tables, geometry, delta)``; no retracing from chunk to chunk."""
        return function

    def expect(self, seconds: float) -> None:  # noqa: B027 - most have nothing to measure
        """Hear that a call of about so many seconds begins: a part may go into measuring."""

    def kernels_of(self, weights: Any) -> tuple[str, ...]:
        """Names of the kernels that were chosen for what `Rule.prepare` gave, so far."""
        return ()

    def available_memory(self) -> int | None:
        """Free bytes of an accelerator's own memory; None on a CPU."""
        return None

    @property
    def chunk_bytes(self) -> int:
        """Working set of one chunk: on a CPU what a last-level cache holds, give or take.

        Measured: 4 to 64 MiB differ by a tenth for Basset and DeepSEA on two cores.
        """
        free = self.available_memory()
        return 16 << 20 if free is None else free // 16

    @property
    def accelerated(self) -> bool:
        """Whether arrays live in a device's own memory, and the host need not wait for it."""
        return self.available_memory() is not None

    def upload(self, arrays: Sequence[np.ndarray]) -> list[Array]:
        """Copy several floating-point arrays to the device in one transfer."""
        flat = self.asarray(np.concatenate([x.reshape(-1) for x in arrays]))
        ends = np.cumsum([x.size for x in arrays]).tolist()
        return [
            self.reshape(flat[end - x.size : end], x.shape)
            for x, end in zip(arrays, ends, strict=True)
        ]

    def start_copy(self, x: Array) -> Callable[[], np.ndarray]:
        """Begin to copy an array to the host; what is returned waits for the copy and gives it."""
        return partial(self.to_numpy, x)

    # ---- full tensors -------------------------------------------------------------------

    @abstractmethod
    def conv1d(
        self,
        x: Array,
        kernel: Array,
        stride: int,
        dilation: int,
        groups: int,
        pad: tuple[int, int],
    ) -> Array:
        """Convolution of ``(batch, length, in)`` with zero padding, channels last."""

    @abstractmethod
    def max_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        """Maximum over neighbours of ``(batch, length, channels)``; padding never wins."""

    @abstractmethod
    def sum_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        """Sum over neighbours of ``(batch, length, channels)``, zero padded."""

    @abstractmethod
    def function(self, name: str, x: Array, reuse: bool = False, **parameters: Any) -> Array:
        """A function of `fastism.rules.pointwise` on an array with channels last.

        `reuse` allows the result to take the memory of `x`.
        """

    @abstractmethod
    def layer_norm(self, x: Array, epsilon: float, centre: bool) -> Array:
        """Normalise over the last axis; without `centre` by the root mean square."""

    @abstractmethod
    def matmul(self, x: Array, y: Array) -> Array:
        """Matrix product over the last axis of `x` and the first of the matrix `y`."""

    @abstractmethod
    def maximum(self, x: Array, y: Array) -> Array:
        """Element-wise maximum with broadcasting."""

    @abstractmethod
    def minimum(self, x: Array, y: Array) -> Array:
        """Element-wise minimum with broadcasting."""

    @abstractmethod
    def max(self, x: Array, axis: int) -> Array:
        """Maximum along one axis."""

    @abstractmethod
    def sum(self, x: Array, axis: int) -> Array:
        """Sum along one axis."""

    @abstractmethod
    def running_max(self, x: Array, axis: int) -> Array:
        """Maximum of everything up to each position."""

    @abstractmethod
    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        """Another shape; at most one -1."""

    @abstractmethod
    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        """Permute the axes."""

    @abstractmethod
    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        """Join along an axis."""

    @abstractmethod
    def flip(self, x: Array, axis: int) -> Array:
        """Reverse an axis."""

    @abstractmethod
    def repeat(self, x: Array, times: int, axis: int) -> Array:
        """Repeat every element along an axis."""

    @abstractmethod
    def pad(self, x: Array, left: int, right: int, value: float = 0.0) -> Array:
        """Pad axis 1 of ``(batch, length, channels)`` with `value`."""

    @abstractmethod
    def broadcast(self, x: Array, shape: Sequence[int]) -> Array:
        """Stretch axes of size one to `shape`."""

    @abstractmethod
    def take(self, x: Array, index: Any, axis: int) -> Array:
        """Select along an axis by a vector of indices (host or device)."""

    def rows(self, table: Array, index: np.ndarray) -> Array:
        """Rows of ``(length, channels)`` by an array of indices, shape (*index.shape, channels)."""
        chosen = self.take(table, index.reshape(-1), 0)
        return self.reshape(chosen, (*index.shape, table.shape[1]))

    def contiguous(self, x: Array) -> Array:
        """`x` itself or a copy whose memory is in the order of its axes."""
        return x

    def insert_zeros(self, x: Array, factor: int, axis: int) -> Array:
        """Every element along `axis` followed by ``factor - 1`` zeros."""
        mask = np.zeros(factor)
        mask[0] = 1
        shape = [1] * (len(x.shape) + 1)
        shape[axis + 1] = factor
        spread = self.reshape(self.repeat(x, factor, axis), self._split(x, axis, factor))
        return self.reshape(
            spread * self.constant(mask.reshape(shape)), self._merged(x, axis, factor)
        )

    def _split(self, x: Array, axis: int, factor: int) -> list[int]:
        shape = list(self.shape(x))
        return [*shape[: axis + 1], factor, *shape[axis + 1 :]]

    def _merged(self, x: Array, axis: int, factor: int) -> list[int]:
        shape = list(self.shape(x))
        return [*shape[:axis], shape[axis] * factor, *shape[axis + 1 :]]

    def shape(self, x: Array) -> Sequence[int]:
        """Shape of `x`; entries may be traced scalars."""
        return x.shape

    # ---- windows ------------------------------------------------------------------------

    @abstractmethod
    def lookup(self, table: Array, sequence: Any, start: Any, width: Any) -> Array:
        """Reference windows ``(width, blocks, 1, channels)``.

        Parameters
        ----------
        table : array, shape (sequences, length, channels)
        sequence, start : array of int, shape (blocks,)
        width : int
        """

    @abstractmethod
    def place(self, x: Array, offset: Any, width: Any, fill: float = 0.0) -> Array:
        """Window of `width` positions with `x` starting at position `offset` of it.

        What lies outside is cut off and what is missing becomes `fill`. `offset` is an integer,
        one per block, or None for "nothing to do".
        """

    @abstractmethod
    def add_taps(
        self,
        x: Array,
        taps: Array,
        dilation: int,
        offset: Any,
        width: Any,
        base: Array | None,
    ) -> Array:
        """``out[p + j * dilation + offset] += x[p] @ taps[j]`` for all p, j inside `width`.

        The sum starts at `base` ``(width, blocks, 1, channels)``, or at zero. Rules call
        `overlap_add`, which is this and what follows it.
        """

    def overlap_add(
        self,
        x: Array,
        taps: Array,
        dilation: int,
        offset: Any,
        width: Any,
        base: Array | None = None,
        epilogue: Epilogue | None = None,
    ) -> Array:
        """The window after a convolution, and after what follows it in the same pass.

        Parameters
        ----------
        x : array, shape (size, blocks, mutants, channels in)
        taps
            What `prepare_taps` gave.
        dilation, width : int
        offset
            As for `place`; where input ``p`` adds to with the first tap is ``p + offset``.
        base : array or None, shape (width, blocks, 1, channels out)
            What the sums start from; None for zero. Not together with an epilogue.
        epilogue : Epilogue, optional
        """
        given = (x, taps, dilation, offset, width)
        if epilogue is None:
            return self.add_taps(*given, base)
        return self.composed(partial(self.add_taps, *given), width, epilogue)

    def composed(self, add_taps: Callable[[Array], Array], width: Any, epilogue: Epilogue) -> Array:
        """A convolution and its epilogue as one operation after another.

        Parameters
        ----------
        add_taps : callable
            ``add_taps(base)`` gives the window after the convolution, which starts from `base`.
        width : int
            Width of that window.
        epilogue : Epilogue
        """
        reference, pooling = epilogue.reference, epilogue.pooling
        if pooling is not None:
            x = self.place(add_taps(reference), pooling.offset, pooling.read, -np.inf)
            y = self.pool_window(x, pooling.size, pooling.stride, pooling.width, "max")
            y = y if pooling.sign is None else y * pooling.sign
            y = self.function("relu", y, reuse=pooling.size > 1)
            return self.add_reference(y, -self.function("relu", pooling.reference), reuse=True)
        # relu(z + d) - relu(z) = max(d + min(z, 0), -relu(z))
        x = add_taps(self.function("negative_part", reference))
        made = self.rectify(x, self.function("relu", reference), reuse=True)
        if epilogue.residual is None:
            return made
        both, offsets = [made, epilogue.residual], [None, epilogue.residual_offset]
        return self.add_windows(both, [1.0, 1.0], offsets, width, None, [True, False])

    def joint_overlap_add(
        self,
        x: Array | None,
        taps: Array,
        dilation: int,
        offset: int,
        width: int,
        epilogue: JointEpilogue,
    ) -> Array:
        """What two edits do to each other behind a convolution and its ReLU.

        Parameters
        ----------
        x : array or None, shape (size, first edits, second edits, channels in)
            What they do to each other before it; None for nothing.
        taps, dilation, offset, width
            As for `overlap_add`.
        epilogue : JointEpilogue

        Returns
        -------
        array, shape (width, first edits, second edits, channels out)
        """
        values = (epilogue.reference + epilogue.first) + epilogue.second
        if x is not None:
            values = values + self.add_taps(x, taps, dilation, offset, width, None)
        alone = [epilogue.reference + delta for delta in (epilogue.first, epilogue.second)]
        first, second = (self.function("relu", y) for y in alone)
        second = second - self.function("relu", epilogue.reference)
        made = (self.function("relu", values) - first) - second
        if epilogue.residual is None:
            return made
        return made + self.place(epilogue.residual, epilogue.residual_offset, width)

    @abstractmethod
    def conv_window(
        self, x: Array, kernel: Array, stride: int, dilation: int, groups: int
    ) -> Array:
        """Unpadded convolution along axis 0 of a window."""

    @abstractmethod
    def pool_window(self, x: Array, size: int, stride: int, width: Any, mode: str) -> Array:
        """``max`` or ``sum`` over `size` neighbours along axis 0; `width` results."""

    @abstractmethod
    def add_windows(
        self,
        xs: Sequence[Array | None],
        weights: Sequence[float],
        offsets: Sequence[Any],
        width: Any,
        base: Array | None,
        reuse: Sequence[bool],
    ) -> Array:
        """``base + sum_i weights[i] * place(xs[i])``; absent terms are zero."""

    @abstractmethod
    def add_reference(self, x: Array, reference: Array, reuse: bool) -> Array:
        """Window `x` plus ``(width, blocks, 1, channels)``; may overwrite `x` if `reuse`."""

    @abstractmethod
    def rectify(self, x: Array, reference: Array, reuse: bool) -> Array:
        """``max(x, -reference)`` with `reference` ``(width, blocks, 1, channels)``."""

    @abstractmethod
    def join_channels(self, xs: Sequence[Array | None], channels: Sequence[int]) -> Array:
        """Windows side by side; an absent one is zeros with that many channels."""

    @abstractmethod
    def rebuild(self, table: Array, sequence: Any, start: Any, x: Array, delta: bool) -> Array:
        """Full tensors ``(blocks * mutants, length, channels)`` of a chunk's mutants.

        Parameters
        ----------
        table : array, shape (sequences, length, channels)
            The reference.
        sequence, start : array of int, shape (blocks,)
        x : array
            The window: added if `delta`, else written over the reference.
        """

    def flatten_dense(
        self,
        windows: Sequence[Array],
        starts: Sequence[np.ndarray],
        kernel: Array,
        reference: Array,
        sequences: Sequence[np.ndarray],
    ) -> Array:
        """A dense layer after Flatten of all mutants, from the positions that they changed.

        Parameters
        ----------
        windows : sequence of array
            One delta window per chunk.
        starts : sequence of ndarray of int, each shape (blocks,)
            Host copy of the windows' starts.
        kernel
            What `prepare_rows` gave.
        reference : array, shape (sequences, features)
            What the layer gives for the sequences themselves.
        sequences : sequence of ndarray of int, each shape (blocks,)
            Which of them the blocks of each chunk belong to.

        Returns
        -------
        array, shape (mutants of all chunks, features)
        """
        delta = self._changed_rows(windows, starts, kernel)
        return delta + self.take(reference, np.concatenate(per_mutant(windows, sequences)), 0)

    def _changed_rows(
        self, windows: Sequence[Array], starts: Sequence[np.ndarray], kernel: Array
    ) -> Array:
        """Deltas times the rows of `kernel` at the positions they changed, as `flatten_dense`.

        Mutants whose window starts at the same position are multiplied together.
        """
        results, order = [], []
        rows = per_mutant(windows, starts)
        first = np.cumsum([0, *(len(r) for r in rows)])
        for width in sorted({int(w.shape[0]) for w in windows}):
            chosen = [i for i, w in enumerate(windows) if int(w.shape[0]) == width]
            row_start = np.concatenate([rows[i] for i in chosen])
            row_index = np.concatenate([np.arange(first[i], first[i + 1]) for i in chosen])
            sort = np.argsort(row_start, kind="stable")
            x = self._sorted_rows([windows[i] for i in chosen], sort)
            values, begin = np.unique(row_start[sort], return_index=True)
            for start, a, z in zip(values, begin, [*begin[1:], len(sort)], strict=True):
                results.append(self.add_rows(x[:, int(a) : int(z)], kernel, int(start)))
            order.append(row_index[sort])
        inverse = np.argsort(np.concatenate(order), kind="stable")
        return self.take(self.concatenate(results, 0), inverse, 0)

    def _sorted_rows(self, windows: Sequence[Array], order: np.ndarray) -> Array:
        """Windows of equal width as ``(width, mutants, channels)``, mutants in `order`."""
        width, channels = windows[0].shape[0], windows[0].shape[3]
        flat = self.concatenate([self.reshape(w, (width, -1, channels)) for w in windows], 1)
        return self.take(flat, order, 1)

    def add_rows(self, x: Array, kernel: Any, start: int) -> Array:
        """``sum_p x[p] @ kernel[start + p]`` for a window ``(width, rows, channels)``."""
        width, _, channels = x.shape
        part = self.reshape(kernel[start : start + width], (width * channels, -1))
        flat = self.reshape(self.transpose(x, (1, 0, 2)), (-1, width * channels))
        return self.matmul(flat, part)


def per_mutant(windows: Sequence[Array], of_blocks: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Numbers of the blocks of each window, once for each of a block's mutants."""
    return [np.repeat(of, x.shape[2]) for x, of in zip(windows, of_blocks, strict=True)]

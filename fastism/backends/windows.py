"""The third of three protocols that a framework offers: operations on windows of mutants.

Requirements: numpy only. Window layout and terms: see `fastism.rules.base`. Offsets, widths and
starts reach the operations as the backend's `Geometry` gives them: Python integers for eager
execution, traced scalars for graphs with dynamic shapes, or (offsets only) one number per block
where shapes must be static.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from functools import partial, reduce
from typing import Any

import numpy as np

from fastism.backends.arrays import Arrays
from fastism.backends.epilogue import Epilogue, JointEpilogue
from fastism.backends.transfer import Array


class Windows(Arrays):
    """Operations on windows ``(width, blocks, mutants of a block, channels)``."""

    def prepare_taps(self, taps: np.ndarray) -> Array:
        """Kernel taps in output order ``(taps, in, out)`` in the form that `overlap_add` wants."""
        return self.constant(taps)

    def prepare_rows(self, kernel: np.ndarray) -> Any:
        """A kernel ``(length, channels, out)`` in the form that `add_rows` wants."""
        return self.constant(kernel)

    def edit_windows(self, kinds: Array, edits: Array, width: int) -> Array:
        """Deltas of the perturbed input, ``(width, blocks, mutants of a block, channels)``.

        Parameters
        ----------
        kinds : array, shape (kinds, 1 + changed positions + 1, channels)
            What the edits of each kind add, between two rows of zeros.
        edits : array of int, shape (2, blocks, mutants of a block)
            Position of the window where each edit begins, and the number of its kind.
        width : int
        """
        size, channels = kinds.shape[1:]
        step = self.xp.arange(width)[:, None, None] - edits[0] + 1
        row = edits[1] * size + self.xp.clip(step, 0, size - 1)
        made = self.take(self.reshape(kinds, (-1, channels)), self.reshape(row, (-1,)), 0)
        return self.reshape(made, (*row.shape, channels))

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
            Of one position where the epilogue wants the total.
        """
        added = None if x is None else self.add_taps(x, taps, dilation, offset, width, None)
        return self._joined(added, width, epilogue)

    def _joined(self, added: Array | None, width: int, epilogue: JointEpilogue) -> Array:
        """The epilogue of `joint_overlap_add`, as one operation after another.

        Parameters
        ----------
        added : array or None, shape (width, first edits, second edits, channels out)
            What the convolution gives; None for nothing.
        width : int
        epilogue : JointEpilogue
        """
        values = (epilogue.reference + epilogue.first) + epilogue.second
        values = values if added is None else values + added
        alone = [epilogue.reference + delta for delta in (epilogue.first, epilogue.second)]
        first, second = (self.function("relu", y) for y in alone)
        second = second - self.function("relu", epilogue.reference)
        made = (self.function("relu", values) - first) - second
        if epilogue.residual is not None:
            made = made + self.place(epilogue.residual, epilogue.residual_offset, width)
        return self.sum(made, 0)[None] if epilogue.total else made

    def conv_window(
        self, x: Array, kernel: Array, stride: int, dilation: int, groups: int
    ) -> Array:
        """Unpadded convolution along axis 0 of a window."""
        size, blocks, mutants, channels = self.shape(x)
        rows = self.reshape(self.transpose(x, (1, 2, 0, 3)), (-1, size, channels))
        y = self.conv1d(rows, kernel, stride, dilation, groups, (0, 0))
        split = self.reshape(y, (blocks, mutants, -1, y.shape[2]))
        return self.transpose(split, (2, 0, 1, 3))

    def pool_window(self, x: Array, size: int, stride: int, width: Any, mode: str) -> Array:
        """``max`` or ``sum`` over `size` neighbours along axis 0; `width` results."""
        last = (width - 1) * stride + 1
        combine = self.maximum if mode == "max" else lambda a, b: a + b
        return reduce(combine, [x[i : i + last : stride] for i in range(size)])

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
        terms = [] if base is None else [base]
        for x, weight, offset in zip(xs, weights, offsets, strict=True):
            if x is not None:
                terms.append(self.place(x if weight == 1 else x * weight, offset, width))
        return reduce(lambda a, b: a + b, terms)

    def add_reference(self, x: Array, reference: Array, reuse: bool) -> Array:
        """Window `x` plus ``(width, blocks, 1, channels)``; may overwrite `x` if `reuse`."""
        return x + reference

    def rectify(self, x: Array, reference: Array, reuse: bool) -> Array:
        """``max(x, -reference)`` with `reference` ``(width, blocks, 1, channels)``."""
        return self.maximum(x, -reference)

    def join_channels(self, xs: Sequence[Array | None], channels: Sequence[int]) -> Array:
        """Windows side by side; an absent one is zeros with that many channels."""
        like = next(x for x in xs if x is not None)
        mutants = max(x.shape[2] for x in xs if x is not None)
        filled = []
        for x, count in zip(xs, channels, strict=True):
            given = self.constant(np.zeros((1, 1, 1, count))) if x is None else x
            filled.append(self.broadcast(given, (*like.shape[:2], mutants, count)))
        return self.concatenate(filled, 3)

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

"""PyTorch, third part and the whole: operations on windows. Eager, sums accumulated in place.

Requirements: torch. Shapes may differ from chunk to chunk, so windows are cut at the ends of the
sequence and every offset is a Python integer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from fastism.backends.base import Array, Backend
from fastism.backends.choices import Choices
from fastism.backends.epilogue import Epilogue, JointEpilogue, Pooling
from fastism.backends.precision import torch_rounds_to_tf32
from fastism.backends.torch_arrays import TorchArrays
from fastism.backends.torch_kernels import (
    JOINING,
    KERNELS,
    MOST_MACS,
    Kernel,
    Problem,
    class_of,
    sample,
)
from fastism.backends.torch_products import Matrix, PositionMatrices
from fastism.backends.torch_taps import Taps

#: Multiply-adds of a sample on an accelerator.
MACS_ON_ACCELERATOR = 1 << 34


class TorchBackend(TorchArrays, Backend):
    """See `Backend`.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    device : str or torch.device, optional
        Where arrays live; by default a GPU where there is one.
    kernels : sequence of type of Kernel
        The ways to run a convolution over windows.
    choices : Choices, optional
        Which of them was the fastest; by default what was measured in this process.
    """

    def __init__(
        self,
        dtype: str,
        device: str | torch.device | None = None,
        kernels: Sequence[type[Kernel]] = KERNELS,
        choices: Choices | None = None,
    ) -> None:
        super().__init__(dtype, device, choices)
        self._kernels = kernels

    def prepare_rows(self, kernel: np.ndarray) -> Array | PositionMatrices:
        if self.accelerated:
            return self.constant(kernel)
        given = np.asarray(kernel, dtype=self.dtype)
        return PositionMatrices(given, self.device, self._packs, self._choices)

    def prepare_taps(self, taps: np.ndarray) -> Taps:
        given = np.asarray(taps, dtype=self.dtype)
        return Taps(given, self.device, self._kernels, self._choices)

    def kernels_of(self, weights: Any) -> tuple[str, ...]:
        if isinstance(weights, tuple):
            return tuple(name for each in weights for name in self.kernels_of(each))
        if isinstance(weights, Matrix):
            return weights.chosen.names
        return weights.names if isinstance(weights, Taps | PositionMatrices) else ()

    def add_rows(self, x: Array, kernel: Any, start: int) -> Array:
        if isinstance(kernel, PositionMatrices):
            nothing = x.new_zeros((1, kernel.features))
            return kernel.window_sums([x[:, None]], [np.array([start])], nothing, [np.array([0])])
        return super().add_rows(x, kernel, start)

    def flatten_dense(
        self,
        windows: Sequence[Array],
        starts: Sequence[np.ndarray],
        kernel: Any,
        reference: Array,
        sequences: Sequence[np.ndarray],
    ) -> Array:
        if isinstance(kernel, PositionMatrices):
            return kernel.window_sums(windows, starts, reference, sequences)
        return super().flatten_dense(windows, starts, kernel, reference, sequences)

    def edit_windows(self, kinds: Array, edits: Array, width: int) -> Array:
        size, channels = kinds.shape[1:]
        step = torch.arange(1, width + 1, device=edits.device, dtype=edits.dtype)[:, None, None]
        row = (step - edits[0]).clamp_(0, size - 1).add_(edits[1], alpha=size)
        made = kinds.view(-1, channels).index_select(0, row.view(-1))
        return made.view(*row.shape, channels)

    def lookup(self, table: Array, sequence: Any, start: Any, width: Any) -> Array:
        if len(sequence) == 1:
            first = int(start[0])
            return table[int(sequence[0]), first : first + width][:, None, None]
        _, length, channels = table.shape
        first = np.asarray(sequence, dtype=np.int64) * length + start
        rows = self._index(first[None] + np.arange(width)[:, None])
        return table.reshape(-1, channels)[rows][:, :, None]

    def place(self, x: Array, offset: Any, width: Any, fill: float = 0.0) -> Array:
        if offset is None or (offset == 0 and x.shape[0] == width):
            return x
        first, last = max(-offset, 0), min(x.shape[0], width - offset)
        if offset <= 0 and last - first == width:
            return x[first:last]
        out = x.new_full((width, *x.shape[1:]), fill)
        if last > first:
            out[first + offset : last + offset] = x[first:last]
        return out

    def add_taps(
        self,
        x: Array,
        taps: Taps,
        dilation: int,
        offset: Any,
        width: Any,
        base: Array | None,
    ) -> Array:
        return self.overlap_add(x, taps, dilation, offset, width, base)

    def overlap_add(
        self,
        x: Array,
        taps: Taps,
        dilation: int,
        offset: Any,
        width: Any,
        base: Array | None = None,
        epilogue: Epilogue | None = None,
    ) -> Array:
        what = "nothing" if epilogue is None else epilogue.what
        shape = (class_of(x.shape[1] * x.shape[2]), what, self._rounding())
        problem = taps.problem(dilation)
        trial = partial(self._trial, x, problem, epilogue)
        given = (x, 0 if offset is None else offset, width, base, epilogue)
        chosen = taps.chosen(dilation)
        suits = partial(self._suits, taps, x)
        if self.accelerated:  # where runs end some time after their calls
            return self._run(chosen.pick(shape, trial, advance=True, suits=suits), *given)
        work = (*x.shape[:3], width)
        return chosen.run(shape, trial, work, lambda kernel: self._run(kernel, *given), suits)

    def _suits(self, taps: Taps, x: Array, name: str, form: Callable[[], Kernel]) -> bool:
        """Whether a kernel may run a convolution: one that approximates, only where it is precise.

        What rounds all factors to TF32 has nothing to gain from halves of them.
        """
        if not taps.approximates(name):
            return True
        return self._rounding() == "float32" and taps.suits(name, form, x)

    def _run(
        self,
        kernel: Kernel,
        x: Array,
        offset: int,
        width: int,
        base: Array | None,
        epilogue: Epilogue | None,
    ) -> Array:
        """A convolution by one kernel, with what follows it."""
        if epilogue is None or kernel.takes(epilogue):
            return kernel.run(x, offset, width, base, epilogue)
        return self.composed(partial(kernel.run, x, offset, width), width, epilogue)

    def _trial(
        self, x: Array, problem: Problem, epilogue: Epilogue | None
    ) -> Callable[[Kernel], None]:
        """What runs a kernel on a part of a window, for the time that it takes."""
        x = sample(x, problem, MACS_ON_ACCELERATOR if self.accelerated else MOST_MACS)
        width = len(x) + (problem.count - 1) * problem.dilation
        reference = x.new_zeros((width, 1, 1, problem.features))
        residual, pooling = None, None
        if epilogue is not None and epilogue.residual is not None:
            residual = x.new_zeros((width, 1, x.shape[2], problem.features))
        if epilogue is not None and epilogue.pooling is not None:
            pooling = self._sampled_pool(epilogue.pooling, reference)
        follows = None
        if epilogue is not None and (epilogue.pooling is None) == (pooling is None):
            follows = Epilogue(reference, residual, pooling=pooling)
        base = reference if follows is None else None

        def run(kernel: Kernel) -> None:
            self._run(kernel, x, self._nowhere(), width, base, follows)
            if self.accelerated:
                torch.cuda.synchronize(self.device)

        return run

    def _sampled_pool(self, pooling: Pooling, reference: Array) -> Pooling | None:
        """A pool behind a sample, None where it is left out.

        It costs the same behind every kernel that does not take it, as on a CPU no kernel does.
        """
        made = (len(reference) - pooling.size) // pooling.stride + 1
        if not self.uniform or made < 1:
            return None
        given = (pooling.size, pooling.stride, pooling.sign, self._nowhere(), made)
        return Pooling(*given, reference[:made])

    def _rounding(self) -> str:
        """What products round to at the moment, as far as times depend on it."""
        return "tf32" if self.accelerated and torch_rounds_to_tf32() else "float32"

    def _nowhere(self) -> Any:
        """An offset that moves nothing, as samples have it."""
        return 0

    def joint_overlap_add(
        self,
        x: Array | None,
        taps: Taps,
        dilation: int,
        offset: int,
        width: int,
        epilogue: JointEpilogue,
    ) -> Array:
        given = (offset, width, epilogue)
        chosen = taps.chosen(dilation)
        if x is None:  # there is no convolution whose time could be compared
            joining = chosen.named(JOINING)
            joins = joining is not None and joining.joins(epilogue)
            return joining.run_joint(x, *given) if joins else self._joined(x, *given[1:])
        shape = (class_of(x.shape[1] * x.shape[2]), epilogue.what, self._rounding())
        trial = partial(self._joint_trial, x, taps.problem(dilation), epilogue)
        work = (*x.shape[:3], width)
        suits = partial(self._suits, taps, x)
        return chosen.run(
            shape, trial, work, lambda kernel: self._run_joint(kernel, x, *given), suits
        )

    def _run_joint(
        self, kernel: Kernel, x: Array, offset: int, width: int, epilogue: JointEpilogue
    ) -> Array:
        """What two edits do to each other behind a convolution, by one kernel."""
        if kernel.joins(epilogue):
            return kernel.run_joint(x, offset, width, epilogue)
        return self._joined(kernel.run(x, offset, width, None), width, epilogue)

    def _joint_trial(
        self, x: Array, problem: Problem, epilogue: JointEpilogue
    ) -> Callable[[Kernel], None]:
        """As `_trial`, for what two edits do to each other."""
        x = sample(x, problem)
        width = len(x) + (problem.count - 1) * problem.dilation
        reference, first = (x.new_zeros((width, 1, 1, problem.features)) for _ in range(2))
        rows = x.shape[2]
        second = x.new_zeros((width, 1, rows, problem.features))
        residual = None if epilogue.residual is None else second
        follows = JointEpilogue(reference, first, second, residual, total=epilogue.total)
        return lambda kernel: self._run_joint(kernel, x, 0, width, follows)

    def conv_window(
        self, x: Array, kernel: Array, stride: int, dilation: int, groups: int
    ) -> Array:
        size, blocks, mutants, channels = x.shape
        batch = x.permute(1, 2, 3, 0).reshape(blocks * mutants, channels, size)
        y = F.conv1d(batch, kernel, None, stride, 0, dilation, groups)
        return y.permute(2, 0, 1).reshape(y.shape[2], blocks, mutants, y.shape[1])

    def pool_window(self, x: Array, size: int, stride: int, width: Any, mode: str) -> Array:
        last = (width - 1) * stride + 1
        if size == 1:
            return x[0:last:stride]
        out = None
        for i in range(1, size):
            part = x[i : i + last : stride]
            first = x[0:last:stride] if out is None else out
            if mode == "max":
                out = torch.maximum(first, part, out=out)
            else:
                out = torch.add(first, part, out=out)
        return out

    def add_windows(
        self,
        xs: Sequence[Array | None],
        weights: Sequence[float],
        offsets: Sequence[Any],
        width: Any,
        base: Array | None,
        reuse: Sequence[bool],
    ) -> Array:
        present = [i for i, x in enumerate(xs) if x is not None]
        first_x = xs[present[0]]
        mutants = max(xs[i].shape[2] for i in present)
        shape = (width, first_x.shape[1], mutants, max(xs[i].shape[3] for i in present))
        out = None
        for i in tuple(present) if base is None else ():
            if reuse[i] and weights[i] == 1 and xs[i].shape == shape and not offsets[i]:
                out = xs[i]
                present.remove(i)
                break
        if out is None:
            out = first_x.new_empty(shape)
            out.zero_() if base is None else out.copy_(base.expand_as(out))
        for i in present:
            x, offset = xs[i], offsets[i] or 0
            first, last = max(offset, 0), min(offset + x.shape[0], width)
            if first < last:
                out[first:last].add_(x[first - offset : last - offset], alpha=weights[i])
        return out

    def add_reference(self, x: Array, reference: Array, reuse: bool) -> Array:
        return x.add_(reference) if reuse else x + reference

    def rectify(self, x: Array, reference: Array, reuse: bool) -> Array:
        return torch.maximum(x, -reference, out=x if reuse else None)

    def join_channels(self, xs: Sequence[Array | None], channels: Sequence[int]) -> Array:
        like = next(x for x in xs if x is not None)
        mutants = max(x.shape[2] for x in xs if x is not None)
        shape = (*like.shape[:2], mutants)
        filled = (
            like.new_zeros((*shape, c)) if x is None else x.expand(*shape, c)
            for x, c in zip(xs, channels, strict=True)
        )
        return torch.cat(list(filled), 3)

    def rebuild(self, table: Array, sequence: Any, start: Any, x: Array, delta: bool) -> Array:
        width, blocks, mutants, _ = x.shape
        chosen = table.index_select(0, self._index(np.asarray(sequence, dtype=np.int64)))
        full = chosen[:, None].repeat(1, mutants, 1, 1)
        for block, first in enumerate(start):
            part = full[block, :, int(first) : int(first) + width]
            values = x[:, block].transpose(0, 1)
            part.add_(values) if delta else part.copy_(values)
        return full.view(blocks * mutants, *table.shape[1:])

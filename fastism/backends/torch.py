"""PyTorch: eager, inference mode, sums accumulated in place.

Requirements: torch. Shapes may differ from chunk to chunk, so windows are cut at the ends of the
sequence and every offset is a Python integer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from math import inf
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from fastism.backends import onednn
from fastism.backends.base import Array, Backend
from fastism.backends.choices import Choices, process_choices
from fastism.backends.epilogue import Epilogue, JointEpilogue
from fastism.backends.precision import torch_rounds_to_tf32
from fastism.backends.shelf import Shelf
from fastism.backends.torch_kernels import (
    JOINING,
    KERNELS,
    MOST_MACS,
    Kernel,
    Problem,
    class_of,
    is_precise,
    sample,
)
from fastism.backends.torch_products import Chosen, Matrix, PositionMatrices

#: Multiply-adds of a sample on an accelerator.
MACS_ON_ACCELERATOR = 1 << 34
#: Multiply-adds of what a kernel's precision is looked at on: some hundredths of a first call.
MACS_OF_CHECK = 1 << 24


class Taps:
    """Kernel taps in output order, in the forms of the kernels that were chosen for them.

    Parameters
    ----------
    taps : ndarray, shape (count, channels in, channels out)
    device : torch.device
    kernels : sequence of type of Kernel
        Those to choose from.
    choices : Choices
    """

    def __init__(
        self,
        taps: np.ndarray,
        device: torch.device,
        kernels: Sequence[type[Kernel]],
        choices: Choices,
    ) -> None:
        self._taps, self._device, self._kernels = taps, device, kernels
        self._choices = choices
        self._chosen: dict[int, Chosen[Kernel]] = {}
        self._problems: dict[int, Problem] = {}
        self._doubtful = {kernel.name for kernel in kernels if kernel.approximates}
        self._precise: dict[str, bool] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The kernels in use."""
        return tuple(name for chosen in self._chosen.values() for name in chosen.names)

    def suits(self, name: str, form: Callable[[], Kernel], x: Array) -> bool:
        """Whether a kernel that approximates is precise enough for these taps.

        Parameters
        ----------
        name : str
        form : callable
            Gives the kernel.
        x : tensor, shape (size, blocks, mutants, channels in)
            What is to be done; a part of it is looked at once.
        """
        if name not in self._precise:
            part = sample(x, self.problem(form().dilation), MACS_OF_CHECK, fewest=8)
            if not bool(part.any()):  # which says nothing
                part = torch.empty_like(part).normal_(generator=torch.Generator(part.device))
            self._precise[name] = is_precise(form(), part, self._taps)
        return self._precise[name]

    def approximates(self, name: str) -> bool:
        """Whether a kernel is one that must be seen to be precise first."""
        return name in self._doubtful

    def problem(self, dilation: int) -> Problem:
        """What a kernel is asked to do."""
        if dilation not in self._problems:
            given = (str(self._taps.dtype), self._device.type, *self._taps.shape, dilation)
            self._problems[dilation] = Problem(*given)
        return self._problems[dilation]

    def chosen(self, dilation: int) -> Chosen[Kernel]:
        """The kernels to choose from for one dilation (a convolution has only one)."""
        if dilation not in self._chosen:
            problem = self.problem(dilation)
            makers = {
                kernel.name: partial(kernel, self._taps, dilation, self._device)
                for kernel in self._kernels
                if kernel.accepts(problem)
            }
            # Which of them is the fastest hardly depends on how far apart the taps are.
            alike = replace(problem, dilation=min(dilation, 2))
            key = ("taps", alike, torch.get_num_threads(), *makers)
            warm_up = self._device.type == "cuda"
            self._chosen[dilation] = Chosen(self._choices, key, makers, warm_up)
        return self._chosen[dilation]


class TorchBackend(Backend):
    """See `Backend`.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    device : str or torch.device
        Where arrays live.
    kernels : sequence of type of Kernel
        The ways to run a convolution over windows.
    choices : Choices, optional
        Which of them was the fastest; by default what was measured in this process.
    """

    name: ClassVar[str] = "torch"

    def __init__(
        self,
        dtype: str,
        device: str | torch.device | None = None,
        kernels: Sequence[type[Kernel]] = KERNELS,
        choices: Choices | None = None,
    ) -> None:
        super().__init__(dtype)
        self._kernels = kernels
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
        self._choices = choices or process_choices(self.device.type == "cpu")
        self._packs = self.device.type == "cpu" and dtype == "float32" and onednn.usable()
        self._float = getattr(torch, dtype)

    # ---- transfer and compilation -------------------------------------------------------

    def asarray(self, x: np.ndarray) -> Array:
        x = np.asarray(x)
        if not np.issubdtype(x.dtype, np.integer):
            x = np.ascontiguousarray(x, dtype=self.dtype)
        if not x.flags.writeable:
            x = x.copy()
        return self._moved(torch.from_numpy(x))

    def _moved(self, x: Array) -> Array:
        """A tensor of the host on the device. From pinned memory only, the host does not wait."""
        if self.accelerated:
            x = x.pin_memory()
        return x.to(self.device, non_blocking=True)

    def constant(self, x: np.ndarray) -> Array:
        return self.asarray(np.array(x, dtype=self.dtype, order="C"))

    def to_numpy(self, x: Array) -> np.ndarray:
        return x.detach().cpu().numpy()

    def start_copy(self, x: Array) -> Callable[[], np.ndarray]:
        if not self.accelerated:
            return super().start_copy(x)
        host = torch.empty(x.shape, dtype=x.dtype, pin_memory=True)
        host.copy_(x.detach(), non_blocking=True)
        done = torch.cuda.Event()
        done.record(torch.cuda.current_stream(self.device))

        def wait() -> np.ndarray:
            done.synchronize()
            return host.numpy()

        return wait

    def prepare_kernel(self, kernel: np.ndarray) -> Array:
        return self.constant(kernel.transpose(2, 1, 0))

    def prepare_matrix(self, matrix: np.ndarray) -> Matrix:
        given = np.asarray(matrix, dtype=self.dtype)
        return Matrix(given, self.device, self._packs, self._choices)

    def prepare_rows(self, kernel: np.ndarray) -> Array | PositionMatrices:
        if self.accelerated:
            return self.constant(kernel)
        given = np.asarray(kernel, dtype=self.dtype)
        return PositionMatrices(given, self.device, self._packs, self._choices)

    def prepare_taps(self, taps: np.ndarray) -> Taps:
        given = np.asarray(taps, dtype=self.dtype)
        return Taps(given, self.device, self._kernels, self._choices)

    def expect(self, seconds: float) -> None:
        self._choices.allow(seconds)

    def kernels_of(self, weights: Any) -> tuple[str, ...]:
        if isinstance(weights, tuple):
            return tuple(name for each in weights for name in self.kernels_of(each))
        if isinstance(weights, Matrix):
            return weights.chosen.names
        return weights.names if isinstance(weights, Taps | PositionMatrices) else ()

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        return torch.inference_mode()(function)

    def compile_chunk(self, function: Callable[..., Any]) -> Callable[..., Any]:
        if self.accelerated:
            return self.compile(function)
        shelf = Shelf()

        def run(*arguments: Any) -> list[Array]:
            return [shelf.keep(x) for x in function(*arguments)]

        return self.compile(run)

    def available_memory(self) -> int | None:
        if not self.accelerated:
            return None
        # What torch keeps of freed tensors is free too.
        kept = torch.cuda.memory_reserved(self.device) - torch.cuda.memory_allocated(self.device)
        return torch.cuda.mem_get_info(self.device)[0] + kept

    @property
    def accelerated(self) -> bool:
        return self.device.type == "cuda"

    # ---- full tensors -------------------------------------------------------------------

    def conv1d(
        self,
        x: Array,
        kernel: Array,
        stride: int,
        dilation: int,
        groups: int,
        pad: tuple[int, int],
    ) -> Array:
        x = F.pad(x.transpose(1, 2), pad) if any(pad) else x.transpose(1, 2)
        return F.conv1d(x, kernel, None, stride, 0, dilation, groups).transpose(1, 2)

    def conv_rows(self, x: Array, kernel: Array, stride: int, dilation: int, groups: int) -> Array:
        if self.accelerated:
            return super().conv_rows(x, kernel, stride, dilation, groups)
        # Images of one row may have their channels last, in and out: nothing is turned around.
        image = x.transpose(1, 2)[:, :, None]
        y = F.conv2d(image, kernel[:, :, None], None, (1, stride), 0, (1, dilation), groups)
        return y[:, :, 0].transpose(1, 2)

    def max_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        x = F.pad(x.transpose(1, 2), pad, value=-np.inf) if any(pad) else x.transpose(1, 2)
        return F.max_pool1d(x, size, stride).transpose(1, 2)

    def sum_pool(self, x: Array, size: int, stride: int, pad: tuple[int, int]) -> Array:
        x = F.pad(x.transpose(1, 2), pad) if any(pad) else x.transpose(1, 2)
        return F.avg_pool1d(x, size, stride).transpose(1, 2) * size

    def function(self, name: str, x: Array, reuse: bool = False, **parameters: Any) -> Array:
        if reuse and name in _IN_PLACE:
            return _IN_PLACE[name](x)
        return _FUNCTIONS[name](x, **parameters)

    def layer_norm(self, x: Array, epsilon: float, centre: bool) -> Array:
        if centre:
            return F.layer_norm(x, x.shape[-1:], eps=epsilon)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + epsilon)

    def matmul(self, x: Array, y: Array) -> Array:
        return x @ y

    def maximum(self, x: Array, y: Array) -> Array:
        return torch.maximum(x, y)

    def minimum(self, x: Array, y: Array) -> Array:
        return torch.minimum(x, y)

    def max(self, x: Array, axis: int) -> Array:
        return x.amax(axis)

    def sum(self, x: Array, axis: int) -> Array:
        return x.sum(axis)

    def running_max(self, x: Array, axis: int) -> Array:
        return x.cummax(axis).values

    def log_add_exp(self, x: Array, y: Array) -> Array:
        return torch.logaddexp(x, y)

    def log_sum_exp(self, x: Array, axis: int) -> Array:
        return torch.logsumexp(x, axis)

    def running_log_sum_exp(self, x: Array, axis: int) -> Array:
        return torch.logcumsumexp(x, axis)

    def reshape(self, x: Array, shape: Sequence[int]) -> Array:
        return x.reshape(tuple(shape))

    def transpose(self, x: Array, axes: Sequence[int]) -> Array:
        return x.permute(tuple(axes))

    def concatenate(self, arrays: Sequence[Array], axis: int) -> Array:
        return arrays[0] if len(arrays) == 1 else torch.cat(list(arrays), axis)

    def flip(self, x: Array, axis: int) -> Array:
        return x.flip(axis)

    def repeat(self, x: Array, times: int, axis: int) -> Array:
        return x.repeat_interleave(times, axis)

    def pad(self, x: Array, left: int, right: int, value: float = 0.0) -> Array:
        return F.pad(x, (0, 0, left, right), value=value) if left or right else x

    def broadcast(self, x: Array, shape: Sequence[int]) -> Array:
        return x.expand(tuple(shape))

    def take(self, x: Array, index: Any, axis: int) -> Array:
        return x.index_select(axis, self._index(index))

    def contiguous(self, x: Array) -> Array:
        return x.contiguous()

    def _index(self, index: Any) -> Array:
        if isinstance(index, torch.Tensor):
            return index
        return self._moved(torch.from_numpy(np.ascontiguousarray(index)))

    # ---- windows ------------------------------------------------------------------------

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
        base = None if epilogue is not None and epilogue.pooling is None else reference
        residual = None
        if epilogue is not None and epilogue.residual is not None:
            residual = x.new_zeros((width, 1, x.shape[2], problem.features))
        # A pool costs the same behind every kernel that does not take it: it is left out.
        follows = Epilogue(reference, residual) if base is None and epilogue else None

        def run(kernel: Kernel) -> None:
            self._run(kernel, x, self._nowhere(), width, base, follows)
            if self.accelerated:
                torch.cuda.synchronize(self.device)

        return run

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


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "abs": torch.abs,
    "cos": torch.cos,
    "elu": lambda x, alpha=1.0: F.elu(x, alpha),
    "exp": torch.exp,
    "gelu": lambda x, approximate=True: F.gelu(x, approximate="tanh" if approximate else "none"),
    "hard_sigmoid": F.hardsigmoid,
    "clip": lambda x, low=-inf, high=inf: torch.clamp(x, low, high),
    "leaky_relu": lambda x, negative_slope=0.01: F.leaky_relu(x, negative_slope),
    "log": torch.log,
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "negative": torch.neg,
    "negative_part": lambda x: x.clamp(max=0),
    "relu": torch.relu,
    "relu6": F.relu6,
    "selu": F.selu,
    "sigmoid": torch.sigmoid,
    "silu": F.silu,
    "sin": torch.sin,
    "softmax": lambda x: torch.softmax(x, -1),
    "softplus": F.softplus,
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "tanh": torch.tanh,
}
_IN_PLACE: dict[str, Callable[[Array], Array]] = {
    "exp": torch.exp_,
    "relu": torch.relu_,
    "sigmoid": torch.sigmoid_,
    "tanh": torch.tanh_,
}

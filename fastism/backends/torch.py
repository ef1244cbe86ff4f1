"""PyTorch: eager, inference mode, sums accumulated in place.

Requirements: torch. Shapes may differ from chunk to chunk, so windows are cut at the ends of the
sequence and every offset is a Python integer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F

from fastism.backends import compiled, onednn
from fastism.backends.base import Array, Backend
from fastism.backends.epilogue import Epilogue, JointEpilogue
from fastism.backends.shelf import Shelf

#: Below this many output channels all taps go into one matrix product: a product per tap would
#: read the input window once per tap for little arithmetic.
NARROW = 16
#: Up to so many channels in, as in a model's first layer, the compiled kernel takes convolutions
#: without a ReLU too. From 48 channels on, oneDNN is as fast.
FEW_CHANNELS = 4


class TorchBackend(Backend):
    """See `Backend`.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    device : str or torch.device
        Where arrays live.
    """

    name: ClassVar[str] = "torch"

    def __init__(self, dtype: str, device: str | torch.device | None = None) -> None:
        super().__init__(dtype)
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)
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

    def prepare_matrix(self, matrix: np.ndarray) -> Array | onednn.PackedMatrix:
        return onednn.PackedMatrix(matrix) if self._packs else self.constant(matrix)

    def prepare_rows(self, kernel: np.ndarray) -> Array | onednn.PackedRows:
        if self._packs and kernel.shape[2] >= NARROW:
            return onednn.PackedRows(np.ascontiguousarray(kernel, dtype=self.dtype))
        return self.constant(kernel)

    def prepare_taps(self, taps: np.ndarray) -> Taps:
        count, channels, features = taps.shape
        if features < NARROW:
            stacked = taps.transpose(0, 2, 1).reshape(-1, channels)
            return Taps(count, features, narrow=self._narrow(taps), stacked=self.constant(stacked))
        if self._packs:
            packed = onednn.PackedTaps(taps.astype(self.dtype))
            return Taps(count, features, packed=packed, columns=compiled.pack(taps))
        return Taps(count, features, matrices=tuple(self.constant(tap) for tap in taps))

    def _narrow(self, taps: np.ndarray) -> NarrowTaps | None:
        if not self._packs:
            return None
        return compiled.pack_narrow(taps) or onednn.PackedNarrowTaps(taps.astype(self.dtype))

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
        if isinstance(kernel, onednn.PackedRows):
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
        if isinstance(kernel, onednn.PackedRows):
            return kernel.window_sums(windows, starts, reference, sequences)
        return super().flatten_dense(windows, starts, kernel, reference, sequences)

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
        size, blocks, mutants, channels = x.shape
        rows, offset = blocks * mutants, offset or 0
        if taps.columns is not None and channels <= FEW_CHANNELS:
            return taps.columns.overlap_add(x, dilation, offset, width, base)
        if isinstance(taps.narrow, compiled.PackedNarrowColumns) and dilation == 1:
            return taps.narrow.overlap_add(x, offset, width, base)
        natural = size + (taps.count - 1) * dilation
        # The buffer covers the planned window and all that the taps reach: packed taps cannot
        # leave out what lies outside. It is summed into and thrown away, so any content will do.
        packed = taps.packed is not None
        before = max(-offset, 0) if packed else 0
        after = max(offset + natural - width, 0) if packed else 0
        buffer = x.new_empty((before + width + after, rows, taps.features))
        out = buffer[before : before + width]
        whole = out.view(width, blocks, mutants, taps.features)
        whole.zero_() if base is None else whole.copy_(base.expand_as(whole))
        flat = x.reshape(size, rows, channels)
        if packed:
            first = before + offset
            taps.packed.add_to(buffer[first : first + natural], flat, dilation)
        elif taps.narrow is not None and dilation == 1:
            _add_shifted(out, taps.narrow(flat), offset)
        elif taps.stacked is not None:
            products = taps.stacked @ flat.reshape(-1, channels).T
            for j, product in enumerate(products.view(taps.count, -1, size, rows)):
                _add_shifted(out, product.permute(1, 2, 0), offset + j * dilation)
        else:
            for j, tap in enumerate(taps.matrices):
                _add_shifted(out, flat, offset + j * dilation, tap)
        return whole

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
        if epilogue is not None and epilogue.pooling is None and taps.columns is not None:
            given = (x, dilation, offset or 0, width, epilogue.reference)
            beside = (epilogue.residual, epilogue.residual_offset or 0)
            return taps.columns.rectified_overlap_add(*given, *beside)
        return super().overlap_add(x, taps, dilation, offset, width, base, epilogue)

    def joint_overlap_add(
        self,
        x: Array | None,
        taps: Taps,
        dilation: int,
        offset: int,
        width: int,
        epilogue: JointEpilogue,
    ) -> Array:
        if taps.columns is None or not taps.columns.joins:
            return super().joint_overlap_add(x, taps, dilation, offset, width, epilogue)
        return taps.columns.joint_overlap_add(x, dilation, offset, width, epilogue)

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


def _add_shifted(out: Array, x: Array, shift: int, tap: Array | None = None) -> None:
    """``out[p + shift] += x[p]`` (times `tap`) wherever that lies in `out`."""
    first, last = max(shift, 0), min(shift + len(x), len(out))
    if first >= last:
        return
    part, read = out[first:last], x[first - shift : last - shift]
    if tap is None:
        part += read
    else:
        part.view(-1, part.shape[2]).addmm_(read.reshape(-1, read.shape[2]), tap)


NarrowTaps = compiled.PackedNarrowColumns | onednn.PackedNarrowTaps


@dataclass(frozen=True)
class Taps:
    """Kernel taps in output order, in the forms that suit them.

    Parameters
    ----------
    count, features : int
        Number of taps and of output channels.
    packed : PackedTaps or None
        All taps in one convolution, where oneDNN is usable.
    columns : PackedColumns or None
        The same for the compiled kernel, where it is built and the taps suit it.
    narrow : PackedNarrowColumns, PackedNarrowTaps or None
        All taps in one convolution for few output channels, undilated.
    matrices : tuple of tensor
        ``(channels in, features)`` each.
    stacked : tensor or None
        ``(count * features, channels in)``.
    """

    count: int
    features: int
    packed: onednn.PackedTaps | None = None
    columns: compiled.PackedColumns | None = None
    narrow: NarrowTaps | None = None
    matrices: tuple[Array, ...] = ()
    stacked: Array | None = None


_FUNCTIONS: dict[str, Callable[..., Array]] = {
    "abs": torch.abs,
    "cos": torch.cos,
    "elu": lambda x, alpha=1.0: F.elu(x, alpha),
    "exp": torch.exp,
    "gelu": lambda x, approximate=True: F.gelu(x, approximate="tanh" if approximate else "none"),
    "hard_sigmoid": F.hardsigmoid,
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

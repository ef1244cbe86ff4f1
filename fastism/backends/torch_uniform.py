"""PyTorch with windows of one width: all blocks of all sequences in one launch of each operation.

Requirements: torch. A launch on a GPU costs as much as the work on some thousand mutants. So blocks
of all phases and the ends of the sequence share chunks, as for compilers with static shapes:
windows of one width, moved inside at the ends, and an offset per block. What differs from block to
block are indices on the device, and the number of launches does not grow with positions or
sequences.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fastism.backends import (
    torch_graphs,
    torch_triton,
    triton_runtime,
    triton_tiles,
    triton_windows,
)
from fastism.backends.base import Array, Backend, Geometry
from fastism.backends.choices import Choices
from fastism.backends.epilogue import Epilogue, JointEpilogue
from fastism.backends.kept_times import KeptTimes
from fastism.backends.torch import TorchBackend
from fastism.backends.torch_graphs import CudaRecorder, Graphs
from fastism.backends.torch_kernels import KERNELS, Kernel
from fastism.backends.torch_rows import PositionRows
from fastism.backends.torch_taps import Taps


def torch_backend(dtype: str, device: str | torch.device | None = None) -> Backend:
    """The backend for PyTorch that suits a device.

    On an accelerator windows have one width; on a CPU too where ``FASTISM_UNIFORM=1`` is set, to
    test there what runs on a GPU.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    device : str or torch.device, optional
    """
    made = TorchBackend(dtype, device)
    if made.accelerated:
        return UniformTorchBackend(dtype, device, choices=_choices(_name_of(made.device)))
    if os.environ.get("FASTISM_UNIFORM") == "1":
        return UniformTorchBackend(dtype, device)
    return made


def _name_of(device: torch.device) -> str:
    return torch.cuda.get_device_name(device)


@cache
def _choices(device: str) -> Choices:
    """What was measured on a kind of device, in this process and before."""
    files = sorted(Path(__file__).parent.glob("*triton*.py"))
    programs = b"".join(file.read_bytes() for file in files)
    facts = {
        "device": device,
        "torch": torch.__version__,
        "triton": triton_runtime.version(),
        "programs": hashlib.sha256(programs).hexdigest()[:16],
    }
    return Choices(kept=KeptTimes(facts))


def _unpacked(rows: Array, starts: int, widths: Sequence[int]) -> Geometry:
    """Where windows lie, with rows on the device: one of sequences, those of starts and offsets."""
    behind = 1 + starts
    return Geometry(rows[0], rows[1:behind], widths, list(rows[behind:]))


class UniformTorchBackend(TorchBackend):
    """See `Backend`; offsets are an integer or one per block."""

    uniform: ClassVar[bool] = True

    def __init__(
        self,
        dtype: str,
        device: str | torch.device | None = None,
        kernels: Sequence[Any] = KERNELS,
        choices: Choices | None = None,
    ) -> None:
        super().__init__(dtype, device, kernels, choices)
        self._triton = triton_runtime.usable(self.device, dtype)
        if self._triton and kernels is KERNELS:
            self._kernels = (*torch_triton.kernels(), *KERNELS)

    # ---- transfer and compilation -------------------------------------------------------

    @property
    def resident(self) -> bool:
        return self.accelerated

    def prepare_rows(self, kernel: np.ndarray) -> PositionRows:
        tiles = triton_tiles.tiles() if self._triton else ()
        return PositionRows(self.constant(kernel), tiles, self._choices)

    def kernels_of(self, weights: Any) -> tuple[str, ...]:
        if isinstance(weights, PositionRows):
            return weights.chosen.names
        return super().kernels_of(weights)

    def compile_chunk(self, function: Callable[..., Any]) -> Callable[..., Any]:
        compiled = super().compile_chunk(function)
        graphs = self._graphs()

        def run(tables: Sequence[Array], geometry: Geometry, delta: Array) -> Any:
            rows, starts = self._rows(geometry), len(geometry.starts)
            widths = tuple(int(width) for width in geometry.widths)

            def chunk(arrays: Sequence[Array]) -> list[Array]:
                *tables, rows, delta = arrays
                return compiled(tables, _unpacked(rows, starts, widths), delta)

            arrays = [*tables, rows, delta]
            if graphs is None:
                return chunk(arrays)
            return graphs.run((starts, widths, self._rounding()), chunk, arrays)

        return self.compile(run)

    def _graphs(self) -> Graphs | None:
        """What replays chunks on a GPU, unless the user wants none."""
        if not self.accelerated or not torch_graphs.wanted():
            return None
        return Graphs(CudaRecorder(self.device))

    def _rows(self, geometry: Geometry) -> Array:
        """All numbers of a chunk's blocks in one copy: sequences, starts, offsets."""
        sequence, starts = np.asarray(geometry.sequence), np.asarray(geometry.starts)
        offsets = np.asarray(geometry.offsets, dtype=np.int64).reshape(-1, len(sequence))
        packed = np.concatenate([sequence[None], starts, offsets])
        return self._index(packed.astype(np.int64, copy=False))

    # ---- windows ------------------------------------------------------------------------

    def lookup(self, table: Array, sequence: Any, start: Any, width: Any) -> Array:
        sequence, start = self._index(sequence), self._index(start)
        if self._triton:
            return triton_windows.looked_up(table, sequence, start, width)
        _, length, channels = table.shape
        first = sequence * length + start
        rows = first[None] + torch.arange(width, device=table.device)[:, None]
        return table.reshape(-1, channels)[rows][:, :, None]

    def place(self, x: Array, offset: Any, width: Any, fill: float = 0.0) -> Array:
        if offset is None or isinstance(offset, int):
            return super().place(x, offset, width, fill)
        if self._triton:
            return triton_windows.placed(x, self._index(offset), width, fill)
        size, blocks = x.shape[:2]
        row = torch.arange(width, device=x.device)[:, None] - self._index(offset)[None]
        inside = (row >= 0) & (row < size)
        index = row.clamp_(0, size - 1).mul_(blocks).add_(torch.arange(blocks, device=x.device))
        made = x.reshape(-1, *x.shape[2:]).index_select(0, index.view(-1))
        made = made.view(width, blocks, *x.shape[2:])
        return made.masked_fill_(~inside[:, :, None, None], fill)

    def _run(
        self,
        kernel: Kernel,
        x: Array,
        offset: Any,
        width: int,
        base: Array | None,
        epilogue: Epilogue | None,
    ) -> Array:
        offsets = [offset]
        if epilogue is not None:
            offsets.append(epilogue.residual_offset)
        if kernel.places or not any(isinstance(each, torch.Tensor) for each in offsets):
            return super()._run(kernel, x, offset, width, base, epilogue)
        add_taps = partial(self._placed, kernel, x, offset, width)
        return add_taps(base) if epilogue is None else self.composed(add_taps, width, epilogue)

    def _placed(
        self, kernel: Kernel, x: Array, offset: Any, width: int, base: Array | None
    ) -> Array:
        """By a kernel that knows one offset only: all that `x` reaches, placed block by block."""
        if not isinstance(offset, torch.Tensor):
            return kernel.run(x, offset, width, base)
        reached = len(x) + (kernel.count - 1) * kernel.dilation
        made = self.place(kernel.run(x, 0, reached, None), offset, width)
        return made if base is None else made.add_(base)

    def joint_overlap_add(
        self,
        x: Array | None,
        taps: Taps,
        dilation: int,
        offset: Any,
        width: int,
        epilogue: JointEpilogue,
    ) -> Array:
        given = (x, taps, dilation, offset, width, epilogue)
        if isinstance(offset, int):
            return super().joint_overlap_add(*given)
        return Backend.joint_overlap_add(self, *given)

    def _nowhere(self) -> Array:
        return torch.zeros(1, dtype=torch.int64, device=self.device)

    def add_windows(
        self,
        xs: Sequence[Array | None],
        weights: Sequence[float],
        offsets: Sequence[Any],
        width: Any,
        base: Array | None,
        reuse: Sequence[bool],
    ) -> Array:
        moved = [
            x is not None and isinstance(offset, torch.Tensor)
            for x, offset in zip(xs, offsets, strict=True)
        ]
        placed = [
            self.place(x, offset, width) if m else x
            for x, offset, m in zip(xs, offsets, moved, strict=True)
        ]
        left = [None if m else offset for offset, m in zip(offsets, moved, strict=True)]
        reuse = [m or last for m, last in zip(moved, reuse, strict=True)]
        return super().add_windows(placed, weights, left, width, base, reuse)

    def rebuild(self, table: Array, sequence: Any, start: Any, x: Array, delta: bool) -> Array:
        sequence, start = self._index(sequence), self._index(start)
        if self._triton:
            return triton_windows.rebuilt(table, sequence, start, x, delta)
        width, blocks, mutants, _ = x.shape
        full = table.index_select(0, sequence)[:, None].repeat(1, mutants, 1, 1)
        block = torch.arange(blocks, device=x.device)[:, None]
        place = start[:, None] + torch.arange(width, device=x.device)
        values = x.transpose(0, 1)
        full[block, :, place] = full[block, :, place] + values if delta else values
        return full.view(blocks * mutants, *table.shape[1:])

    def add_rows(self, x: Array, kernel: Any, start: int) -> Array:
        return super().add_rows(x, kernel.kernel, start)

    def _changed_rows(
        self, windows: Sequence[Array], starts: Sequence[np.ndarray], kernel: Any
    ) -> Array:
        made = kernel.sums(windows, starts, self._rounding())
        return super()._changed_rows(windows, starts, kernel) if made is None else made

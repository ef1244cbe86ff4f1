"""The compiled kernels for convolutions, where they were built for this processor.

Requirements: torch. `setup.py` compiles the ``.cpp`` beside this file once per instruction set
when the package is installed with a C++ compiler at hand. Nothing requires them: without them, or
with the environment variable ``FASTISM_COMPILED=0``, PyTorch's own operators do the same.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Sequence
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from fastism.backends.epilogue import JointEpilogue

_Tensor = torch.Tensor

#: Totals over positions are added up in at least so many pieces, and so many per thread.
PIECES, PIECES_OF_THREAD = 16, 4
#: The library for every instruction set that PyTorch may report.
LIBRARIES = {"AVX512": "_kernels_avx512", "AVX2": "_kernels_avx2"}


class PackedColumns:
    """A convolution along axis 0 of ``(width, blocks, mutants, channels)``.

    Parameters
    ----------
    taps : ndarray, shape (taps, channels in, channels out)
        In output order: input ``p`` adds ``x[p] @ taps[j]`` to output ``p + j * dilation``. No
        fewer channels out than ``library.columns()``.
    library : CDLL
        From `load`.
    """

    _joint: ClassVar[str] = "overlap_add_joint"

    def __init__(self, taps: np.ndarray, library: ctypes.CDLL) -> None:
        self.count, self.channels, self.features = taps.shape
        forms = self._forms(taps)
        columns = library.columns()
        # The last columns overlap those before where the features do not fill them.
        starts = [min(f, self.features - columns) for f in range(0, self.features, columns)]
        split = np.stack([forms[:, :, f : f + columns] for f in starts])
        self._taps = torch.tensor(np.ascontiguousarray(split, np.float32))
        self._library = library

    def joins(self, epilogue: JointEpilogue) -> bool:
        """Whether there is a kernel for what two edits do to each other, and for its total.

        Libraries that were built before have none. Columns that overlap would count twice.
        """
        fills = self.features % self._library.columns() == 0
        return hasattr(self._library, self._joint) and (fills or not epilogue.total)

    def overlap_add(
        self,
        x: _Tensor,
        dilation: int,
        offset: int,
        width: int,
        base: _Tensor | None,
    ) -> _Tensor:
        """See `Backend.overlap_add`.

        Parameters
        ----------
        x : tensor, float32, shape (size, blocks, mutants, channels in)
        dilation, offset, width : int
        base : tensor, float32, shape (width, blocks, 1, channels out), or None

        Returns
        -------
        tensor, float32, shape (width, blocks, mutants, channels out)
        """
        return self._run(False, x, dilation, offset, width, base)

    def rectified_overlap_add(
        self,
        x: _Tensor,
        dilation: int,
        offset: int,
        width: int,
        reference: _Tensor,
        residual: _Tensor | None = None,
        residual_offset: int = 0,
    ) -> _Tensor:
        """See `Backend.overlap_add`, with a ReLU and perhaps a residual.

        Parameters
        ----------
        x : tensor, float32, shape (size, blocks, mutants, channels in)
        dilation, offset, width : int
        reference : tensor, float32, shape (width, blocks, 1, channels out)
        residual : tensor, float32, shape (residual size, blocks, mutants, channels out), optional
        residual_offset : int

        Returns
        -------
        tensor, float32, shape (width, blocks, mutants, channels out)
        """
        return self._run(True, x, dilation, offset, width, reference, residual, residual_offset)

    def joint_overlap_add(
        self,
        x: _Tensor | None,
        dilation: int,
        offset: int,
        width: int,
        epilogue: JointEpilogue,
    ) -> _Tensor:
        """See `Backend.joint_overlap_add`.

        Parameters
        ----------
        x : tensor, float32, shape (size, first edits, second edits, channels in), or None
        dilation, offset, width : int
        epilogue : JointEpilogue
            With tensors of float32.

        Returns
        -------
        tensor, float32, shape (width, first edits, second edits, channels out)
            Of one position where the epilogue wants the total.
        """
        x = None if x is None else x.contiguous()
        _held, address, stride, _ = _rows(epilogue.reference)
        first, second = epilogue.first.contiguous(), epilogue.second.contiguous()
        residual = None if epilogue.residual is None else epilogue.residual.contiguous()
        edits = first.shape[1], second.shape[2]
        threads, pieces = torch.get_num_threads(), 0
        if epilogue.total:
            pieces = max(PIECES, PIECES_OF_THREAD * threads)
            out = first.new_zeros((pieces, *edits, self.features))
        else:
            out = first.new_empty((width, *edits, self.features))
        getattr(self._library, self._joint)(
            None if x is None else x.data_ptr(),
            0 if x is None else len(x),
            *edits,
            self.channels,
            self._taps.data_ptr(),
            self.count,
            self.features,
            dilation,
            offset,
            address,
            stride,
            first.data_ptr(),
            second.data_ptr(),
            None if residual is None else residual.data_ptr(),
            0 if residual is None else len(residual),
            epilogue.residual_offset,
            out.data_ptr(),
            width,
            pieces,
            threads,
        )
        return out.sum(0, keepdim=True) if epilogue.total else out

    def _run(
        self,
        rectify: bool,
        x: _Tensor,
        dilation: int,
        offset: int,
        width: int,
        reference: _Tensor | None,
        residual: _Tensor | None = None,
        residual_offset: int = 0,
    ) -> _Tensor:
        x = x.contiguous()
        residual = None if residual is None else residual.contiguous()
        out = x.new_empty((width, *x.shape[1:3], self.features))
        _held, *reference_arguments = _rows(reference)
        self._call(
            rectify,
            x.data_ptr(),
            *x.shape[:3],
            self.channels,
            self._taps.data_ptr(),
            self.count,
            self.features,
            dilation,
            offset,
            *reference_arguments,
            None if residual is None else residual.data_ptr(),
            0 if residual is None else len(residual),
            residual_offset,
            out.data_ptr(),
            width,
            torch.get_num_threads(),
        )
        return out

    def _forms(self, taps: np.ndarray) -> np.ndarray:
        """What the kernel multiplies inputs with, ``(forms, channels in, channels out)``."""
        return taps

    def _call(self, *arguments: Any) -> None:
        self._library.overlap_add(*arguments)


class PackedToomCook(PackedColumns):
    """The same by fewer products than taps: four of every two inputs and three taps, not six.

    Parameters
    ----------
    taps : ndarray, shape (taps, channels in, channels out)
        As for `PackedColumns`.
    library : CDLL
        From `load`, with this kernel (see `offers_toom_cook`).
    """

    _joint: ClassVar[str] = "toom_cook_overlap_add_joint"

    def _forms(self, taps: np.ndarray) -> np.ndarray:
        wide, made = taps.astype(np.float64), []
        while len(wide):
            # In parts of three taps and of two, as toom_cook.cpp takes them.
            size = 2 if len(wide) == 4 else min(len(wide), 3)
            part, wide = wide[:size], wide[size:]
            made += [*part]
            if size == 2:
                made.append(part[0] + part[1])
            if size == 3:
                outer = part[0] + part[2]
                made += [(outer + part[1]) / 2, (outer - part[1]) / 2]
        return np.stack(made)

    def _call(self, *arguments: Any) -> None:
        self._library.toom_cook_overlap_add(*arguments)


class PackedNarrowColumns:
    """A convolution to few channels along axis 0 of ``(width, blocks, mutants, channels)``.

    Parameters
    ----------
    taps : ndarray, shape (taps, channels in, channels out)
        In output order, undilated.
    library : CDLL
        From `load`.
    """

    def __init__(self, taps: np.ndarray, library: ctypes.CDLL) -> None:
        self.count, channels, self.features = taps.shape
        size = library.vector_size()
        vectors = -(-self.count * self.features // size)
        columns = np.zeros((channels, vectors * size), dtype=np.float32)
        columns[:, : self.count * self.features] = taps.transpose(1, 0, 2).reshape(channels, -1)
        group = library.widest() * size
        groups = [columns[:, first : first + group] for first in range(0, vectors * size, group)]
        self._taps = torch.tensor(np.concatenate([group.reshape(-1) for group in groups]))
        self._library = library

    def overlap_add(self, x: _Tensor, offset: int, width: int, base: _Tensor | None) -> _Tensor:
        """See `Backend.overlap_add`.

        Parameters
        ----------
        x : tensor, float32, shape (size, blocks, mutants, channels in)
        offset, width : int
        base : tensor, float32, shape (width, blocks, 1, channels out), or None

        Returns
        -------
        tensor, float32, shape (width, blocks, mutants, channels out)
        """
        x = x.contiguous()
        out = x.new_empty((width, *x.shape[1:3], self.features))
        base, *base_arguments = _rows(base)
        self._library.narrow_overlap_add(
            x.data_ptr(),
            *x.shape,
            self._taps.data_ptr(),
            self.count,
            self.features,
            offset,
            *base_arguments,
            out.data_ptr(),
            width,
            torch.get_num_threads(),
        )
        return out


def _rows(reference: _Tensor | None) -> tuple[_Tensor | None, int | None, int, int]:
    """Windows of the reference with features side by side, their address, and their strides.

    The caller holds on to the windows as long as the address is in use.
    """
    if reference is None:
        return None, None, 0, 0
    if reference.stride(3) != 1:
        reference = reference.contiguous()
    return reference, reference.data_ptr(), reference.stride(0), reference.stride(1)


def load() -> ctypes.CDLL | None:
    """The library for this processor, or None."""
    if os.environ.get("FASTISM_COMPILED", "1") == "0":
        return None
    return _open(LIBRARIES.get(torch.backends.cpu.get_cpu_capability(), ""))


def offers_toom_cook(library: ctypes.CDLL) -> bool:
    """Whether that kernel is there: not in libraries that were built before it was."""
    return hasattr(library, "toom_cook_overlap_add")


def kernel_in_use() -> str:
    """Instruction set of the kernel that is used, such as ``"AVX512"``, or ``"none"``."""
    return torch.backends.cpu.get_cpu_capability() if load() else "none"


@cache
def _open(name: str) -> ctypes.CDLL | None:
    """The library of that name beside this file, or None."""
    found = (Path(__file__).with_name(name + suffix) for suffix in EXTENSION_SUFFIXES)
    path = next((path for path in found if name and path.is_file()), None)
    if path is None:
        return None
    try:
        library = ctypes.CDLL(str(path))
    except OSError:  # built for another system, or its OpenMP is missing
        return None
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    for count in (library.columns, library.widest, library.vector_size):
        count.restype = number
    rows, residual = (pointer, number, number), (pointer, number, number)
    rest = (*residual, pointer, number, number)
    window = (number, pointer, number, number, number, number)
    joint = (pointer, number, number, number, number)
    joint_rest = (pointer, number, pointer, pointer, *rest, number)
    taps = (pointer, number, number, number, number)
    _declare(library, "overlap_add", (*window, *taps, *rows, *rest))
    _declare(library, "overlap_add_joint", (*joint, *taps, *joint_rest))
    _declare(library, "toom_cook_overlap_add", (*window, *taps, *rows, *rest))
    _declare(library, "toom_cook_overlap_add_joint", (*joint, *taps, *joint_rest))
    narrow = (pointer, number, number, number, number, pointer, number, number, number)
    _declare(library, "narrow_overlap_add", (*narrow, *rows, pointer, number, number))
    return library


def _declare(library: ctypes.CDLL, name: str, types: Sequence[Any]) -> None:
    """Tell what a kernel takes; libraries that were built before it was do not have it."""
    if hasattr(library, name):
        function = getattr(library, name)
        function.restype, function.argtypes = None, list(types)

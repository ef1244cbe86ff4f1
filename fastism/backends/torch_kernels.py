"""The ways to run a convolution over windows on PyTorch, as a list of kernels.

Requirements: torch. A kernel says which problems it accepts and which epilogues it takes, and keeps
the taps in the form that it wants. Which one runs is measured (`fastism.backends.choices`). To add
one, write a class and put it into `KERNELS`; before anything is measured the first one that accepts
a problem is used, so kernels that may be very slow come last.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from fastism.backends import compiled, onednn
from fastism.backends.epilogue import Epilogue, JointEpilogue

_Tensor = torch.Tensor

#: Multiply-adds of a sample at most, as far as it can be so small: about two milliseconds.
MOST_MACS = 1 << 26


@dataclass(frozen=True)
class Problem:
    """What a kernel is asked to do, as far as it is known before anything runs.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    device : str
        Type of the device, such as ``"cpu"``.
    count, channels, features : int
        Taps, channels in, channels out.
    dilation : int
    """

    dtype: str
    device: str
    count: int
    channels: int
    features: int
    dilation: int

    @property
    def on_cpu(self) -> bool:
        """Whether this is what the libraries for CPUs work on."""
        return self.device == "cpu" and self.dtype == "float32"


class Kernel(ABC):
    """Taps of a convolution in the form of one way to run it.

    Parameters
    ----------
    taps : ndarray, shape (count, channels in, channels out)
        In output order: input ``p`` adds ``x[p] @ taps[j]`` to output ``p + j * dilation``.
    dilation : int
    device : torch.device
    """

    name: ClassVar[str]
    #: Whether offsets may be one per block, on the device; else windows are placed behind it.
    places: ClassVar[bool] = False
    #: Whether its products must first be seen to be as near to float64 as plain ones are.
    approximates: ClassVar[bool] = False
    #: How many times the largest error of plain products its own may be then.
    largest: ClassVar[float] = 1.5

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        self.count, self.channels, self.features = taps.shape
        self.dilation = dilation

    @classmethod
    @abstractmethod
    def accepts(cls, problem: Problem) -> bool:
        """Whether it can solve a problem at all."""

    def takes(self, epilogue: Epilogue) -> bool:
        """Whether it runs an epilogue in its own pass; else that is composed around it."""
        return False

    @abstractmethod
    def run(
        self,
        x: _Tensor,
        offset: int,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        """See `Windows.overlap_add`; without an epilogue unless it is one that it takes.

        Parameters
        ----------
        x : tensor, shape (size, blocks, mutants, channels in)
        offset, width : int
        base : tensor or None, shape (width, blocks, 1, channels out)
        epilogue : Epilogue, optional

        Returns
        -------
        tensor, shape (width, blocks, mutants, channels out)
        """

    def compared_with(self, taps: np.ndarray, device: torch.device) -> Kernel:
        """The kernel whose error its own is compared with where it approximates."""
        return ProductPerTap(taps, self.dilation, device)

    def joins(self, epilogue: JointEpilogue) -> bool:
        """Whether it takes what two edits do to each other; else that is composed around it."""
        return False

    def run_joint(
        self,
        x: _Tensor | None,
        offset: int,
        width: int,
        epilogue: JointEpilogue,
    ) -> _Tensor:
        """See `Windows.joint_overlap_add`; only where it `joins`."""
        raise NotImplementedError(self.name)

    def _start(self, x: _Tensor, width: int, base: _Tensor | None) -> _Tensor:
        """A window to add to, ``(width, blocks * mutants, channels out)``."""
        blocks, mutants = x.shape[1:3]
        out = x.new_empty((width, blocks, mutants, self.features))
        out.zero_() if base is None else out.copy_(base.expand_as(out))
        return out.view(width, blocks * mutants, self.features)


class CompiledColumns(Kernel):
    """This package's kernel in C++: sums stay in registers until ReLU and residual are done."""

    name = "compiled"
    packs: ClassVar[type[compiled.PackedColumns]] = compiled.PackedColumns

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        super().__init__(taps, dilation, device)
        self._packed = self.packs(taps, compiled.load())

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        library = compiled.load()
        fits = library is not None and problem.features >= library.columns()
        return problem.on_cpu and fits

    def takes(self, epilogue: Epilogue) -> bool:
        return epilogue.pooling is None

    def run(
        self,
        x: _Tensor,
        offset: int,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        given = (x, self.dilation, offset, width)
        if epilogue is None:
            return self._packed.overlap_add(*given, base)
        beside = (epilogue.residual, epilogue.residual_offset or 0)
        return self._packed.rectified_overlap_add(*given, epilogue.reference, *beside)

    def joins(self, epilogue: JointEpilogue) -> bool:
        return self._packed.joins(epilogue)

    def run_joint(
        self,
        x: _Tensor | None,
        offset: int,
        width: int,
        epilogue: JointEpilogue,
    ) -> _Tensor:
        given = (x, self.dilation, offset, width, epilogue)
        return self._packed.joint_overlap_add(*given)


class CompiledToomCook(CompiledColumns):
    """The same by fewer products: four of every two inputs and three taps in place of six."""

    name = "compiled, Toom-Cook"
    packs = compiled.PackedToomCook
    approximates = True
    # Its sums differ from those of the definition at most positions: the largest error of some
    # thousand numbers varies, by a factor of two.
    largest = 4.0

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        offered = super().accepts(problem) and compiled.offers_toom_cook(compiled.load())
        # With few channels in, additions around the products cost more than is saved.
        return offered and problem.count > 1 and problem.channels >= 16

    def compared_with(self, taps: np.ndarray, device: torch.device) -> Kernel:
        return CompiledColumns(taps, self.dilation, device)


class CompiledNarrow(Kernel):
    """This package's kernel in C++ for so few channels out that they do not fill registers."""

    name = "compiled, narrow"

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        super().__init__(taps, dilation, device)
        self._packed = compiled.PackedNarrowColumns(taps, compiled.load())

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        library = compiled.load()
        fits = library is not None and problem.features < library.columns()
        return problem.on_cpu and fits and problem.dilation == 1

    def run(
        self,
        x: _Tensor,
        offset: int,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        return self._packed.overlap_add(x, offset, width, base)


class ProductPerTap(Kernel):
    """One matrix product per tap, added into the window where the tap points."""

    name = "product per tap"

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        super().__init__(taps, dilation, device)
        self._matrices = [torch.tensor(tap, device=device) for tap in taps]

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        return True

    def run(
        self,
        x: _Tensor,
        offset: int,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        out = self._start(x, width, base)
        flat = x.reshape(len(x), out.shape[1], self.channels)
        for j, matrix in enumerate(self._matrices):
            part, read = _overlap(out, flat, offset + j * self.dilation)
            if len(part):
                part.view(-1, self.features).addmm_(read.reshape(-1, self.channels), matrix)
        return out.view(width, *x.shape[1:3], self.features)


class StackedProduct(Kernel):
    """All taps in one matrix product, whose parts are added where the taps point."""

    name = "one product"

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        super().__init__(taps, dilation, device)
        stacked = np.ascontiguousarray(taps.transpose(0, 2, 1).reshape(-1, self.channels))
        self._stacked = torch.tensor(stacked, device=device)

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        # With more channels out, writing the products of all taps costs more than it saves.
        return problem.count > 1 and problem.features < onednn.VECTOR

    def run(
        self,
        x: _Tensor,
        offset: int,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        out = self._start(x, width, base)
        size, rows = len(x), out.shape[1]
        products = self._stacked @ x.reshape(-1, self.channels).T
        for j, product in enumerate(products.view(self.count, self.features, size, rows)):
            part, read = _overlap(out, product.permute(1, 2, 0), offset + j * self.dilation)
            part += read
        return out.view(width, *x.shape[1:3], self.features)


class PackedConvolution(Kernel):
    """The convolution of oneDNN with packed taps, through a private operator of PyTorch.

    Without AVX-512 its weights may be packed anew at every call: up to a thousand times slower.
    """

    name = "oneDNN"

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        super().__init__(taps, dilation, device)
        self._packed = onednn.PackedTaps(taps)

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        return problem.on_cpu and problem.features >= onednn.VECTOR and onednn.usable()

    def run(
        self,
        x: _Tensor,
        offset: int,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        # It cannot leave out what lies outside the window: room for that is thrown away.
        natural = len(x) + (self.count - 1) * self.dilation
        before, after = max(-offset, 0), max(offset + natural - width, 0)
        blocks, mutants = x.shape[1:3]
        room = x.new_empty((before + width + after, blocks * mutants, self.features))
        out = room[before : before + width].view(width, blocks, mutants, self.features)
        out.zero_() if base is None else out.copy_(base.expand_as(out))
        reached = room[before + offset : before + offset + natural]
        flat = x.reshape(len(x), blocks * mutants, self.channels)
        self._packed.add_to(reached, flat, self.dilation)
        return out


class PackedNarrowConvolution(Kernel):
    """The same for few channels out: several outputs at a time fill the vectors."""

    name = "oneDNN, narrow"

    def __init__(self, taps: np.ndarray, dilation: int, device: torch.device) -> None:
        super().__init__(taps, dilation, device)
        self._packed = onednn.PackedNarrowTaps(taps)

    @classmethod
    def accepts(cls, problem: Problem) -> bool:
        fits = problem.features < onednn.VECTOR and problem.dilation == 1
        return problem.on_cpu and fits and onednn.usable()

    def run(
        self,
        x: _Tensor,
        offset: int,
        width: int,
        base: _Tensor | None,
        epilogue: Epilogue | None = None,
    ) -> _Tensor:
        out = self._start(x, width, base)
        made = self._packed(x.reshape(len(x), out.shape[1], self.channels))
        part, read = _overlap(out, made, offset)
        part += read
        return out.view(width, *x.shape[1:3], self.features)


#: The kernel that runs what two edits do to each other where there is no convolution yet.
JOINING = CompiledColumns.name

#: In this order they are used before anything is measured.
KERNELS: tuple[type[Kernel], ...] = (
    CompiledToomCook,
    CompiledColumns,
    CompiledNarrow,
    ProductPerTap,
    StackedProduct,
    PackedNarrowConvolution,
    PackedConvolution,
)


def _overlap(out: _Tensor, x: _Tensor, shift: int) -> tuple[_Tensor, _Tensor]:
    """The positions of `out` that `x` reaches when it begins at `shift`, and those of `x`."""
    first, last = max(shift, 0), min(shift + len(x), len(out))
    last = max(first, last)
    return out[first:last], x[first - shift : last - shift]


def sample(x: _Tensor, problem: Problem, most: int = MOST_MACS, fewest: int = 48) -> _Tensor:
    """A part of a window to measure kernels on, as one block; at least some mutants of it.

    Which kernel is the fastest depends on the number of mutants more than on that of positions, so
    a sample of what needs many multiply-adds has fewer positions first, but three: some kernels
    take two positions together.

    Parameters
    ----------
    x : tensor, shape (size, blocks, mutants, channels)
    problem : Problem
    most : int
        Multiply-adds to aim at.
    fewest : int
        Mutants, if there are as many.

    Returns
    -------
    tensor, shape (positions, 1, some mutants, channels)
    """
    flat = x.reshape(len(x), 1, -1, problem.channels)
    each = problem.count * problem.channels * problem.features
    rows = min(max(most // (each * len(x)), fewest), flat.shape[2])
    # Dilated taps reach far apart: with fewer positions they would not meet.
    positions = max(most // (each * rows), 3) if problem.dilation == 1 else len(x)
    return flat[:positions, :, :rows].contiguous()


#: How many times the error of plain products those of a kernel that approximates may have, as the
#: root of the mean square: of all, and of any position.
WORSE, WORST = 1.5, 4.0


def is_precise(kernel: Kernel, x: _Tensor, taps: np.ndarray) -> bool:
    """Whether a kernel is as near to float64 as plain products in single precision are.

    Parameters
    ----------
    kernel : Kernel
    x : tensor, float32, shape (size, blocks, mutants, channels in)
        What it is asked about: a part of a window, such as `sample` gives.
    taps : ndarray, shape (count, channels in, channels out)

    Returns
    -------
    bool
        Whether the root of the mean square of its error is at most `WORSE` times that of
        `Kernel.compared_with`, at any position at most `WORST` times, and the largest error at most
        `Kernel.largest` times, measured on the device of `x`.
    """
    width = len(x) + (kernel.count - 1) * kernel.dilation
    double = ProductPerTap(taps.astype(np.float64), kernel.dilation, x.device)
    exact = double.run(x.double(), 0, width, None)
    errors = [
        (each.run(x, 0, width, None).double() - exact).abs_()
        for each in (kernel, kernel.compared_with(taps, x.device))
    ]
    squares, plain = (error.square().mean((1, 2, 3)) for error in errors)
    return (
        bool(squares.mean() <= WORSE**2 * plain.mean())
        and bool((squares <= WORST**2 * plain).all())
        and bool(errors[0].max() <= kernel.largest * errors[1].max())
    )


def class_of(rows: Any) -> int:
    """Windows of about as many mutants are of one class: 1, 2 to 7, 8 to 31, to 127, and more."""
    return min(int(rows).bit_length() // 2, 4)

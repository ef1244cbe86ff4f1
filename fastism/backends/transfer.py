"""The first of three protocols that a framework offers: arrays come and go, functions are compiled.

Requirements: numpy only.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np

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


class Transfer(ABC):
    """How arrays come to a device and back, and how functions of them are compiled.

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

    @abstractmethod
    def asarray(self, x: np.ndarray) -> Array:
        """Copy floating-point or integer numbers to the device; floats become `dtype`."""

    @abstractmethod
    def to_numpy(self, x: Array) -> np.ndarray:
        """Copy an array to the host."""

    def constant(self, x: np.ndarray) -> Array:
        """A weight on the device, in `dtype`."""
        return self.asarray(np.ascontiguousarray(x, dtype=self.dtype))

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

    @property
    def resident(self) -> bool:
        """Whether results are brought into their final layout before they leave the device."""
        return False

    def start_copy(self, x: Array) -> Callable[[], np.ndarray]:
        """Begin to copy an array to the host; what is returned waits for the copy and gives it."""
        return partial(self.to_numpy, x)

    def write(self, target: np.ndarray, made: np.ndarray) -> None:
        """Write what has come to the host into an array of results there."""
        target[...] = made

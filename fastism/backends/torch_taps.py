"""The taps of a convolution on PyTorch, in the forms of the kernels that were chosen for them.

Requirements: torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import torch

from fastism.backends import triton_runtime
from fastism.backends.choices import Choices
from fastism.backends.torch_kernels import Kernel, Problem, is_precise, sample
from fastism.backends.torch_products import Chosen
from fastism.backends.transfer import Array

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
        # A copy: of a single tap that was turned, NumPy calls the negative stride contiguous, which
        # PyTorch does not take.
        self._taps = np.array(taps, order="C")
        self._device, self._kernels = device, kernels
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
            # On a sample it hardly matters how far apart the taps are; in whole windows it does.
            alike = replace(problem, dilation=min(dilation, 2))
            key = ("taps", alike, torch.get_num_threads(), *makers)
            compiles = self._device.type == "cuda"
            together = triton_runtime.compiled_together if compiles else None
            self._chosen[dilation] = Chosen(self._choices, key, makers, (dilation,), together)
        return self._chosen[dilation]

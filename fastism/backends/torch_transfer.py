"""PyTorch, first part: arrays come to a device and back, and functions of them are run.

Requirements: torch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch

from fastism.backends.shelf import Shelf
from fastism.backends.transfer import Array, Transfer
from fastism.backends.triton_runtime import keep_out


class TorchTransfer(Transfer):
    """See `Transfer`.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    device : str or torch.device, optional
        Where arrays live; by default a GPU where there is one.
    """

    name: ClassVar[str] = "torch"

    def __init__(self, dtype: str, device: str | torch.device | None = None) -> None:
        super().__init__(dtype)
        keep_out()
        if device is None:
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = torch.device(device)

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

    def write(self, target: np.ndarray, made: np.ndarray) -> None:
        # Results of profiles are some megabytes a sequence. Memory that is touched for the first
        # time takes a thread longer than a GPU takes for them: here all threads share it.
        torch.from_numpy(target).copy_(torch.from_numpy(made))

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

    def _index(self, index: Any) -> Array:
        if isinstance(index, torch.Tensor):
            return index
        return self._moved(torch.from_numpy(np.ascontiguousarray(index)))

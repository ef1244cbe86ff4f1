"""PyTorch, second part: plain operations on arrays.

Requirements: torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from fastism.backends import onednn
from fastism.backends.arrays import Arrays
from fastism.backends.choices import Choices, process_choices
from fastism.backends.torch_products import Matrix
from fastism.backends.torch_transfer import TorchTransfer
from fastism.backends.transfer import Array


class TorchArrays(TorchTransfer, Arrays):
    """See `Arrays`.

    Parameters
    ----------
    dtype, device
        As for `TorchTransfer`.
    choices : Choices, optional
        Which ways were the fastest; by default what was measured in this process.
    """

    def __init__(
        self,
        dtype: str,
        device: str | torch.device | None = None,
        choices: Choices | None = None,
    ) -> None:
        super().__init__(dtype, device)
        on_host = self.device.type == "cpu"
        self._choices = choices or process_choices(on_host)
        self._packs = on_host and dtype == "float32" and onednn.usable()

    def expect(self, seconds: float) -> None:
        self._choices.allow(seconds)

    def prepare_kernel(self, kernel: np.ndarray) -> Array:
        return self.constant(kernel.transpose(2, 1, 0))

    def prepare_matrix(self, matrix: np.ndarray) -> Matrix:
        given = np.asarray(matrix, dtype=self.dtype)
        return Matrix(given, self.device, self._packs, self._choices)

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

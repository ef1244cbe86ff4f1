"""Products with packed weights on a CPU, through the oneDNN that PyTorch ships.

Requirements: torch. PyTorch's own matrix product goes to a library that uses half of the vector
width of some processors; its convolutions go to oneDNN, which uses all of it. The operators
here are those that `torch.compile` emits for frozen models; they are not part of PyTorch's public
interface, so `usable` tries them once against a plain convolution before anything relies on them.
Without them, or with the environment variable ``FASTISM_ONEDNN=0``, PyTorch's public ones do the
same.
"""

from __future__ import annotations

import os
from functools import cache

import numpy as np
import torch

_Tensor = torch.Tensor

#: Channels out that fill the widest vectors of a processor.
VECTOR = 16


class PackedTaps:
    """A convolution along axis 0 of ``(width, rows, channels)`` that adds to its output.

    Parameters
    ----------
    taps : ndarray, shape (taps, channels in, channels out)
        In output order: input ``p`` adds ``x[p] @ taps[j]`` to output ``p + j * dilation``.
    room : tensor, float32, shape (channels out, channels in, taps, 1), optional
        Written to on the way.
    """

    def __init__(self, taps: np.ndarray, room: _Tensor | None = None) -> None:
        self.count, self.channels, self.features = taps.shape
        shape = (self.features, self.channels, self.count, 1)
        weight = torch.empty(shape, dtype=torch.float32) if room is None else room
        weight.numpy()[..., 0] = taps[::-1].transpose(2, 1, 0)
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight, [self.count - 1, 0], [1, 1], [1, 1], 1, [1, self.channels, 64, 64]
        )

    def add_to(self, out: _Tensor, x: _Tensor, dilation: int = 1) -> None:
        """Add to all ``len(x) + (taps - 1) * dilation`` outputs in place.

        Parameters
        ----------
        out : tensor, shape (outputs, rows, channels out), contiguous
        x : tensor, shape (inputs, rows, channels in), contiguous
        dilation : int
        """
        torch.ops.mkldnn._convolution_pointwise_.binary(
            out[None].permute(0, 3, 1, 2),
            x[None].permute(0, 3, 1, 2),
            self._weight,
            None,
            [(self.count - 1) * dilation, 0],
            [1, 1],
            [dilation, 1],
            1,
            "add",
            1.0,
            None,
            [],
            None,
        )


class PackedNarrowTaps:
    """A convolution with few output channels, several outputs of it at a time.

    Vectors of the processor hold 16 channels. A convolution of fewer is turned into one whose
    channels are neighbouring outputs, with as large a stride: ``size`` outputs of ``taps`` taps
    each cost ``taps + size - 1`` taps, and the vectors are full.

    Parameters
    ----------
    taps : ndarray, shape (taps, channels in, channels out)
        In output order, undilated.
    """

    def __init__(self, taps: np.ndarray) -> None:
        self.count, self.channels, self.features = taps.shape
        self.group = VECTOR // self.features
        read = self.count + self.group - 1
        kernel = np.zeros((read, self.channels, self.group, self.features), dtype=taps.dtype)
        for output in range(self.group):
            kernel[output : output + self.count, :, output] = taps[::-1]
        weight = torch.tensor(kernel.reshape(read, self.channels, -1).transpose(2, 1, 0))
        # A whole group more than the taps need, so that the last group is complete.
        self._pad = self.count - 1 + self.group
        self._weight = torch.ops.mkldnn._reorder_convolution_weight(
            weight[..., None].contiguous(),
            [self._pad, 0],
            [self.group, 1],
            [1, 1],
            1,
            [1, self.channels, 256, 64],
        )

    def __call__(self, x: _Tensor) -> _Tensor:
        """All ``len(x) + taps - 1`` outputs, shape (outputs, rows, channels out).

        Parameters
        ----------
        x : tensor, shape (inputs, rows, channels in), contiguous
        """
        y = torch.ops.mkldnn._convolution_pointwise(
            x[None].permute(0, 3, 1, 2),
            self._weight,
            None,
            [self._pad, 0],
            [self.group, 1],
            [1, 1],
            1,
            "none",
            [],
            "",
        )
        groups = y.permute(0, 2, 3, 1).reshape(-1, x.shape[1], self.group, self.features)
        rows = groups.transpose(1, 2).reshape(-1, x.shape[1], self.features)
        return rows[self.group : self.group + len(x) + self.count - 1]


class PackedMatrix:
    """A matrix ``(features in, features out)`` to multiply rows with.

    Parameters
    ----------
    matrix : ndarray, shape (features in, features out)
    """

    def __init__(self, matrix: np.ndarray) -> None:
        self.shape = matrix.shape
        weight = torch.tensor(np.ascontiguousarray(matrix.T))
        self._weight = torch.ops.mkldnn._reorder_linear_weight(weight, 256)

    def __rmatmul__(self, x: _Tensor) -> _Tensor:
        return torch.ops.mkldnn._linear_pointwise(
            x.contiguous(), self._weight, None, "none", [], ""
        )


def usable() -> bool:
    """Whether the operators may be used, and this build of PyTorch has them."""
    return os.environ.get("FASTISM_ONEDNN", "1") != "0" and _right()


@cache
def _right() -> bool:
    """Whether this build of PyTorch has the operators, and they give the right numbers."""
    if not torch.backends.mkldnn.is_available():
        return False
    rng = np.random.default_rng(0)
    taps = rng.standard_normal((3, 16, 32)).astype(np.float32)
    x = rng.standard_normal((5, 6, 16)).astype(np.float32)
    expected = np.ones((9, 6, 32), dtype=np.float32)
    for j in range(3):
        expected[2 * j : 2 * j + 5] += x @ taps[j]
    try:
        with torch.inference_mode():
            out = torch.ones((9, 6, 32))
            PackedTaps(taps).add_to(out, torch.tensor(x), 2)
            rows = torch.tensor(x[0])
            narrow = PackedNarrowTaps(taps[:, :, :3])(torch.tensor(x))
            product = rows @ PackedMatrix(taps[0])
    except (AttributeError, RuntimeError, NotImplementedError, TypeError):
        return False
    sums = np.zeros((7, 6, 3), dtype=np.float32)
    for j in range(3):
        sums[j : j + 5] += x @ taps[j, :, :3]
    pairs = ((out, expected), (narrow, sums), (product, x[0] @ taps[0]))
    return all(np.allclose(a.numpy(), e, atol=1e-4) for a, e in pairs)

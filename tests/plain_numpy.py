"""What the backends of the tests share: the few operations that all others follow from, as loops.

`PlainNumpy` states what each of them means. `oracle.Oracle` states what the others mean, and
`numpy_backend.NumpyBackend` runs graphs with those that follow from these.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np

from fastism.backends.base import Backend


def erf(x: np.ndarray) -> np.ndarray:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def gelu(x: np.ndarray, approximate: bool = True) -> np.ndarray:
    if approximate:
        return x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)))
    return x / 2 * (1 + erf(x / np.sqrt(2)))


def elu(x: np.ndarray, alpha: float = 1.0) -> np.ndarray:
    return np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))


def softmax(x: np.ndarray) -> np.ndarray:
    raised = np.exp(x - x.max(-1, keepdims=True))
    return raised / raised.sum(-1, keepdims=True)


#: The names of `fastism.rules.pointwise` as formulas.
FUNCTIONS = {
    "abs": np.abs,
    "cos": np.cos,
    "elu": elu,
    "exp": np.exp,
    "gelu": gelu,
    "hard_sigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "clip": lambda x, low=-np.inf, high=np.inf: np.clip(x, low, high),
    "leaky_relu": lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    "log": np.log,
    "log_softmax": lambda x: np.log(softmax(x)),
    "negative": lambda x: -x,
    "negative_part": lambda x: np.minimum(x, 0),
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "selu": lambda x: 1.0507009873554805 * elu(x, 1.6732632423543772),
    "sigmoid": sigmoid,
    "silu": lambda x: x * sigmoid(x),
    "sin": np.sin,
    "softmax": softmax,
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "softsign": lambda x: x / (1 + np.abs(x)),
    "sqrt": np.sqrt,
    "square": lambda x: x * x,
    "tanh": np.tanh,
}


class PlainNumpy(Backend):
    """Arrays of NumPy; counts the multiply-adds that it does.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    uniform : bool
        Ask for windows of equal widths, as a compiler with static shapes does.
    """

    name: ClassVar[str] = "numpy"
    xp: ClassVar[Any] = np

    def __init__(self, dtype: str = "float64", uniform: bool = False) -> None:
        super().__init__(dtype)
        self.uniform = uniform  # type: ignore[misc]
        self.macs = 0

    def asarray(self, x):
        x = np.asarray(x)
        return np.array(x, dtype=None if x.dtype.kind in "iu" else self.dtype)

    def to_numpy(self, x):
        return np.array(x)

    def function(self, name, x, reuse=False, **parameters):
        return np.array(FUNCTIONS[name](x, **parameters))

    def matmul(self, x, y):
        self.macs += x.size * y.shape[1]
        return x @ y

    def conv1d(self, x, kernel, stride, dilation, groups, pad):
        x = self.pad(x, *pad)
        taps, channels, features = kernel.shape
        outputs = (x.shape[1] - (taps - 1) * dilation - 1) // stride + 1
        grouped = x.reshape(len(x), x.shape[1], groups, channels)
        split = kernel.reshape(taps, channels, groups, features // groups)
        y = np.zeros((len(x), outputs, features), x.dtype)
        for q in range(outputs):
            for t in range(taps):
                read = grouped[:, q * stride + t * dilation]
                product = np.einsum("bgc,cgf->bgf", read, split[t])
                y[:, q] += product.reshape(len(x), features)
        self.macs += len(x) * outputs * kernel.size
        return y

    def edit_windows(self, kinds, edits, width):
        begin, kind = np.asarray(edits)
        out = np.zeros((width, *begin.shape, kinds.shape[2]), kinds.dtype)
        for where in np.ndindex(begin.shape):
            for row, values in enumerate(kinds[kind[where]][1:-1], begin[where]):
                if 0 <= row < width:
                    out[(row, *where)] = values
        return out

    def lookup(self, table, sequence, start, width):
        blocks = [
            table[s, int(a) : int(a) + width]
            for s, a in zip(np.asarray(sequence), np.asarray(start), strict=True)
        ]
        assert all(len(x) == width for x in blocks), "a window leaves the sequence"
        return np.stack(blocks, 1)[:, :, None]

    def place(self, x, offset, width, fill=0.0):
        out = np.full((width, *x.shape[1:]), fill, x.dtype)
        for block, by in enumerate(each_block(offset, x.shape[1])):
            for p in range(len(x)):
                if 0 <= p + by < width:
                    out[p + by, block] = x[p, block]
        return out

    def add_taps(self, x, taps, dilation, offset, width, base):
        out = np.zeros((width, *x.shape[1:3], taps.shape[2]), x.dtype)
        for block, by in enumerate(each_block(offset, x.shape[1])):
            for p in range(len(x)):
                for j in range(len(taps)):
                    if 0 <= p + j * dilation + by < width:
                        out[p + j * dilation + by, block] += x[p, block] @ taps[j]
                        self.macs += x[p, block].size * taps.shape[2]
        return out if base is None else out + base

    def rebuild(self, table, sequence, start, x, delta):
        rows = []
        for block, (which, first) in enumerate(zip(sequence, start, strict=True)):
            for mutant in range(x.shape[2]):
                row = table[which].copy()
                here = slice(int(first), int(first) + len(x))
                row[here] = x[:, block, mutant] + (row[here] if delta else 0)
                rows.append(row)
        return np.stack(rows)


def each_block(offset, blocks: int) -> list[int]:
    """One offset per block; None means that there is nothing to move."""
    return np.broadcast_to(0 if offset is None else offset, blocks).tolist()

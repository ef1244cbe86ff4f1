"""What tests compare against: every primitive as plain loops, and models run in full.

Nothing here is fast or clever. `Oracle` states what each primitive of a backend means;
`full_pass` computes a graph on whole tensors with the rules' `full`, no windows involved.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import numpy as np

from fastism.backends.base import Backend
from fastism.graph.nodes import Graph


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


class Oracle(Backend):
    """Every primitive by brute force; computes in float64, whatever `dtype` says."""

    name: ClassVar[str] = "numpy"

    def __init__(self, dtype: str = "float64", uniform: bool = False) -> None:
        super().__init__(dtype)
        self.uniform = uniform

    def asarray(self, x):
        x = np.asarray(x)
        return x.copy() if np.issubdtype(x.dtype, np.integer) else x.astype(np.float64)

    def constant(self, x):
        return np.array(x, dtype=np.float64)

    def to_numpy(self, x):
        return np.array(x)

    # ---- full tensors -------------------------------------------------------------------

    def conv1d(self, x, kernel, stride, dilation, groups, pad):
        x = self.pad(x, *pad)
        taps, channels, features = kernel.shape
        outputs = (x.shape[1] - (taps - 1) * dilation - 1) // stride + 1
        y = np.zeros((len(x), outputs, features))
        for q in range(outputs):
            for f in range(features):
                group = f // (features // groups)
                own = slice(group * channels, (group + 1) * channels)
                for t in range(taps):
                    y[:, q, f] += x[:, q * stride + t * dilation, own] @ kernel[t, :, f]
        return y

    def max_pool(self, x, size, stride, pad):
        return self._pooled(self.pad(x, *pad, value=-np.inf), size, stride, np.max)

    def sum_pool(self, x, size, stride, pad):
        return self._pooled(self.pad(x, *pad), size, stride, np.sum)

    def _pooled(self, x, size, stride, combine):
        first = range(0, x.shape[1] - size + 1, stride)
        return np.stack([combine(x[:, i : i + size], axis=1) for i in first], 1)

    def function(self, name, x, reuse=False, **parameters):
        return FUNCTIONS[name](x, **parameters)

    def layer_norm(self, x, epsilon, centre):
        x = x - x.mean(-1, keepdims=True) if centre else x
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)

    def matmul(self, x, y):
        return x @ y

    def maximum(self, x, y):
        return np.maximum(x, y)

    def minimum(self, x, y):
        return np.minimum(x, y)

    def max(self, x, axis):
        return x.max(axis)

    def sum(self, x, axis):
        return x.sum(axis)

    def running_max(self, x, axis):
        return np.maximum.accumulate(x, axis)

    def reshape(self, x, shape):
        return x.reshape(shape)

    def transpose(self, x, axes):
        return x.transpose(axes)

    def concatenate(self, arrays, axis):
        return np.concatenate(arrays, axis)

    def flip(self, x, axis):
        return np.flip(x, axis)

    def repeat(self, x, times, axis):
        return np.repeat(x, times, axis)

    def pad(self, x, left, right, value=0.0):
        return np.pad(x, ((0, 0), (left, right), (0, 0)), constant_values=value)

    def broadcast(self, x, shape):
        return np.broadcast_to(x, shape)

    def take(self, x, index, axis):
        return np.take(x, index, axis)

    def insert_zeros(self, x, factor, axis):
        spread = np.zeros((*x.shape[:axis], x.shape[axis] * factor, *x.shape[axis + 1 :]))
        index = [slice(None)] * x.ndim
        index[axis] = slice(0, None, factor)
        spread[tuple(index)] = x
        return spread

    # ---- windows ------------------------------------------------------------------------

    def lookup(self, table, sequence, start, width):
        blocks = [table[s, p : p + width] for s, p in zip(sequence, start, strict=True)]
        return np.stack(blocks, 1)[:, :, None]

    def place(self, x, offset, width, fill=0.0):
        out = np.full((width, *x.shape[1:]), fill)
        for block, by in enumerate(_each(offset, x.shape[1])):
            for p in range(len(x)):
                if 0 <= p + by < width:
                    out[p + by, block] = x[p, block]
        return out

    def add_taps(self, x, taps, dilation, offset, width, base):
        out = np.zeros((width, *x.shape[1:3], taps.shape[2]))
        for block, by in enumerate(_each(offset, x.shape[1])):
            for p in range(len(x)):
                for j in range(len(taps)):
                    if 0 <= p + j * dilation + by < width:
                        out[p + j * dilation + by, block] += x[p, block] @ taps[j]
        return out if base is None else out + base

    def conv_window(self, x, kernel, stride, dilation, groups):
        rows = x.reshape(len(x), -1, x.shape[3]).transpose(1, 0, 2)
        y = self.conv1d(rows, kernel, stride, dilation, groups, (0, 0)).transpose(1, 0, 2)
        return y.reshape(len(y), *x.shape[1:3], -1)

    def pool_window(self, x, size, stride, width, mode):
        combine = {"max": np.max, "sum": np.sum}[mode]
        first = [i * stride for i in range(width)]
        return np.stack([combine(x[i : i + size], axis=0) for i in first])

    def add_windows(self, xs, weights, offsets, width, base, reuse):
        terms = [] if base is None else [base]
        for x, weight, offset in zip(xs, weights, offsets, strict=True):
            if x is not None:
                terms.append(weight * self.place(x, offset, width))
        return sum(terms[1:], terms[0])

    def add_reference(self, x, reference, reuse):
        return x + reference

    def rectify(self, x, reference, reuse):
        return np.maximum(x, -reference)

    def join_channels(self, xs, channels):
        shape = np.broadcast_shapes(*(x.shape[:3] for x in xs if x is not None))
        filled = [
            np.zeros((*shape, c)) if x is None else np.broadcast_to(x, (*shape, c))
            for x, c in zip(xs, channels, strict=True)
        ]
        return np.concatenate(filled, 3)

    def rebuild(self, table, sequence, start, x, delta):
        rows = []
        for block, (which, first) in enumerate(zip(sequence, start, strict=True)):
            for mutant in range(x.shape[2]):
                row = table[which].copy()
                here = slice(first, first + len(x))
                row[here] = x[:, block, mutant] + (row[here] if delta else 0)
                rows.append(row)
        return np.stack(rows)

    def contiguous(self, x):
        return x

    def overlap_add(self, x, taps, dilation, offset, width, base=None, epilogue=None):
        if epilogue is None:
            return self.add_taps(x, taps, dilation, offset, width, base)
        assert base is None, "an epilogue has the reference already"
        reference, pooling = epilogue.reference, epilogue.pooling
        mutant = self.add_taps(x, taps, dilation, offset, width, reference)
        if pooling is not None:
            assert epilogue.residual is None, "a residual and a pool do not go together"
            mutant = self.place(mutant, pooling.offset, pooling.read, -np.inf)
            mutant = self.pool_window(mutant, pooling.size, pooling.stride, pooling.width, "max")
            mutant = mutant if pooling.sign is None else mutant * pooling.sign
            reference = pooling.reference
        made = np.maximum(mutant, 0) - np.maximum(reference, 0)
        if epilogue.residual is None:
            return made
        return made + self.place(epilogue.residual, epilogue.residual_offset, width)

    def joint_overlap_add(self, x, taps, dilation, offset, width, epilogue):
        z, a, b = epilogue.reference, epilogue.first, epilogue.second
        both = z + a + b + self.add_taps(x, taps, dilation, offset, width, None)
        made = np.maximum(both, 0) - np.maximum(z + a, 0) - np.maximum(z + b, 0) + np.maximum(z, 0)
        if epilogue.residual is None:
            return made
        return made + self.place(epilogue.residual, epilogue.residual_offset, width)

    def flatten_dense(self, windows, starts, kernel, reference, sequences):
        rows = []
        for window, start, sequence in zip(windows, starts, sequences, strict=True):
            for block, (first, which) in enumerate(zip(start, sequence, strict=True)):
                for mutant in range(window.shape[2]):
                    part = kernel[first : first + len(window)]
                    delta = np.einsum("pc,pcf->f", window[:, block, mutant], part)
                    rows.append(reference[which] + delta)
        return np.stack(rows)

    def add_rows(self, x, kernel, start):
        return np.einsum("prc,pcf->rf", x, kernel[start : start + len(x)])


def _each(offset, blocks: int) -> list[int]:
    """One offset per block; None means that there is nothing to move."""
    return np.broadcast_to(0 if offset is None else offset, blocks).tolist()


def full_pass(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of a graph for a batch of whole inputs, in float64."""
    b = Oracle()
    values = dict(zip(graph.inputs, inputs, strict=True))
    for index, node in enumerate(graph.nodes):
        if index not in values:
            sources = [values[i] for i in node.inputs]
            values[index] = node.rule.full(b, node.rule.prepare(b), sources)
    return [values[i] for i in graph.outputs]

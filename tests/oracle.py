"""What tests compare against: every primitive as plain loops, and models run in full.

Nothing here is fast or clever. `Oracle` states what each primitive of a backend means;
`full_pass` computes a graph on whole tensors with the rules' `full`, no windows involved.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from plain_numpy import PlainNumpy

from fastism.graph.nodes import Graph


class Oracle(PlainNumpy):
    """Every primitive by brute force; computes in float64, whatever `dtype` says."""

    def asarray(self, x):
        x = np.asarray(x)
        return x.copy() if np.issubdtype(x.dtype, np.integer) else x.astype(np.float64)

    def constant(self, x):
        return np.array(x, dtype=np.float64)

    # ---- full tensors -------------------------------------------------------------------

    def max_pool(self, x, size, stride, pad):
        return self._pooled(self.pad(x, *pad, value=-np.inf), size, stride, np.max)

    def sum_pool(self, x, size, stride, pad):
        return self._pooled(self.pad(x, *pad), size, stride, np.sum)

    def _pooled(self, x, size, stride, combine):
        first = range(0, x.shape[1] - size + 1, stride)
        return np.stack([combine(x[:, i : i + size], axis=1) for i in first], 1)

    def layer_norm(self, x, epsilon, centre):
        x = x - x.mean(-1, keepdims=True) if centre else x
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + epsilon)

    def insert_zeros(self, x, factor, axis):
        spread = np.zeros((*x.shape[:axis], x.shape[axis] * factor, *x.shape[axis + 1 :]))
        index = [slice(None)] * x.ndim
        index[axis] = slice(0, None, factor)
        spread[tuple(index)] = x
        return spread

    # ---- windows ------------------------------------------------------------------------

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

    def join_channels(self, xs, channels):
        shape = np.broadcast_shapes(*(x.shape[:3] for x in xs if x is not None))
        filled = [
            np.zeros((*shape, c)) if x is None else np.broadcast_to(x, (*shape, c))
            for x, c in zip(xs, channels, strict=True)
        ]
        return np.concatenate(filled, 3)

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
        if epilogue.residual is not None:
            made = made + self.place(epilogue.residual, epilogue.residual_offset, width)
        return made.sum(0, keepdims=True) if epilogue.total else made

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


def full_pass(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Outputs of a graph for a batch of whole inputs, in float64."""
    b = Oracle()
    values = dict(zip(graph.inputs, inputs, strict=True))
    for index, node in enumerate(graph.nodes):
        if index not in values:
            sources = [values[i] for i in node.inputs]
            values[index] = node.rule.full(b, node.rule.prepare(b), sources)
    return [values[i] for i in graph.outputs]

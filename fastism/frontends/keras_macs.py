"""Multiply-adds of Keras layers and operations without a rule, by their shapes and weights.

Requirements: keras. For steps in full: how long they take beside the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

from keras import layers

Shape = tuple[int, ...]
#: ``formula(layer, input shapes, output shape)`` by class; shapes without the batch axis.
Formula = Callable[[Any, Sequence[Shape], Shape], int | None]
FORMULAS: dict[type, Formula] = {}
#: Names of operations of `keras.ops` that multiply, by what they do.
PRODUCTS = ("Matmul", "Dot", "Inner", "Vdot")
CONTRACTIONS = ("Einsum",)
#: Names of those whose work does not follow from shapes by a simple formula.
UNKNOWN = ("Tensordot", "Conv", "Rnn", "FFT", "RFFT", "STFT", "Solve", "SVD", "Eig", "Inv", "Outer")


def multiply_adds(operation: Any, shapes: Sequence[Shape], made: Shape) -> int | None:
    """Multiply-adds of one call for one sequence; None where they cannot be known.

    Parameters
    ----------
    operation : keras layer or operation
    shapes : sequence of tuple
        Of its inputs, without the batch axis.
    made : tuple of int
        Of its (first) output.
    """
    kind = type(operation)
    if kind in FORMULAS:
        return FORMULAS[kind](operation, shapes, made)
    if not kind.__module__.startswith("keras."):
        return None
    if isinstance(operation, layers.Layer):
        known = not isinstance(operation, (layers.Lambda, layers.RNN, layers.Wrapper))
        return 0 if known and all(len(w.shape) < 2 for w in operation.weights) else None
    if kind.__name__ in PRODUCTS:
        return prod(made) * shapes[0][-1] if shapes and shapes[0] else None
    if kind.__name__ in CONTRACTIONS:
        # The batch is a label of its own, which counts once.
        return _contracted(operation.subscripts, [(1, *shape) for shape in shapes])
    return None if kind.__name__.startswith(UNKNOWN) else 0


def _counts(*classes: type | None) -> Callable[[Formula], Formula]:
    def register(formula: Formula) -> Formula:
        FORMULAS.update({cls: formula for cls in classes if cls is not None})
        return formula

    return register


def _contracted(equation: str, shapes: Sequence[Shape]) -> int | None:
    """Product of the sizes of all labels of an Einstein sum."""
    terms = equation.replace(" ", "").split("->")[0].split(",")
    if "..." in equation or len(terms) != len(shapes):
        return None
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        sizes.update(zip(term, shape, strict=True))
    return prod(sizes.values())


@_counts(layers.Dense)
def _dense(layer: Any, shapes: Sequence[Shape], made: Shape) -> int:
    return prod(made) * shapes[0][-1]


@_counts(layers.EinsumDense)
def _einsum_dense(layer: Any, shapes: Sequence[Shape], made: Shape) -> int | None:
    first, second = layer.equation.replace(" ", "").split("->")[0].split(",")
    if "..." in first:
        return prod(made) * prod(layer.kernel.shape) // max(prod(made[-1:]), 1)
    return _contracted(f"{first},{second}->", [(1, *shapes[0]), tuple(layer.kernel.shape)])


@_counts(layers.Conv1D, layers.Conv2D, layers.Conv3D)
def _convolution(layer: Any, shapes: Sequence[Shape], made: Shape) -> int:
    return prod(made) * prod(layer.kernel.shape[:-1])


@_counts(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
def _transposed(layer: Any, shapes: Sequence[Shape], made: Shape) -> int:
    return prod(shapes[0]) * prod(layer.kernel.shape[:-1])


@_counts(layers.DepthwiseConv1D, layers.DepthwiseConv2D)
def _depthwise(layer: Any, shapes: Sequence[Shape], made: Shape) -> int:
    return prod(made) * prod(layer.kernel.shape[:-2])


@_counts(layers.LSTM, layers.GRU, layers.SimpleRNN)
def _recurrent(layer: Any, shapes: Sequence[Shape], made: Shape) -> int:
    matrices = [w for w in layer.weights if len(w.shape) == 2 and "kernel" in w.path]
    return shapes[0][0] * sum(prod(w.shape) for w in matrices)


@_counts(layers.Bidirectional)
def _bidirectional(layer: Any, shapes: Sequence[Shape], made: Shape) -> int | None:
    parts = [multiply_adds(x, shapes, made) for x in (layer.forward_layer, layer.backward_layer)]
    return None if None in parts else sum(parts)


@_counts(layers.TimeDistributed)
def _every_position(layer: Any, shapes: Sequence[Shape], made: Shape) -> int | None:
    once = multiply_adds(layer.layer, [shape[1:] for shape in shapes], made[1:])
    return None if once is None else shapes[0][0] * once


@_counts(layers.MultiHeadAttention)
def _multi_head(layer: Any, shapes: Sequence[Shape], made: Shape) -> int | None:
    query, value, *more = shapes
    key = more[0] if more else value
    if len(query) != 2 or len(value) != 2 or len(key) != 2:
        return None
    heads, inner = layer.num_heads, layer.key_dim
    outer = layer.value_dim or inner
    projected = query[0] * query[1] * inner + key[0] * key[1] * inner
    projected += value[0] * value[1] * outer + query[0] * outer * made[-1]
    return heads * (projected + query[0] * key[0] * (inner + outer))


@_counts(layers.Attention, layers.AdditiveAttention)
def _attention(layer: Any, shapes: Sequence[Shape], made: Shape) -> int:
    query, value, *more = shapes
    key = more[0] if more else value
    scores = key[-1] if isinstance(layer, layers.Attention) else 0
    return query[0] * key[0] * (scores + value[-1])

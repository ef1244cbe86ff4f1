"""ATen operators that multiply tensors and sum over an axis: matrix products, einsum.

Requirements: torch. Handlers as in `fastism.frontends.torch_ops`, in the same register.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastism.frontends.torch_ops import Made, constants, dense, handles
from fastism.frontends.torch_pointwise import multiply
from fastism.frontends.torch_pooling import reduction
from fastism.frontends.torch_values import Emit, Value, host

BOTH = "a product of two tensors that depend on the input"


@handles("matmul.default", "mm.default", "bmm.default")
def matmul(emit: Emit, x: Value, y: Any) -> Made:
    """A product with a constant matrix; or of a row, or with a column, as a sum of products."""
    if isinstance(y, Value):
        return _sum_of_products(emit, x, y)
    if not constants(y) or y.dim() != 2:
        return BOTH
    return dense(emit, x, host(y), None)


def _sum_of_products(emit: Emit, x: Value, y: Value) -> Made:
    if len(x.axes) != 2 or len(y.axes) != 2:
        return BOTH
    if emit.shape(x)[0] == 1:
        return _multiplied(emit, Value(x.node, x.axes[::-1]), y, [1], keep=True)
    if emit.shape(y)[1] == 1:
        return _multiplied(emit, x, Value(y.node, y.axes[::-1]), [2], keep=True)
    return BOTH


def _multiplied(emit: Emit, x: Value, y: Value, dims: Sequence[int], keep: bool) -> Made:
    """A product with broadcasting, summed over some axes."""
    made = multiply(emit, x, y)
    if not isinstance(made, Value) or not dims:
        return made
    return reduction("sum")(emit, made, list(dims), keep)


@handles("einsum.default", any_operand=True)
def einsum(emit: Emit, equation: str, tensors: Sequence[Any], *, path: Any = None) -> Made:
    """A product of two tensors with broadcasting, summed over axes that they share."""
    terms, _, out = equation.replace(" ", "").partition("->")
    named = terms.split(",")
    listed = [*named, out]
    if len(named) != 2 or "." in equation or not all(isinstance(x, Value) for x in tensors):
        return "an einsum of other than two tensors that depend on the input"
    if any(len(set(term)) != len(term) for term in listed) or len({t[:1] for t in listed}) != 1:
        return "an einsum of diagonals, or over the batch"
    shapes = [emit.shape(x) for x in tensors]
    long = [
        {letter for letter, n in zip(term[1:], shape, strict=True) if n > 1}
        for term, shape in zip(named, shapes, strict=True)
    ]
    if long[0] - long[1] and long[1] - long[0]:
        return BOTH
    letters = "".join(dict.fromkeys(out[1:] + named[0][1:] + named[1][1:]))
    x, y = (
        Value(v.node, tuple(v.axes[term.index(c) - 1] if c in term[1:] else None for c in letters))
        for v, term in zip(tensors, named, strict=True)
    )
    dims = [number for number, c in enumerate(letters, 1) if c not in out]
    return _multiplied(emit, x, y, dims, keep=False)

"""Multiply-adds of ATen operators, by the shapes of their arguments.

Requirements: torch. For operators without a rule: how long a step in full takes beside the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch

Shape = tuple[int, ...]
#: ``formula(arguments, result)`` by operator: arguments with a `Sized` in place of every tensor.
Formula = Callable[[Sequence[Any], Shape], int]
FORMULAS: dict[str, Formula] = {}
#: Beginnings of the names of operators whose work does not follow from shapes by a simple formula.
UNKNOWN = ("_cdist", "_cudnn_rnn", "_fft", "_linalg", "_trilinear", "cdist", "fft", "linalg")


@dataclass(frozen=True)
class Sized:
    """A tensor of which only the shape is known."""

    shape: Shape


def multiply_adds(target: Any, args: Sequence[Any], made: Shape) -> int | None:
    """Multiply-adds of one call; None where they cannot be known.

    Parameters
    ----------
    target : operator
        As in the calls of a captured module.
    args : sequence
        Its arguments, with a `Sized` in place of every tensor.
    made : tuple of int
        Shape of its (first) result.
    """
    packet = getattr(target, "overloadpacket", None)
    name = getattr(packet, "__name__", "")
    if not isinstance(target, torch._ops.OpOverload):
        # Functions of Python, such as `getitem`; operators that take graphs may do anything.
        return None if isinstance(target, torch._ops.HigherOrderOperator) else 0
    if target.namespace != "aten" or name.startswith(UNKNOWN):
        return None
    formula = FORMULAS.get(name)
    return 0 if formula is None else formula(args, made)


def _counts(*names: str) -> Callable[[Formula], Formula]:
    def register(formula: Formula) -> Formula:
        FORMULAS.update(dict.fromkeys(names, formula))
        return formula

    return register


@_counts("linear", "matmul", "mm", "bmm", "mv", "dot")
def _product(args: Sequence[Any], made: Shape) -> int:
    return prod(made) * args[0].shape[-1]


@_counts("addmm", "baddbmm", "addmv")
def _added_product(args: Sequence[Any], made: Shape) -> int:
    return prod(made) * args[1].shape[-1]


@_counts("bilinear")
def _bilinear(args: Sequence[Any], made: Shape) -> int:
    return prod(made) * prod(args[2].shape[1:])


@_counts("einsum")
def _einsum(args: Sequence[Any], made: Shape) -> int:
    terms = args[0].replace(" ", "").split("->")[0].split(",")
    sizes: dict[str, int] = {}
    more = 1
    for term, x in zip(terms, args[1], strict=True):
        before, _, after = term.partition("...")
        inner = x.shape[len(before) : len(x.shape) - len(after)] if "..." in term else ()
        more = max(more, prod(inner))
        named = (*x.shape[: len(before)], *x.shape[len(x.shape) - len(after) :])
        sizes.update(zip(before + after, named, strict=False))
    return more * prod(sizes.values())


@_counts("conv1d", "conv2d", "conv3d")
def _convolution(args: Sequence[Any], made: Shape) -> int:
    return prod(made) * prod(args[1].shape[1:])


@_counts("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _transposed(args: Sequence[Any], made: Shape) -> int:
    return prod(args[0].shape) * prod(args[1].shape[1:])


@_counts("convolution")
def _general_convolution(args: Sequence[Any], made: Shape) -> int:
    return (_transposed if args[6] else _convolution)(args, made)


@_counts(
    "scaled_dot_product_attention",
    "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_flash_attention",
    "_scaled_dot_product_efficient_attention",
    "_scaled_dot_product_attention_math",
)
def _attention(args: Sequence[Any], made: Shape) -> int:
    query, key, value = (x.shape for x in args[:3])
    return prod(query[:-1]) * key[-2] * (query[-1] + value[-1])


@_counts("lstm", "gru", "rnn_tanh", "rnn_relu")
def _recurrent(args: Sequence[Any], made: Shape) -> int:
    steps = prod(args[0].shape[:-1])
    weights = next(x for x in args[2:] if isinstance(x, (list, tuple)))
    return steps * sum(prod(w.shape) for w in weights if len(w.shape) == 2)


@_counts("_native_multi_head_attention")
def _multi_head(args: Sequence[Any], made: Shape) -> int:
    length, width = args[0].shape[-2:]
    weights = prod(args[5].shape) + prod(args[7].shape)
    return length * weights + 2 * length * length * width


@_counts("_transformer_encoder_layer_fwd")
def _transformer(args: Sequence[Any], made: Shape) -> int:
    length, width = args[0].shape[-2:]
    weights = [x for x in args[1:] if isinstance(x, Sized) and len(x.shape) == 2]
    return length * sum(prod(w.shape) for w in weights) + 2 * length * length * width

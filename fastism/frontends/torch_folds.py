"""ATen operators on tensors whose positions are split into groups of neighbours: attention pooling.

Requirements: torch. A module writes ``(batch, channels, length)`` as ``(batch, channels, groups,
neighbours)`` and pools over the neighbours by itself. Such a tensor is a `Value` with a fold. Each
operator here takes at least one of them; all others see only tensors without a fold.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx
from torch.utils import _pytree

from fastism.frontends import torch_views  # noqa: F401  (registers its handlers)
from fastism.frontends.torch_ops import OPERATORS, Handler, Made, constants, handles
from fastism.frontends.torch_pointwise import scaled
from fastism.frontends.torch_values import Emit, Value, host
from fastism.rules import AveragePool, Convolution, MaxPool, PositionAffine, SoftmaxPool

FOLDED: dict[Any, Handler] = {}
#: Operators on every element alone, which do not care how positions are laid out.
ELEMENTWISE = (
    *("abs", "add", "clamp", "clone", "contiguous", "cos", "div", "dropout", "elu", "exp", "gelu"),
    *("hardsigmoid", "hardswish", "hardtanh", "leaky_relu", "log", "log_sigmoid", "maximum"),
    *("minimum", "mish", "mul", "neg", "pow", "relu", "relu6", "rsub", "selu", "sigmoid", "silu"),
    *("sin", "softplus", "sqrt", "square", "sub", "tanh", "to"),
)
ATEN = torch.ops.aten


def _handles(*names: str) -> Callable[[Handler], Handler]:
    def register(handler: Handler) -> Handler:
        for name in names:
            packet = getattr(ATEN, name)
            for overload in packet.overloads():
                FOLDED[getattr(packet, overload)] = handler
        return handler

    return register


def is_folded(arguments: Any) -> bool:
    """Whether a tensor with a fold is among the arguments of a call."""
    return any(isinstance(x, Value) and x.fold for x in _pytree.tree_leaves(arguments))


def _elementwise(plain: Handler) -> Handler:
    """The rule for tensors without a fold, for those that have one."""

    def handler(emit: Emit, *args: Any, **kwargs: Any) -> Made:
        values = [x for x in _pytree.tree_leaves((args, kwargs)) if isinstance(x, Value)]
        lead = next(x for x in values if x.fold)
        if any((x.axes, x.fold) != (lead.axes, lead.fold) for x in values):
            return "a tensor with an axis of neighbours, and one without"
        place = lead.folded_axis

        def flat(x: Any) -> Any:
            if isinstance(x, Value):
                return x.unfolded
            if isinstance(x, torch.Tensor) and x.dim() > len(lead.axes) - place:
                axis = x.dim() - (len(lead.axes) - place)
                return x.squeeze(axis) if x.shape[axis] == 1 else x
            return x

        out = emit.out
        emit.out = (*out[: place - 1], out[place - 1] * out[place], *out[place + 1 :])
        args, kwargs = _pytree.tree_map(flat, (args, kwargs))
        made = plain(emit, *args, **kwargs)
        emit.out = out
        if not isinstance(made, Value):
            return made
        if made.axes != lead.unfolded.axes:
            return "a result in another order"
        return Value(made.node, lead.axes, lead.fold)

    return handler


for _name in ELEMENTWISE:
    _packet = getattr(ATEN, _name)
    for _overload in _packet.overloads():
        _operator = getattr(_packet, _overload)
        if _operator in OPERATORS:
            FOLDED[_operator] = _elementwise(OPERATORS[_operator])


# ---- products over channels -----------------------------------------------------------------


@_handles("conv2d", "convolution")
def conv2d(
    emit: Emit, x: Value, weight: Any, bias: Any = None, *settings: Any, **options: Any
) -> Made:
    """A convolution of one tap: a product over the channels of every position."""
    if not constants(weight, bias) or weight.dim() != 4 or x.axes != (1, 0, 0):
        return "a convolution over neighbours"
    groups = _groups(weight, emit.node_shape(x)[1])
    plain = weight.shape[2:] == (1, 1) and emit.out[1:] == emit.shape(x)[1:]
    if not plain or groups is None:
        return "a convolution over neighbours"
    kernel = np.ascontiguousarray(host(weight)[:, :, 0].transpose(2, 1, 0))
    rule = Convolution(kernel, None if bias is None else host(bias), groups=groups)
    return Value(emit.add(rule, [x.node]), x.axes, x.fold)


def _groups(weight: torch.Tensor, channels: int) -> int | None:
    return channels // weight.shape[1] if channels % weight.shape[1] == 0 else None


@_handles("linear")
def linear(emit: Emit, x: Value, weight: Any, bias: Any = None) -> Made:
    """A dense layer on the channels, which stand last."""
    if not constants(weight, bias) or x.axes != (0, 0, 1):
        return "a dense layer over neighbours"
    kernel = np.ascontiguousarray(host(weight).T)[None]
    rule = Convolution(kernel, None if bias is None else host(bias))
    return Value(emit.add(rule, [x.node]), x.axes, x.fold)


@_handles("matmul")
def matmul(emit: Emit, x: Any, weight: Any) -> Made:
    """A product with a constant matrix over the channels, which stand last."""
    if not isinstance(x, Value) or not constants(weight) or weight.dim() != 2:
        return "a product of two tensors that depend on the input"
    return linear(emit, x, weight.T)


@_handles("masked_fill")
@handles("masked_fill.Scalar")
def masked_fill(emit: Emit, x: Value, mask: Any, number: Any) -> Made:
    """A number where a constant mask says so, as for what an attention pool was padded with."""
    if mask is None or not constants(mask) or isinstance(number, Value):
        return "a mask that depends on the input"
    shape = emit.shape(x)
    if x.axes not in ((1, 0), (1, 0, 0)) or mask.dim() > len(shape) + 1:
        return "a mask in another order of axes"
    table = host(mask)
    if table.ndim > len(shape):
        if len(table) > 1:
            return "a mask that differs between sequences"
        table = table[0]
    table = np.broadcast_to(table, shape).reshape(shape[0], -1).T
    filled = np.where(table, float(number), 0.0).astype(emit.dtype)
    kept = np.where(table, 0.0, 1.0).astype(emit.dtype)
    return Value(emit.add(PositionAffine(kept, filled), [x.node]), x.axes, x.fold)


# ---- views ----------------------------------------------------------------------------------


@_handles("view", "reshape", "_unsafe_view", "flatten")
def reshape(emit: Emit, x: Value, *settings: Any, **options: Any) -> Made:
    """All positions on one axis again, or no change."""
    flat = x.unfolded
    if emit.out == emit.shape(x):
        return x
    return flat if emit.out == emit.shape(flat) else "groups of neighbours in another shape"


@_handles("permute")
def permute(emit: Emit, x: Value, dims: Sequence[int]) -> Made:
    """Another order of axes in which a group's axis still follows that of groups."""
    rank = len(x.axes) + 1
    order = [dim % rank - 1 for dim in dims[1:]]
    group = order.index(x.folded_axis - 1)
    if order[(group + 1) % len(order)] != x.folded_axis:
        return "neighbours on an axis apart from their groups"
    return Value(x.node, tuple(x.axes[i] for i in order), x.fold)


# ---- pooling over neighbours ----------------------------------------------------------------


def _pooled(mode: str) -> Handler:
    def handler(
        emit: Emit, x: Value, dims: Any = None, keepdim: bool = False, *, dtype: Any = None
    ) -> Made:
        if not over_neighbours(x, dims) or keepdim:
            return "a reduction over other axes than neighbours"
        size = x.fold
        if mode == "max":
            return pooled(emit, x, [x.node], MaxPool(size, size))
        rule = AveragePool(size, size, length=emit.node_shape(x)[0])
        made = pooled(emit, x, [x.node], rule)
        return made if mode == "mean" else scaled(emit, made, float(size))

    return handler


for _mode, _name in (("mean", "mean"), ("sum", "sum"), ("max", "amax")):
    _handles(_name)(_pooled(_mode))


@_handles("max")
def max_dim(emit: Emit, x: Value, dim: int, keepdim: bool = False) -> Made:
    """The maximum over neighbours; where it was has no rule."""
    made = _pooled("max")(emit, x, dim, keepdim)
    return made if isinstance(made, str) else (made, None)


def over_neighbours(x: Value, dims: Any) -> bool:
    """Whether `dims`, with the batch axis, is the axis of a group's positions alone."""
    listed = [dims] if isinstance(dims, int) else list(dims or ())
    return [dim % (len(x.axes) + 1) for dim in listed] == [x.folded_axis + 1]


def pooled(emit: Emit, x: Value, nodes: Sequence[int], rule: Any) -> Value:
    """One position for every group of `x`."""
    return Value(emit.add(rule, nodes), x.unfolded.axes)


def attention_pool(emit: Emit, node: fx.Node, known: Callable[[fx.Node], Any]) -> Value | None:
    """A sum over neighbours of values times the softmax of logits, as one step.

    Parameters
    ----------
    emit : Emit
    node : fx.Node
        The call of a sum.
    known : callable
        ``known(node)`` is the `Value` of an earlier call, or something else.

    Returns
    -------
    Value or None
        None where the sum is another one.
    """
    product = node.args[0] if node.args else None
    if not _is(product, "mul") or len(product.users) != 1 or node.kwargs.get("keepdim"):
        return None
    if len(node.args) < 2 or (len(node.args) > 2 and node.args[2]):
        return None
    for values, weights in (product.args, product.args[::-1]):
        if not _is(weights, "softmax") or not isinstance(values, fx.Node):
            continue
        x, logits = known(values), known(weights.args[0])
        if not all(isinstance(v, Value) and v.fold for v in (x, logits)):
            continue
        same = (x.axes, x.fold) == (logits.axes, logits.fold)
        if same and over_neighbours(x, weights.args[1]) and over_neighbours(x, node.args[1]):
            return pooled(emit, x, [x.node, logits.node], SoftmaxPool(x.fold, x.fold))
    return None


def _is(node: Any, name: str) -> bool:
    packet = getattr(getattr(node, "target", None), "overloadpacket", None)
    return isinstance(node, fx.Node) and getattr(packet, "__name__", "") in (name, f"_{name}")

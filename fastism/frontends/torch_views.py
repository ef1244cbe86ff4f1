"""ATen operators that move elements about: views, slices, flips, padding, concatenation.

Requirements: torch. Handlers as in `fastism.frontends.torch_ops`, in the same register.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from fastism.frontends.torch_ops import Made, handles, one
from fastism.frontends.torch_values import Emit, Value, host
from fastism.rules import (
    Channels,
    Concatenate,
    ConstantChannels,
    Convolution,
    Flip,
    MaxPool,
    Shift,
    Upsample,
)

# ---- nothing at inference -------------------------------------------------------------------


@handles("alias.default", "detach.default", "detach_.default", "lift_fresh_copy.default")
def identity(emit: Emit, x: Value) -> Made:
    """Another name for the same tensor."""
    return x


@handles("clone.default", "contiguous.default", "_to_copy.default", "to.dtype", "to.device")
@handles("to.dtype_layout", "to.other", "type_as.default")
def copy(emit: Emit, x: Value, *settings: Any, **options: Any) -> Made:
    """A copy of the same type (another type is no tensor of the module's)."""
    return x


@handles("dropout.default", "feature_dropout.default", "alpha_dropout.default")
@handles("feature_alpha_dropout.default", "native_dropout.default")
def dropout(emit: Emit, x: Value, p: float, train: bool) -> Made:
    """Dropout at inference."""
    return "dropout that is active at inference" if train and p else x


@handles("expand.default")
def expand(emit: Emit, x: Value, size: Sequence[Any], *, implicit: bool = False) -> Made:
    """An expansion that changes nothing, or of one channel to several equal ones."""
    pairs = zip(emit.shape(x), emit.out, strict=False)
    longer = [i for i, (have, wanted) in enumerate(pairs) if have != wanted]
    if not longer and len(x.axes) == len(emit.out):
        return x
    node_shape = emit.node_shape(x)
    channel = len(longer) == 1 and len(node_shape) == 2 and node_shape[1] == 1
    if len(x.axes) != len(emit.out) or not channel or x.axes[longer[0]] == 0 or 0 not in x.axes:
        return "an expansion"
    ones = np.ones((1, 1, emit.out[longer[0]]), emit.dtype)
    axes = [0 if axis == 0 else None for axis in x.axes]
    axes[longer[0]] = 1
    return Value(emit.add(Convolution(ones), [x.node]), tuple(axes))


# ---- order and number of axes ---------------------------------------------------------------


@handles("permute.default")
def permute(emit: Emit, x: Value, dims: Sequence[int]) -> Made:
    """Another order of axes, the batch still first."""
    rank = len(x.axes) + 1
    return Value(x.node, tuple(x.axes[dim % rank - 1] for dim in dims[1:]))


@handles("transpose.int", "swapaxes.default", "swapdims.default")
def transpose(emit: Emit, x: Value, first: int, second: int) -> Made:
    """Two axes swapped."""
    rank = len(x.axes) + 1
    order = list(range(rank))
    a, b = first % rank, second % rank
    order[a], order[b] = order[b], order[a]
    return permute(emit, x, order)


@handles("mT.default", "adjoint.default")
def matrix_transpose(emit: Emit, x: Value) -> Made:
    """The last two axes swapped."""
    return transpose(emit, x, -1, -2)


@handles("view.default", "reshape.default", "_unsafe_view.default", "flatten.using_ints")
@handles("unflatten.int", "squeeze.default", "squeeze.dim", "squeeze.dims", "unsqueeze.default")
@handles("view_copy.default", "_reshape_alias.default")
def reshape(emit: Emit, x: Value, *settings: Any, **options: Any) -> Made:
    """The same elements in the same order in another shape, the batch still first."""
    shape, out = emit.shape(x), emit.out
    if [n for n in shape if n != 1] == [n for n in out if n != 1]:
        long = iter([axis for axis, n in zip(x.axes, shape, strict=True) if n != 1])
        return Value(x.node, tuple(next(long) if n != 1 else None for n in out))
    order = range(len(shape))
    if len(out) == 1:
        return Value(emit.reshaped(x, (prod(shape),), order), (0,))
    if len(out) == 2:
        return Value(emit.reshaped(x, out, order), (0, 1))
    return _folded(emit, x) or "a tensor of more than two axes"


def _folded(emit: Emit, x: Value) -> Value | None:
    """Positions split into groups of neighbours, on an axis of their own."""
    shape, out = emit.shape(x), emit.out
    if sorted(x.axes, key=str) != [0, 1] or len(out) != 3:
        return None
    first = x.axes.index(0)
    rest = (*out[:first], out[first] * out[first + 1], *out[first + 2 :])
    if rest != shape or out[first + 1] < 2:
        return None
    return Value(x.node, (*x.axes[:first], 0, *x.axes[first:]), out[first + 1])


# ---- parts ----------------------------------------------------------------------------------


def part(emit: Emit, x: Value, dim: int, first: int, last: int) -> Made:
    """Entries `first` to `last` of an axis."""
    axis, shape = emit.axis(x, dim), emit.node_shape(x)
    count = 1 if axis is None else shape[axis]
    if (first, last) == (0, count):
        return x
    if axis is None:
        return "a part of the batch"
    if len(shape) == 2 and axis == 0:
        rule: Any = Shift(-first, last - count)
    else:
        rule = Channels(first, last)
    return Value(emit.add(rule, [x.node]), x.axes)


@handles("slice.Tensor")
def slices(
    emit: Emit, x: Value, dim: int = 0, start: Any = None, end: Any = None, step: int = 1
) -> Made:
    """A slice of positions or channels."""
    if dim % (len(x.axes) + 1) == 0:
        whole = start in (None, 0) and step == 1 and (end is None or end == 2**63 - 1)
        return x if whole else "a part of the batch"
    count = emit.shape(x)[dim % (len(x.axes) + 1) - 1]
    first, last, step = slice(start, end, step).indices(count)
    made = part(emit, x, dim, first, last)
    if step == 1 or isinstance(made, str):
        return made
    if emit.axis(x, dim) != 0 or len(emit.node_shape(x)) != 2:
        return "a slice of channels with a step"
    # Pooling over one position only picks positions.
    return Value(emit.add(MaxPool(1, step), [made.node], " step"), made.axes)


@handles("narrow.default")
def narrow(emit: Emit, x: Value, dim: int, start: int, length: int) -> Made:
    """A slice by start and length."""
    return slices(emit, x, dim, start, start + length)


@handles("select.int")
def select(emit: Emit, x: Value, dim: int, index: int) -> Made:
    """One entry of an axis, which is then gone."""
    place = dim % (len(x.axes) + 1)
    if not place:
        return "a part of the batch"
    index = index % emit.shape(x)[place - 1]
    made = part(emit, x, dim, index, index + 1)
    if isinstance(made, str):
        return made
    return Value(made.node, made.axes[: place - 1] + made.axes[place:])


@handles("split.Tensor", "split_with_sizes.default", "split.sizes")
def split(emit: Emit, x: Value, sizes: int | Sequence[int], dim: int = 0) -> Made:
    """Several slices."""
    place = dim % (len(x.axes) + 1)
    if not place:
        return "a part of the batch"
    count = emit.shape(x)[place - 1]
    if isinstance(sizes, int):
        sizes = [min(sizes, count - first) for first in range(0, count, sizes)]
    return _slices(emit, x, dim, sizes)


@handles("chunk.default")
def chunk(emit: Emit, x: Value, chunks: int, dim: int = 0) -> Made:
    """Slices of equal size, the last one perhaps smaller."""
    place = dim % (len(x.axes) + 1)
    if not place:
        return "a part of the batch"
    return split(emit, x, -(-emit.shape(x)[place - 1] // chunks), dim)


@handles("unbind.int")
def unbind(emit: Emit, x: Value, dim: int = 0) -> Made:
    """Every entry of an axis."""
    place = dim % (len(x.axes) + 1)
    if not place:
        return "a part of the batch"
    made = [select(emit, x, dim, i) for i in range(emit.shape(x)[place - 1])]
    return next((y for y in made if isinstance(y, str)), tuple(made))


def _slices(emit: Emit, x: Value, dim: int, sizes: Sequence[int]) -> Made:
    made, first = [], 0
    for size in sizes:
        made.append(part(emit, x, dim, first, first + size))
        first += size
    return next((y for y in made if isinstance(y, str)), tuple(made))


@handles("glu.default")
def glu(emit: Emit, x: Value, dim: int = -1) -> Made:
    """The first half times the sigmoid of the second."""
    from fastism.frontends.torch_pointwise import multiply, pointwise

    halves = chunk(emit, x, 2, dim)
    if isinstance(halves, str):
        return halves
    return multiply(emit, halves[0], pointwise(emit, halves[1], "sigmoid"))


# ---- flips, padding, repetition, concatenation ----------------------------------------------


@handles("flip.default")
def flip(emit: Emit, x: Value, dims: Sequence[int]) -> Made:
    """A flip of positions, channels or both."""
    rank, shape = len(x.axes) + 1, emit.node_shape(x)
    if any(dim % rank == 0 for dim in dims):
        return "a flip of the batch axis"
    axes = {emit.axis(x, dim) for dim in dims} - {None}
    if len(shape) != 2:
        return "a flip of a vector" if axes else x
    return Value(emit.add(Flip(shape[0], 0 in axes, 1 in axes), [x.node]), x.axes)


@handles("pad.default")
def pad(emit: Emit, x: Value, sides: Sequence[int], mode: str = "constant", value: Any = 0) -> Made:
    """Zeros around, or a crop, along positions; zeros as further channels."""
    if mode != "constant":
        return f"padding by {mode}"
    return constant_pad(emit, x, sides, value)


@handles("constant_pad_nd.default")
def constant_pad(emit: Emit, x: Value, sides: Sequence[int], value: Any = 0) -> Made:
    """Zeros around, or a crop, along positions; zeros as further channels."""
    if value not in (None, 0):
        return "padding by another number than zero"
    pairs = list(zip(sides[::2], sides[1::2], strict=True))
    for number, (left, right) in enumerate(pairs, 1):
        if not left and not right:
            continue
        if number > len(x.axes) or len(emit.node_shape(x)) != 2 or emit.axis(x, -number) is None:
            return "padding of another axis than positions and channels"
        if emit.axis(x, -number) == 1:
            if min(left, right) < 0:
                return "a crop of channels by padding"
            length = emit.node_shape(x)[0]
            rule = ConstantChannels(np.zeros((length, left)), np.zeros((length, right)))
            x = Value(emit.add(rule, [x.node]), x.axes)
            continue
        x = Value(emit.add(Shift(left, right), [x.node]), x.axes)
    return x


@handles("repeat_interleave.self_int")
def repeat_interleave(
    emit: Emit, x: Value, repeats: int, dim: Any = None, *, output_size: Any = None
) -> Made:
    """Every position several times."""
    if dim is None or len(emit.node_shape(x)) != 2 or emit.axis(x, dim) != 0:
        return "a repetition along another axis than positions"
    return Value(emit.add(Upsample(one(repeats)), [x.node]), x.axes)


@handles("repeat.default", "tile.default")
def repeat(emit: Emit, x: Value, times: Sequence[int]) -> Made:
    """The whole tensor several times along positions or channels."""
    times = [1] * (len(x.axes) + 1 - len(times)) + list(times)
    along = [axis for axis, n in enumerate(times) if n != 1]
    if len(times) != len(x.axes) + 1 or len(along) > 1 or 0 in along:
        return "a repetition along other axes than positions or channels"
    return cat(emit, [x] * times[along[0]], along[0]) if along else x


@handles("cat.default", "concat.default", "concatenate.default", any_operand=True)
def cat(emit: Emit, tensors: Sequence[Any], dim: int = 0) -> Made:
    """Tensors side by side along positions, channels or features."""
    if not all(isinstance(x, Value) for x in tensors):
        return _beside_constants(emit, tensors, dim)
    rank = len(tensors[0].axes) + 1
    place = dim % rank - 1
    if place < 0 or any(len(x.axes) != rank - 1 for x in tensors):
        return "a concatenation along the batch"
    lead = max(tensors, key=lambda x: len(emit.node_shape(x)))
    named = {i for i, axis in enumerate(lead.axes) if axis is not None}
    shapes = [emit.shape(x) for x in tensors]
    needed = {place, *(i for shape in shapes for i, n in enumerate(shape) if n > 1)}
    if not needed <= named:
        if rank > 3:
            return "a concatenation along an added axis"
        lead = emit.full(lead)
    order = [
        next((i for i, named_axis in enumerate(lead.axes) if named_axis == axis), None)
        for axis in range(len(emit.node_shape(lead)))
    ]
    nodes = [emit.arranged(x, order) for x in tensors]
    return Value(emit.add(Concatenate(lead.axes[place]), nodes), lead.axes)


def _beside_constants(emit: Emit, tensors: Sequence[Any], dim: int) -> Made:
    """One tensor with constant channels on either side."""
    index = next(i for i, x in enumerate(tensors) if isinstance(x, Value))
    x, sides = tensors[index], (tensors[:index], tensors[index + 1 :])
    if any(isinstance(y, Value) for y in sides[1]):
        return "several tensors and a constant part"
    if len(emit.node_shape(x)) != 2 or emit.axis(x, dim) != 1 or None in x.axes:
        return "a constant part along another axis than channels"
    length = emit.node_shape(x)[0]
    tables = []
    for side in sides:
        table = [np.zeros((length, 0))]
        for constant in side:
            if constant.dim() != 3 or constant.shape[0] != 1:
                return "a constant part that differs between sequences"
            table.append(host(constant)[0].transpose(np.argsort(x.axes)))
        tables.append(np.concatenate(table, 1).astype(emit.dtype))
    return Value(emit.add(ConstantChannels(*tables), [x.node]), x.axes)

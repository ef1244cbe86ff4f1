"""Tensors of a torch module as views of graph nodes, and the hand that adds nodes for one call.

Requirements: numpy. The graph keeps positions before channels; what a module permutes, squeezes and
unsqueezes is only written down in a `Value`, and done where a rule needs another order of axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastism.graph.nodes import GraphBuilder
from fastism.rules import Reshape, Rule

Axes = tuple[int | None, ...]


@dataclass(frozen=True)
class Value:
    """A tensor of the module: a view of a node's tensor.

    Parameters
    ----------
    node : int
        Index of the node.
    axes : tuple of (int or None)
        For every axis after the batch, the node's axis that it is; None for an axis of size one
        that the node does not have. Axes of the node that are not named have size one.
    fold : int
        Where it is not 0, positions stand on two neighbouring axes of the module's tensor, both of
        which `axes` calls 0: groups, then `fold` positions of each.
    """

    node: int
    axes: Axes
    fold: int = 0

    def shape(self, node_shape: Sequence[int]) -> tuple[int, ...]:
        """Shape in the module's order of axes, without the batch axis."""
        sizes = [1 if axis is None else node_shape[axis] for axis in self.axes]
        if self.fold:
            first = self.axes.index(0)
            sizes[first : first + 2] = sizes[first] // self.fold, self.fold
        return tuple(sizes)

    @property
    def folded_axis(self) -> int:
        """The axis of the module's tensor, without the batch, of the positions of a group."""
        return self.axes.index(0) + 1

    @property
    def unfolded(self) -> Value:
        """The same tensor with all positions on one axis."""
        first = self.axes.index(0)
        return Value(self.node, (*self.axes[:first], *self.axes[first + 1 :]))

    def of(self, y: np.ndarray) -> np.ndarray:
        """The node's tensor ``(rows, *node shape)`` in the module's order ``(rows, *shape)``."""
        shape = (len(y), *self.shape(y.shape[1:]))
        return y.transpose(0, *(axis + 1 for axis in self.order(y.shape[1:]))).reshape(shape)

    def order(self, node_shape: Sequence[int]) -> tuple[int, ...]:
        """Order of the node's axes in the module's order of axes; unnamed axes come last."""
        named = list(dict.fromkeys(axis for axis in self.axes if axis is not None))
        return (*named, *(axis for axis in range(len(node_shape)) if axis not in named))

    def plain(self, rank: int) -> bool:
        """Whether a node's tensor with `rank` axes after the batch is the module's as it is."""
        return self.axes == tuple(range(rank))


class Emit:
    """Adds nodes on behalf of one call in the module.

    Parameters
    ----------
    builder : GraphBuilder
    name, kind : str
        For the nodes.
    out : tuple of int
        Shape of the result in the module's order of axes without the batch axis.
    dtype : str
        Floating-point type of the module.
    """

    def __init__(
        self, builder: GraphBuilder, name: str, kind: str, out: tuple[int, ...], dtype: str
    ) -> None:
        self.builder, self.name, self.kind = builder, name, kind
        self.out, self.dtype = out, dtype

    def add(self, rule: Rule, inputs: Sequence[int], suffix: str = "") -> int:
        """Add a node; return its index."""
        return self.builder.add(self.name + suffix, self.kind, rule, inputs)

    def node_shape(self, x: Value | int) -> tuple[int, ...]:
        """Shape of a node without the batch axis, positions first."""
        return self.builder.nodes[x.node if isinstance(x, Value) else x].shape

    def shape(self, x: Value) -> tuple[int, ...]:
        """Shape in the module's order of axes, without the batch axis."""
        return x.shape(self.node_shape(x))

    def axis(self, x: Value, dim: int) -> int | None:
        """The node's axis that is axis `dim` (with the batch axis); None for none and the batch."""
        rank = len(x.axes) + 1
        dim = dim % rank
        return x.axes[dim - 1] if dim else None

    def channels_last(self, x: Value) -> int:
        """A node ``(length, channels)`` for a tensor ``(batch, channels, length)``."""
        return self.arranged(x, (1, 0))

    def arranged(self, x: Value, order: Sequence[int | None], broadcast: bool = False) -> int:
        """A node whose axes are the given axes of `x`, in this order; None is an axis of size one.

        Parameters
        ----------
        x : Value
        order : sequence of (int or None)
            Axes of the module's tensor without the batch; those left out must have size one.
        broadcast : bool
            Whether leading axes of size one may be missing.
        """
        shape = self.shape(x)
        wanted = tuple(1 if i is None else shape[i] for i in order)
        return self.reshaped(x, wanted, [i for i in order if i is not None], broadcast)

    def reshaped(
        self, x: Value, shape: tuple[int, ...], order: Sequence[int], broadcast: bool = False
    ) -> int:
        """A node of `shape` with the elements of `x` in the order of its axes `order`."""
        have = self.node_shape(x)
        permutation = Value(x.node, tuple(x.axes[i] for i in order)).order(have)
        long = [axis for axis in permutation if have[axis] > 1]
        if long == sorted(long):
            permutation = None
            if have == shape or (broadcast and _stripped(have) == _stripped(shape)):
                return x.node
        return self.add(Reshape(shape, permutation), [x.node], " in another order")

    def full(self, x: Value) -> Value:
        """`x` with every axis in its node: channels last where there are two."""
        order = (1, 0) if len(x.axes) == 2 else tuple(range(len(x.axes)))
        axes = (1, 0) if len(x.axes) == 2 else tuple(range(len(x.axes)))
        return Value(self.arranged(x, order), axes)

    def aligned(self, values: Sequence[Value]) -> tuple[list[int], Axes] | str:
        """Nodes that broadcast as the module's tensors do, and the axes of their result.

        Returns
        -------
        nodes : list of int
        axes : tuple of (int or None)
        """
        if len({len(x.axes) for x in values}) != 1:
            return "operands of different ranks"
        lead = max(values, key=lambda x: (prod(self.shape(x)), len(self.node_shape(x))))
        others = [x for x in values if x.axes != lead.axes]
        fits = all(
            n == 1 or lead.axes[i] is not None for x in others for i, n in enumerate(self.shape(x))
        )
        if not fits:
            lead, *values = (self.full(x) for x in (lead, *values))
        place = {axis: i for i, axis in enumerate(lead.axes) if axis is not None}
        order = [place.get(axis) for axis in range(len(self.node_shape(lead)))]
        return [self.arranged(x, order, broadcast=True) for x in values], lead.axes


def _stripped(shape: Sequence[int]) -> tuple[int, ...]:
    """`shape` without leading ones."""
    first = next((i for i, n in enumerate(shape) if n != 1), len(shape) - 1)
    return tuple(shape[max(first, 0) :])


def host(x: Any) -> np.ndarray:
    """A copy of a torch tensor as a numpy array, which later training cannot change."""
    return np.array(x.detach().cpu().numpy())

"""Opaque parts of a captured module: the calls between known tensors and one result.

Requirements: torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import fx

from fastism.frontends.torch_values import Value

ATEN = torch.ops.aten


def _strided(x: torch.Tensor, *settings: Any, **options: Any) -> torch.Tensor:
    """`as_strided` of a tensor that was contiguous when the module was captured."""
    return torch.as_strided(x.contiguous(), *settings, **options)


#: A view relies on strides, which are those of the capture no more; nothing is written in place.
INSTEAD = {
    ATEN.view.default: ATEN.reshape.default,
    ATEN._unsafe_view.default: ATEN.reshape.default,
    ATEN.as_strided.default: _strided,
    ATEN.as_strided_copy.default: _strided,
}
#: Operators whose result depends on strides.
STRIDED = (ATEN.as_strided.default, ATEN.as_strided_copy.default, ATEN.as_strided_scatter.default)


def depends_on_memory(node: fx.Node) -> bool:
    """Whether a call looks at memory in a way that only the module's own tensors allow."""
    if node.target not in STRIDED:
        return False
    x = node.args[0].meta["val"] if node.args else None
    return node.target not in INSTEAD or x is None or not x.is_contiguous()


class Subgraph:
    """Some calls of a captured graph, as a function of tensors in the graph's order of axes.

    Parameters
    ----------
    steps : sequence of fx.Node
        The calls in order; the last one makes the result.
    inputs : sequence of (fx.Node, Value)
        Tensors that are given, and how they look in the graph.
    constants : mapping of fx.Node to anything
        Weights and other values that do not depend on the inputs.
    sizes : sequence of fx.Node
        Values that are the size of the batch.
    captured : int or None
        Where the batch was captured as a number, that number: multiples of it in the calls stand
        for multiples of the batch.
    shape : tuple of int
        Shape of the result's node without the batch axis.
    dtype : torch.dtype
        Type of the result.
    """

    def __init__(
        self,
        steps: Sequence[fx.Node],
        inputs: Sequence[tuple[fx.Node, Value]],
        constants: Mapping[fx.Node, Any],
        sizes: Sequence[fx.Node],
        shape: tuple[int, ...],
        dtype: torch.dtype,
        captured: int | None = None,
    ) -> None:
        self.steps, self.inputs, self.constants = tuple(steps), tuple(inputs), dict(constants)
        self.sizes, self.shape, self.dtype = tuple(sizes), shape, dtype
        self.captured = captured
        last: dict[fx.Node, int] = {}
        for number, step in enumerate(self.steps):
            last.update(dict.fromkeys(step.all_input_nodes, number))
        self._drop: list[list[fx.Node]] = [[] for _ in self.steps]
        for node, number in last.items():
            if node not in self.constants:
                self._drop[number].append(node)

    def __call__(self, *tensors: torch.Tensor) -> torch.Tensor:
        """The result ``(batch, *shape)`` for tensors ``(batch, *node shape)``."""
        if len(tensors[0]) == 1:
            # Captured for any batch but that of one, where axes of size one are ambiguous.
            return self._run([x.expand(2, *x.shape[1:]).contiguous() for x in tensors])[:1]
        return self._run(tensors)

    def _run(self, tensors: Sequence[torch.Tensor]) -> torch.Tensor:
        values: dict[fx.Node, Any] = dict(self.constants)
        values.update(dict.fromkeys(self.sizes, len(tensors[0])))
        for (node, view), x in zip(self.inputs, tensors, strict=True):
            values[node] = in_module_order(x, view)
        for number, step in enumerate(self.steps):
            args, kwargs = self._arguments(step, values, len(tensors[0]))
            values[step] = INSTEAD.get(step.target, step.target)(*args, **kwargs)
            for node in self._drop[number]:
                values.pop(node, None)
        y = values[self.steps[-1]]
        return y.reshape(len(y), *self.shape).to(self.dtype)

    def _arguments(self, step: fx.Node, values: Mapping[fx.Node, Any], batch: int) -> Any:
        def filled(x: Any) -> Any:
            if isinstance(x, fx.Node):
                return values[x]
            return x // self.captured * batch if is_multiple(x, self.captured) else x

        return fx.node.map_aggregate((step.args, step.kwargs), filled)


def is_multiple(x: Any, captured: int | None) -> bool:
    """Whether a number in a call is a multiple of the batch that was captured."""
    return (
        captured is not None
        and isinstance(x, int)
        and not isinstance(x, bool)
        and x > 0
        and x % captured == 0
    )


def in_module_order(x: torch.Tensor, view: Value) -> torch.Tensor:
    """A tensor ``(batch, *node shape)`` as the module has it."""
    if view.plain(x.dim() - 1):
        return x.contiguous()
    node_shape = tuple(x.shape[1:])
    order = [axis + 1 for axis in view.order(node_shape)]
    # Strides of a tensor that the module made itself, which a `view` may rely on.
    return x.permute(0, *order).reshape(len(x), *view.shape(node_shape)).contiguous()

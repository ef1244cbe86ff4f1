"""A captured torch module to a graph: known calls by their rules, everything else opaque.

Requirements: torch. `torch.export` gives the calls (ATen operators without side effects); what each
becomes stands in `fastism.frontends.torch_ops` and `fastism.frontends.torch_views`. Calls without
a rule are put off until a call with a rule, or an output, needs what they make: all of them up to
there are then one opaque node, so that tensors in any order of axes stay the module's own business.
"""

from __future__ import annotations

import inspect
import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import fx
from torch.export.graph_signature import InputKind, OutputKind

from fastism.errors import FastISMError
from fastism.frontends import (  # noqa: F401  (they register their handlers)
    torch_contractions,
    torch_pointwise,
    torch_pooling,
    torch_views,
)
from fastism.frontends.reach import no_rule
from fastism.frontends.torch_folds import FOLDED, attention_pool, is_folded
from fastism.frontends.torch_macs import Sized, multiply_adds
from fastism.frontends.torch_ops import ANY_OPERAND, OPERATORS
from fastism.frontends.torch_subgraphs import Subgraph, is_multiple
from fastism.frontends.torch_values import Emit, Value
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.rules import Opaque, Source


@dataclass(frozen=True)
class Constant:
    """A value that does not depend on the inputs."""

    value: Any


@dataclass(frozen=True)
class Deferred:
    """The result of a call without a rule; `reason` is empty for calls that only follow one."""

    reason: str


@dataclass(frozen=True)
class Repeated:
    """The same for every sequence of a batch: a tensor ``(1, ...)`` made from its size alone."""

    value: torch.Tensor


_LIKE = ("zeros_like", "ones_like", "full_like")
#: Calls that make a tensor by the shape of another.
BY_SHAPE = (
    *(*_LIKE, "new_zeros", "new_ones", "new_full"),
    *("zeros", "ones", "full", "expand", "repeat", "broadcast_to"),
)
#: The number of sequences in a batch, as the module sees it.
BATCH = object()


@dataclass(frozen=True)
class Translated:
    """A graph, and its outputs as the module gives them."""

    graph: Graph
    outputs: tuple[Value, ...]


class Translation:
    """State of one translation: what became of every call.

    Parameters
    ----------
    program : torch.export.ExportedProgram
        Without side effects, batch axis open or captured as a number that occurs nowhere else.
    shapes : sequence of tuple
        Shapes of the inputs without the batch axis, in the module's order of axes.
    sequence : int
        Which input is the sequence.
    channels_first : bool
        Whether the sequence is ``(channels, length)``.
    dtype : str
    stops : sequence of str
        Paths of submodules after which everything is recomputed in full.
    """

    def __init__(
        self,
        program: torch.export.ExportedProgram,
        shapes: Sequence[tuple[int, ...]],
        sequence: int,
        channels_first: bool,
        dtype: str,
        stops: Sequence[str],
    ) -> None:
        self.program, self.shapes, self.sequence = program, shapes, sequence
        self.channels_first, self.dtype, self.stops = channels_first, dtype, set(stops)
        self.builder = GraphBuilder()
        self.values: dict[fx.Node, Any] = {}
        self.order = {node: i for i, node in enumerate(program.graph.nodes)}
        self.stopped: set[int] = set()
        self.copies: dict[fx.Node, Any] = {}
        self.inputs: list[int] = []
        self.batch: Any = None

    def translate(self) -> Translated:
        """Walk through the calls."""
        self._placeholders()
        for node in self.program.graph.nodes:
            if node.op == "get_attr":
                self.values[node] = Constant(getattr(self.program.graph_module, node.target))
            elif node.op == "call_function":
                self.values[node] = self._call(node)
                self._settle(node)
        outputs = [self._output(i, x) for i, x in enumerate(self._results())]
        for index in self.stopped:
            self.builder.nodes[index] = replace(self.builder.nodes[index], stop=True)
        indices = [value.node for value in outputs]
        graph = self.builder.build(self.inputs, indices, self.sequence, self.dtype)
        views = tuple(
            replace(value, node=index) for value, index in zip(outputs, graph.outputs, strict=True)
        )
        return Translated(graph, views)

    # ---- inputs and outputs -------------------------------------------------------------

    def _placeholders(self) -> None:
        given = {spec.arg.name: spec for spec in self.program.graph_signature.input_specs}
        state = {**self.program.state_dict, **self.program.constants}
        for node in self.program.graph.nodes:
            if node.op != "placeholder":
                continue
            spec = given[node.name]
            if spec.kind is not InputKind.USER_INPUT:
                self.values[node] = Constant(state[spec.target])
                continue
            self.values[node] = self._input(node, len(self.inputs))
            self.batch = node.meta["val"].shape[0]

    def _input(self, node: fx.Node, number: int) -> Value:
        shape = self.shapes[number]
        if number == self.sequence and self.channels_first:
            source, axes = Source(shape[::-1]), (1, 0)
        else:
            source, axes = Source(shape or (1,)), tuple(range(len(shape)))
        self.inputs.append(self.builder.add(node.name, "input", source))
        return Value(self.inputs[-1], axes)

    def _results(self) -> list[Any]:
        """What the module returns, flat; not what it would change."""
        returned = next(n for n in self.program.graph.nodes if n.op == "output").args[0]
        kinds = [spec.kind for spec in self.program.graph_signature.output_specs]
        results = [
            x
            for x, kind in zip(returned, kinds, strict=True)
            if kind is OutputKind.USER_OUTPUT and isinstance(x, fx.Node)
        ]
        return [x for x in results if isinstance(x.meta.get("val"), torch.Tensor)]

    def _output(self, number: int, node: fx.Node) -> Value:
        example = node.meta["val"]
        if isinstance(self.values[node], Constant) or not self._has_batch(example):
            raise FastISMError(
                f"Output {number} of the module has shape {tuple(example.shape)}, whose first "
                "axis is not that of the sequences; every output must be (sequences, ...). Wrap "
                "the module in one that returns only outputs of that kind."
            )
        value = self.values[node]
        return value if isinstance(value, Value) else self._materialise(node)

    # ---- calls --------------------------------------------------------------------------

    def _call(self, node: fx.Node) -> Any:
        if self._is_batch(node.meta.get("val")):
            return BATCH
        used = [self.values[x] for x in node.all_input_nodes]
        if all(isinstance(x, Constant) for x in used) and not self._names_batch(node):
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), lambda x: self.values[x].value)
            with torch.no_grad():
                return Constant(node.target(*args, **kwargs))
        if node.target is operator.getitem and isinstance(self.values[node.args[0]], tuple):
            value = self.values[node.args[0]][node.args[1]]
            return Deferred("") if value is None else value
        if node.target is operator.getitem:
            return Deferred("")
        handler = OPERATORS.get(node.target)
        repeated = self._repeated(node)
        if repeated is not None:
            return repeated
        if handler is None:
            made_from_nothing = not any(_is_tensor(x) for x in node.all_input_nodes)
            return Deferred("" if made_from_nothing else no_rule(_operator_name(node)))
        return self._handled(node, handler)

    def _repeated(self, node: fx.Node) -> Repeated | None:
        """What is the same for every sequence, such as zeros of the size of the batch.

        Run for a batch of two, from whatever numbers where only shapes matter.
        """
        example, name = node.meta.get("val"), _operator_name(node)
        if not isinstance(example, torch.Tensor) or not self._has_batch(example):
            return None
        known = (Constant, Repeated)
        values = {x: self.values[x] for x in node.all_input_nodes}
        fixed = all(v is BATCH or isinstance(v, known) for v in values.values())
        by_shape = name in BY_SHAPE and (fixed or name.startswith(("new_", *_LIKE)))
        derived = fixed and any(isinstance(v, Repeated) for v in values.values())
        if not by_shape and not derived:
            return None

        def argument(x: Any) -> Any:
            if not isinstance(x, fx.Node):
                return x // self._captured * 2 if is_multiple(x, self._captured) else x
            value = values[x]
            if value is BATCH:
                return 2
            if isinstance(value, Constant):
                return value.value
            if isinstance(value, Repeated):
                return value.value.expand(2, *value.value.shape[1:])
            shape = [self._size_alone(n) for n in x.meta["val"].shape[1:]]
            return torch.zeros((2, *shape), dtype=x.meta["val"].dtype)

        args, kwargs = fx.node.map_aggregate((node.args, node.kwargs), argument)
        try:
            with torch.no_grad():
                made = node.target(*args, **kwargs)
        except Exception:
            return None
        return Repeated(made[:1].clone()) if torch.equal(made[0], made[1]) else None

    def _handled(self, node: fx.Node, handler: Any) -> Any:
        """The result of a call with a rule, or what stands in its way."""
        name = _operator_name(node)
        example = node.meta["val"]
        first = example if isinstance(example, torch.Tensor) else example[0]
        if not self._representable(first):
            return Deferred(f"{name} on tensors whose first axis is not the batch")
        for x in node.all_input_nodes:
            if isinstance(self.values[x], Deferred) and not self._representable(x.meta["val"]):
                return Deferred("")
            if len(getattr(x.meta.get("val"), "shape", ())) > 4:
                return Deferred("")
        label, kind = self._label(node)
        emit = Emit(self.builder, label, kind, tuple(first.shape[1:]), self.dtype)
        attention = attention_pool(emit, node, self.values.get) if name == "sum" else None
        if attention is not None:
            return attention
        before = dict(self.values)
        args, kwargs = fx.node.map_arg((node.args, node.kwargs), self._argument)
        if is_folded((args, kwargs)):
            handler = FOLDED.get(node.target, _no_neighbours)
        elif not isinstance(args[0], Value) and node.target not in ANY_OPERAND:
            handler = _no_operand
        made = self._try(emit, handler, args, kwargs)
        if isinstance(made, str):
            self.values = before
            return Deferred(f"{name}: {made}")
        return made

    def _try(self, emit: Emit, handler: Any, args: Any, kwargs: Any) -> Any:
        shapes = [
            self.builder.nodes[x.node].shape
            for x in torch.utils._pytree.tree_leaves((args, kwargs))
            if isinstance(x, Value)
        ]
        if any(len(shape) > 2 for shape in shapes):
            return "a tensor of more than two axes"
        try:
            inspect.signature(handler).bind(emit, *args, **kwargs)
        except TypeError:
            return "arguments that the rule does not know"
        try:
            made = handler(emit, *args, **kwargs)
        except FastISMError as error:
            return str(error)
        first = made[0] if isinstance(made, tuple) else made
        if isinstance(first, Value) and emit.shape(first) != emit.out:
            return f"a result of shape {emit.out}"
        return made

    def _argument(self, node: fx.Node) -> Any:
        """What a handler gets for the result of an earlier call."""
        value = self.values[node]
        if isinstance(value, (Constant, Repeated)):
            return value.value
        if isinstance(value, Deferred):
            value = self.values[node] = self._materialise(node)
        return value

    def _settle(self, node: fx.Node) -> None:
        """Make what several calls read, and what an early stop needs, a node of its own."""
        value, representable = self.values[node], self._representable(node.meta.get("val"))
        stops = self.stops.intersection(_modules(node)) if self.stops else set()
        ends = any(stops.difference(_modules(user)) for user in node.users)
        needed = ends or (len(node.users) > 1 and not self._only_views(node))
        if isinstance(value, Deferred) and representable and needed:
            value = self.values[node] = self._materialise(node)
        if ends and isinstance(value, Value):
            self.stopped.add(value.node)

    # ---- opaque calls -------------------------------------------------------------------

    def _materialise(self, node: fx.Node) -> Value:
        """An opaque node for everything that was put off and `node` needs."""
        steps, inputs, constants, sizes = self._needed(node)
        reasons = [(step, self._reason(step)) for step in steps if self._reason(step)]
        # What computes something says more than what looks at it differently.
        reasons.sort(key=lambda pair: _is_view(pair[0]))
        first = reasons[0][0] if reasons else node
        name, kind = self._label(first)
        reason = _told([text for _, text in reasons]) or no_rule(_operator_name(node))
        shape = tuple(node.meta["val"].shape[1:])
        dtype = getattr(torch, self.dtype)
        region = Subgraph(steps, inputs, constants, sizes, shape or (1,), dtype, self._captured)
        elements = max(self._elements(step) for step in steps)
        macs = [self._multiply_adds(step) for step in steps]
        total = None if None in macs else sum(macs)
        rule = Opaque(region, shape or (1,), "torch", reason, name, elements, total)
        given = [value.node for _, value in inputs]
        index = self.builder.add(name, kind, rule, given)
        return Value(index, tuple(range(len(shape))))

    def _elements(self, node: fx.Node) -> int:
        """Numbers per sequence in what a call makes."""
        tensors = torch.utils._pytree.tree_leaves(node.meta.get("val"))
        return sum(
            prod(self._size_alone(n) for n in x.shape)
            for x in tensors
            if isinstance(x, torch.Tensor)
        )

    def _multiply_adds(self, node: fx.Node) -> int | None:
        """Multiply-adds of a call for one sequence; None where they cannot be known."""

        def sized(x: fx.Node) -> Any:
            value = x.meta.get("val")
            if isinstance(value, torch.Tensor):
                return Sized(tuple(self._size_alone(n) for n in value.shape))
            return value

        tensors = torch.utils._pytree.tree_leaves(node.meta.get("val"))
        made = next((x for x in tensors if isinstance(x, torch.Tensor)), None)
        shape = () if made is None else tuple(self._size_alone(n) for n in made.shape)
        return multiply_adds(node.target, fx.node.map_arg(node.args, sized), shape)

    def _size_alone(self, n: Any) -> int:
        """A size as it is for one sequence."""
        if isinstance(n, torch.SymInt):
            return int(n.node.expr.subs(self.batch.node.expr, 1))
        return n // self._captured if is_multiple(n, self._captured) else n

    def _only_views(self, node: fx.Node) -> bool:
        """Whether it costs nothing to make a tensor again from those that are known."""
        sources = (self.values[x] for x in node.all_input_nodes)
        return _is_view(node) and not any(isinstance(x, (Deferred, tuple)) for x in sources)

    def _reason(self, node: fx.Node) -> str:
        return getattr(self.values[node], "reason", "")

    def _needed(self, node: fx.Node) -> tuple[list, list, dict, list]:
        """Calls to run for `node`, the tensors they start from, constants and batch sizes."""
        seen, stack = {node}, [node]
        steps, inputs, constants, sizes = [], [], {}, []
        while stack:
            step = stack.pop()
            value = self.values[step]
            if step is not node and isinstance(value, Value):
                inputs.append((step, value))
            elif isinstance(value, Constant):
                constants[step] = self._copied(step, value.value)
            elif value is BATCH:
                sizes.append(step)
            else:
                steps.append(step)
                new = [x for x in step.all_input_nodes if x not in seen]
                seen.update(new)
                stack.extend(new)
        if not inputs:
            # Made from the size of the batch alone.
            first = next(x for x, v in self.values.items() if isinstance(v, Value))
            inputs = [(first, self.values[first])]
        inputs.sort(key=lambda pair: self.order[pair[0]])
        return sorted(steps, key=self.order.__getitem__), inputs, constants, sizes

    def _copied(self, node: fx.Node, value: Any) -> Any:
        """Weights as they are now; a copy is made once."""
        if isinstance(value, torch.Tensor) and node not in self.copies:
            self.copies[node] = value.detach().clone()
        return self.copies.get(node, value)

    # ---- what a captured value is -------------------------------------------------------

    @property
    def _captured(self) -> int | None:
        return self.batch if isinstance(self.batch, int) else None

    def _names_batch(self, node: fx.Node) -> bool:
        """Whether a captured batch stands among the arguments, as in ``zeros(batch, 3)``."""
        numbers = torch.utils._pytree.tree_leaves((node.args, node.kwargs))
        return any(is_multiple(x, self._captured) for x in numbers)

    def _is_batch(self, value: Any) -> bool:
        return isinstance(value, (int, torch.SymInt)) and str(value) == str(self.batch)

    def _has_batch(self, value: Any) -> bool:
        return (
            isinstance(value, torch.Tensor)
            and value.dim() > 0
            and self._is_batch(value.shape[0])
            and not any(
                isinstance(n, torch.SymInt) or is_multiple(n, self._captured)
                for n in value.shape[1:]
            )
        )

    def _representable(self, value: Any) -> bool:
        """Whether a graph node can hold it: the batch first, and of the module's type."""
        return self._has_batch(value) and value.dtype == getattr(torch, self.dtype)

    def _label(self, node: fx.Node) -> tuple[str, str]:
        """Name and kind for people: the layer's path and class, or the operator's."""
        path, cls = _layer(node)
        if path and cls.startswith("torch.nn.modules."):
            return path, cls.rsplit(".", 1)[-1]
        return f"{path}.{node.name}".lstrip("."), _operator_name(node)


def _no_operand(emit: Emit, *args: Any, **kwargs: Any) -> str:
    return "a first operand that does not depend on the input"


def _no_neighbours(emit: Emit, *args: Any, **kwargs: Any) -> str:
    return "neighbours on an axis of their own"


def _modules(node: fx.Node) -> list[str]:
    """Paths of the modules that a call is made in, outermost first."""
    return [path for path, _ in _stack(node)]


def _layer(node: fx.Node) -> tuple[str, str]:
    stack = _stack(node)
    return stack[-1] if stack else ("", "")


def _stack(node: fx.Node) -> list[tuple[str, str]]:
    entries = node.meta.get("nn_module_stack", {}).values()
    return [
        (
            path.split("@")[0],
            cls if isinstance(cls, str) else f"{cls.__module__}.{cls.__qualname__}",
        )
        for path, cls in entries
        if not path.startswith("_empty_nn_module_stack")
    ]


def _is_view(node: fx.Node) -> bool:
    return bool(getattr(node.target, "is_view", False))


def _is_tensor(node: fx.Node) -> bool:
    return isinstance(node.meta.get("val"), (torch.Tensor, tuple, list))


def _operator_name(node: fx.Node) -> str:
    target = node.target
    packet = getattr(target, "overloadpacket", None)
    return str(getattr(packet, "__name__", getattr(target, "__name__", target)))


def _told(reasons: Sequence[str]) -> str:
    """Several reasons as one phrase."""
    distinct = list(dict.fromkeys(reasons))
    more = f", and {len(distinct) - 2} more" if len(distinct) > 2 else ""
    return ", ".join(distinct[:2]) + more

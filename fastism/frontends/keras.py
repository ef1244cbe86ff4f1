"""Keras 3 models to graphs: functional, Sequential and nested models, on any Keras backend.

Requirements: keras. What each layer becomes stands in `fastism.frontends.keras_layers`, what
operations become in `fastism.frontends.keras_ops`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import ceil, prod
from typing import Any

import keras
import numpy as np

from fastism.backends.precision import products_in
from fastism.errors import FastISMError
from fastism.frontends import (  # noqa: F401  (they register their handlers)
    keras_arithmetic,
    keras_contractions,
    keras_flat,
    keras_ops,
)
from fastism.frontends.input_index import check_index, which_input
from fastism.frontends.keras_axis import single_axis, without_axis
from fastism.frontends.keras_layers import LAST_AXIS, LAYERS, Emit
from fastism.frontends.keras_macs import multiply_adds
from fastism.frontends.keras_trace import Traced, inference, is_own, left_as_found, traced
from fastism.frontends.mutant_batches import Batches, host_batches
from fastism.frontends.reach import no_rule
from fastism.frontends.registered import REGISTERED
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.rules import Convolution, Opaque, Source


def keras_graph(
    model: keras.Model,
    seq_input_idx: int = 0,
    seqlen: int | None = None,
    stop_layers: Sequence[str] = (),
) -> Graph:
    """Describe a built Keras 3 model.

    Parameters
    ----------
    model : keras.Model
        Functional or Sequential, built, with float32 or float64 computation.
    seq_input_idx : int
        Which input is the sequence, ``(length, channels)``.
    seqlen : int, optional
        Length of the sequence where the model leaves it open.
    stop_layers : sequence of str
        Layers after which everything is recomputed in full.

    Returns
    -------
    Graph
        Weights are copied: later training of the model does not change it.

    Raises
    ------
    FastISMError
        For a model that is not built or not a graph of layers, an open length, an unknown layer
        name, mixed or half precision.
    """
    check_model(model)
    return _Translation(model, seq_input_idx, seqlen, stop_layers).graph()


def check_model(model: keras.Model) -> None:
    """Raise FastISMError unless `model` is built and made of layers with known connections."""
    inner = _functional(model)
    if inner is None:
        if isinstance(model, keras.Sequential):
            raise FastISMError(
                f"Sequential model {model.name!r} is not built: give it an Input layer or call "
                "model.build((None, length, channels)) first."
            )
        raise FastISMError(
            f"Model {model.name!r} is a subclassed {type(model).__name__}, whose layers cannot "
            "be listed: wrap its call on a keras.Input as keras.Model(inputs, model(inputs))."
        )


def input_shapes(model: keras.Model) -> list[tuple[int | None, ...]]:
    """Shapes of the model's inputs without the batch axis."""
    return [tuple(x.shape[1:]) for x in _functional(model).inputs]


def _functional(operation: Any) -> Any:
    """The functional model that lists the layers of `operation`; None if it is no such model."""
    if isinstance(operation, keras.Sequential):
        return getattr(operation, "_functional", None)
    if isinstance(operation, keras.Model) and hasattr(operation, "_nodes"):
        return operation
    return None


class _Translation:
    """State of one translation: which symbolic tensor became which node."""

    def __init__(
        self, model: keras.Model, seq_input_idx: int, seqlen: int | None, stops: Sequence[str]
    ) -> None:
        self.model, self.seqlen, self.sequence = model, seqlen, seq_input_idx
        self.stops = set(stops)
        self.builder = GraphBuilder()
        self.specs: dict[int, keras.KerasTensor] = {}
        self.stopped: set[int] = set()
        self.seen: set[str] = set()
        self.dtype = "float32"
        self.prefix = ""
        self.known: dict[int, int] = {}
        # How many rows of a node's tensor are one sequence, where that is not one.
        self.rows: dict[int, Fraction] = {}

    def graph(self) -> Graph:
        inner = _functional(self.model)
        inputs = [
            self.builder.add(x.name, "InputLayer", Source(self._input_shape(i, x)))
            for i, x in enumerate(inner.inputs)
        ]
        for index, x in zip(inputs, inner.inputs, strict=True):
            shape = self.builder.nodes[index].shape
            self.specs[index] = keras.KerasTensor((None, *shape), dtype=x.dtype)
        if inner.inputs[self.sequence].dtype == "float64":
            self.dtype = "float64"
        outputs = self._inline(inner, inputs)
        self._check_stops()
        self._mark_stops()
        return self.builder.build(inputs, outputs, self.sequence, self.dtype)

    def _input_shape(self, index: int, x: keras.KerasTensor) -> tuple[int, ...]:
        shape = tuple(x.shape[1:])
        if index != self.sequence:
            if None in shape:
                raise FastISMError(
                    f"Input {index} ({x.name!r}) has the open shape {shape}; only the length of "
                    "the perturbed sequence may be open."
                )
            return shape
        if len(shape) != 2 or shape[1] is None:
            count = len(_functional(self.model).inputs)
            raise FastISMError(
                f"Input {index} ({x.name!r}) has shape {shape} without the batch axis; the "
                f"perturbed sequence needs (length, channels).{which_input(count)}"
            )
        if shape[0] is None:
            if self.seqlen is None:
                raise FastISMError(
                    f"Input {index} ({x.name!r}) leaves the sequence length open: "
                    "give it, seqlen=1000 (--seqlen 1000 on the command line)."
                )
            return self.seqlen, shape[1]
        if self.seqlen not in (None, shape[0]):
            raise FastISMError(
                f"seqlen={self.seqlen} (--seqlen) was given, but the model's sequence length is "
                f"{shape[0]}. Leave it out."
            )
        return shape

    def _inline(self, model: Any, inputs: Sequence[int]) -> list[int]:
        """Nodes for the outputs of a functional model whose inputs are given nodes."""
        outer = self.known
        self.known = known = {id(x): i for x, i in zip(model.inputs, inputs, strict=True)}
        stack = list(model.outputs)
        while stack:
            tensor = stack[-1]
            if id(tensor) in known:
                stack.pop()
                continue
            history = tensor._keras_history
            call = history.operation._inbound_nodes[history.node_index]
            missing = [x for x in call.input_tensors if id(x) not in known]
            if missing:
                stack.extend(missing)
                continue
            made = self._operation(
                history.operation, call, [known[id(x)] for x in call.input_tensors]
            )
            known.update({id(x): i for x, i in zip(call.output_tensors, made, strict=True)})
        self.known = outer
        return [known[id(x)] for x in model.outputs]

    def _operation(self, operation: Any, call: Any, inputs: list[int]) -> list[int]:
        self.seen.add(operation.name)
        self._check_precision(operation)
        nested = _functional(operation)
        if nested is not None:
            made = self._inline(nested, inputs)
        else:
            made = self._layer(operation, call, inputs)
        if operation.name in self.stops:
            self.stopped.update(made)
        return made

    def _check_precision(self, operation: Any) -> None:
        policy = getattr(operation, "dtype_policy", None)
        compute = getattr(policy, "compute_dtype", None)
        if compute is None or not isinstance(operation, keras.layers.Layer):
            return
        if compute not in ("float32", "float64"):
            raise FastISMError(
                f"Layer {operation.name!r} computes in {compute}; exact ISM needs float32 or "
                "float64. Rebuild the model with dtype policy 'float32'."
            )
        if compute == "float64":
            self.dtype = "float64"

    def _layer(self, operation: Any, call: Any, inputs: list[int]) -> list[int]:
        handler, declared = LAYERS.get(type(operation)), REGISTERED.get(type(operation))
        reason, macs = no_rule(type(operation).__name__), None
        if any(self.specs[i].shape[0] is not None for i in inputs if i in self.specs):
            reason = "an input whose first axis is not the batch"
        elif any(i in self.rows for i in inputs):
            reason = f"an input in which {keras_ops.FOLDED}"
        elif declared is not None:
            found = self._declared(operation, declared, inputs)
            if isinstance(found, list):
                return found
            reason = found
        elif handler is not None:
            emit = Emit(self.builder, operation, self._function, self.prefix, self._node_of)
            made = self._handled(emit, handler, operation, call, inputs)
            if not isinstance(made, str):
                self._note(made, call.output_tensors[0].dtype)
                return [made]
            reason = made
        elif is_own(operation):
            found = self._looked_into(operation, call, inputs)
            if isinstance(found, list):
                return found
            reason, macs = found
        return self._opaque(operation, call, inputs, reason, macs)

    def _handled(
        self, emit: Emit, handler: Any, operation: Any, call: Any, inputs: list[int]
    ) -> int | str:
        """What a layer becomes; one on the last axis alone sees tensors without a single axis."""
        flat = keras_flat.flat(self.builder, inputs[0]) if len(inputs) == 1 else None
        if flat is None or flat[1] == 2 or type(operation) not in LAST_AXIS:
            return handler(emit, operation, call, inputs)
        made = handler(emit, operation, call, [flat[0]])
        if isinstance(made, str):
            return made
        return keras_flat.restored(emit.add, emit.shape(made), made, flat[1])

    def _node_of(self, tensor: keras.KerasTensor) -> int | None:
        """The node of a symbolic tensor of the graph that is being read."""
        return self.known.get(id(tensor))

    def _note(self, index: int, dtype: Any) -> None:
        """Keep what a node looks like to Keras."""
        shape = self.builder.nodes[index].shape
        self.specs[index] = keras.KerasTensor((None, *shape), dtype=dtype)

    def _forget(self, first: int) -> None:
        """Take back the nodes from `first` on."""
        del self.builder.nodes[first:]
        for known in (self.specs, self.rows):
            for index in [i for i in known if i >= first]:
                del known[index]

    def _looked_into(
        self, layer: Any, call: Any, inputs: list[int]
    ) -> list[int] | tuple[str, int | None]:
        """A layer of one's own as what its `call` does; or why not, and its multiply-adds."""
        symbolic = call.input_tensors
        specs = [self.specs[i] for i in inputs]

        def arguments(tensors: list[keras.KerasTensor]) -> tuple[tuple, dict]:
            values = {id(x): tensor for x, tensor in zip(symbolic, tensors, strict=True)}
            args, kwargs = _filled(call.arguments, values)
            return args, {**kwargs, **inference(layer)}

        with left_as_found(layer):
            found = traced(layer.call, specs, arguments)
            if found is None:
                kind = type(layer).__name__
                return f"no rule for {kind}, and its call does more than Keras can trace", None
            first = len(self.builder.nodes)
            made = self._inlined(found, inputs, layer.name)
        new = self.builder.nodes[first:]
        unknown = [node for node in new if isinstance(node.rule, Opaque)]
        useful = [node for node in new if isinstance(node.rule, Convolution)]
        if not unknown or useful:
            return made
        shapes = [[self.builder.nodes[i].shape for i in node.inputs] for node in new]
        costs = [node.rule.full_macs(s, node.shape) for node, s in zip(new, shapes, strict=True)]
        known = all(node.rule.macs is not None for node in unknown)
        self._forget(first)
        return f"in its call, {unknown[0].rule.reason}", sum(costs) if known else None

    def _declared(self, layer: Any, function: Callable, inputs: list[int]) -> list[int] | str:
        """A layer as the function that its author registered; or why that cannot be read."""
        specs = [self.specs[i] for i in inputs]
        with left_as_found(layer):
            found = traced(function, specs, lambda tensors: ((layer, *tensors), {}))
            if found is None:
                return "the function that was registered for it does more than Keras can trace"
            return self._inlined(found, inputs, layer.name)

    def _inlined(self, found: Traced, inputs: list[int], name: str) -> list[int]:
        """Nodes for what was traced; their names begin with that of the layer."""
        before, self.prefix = self.prefix, f"{self.prefix}{name}/"
        try:
            return self._inline(found, inputs)
        finally:
            self.prefix = before

    def _opaque(
        self,
        operation: Any,
        call: Any,
        inputs: list[int],
        reason: str,
        macs: int | None = None,
    ) -> list[int]:
        symbolic = call.input_tensors
        specs = {id(x): self.specs[i] for x, i in zip(symbolic, inputs, strict=True)}
        arguments, keywords = _filled(call.arguments, specs)
        shapes = keras.tree.flatten(operation.compute_output_spec(*arguments, **keywords))
        fixed = inference(operation)
        kind = type(operation).__name__
        given = [self.builder.nodes[i].shape for i in inputs]
        rows = max((self.rows.get(i, Fraction(1)) for i in inputs), default=Fraction(1))
        if macs is None:
            macs = multiply_adds(operation, given, _without_batch(shapes[0]))
            macs = macs if macs is None else ceil(macs * rows)
        name = self.prefix + operation.name
        made = []
        for number, spec in enumerate(shapes):
            function = _caller(operation, call.arguments, symbolic, fixed, number)
            shape, framework = _without_batch(spec), keras.backend.backend()
            after = rows
            if type(operation) is keras_ops.RESHAPE:
                after = rows * prod(given[0]) / prod(shape)
            folded = (rows, after) != (1, 1)
            size = ceil(max(rows * prod(given[0]), after * prod(shape))) if folded else 0
            # Every output runs the whole layer.
            rule = Opaque(function, shape, framework, reason, name, size, macs)
            made.append(self.builder.add(name, kind, rule, inputs))
            self.specs[made[-1]] = spec
            if after != 1:
                self.rows[made[-1]] = after
        return made

    def _function(self, name: str, function: Callable, x: int, reason: str) -> int:
        """A function of one tensor: what it consists of, or an opaque node."""
        shape = self.builder.nodes[x].shape
        # Within a layer, what came before its activation is known to nobody else.
        spec = self.specs.get(x, keras.KerasTensor((None, *shape), dtype=self.dtype))
        with left_as_found(function):
            found = traced(function, [spec], lambda tensors: (tuple(tensors), {}))
            if found is not None and len(found.outputs) == 1:
                first = len(self.builder.nodes)
                (made,) = self._inlined(found, [x], name)
                if not any(isinstance(n.rule, Opaque) for n in self.builder.nodes[first:]):
                    return made
                self._forget(first)
        rule = Opaque(function, shape, keras.backend.backend(), reason, name)
        return self.builder.add(name, "Activation", rule, [x])

    def _check_stops(self) -> None:
        unknown = sorted(self.stops - self.seen)
        if unknown:
            raise FastISMError(
                f"early_stop_layers names {', '.join(map(repr, unknown))}, which the model does "
                f"not have; its layers are {', '.join(sorted(self.seen))}."
            )

    def _mark_stops(self) -> None:
        for index in self.stopped:
            self.builder.nodes[index] = replace(self.builder.nodes[index], stop=True)


def _filled(arguments: Any, values: dict[int, Any]) -> tuple[tuple, dict]:
    """Call arguments with symbolic tensors replaced by `values` (by id)."""

    def swap(x: Any) -> Any:
        return values.get(id(x), x)

    filled = keras.tree.map_structure(swap, (arguments.args, arguments.kwargs))
    return tuple(filled[0]), dict(filled[1])


def _without_batch(spec: keras.KerasTensor) -> tuple[int, ...]:
    """The shape of a tensor without its batch axis, which is the first one or the open one."""
    if spec.shape[0] is None:
        return tuple(spec.shape[1:])
    return tuple(n for n in spec.shape if n is not None)


def _caller(
    operation: Any, arguments: Any, symbolic: Sequence[Any], fixed: dict, number: int
) -> Callable[..., Any]:
    """A function of tensors that calls `operation` and returns its output `number`."""

    def call(*tensors: Any) -> Any:
        values = {id(x): tensor for x, tensor in zip(symbolic, tensors, strict=True)}
        args, kwargs = _filled(arguments, values)
        return keras.tree.flatten(operation(*args, **{**kwargs, **fixed}))[number]

    return call


class KerasFrontEnd:
    """A Keras 3 model; see `fastism.frontends.base.FrontEnd`.

    Parameters
    ----------
    model : keras.Model
    seq_input_idx : int
    seqlen : int or None
    """

    channels_first = False
    device = None

    def __init__(self, model: keras.Model, seq_input_idx: int, seqlen: int | None) -> None:
        check_model(model)
        inputs = _functional(model).inputs
        check_index(seq_input_idx, len(inputs), [x.name for x in inputs])
        self.output_names = [str(name) for name in getattr(model, "output_names", ())]
        self.single_axis = single_axis(tuple(inputs[seq_input_idx].shape[1:]))
        if self.single_axis is not None:
            model = without_axis(model, inputs, seq_input_idx)
            inputs = _functional(model).inputs
        self.model, self.sequence, self.seqlen = model, seq_input_idx, seqlen
        self.framework, self.precision = keras.backend.backend(), "float32"
        translation = _Translation(model, seq_input_idx, seqlen, ())
        self.input_shapes = [translation._input_shape(i, x) for i, x in enumerate(inputs)]
        self.dtype = "float64" if inputs[seq_input_idx].dtype == "float64" else "float32"
        self._compiled = _compiled(model, self.framework, self.dtype)

    def graph(self, stop_layers: Sequence[str] = ()) -> Graph:
        """The model as a graph, with the weights it has now."""
        return keras_graph(self.model, self.sequence, self.seqlen, stop_layers)

    def internal(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        return list(inputs)

    def batches(self, inputs: Sequence[np.ndarray]) -> Batches:
        return host_batches(inputs, self.sequence)

    def output_shapes(self, graph: Graph) -> list[tuple[int, ...]]:
        return [graph.nodes[i].shape for i in graph.outputs]

    def view(self, number: int) -> None:
        return None

    def forward(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The model itself, compiled, at inference; a list of outputs on the host."""
        with products_in(self.framework, self.precision):
            return [keras.ops.convert_to_numpy(y) for y in self._compiled(list(inputs))]

    @property
    def called(self) -> str:
        """The model's name."""
        return f"model {self.model.name!r}"

    def decision(self, inputs: Sequence[np.ndarray]) -> str:
        """A Keras model is a graph of operations: it cannot decide by numbers."""
        return ""

    def coupled(self, batches: Sequence[Sequence[np.ndarray]], index: tuple[int, int]) -> str:
        """The first layer whose result for the same sequence is another in another batch."""
        inner = _functional(self.model)
        made = [(operation, operation.output) for operation in inner.operations]
        made = [(o, y) for o, y in made if isinstance(y, keras.KerasTensor)]
        every = keras.Model(inner.inputs, [y for _, y in made])
        given = [[keras.ops.convert_to_tensor(x) for x in batch] for batch in batches]
        runs = [every(x, training=False) for x in given]
        for (operation, _), *pair in zip(made, *runs, strict=True):
            a, b = (keras.ops.convert_to_numpy(y[i]) for y, i in zip(pair, index, strict=True))
            size = np.abs(a[np.isfinite(a)]).max(initial=0.0)
            alike = a.shape == b.shape and np.allclose(a, b, 1e-4, 1e-5 * size, equal_nan=True)
            if not alike:
                kind = type(operation).__name__
                return f"{operation.name!r} ({kind}) is the first layer whose result differs."
        return ""

    def compiled(self) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        return self.forward


def _compiled(model: keras.Model, framework: str, dtype: str) -> Callable[[list], list]:
    """`model` at inference, compiled as its framework does best."""
    structure = _functional(model).input

    def call(inputs: list) -> list:
        given = keras.tree.pack_sequence_as(structure, inputs)
        return keras.tree.flatten(model(given, training=False))

    if framework == "tensorflow":
        return _traced(call, dtype)
    if framework == "jax":
        import jax

        return jax.jit(call)
    if framework == "torch":
        import torch

        return torch.inference_mode()(call)
    return call


def _traced(call: Callable[[list], list], dtype: str) -> Callable[[list], list]:
    """`call` in one TensorFlow graph for every batch size, made when it is first called."""
    import tensorflow as tf

    from fastism.backends.traced import Traced

    traced = Traced(call)

    def run(inputs: list) -> list:
        return traced([tf.convert_to_tensor(x, dtype) for x in inputs])

    return run

"""Random graphs built straight from rules, and two independent readings of them.

`evaluate` runs a graph on whole tensors; `dependence` says, by loops over positions, which
outputs of every node can see a changed input. Neither knows anything of intervals or windows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from math import prod

import numpy as np
from hypothesis import strategies as st
from numpy_backend import NumpyBackend

from fastism.calls.mutants import Mutants
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.intervals import same_padding
from fastism.rules import (
    Affine,
    AveragePool,
    Channels,
    Concatenate,
    ConstantChannels,
    Convolution,
    Dense,
    Elementwise,
    FlattenDense,
    Flip,
    GlobalPool,
    GlobalSoftmaxPool,
    LayerNorm,
    MaxPool,
    Opaque,
    Pointwise,
    PositionAffine,
    Reshape,
    Rule,
    Shift,
    SoftmaxPool,
    Source,
    Upsample,
    WeightedSum,
)

#: Functions that stay finite and smooth enough on any real input.
FUNCTIONS = (
    "relu",
    "abs",
    "clip",
    "cos",
    "elu",
    "gelu",
    "hard_sigmoid",
    "leaky_relu",
    "negative",
    "negative_part",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "sin",
    "softmax",
    "log_softmax",
    "softplus",
    "softsign",
    "tanh",
)


# ---- two readings -----------------------------------------------------------------------


def evaluate(graph: Graph, inputs: Sequence[np.ndarray], dtype: str = "float64") -> list:
    """Values of every node, ``(batch, *shape)``, on whole tensors."""
    b = NumpyBackend(dtype)
    given = dict(zip(graph.inputs, inputs, strict=True))
    values: list = []
    for index, node in enumerate(graph.nodes):
        if index in given:
            values.append(np.asarray(given[index], dtype))
        else:
            weights = node.rule.prepare(b)
            values.append(node.rule.full(b, weights, [values[i] for i in node.inputs]))
        assert values[-1].shape[1:] == node.shape, f"{node.kind} states another shape"
    return values


def outputs_of(graph: Graph, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Values of the graph's outputs."""
    values = evaluate(graph, inputs)
    return [values[i] for i in graph.outputs]


def reads(rule: Rule, q: int, length: int) -> list[int]:
    """Positions of the (only) input, of that length, that position `q` of the output looks at."""
    if isinstance(rule, Convolution):
        taps, dilation = rule.kernel.shape[0], rule.dilation
        return [q * rule.stride - rule.pad[0] + t * dilation for t in range(taps)]
    if isinstance(rule, MaxPool | AveragePool | SoftmaxPool):
        return [q * rule.stride - rule.pad[0] + t for t in range(rule.size)]
    if isinstance(rule, Shift):
        return [q - rule.left]
    if isinstance(rule, Upsample):
        return [] if rule.zeros and q % rule.factor else [q // rule.factor]
    if isinstance(rule, Flip):
        return [length - 1 - q] if rule.positions else [q]
    if isinstance(rule, Affine | Channels | ConstantChannels | LayerNorm):
        return [q]
    if isinstance(rule, Pointwise | PositionAffine):
        return [q]
    raise NotImplementedError(type(rule).__name__)


def dependence(graph: Graph, changed: np.ndarray) -> list[np.ndarray]:
    """Which positions of every node can differ, ``(length,)`` of bool; ``(1,)`` for vectors.

    Parameters
    ----------
    changed : ndarray of bool, shape (length of the perturbed input,)
    """
    seen: list[np.ndarray] = []
    for index, node in enumerate(graph.nodes):
        positions = node.shape[0] if len(node.shape) == 2 else 1
        sources = [seen[i] for i in node.inputs]
        if index == graph.perturbed:
            made = np.array(changed)
        elif not sources:
            made = np.zeros(positions, bool)
        elif len(node.shape) == 2 and isinstance(node.rule, WeightedSum | Elementwise):
            made = np.logical_or.reduce([np.broadcast_to(s, positions) for s in sources])
        elif isinstance(node.rule, SoftmaxPool):
            either = np.any(sources, 0)
            made = np.array([either[reads(node.rule, q, 0)].any() for q in range(positions)])
        elif len(node.shape) == 2 and isinstance(node.rule, Concatenate):
            made = np.concatenate(sources) if node.rule.axis == 0 else np.any(sources, 0)
        elif len(node.shape) == 2 and not isinstance(node.rule, Opaque | Reshape):
            (x,) = sources
            made = np.array(
                [
                    any(x[p] for p in reads(node.rule, q, len(x)) if 0 <= p < len(x))
                    for q in range(positions)
                ]
            )
        else:
            made = np.full(positions, any(s.any() for s in sources))
        seen.append(made)
    return seen


# ---- rules at random --------------------------------------------------------------------


class Draw:
    """Small numbers for hypothesis to shrink, and weights from a seeded generator."""

    def __init__(self, draw: Callable) -> None:
        self.draw = draw
        self.rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))

    def int(self, low: int, high: int) -> int:
        return self.draw(st.integers(low, high))

    def of(self, *choices: object) -> object:
        return self.draw(st.sampled_from(choices))

    def bool(self) -> bool:
        return self.draw(st.booleans())

    def weights(self, *shape: int) -> np.ndarray:
        return self.rng.normal(size=shape) / np.sqrt(max(prod(shape[:-1]), 1))

    def bias(self, features: int) -> np.ndarray | None:
        return self.rng.normal(size=features) if self.bool() else None

    def padding(self, length: int, size: int, stride: int, dilation: int = 1) -> tuple[int, int]:
        reach = (size - 1) * dilation
        kind = self.of("valid", "same", "causal", "any")
        if kind == "valid" and reach < length:
            return 0, 0
        if kind == "any" and reach < length + reach:
            left = self.int(0, reach)
            return left, reach - left
        return (reach, 0) if kind == "causal" else same_padding(length, size, stride, dilation)


def convolution(d: Draw, length: int, channels: int) -> Rule:
    size, stride, dilation = d.int(1, 5), d.of(1, 1, 1, 2, 3), d.of(1, 1, 2, 3)
    groups = d.of(*[g for g in (1, 1, channels) if channels % g == 0])
    features = groups * d.int(1, 3)
    pad = d.padding(length, size, stride, dilation)
    kernel = d.weights(size, channels // groups, features)
    return Convolution(kernel, d.bias(features), stride, dilation, groups, pad)


def max_pool(d: Draw, length: int, channels: int) -> Rule:
    size, stride = d.int(1, min(4, length)), d.int(1, 4)
    sign = d.rng.choice([-1.0, 1.0], channels) if d.bool() else None
    return MaxPool(size, stride, d.of((0, 0), same_padding(length, size, stride)), sign)


def average_pool(d: Draw, length: int, channels: int) -> Rule:
    size, stride = d.int(1, min(4, length)), d.int(1, 4)
    pad = d.of((0, 0), same_padding(length, size, stride))
    return AveragePool(size, stride, pad, d.bool(), length)


def pointwise(d: Draw, length: int, channels: int) -> Rule:
    name = d.of("relu", "relu", *FUNCTIONS)
    options = {
        "clip": {"low": -0.5, "high": 0.7},
        "elu": {"alpha": 0.7},
        "leaky_relu": {"negative_slope": 0.2},
    }
    return Pointwise(name, options.get(name, {}))


def affine(d: Draw, length: int, channels: int) -> Rule:
    return Affine(d.rng.normal(size=channels), d.rng.normal(size=channels))


def position_affine(d: Draw, length: int, channels: int) -> Rule:
    scale, shift = (d.rng.normal(size=(length, channels)) if d.bool() else None for _ in range(2))
    return PositionAffine(scale, shift)


def constant_channels(d: Draw, length: int, channels: int) -> Rule:
    return ConstantChannels(*(d.rng.normal(size=(length, d.int(0, 2))) for _ in range(2)))


def layer_norm(d: Draw, length: int, channels: int) -> Rule:
    return LayerNorm(d.bias(channels), d.bias(channels), 0.1, d.bool())


def shift(d: Draw, length: int, channels: int) -> Rule:
    left = d.int(-min(3, length - 1), 3)
    return Shift(left, d.int(-min(3, length - 1 + min(left, 0)), 3))


def upsample(d: Draw, length: int, channels: int) -> Rule:
    return Upsample(d.int(1, 3), d.bool())


def some_channels(d: Draw, length: int, channels: int) -> Rule:
    start = d.int(0, channels - 1)
    return Channels(start, d.int(start + 1, channels))


def flip(d: Draw, length: int, channels: int) -> Rule:
    return Flip(length, d.bool(), d.bool())


#: One input, local.
LOCAL = (
    convolution,
    pointwise,
    max_pool,
    affine,
    average_pool,
    layer_norm,
    shift,
    upsample,
    flip,
    some_channels,
    position_affine,
    constant_channels,
    max_pool,
    convolution,
)


def running_sum(shape: tuple[int, ...]) -> Opaque:
    """Something that mixes all positions and has no rule."""
    return Opaque(lambda x: np.cumsum(x, 1) / 10, shape, "numpy", "no rule for it", "running sum")


# ---- graphs at random -------------------------------------------------------------------


class _Growing:
    """A graph that grows node by node."""

    def __init__(self, d: Draw, length: int, channels: int) -> None:
        self.d, self.builder = d, GraphBuilder()
        self.inputs = [self.builder.add("x", "Input", Source((length, channels)))]
        self.sequences, self.vectors = [self.inputs[0]], []

    def shape(self, index: int) -> tuple[int, ...]:
        return self.builder.nodes[index].shape

    def add(self, rule: Rule, *inputs: int) -> int:
        name = f"{type(rule).__name__} {len(self.builder.nodes)}"
        index = self.builder.add(name, type(rule).__name__, rule, inputs)
        if len(self.shape(index)) == 2:
            self.sequences.append(index)
        else:
            self.vectors.append(index)
        return index

    def side(self, shape: tuple[int, ...]) -> int:
        """Another input of the model."""
        self.inputs.append(self.builder.add(f"side {len(self.inputs)}", "Input", Source(shape)))
        return self.inputs[-1]

    def recent(self) -> int:
        """A tensor over positions, often the newest one."""
        return self.d.of(self.sequences[-1], *self.sequences[-3:])

    def grow_local(self) -> None:
        x = self.recent()
        self.add(self.d.of(*LOCAL)(self.d, *self.shape(x)), x)

    def grow_branches(self) -> None:
        """Two branches of one tensor, brought to one shape and merged."""
        x = self.recent()
        length, channels = self.shape(x)
        branches = [x] if self.d.bool() else []
        while len(branches) < 2:
            size, dilation = self.d.of(1, 3), self.d.of(1, 2, 4)
            pad = same_padding(length, size, 1, dilation)
            kernel = self.d.weights(size, channels, channels)
            y = self.add(Convolution(kernel, None, 1, dilation, 1, pad), x)
            branches.append(self.add(Pointwise("relu"), y) if self.d.bool() else y)
        self.add(self.merge(), *branches)

    def grow_softmax_pool(self) -> None:
        """Attention pooling, its logits a function of each position or of the neighbours too."""
        x = self.recent()
        length, channels = self.shape(x)
        taps = self.d.of(1, 1, 3)
        kernel = self.d.weights(taps, channels, self.d.of(channels, 1))
        logits = self.add(Convolution(kernel, None, 1, 1, 1, same_padding(length, taps, 1)), x)
        size = self.d.int(1, min(4, length))
        self.add(SoftmaxPool(size, size), x, self.d.of(logits, x))

    def merge(self, *, channels: bool = True) -> Rule:
        sums = WeightedSum(self.d.of((1.0, 1.0), (1.0, -1.0), (0.5, 0.5)))
        products = Elementwise(self.d.of("multiply", "maximum", "minimum"))
        return self.d.of(sums, products, Concatenate(1)) if channels else self.d.of(sums, products)

    def grow_side(self) -> None:
        """Join with an input that is not perturbed, of any shape that fits."""
        x = self.recent()
        length, channels = self.shape(x)
        if self.d.bool():
            side = self.side((length, self.d.int(1, 3)))
            rule: Rule = Concatenate(1)
        else:
            shapes = ((length, channels), (length, 1), (1, channels), (channels,), (1,), (1, 1))
            side, rule = self.side(self.d.of(*shapes)), self.merge(channels=False)
        self.add(rule, *self.d.of((x, side), (side, x)))

    def grow_full(self) -> None:
        x = self.recent()
        length, channels = self.shape(x)
        kind = self.d.of("opaque", "reshape", "join")
        if kind == "opaque":
            self.add(running_sum((length, channels)), x)
        elif kind == "reshape":
            self.add(Reshape((channels, length), self.d.of(None, (1, 0))), x)
        else:
            self.add(Concatenate(0), x, x)

    def read(self) -> None:
        """A feature vector from a tensor over positions."""
        x = self.recent()
        shape = self.shape(x)
        kind = self.d.of("flatten", "flat vector", "mean", "sum", "max", "logsumexp", "softmax")
        if kind == "flatten":
            self.add(FlattenDense(self.d.weights(*shape, 2), self.d.bias(2)), x)
        elif kind == "flat vector":
            self.add(Reshape((prod(shape),)), x)
        elif kind == "softmax":
            both = self.add(Concatenate(1), self.d.of(x, self.add(Channels(0, 1), x)), x)
            self.add(GlobalSoftmaxPool(self.shape(both)[1] - shape[1]), both)
        else:
            self.add(GlobalPool(kind), x)

    def head(self) -> None:
        """A dense layer, alone or after joining two vectors."""
        x = self.d.of(*self.vectors[-2:])
        if self.d.bool():
            other = self.d.of(*self.vectors, self.side((3,)))
            x = self.add(Concatenate(0), x, other)
        self.add(Dense(self.d.weights(self.shape(x)[0], 2), self.d.bias(2)), x)

    def finish(self) -> Graph:
        made = self.sequences[1:] + self.vectors or self.sequences
        outputs = list(dict.fromkeys([made[-1], *(self.d.of(*made) for _ in range(2))]))
        return self.builder.build(self.inputs, outputs, 0, "float64")


@st.composite
def graphs(draw: Callable, local_only: bool = False) -> Graph:
    """A graph over all rules; with `local_only` every node has a window."""
    d = Draw(draw)
    g = _Growing(d, d.int(5, 16), d.int(1, 3))
    growth = [g.grow_local, g.grow_local, g.grow_local, g.grow_branches, g.grow_softmax_pool]
    for _ in range(d.int(1, 6)):
        d.of(*growth, *([] if local_only else [g.grow_side, g.grow_full]))()
        if max(prod(g.shape(i)) for i in g.sequences) > 200:
            break
    if not local_only:
        for _ in range(d.int(0, 2)):
            g.read()
            g.head()
    graph = g.finish()
    if not local_only and d.int(0, 3) == 0:
        stopped = d.int(0, len(graph.nodes) - 1)
        nodes = list(graph.nodes)
        nodes[stopped] = replace(nodes[stopped], stop=True)
        graph = replace(graph, nodes=tuple(nodes))
    return graph


@st.composite
def single_rules(draw: Callable) -> Graph:
    """The perturbed input and one local rule on it."""
    d = Draw(draw)
    length, channels = d.int(1, 12), d.int(1, 3)
    builder = GraphBuilder()
    x = builder.add("x", "Input", Source((length, channels)))
    rule = d.of(*LOCAL)(d, length, channels)
    return builder.build([x], [builder.add("y", type(rule).__name__, rule, [x])], 0, "float64")


# ---- mutants ----------------------------------------------------------------------------


def random_inputs(graph: Graph, sequences: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Real-valued inputs of a graph."""
    return [rng.normal(size=(sequences, *graph.nodes[i].shape)) for i in graph.inputs]


def random_mutants(
    graph: Graph, inputs: Sequence[np.ndarray], width: int, count: int, rng: np.random.Generator
) -> Mutants:
    """Random replacements; the first two touch the ends of the first sequence."""
    x = inputs[graph.sequence]
    length, channels = x.shape[1:]
    sequence = rng.integers(len(x), size=count)
    start = rng.integers(length - width + 1, size=count)
    sequence[:2], start[:2] = 0, np.array([0, length - width])[:count]
    replacement = rng.normal(size=(count, width, channels))
    current = x[sequence[:, None], start[:, None] + np.arange(width)]
    return Mutants(sequence, start, replacement, replacement - current)


def mutated(inputs: Sequence[np.ndarray], which: int, mutants: Mutants) -> list[np.ndarray]:
    """Inputs of every mutant, as naive ISM makes them."""
    batch = [x[mutants.sequence].copy() for x in inputs]
    width = mutants.replacement.shape[1]
    for i, (start, new) in enumerate(zip(mutants.start, mutants.replacement, strict=True)):
        batch[which][i, start : start + width] = new
    return batch

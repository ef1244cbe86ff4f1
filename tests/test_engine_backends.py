"""A small model, run by the engine on every backend against a full pass of every mutant.

The graph is built from rules, without a front end, and has one step of most kinds::

    sequence - conv - norm - relu - max pool - dilated conv - relu - add - (joined)
                                        |                             |
                                        +-----------------------------+

    (joined) - flatten - dense - relu - beside the vector - dense   output 1
    (joined) - strided conv - silu - mean over positions            output 2
    (joined) - silu - maximum over positions                        output 3
    (joined) - conv to one channel                                  output 4
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backends_here import backends_and_variants, made_backend
from oracle import full_pass

from fastism.backends import available_backends, get_backend
from fastism.backends.base import Backend
from fastism.calls.mutants import Mutants
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.graph.simplify import simplify
from fastism.intervals import same_padding
from fastism.planning.plan import make_plan
from fastism.rules import (
    Affine,
    Concatenate,
    Convolution,
    Dense,
    FlattenDense,
    GlobalPool,
    MaxPool,
    Pointwise,
    Reshape,
    Source,
    WeightedSum,
)
from fastism.running.engine import Engine

SEED = 20220306
LENGTH, CHARACTERS, VECTOR = 37, 4, 3
#: Largest error as a part of the largest output.
TOLERANCE = {"float32": 2e-6, "float64": 1e-13}


def small_graph(dtype: str) -> Graph:
    rng = np.random.default_rng(SEED)

    def weights(*shape: int) -> np.ndarray:
        return (rng.normal(size=shape) / np.sqrt(np.prod(shape[:-1]))).astype(dtype)

    def conv(taps: int, channels: int, features: int, length: int, dilation: int = 1) -> Any:
        pad = same_padding(length, taps, 1, dilation)
        bias = weights(features)
        return Convolution(weights(taps, channels, features), bias, dilation=dilation, pad=pad)

    g = GraphBuilder()
    add = g.add
    sequence = add("sequence", "Input", Source((LENGTH, CHARACTERS)))
    vector = add("vector", "Input", Source((VECTOR,)))
    x = add("conv", "Conv", conv(5, CHARACTERS, 24, LENGTH), [sequence])
    x = add("norm", "Norm", Affine(1 + weights(24), weights(24)), [x])
    x = add("relu", "Relu", Pointwise("relu"), [x])
    pooled = add("pool", "MaxPool", MaxPool(3, 3), [x])
    length = g.nodes[pooled].shape[0]
    x = add("dilated", "Conv", conv(3, 24, 24, length, dilation=2), [pooled])
    x = add("dilated relu", "Relu", Pointwise("relu"), [x])
    joined = add("residual", "Add", WeightedSum((1.0, 1.0)), [pooled, x])

    flat = add("flatten", "Flatten", Reshape((length * 24,)), [joined])
    x = add("dense", "Dense", Dense(weights(length * 24, 10), weights(10)), [flat])
    x = add("dense relu", "Relu", Pointwise("relu"), [x])
    x = add("with vector", "Concatenate", Concatenate(0), [x, vector])
    dense = add("score", "Dense", Dense(weights(10 + VECTOR, 2), weights(2)), [x])

    x = add("strided", "Conv", Convolution(weights(4, 24, 5), weights(5), stride=2), [joined])
    x = add("silu", "Silu", Pointwise("silu"), [x])
    mean = add("mean", "Mean", GlobalPool("mean"), [x])
    x = add("silu 2", "Silu", Pointwise("silu"), [joined])
    most = add("most", "Max", GlobalPool("max"), [x])
    profile = add("profile", "Conv", conv(3, 24, 1, length), [joined])
    return g.build([sequence, vector], [dense, mean, most, profile], 0, dtype)


def inputs_of(graph: Graph, sequences: int) -> list[np.ndarray]:
    rng = np.random.default_rng(SEED + 1)
    chosen = rng.integers(0, CHARACTERS, (sequences, LENGTH))
    vectors = rng.normal(size=(sequences, VECTOR))
    return [np.eye(CHARACTERS)[chosen].astype(graph.dtype), vectors.astype(graph.dtype)]


def all_mutants(x: np.ndarray, width: int) -> Mutants:
    """Every start in every sequence, with two replacements each; the first changes nothing."""
    rng = np.random.default_rng(SEED + 2)
    starts = np.arange(x.shape[1] - width + 1)
    sequence, start, _ = (v.reshape(-1) for v in np.meshgrid(range(len(x)), starts, range(3)))
    new = np.eye(x.shape[2])[rng.integers(0, x.shape[2], (len(start), width))]
    old = x[sequence[:, None], start[:, None] + np.arange(width)]
    new[0] = old[0]
    return Mutants(sequence, start, new, new - old)


def brute_force(graph: Graph, inputs: list[np.ndarray], mutants: Mutants) -> list[np.ndarray]:
    x = inputs[0][mutants.sequence].astype(np.float64)
    width = mutants.replacement.shape[1]
    rows = np.arange(len(mutants))[:, None]
    x[rows, mutants.start[:, None] + np.arange(width)] = mutants.replacement
    return full_pass(graph, [x, inputs[1][mutants.sequence].astype(np.float64)])


def run_engine(
    b: Backend, graph: Graph, inputs: list[np.ndarray], mutants: Mutants, memory: int = 1 << 24
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Reference and mutants' outputs; every mutant comes exactly once."""
    width = mutants.replacement.shape[1]
    engine = Engine(make_plan(simplify(graph), width, 3, b.uniform), b, memory)
    reference, parts = engine.run(inputs, mutants)
    outputs = [np.full((len(mutants), *y.shape[1:]), np.nan) for y in reference]
    seen = np.zeros(len(mutants), dtype=int)
    for part in parts:
        seen[part.index] += 1
        for y, made in zip(outputs, part.outputs, strict=True):
            assert made.dtype == b.dtype
            y[part.index] = made
    assert (seen == 1).all()
    return reference, outputs


def worst(computed: list[np.ndarray], expected: list[np.ndarray]) -> float:
    """Largest difference as a part of the largest expected number, over all outputs."""
    pairs = zip(computed, expected, strict=True)
    return max(np.abs(a - e).max() / np.abs(e).max() for a, e in pairs)


pytestmark = pytest.mark.processor


@pytest.fixture(params=backends_and_variants())
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("width", "sequences"), [(1, 1), (1, 3), (4, 2)])
def test_engine_equals_a_full_pass(framework: str, dtype: str, width: int, sequences: int):
    graph = small_graph(dtype)
    inputs = inputs_of(graph, sequences)
    mutants = all_mutants(inputs[0], width)
    assert {0, LENGTH - width} <= set(mutants.start)
    reference, outputs = run_engine(made_backend(framework, dtype), graph, inputs, mutants)
    tolerance = TOLERANCE[dtype]
    assert worst(reference, full_pass(graph, inputs)) < tolerance
    assert worst(outputs, brute_force(graph, inputs, mutants)) < tolerance


def test_chunks_and_batches_do_not_matter(framework: str, monkeypatch: pytest.MonkeyPatch):
    graph = small_graph("float64")
    inputs = inputs_of(graph, 2)
    mutants = all_mutants(inputs[0], 1)
    b = made_backend(framework, "float64")
    monkeypatch.setattr(type(b), "chunk_bytes", 40_000)
    _, outputs = run_engine(b, graph, inputs, mutants, memory=300_000)
    assert worst(outputs, brute_force(graph, inputs, mutants)) < TOLERANCE["float64"]


def test_a_wrong_weight_is_noticed():
    graph = small_graph("float64")
    inputs = inputs_of(graph, 1)
    mutants = all_mutants(inputs[0], 1)
    expected = brute_force(graph, inputs, mutants)
    conv = next(n for n in graph.nodes if isinstance(n.rule, Convolution))
    conv.rule.kernel[2, 1, 0] += 1e-6
    assert worst(brute_force(graph, inputs, mutants), expected) > TOLERANCE["float64"]


def test_the_graph_runs_on_windows():
    steps = make_plan(simplify(small_graph("float32"))).graph.nodes
    assert any(isinstance(node.rule, FlattenDense) for node in steps)


@pytest.mark.jax
@pytest.mark.skipif("jax" not in available_backends(), reason="jax is not installed")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_jax_with_64_bits_switched_on(dtype: str):
    import jax

    switched = jax.enable_x64 if hasattr(jax, "enable_x64") else jax.experimental.enable_x64
    graph = small_graph(dtype)
    inputs = inputs_of(graph, 1)
    mutants = all_mutants(inputs[0], 1)
    with switched(True):
        _, outputs = run_engine(get_backend("jax", dtype), graph, inputs, mutants)
    assert worst(outputs, brute_force(graph, inputs, mutants)) < TOLERANCE[dtype]

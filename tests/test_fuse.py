"""Which layers share one pass over a window: a convolution, a max pool, a ReLU, a residual."""

from __future__ import annotations

import numpy as np
import pytest
from numpy_backend import NumpyBackend
from oracle import full_pass

from fastism.calls.inputs import saturating_mutants
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.intervals import same_padding
from fastism.planning.plan import make_plan
from fastism.rules import Convolution, FlattenDense, MaxPool, Pointwise, Source, WeightedSum
from fastism.running.engine import Engine

LENGTH, CHANNELS = 24, 4


def conv(dilation: int = 1) -> Convolution:
    kernel = np.random.default_rng(dilation).normal(size=(3, CHANNELS, CHANNELS))
    return Convolution(kernel, dilation=dilation, pad=same_padding(LENGTH, 3, 1, dilation))


class Drawn:
    """A graph whose nodes are looked up by name."""

    def __init__(self) -> None:
        self.builder = GraphBuilder()
        self.number = {"x": self.add("x", Source((LENGTH, CHANNELS)))}

    def add(self, name: str, rule, *inputs: str) -> int:
        made = self.builder.add(name, name, rule, [self.number[i] for i in inputs])
        if name != "x":
            self.number[name] = made
        return made

    def residual(self, weights: tuple[float, float] = (1.0, 1.0)) -> Drawn:
        """``first + relu(conv(first))``, with `first` a convolution of the input."""
        self.add("first", conv(), "x")
        self.add("conv", conv(2), "first")
        self.add("relu", Pointwise("relu"), "conv")
        self.add("sum", WeightedSum(weights), "relu", "first")
        return self

    def graph(self, output: str) -> Graph:
        kernel = np.random.default_rng(9).normal(size=(LENGTH, CHANNELS, 2))
        self.add("dense", FlattenDense(kernel, None), output)
        return self.builder.build([0], [self.number["dense"]], 0, "float64")


def tails(drawn: Drawn, output: str) -> dict[str, list[str]]:
    """Per convolution that takes others in its pass: these, in the order in which they run."""
    graph = drawn.graph(output)
    found = make_plan(graph).tails
    names = [node.name for node in graph.nodes]
    return {names[i]: [names[node] for node in tail.nodes] for i, tail in found.items()}


def test_a_residual_is_taken_with_convolution_and_relu():
    assert tails(Drawn().residual(), "sum") == {"conv": ["relu", "sum"]}


def test_a_difference_is_a_step_of_its_own():
    assert tails(Drawn().residual((1.0, -1.0)), "sum") == {"conv": ["relu"]}


def test_a_sum_that_a_relu_reads_starts_from_the_reference_and_is_a_step_of_its_own():
    drawn = Drawn().residual()
    drawn.add("last", Pointwise("relu"), "sum")
    assert tails(drawn, "last") == {"conv": ["relu"]}


def test_a_relu_with_another_reader_keeps_its_window():
    drawn = Drawn().residual()
    drawn.add("both", WeightedSum((1.0, 1.0)), "sum", "relu")
    assert tails(drawn, "both") == {"conv": ["relu"]}


def test_a_residual_that_is_read_again_before_the_sum_is_left_alone():
    drawn = Drawn()
    drawn.add("first", conv(), "x")
    drawn.add("conv", conv(2), "first")
    drawn.add("relu", Pointwise("relu"), "conv")
    drawn.add("beside", conv(3), "first")
    drawn.add("sum", WeightedSum((1.0, 1.0)), "relu", "first")
    drawn.add("both", WeightedSum((1.0, 1.0)), "sum", "beside")
    assert tails(drawn, "both") == {"conv": ["relu"]}


def test_a_residual_whose_window_is_another_is_a_step_of_its_own():
    assert tails(cropped(), "sum") == {"conv": ["relu"]}


def with_pool(pool: MaxPool) -> Drawn:
    """A convolution, a max pool over it, and a ReLU."""
    drawn = Drawn()
    drawn.add("conv", conv(), "x")
    drawn.add("pool", pool, "conv")
    drawn.add("relu", Pointwise("relu"), "pool")
    return drawn


SIGN = np.array([1.0, -1.0, 1.0, 1.0])


def test_a_max_pool_and_its_relu_are_taken_with_the_convolution():
    assert tails(with_pool(MaxPool(2, 1, (0, 1))), "relu") == {"conv": ["pool", "relu"]}


def test_a_pool_of_negated_channels_is_taken_with_the_convolution_that_negates_them():
    negated = with_pool(MaxPool(2, 1, (0, 1), SIGN, True))
    assert tails(negated, "relu") == {"conv": ["pool", "relu"]}
    assert tails(with_pool(MaxPool(2, 1, (0, 1), SIGN, False)), "relu") == {}


def test_a_pool_without_a_relu_of_its_own_is_left_alone():
    drawn = with_pool(MaxPool(2, 1, (0, 1)))
    drawn.add("both", WeightedSum((1.0, 1.0)), "pool", "relu")
    assert tails(drawn, "both") == {}


def test_a_convolution_with_another_reader_keeps_its_window():
    drawn = with_pool(MaxPool(2, 1, (0, 1)))
    drawn.add("both", WeightedSum((1.0, 1.0)), "conv", "relu")
    assert tails(drawn, "both") == {}


def test_a_pool_whose_values_go_on_behind_its_relu_is_left_alone():
    drawn = with_pool(MaxPool(2, 1, (0, 1)))
    drawn.add("tanh", Pointwise("tanh"), "relu")
    assert tails(drawn, "tanh") == {}


def cropped() -> Drawn:
    """A residual that reaches further than the convolution that it is added to."""
    drawn = Drawn()
    drawn.add("wide", conv(5), "x")
    drawn.add("conv", conv(1), "x")
    drawn.add("relu", Pointwise("relu"), "conv")
    drawn.add("sum", WeightedSum((1.0, 1.0)), "wide", "relu")
    return drawn


class Noting(NumpyBackend):
    """Notes which residuals come with convolutions, and the pools."""

    def __init__(self, uniform: bool) -> None:
        super().__init__("float64", uniform)
        self.residuals: list[bool] = []
        self.pools: list[int | None] = []

    def composed(self, add_taps, width, epilogue):
        self.residuals.append(epilogue.residual is not None)
        self.pools.append(epilogue.pooling and epilogue.pooling.size)
        return super().composed(add_taps, width, epilogue)


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize("crop", [False, True], ids=["same window", "another window"])
def test_what_is_taken_together_gives_what_a_full_pass_gives(uniform, crop):
    drawn = cropped() if crop else Drawn().residual()
    backend = Noting(uniform)
    check_mutants(drawn.graph("sum"), backend)
    assert any(backend.residuals) is not crop


@pytest.mark.parametrize("uniform", [False, True])
@pytest.mark.parametrize(
    "pool",
    [
        MaxPool(2, 1, (0, 1)),
        MaxPool(3, 1, (1, 1)),
        MaxPool(2, 1, (1, 0), SIGN, True),
    ],
    ids=["two", "three, padded", "negated channels"],
)
def test_a_pool_taken_with_its_convolution_gives_what_a_full_pass_gives(uniform, pool):
    backend = Noting(uniform)
    check_mutants(with_pool(pool).graph("relu"), backend)
    assert set(backend.pools) == {pool.size}


def check_mutants(graph: Graph, backend: NumpyBackend) -> None:
    """All single mutants of two sequences against full passes."""
    plan = make_plan(graph, uniform=backend.uniform)
    x = np.eye(CHANNELS)[np.random.default_rng(1).integers(CHANNELS, size=(2, LENGTH))]
    mutants, _ = saturating_mutants(x, np.arange(LENGTH))
    reference, parts = Engine(plan, backend, 1 << 20).run([x], mutants)
    np.testing.assert_allclose(reference[0], full_pass(graph, [x])[0], atol=1e-12)
    mutated = x[mutants.sequence].copy()
    rows = np.arange(len(mutants))
    mutated[rows, mutants.start] = mutants.replacement[:, 0]
    expected = full_pass(graph, [mutated])[0]
    got = np.empty_like(expected)
    for part in parts:
        got[part.index] = part.outputs[0]
    np.testing.assert_allclose(got, expected, atol=1e-12)

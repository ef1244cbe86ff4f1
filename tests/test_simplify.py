"""Every rewrite alone: where it applies, where it must not, and that outputs stay the same."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, note
from hypothesis import strategies as st
from profiles import profile
from random_graphs import graphs, outputs_of, random_inputs

from fastism.graph.nodes import Graph, GraphBuilder, prune
from fastism.graph.simplify import (
    dense_after_flatten,
    dense_of_concatenation,
    fold_affine_back,
    fold_affine_forward,
    join_reshapes,
    pointwise_before_flatten,
    pool_before_pointwise,
    sign_into_convolution,
    simplify,
)
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
    Rule,
    Source,
    WeightedSum,
)

RNG = np.random.default_rng(20)
LENGTH, CHANNELS = 8, 3


def weights(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape)


def conv(features: int = 3, bias: bool = True, **settings) -> Convolution:
    groups = settings.get("groups", 1)
    kernel = weights(3, CHANNELS // groups, features)
    return Convolution(kernel, weights(features) if bias else None, **settings)


def norm(channels: int = CHANNELS) -> Affine:
    """With a negative, a zero and a positive factor."""
    return Affine(np.resize([-1.5, 0.0, 0.7], channels), weights(channels))


def build(
    *rules: Rule | tuple[Rule, Sequence[int]],
    outputs: Sequence[int] = (-1,),
    stop: int | None = None,
    shape: tuple[int, ...] = (LENGTH, CHANNELS),
) -> Graph:
    """Node 0 is the input; every rule reads the node before it unless it says which."""
    builder = GraphBuilder()
    builder.add("0", "Input", Source(shape))
    for number, item in enumerate(rules, start=1):
        rule, inputs = item if isinstance(item, tuple) else (item, [number - 1])
        builder.add(str(number), type(rule).__name__, rule, inputs)
    nodes = builder.nodes
    if stop is not None:
        nodes[stop] = replace(nodes[stop], stop=True)
    chosen = tuple(i % len(nodes) for i in outputs)
    return Graph(tuple(nodes), (0,), chosen, 0, "float64")


def rules_of(graph: Graph) -> list[str]:
    return [type(node.rule).__name__ for node in graph.nodes]


def assert_same_outputs(before: Graph, after: Graph) -> None:
    inputs = random_inputs(before, 3, np.random.default_rng(1))
    assert [after.nodes[i].shape for i in after.inputs] == [
        before.nodes[i].shape for i in before.inputs
    ]
    pairs = zip(outputs_of(before, inputs), outputs_of(after, inputs), strict=True)
    for old, new in pairs:
        np.testing.assert_allclose(new, old, rtol=1e-11, atol=1e-11 * (1 + np.abs(old).max()))


def applied(rewrite: Callable, graph: Graph, index: int = -1) -> Graph:
    """The rewritten graph, whose outputs have been compared."""
    made = rewrite(graph, index % len(graph.nodes))
    assert made is not None, "the rewrite does not apply"
    made = prune(made)
    assert_same_outputs(graph, made)
    return made


def refused(rewrite: Callable, graph: Graph, index: int = -1) -> bool:
    return rewrite(graph, index % len(graph.nodes)) is None


def in_the_way(*rules: Rule, source: int) -> list[Graph]:
    """Graphs in which the tensor of `source` is needed by others, so that it must stay."""
    reader = (Pointwise("tanh"), [source])
    last = len(rules)
    return [
        build(*rules, outputs=(last, source)),
        build(*rules, reader, outputs=(last, last + 1)),
        build(*rules, stop=source),
    ]


# ---- batch norm into the layer before it ------------------------------------------------


@pytest.mark.parametrize(
    ("first", "features"),
    [
        (conv(), 3),
        (conv(bias=False), 3),
        (conv(features=4, stride=2, pad=(1, 2)), 4),
        (conv(dilation=2, pad=(4, 0)), 3),
        (conv(features=6, groups=3), 6),
        (Convolution(weights(3, 3, 2), weights(6, 2)), 2),
        (FlattenDense(weights(LENGTH, CHANNELS, 4), weights(4)), 4),
        (FlattenDense(weights(LENGTH, CHANNELS, 2)), 2),
        (norm(), 3),
    ],
    ids=[
        "convolution",
        "no bias",
        "strided",
        "dilated",
        "grouped",
        "bias of each position",
        "dense",
        "dense without bias",
        "batch norm",
    ],
)
def test_batch_norm_goes_into_the_layer_before_it(first, features):
    made = applied(fold_affine_back, build(first, norm(features)))
    assert rules_of(made) == ["Source", type(first).__name__]
    assert made.nodes[1].name == "1"
    assert made.nodes[1].absorbed == ("2",)


def test_batch_norm_goes_into_a_dense_layer_on_vectors():
    graph = build(GlobalPool("mean"), Dense(weights(3, 5)), norm(5))
    assert rules_of(applied(fold_affine_back, graph)) == ["Source", "GlobalPool", "Dense"]


@pytest.mark.parametrize("number", range(3))
def test_batch_norm_stays_where_the_tensor_before_it_is_needed(number):
    graph = in_the_way(conv(), norm(), source=1)[number]
    assert refused(fold_affine_back, graph, 2)


@pytest.mark.parametrize("first", [Pointwise("relu"), MaxPool(2, 2)], ids=["relu", "max pool"])
def test_batch_norm_does_not_go_into_nonlinear_layers(first):
    assert refused(fold_affine_back, build(first, norm()))


def test_an_early_stop_at_a_folded_batch_norm_moves_to_the_merged_layer():
    made = applied(fold_affine_back, build(conv(), norm(), Pointwise("relu"), stop=2), 2)
    assert [node.stop for node in made.nodes] == [False, True, False]


# ---- batch norm into the layers after it ------------------------------------------------


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("settings", "positional"),
    [
        ({}, False),
        ({"stride": 2, "dilation": 2}, False),
        ({"pad": (1, 1)}, True),
        ({"pad": (2, 0)}, True),
        ({"pad": (3, 1), "stride": 3, "dilation": 2}, True),
    ],
)
def test_batch_norm_goes_into_the_convolution_after_it(settings, bias, positional):
    """Padding is not normalised, so that the bias depends on the position."""
    graph = build(norm(), conv(bias=bias, **settings))
    made = applied(fold_affine_forward, graph, 1)
    assert rules_of(made) == ["Source", "Convolution"]
    assert made.nodes[1].absorbed == ("1",)
    length = made.nodes[1].shape[0]
    assert made.nodes[1].rule.bias.shape == ((length, 3) if positional else (3,))


@pytest.mark.parametrize("bias", [None, weights(2)], ids=["no bias", "bias"])
def test_batch_norm_goes_into_dense_layers_after_it(bias):
    flattened = build(norm(), FlattenDense(weights(LENGTH, CHANNELS, 2), bias))
    assert rules_of(applied(fold_affine_forward, flattened, 1)) == ["Source", "FlattenDense"]
    vector = build(GlobalPool("sum"), norm(), Dense(weights(3, 2), bias))
    assert rules_of(applied(fold_affine_forward, vector, 2)) == ["Source", "GlobalPool", "Dense"]


def test_batch_norm_goes_into_all_its_readers_or_none():
    both = (conv(), [1]), (conv(pad=(2, 0)), [1])
    made = applied(fold_affine_forward, build(norm(), *both, outputs=(2, 3)), 1)
    assert rules_of(made) == ["Source", "Convolution", "Convolution"]
    mixed = build(norm(), (conv(), [1]), (Pointwise("relu"), [1]), outputs=(2, 3))
    assert refused(fold_affine_forward, mixed, 1)


@pytest.mark.parametrize(
    "graph",
    [
        build(norm()),
        build(norm(), conv(), outputs=(1, 2)),
        build(norm(), conv(), stop=1),
        build(norm(), conv(groups=3)),
        build(norm(), Pointwise("relu")),
    ],
    ids=["is the output", "is also an output", "early stop", "grouped", "no linear reader"],
)
def test_batch_norm_stays_where_it_cannot_go_forward(graph):
    assert refused(fold_affine_forward, graph, 1)


# ---- max pooling before monotone functions ----------------------------------------------


@pytest.mark.parametrize("pad", [(0, 0), (1, 0), (1, 1)])
@pytest.mark.parametrize(
    "function",
    [
        Pointwise("relu"),
        Pointwise("tanh"),
        Pointwise("softplus"),
        Pointwise("exp"),
        Pointwise("relu6"),
        Pointwise("hard_sigmoid"),
        Pointwise("selu"),
        Pointwise("elu", {"alpha": 0.5}),
        Pointwise("leaky_relu", {"negative_slope": 0.0}),
    ],
    ids=lambda rule: getattr(rule, "function", str(rule)),
)
def test_max_pool_goes_before_functions_that_never_fall(function, pad):
    made = applied(pool_before_pointwise, build(function, MaxPool(3, 2, pad)))
    assert rules_of(made) == ["Source", "MaxPool", "Pointwise"]
    assert made.nodes[1].rule.sign is None
    assert [node.name for node in made.nodes] == ["0", "2", "1"]


@pytest.mark.parametrize(
    "function",
    [
        Pointwise("abs"),
        Pointwise("square"),
        Pointwise("gelu"),
        Pointwise("silu"),
        Pointwise("sin"),
        Pointwise("cos"),
        Pointwise("negative"),
        Pointwise("softmax"),
        Pointwise("log_softmax"),
        Pointwise("elu", {"alpha": -0.5}),
        Pointwise("leaky_relu", {"negative_slope": -0.1}),
    ],
    ids=lambda rule: rule.function,
)
def test_max_pool_stays_behind_functions_that_fall_somewhere(function):
    assert refused(pool_before_pointwise, build(function, MaxPool(2, 2)))


def test_every_function_called_monotone_never_falls():
    from plain_numpy import FUNCTIONS

    from fastism.rules.pointwise import ELEMENTWISE

    x = np.linspace(0.01, 20, 4001) - np.where(np.arange(4001) > 0, 10, 0)
    for name in ELEMENTWISE:
        grid = np.sort(np.abs(x) if name in ("log", "sqrt") else x)
        y = FUNCTIONS[name](grid)
        rising = bool((np.diff(y) >= -1e-12).all())
        assert Pointwise(name).monotone <= rising, name


def test_max_pool_before_a_batch_norm_takes_minima_where_factors_are_negative():
    made = applied(pool_before_pointwise, build(norm(), MaxPool(2, 2)))
    assert rules_of(made) == ["Source", "MaxPool", "Affine"]
    assert made.nodes[1].rule.sign.tolist() == [-1, 1, 1]


def test_signs_of_two_batch_norms_multiply():
    first = Affine(np.array([-1.0, -2.0, 3.0]), np.zeros(3))
    second = Affine(np.array([-1.0, 1.0, 1.0]), weights(3))
    once = applied(pool_before_pointwise, build(first, second, MaxPool(2, 1)), 3)
    twice = applied(pool_before_pointwise, once, 2)
    assert rules_of(twice) == ["Source", "MaxPool", "Affine", "Affine"]
    assert twice.nodes[1].rule.sign.tolist() == [1, -1, 1]


def test_positive_factors_need_no_signs():
    positive = Affine(np.array([0.5, 0.0, 2.0]), weights(3))
    made = applied(pool_before_pointwise, build(positive, MaxPool(2, 2)))
    assert made.nodes[1].rule.sign is None


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("function", [Pointwise("relu"), norm()], ids=["relu", "batch norm"])
def test_max_pool_stays_where_the_tensor_before_it_is_needed(function, number):
    graph = in_the_way(function, MaxPool(2, 2), source=1)[number]
    assert refused(pool_before_pointwise, graph, 2)


def test_an_early_stop_at_a_moved_pool_stays_at_the_end_of_the_pair():
    graph = build(Pointwise("relu"), MaxPool(2, 2), Pointwise("tanh"), stop=2)
    made = applied(pool_before_pointwise, graph, 2)
    assert [node.stop for node in made.nodes] == [False, False, True, False]


# ---- signed pools into convolutions -----------------------------------------------------

SIGN = np.array([1.0, -1.0, -1.0])


@pytest.mark.parametrize(
    "first",
    [conv(), conv(bias=False, pad=(1, 1)), Convolution(weights(3, 3, 3), weights(6, 3))],
    ids=["bias", "padded", "bias of each position"],
)
def test_a_signed_pool_becomes_a_plain_one_of_a_negated_convolution(first):
    graph = build(first, MaxPool(2, 2, (0, 0), SIGN), Pointwise("tanh"))
    made = applied(sign_into_convolution, graph, 2)
    assert rules_of(made) == ["Source", "Convolution", "MaxPool", "Pointwise"]
    assert made.nodes[2].rule.negated
    np.testing.assert_array_equal(made.nodes[1].rule.kernel, first.kernel * SIGN)
    assert refused(sign_into_convolution, made, 2)


def test_a_signed_pool_that_is_an_output_gives_the_same():
    graph = build(conv(), MaxPool(2, 2, (0, 0), SIGN))
    assert_same_outputs(graph, applied(sign_into_convolution, graph, 2))


@pytest.mark.parametrize("number", range(3))
def test_a_signed_pool_stays_where_the_convolution_is_needed(number):
    graph = in_the_way(conv(), MaxPool(2, 2, (0, 0), SIGN), source=1)[number]
    assert refused(sign_into_convolution, graph, 2)


def test_a_plain_pool_or_another_source_is_left_alone():
    assert refused(sign_into_convolution, build(conv(), MaxPool(2, 2)))
    assert refused(sign_into_convolution, build(Pointwise("abs"), MaxPool(2, 2, (0, 0), SIGN)))


def test_an_early_stop_at_a_signed_pool_stays_there():
    graph = build(conv(), MaxPool(2, 2, (0, 0), SIGN), Pointwise("tanh"), stop=2)
    made = applied(sign_into_convolution, graph, 2)
    assert [node.stop for node in made.nodes] == [False, False, True, False]


# ---- reshapes ---------------------------------------------------------------------------


def test_a_reshape_of_a_reshape_is_one():
    graph = build(Reshape((4, 6)), Reshape((24,)))
    made = applied(join_reshapes, graph)
    assert rules_of(made) == ["Source", "Reshape"]
    assert made.nodes[1].shape == (24,)


def test_a_reshape_of_permuted_axes_keeps_the_permutation():
    graph = build(Reshape((CHANNELS, LENGTH), (1, 0)), Reshape((24,)))
    made = applied(join_reshapes, graph)
    assert made.nodes[1].rule.permutation == (1, 0)
    assert made.nodes[1].rule.flattens


def test_a_reshape_to_the_same_shape_is_nothing():
    made = applied(join_reshapes, build(Pointwise("relu"), Reshape((LENGTH, CHANNELS))))
    assert rules_of(made) == ["Source", "Pointwise"]
    assert made.outputs == (1,)


@pytest.mark.parametrize(
    "graph",
    [
        build(Reshape((24,)), Reshape((24,)), stop=2),
        build(Reshape((24,)), Reshape((24,)), stop=1),
        build(Reshape((4, 6)), Reshape((6, 4), (1, 0))),
        build(Pointwise("relu"), Reshape((24,))),
    ],
    ids=["early stop", "after an early stop", "permutes", "of no reshape"],
)
def test_reshapes_that_stay(graph):
    assert refused(join_reshapes, graph)


# ---- functions and dense layers around Flatten -----------------------------------------------


@pytest.mark.parametrize(
    "flatten",
    [Reshape((24,)), Reshape((24,), (1, 0)), Reshape((6, 4))],
    ids=["positions first", "channels first", "two axes"],
)
def test_a_function_of_numbers_goes_before_a_reshape(flatten):
    made = applied(pointwise_before_flatten, build(flatten, Pointwise("sin")))
    assert rules_of(made) == ["Source", "Pointwise", "Reshape"]
    assert made.nodes[1].shape == (LENGTH, CHANNELS)


def test_softmax_over_all_features_stays_behind_flatten():
    assert refused(pointwise_before_flatten, build(Reshape((24,)), Pointwise("softmax")))


@pytest.mark.parametrize("number", range(3))
def test_a_function_stays_where_the_flat_tensor_is_needed(number):
    graph = in_the_way(Reshape((24,)), Pointwise("relu"), source=1)[number]
    assert refused(pointwise_before_flatten, graph, 2)


def test_an_early_stop_at_a_moved_function_stays_at_the_end_of_the_pair():
    graph = build(Reshape((24,)), Pointwise("relu"), Dense(weights(24, 1)), stop=2)
    made = applied(pointwise_before_flatten, graph, 2)
    assert [node.stop for node in made.nodes] == [False, False, True, False]


@pytest.mark.parametrize("bias", [None, weights(2)], ids=["no bias", "bias"])
@pytest.mark.parametrize("order", [None, (1, 0)])
def test_flatten_and_dense_become_one(order, bias):
    made = applied(dense_after_flatten, build(Reshape((24,), order), Dense(weights(24, 2), bias)))
    assert rules_of(made) == ["Source", "FlattenDense"]
    assert made.nodes[1].absorbed == ("1",)


def test_flatten_may_have_other_readers():
    others = (Dense(weights(24, 2)), [1]), (Pointwise("softmax"), [1])
    graph = build(Reshape((24,)), *others, outputs=(2, 3, 1))
    made = applied(dense_after_flatten, graph, 2)
    assert "FlattenDense" in rules_of(made)
    assert "Reshape" in rules_of(made)


@pytest.mark.parametrize(
    "graph",
    [
        build(Reshape((24,)), Dense(weights(24, 2)), stop=1),
        build(Reshape((4, 2, 3)), Reshape((24,)), Dense(weights(24, 2))),
        build(GlobalPool("max"), Dense(weights(3, 2))),
    ],
    ids=["after an early stop", "of three axes", "of a vector"],
)
def test_dense_layers_that_stay(graph):
    assert refused(dense_after_flatten, graph)


def joined(**options) -> Graph:
    """Flattened and pooled side by side, then dense."""
    return build(
        (Reshape((24,)), [0]),
        (GlobalPool("mean"), [0]),
        (Concatenate(0), [1, 2]),
        Dense(weights(27, 2), weights(2)),
        **options,
    )


def test_a_dense_layer_on_joined_vectors_is_a_sum_of_dense_layers():
    made = applied(dense_of_concatenation, joined(), 4)
    assert sorted(rules_of(made)) == sorted(
        ["Source", "Reshape", "GlobalPool", "Dense", "Dense", "WeightedSum"]
    )
    dense = [node for node in made.nodes if isinstance(node.rule, Dense)]
    assert [node.name for node in dense] == ["4 (1 of 2)", "4 (2 of 2)"]
    assert [node.rule.bias is None for node in dense] == [False, True]


def test_joined_vectors_may_be_read_by_others():
    made = applied(dense_of_concatenation, joined(outputs=(3, 4)), 4)
    assert "Concatenate" in rules_of(made)


def test_joined_vectors_stay_joined_at_an_early_stop_or_without_a_flat_part():
    assert refused(dense_of_concatenation, joined(stop=3), 4)
    graph = build(
        (GlobalPool("max"), [0]),
        (GlobalPool("mean"), [0]),
        (Concatenate(0), [1, 2]),
        Dense(weights(6, 2)),
    )
    assert refused(dense_of_concatenation, graph, 4)


# ---- all together -----------------------------------------------------------------------


@profile(300)
@given(graphs(), st.integers(0, 2**32 - 1))
def test_outputs_of_random_graphs_stay_what_they_were(graph, seed):
    note("\n".join(f"{i}: {n.kind}{n.inputs} {n.shape}" for i, n in enumerate(graph.nodes)))
    made = simplify(graph)
    inputs = random_inputs(graph, 2, np.random.default_rng(seed))
    for old, new in zip(outputs_of(graph, inputs), outputs_of(made, inputs), strict=True):
        np.testing.assert_allclose(new, old, rtol=1e-9, atol=1e-10 * (1 + np.abs(old).max()))
    assert sum(node.stop for node in made.nodes) == sum(node.stop for node in graph.nodes)
    assert rules_of(simplify(made)) == rules_of(made)


def test_a_convolutional_block_becomes_convolution_pool_function():
    """The order that models have: convolution, batch norm, relu, batch norm, pool."""
    graph = build(
        conv(pad=(1, 1)),
        norm(),
        Pointwise("relu"),
        norm(),
        MaxPool(2, 2),
        conv(pad=(1, 1)),
        Pointwise("relu"),
        Reshape((12,)),
        Dense(weights(12, 4)),
        norm(4),
        Pointwise("relu"),
        Dense(weights(4, 1)),
    )
    made = simplify(graph)
    assert_same_outputs(graph, made)
    assert rules_of(made) == [
        "Source",
        "Convolution",
        "MaxPool",
        "Pointwise",
        "Convolution",
        "Pointwise",
        "FlattenDense",
        "Pointwise",
        "Dense",
    ]


def test_a_batch_norm_between_flatten_and_dense_leaves_no_trace():
    graph = build(conv(), Reshape((18,)), norm(18), Dense(weights(18, 2)))
    made = simplify(graph)
    assert_same_outputs(graph, made)
    assert rules_of(made) == ["Source", "Convolution", "FlattenDense"]


def test_nothing_is_folded_across_an_early_stop():
    graph = build(conv(), norm(), Pointwise("relu"), MaxPool(2, 2), conv(), stop=2)
    made = simplify(graph)
    assert_same_outputs(graph, made)
    (stop,) = [i for i, node in enumerate(made.nodes) if node.stop]
    assert "2" in (made.nodes[stop].name, *made.nodes[stop].absorbed)


def test_the_comparison_finds_a_wrong_rewrite():
    graph = build(conv(), norm())
    wrong = applied(fold_affine_back, graph)
    broken = replace(wrong.nodes[1], rule=replace(wrong.nodes[1].rule, bias=np.zeros(3)))
    with pytest.raises(AssertionError):
        assert_same_outputs(graph, replace(wrong, nodes=(wrong.nodes[0], broken)))


def test_a_merged_sum_of_dense_layers_runs_like_any_other():
    graph = joined()
    made = simplify(graph)
    assert_same_outputs(graph, made)
    assert "FlattenDense" in rules_of(made)
    assert any(isinstance(node.rule, WeightedSum) for node in made.nodes)

"""Torch modules: the layouts of what goes in and comes out, and what is recognised in them."""

from __future__ import annotations

import copy
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch_cases import LENGTH, SHAPE, X, one_hot, profiles, readout, run, seeded  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402

pytestmark = pytest.mark.torch


# ---- layouts ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_results_have_the_layout_of_the_module(kind):
    module = profiles()
    result = kind(module, input_shape=SHAPE).saturate(X, positions=[0, 5, 23])
    assert result.axes == ("sequence", "character", "position", "output...")
    assert [y.shape for y in result.reference] == [(2, 2, LENGTH), (2, 1)]
    assert [y.shape for y in result.mutants] == [(2, 4, 3, 2, LENGTH), (2, 4, 3, 1)]
    assert [y.shape for y in result.importance()] == [(2, 3, 2, LENGTH), (2, 3, 1)]
    changed = X.copy()
    changed[:, :, 5] = np.eye(4)[2]
    for made, reference, full in zip(
        result.mutants, result.reference, run(module, changed), strict=True
    ):
        np.testing.assert_allclose(made[:, 2, 1], full, atol=1e-5)
        np.testing.assert_array_equal(made[1, X[1, :, 0].argmax(), 0], reference[1])
    for importance, delta in zip(result.importance(), result.delta(), strict=True):
        np.testing.assert_allclose(importance[1], -delta[1].sum(0) / 3, atol=1e-6)


def test_callers_that_hold_positions_first_need_not_know_the_order_of_the_model():
    """Same numbers, whatever the module takes; memory of what users get is in their order."""
    ism = FastISM(profiles(), input_shape=SHAPE)
    theirs, ours = ism.saturate(X), ism.saturate_by_position(X.swapaxes(1, 2))
    assert ours.axes == ("sequence", "position", "character", "output...")
    for mine, given in zip(ours.mutants, theirs.mutants, strict=True):
        assert mine.flags.c_contiguous
        assert given.flags.c_contiguous
        np.testing.assert_array_equal(mine, given.swapaxes(1, 2))
    for mine, given in zip(ours.delta(), theirs.delta(), strict=True):
        np.testing.assert_array_equal(mine, given.swapaxes(1, 2))
    for mine, given in zip(ours.importance(), theirs.importance(), strict=True):
        np.testing.assert_allclose(mine, given, rtol=1e-5, atol=1e-7)
    replacement = np.eye(4)[None, :3]  # three positions
    given = np.zeros(1, int), np.full(1, 5)
    mine = ism.perturb_by_position(X.swapaxes(1, 2), *given, replacement).mutants
    theirs = ism.perturb(X, *given, replacement.swapaxes(1, 2)).mutants
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_array_equal(one, other)
    with pytest.raises(FastISMError, match="transpose"):
        ism.saturate_by_position(X)


def test_a_module_that_takes_positions_first():
    module = profiles()
    turned = seeded(lambda inner, x: inner(x.transpose(1, 2)), copy.deepcopy(module))
    turned.layers[0].load_state_dict(module.state_dict())
    result = FastISM(turned, input_shape=(LENGTH, 4), channels_last=True).saturate(X.swapaxes(1, 2))
    expected = FastISM(module, input_shape=SHAPE).saturate(X)
    assert result.axes == ("sequence", "position", "character", "output...")
    for a, b in zip(result.mutants, expected.mutants, strict=True):
        np.testing.assert_allclose(a, b.swapaxes(1, 2), atol=1e-5)


class Heads(NamedTuple):
    profile: torch.Tensor
    counts: torch.Tensor


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda y, z: {"z": y, "a": z}, ["z", "a"]),
        (lambda y, z: {"only": y}, ["only"]),
        (lambda y, z: {"z": [y, 3, z], 1: {"b": z}}, ["z.0", "z.2", "1.b"]),
        (Heads, ["profile", "counts"]),
        (lambda y, z: (y, {"a": z}), ["output_0", "output_1"]),
        (lambda y, z: y, ["output"]),
    ],
    ids=["dict", "one key", "nested", "named tuple", "tuple", "tensor"],
)
def test_outputs_have_the_names_that_the_module_gives_them(kind, returned, names):
    def forward(conv, x):
        y = torch.relu(conv(x))
        return returned(y, y.mean(-1))

    ism = kind(seeded(forward, nn.Conv1d(4, 3, 5)), input_shape=SHAPE)
    assert ism.output_names == names
    made = ism.saturate(X, positions=[0]).mutants
    assert (len(made) if isinstance(made, list) else 1) == len(names) == ism.num_outputs


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_replacements_have_the_layout_of_the_module(kind):
    module, matrix = readout(), np.arange(12.0).reshape(4, 3) / 10
    made = kind(module, change_ranges=[(0, 3), (21, 24)], input_shape=SHAPE)(X, matrix)
    for number, start in enumerate((0, 21)):
        changed = X.copy()
        changed[:, :, start : start + 3] = matrix
        np.testing.assert_allclose(made[:, number], run(module, changed)[0], atol=1e-5)
    with pytest.raises(FastISMError, match=r"expected 0, or as many columns.*\(4, 3\)"):
        kind(module, change_ranges=[(0, 3)], input_shape=SHAPE)(X, matrix.T)


def test_entries_are_those_of_the_modules_output():
    ism = FastISM(profiles(), input_shape=SHAPE)
    full = ism.saturate(X)
    some = ism.saturate(X, outputs={0: [1]}, positions=[3, 4])
    np.testing.assert_array_equal(some.mutants[0], full.mutants[0][:, :, 3:5, 1:])


def test_one_sequence_at_a_time():
    ism = FastISM(readout(), input_shape=SHAPE)
    full = ism.saturate(X)
    for i, each in enumerate(ism.saturate_each(iter(X))):
        assert each.axes == full.axes
        np.testing.assert_allclose(each.mutants, full.mutants[i : i + 1], atol=1e-5)


def test_checks_against_naive_ism():
    ism = FastISM(readout(), input_shape=SHAPE, test_correctness=True)
    assert ism.verify(X, positions=[0, 12, 23]) < 1e-5
    assert ism.test_correctness(replace_with=[0, 0, 0, 1])
    assert (ism.seqlen, ism.num_chars, ism.num_outputs) == (LENGTH, 4, 1)


def test_other_inputs():
    def forward(conv, linear, track, x, cell):
        x = torch.cat([torch.relu(conv(x)), track], 1).mean(-1)
        return linear(torch.cat([x, cell], -1))

    module = seeded(forward, nn.Conv1d(4, 5, 3, padding=1), nn.Linear(9, 2))
    rng = np.random.default_rng(0)
    track, cell = rng.random((2, 1, LENGTH)), rng.random((2, 3))
    shapes = [(1, LENGTH), SHAPE, (3,)]
    ism = FastISM(module, seq_input_idx=1, input_shape=shapes)
    naive = NaiveISM(module, seq_input_idx=1, input_shape=shapes)
    given = [track, X, cell]
    np.testing.assert_allclose(
        ism.saturate(given).mutants, naive.saturate(given).mutants, atol=1e-5
    )
    assert ism.plan.opaque == ()


def indexed() -> nn.Module:
    """A second input chooses a row of an embedding."""

    def forward(conv, linear, embedding, x, index):
        return linear(torch.relu(conv(x)).mean(-1) + embedding(index[:, 0].long() % 50))

    return seeded(forward, nn.Conv1d(4, 5, 3), nn.Linear(5, 2), nn.Embedding(50, 5))


def test_an_input_that_is_an_index():
    module, index = indexed(), np.array([[3], [41]])
    ism = FastISM(module, input_shape=[SHAPE, (1,)])
    result = ism.saturate([X, index])
    changed = X.copy()
    changed[:, :, 7] = np.eye(4)[1]
    with torch.no_grad():
        expected = module(torch.tensor(changed), torch.tensor(index)).numpy()
    np.testing.assert_allclose(result.mutants[:, 1, 7], expected, atol=1e-5)
    assert ism.plan.opaque == ()


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_integers_that_would_be_rounded_are_refused(kind):
    ism = kind(indexed(), input_shape=[SHAPE, (1,)])
    with pytest.raises(FastISMError, match="Input 1 holds integers that the model's float32"):
        ism.saturate([X, np.array([[3], [2**24 + 1]])])


def test_a_module_that_wants_integers_is_told_how_to_take_numbers():
    module = seeded(lambda e, x, i: x.mean(-1) + e(i[:, 0]), nn.Embedding(50, 4))
    with pytest.raises(FastISMError, match=r"All inputs arrive as float32: .*x\.long\(\)"):
        FastISM(module, input_shape=[SHAPE, (1,)])


def test_double_precision():
    module, x = readout(torch.float64), one_hot(dtype="float64")
    ism = FastISM(module, input_shape=SHAPE)
    result = ism.saturate(x)
    assert result.mutants.dtype == np.float64
    assert ism.verify(x) < 1e-12


def test_the_length_alone_where_a_convolution_tells_the_channels():
    assert FastISM(readout(), seqlen=LENGTH).num_chars == 4


# ---- what is recognised -----------------------------------------------------------------


def rules(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> list[str]:
    ism = FastISM(module, input_shape=shape)
    return [type(node.rule).__name__ for node in ism.plan.graph.nodes]


def test_flatten_and_linear_read_changed_rows_only():
    assert rules(readout()) == ["Source", "Convolution", "MaxPool", "Pointwise", "FlattenDense"]


@pytest.mark.parametrize(
    "flatten",
    [
        lambda x: x.flatten(1),
        lambda x: x.view(x.shape[0], -1),
        lambda x: x.reshape(len(x), 5 * 22),
        lambda x: torch.flatten(x, start_dim=1),
        lambda x: x.permute(0, 2, 1).reshape(x.size(0), -1),
        lambda x: x.unsqueeze(1).flatten(1),
    ],
    ids=["flatten", "view", "reshape", "start_dim", "permute", "unsqueeze"],
)
def test_ways_to_flatten(flatten):
    module = seeded(
        lambda conv, linear, x: linear(flatten(conv(x))), nn.Conv1d(4, 5, 3), nn.Linear(110, 2)
    )
    assert rules(module) == ["Source", "Convolution", "FlattenDense"]


def test_reverse_complements_share_a_module():
    def forward(conv, x):
        return conv(x) + conv(x.flip([1, 2])).flip(-1)

    module = seeded(forward, nn.Conv1d(4, 5, 3, padding="same"))
    assert "Opaque" not in rules(module)
    assert rules(module).count("Convolution") == 2


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: torch.cumsum(x, -1), "cumsum"),
        (lambda x: F.max_pool1d(x, 3, dilation=2), "dilation"),
        (lambda x: F.pad(x, (1, 1), mode="circular"), "circular"),
        (lambda x: F.pad(x, (1, 1), value=1.0), "another number than zero"),
        (lambda x: torch.softmax(x, -1), "weighs every position against all others"),
        (lambda x: torch.fft.rfft(x).abs(), "fft"),
        (lambda x: (x > 0).to(x.dtype), "gt"),
    ],
    ids=[
        "cumsum",
        "dilated pool",
        "circular",
        "padding of one",
        "softmax",
        "fft",
        "greater",
    ],
)
def test_what_has_no_rule_is_opaque_and_says_so(function, name):
    module = seeded(lambda conv, x: function(conv(x)), nn.Conv1d(4, 5, 3, padding=1))
    ism = FastISM(module, input_shape=SHAPE)
    assert name in str(ism.plan)
    assert ism.plan.opaque
    assert ism.verify(X, positions=[0, 12, 23]) < 1e-5


@pytest.mark.parametrize(
    "function",
    [
        lambda x: torch.cumsum(x, -1).view(len(x), -1)[:, :7],
        lambda x: torch.cat([torch.zeros(len(x), 5, 2), x], -1).cumsum(-1),
        lambda x: x.reshape(len(x) * 5, -1).softmax(-1).reshape(len(x), 5, -1),
    ],
    ids=["view", "zeros", "reshape"],
)
def test_the_batch_as_a_python_number(function):
    module = seeded(lambda conv, x: function(conv(x)), nn.Conv1d(4, 5, 3, padding=1))
    ism = FastISM(module, input_shape=SHAPE)
    assert "Conv1d" in {node.kind for node in ism.plan.graph.nodes}
    assert ism.verify(X, positions=[0, 12, 23]) < 1e-5


def test_what_cannot_be_captured_is_one_opaque_step():
    def forward(conv, x):
        y = conv(x)
        return (y if bool(torch.isfinite(y).all()) else 2 * y), y.mean(-1)

    module = seeded(forward, nn.Conv1d(4, 5, 3, padding=1))
    ism = FastISM(module, input_shape=SHAPE)
    assert "torch.export cannot capture it" in str(ism.plan)
    assert ism.verify(X, positions=[0, 12, 23]) < 1e-5


@pytest.mark.parametrize(
    ("turned", "opaque", "words"),
    [(False, "as_strided", "no rule for as_strided"), (True, "Written", "memory")],
)
def test_what_depends_on_memory_layout_is_not_taken_apart(turned, opaque, words):
    def forward(conv, x):
        y = torch.relu(conv(x.mT.contiguous().mT))
        y = y.mT if turned else y
        return torch.as_strided(y, (len(y), 2, 3), (y.stride(0), 2, 1)).sum(-1)

    module = seeded(forward, nn.Conv1d(4, 5, 3, padding=1))
    ism = FastISM(module, input_shape=SHAPE)
    assert ism.verify(X, positions=[0, 1, 2, 23]) < 1e-5
    assert ism.plan.opaque == (opaque,)
    assert words in str(ism.plan)


def test_early_stops_are_paths_of_submodules():
    conv, second = nn.Conv1d(4, 5, 3, padding=1), nn.Conv1d(5, 5, 3, padding=1)
    module = seeded(lambda a, b, x: b(torch.relu(a(x))).mean(-1), conv, second)
    ism = FastISM(module, input_shape=SHAPE, early_stop_layers="layers.0")
    assert "after an early stop layer" in str(ism.plan)
    assert ism.verify(X) < 1e-5
    with pytest.raises(FastISMError, match=r"'layers\.7'.*its layers are layers, layers\.0"):
        FastISM(module, input_shape=SHAPE, early_stop_layers="layers.7")


def test_modules_that_squeeze_keep_their_sequences():
    module = seeded(lambda linear, x: linear(x.mean(-1)).squeeze(), nn.Linear(4, 1))
    result = FastISM(module, input_shape=SHAPE).saturate(X[:1])
    assert result.reference.shape == (1,)
    assert result.mutants.shape == (1, 4, LENGTH)

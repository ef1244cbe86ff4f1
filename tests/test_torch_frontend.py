"""What users of torch modules rely on: layouts, what is recognised, what is left alone, errors."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.backends import get_backend  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 24
SHAPE = (4, LENGTH)


class Written(nn.Module):
    """A module from its layers and a function of them and the input."""

    def __init__(self, function, *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *x):
        return self.function(*self.layers, *x)


def seeded(function, *layers: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    module = Written(function, *layers)
    with torch.no_grad():
        for x in module.parameters():
            x.copy_(torch.randn(x.shape, generator=generator) * 0.5)
    return module.to(dtype).eval()


def readout(dtype: torch.dtype = torch.float32) -> nn.Module:
    """conv -- batch norm -- relu -- dropout -- pool -- flatten -- linear(3)."""

    def forward(conv, norm, dropout, linear, x):
        x = F.max_pool1d(dropout(F.relu(norm(conv(x)))), 2)
        return linear(x.flatten(1))

    layers = nn.Conv1d(4, 6, 5, padding=2), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(72, 3)
    return seeded(forward, *layers, dtype=dtype)


def profiles() -> nn.Module:
    """Two outputs: (2, length) and (1,)."""

    def forward(conv, out, x):
        x = torch.tanh(conv(x))
        return out(x), x.mean((1, 2))[:, None]

    return seeded(forward, nn.Conv1d(4, 5, 5, padding=2), nn.Conv1d(5, 2, 3, padding=1))


def one_hot(count: int = 2, dtype: str = "float32") -> np.ndarray:
    letters = np.random.default_rng(0).integers(4, size=(count, LENGTH))
    x = np.eye(4, dtype=dtype)[letters].transpose(0, 2, 1).copy()
    x[0, :, 2] = 0
    return x


def run(module: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        made = module(torch.tensor(x))
    return [y.numpy() for y in (made if isinstance(made, tuple) else (made,))]


X = one_hot()


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


# ---- the module is left as it was --------------------------------------------------------


def state_of(module: nn.Module) -> dict:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        "modes": [m.training for m in module.modules()],
        "values": {k: (v.detach().clone(), v.dtype, v.device) for k, v in tensors.items()},
        "same": {k: id(v) for k, v in tensors.items()},
        "grads": {k: (v.requires_grad, v.grad) for k, v in module.named_parameters()},
        "hooks": [len(m._forward_hooks) for m in module.modules()],
        "attributes": [sorted(m.__dict__) for m in module.modules()],
    }


def assert_unchanged(before: dict, after: dict) -> None:
    for key in ("modes", "same", "hooks", "attributes"):
        assert before[key] == after[key]
    for name, (value, dtype, device) in before["values"].items():
        now, dtype_now, device_now = after["values"][name]
        assert (dtype, device) == (dtype_now, device_now)
        torch.testing.assert_close(now, value, rtol=0, atol=0)
    assert before["grads"].keys() == after["grads"].keys()
    for name, (required, grad) in before["grads"].items():
        assert after["grads"][name] == (required, grad)


def test_the_module_is_left_exactly_as_it_was():
    module = readout()
    module.train()
    module.layers[1].eval()
    module.layers[0].weight.requires_grad_(False)
    module.layers[3].register_forward_hook(lambda *_: None)
    before = state_of(module)
    grad = torch.is_grad_enabled()
    ism = FastISM(module, input_shape=SHAPE)
    result = ism.saturate(X)
    ism.verify(X, positions=[3])
    assert_unchanged(before, state_of(module))
    assert torch.is_grad_enabled() == grad
    expected = copy.deepcopy(module).eval()
    np.testing.assert_allclose(result.reference, run(expected, X)[0], atol=1e-5)


def test_parametrizations_and_hooks_are_seen_and_left_as_they_were():
    from torch.nn.utils import parametrizations

    def forward(conv, linear, x):
        return linear(torch.relu(conv(x)).mean(-1))

    module = seeded(
        forward,
        parametrizations.weight_norm(nn.Conv1d(4, 5, 3)),
        parametrizations.spectral_norm(nn.Linear(5, 2)),
    ).train()
    module.layers[0].register_forward_hook(lambda module, given, made: 2 * made)
    module.layers[1].register_forward_pre_hook(lambda module, given: (given[0] + 1,))
    before = state_of(module)
    ism = FastISM(module, input_shape=SHAPE)
    result = ism.saturate(X)
    assert_unchanged(before, state_of(module))
    assert [len(m._forward_pre_hooks) for m in module.layers] == [0, 1]
    assert list(module.layers[0].parametrizations) == ["weight"]
    assert ism.plan.opaque == ()
    expected = run(copy.deepcopy(module).eval(), X)[0]
    np.testing.assert_allclose(result.reference, expected, rtol=1e-5, atol=1e-5)
    # Spectral norm begins with random vectors, which decide how large the outputs are.
    assert ism.verify(X) < 1e-5 * max(1.0, np.abs(result.mutants).max())


def test_recurrent_layers_are_left_as_they_were():
    module = seeded(lambda lstm, x: lstm(x.mT)[0].mean(1), nn.LSTM(4, 3, batch_first=True))
    before, weights = state_of(module), [id(w) for w in module.layers[0]._flat_weights]
    FastISM(module, input_shape=SHAPE)
    assert_unchanged(before, state_of(module))
    assert [id(w) for w in module.layers[0]._flat_weights] == weights
    module(torch.tensor(X)).sum().backward()


def test_buffers_that_a_module_counts_in_are_put_back():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x.mean(-1)

    module = Counting()
    FastISM(module, input_shape=SHAPE).saturate(X)
    assert module.calls == 0
    assert module.training


def test_later_training_changes_nothing():
    module = seeded(
        lambda conv, lstm, x: lstm(conv(x).mT)[0][:, -1],
        nn.Conv1d(4, 5, 3),
        nn.LSTM(5, 2, batch_first=True),
    )
    ism = FastISM(module, input_shape=SHAPE)
    before = ism.saturate(X).mutants
    with torch.no_grad():
        for x in module.parameters():
            x.add_(1)
    np.testing.assert_array_equal(ism.saturate(X).mutants, before)


def test_arrays_live_where_the_module_lives():
    ism = FastISM(readout(), input_shape=SHAPE)
    assert ism._front.device == "cpu"
    assert str(ism._backend.device) == "cpu"
    assert str(get_backend("torch", "float32", "meta").device) == "meta"


# ---- errors -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({}, "input_shape=(4, 1000) (--input-shape 4,1000 on the command line)"),
        ({"input_shape": "ACGT"}, "input_shape is 'ACGT'"),
        ({"input_shape": (4, 0)}, "input_shape is (4, 0)"),
        ({"input_shape": (4,)}, "needs (characters, length)."),
        ({"input_shape": [(4,), SHAPE]}, "another input is the sequence, give its number"),
        ({"input_shape": (3, LENGTH)}, "does not run on inputs of shapes [(3, 24)]"),
        ({"input_shape": SHAPE, "seqlen": 9}, "length in input_shape is 24 (--input-shape)"),
        ({"input_shape": SHAPE, "seq_input_idx": 1}, "has 1 input(s)"),
        ({"input_shape": SHAPE, "seq_input_idx": "x"}, "expected an integer"),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_settings_that_do_not_fit(kind, options, words):
    with pytest.raises(FastISMError) as caught:
        kind(readout(), **options)
    assert words in str(caught.value)


class TwoInputs(nn.Module):
    def forward(self, covariates, sequence):
        return sequence.mean((1, 2))[:, None] + covariates


def test_inputs_are_named_as_the_module_names_them():
    shapes = [(2,), SHAPE]
    with pytest.raises(FastISMError, match=r"0 is 'covariates', 1 is 'sequence'"):
        FastISM(TwoInputs(), "sequence", input_shape=shapes)
    with pytest.raises(FastISMError, match=r"2 input\(s\).*counted from 0\.$"):
        FastISM(seeded(lambda a, b: b.mean(-1)), 2, input_shape=shapes)


def test_inputs_in_the_other_layout():
    ism = FastISM(readout(), input_shape=SHAPE)
    with pytest.raises(FastISMError, match="Channels come before positions: transpose"):
        ism.saturate(X.swapaxes(1, 2))


def letters_last(characters: int = 4) -> nn.Module:
    """A module that takes (length, characters)."""

    def forward(conv, linear, x):
        return linear(torch.relu(conv(x.transpose(1, 2))).transpose(1, 2)).mean(1)

    return seeded(forward, nn.Conv1d(characters, 5, 5, padding=2), nn.Linear(5, 3))


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
@pytest.mark.parametrize(("length", "characters"), [(LENGTH, 4), (200, 5), (200, 20)])
def test_a_shape_of_exchanged_axes_is_refused_unless_the_order_is_told(kind, length, characters):
    given = letters_last(characters), {"input_shape": (length, characters)}
    with pytest.raises(FastISMError) as caught:
        kind(given[0], **given[1])
    told = str(caught.value)
    assert f"read as {length} characters at {characters} positions" in told
    for remedy in ("channels_last=True", f"--input-shape {characters},{length}", "x.transpose"):
        assert remedy in told
    assert kind(given[0], channels_last=True, **given[1]).seqlen == length
    assert kind(given[0], channels_last=False, **given[1]).seqlen == characters


@pytest.mark.parametrize("shape", [(20, 9), (20, 5), (64, 10), (1280, 100), (4, 4)], ids=str)
def test_many_characters_at_few_positions_are_taken(shape):
    module = seeded(lambda conv, x: conv(x).mean(-1), nn.Conv1d(shape[0], 2, 3, padding=1))
    assert NaiveISM(module, input_shape=shape).seqlen == shape[1]


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
def test_sequences_that_are_one_hot_along_the_positions_are_refused(kind):
    ism = kind(letters_last(20), input_shape=(30, 20))
    x = np.eye(20, dtype="float32")[np.random.default_rng(0).integers(20, size=(2, 30))]
    with pytest.raises(FastISMError, match=r"one-hot as 20 characters at 30.*channels_last=True"):
        ism.saturate(x)


def test_a_word_among_zeros_is_a_sequence_though_it_has_every_letter_once():
    x = np.zeros((1, 4, LENGTH), "float32")
    x[0, range(4), range(4)] = 1
    assert FastISM(readout(), input_shape=SHAPE).saturate(x).mutants.shape == (1, 4, LENGTH, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_half_precision(dtype):
    with pytest.raises(FastISMError, match=r"needs float32 or float64.*\.float\(\)"):
        FastISM(readout(dtype), input_shape=SHAPE)


def test_half_precision_of_a_buffer_alone():
    module = readout()
    module.register_buffer("scale", torch.ones(3, dtype=torch.float16))
    with pytest.raises(FastISMError, match="'scale' of the module is float16"):
        NaiveISM(module, input_shape=SHAPE)


def test_half_precision_inputs_are_read_as_what_they_are_or_refused():
    ism = FastISM(readout(), input_shape=SHAPE)
    made, expected = ism.saturate(X.astype(np.float16)), ism.saturate(X)
    assert made.mutants.dtype == np.float32
    np.testing.assert_array_equal(made.mutants, expected.mutants)
    with pytest.raises(FastISMError, match="cannot be read as an array"):
        ism.saturate(torch.tensor(X).bfloat16())


def autocast(conv, x):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = torch.relu(conv(x))
    return y.float().mean(-1)


@pytest.mark.parametrize(
    "function",
    [
        lambda conv, x: torch.relu(conv(x)).bfloat16().float().mean(-1),
        lambda conv, x: torch.relu(conv(x)).half().float().mean(-1),
        lambda conv, x: conv(x).mul(3).int().to(x.dtype).mean(-1),
        lambda conv, x: conv(x).mean(-1).half(),
        autocast,
    ],
    ids=["bfloat16", "float16", "integers", "at the end", "autocast"],
)
def test_other_types_within_a_module_are_opaque_and_as_the_module_computes(function):
    module = seeded(function, nn.Conv1d(4, 5, 3, padding=1))
    ism = FastISM(module, input_shape=SHAPE)
    # A change of type, whichever of its two names the capture gives it.
    assert any(name.split(".")[-1].lstrip("_").startswith("to") for name in ism.plan.opaque), (
        ism.plan.opaque
    )
    changed = X.copy()
    changed[:, :, 7] = np.eye(4)[1]
    with torch.no_grad():
        expected = module(torch.tensor(changed)).float().numpy()
    # An element on the border of two roundings may fall to either side.
    np.testing.assert_allclose(ism.saturate(X).mutants[:, 1, 7], expected, atol=0.02)
    np.testing.assert_allclose(
        np.median(np.abs(ism.saturate(X).mutants[:, 1, 7] - expected)), 0, atol=1e-6
    )


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x: x.mean(-1) - x.mean((0, 2)), "depends on the others in its batch"),
        (lambda x: F.dropout(x, 0.5).mean(-1), "depends on chance"),
        (lambda x: x.sum(), "must be (sequences, ...)"),
        (lambda x: None, "returns no tensor"),
    ],
    ids=["batch", "chance", "no batch axis", "nothing"],
)
def test_modules_whose_mutants_mean_nothing(function, words):
    with pytest.raises(FastISMError) as caught:
        FastISM(seeded(function), input_shape=SHAPE)
    assert words in str(caught.value)


def test_other_frameworks_run_what_they_know():
    pytest.importorskip("tensorflow", reason="a second framework is needed")
    ism = FastISM(readout(), input_shape=SHAPE, backend="tensorflow")
    assert ism.verify(X, positions=[0, 12, 23]) < 1e-5


# ---- without Keras ----------------------------------------------------------------------

ALONE = """
import sys

# As if they were not installed: importing them raises, and nobody finds them.
sys.modules.update(dict.fromkeys(("keras", "tensorflow", "jax", "tf_keras")))
import numpy as np
import torch
from fastism import FastISM

module = torch.nn.Sequential(
    torch.nn.Conv1d(4, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 2)
)
x = np.eye(4, dtype="float32")[np.arange(8) % 4].T[None]
result = FastISM(module, input_shape=(4, 8)).saturate(x)
print(result.mutants.shape, module.training)
"""


def test_neither_keras_nor_tensorflow_is_needed():
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "(1, 4, 8, 2) True"

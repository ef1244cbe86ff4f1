"""A sequence must give the same at every place of a batch, and in batches of any size."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 40
SHAPE = (4, LENGTH)
BOTH = pytest.mark.parametrize("kind", [FastISM, NaiveISM])


class Net(nn.Module):
    """A convolution and a function of what it makes."""

    def __init__(self, function) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.function = nn.Conv1d(4, 8, 5, padding=2), function
        self.register_buffer("encoding", torch.randn(64, 1, 8))

    def forward(self, x):
        return self.function(self, self.conv(x))


class AlongTheBatch(nn.Module):
    """A recurrent layer that is given positions first and takes the sequences for positions."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.recurrent = nn.Conv1d(4, 6, 5), nn.LSTM(6, 3, batch_first=True)

    def forward(self, x):
        return self.recurrent(self.conv(x).permute(2, 0, 1))[0].mean(0)


def encoded_by_place(net, y):
    """Positional encoding that is indexed by the axis of the batch."""
    return torch.tanh(y.transpose(1, 2) + net.encoding[: len(y)]).mean((1, 2))[:, None]


MIXING = {
    "place": (encoded_by_place, "depends on its place in the batch"),
    "others": (lambda net, y: y.mean(-1) - y.mean((0, 2)), "depends on the others in its batch"),
    "size": (lambda net, y: y.mean(-1) * len(y), "depends on the size of its batch"),
    "alone": (
        lambda net, y: y.mean(-1) if len(y) > 1 else y.amax(-1),
        "depends on the size of its batch",
    ),
    "chance": (lambda net, y: nn.functional.dropout(y, 0.5).mean(-1), "depends on chance"),
    "statistics": (
        lambda net, y: nn.functional.batch_norm(y, None, None, training=True).amax(-1),
        "in the batch",
    ),
}


def one_hot(count: int, seed: int = 1) -> np.ndarray:
    letters = np.random.default_rng(seed).integers(4, size=(count, LENGTH))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1).copy()


def alone(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return np.concatenate([module(torch.tensor(row[None])).numpy() for row in x])


@BOTH
@pytest.mark.parametrize("case", MIXING)
def test_what_mixes_a_batch_is_refused_with_what_was_seen(kind, case):
    function, words = MIXING[case]
    with pytest.raises(FastISMError) as caught:
        kind(Net(function).eval(), input_shape=SHAPE)
    told = str(caught.value)
    assert "What Net returns for a sequence" in told
    assert words in told or case == "statistics"
    assert "of a batch of" in told
    assert ("batch_size=1" in told) == (case != "chance")


@BOTH
def test_the_layer_that_mixes_is_named(kind):
    with pytest.raises(FastISMError) as caught:
        kind(AlongTheBatch().eval(), input_shape=SHAPE)
    assert "'recurrent' (LSTM) is the first part" in str(caught.value)
    assert "the sequences lie along axis 1" in str(caught.value)
    assert "batch_first=True" in str(caught.value)


@pytest.mark.parametrize(
    "make", [lambda: Net(encoded_by_place), AlongTheBatch], ids=["place", "lstm"]
)
def test_on_request_every_sequence_runs_alone(make):
    module, x = make().eval(), one_hot(3)
    made = NaiveISM(module, input_shape=SHAPE, batch_size=1).saturate(x, positions=[0, 17, 39])
    np.testing.assert_array_equal(made.reference, alone(module, x))
    for character in range(4):
        for column, position in enumerate([0, 17, 39]):
            changed = x.copy()
            changed[:, :, position] = np.eye(4)[character]
            expected = alone(module, changed)
            np.testing.assert_array_equal(made.mutants[:, character, column], expected)


def test_the_check_can_be_left_out():
    module = Net(encoded_by_place).eval()
    assert NaiveISM(module, input_shape=SHAPE, test_correctness=False).num_outputs == 1
    assert FastISM(module, input_shape=SHAPE, test_correctness=False).num_outputs == 1


def count_sequences(module: nn.Module) -> list[int]:
    """The sizes of the batches that `module` runs from now on."""
    sizes: list[int] = []
    module.register_forward_pre_hook(lambda part, given: sizes.append(len(given[0])))
    return sizes


def test_the_check_costs_a_few_sequences():
    plain, checked = Net(lambda net, y: y.amax(-1)).eval(), Net(lambda net, y: y.amax(-1)).eval()
    without, with_check = count_sequences(plain), count_sequences(checked)
    NaiveISM(plain, input_shape=SHAPE, test_correctness=False)
    NaiveISM(checked, input_shape=SHAPE)
    more = with_check[len(without) :]
    assert with_check[: len(without)] == without
    assert sum(more) <= 9
    assert {1, 2, 3} <= set(more)


@BOTH
@pytest.mark.parametrize(
    "function",
    [
        lambda net, y: (y if y.mean() > net.conv.bias.mean() - 0.05 else 50 * y).mean(-1),
        lambda net, y: y.mean(-1) / float(y.abs().max()),
    ],
    ids=["branch", "item"],
)
def test_decisions_by_what_is_computed_from_a_batch_are_refused(kind, function):
    with pytest.raises(FastISMError) as caught:
        kind(Net(function).eval(), input_shape=SHAPE)
    assert "batch" in str(caught.value)
    assert "batch_size=1" in str(caught.value)


def checked_input(net, y):
    assert torch.isfinite(y).all()
    return y.mean(-1)


@BOTH
@pytest.mark.parametrize(
    "function",
    [
        checked_input,
        lambda net, y: y.amax(-1) if float(net.encoding[0, 0, 0]) < 9 else y.mean(-1),
        lambda net, y: y.mean(-1).squeeze(),
        lambda net, y: y[:, :1].mean(-1).squeeze(),
        lambda net, y: 1e4 + y.mean(-1),
    ],
    ids=["assert", "constant", "squeeze", "squeeze to numbers", "large offset"],
)
def test_what_treats_every_sequence_alike_is_accepted(kind, function):
    module = Net(function).eval()
    assert kind(module, input_shape=SHAPE).num_outputs == 1


def test_infinities_that_are_the_same_everywhere_are_accepted():
    module = Net(lambda net, y: torch.log(torch.relu(y - 9)).mean(-1)).eval()
    assert NaiveISM(module, input_shape=SHAPE).num_outputs == 1


def test_lazy_layers_without_values_are_refused():
    with pytest.raises(FastISMError, match=r"'0\.weight' of the module has no values yet"):
        NaiveISM(nn.Sequential(nn.LazyConv1d(3, 3), nn.ReLU()), input_shape=SHAPE)


def test_a_square_replacement_with_exchanged_axes_is_refused():
    module, x = Net(lambda net, y: y.amax(-1)).eval(), one_hot(1)
    ism = NaiveISM(module, input_shape=SHAPE, batch_size=16)
    repeats = np.eye(4)[[0, 0, 1, 2]]
    made = ism.perturb(x, [0], [3], repeats.T[None])
    changed = x.copy()
    changed[0, :, 3:7] = repeats.T
    np.testing.assert_allclose(made.mutants, alone(module, changed), rtol=1e-5)
    with pytest.raises(FastISMError, match="one-hot along the positions"):
        ism.perturb(x, [0], [3], repeats[None])
    wide = NaiveISM(module, input_shape=SHAPE, change_ranges=[(3, 7)], batch_size=16)
    np.testing.assert_allclose(wide(x, repeats.T)[:, 0], alone(module, changed), rtol=1e-5)
    with pytest.raises(FastISMError, match="exchange its last two axes"):
        wide(x, repeats)

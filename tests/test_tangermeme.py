"""`fastism.torch.saturation_mutagenesis` against tangermeme's own."""

from __future__ import annotations

import inspect

import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")
tangermeme = pytest.importorskip(
    "tangermeme.saturation_mutagenesis", reason="what is compared with is optional"
)

from torch import nn  # noqa: E402

from fastism import FastISMError  # noqa: E402
from fastism.torch import saturation_mutagenesis  # noqa: E402

pytestmark = pytest.mark.torch


class WithControl(nn.Module):
    """A convolution, a control track joined to it, and a readout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.out = nn.Conv1d(4, 5, 5, padding=2), nn.Linear(6, 3)

    def forward(self, x, control=None):
        x = torch.relu(self.conv(x))
        control = torch.zeros_like(x[:, :1]) if control is None else control
        return self.out(torch.cat([x, control], 1).mean(-1))


class Profile(nn.Module):
    """Two outputs: a profile (2, length) and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.profile = nn.Conv1d(4, 5, 5, padding=2), nn.Conv1d(5, 2, 3, padding=1)

    def forward(self, x):
        x = torch.tanh(self.conv(x))
        return self.profile(x), x.mean((1, 2))[:, None]


def seeded(cls: type[nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return cls().eval()


def sequences() -> torch.Tensor:
    """One-hot, one of them with an unknown position."""
    generator = torch.Generator().manual_seed(1)
    letters = torch.randint(4, (3, 24), generator=generator)
    x = nn.functional.one_hot(letters, 4).transpose(1, 2).float()
    x[0, :, 3] = 0
    return x


MODEL, X = seeded(WithControl), sequences()
CONTROL = torch.rand((3, 1, 24), generator=torch.Generator().manual_seed(2))


def theirs(model: nn.Module, **options):
    function = tangermeme.saturation_mutagenesis
    known = inspect.signature(function).parameters
    slow = {"fast": False} if "fast" in known else {}
    return function(model, X, device="cpu", **slow, **options)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"hypothetical": True},
        {"start": 3, "end": 20},
        {"start": 5, "end": -3},
        {"target": 1},
        {"target": slice(1, 3), "hypothetical": True},
        {"func": torch.tanh},
        {"args": (CONTROL,)},
        {"batch_size": 5, "verbose": False, "dtype": "float32"},
    ],
    ids=lambda options: " ".join(options) or "none",
)
def test_attributions_are_theirs(options):
    made, expected = saturation_mutagenesis(MODEL, X, **options), theirs(MODEL, **options)
    assert made.shape == expected.shape
    assert made.dtype == expected.dtype
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("model", [MODEL, seeded(Profile)], ids=["one output", "two outputs"])
def test_raw_outputs_are_theirs(model):
    made = saturation_mutagenesis(model, X, raw_outputs=True, start=2, end=22)
    expected = theirs(model, raw_outputs=True, start=2, end=22)
    torch.testing.assert_close(list(made.y0), list(expected.y0), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(list(made.y_hat), list(expected.y_hat), rtol=1e-4, atol=1e-6)
    assert made._fields == expected._fields


def test_a_profile_is_averaged_as_theirs():
    model, first = seeded(Profile), {"func": lambda y: y[0]}
    made, expected = saturation_mutagenesis(model, X, **first), theirs(model, **first)
    torch.testing.assert_close(made, expected, rtol=1e-4, atol=1e-6)


def test_positional_arguments_mean_the_same():
    parameters = inspect.signature(saturation_mutagenesis).parameters.values()
    ours = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
    assert len(ours) > 10
    them = list(inspect.signature(tangermeme.saturation_mutagenesis).parameters)
    assert ours == them[: len(ours)]


def test_double_precision_runs_on_a_copy():
    made = saturation_mutagenesis(MODEL, X, dtype=torch.float64)
    assert made.dtype == torch.float64
    assert MODEL.conv.weight.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"start": 5, "end": 5}, "start=5 and end=5"),
        ({"end": 25}, "length 24"),
        ({"start": -1}, "start=-1"),
        ({"dtype": "float16"}, "float32 or float64"),
    ],
)
def test_what_cannot_be(options, words):
    with pytest.raises(FastISMError, match=words):
        saturation_mutagenesis(MODEL, X, **options)


def test_attributions_of_several_outputs():
    with pytest.raises(FastISMError, match="raw_outputs=True"):
        saturation_mutagenesis(seeded(Profile), X)

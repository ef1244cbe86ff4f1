"""Constants in a model: further channels, positional encodings, weights of positions.

Flags beside the sequence as in LegNet (Penzar et al. 2023), zeros as in the wrappers that feed the
control tracks of BPNet and ChromBPNet.
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch_zoo import checked, one_hot, randomised  # noqa: E402

from fastism import FastISM  # noqa: E402
from fastism.rules import ConstantChannels, PositionAffine  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 60


class Net(nn.Module):
    """A function of the sequence or of what the first convolution makes, then the rest."""

    def __init__(self, first: int, before=None, between=None) -> None:
        super().__init__()
        self.before, self.between = before, between
        self.register_buffer("flag", torch.linspace(-1, 1, LENGTH)[None, None])
        self.register_buffer("encoding", torch.randn(LENGTH, 8, generator=seeded()))
        self.stem = nn.Conv1d(first, 8, 7, padding=3)
        self.rest = nn.Sequential(
            nn.Conv1d(8, 8, 5), nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(8, 2)
        )

    def forward(self, x):
        x = x if self.before is None else self.before(self, x)
        x = torch.relu(self.stem(x))
        return self.rest(x if self.between is None else self.between(self, x))


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(3)


#: How many channels there are, and how they are made of the sequence.
CHANNELS = {
    "zeros": (5, lambda net, x: torch.cat([x, torch.zeros(x.shape[0], 1, x.shape[2])], 1)),
    "zeros_like": (5, lambda net, x: torch.cat([x, torch.zeros_like(x[:, :1])], dim=1)),
    "new_ones": (5, lambda net, x: torch.cat((x.new_ones(len(x), 1, x.shape[-1]), x), 1)),
    "buffer": (5, lambda net, x: torch.cat([x, net.flag.expand(x.shape[0], -1, -1)], 1)),
    "repeated": (5, lambda net, x: torch.cat([net.flag.repeat(len(x), 1, 1), x], 1)),
    "both sides": (
        6,
        lambda net, x: torch.cat(
            [net.flag.expand(len(x), 1, LENGTH), x, 0.5 + 0 * net.flag.expand(len(x), -1, -1)], 1
        ),
    ),
    "pad": (6, lambda net, x: F.pad(x, (0, 0, 1, 1))),
    "computed": (
        5,
        lambda net, x: torch.cat([x, torch.sin(3 * torch.ones(len(x), 1, LENGTH)) - 1], 1),
    ),
}
POSITIONS = {
    "add": lambda net, x: x + net.encoding.T,
    "add for every sequence": lambda net, x: x + net.encoding.T[None].expand(len(x), -1, -1),
    "subtract from": lambda net, x: net.flag - x,
    "multiply": lambda net, x: x * net.flag,
    "multiply and add": lambda net, x: torch.tanh(x) * net.encoding.T + net.flag,
    "divide": lambda net, x: x / (2 + net.flag),
    "channels last": lambda net, x: (x.transpose(1, 2) + net.encoding).transpose(1, 2),
    "made in the call": lambda net, x: x + torch.arange(LENGTH) / 50,
}


@pytest.mark.parametrize("case", CHANNELS)
def test_constant_channels_leave_windows_as_they_are(case):
    first, function = CHANNELS[case]
    ism = checked(randomised(Net(first, before=function)), LENGTH)
    assert ism.plan.opaque == ()
    assert any(isinstance(node.rule, ConstantChannels) for node in ism.plan.graph.nodes)
    assert ism.plan.speedup > 3


@pytest.mark.parametrize("case", POSITIONS)
def test_constants_by_position_leave_windows_as_they_are(case):
    ism = checked(randomised(Net(4, between=POSITIONS[case])), LENGTH)
    assert ism.plan.opaque == ()
    assert any(isinstance(node.rule, PositionAffine) for node in ism.plan.graph.nodes)
    assert ism.plan.speedup > 3


def test_a_constant_that_is_an_output_is_repeated_for_every_mutant():
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(4, 3, 5)

        def forward(self, x):
            return self.conv(x).mean(-1), torch.ones(len(x), 2)

    ism = FastISM(randomised(Two()), input_shape=(4, LENGTH))
    made = ism.saturate(one_hot(LENGTH), positions=[0, 59])
    np.testing.assert_array_equal(made.mutants[1], np.ones((2, 4, 2, 2)))


def test_noise_is_no_constant():
    class Noisy(nn.Module):
        def forward(self, x):
            return (x + torch.rand(len(x), 1, x.shape[2])).mean(-1)

    ism = FastISM(Noisy(), input_shape=(4, LENGTH), test_correctness=False)
    assert ism.plan.opaque

"""Normalised weights cost nothing, and what reads all positions at the end leaves the gain before.

Weight-normalised and weight-standardised convolutions, log-sum-exp and softmax over positions as
readouts, a profile times counts; GroupNorm, whose statistics are of all positions, is global.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402
from torch_zoo import checked, randomised  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 200


class Standardised(nn.Conv1d):
    """A convolution whose weights have mean zero and variance one per output."""

    def forward(self, x):
        mean = self.weight.mean((1, 2), keepdim=True)
        scale = (self.weight.var((1, 2), keepdim=True, unbiased=False) + 1e-5).rsqrt()
        return F.conv1d(x, (self.weight - mean) * scale, self.bias)


class Written(nn.Module):
    """A function of its input."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


class ProfileTimesCounts(nn.Module):
    """A softmax over positions times the exponential of a readout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.profile = nn.Conv1d(4, 8, 9, padding=4), nn.Conv1d(8, 1, 15)
        self.counts = nn.Linear(8, 1)

    def forward(self, x):
        y = torch.relu(self.conv(x))
        profile = torch.softmax(self.profile(y).squeeze(1), -1)
        return profile * torch.exp(self.counts(y.mean(-1)))


def stem(first: nn.Module, last: nn.Module) -> nn.Module:
    return nn.Sequential(first, nn.ReLU(), nn.Conv1d(8, 8, 5), last)


def mean() -> nn.Module:
    return nn.Sequential(nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten())


NORMALISED = {
    "weight norm": lambda: nn.utils.parametrizations.weight_norm(nn.Conv1d(4, 8, 9)),
    "standardised": lambda: Standardised(4, 8, 9),
}
READOUTS = {
    "log-sum-exp": lambda x: torch.logsumexp(x, -1),
    "mean weighted by a softmax": lambda x: (x * x.softmax(-1)).sum(-1),
}


@pytest.mark.parametrize("case", NORMALISED)
def test_weights_that_are_normalised_are_weights(case):
    plan = checked(randomised(stem(NORMALISED[case](), mean())), LENGTH).plan
    assert plan.opaque == ()
    assert plan.speedup > 3


def test_a_softmax_over_positions_at_the_end_leaves_the_gain_of_what_comes_before():
    plan = checked(randomised(ProfileTimesCounts()), LENGTH).plan
    assert len(plan.opaque) == 1
    assert not plan.uncounted
    assert plan.speedup > 3


@pytest.mark.parametrize("case", READOUTS)
def test_sums_over_positions_of_exponentials_read_out_of_windows(case):
    plan = checked(randomised(stem(nn.Conv1d(4, 8, 9), Written(READOUTS[case]))), LENGTH).plan
    assert plan.opaque == ()
    assert plan.speedup > 3


def test_group_norm_is_global_and_says_so():
    first = nn.Sequential(nn.Conv1d(4, 8, 9), nn.GroupNorm(2, 8))
    plan = checked(randomised(stem(first, mean())), LENGTH).plan
    told = "no rule for group_norm: its mean and variance are of all positions"
    assert told in plan.reasons.values()
    assert plan.speedup < 3

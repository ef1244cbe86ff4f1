"""Attention pooling over neighbours, as in the towers of Enformer and Borzoi (Avsec et al. 2021).

Every group of positions becomes the mean of its values, weighted per channel by the softmax of a
product over the channels of each position.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch_zoo import checked, randomised  # noqa: E402

from fastism.rules import SoftmaxPool  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 144


class OverLastAxis(nn.Module):
    """(batch, channels, groups, neighbours), logits by a convolution of one tap."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size, self.logits = size, nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x):
        x = x.view(*x.shape[:2], -1, self.size)
        return (x * self.logits(x).softmax(-1)).sum(-1)


class Padded(OverLastAxis):
    """A last group that is not full: zeros beside it, whose logits are masked."""

    def forward(self, x):
        missing = -x.shape[2] % self.size
        mask = torch.zeros((len(x), 1, x.shape[2]), dtype=torch.bool)
        mask = torch.nn.functional.pad(mask, (0, missing), value=True)
        x = torch.nn.functional.pad(x, (0, missing))
        x = x.view(*x.shape[:2], -1, self.size)
        logits = self.logits(x)
        least = -torch.finfo(logits.dtype).max
        logits = logits.masked_fill(mask.view(*mask.shape[:2], -1, self.size), least)
        return (x * logits.softmax(-1)).sum(-1)


class OverMiddleAxis(nn.Module):
    """(batch, groups, neighbours, channels), one logit for all channels or one for each."""

    def __init__(self, channels: int, size: int, logits: int) -> None:
        super().__init__()
        self.size, self.logits = size, nn.Linear(channels, logits)

    def forward(self, x):
        x = x.transpose(1, 2)
        x = x.reshape(len(x), -1, self.size, x.shape[2])
        return torch.sum(torch.softmax(self.logits(x), dim=2) * x, dim=-2).transpose(1, 2)


class Temperature(OverLastAxis):
    """Logits that are scaled, shifted and bent first."""

    def forward(self, x):
        x = x.reshape(len(x), x.shape[1], -1, self.size)
        logits = torch.tanh(2 * self.logits(x) - 0.5) / 0.3
        return (torch.nn.functional.softmax(logits, -1) * x).sum(3)


class Readouts(nn.Module):
    """Several ways of pooling over neighbours that stand on an axis of their own."""

    def forward(self, x):
        y = torch.relu(x).unflatten(2, (-1, 3))
        return torch.cat([y.amax(-1), y.mean(-1), y.sum(-1) / 3, y.max(-1).values], 1)


def tower(pool) -> nn.Module:
    return nn.Sequential(
        nn.Conv1d(4, 8, 7, padding=3),
        pool(),
        nn.GELU(),
        nn.LazyConv1d(8, 5, padding=2),
        pool(),
        nn.ReLU(),
        nn.AdaptiveAvgPool1d(1),
        nn.Flatten(),
        nn.LazyLinear(2),
    )


POOLS = {
    "last axis": lambda: OverLastAxis(8, 2),
    "four neighbours": lambda: OverLastAxis(8, 4),
    "middle axis": lambda: OverMiddleAxis(8, 2, 8),
    "one logit": lambda: OverMiddleAxis(8, 2, 1),
    "padded": lambda: Padded(8, 5),
    "temperature": lambda: Temperature(8, 3),
}


def ready(module: nn.Module, length: int = LENGTH) -> nn.Module:
    module(torch.zeros(2, 4, length))
    return randomised(module)


@pytest.mark.parametrize("case", POOLS)
def test_attention_pooling_is_local(case):
    ism = checked(ready(tower(POOLS[case])), LENGTH)
    assert ism.plan.opaque == ()
    assert sum(isinstance(node.rule, SoftmaxPool) for node in ism.plan.graph.nodes) == 2
    assert ism.plan.speedup > (1.5 if case == "padded" else 3)


def test_other_pooling_over_an_axis_of_neighbours():
    module = nn.Sequential(
        nn.Conv1d(4, 8, 7, padding=3), Readouts(), nn.LazyConv1d(3, 3), nn.Tanh()
    )
    ism = checked(ready(module), LENGTH)
    assert ism.plan.opaque == ()


class Weighted(nn.Module):
    """A softmax over the groups instead of the neighbours: every position reaches all."""

    def forward(self, x):
        x = x.reshape(len(x), 8, -1, 2)
        return (x * x.softmax(-2)).sum(-1)


class Kept(nn.Module):
    """Weights over neighbours that are used elsewhere too, where they have no rule."""

    def forward(self, x):
        x = x.reshape(len(x), 8, -1, 2)
        weights = x.softmax(-1)
        return (x * weights).sum(-1) + weights[..., 0]


@pytest.mark.parametrize("kind", [Weighted, Kept])
def test_what_only_looks_like_it_is_right_too(kind):
    ism = checked(ready(nn.Sequential(nn.Conv1d(4, 8, 7, padding=3), kind(), nn.ReLU())), LENGTH)
    assert ism.plan.opaque

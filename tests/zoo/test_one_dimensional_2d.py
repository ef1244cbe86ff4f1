"""Convolutions over two axes that are one-dimensional: a kernel spans the characters, or is flat.

As in AI-TAC (Maslova et al. 2020), APARENT (Bogard et al. 2019) and models that came from images.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="half of the models are torch modules")

from torch import nn  # noqa: E402
from torch_zoo import checked, randomised  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 300


class Spanning(nn.Module):
    """(batch, 1, characters, length) and kernels (characters, taps), then flat ones."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(1, 8, (4, 9), padding=(0, 4)),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.MaxPool2d((1, 3), (1, 3)),
            nn.Conv2d(8, 6, (1, 5)),
            nn.ReLU(),
        )
        self.out = nn.Linear(6, 2)

    def forward(self, x):
        return self.out(self.body(x.unsqueeze(1)).mean((2, 3)))


class Upright(nn.Module):
    """(batch, 1, length, characters) and kernels (taps, characters)."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 8, (9, 4), stride=(2, 1)), nn.Conv2d(8, 3, (5, 1))

    def forward(self, x):
        y = torch.relu(self.first(x.transpose(1, 2)[:, None]))
        return self.second(y).squeeze(3).amax(-1)


class Partial(nn.Module):
    """A kernel that covers two of four characters: both axes are real."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, (2, 5))

    def forward(self, x):
        return torch.relu(self.conv(x[:, None])).mean((2, 3))


@pytest.mark.parametrize("kind", [Spanning, Upright])
def test_characters_that_a_kernel_spans_are_channels(kind):
    plan = checked(randomised(kind()), LENGTH).plan
    assert plan.opaque == ()
    assert plan.speedup > 2


def test_two_real_axes_are_opaque_and_right():
    assert checked(randomised(Partial()), LENGTH).plan.opaque


class Shifting(nn.Module):
    """A relative shift by strides in memory, as attention of Borzoi's kind writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv1d(4, 8, 9, padding=4), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 6, 5)
        )
        self.out = nn.Linear(6, 1)

    def forward(self, x):
        y = self.stem(x).transpose(1, 2).contiguous()
        batch, count, width = y.shape
        y = y.as_strided((batch, count - 1, width), (count * width, width, 1), 0)
        return self.out(torch.tanh(y).mean(1))


def relative(queries, keys):
    """Products of queries with the keys of their distances, one row further left for each."""
    count = queries.shape[0]
    products = torch.einsum("id,jd->ij", queries, keys).flatten()
    return products.as_strided((count, count), (2 * count - 2, 1), count - 1)


class Relative(nn.Module):
    """Attention with relative positions, `as_strided` within `torch.vmap`, as borzoi-pytorch's."""

    def __init__(self) -> None:
        super().__init__()
        self.count = LENGTH // 4
        self.stem = nn.Sequential(
            nn.Conv1d(4, 8, 9, padding=4), nn.ReLU(), nn.MaxPool1d(4), nn.Conv1d(8, 8, 5, padding=2)
        )
        self.keys = nn.Parameter(torch.zeros(2, 2 * self.count - 1, 4))
        self.shifted = torch.vmap(torch.vmap(relative), in_dims=(0, None))

    def forward(self, x):
        y = self.stem(x).transpose(1, 2).reshape(len(x), self.count, 2, 4).transpose(1, 2)
        weights = torch.softmax(y @ y.mT + self.shifted(y, self.keys), -1)
        return (weights @ y).mean((1, 2))


def test_relative_attention_by_strides_leaves_the_stem_its_windows():
    plan = checked(randomised(Relative()), LENGTH).plan
    assert plan.reasons
    assert not any("memory" in reason for reason in plan.reasons.values())
    assert {"stem.0", "stem.3"} <= {plan.graph.nodes[i].name for i in plan.layout.nodes}


def test_strides_in_memory_make_their_own_step_opaque_only():
    plan = checked(randomised(Shifting()), LENGTH).plan
    assert len(plan.opaque) == 1
    assert "as_strided" in plan.opaque[0]
    assert {"stem.0", "stem.3"} <= {plan.graph.nodes[i].name for i in plan.layout.nodes}
    assert plan.speedup > 2

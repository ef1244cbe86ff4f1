"""Sums over positions weighted by their softmax as a readout: exact, however they are written.

x -- conv -- relu -- conv -- scores -- softmax over positions --\\
                 \\-- conv -- values ------------------------- multiply -- sum over positions
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402

from fastism import FastISM, NaiveISM  # noqa: E402
from fastism.rules import GlobalSoftmaxPool  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 40


class Pooled(nn.Module):
    """Values pooled by a function of scores and values, each ``(batch, channels, length)``."""

    def __init__(self, function, scores: int = 1, scale: float = 1.0) -> None:
        super().__init__()
        self.first, self.values = nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(6, 3, 3)
        self.scores, self.function, self.scale = nn.Conv1d(6, scores, 3), function, scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.first(x))
        return self.function(self.scores(x) * self.scale, self.values(x))


def made(function, scores: int = 1, scale: float = 1.0) -> nn.Module:
    torch.manual_seed(3)
    return Pooled(function, scores, scale).double().eval()


def one_hot(seed: int, count: int = 1) -> np.ndarray:
    letters = np.random.default_rng(seed).integers(4, size=(count, LENGTH))
    return np.eye(4)[letters].transpose(0, 2, 1)


def both(module: nn.Module) -> tuple[FastISM, NaiveISM]:
    return FastISM(module, input_shape=(4, LENGTH)), NaiveISM(module, input_shape=(4, LENGTH))


def readouts(ism: FastISM) -> int:
    return sum(isinstance(node.rule, GlobalSoftmaxPool) for node in ism.plan.graph.nodes)


def weighted(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return (scores.softmax(-1) * values).sum(-1)


def in_one_vector(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    weights = torch.softmax(scores.flatten(1), -1)
    return (weights.unsqueeze(-1) * values.transpose(1, 2)).sum(1)


def where_it_is(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    return (scores.softmax(-1) * torch.linspace(0, 1, scores.shape[-1]).to(scores)).sum(-1)


def masked(scores: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    mask = torch.arange(scores.shape[-1]) % 7 < 2
    return weighted(scores.masked_fill(mask, -torch.inf), values)


SPELLINGS = {
    "one score": (weighted, 1),
    "a score per channel": (weighted, 3),
    "mean": (lambda s, v: (v * s.softmax(-1)).mean(-1), 3),
    "one value": (lambda s, v: weighted(s, v[:, :1]), 3),
    "positions first": (lambda s, v: (s.mT.softmax(1) * v.mT).sum(1), 1),
    "bmm": (lambda s, v: torch.bmm(v, s.softmax(-1).transpose(1, 2)).squeeze(-1), 1),
    "matmul": (lambda s, v: (s.softmax(-1) @ v.mT).squeeze(1), 1),
    "einsum": (lambda s, v: torch.einsum("bl,bcl->bc", s[:, 0].softmax(-1), v), 1),
    "einsum per channel": (lambda s, v: torch.einsum("bcl,bcl->bc", s.softmax(-1), v), 3),
    "in one vector": (in_one_vector, 1),
    "expanded": (lambda s, v: (s.softmax(-1).expand(-1, 3, -1) * v).sum(-1), 1),
    "constant values": (where_it_is, 1),
    "masked": (masked, 1),
}


@pytest.mark.parametrize("case", SPELLINGS)
def test_every_spelling_reads_out_of_windows(case):
    fast, naive = both(made(*SPELLINGS[case], scale=3.0))
    assert (readouts(fast), fast.plan.opaque) == (1, ())
    assert fast.plan.speedup > 2
    x = one_hot(0)
    right = naive.saturate(x).mutants
    np.testing.assert_allclose(fast.saturate(x).mutants, right, rtol=1e-11, atol=1e-13)


def test_weights_that_are_an_output_too_run_in_full():
    def function(scores: torch.Tensor, values: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return weighted(scores, values), scores.softmax(-1)

    fast, naive = both(made(function))
    assert readouts(fast) == 1
    assert "a softmax over positions weighs every position against all" in str(fast.plan)
    for found, right in zip(
        *(ism.saturate(one_hot(0)).mutants for ism in (fast, naive)), strict=True
    ):
        np.testing.assert_allclose(found, right, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("scale", [1e-3, 1e2, 1e6])
def test_every_mutant_is_exact_however_large_the_scores(scale):
    fast, naive = both(made(weighted, 3, scale))
    x = one_hot(1, 2)
    right = naive.saturate(x).mutants
    assert np.isfinite(right).all()
    # Scores are exact to a part of their size, and weights to that part as a whole.
    close = 1e-15 * max(scale, 1e3)
    np.testing.assert_allclose(fast.saturate(x).mutants, right, rtol=1e-11, atol=close)


class Peaked(nn.Module):
    """Values pooled by scores that are `height` where the letter is A, and otherwise small."""

    VALUES = (7.0, 0.5, -2.0, 4.0)
    SCORES = (0.125, 0.25, 0.5)

    def __init__(self, height: float) -> None:
        super().__init__()
        self.scores, self.values = nn.Conv1d(4, 1, 1, bias=False), nn.Conv1d(4, 1, 1, bias=False)
        with torch.no_grad():
            self.scores.weight.copy_(torch.tensor([height, *self.SCORES])[None, :, None])
            self.values.weight.copy_(torch.tensor(self.VALUES)[None, :, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return weighted(self.scores(x), self.values(x))


@pytest.mark.parametrize("place", [0, 17, LENGTH - 1])
@pytest.mark.parametrize("height", [1000.0, -1000.0])
@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=["float32", "float64"])
def test_what_is_left_is_exact_where_the_one_position_that_counts_is_removed(place, height, kind):
    """e**1000 cannot be written, and nothing of the rest is left in a sum that held it."""
    module = Peaked(height).to(torch.float32 if kind == np.float32 else torch.float64).eval()
    x = np.zeros((1, 4, LENGTH), kind)
    x[0, 1] = 1
    x[0, :, place] = [1, 0, 0, 0]
    mutants = FastISM(module, input_shape=(4, LENGTH)).saturate(x).mutants
    assert mutants.dtype == kind
    rest = LENGTH - 1
    for letter, score in enumerate([height, *Peaked.SCORES]):
        weight = np.exp(np.float64(score - Peaked.SCORES[0]).clip(-700, 700))
        expected = (rest * Peaked.VALUES[1] + weight * Peaked.VALUES[letter]) / (rest + weight)
        # One of the window's numbers is what is left of 1000 - 1000.
        close = 16 * np.finfo(kind).eps
        np.testing.assert_allclose(mutants[0, letter, place], expected, rtol=close)


def test_pairs_scans_and_edits_are_exact():
    fast, naive = both(made(weighted, 3, 3.0))
    x = one_hot(1, 2)
    positions = [0, 1, 20, 22, LENGTH - 1]
    close = {"rtol": 1e-10, "atol": 1e-12}
    doubles = [ism.pairs(x[:1], positions=positions).doubles for ism in (fast, naive)]
    np.testing.assert_allclose(*doubles, **close)
    for scan in (
        lambda ism: ism.splices(x[:1], x[1:]).mutants,
        lambda ism: ism.deletions(x[:1], 3).mutants,
    ):
        np.testing.assert_allclose(scan(fast), scan(naive), **close)
    letter = np.eye(4)[2][None]
    given = ([0, 0], [[2, 30], [5, 6]], [[letter.T, letter.T]] * 2)
    np.testing.assert_allclose(
        fast.perturb(x[:1], *given).mutants, naive.perturb(x[:1], *given).mutants, **close
    )


@pytest.mark.parametrize("order", [1, -1])
def test_products_of_other_tensors_are_sums_over_channels_or_opaque(order):
    """A row times a matrix over channels is local; a product of two matrices is not."""
    torch.manual_seed(0)
    convs = [nn.Conv1d(4, n, 3) for n in (1, 5)]

    class Products(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convs = nn.ModuleList(convs)

        def forward(self, x):
            one, several = (conv(x) for conv in self.convs)
            left = (several @ several.mT)[:, 0]
            return torch.stack([left, (one @ several.mT)[:, 0]][::order], -1)

    fast, naive = both(Products().double().eval())
    assert len(fast.plan.opaque) >= 1
    x = one_hot(2)
    np.testing.assert_allclose(
        fast.saturate(x).mutants, naive.saturate(x).mutants, rtol=1e-11, atol=1e-12
    )


def test_sums_of_parts_do_not_depend_on_how_positions_are_parted():
    """What is joined from parts is what is gathered from all positions, bit for bit or nearly."""
    from fastism.backends.torch import TorchBackend

    b, rule = TorchBackend("float64"), GlobalSoftmaxPool(2)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(3, 11, 4)) * 30)
    whole = rule.gathered(b, x, 1)
    left, right = rule.sides(b, x)
    for cut in range(12):
        torch.testing.assert_close(rule.joined(b, left[:, cut], right[:, cut]), whole)
    for first, second in pairwise([0, 4, 11]):
        part = rule.gathered(b, x[:, first:second], 1)
        outside = rule.joined(b, left[:, first], right[:, second])
        torch.testing.assert_close(rule.joined(b, part, outside), whole)

"""Log-sum-exp over positions as a readout: exact for small and huge numbers, whatever a mutant is.

x -- conv -- relu -- conv -- logsumexp over positions -- dense
                          \\-- mean over positions ------/
"""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402

from fastism import FastISM, NaiveISM  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 40


class Pooled(nn.Module):
    """Numbers of the size of `scale` before the log-sum-exp."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(6, 3, 3)
        self.head, self.scale = nn.Linear(6, 2), scale

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.second(torch.relu(self.first(x))) * self.scale
        return self.head(torch.cat([torch.logsumexp(x, -1), x.mean(-1)], 1))


def made(scale: float) -> nn.Module:
    torch.manual_seed(3)
    return Pooled(scale).double().eval()


def one_hot(seed: int, count: int = 1) -> np.ndarray:
    letters = np.random.default_rng(seed).integers(4, size=(count, LENGTH))
    return np.eye(4)[letters].transpose(0, 2, 1)


def both(scale: float) -> tuple[FastISM, NaiveISM]:
    module = made(scale)
    return FastISM(module, input_shape=(4, LENGTH)), NaiveISM(module, input_shape=(4, LENGTH))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4, 1e300])
def test_every_mutant_is_exact_however_large_the_numbers(scale):
    fast, naive = both(scale)
    assert fast.plan.opaque == ()
    assert fast.plan.speedup > 2
    x = one_hot(0, 2)
    right = naive.saturate(x).mutants
    assert np.isfinite(right).all()
    np.testing.assert_allclose(fast.saturate(x).mutants, right, rtol=1e-11, atol=1e-12 * scale)


class Peaked(nn.Module):
    """Log-sum-exp of numbers that are `height` where the letter is A, and otherwise small."""

    def __init__(self, height: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4, 1, 1, bias=False)
        with torch.no_grad():
            self.conv.weight.copy_(torch.tensor([height, 0.125, 0.25, 0.5])[None, :, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.logsumexp(self.conv(x), -1)


@pytest.mark.parametrize("place", [0, 17, LENGTH - 1])
@pytest.mark.parametrize("kind", [np.float32, np.float64], ids=["float32", "float64"])
def test_what_is_left_is_exact_where_the_one_position_that_counts_is_removed(place, kind):
    """e**1000 cannot be written, and nothing of the rest is left in a sum that held it."""
    module = Peaked(1000.0).to(torch.float32 if kind == np.float32 else torch.float64).eval()
    x = np.zeros((1, 4, LENGTH), kind)
    x[0, 1] = 1
    x[0, :, place] = [1, 0, 0, 0]
    ism = FastISM(module, input_shape=(4, LENGTH))
    mutants = ism.saturate(x).mutants
    assert mutants.dtype == kind
    for letter, height in enumerate([1000.0, 0.125, 0.25, 0.5]):
        rest = np.full(LENGTH - 1, 0.125)
        expected = np.logaddexp.reduce([*rest, height])
        # One of the window's numbers is what is left of 1000 - 1000.
        np.testing.assert_allclose(mutants[0, letter, place], expected, rtol=8 * np.finfo(kind).eps)


def test_pairs_scans_and_edits_are_exact():
    fast, naive = both(3.0)
    x = one_hot(1, 2)
    positions = [0, 1, 20, 22, LENGTH - 1]
    close = {"rtol": 1e-10, "atol": 1e-10}
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

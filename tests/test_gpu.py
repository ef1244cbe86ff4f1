"""What every device must give: each test on the CPU, and on an NVIDIA GPU where there is one.

On a GPU a call is made several times, because kernels are measured in the first ones and graphs
are recorded and replayed in later ones.
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from fastism import FastISM, NaiveISM  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 96
CALLS = 4
GPU = pytest.param(
    "cuda",
    marks=[
        pytest.mark.gpu,
        pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU"),
    ],
)


class Pooled(nn.Module):
    """Wide convolutions and pools, of normalised channels some of which change their sign."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 70, 9, padding=4), nn.Conv1d(70, 130, 5, padding=2)
        self.norm = nn.BatchNorm1d(130)
        nn.init.uniform_(self.norm.weight, -1, 1)
        self.dense, self.read = nn.Linear(130 * (LENGTH // 12), 40), nn.Linear(40, 3)

    def forward(self, x):
        x = F.max_pool1d(F.relu(self.first(x)), 3)
        x = F.max_pool1d(F.relu(self.norm(self.second(x))), 4)
        return self.read(F.relu(self.dense(x.flatten(1))))


class Dilated(nn.Module):
    """Residual blocks, a profile of one channel with a long kernel, and counts."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 32, 15, padding=7)
        self.blocks = nn.ModuleList(
            nn.Conv1d(32, 32, 3, padding=2**i, dilation=2**i) for i in range(1, 4)
        )
        self.profile, self.counts = nn.Conv1d(32, 1, 25, padding=12), nn.Linear(32, 2)

    def forward(self, x):
        x = F.relu(self.first(x))
        for block in self.blocks:
            x = x + F.relu(block(x))
        return self.profile(x), self.counts(x.mean(2))


class Odd(nn.Module):
    """Numbers of channels that fill no tile, a stride, an average, and a softmax over positions."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 13, 7, stride=2)
        self.second, self.third = nn.Conv1d(13, 29, 4, dilation=2), nn.Conv1d(29, 5, 1)
        self.read = nn.Linear(29, 1)

    def forward(self, x):
        x = F.avg_pool1d(F.gelu(self.first(x)), 2)
        x = torch.tanh(self.second(x))
        return torch.softmax(self.third(x), 2), self.read(x.amax(2))


MODULES = {"pooled": Pooled, "dilated": Dilated, "odd": Odd}


@pytest.fixture(scope="module", params=["cpu", GPU])
def device(request) -> str:
    return request.param


@pytest.fixture(scope="module", params=MODULES)
def module(request) -> nn.Module:
    torch.manual_seed(0)
    return MODULES[request.param]().eval()


@pytest.fixture(scope="module")
def precise(module) -> NaiveISM:
    """Naive ISM on the CPU, in double precision."""
    return NaiveISM(copy.deepcopy(module).double(), input_shape=(4, LENGTH))


@pytest.fixture(scope="module")
def ism(module, device) -> FastISM:
    return FastISM(copy.deepcopy(module).to(device), input_shape=(4, LENGTH))


def one_hot(count: int, seed: int) -> np.ndarray:
    letters = np.random.default_rng(seed).integers(4, size=(count, LENGTH))
    return np.eye(4, dtype=np.float32)[letters].swapaxes(1, 2).copy()


def listed(x: object) -> list:
    return x if isinstance(x, list) else [x]


def assert_close(made: object, expected: object, tolerance: float = 2e-5) -> None:
    """Every output as it should be, up to a part of its standard deviation."""
    for ours, theirs in zip(listed(made), listed(expected), strict=True):
        ours, theirs = np.asarray(ours, np.float64), np.asarray(theirs, np.float64)
        np.testing.assert_allclose(ours, theirs, 0, tolerance * max(theirs.std(), 1e-3))


def test_modules_run_where_they_are(ism, device):
    assert ism.accelerated == (device == "cuda")
    assert not ism.plan.naive


@pytest.mark.parametrize("count", [1, 5])
def test_every_call_gives_what_naive_ism_does(ism, precise, count):
    for call in range(CALLS):
        x = one_hot(count, call)
        assert_close(ism.saturate(x).mutants, precise.saturate(x).mutants)


def test_tensors_stay_on_the_device_and_are_the_same(ism, device):
    x = one_hot(3, 7)
    arrays, tensors = ism.saturate(x), ism.saturate(torch.tensor(x), as_tensors=True)
    assert all(y.device.type == device for y in listed(tensors.mutants))
    assert_close([y.cpu() for y in listed(tensors.mutants)], arrays.mutants, 1e-6)
    assert_close([y.cpu() for y in listed(tensors.reference)], arrays.reference, 1e-6)


@pytest.mark.parametrize("memory", [4 << 20, 64 << 20])
def test_little_memory_changes_nothing(module, device, precise, memory):
    given = {"input_shape": (4, LENGTH), "memory": memory, "test_correctness": False}
    ism = FastISM(copy.deepcopy(module).to(device), **given)
    for call in range(CALLS):
        x = one_hot(4, 20 + call)
        assert_close(ism.saturate(x).mutants, precise.saturate(x).mutants)


CHANGES: dict[str, Callable] = {
    "ranges": lambda ism, x: ism(x, [0, 0, 0, 1]),
    "some positions": lambda ism, x: ism.saturate(x, positions=slice(30, 50)).mutants,
    "deletions": lambda ism, x: ism.deletions(x, [1, 3]).mutants,
    "pairs": lambda ism, x: ism.pairs(x[:1], positions=slice(40, 46)).doubles,
}


@pytest.mark.parametrize("change", CHANGES)
def test_other_changes_give_what_naive_ism_does(ism, precise, change):
    x = one_hot(2, 40)
    expected = CHANGES[change](precise, x)
    for _ in range(2):
        assert_close(CHANGES[change](ism, x), expected)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
def test_rounded_products_of_deltas_are_closer_than_those_of_naive_ism(module, precise):
    there, x = copy.deepcopy(module).cuda(), one_hot(4, 60)
    given = {"input_shape": (4, LENGTH), "precision": "tf32"}
    made, naive = (kind(there, **given).saturate(x).delta() for kind in (FastISM, NaiveISM))
    for ours, theirs, exact in zip(
        *(listed(y) for y in (made, naive, precise.saturate(x).delta())), strict=True
    ):
        assert np.abs(ours - exact).max() < np.abs(theirs - exact).max()

"""On uniform windows the number of operations does not grow with positions or sequences."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

import fastism.ism as ism_module  # noqa: E402
from fastism import FastISM  # noqa: E402
from fastism.backends.torch_kernels import ProductPerTap  # noqa: E402
from fastism.backends.torch_uniform import UniformTorchBackend  # noqa: E402


class Counted(TorchDispatchMode):
    """Counts operators that compute or copy; views cost nothing on a device."""

    def __init__(self) -> None:
        super().__init__()
        self.number = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        self.number += not function.is_view
        return made


class Branched(nn.Module):
    """Pools, residuals, a profile, and a dense layer after Flatten."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(4, 12, 7, padding=3)
        self.dilated = nn.ModuleList(
            nn.Conv1d(12, 12, 3, padding=2**i, dilation=2**i) for i in range(2)
        )
        self.profile = nn.Conv1d(12, 2, 5, padding=2)
        self.dense, self.read = nn.Linear(12 * (length // 4), 6), nn.Linear(6, 2)

    def forward(self, x):
        x = torch.max_pool1d(torch.relu(self.first(x)), 4)
        for layer in self.dilated:
            x = x + torch.relu(layer(x))
        return self.profile(x), self.read(torch.relu(self.dense(x.flatten(1))))


def operations(monkeypatch: pytest.MonkeyPatch, length: int, sequences: int) -> int:
    monkeypatch.setattr(
        ism_module,
        "get_backend",
        lambda name, dtype, device=None: UniformTorchBackend(dtype, "cpu", (ProductPerTap,)),
    )
    monkeypatch.setattr(UniformTorchBackend, "chunk_bytes", 1 << 30)
    given = {"input_shape": (4, length), "test_correctness": False, "memory": 1 << 30}
    ism = FastISM(Branched(length).eval(), **given)
    # The same blocks at every length.
    rng = np.random.default_rng(0)
    x = np.eye(4, dtype="float32")[rng.integers(0, 4, (sequences, length))].swapaxes(1, 2)
    with Counted() as seen:
        ism.saturate(x)
    return seen.number


def test_operations_do_not_grow_with_positions_or_sequences(monkeypatch):
    few = operations(monkeypatch, 200, 1)
    many = [operations(monkeypatch, 200, 5), operations(monkeypatch, 400, 2)]
    # A batch of one sequence has a few copies of its own.
    assert max(many) <= few + 10, (few, many)

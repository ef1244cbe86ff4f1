"""Small torch modules and sequences, for tests of what users of modules rely on."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

LENGTH = 24
SHAPE = (4, LENGTH)


class Written(nn.Module):
    """A module from its layers and a function of them and the input."""

    def __init__(self, function, *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)

    def forward(self, *x):
        return self.function(*self.layers, *x)


def seeded(function, *layers: nn.Module, dtype: torch.dtype = torch.float32) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    module = Written(function, *layers)
    with torch.no_grad():
        for x in module.parameters():
            x.copy_(torch.randn(x.shape, generator=generator) * 0.5)
    return module.to(dtype).eval()


def readout(dtype: torch.dtype = torch.float32) -> nn.Module:
    """conv -- batch norm -- relu -- dropout -- pool -- flatten -- linear(3)."""

    def forward(conv, norm, dropout, linear, x):
        x = F.max_pool1d(dropout(F.relu(norm(conv(x)))), 2)
        return linear(x.flatten(1))

    layers = nn.Conv1d(4, 6, 5, padding=2), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(72, 3)
    return seeded(forward, *layers, dtype=dtype)


def profiles() -> nn.Module:
    """Two outputs: (2, length) and (1,)."""

    def forward(conv, out, x):
        x = torch.tanh(conv(x))
        return out(x), x.mean((1, 2))[:, None]

    return seeded(forward, nn.Conv1d(4, 5, 5, padding=2), nn.Conv1d(5, 2, 3, padding=1))


def one_hot(count: int = 2, dtype: str = "float32") -> np.ndarray:
    letters = np.random.default_rng(0).integers(4, size=(count, LENGTH))
    x = np.eye(4, dtype=dtype)[letters].transpose(0, 2, 1).copy()
    x[0, :, 2] = 0
    return x


def run(module: nn.Module, x: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        made = module(torch.tensor(x))
    return [y.numpy() for y in (made if isinstance(made, tuple) else (made,))]


X = one_hot()

"""What the tests of small torch architectures share: random weights, sequences, brute force."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from fastism import FastISM


def randomised(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """The module at inference with random weights under which everything has an effect."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for x in module.parameters():
            size = max(x[0].numel() if x.dim() > 1 else 4, 1)
            x.copy_(torch.randn(x.shape, generator=generator) * 1.2 / size**0.5)
    return module.eval()


def one_hot(length: int, count: int = 2, seed: int = 0) -> np.ndarray:
    """Random sequences, shape (count, 4, length)."""
    letters = np.random.default_rng(seed).integers(4, size=(count, length))
    return np.ascontiguousarray(np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1))


def ends_and_middle(length: int) -> list[int]:
    """Positions at both ends and in the middle."""
    middle = length // 2
    return sorted({0, 1, 2, middle, middle + 1, length - 2, length - 1})


def checked(
    module: torch.nn.Module, length: int, positions: Sequence[int] | None = None
) -> FastISM:
    """Fast ISM of `module` on (4, length), whose mutants are those of the module run in full."""
    x = one_hot(length)
    chosen = list(positions or ends_and_middle(length))
    ism = FastISM(module, input_shape=(4, length), test_correctness=False)
    made = ism.saturate(x, positions=chosen).mutants
    for column, position in enumerate(chosen):
        for character in range(4):
            changed = x.copy()
            changed[:, :, position] = np.eye(4)[character]
            with torch.no_grad():
                full = module(torch.tensor(changed)).numpy()
            got = made[:, character, column]
            np.testing.assert_allclose(got, full, rtol=1e-4, atol=2e-5 * np.abs(full).max())
    assert np.ptp(made, axis=(1, 2)).max() > 1e-5, "no effect to see"
    return ism

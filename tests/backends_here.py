"""The backends that tests run on."""

from __future__ import annotations

from typing import Any

import pytest

from fastism.backends import _CLASSES, available_backends, get_backend
from fastism.backends.base import Backend


def backends() -> list[Any]:
    """Every backend there is; those that are not installed are skipped, with the reason."""
    installed = available_backends()
    return [
        pytest.param(
            name,
            marks=[
                getattr(pytest.mark, name),
                pytest.mark.skipif(name not in installed, reason=f"{name} is not installed"),
            ],
        )
        for name in _CLASSES
    ]


#: What runs on PyTorch on a GPU, tested on the CPU.
UNIFORM_TORCH = "uniform torch"


def backends_and_variants() -> list[Any]:
    """`backends` and those that a backend gives on other devices."""
    missing = "torch" not in available_backends()
    marks = [pytest.mark.torch, pytest.mark.skipif(missing, reason="torch is not installed")]
    return [*backends(), pytest.param(UNIFORM_TORCH, marks=marks)]


def made_backend(name: str, dtype: str) -> Backend:
    """A backend by its name in `backends_and_variants`."""
    if name != UNIFORM_TORCH:
        return get_backend(name, dtype)
    from fastism.backends.torch_uniform import UniformTorchBackend

    return UniformTorchBackend(dtype, "cpu")

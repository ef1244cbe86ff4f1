"""Frameworks that can run a plan; each is imported only when it is asked for."""

from __future__ import annotations

import importlib
from importlib.util import find_spec

from fastism.backends.base import Backend
from fastism.errors import FastISMError, install

#: By name the module and what in it makes the backend.
_CLASSES = {
    "tensorflow": ("tensorflow", "TensorFlowBackend"),
    "torch": ("torch_uniform", "torch_backend"),
    "jax": ("jax", "JaxBackend"),
}
#: Names of all backends, whether their frameworks are installed or not.
NAMES = tuple(_CLASSES)


def available_backends() -> list[str]:
    """Names of the backends whose framework is installed."""
    return [name for name in _CLASSES if find_spec(name) is not None]


def get_backend(name: str, dtype: str, device: str | None = None) -> Backend:
    """The backend called `name`.

    Parameters
    ----------
    name : {"tensorflow", "torch", "jax"}
    dtype : {"float32", "float64"}
    device : str, optional
        Where a torch backend keeps its arrays; its own choice by default.

    Raises
    ------
    FastISMError
        If there is no such backend or its framework is not installed.
    """
    if name not in _CLASSES:
        raise FastISMError(f"Unknown backend {name!r}; expected one of {', '.join(_CLASSES)}.")
    if find_spec(name) is None:
        raise FastISMError(
            f"Backend {name!r} needs the package {name}, which is not installed. {install(name)}"
        )
    place, maker = _CLASSES[name]
    module = importlib.import_module(f"fastism.backends.{place}")
    options = {"device": device} if name == "torch" else {}
    return getattr(module, maker)(dtype, **options)

"""Whether Triton is there and can be used, and how its programs are compiled.

Requirements: torch; triton, where it is there, is imported by what launches programs only.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from functools import cache
from importlib import metadata
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec

import torch

#: Whether programs that are launched are compiled and do not run.
_only_compiles: ContextVar[bool] = ContextVar("_only_compiles", default=False)


@cache
def installed() -> bool:
    """Whether there is a Triton, which may be imported or not."""
    return find_spec("triton") is not None


def version() -> str:
    """Of Triton, whatever the package is called that brought it; "none" without one."""
    for name in ("triton", "pytorch-triton", "pytorch-triton-rocm"):
        with suppress(PackageNotFoundError):
            # Not by importing it: see `usable`.
            return metadata.version(name)
    return "unknown" if installed() else "none"


def interpreted() -> bool:
    """Whether programs run on a CPU, in Triton's interpreter."""
    return os.environ.get("TRITON_INTERPRET") == "1"


def usable(device: torch.device, dtype: str) -> bool:
    """Whether the kernels in Triton can run.

    TensorFlow and Triton each bring a copy of LLVM. Where TensorFlow was imported before, importing
    Triton would end the process, so that PyTorch's own operators run there.
    """
    there = device.type == "cuda" or (device.type == "cpu" and interpreted())
    return there and dtype == "float32" and _loadable()


def _loadable() -> bool:
    return installed() and not _is_deadly()


def _is_deadly() -> bool:
    """Whether importing Triton would end the process."""
    return sys.modules.get("triton") is None and "tensorflow" in sys.modules


def keep_out() -> None:
    """Make importing Triton an ImportError where it would end the process.

    PyTorch imports it in passing where it is installed, such as to export a module or in a
    dispatch mode, and does without it where it is not.
    """
    if installed() and _is_deadly():
        # What Python itself takes as "not to be found", in `find_spec` too.
        sys.modules["triton"] = None  # type: ignore[assignment]


@contextmanager
def compiled_together() -> Iterator[None]:
    """A context in which programs are compiled, all at the same time, and none is run.

    A program takes seconds to compile, and a dozen of them are compared for a layer. Where Triton
    cannot compile several at a time they are compiled one by one, when they are run.
    """
    mode = None
    if _loadable() and not interpreted():
        import triton

        mode = getattr(triton, "AsyncCompileMode", None)
    if mode is None:
        yield
        return
    token = _only_compiles.set(True)
    try:
        # What does not compile is compiled again when it is run, and then the error is told.
        with ThreadPoolExecutor(os.cpu_count()) as pool, suppress(Exception), mode(pool):
            yield
    finally:
        _only_compiles.reset(token)


def only_compiles() -> bool:
    """Whether a program that is launched now is to be compiled and not run."""
    return _only_compiles.get()

"""Folders that take long to make: the first process of pytest-xdist makes them for all."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], None]) -> Path:
    """A folder below that of the whole run, filled by `make` unless another process did so.

    Parameters
    ----------
    factory : TempPathFactory
    name : str
    make : callable
        Is given the empty folder to fill.
    """
    base = factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with (shared / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (shared / name).exists():
            # Half a folder never has the name: where making it fails, the next process tries.
            begun = factory.mktemp(name)
            make(begun)
            begun.rename(shared / name)
    return shared / name

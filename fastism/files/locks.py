"""One writer for one file: locks that end with the process that holds them.

Windows, and some file systems of clusters, have no such locks. There two processes that write one
file go unnoticed.

Requirements: none.
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import BinaryIO

from fastism.errors import FastISMError

try:
    import fcntl
except ImportError:
    fcntl = None

#: A process that only asks whether a file is locked holds the lock for an instant.
_TRIES, _PAUSE = 5, 0.05


def lock(handle: BinaryIO | int) -> bool | None:
    """Lock a file that is open for writing until it is closed.

    Parameters
    ----------
    handle : file or int
        The file, or its descriptor.

    Returns
    -------
    bool or None
        Whether it is locked now; None where there are no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def open_locked(path: Path, *, create: bool = False) -> BinaryIO:
    """A file opened for reading and writing, unbuffered, and locked where there are locks.

    Parameters
    ----------
    path : Path
    create : bool
        Make an empty file where there is none.

    Raises
    ------
    FastISMError
        If another process has it locked.
    OSError
        If it cannot be opened.
    """
    flags = os.O_RDWR | getattr(os, "O_BINARY", 0) | (os.O_CREAT if create else 0)
    for attempt in range(_TRIES):
        if attempt:
            time.sleep(_PAUSE)
        handle = os.fdopen(os.open(path, flags, 0o666), "r+b", buffering=0)
        # Between opening and locking, another process may have put a new file under the name.
        if lock(handle) is not False and names(path, handle):
            return handle
        handle.close()
    raise in_use(path)


def names(path: Path, handle: BinaryIO) -> bool:
    """Whether a path still names the file that was opened."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(handle.fileno()))
    except OSError:
        return False


def is_locked(path: Path) -> bool:
    """Whether another process writes the file at this moment."""
    try:
        with path.open("r+b") as handle:
            return lock(handle) is False
    except OSError:
        return False


def in_use(path: Path) -> FastISMError:
    """What to raise where another process writes a file."""
    return FastISMError(
        f"{path} is being written by another process. Wait until it has finished, or end it."
    )

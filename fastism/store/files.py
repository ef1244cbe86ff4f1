"""Files that appear under their name only when they are whole.

Requirements: none.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastism.errors import FastISMError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which takes the name once everything is written.

    Yields
    ------
    Path
        Where to write; a file or a folder. If the block raises, it is removed and `path` is as
        before.

    Raises
    ------
    FastISMError
        For a missing folder, a full disk and whatever else the operating system refuses.
    """
    # The extension stays the last: some formats are told by it.
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        _remove(beside)
        yield beside
        for file in beside.rglob("*") if beside.is_dir() else (beside,):
            sync(file)
        if path.is_dir() and not path.is_symlink():
            # A folder cannot be replaced in one step: a moment without it is what can be had.
            shutil.rmtree(path)
        os.replace(beside, path)
        sync(path.parent)
    except OSError as error:
        raise unwritable(path, error) from error
    finally:
        _remove(beside)


def unwritable(path: Path, error: OSError) -> FastISMError:
    """What to raise where the operating system refuses to write."""
    return FastISMError(
        f"{path} cannot be written ({error.strerror or error}). Free space or choose another place."
    )


def sync(path: Path) -> None:
    """See a file, or the names in a folder, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError):
            path.unlink()

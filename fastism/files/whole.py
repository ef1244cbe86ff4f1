"""Files that appear under their name only when they are whole.

What is being written lies in a hidden folder beside the file. The folder holds a lock, which ends
with the process that took it: so what a killed process left behind is told from what another one
is writing at this moment, and the next run removes it.

Requirements: none.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from fastism.errors import FastISMError
from fastism.files.locks import lock

#: How hidden folders end: while they have no lock yet, and from then on.
_NEW, _HELD = ".new-fastism", ".fastism"
#: Seconds after which a folder without a lock belongs to nobody any more.
_AGE = 3600.0


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, which takes the name once everything is written.

    Yields
    ------
    Path
        Where to write; a file or a folder, called as `path` is. If the block raises, it is removed
        and `path` is as before.

    Raises
    ------
    FastISMError
        For a missing folder, a full disk and whatever else the operating system refuses.
    """
    try:
        with folder_beside(path) as folder:
            beside = folder / path.name
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


@contextmanager
def folder_beside(path: Path) -> Iterator[Path]:
    """A hidden folder on the disk of `path`, which is removed when the block ends.

    Folders for the same path that killed processes left are removed first.

    Raises
    ------
    OSError
        If it cannot be made.
    """
    remove_left(path)
    new = Path(tempfile.mkdtemp(prefix=_prefix(path), suffix=_NEW, dir=path.parent))
    folder = new
    try:
        with (new / "lock").open("wb") as held:
            lock(held)
            # Only from here on may others ask for the lock.
            folder = new.with_name(new.name.removesuffix(_NEW) + _HELD)
            new.rename(folder)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_left(path: Path) -> None:
    """Remove the hidden folders beside `path` whose processes are gone."""
    with suppress(OSError):
        for entry in list(os.scandir(path.parent)):
            if not (entry.name.startswith(_prefix(path)) and entry.is_dir(follow_symlinks=False)):
                continue
            if entry.name.endswith(_NEW):
                abandoned = time.time() - entry.stat().st_mtime > _AGE
            else:
                abandoned = entry.name.endswith(_HELD) and not _in_use(Path(entry.path))
            if abandoned:
                shutil.rmtree(entry.path, ignore_errors=True)


def _in_use(folder: Path) -> bool:
    """Whether a process holds the lock of a folder, or that cannot be known."""
    try:
        with (folder / "lock").open("r+b") as held:
            return lock(held) is not True
    except OSError:
        return True


def _prefix(path: Path) -> str:
    # Names of files may be as long as 255 bytes in all.
    return f".{path.name[:60]}."


def unwritable(path: Path, error: OSError) -> FastISMError:
    """What to raise where the operating system refuses to write."""
    if isinstance(error, FileNotFoundError):
        # As /proc does for new files, whoever asks.
        return FastISMError(
            f"{path} cannot be written: the folder {path.parent} does not exist, or takes no new "
            "files. Choose another place."
        )
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

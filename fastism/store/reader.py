"""Reading a store of scores: HDF5, Zarr, or one in the making.

Requirements: numpy; h5py or zarr where a file is of their format.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from fastism.errors import FastISMError, install
from fastism.store import journal
from fastism.store.arrays import Arrays, HDF5Arrays, reading
from fastism.store.schema import Header
from fastism.store.scores import Scores
from fastism.store.tree import Tree

HDF5_MAGIC = b"\x89HDF\r\n\x1a\n"


class Store(Scores):
    """A store of scores, opened for reading.

    Parameters
    ----------
    path : str or Path
        An HDF5 file, a Zarr folder, or the unfinished file of an interrupted run.
    allow_incomplete : bool
        Also open a store that is not finished: it holds what was scored so far.

    Raises
    ------
    FastISMError
        If it is missing, unreadable, truncated, not a store, of another version, or unfinished.

    Examples
    --------
        with Store("scores.h5") as store:
            row = store.find("chr2L:3000-5000")
            effects = store.deltas(0, slice(row, row + 1))
    """

    def __init__(self, path: str | Path, *, allow_incomplete: bool = False) -> None:
        self._set(Path(path), _opened(Path(path)))
        try:
            if not (self.complete or allow_incomplete):
                raise FastISMError(
                    f"{path} is not finished: {self.consumed} of {self.header.expected} records "
                    "are done. Run the same command with --resume."
                )
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, path: Path, file: journal.Journal | Tree) -> Store:
        """What an open file holds, complete or not; the file stays the caller's to close."""
        made = cls.__new__(cls)
        made._set(path, file)
        return made

    def _set(self, path: Path, file: journal.Journal | Tree) -> None:
        self.path, self._file = path, file
        self.header: Header = file.header
        self.complete: bool = file.complete
        self.consumed: int = file.consumed

    def column(self, name: str) -> list[Any]:
        """See `Scores.column`."""
        with reading(self.path, name):
            return self._file.column(name)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Records of the input that were not scored: name and reason."""
        with reading(self.path, "skipped"):
            return self._file.skipped()

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """See `Scores.read`."""
        with reading(self.path, f"rows {start} to {stop} of {name}"):
            return self._file.read(name, start, stop)

    def __len__(self) -> int:
        return self._file.rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _opened(path: Path) -> journal.Journal | Tree:
    """Open a store by what the file holds, not by its name."""
    if path.is_dir():
        return _opened_zarr(path)
    try:
        with path.open("rb") as handle:
            magic = handle.read(8)
    except FileNotFoundError:
        raise FastISMError(
            f"There is no file {path}. Expected a file of scores; check the path."
        ) from None
    except OSError as error:
        raise FastISMError(f"{path} cannot be read ({error.strerror}).") from error
    if magic == journal.MAGIC:
        return journal.Journal(path)
    if magic == HDF5_MAGIC:
        return _opened_hdf5(path)
    raise FastISMError(
        f"{path} is no file of scores. Expected HDF5 or Zarr as `fastism score` writes it; tables "
        "and tracks are made from such a file, not read."
    )


def _opened_hdf5(path: Path) -> Tree:
    import h5py

    try:
        root = h5py.File(path, "r", locking=False)
    except (OSError, RuntimeError) as error:
        raise FastISMError(
            f"{path} is truncated or damaged HDF5 ({error}). Copy it again, or score again."
        ) from error
    try:
        return Tree(path, HDF5Arrays(path, root))
    except BaseException:
        root.close()
        raise


def _opened_zarr(path: Path) -> Tree:
    if not ((path / ".zgroup").exists() or (path / "zarr.json").exists()):
        raise FastISMError(f"{path} is a folder, and no Zarr store. Expected a file of scores.")
    try:
        import zarr
    except ImportError:
        raise FastISMError(
            f"{path} is a Zarr store; reading it needs the package zarr. {install('cli')}"
        ) from None
    with reading(path, "the root"):
        return Tree(path, Arrays(path, zarr.open_group(path, mode="r")))

"""A file of scores as a tree of arrays with attributes, none of which is taken on trust.

A file that came from elsewhere may hold anything: groups where arrays should be, links that lead in
circles or to other files of the machine, arrays whose values lie in another file, sizes that no
memory holds. All of that is told as damage.

Requirements: numpy. Files and groups come from h5py or zarr.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from fastism.errors import FastISMError

#: What the libraries raise for files that are not as they were written.
_DAMAGE = (
    *(OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, IndexError),
    *(RuntimeError, ArithmeticError, MemoryError, NotImplementedError, struct.error, zlib.error),
)
#: No chunk that this program writes has more bytes (columns of Zarr are one chunk each).
MOST_CHUNK_BYTES = 1 << 30


def damaged(path: Path, what: str) -> FastISMError:
    """What to raise for a file that is not as it was written."""
    return FastISMError(f"{path} is damaged: {what}. Score again, or copy it again.")


@contextmanager
def reading(path: Path, what: str) -> Iterator[None]:
    """Whatever a library raises in here is told as damage of the file."""
    try:
        yield
    except FastISMError:
        raise
    except _DAMAGE as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise damaged(path, f"{what} cannot be read ({said.rstrip('.')})") from error


class Arrays:
    """A Zarr folder.

    Parameters
    ----------
    path : Path
        For messages.
    root : zarr.Group
    """

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self._root = path, root

    def attributes(self, name: str) -> Mapping[str, Any]:
        """Attributes of a group; the root has an empty name."""
        return dict(self._group(name).attrs)

    def get(self, name: str) -> Any:
        """An array that can be read: numbers or text of fixed width in chunks of a sane size."""
        array = self._array(name)
        chunks = array.chunks or array.shape
        size = array.dtype.itemsize
        for length in chunks:
            size *= max(int(length), 1)
        if array.dtype.kind not in "iufS" or not array.shape or size > MOST_CHUNK_BYTES:
            raise damaged(
                self.path,
                f"{name} is of type {array.dtype} and shape {array.shape}, in chunks of {chunks}",
            )
        return array

    def numbers(self, name: str, count: int) -> np.ndarray:
        """A one-dimensional array of `count` whole numbers."""
        array = self.get(name)
        if array.dtype != np.int64 or array.shape != (count,):
            raise damaged(self.path, f"{name} has shape {array.shape} and type {array.dtype}")
        return np.asarray(array[:])

    def texts(self, name: str, count: int | None = None) -> list[str]:
        """A one-dimensional array of UTF-8 bytes of fixed width as strings."""
        return [x.decode() for x in np.asarray(self.check_texts(name, count)[:]).tolist()]

    def check_texts(self, name: str, count: int | None = None) -> Any:
        """An array of text, not read yet."""
        array = self.get(name)
        if array.dtype.kind != "S" or array.ndim != 1 or count not in (None, array.shape[0]):
            raise damaged(self.path, f"{name} has shape {array.shape} and type {array.dtype}")
        return array

    def close(self) -> None:
        """Nothing is open."""

    def _group(self, name: str) -> Any:
        found = self._root[name] if name else self._root
        if hasattr(found, "shape"):
            raise damaged(self.path, f"{name} is an array, not a group")
        return found

    def _array(self, name: str) -> Any:
        found = self._root[name]
        if not hasattr(found, "shape"):
            raise damaged(self.path, f"{name} is a group, not an array")
        return found


class HDF5Arrays(Arrays):
    """An HDF5 file; nothing outside of it is ever opened.

    Parameters
    ----------
    path : Path
        For messages.
    root : h5py.File
    """

    def close(self) -> None:
        """Close the file."""
        self._root.close()

    def _group(self, name: str) -> Any:
        import h5py

        found = self._found(name)
        if not isinstance(found, h5py.Group):
            raise damaged(self.path, f"{name} is no group")
        return found

    def _array(self, name: str) -> Any:
        import h5py

        found = self._found(name)
        if not isinstance(found, h5py.Dataset):
            raise damaged(self.path, f"{name} is no array")
        if found.external or found.is_virtual:
            raise damaged(self.path, f"the values of {name} lie in another file")
        return found

    def _found(self, name: str) -> Any:
        """What has this name, if no link that leads elsewhere stands on the way."""
        import h5py

        found = self._root
        for part in name.split("/") if name else ():
            if not isinstance(found, h5py.Group) or part not in found:
                link = isinstance(found, h5py.Group) and found.get(part, getlink=True)
                if not link:
                    raise damaged(self.path, f"{name} is missing")
            if not isinstance(found.get(part, getlink=True), h5py.HardLink):
                raise damaged(self.path, f"{name} is a link to somewhere else")
            found = found[part]
        return found

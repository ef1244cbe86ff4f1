"""Reading a store of scores: HDF5, Zarr, or one in the making.

Requirements: numpy; h5py or zarr where a file is of their format.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from fastism.errors import FastISMError
from fastism.store import journal
from fastism.store.layout import FORMAT, FORMAT_VERSION, Header, array_types
from fastism.store.scores import Scores

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
    ::

        with Store("scores.h5") as store:
            row = store.find("chr2L:3000-5000")
            effects = store.deltas(0, slice(row, row + 1))
    """

    def __init__(self, path: str | Path, *, allow_incomplete: bool = False) -> None:
        self.path = Path(path)
        self._file = _opened(self.path)
        try:
            self.header: Header = self._file.header
            self.complete: bool = self._file.complete
            self.consumed: int = self._file.consumed
            if not (self.complete or allow_incomplete):
                raise FastISMError(
                    f"{path} is not finished: {self.consumed} of {self.header.expected} records "
                    "are done. Run the same command with --resume."
                )
        except BaseException:
            self.close()
            raise

    def column(self, name: str) -> list[Any]:
        """See `Scores.column`."""
        return self._file.column(name)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Records of the input that were not scored: name and reason."""
        return self._file.skipped()

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """See `Scores.read`."""
        try:
            return self._file.read(name, start, stop)
        except OSError as error:
            raise FastISMError(
                f"{self.path} is damaged: rows {start} to {stop} of {name} cannot be read "
                f"({error}). Score again, or copy it again."
            ) from error

    def __len__(self) -> int:
        return self._file.rows

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class _Unfinished(journal.Journal):
    """A journal, which is never complete."""

    complete = False


class _Tree:
    """An HDF5 file or Zarr folder: a tree of arrays with attributes.

    Parameters
    ----------
    path : Path
    root : h5py.File or zarr.Group
    """

    def __init__(self, path: Path, root: Any) -> None:
        self.path, self._root = path, root
        attributes = dict(root.attrs)
        if attributes.get("format") != FORMAT:
            raise FastISMError(
                f"{path} holds no scores of this program. Expected a file that `fastism score` "
                "wrote."
            )
        if int(attributes["format_version"]) != FORMAT_VERSION:
            raise FastISMError(
                f"{path} has version {attributes['format_version']} of the format of scores; this "
                f"program reads version {FORMAT_VERSION}. Use a fitting version of fastism-suite."
            )
        try:
            self.header = read_header(root)
            self.complete = bool(attributes["complete"])
            self.consumed = int(attributes["consumed"])
            self.rows = int(root["names"].shape[0])
            for name, (_, shape) in array_types(self.header).items():
                if root[name].shape != (self.rows, *shape):
                    raise KeyError(f"{name} of shape {root[name].shape}")
        except KeyError as error:
            raise FastISMError(f"{path} is damaged: unexpected or missing {error}.") from error

    def column(self, name: str) -> list[Any]:
        if name in ("start", "end"):
            return np.asarray(self._root[name][:]).tolist()
        return texts(self._root[name])

    def skipped(self) -> list[tuple[str, str]]:
        names, reasons = texts(self._root["skipped/names"]), texts(self._root["skipped/reasons"])
        return list(zip(names, reasons, strict=True))

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        return np.asarray(self._root[name][start:stop])

    def close(self) -> None:
        close = getattr(self._root, "close", None)
        if close is not None:
            close()


def texts(array: Any) -> list[str]:
    """An array of UTF-8 bytes of fixed width as strings."""
    return [x.decode() for x in np.asarray(array[:]).astype(bytes).tolist()]


def read_header(root: Any) -> Header:
    """The header in the attributes of a tree of arrays."""
    values: dict[str, Any] = {}
    for name in Header.__dataclass_fields__:
        if name in ("outputs", "chrom_sizes"):
            continue
        value = root.attrs[name]
        values[name] = value.tolist() if isinstance(value, np.generic | np.ndarray) else value
    values["versions"] = json.loads(values["versions"])
    sizes = root["chrom_sizes"]
    values["chrom_sizes"] = dict(
        zip(texts(sizes["names"]), np.asarray(sizes["sizes"][:]).tolist(), strict=True)
    )
    values["outputs"] = [
        {
            "name": str(group.attrs["name"]),
            "shape": json.loads(group.attrs["shape"]),
            "labels": texts(group["labels"]),
        }
        for group in (root[f"outputs/{i}"] for i in range(int(root.attrs["num_outputs"])))
    ]
    return Header.from_json(json.dumps(values))


def header_attributes(header: Header) -> Mapping[str, Any]:
    """The attributes of the root of a finished store, in the order they are written in."""
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "complete": True,
        "consumed": header.expected,
        "alphabet": header.alphabet,
        "length": header.length,
        "positions": list(header.positions),
        "content": header.content,
        "dtype": header.dtype,
        "num_outputs": len(header.outputs),
        "expected": header.expected,
        "model": header.model,
        "model_hash": header.model_hash,
        "input": header.input,
        "input_hash": header.input_hash,
        "command": header.command,
        "versions": json.dumps(dict(header.versions), sort_keys=True),
        "batch": header.batch,
        "shard": list(header.shard),
    }


def _opened(path: Path) -> _Unfinished | _Tree:
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
        return _Unfinished(path)
    if magic == HDF5_MAGIC:
        return _opened_hdf5(path)
    raise FastISMError(
        f"{path} is no file of scores. Expected HDF5 or Zarr as `fastism score` writes it; tables "
        "and tracks are made from such a file, not read."
    )


def _opened_hdf5(path: Path) -> _Tree:
    import h5py

    try:
        root = h5py.File(path, "r", locking=False)
    except OSError as error:
        raise FastISMError(
            f"{path} is truncated or damaged HDF5 ({error}). Copy it again, or score again."
        ) from error
    try:
        return _Tree(path, root)
    except BaseException:
        root.close()
        raise


def _opened_zarr(path: Path) -> _Tree:
    if not ((path / ".zgroup").exists() or (path / "zarr.json").exists()):
        raise FastISMError(f"{path} is a folder, and no Zarr store. Expected a file of scores.")
    try:
        import zarr
    except ImportError:
        raise FastISMError(
            f"{path} is a Zarr store; reading it needs the package zarr: pip install "
            "'fastism-suite[cli]'."
        ) from None
    return _Tree(path, zarr.open_group(path, mode="r"))

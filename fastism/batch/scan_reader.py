"""HDF5 files of scans, read again.

Requirements: numpy, h5py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastism.batch.scan_files import FORMAT, LAYOUT
from fastism.errors import FastISMError

if TYPE_CHECKING:
    import h5py


@dataclass(frozen=True)
class ScanOutput:
    """An output of the model, as a scan keeps it.

    Parameters
    ----------
    name : str
    shape : tuple of int
    """

    name: str
    shape: tuple[int, ...]


class ScanFile:
    """A file of `fastism scan`, open for reading; a context manager.

    Parameters
    ----------
    path : Path

    Attributes
    ----------
    names, changes : list of str
        Of sequences, and of what was done at every position.
    positions : ndarray of int, shape (P,)
        Of the sequences, 0-based.
    outputs : tuple of ScanOutput
    about : dict of str to str
        How the scan was made, as `ScanHeader` has it.

    Raises
    ------
    FastISMError
        If it is none, or cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        import h5py

        self.path = path
        try:
            self._root = h5py.File(path, "r")
        except OSError as error:
            raise FastISMError(f"{path} cannot be opened as a file of a scan ({error}).") from error
        try:
            self._read()
        except (KeyError, ValueError) as error:
            self._root.close()
            raise FastISMError(f"{path} is damaged, or no file of a scan ({error}).") from error

    def _read(self) -> None:
        if self._root.attrs.get("format") != FORMAT:
            raise ValueError(f"its format is {self._root.attrs.get('format')!r}")
        attributes = self._root.attrs.items()
        self.about = {key: str(value) for key, value in attributes if key not in LAYOUT}
        self.names = _texts(self._root["names"])
        self.changes = _texts(self._root["changes"]) if self.names else []
        self.positions = self._root["positions"][:] if self.names else np.empty(0, np.int64)
        deltas = {name: self._root[name]["delta"] for name in self._groups()}
        self.outputs = tuple(ScanOutput(n, tuple(d.shape[3:])) for n, d in deltas.items())

    def _groups(self) -> list[str]:
        """Names of outputs; files of early versions do not list them."""
        import h5py

        if not self.names:
            return []
        if (listed := self._root.attrs.get("outputs")) is not None:
            return list(json.loads(listed))
        return [name for name, each in self._root.items() if isinstance(each, h5py.Group)]

    def __enter__(self) -> ScanFile:
        return self

    def __exit__(self, *error: object) -> None:
        self._root.close()

    def interval(self, number: int) -> tuple[str, int, int, str]:
        """Chromosome (empty where it is not known), start, end and strand of a sequence."""
        chrom, strand = (self._root[column].asstr()[number] for column in ("chrom", "strand"))
        start = int(self._root["start"][number])
        return chrom, start, start + self.length(number), strand

    def length(self, number: int) -> int:
        """Letters of a sequence."""
        return len(self._root["sequences"].asstr()[number])

    def deltas(self, output: int, number: int) -> np.ndarray:
        """Effects on an output, shape (changes, positions, *output)."""
        return self._root[self.outputs[output].name]["delta"][number]


def _texts(data: h5py.Dataset) -> list[str]:
    return list(data.asstr()[:])

"""Files of scans: a table of effects, or an HDF5 file of arrays.

Axes of an HDF5 file: N sequences, H changes, P positions, ``*shape`` of an output.

=====================  =====================  =====================================================
name                   type, shape            meaning
=====================  =====================  =====================================================
``names``              text (N,)              as the input calls the sequences
``chrom``              text (N,)              chromosome; empty without a genomic interval
``start``              int64 (N,)             0-based start of the interval; -1 without one
``strand``             text (N,)              ``+``, ``-`` or ``.``
``sequences``          text (N,)              as the model saw it: reverse complement for -
``changes``            text (H,)              ``-3`` for a deletion of three letters, ``+WORD`` for
                                              an insertion
``positions``          int64 (P,)             0-based, in ``sequences``
``OUTPUT/reference``   float32 (N, *shape)    the output of that name for the sequence as it is
``OUTPUT/delta``       float32                mutant minus reference
                       (N, H, P, *shape)
=====================  =====================  =====================================================

Attributes of the root: ``format``, ``format_version``, ``outputs`` (names of the groups, as JSON),
and how the scan was made: ``made_by``, ``model``, ``model_hash``, ``input``, ``input_hash``,
``fill``, ``anchor``.

Requirements: numpy, h5py.
"""

from __future__ import annotations

import gzip
import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from fastism.calls.result import Outputs
from fastism.errors import FastISMError
from fastism.files.whole import whole_file
from fastism.genomics.regions import Region
from fastism.scans.result import Scan
from fastism.store.surviving import SurvivingFile, new_hdf5

if TYPE_CHECKING:
    import h5py

#: Of HDF5 files, in the attribute ``format``.
FORMAT = "fastism scan"
#: Attributes of HDF5 files that say how they are laid out; all others say how they were made.
LAYOUT = ("format", "format_version", "outputs")
TABLES, ARRAYS = (".tsv", ".tsv.gz"), (".h5", ".hdf5")
FORMATS = (*TABLES, *ARRAYS)
#: Columns of a table before those of the effects.
COLUMNS = ("name", "chrom", "position", "strand", "change")


@dataclass(frozen=True)
class ScanHeader:
    """What all sequences of a scan have in common.

    Parameters
    ----------
    sequences : int
        How many there are at most.
    length : int
    labels : sequence of str
        Of the values of all outputs, for the columns of a table.
    outputs : sequence of str
        Names of the outputs that are kept.
    about : dict of str to str
        How the scan was made: program, model, input, their hashes, and settings.
    """

    sequences: int
    length: int
    labels: Sequence[str]
    outputs: Sequence[str]
    about: dict[str, str]


class ScanWriter(ABC):
    """Takes the scans of one sequence after the other."""

    @abstractmethod
    def write(self, region: Region, scan: Scan) -> None:
        """Add the scan of one sequence."""


def format_of(path: Path) -> str:
    """The ending of a file that names its format.

    Raises
    ------
    FastISMError
        If there is none, listing those that there are.
    """
    for ending in FORMATS:
        if path.name.lower().endswith(ending):
            return ending
    raise FastISMError(
        f"The ending of {path} names no format for scans; expected {', '.join(FORMATS)}."
    )


@contextmanager
def scan_writer(path: Path, header: ScanHeader) -> Iterator[ScanWriter]:
    """A writer of the format that the ending of `path` names; the file appears when it is whole.

    A table has a line for every sequence, change and position: name, chromosome and strand
    (``.`` without a genome), the 0-based position (in the genome where it is known, else in the
    sequence), the change (``-3`` for a deletion of three letters, ``+WORD`` for an insertion), and
    the effect on every value, mutant minus reference.

    The layout of an HDF5 file is described above.
    """
    with whole_file(path) as beside:
        if format_of(path) in ARRAYS:
            with new_hdf5(beside) as (root, file):
                writer = _ArrayWriter(root, header, file)
                yield writer
                writer.cut()
        else:
            packed = format_of(path).endswith(".gz")
            with gzip.open(beside, "wt") if packed else beside.open("w") as file:
                yield _TableWriter(file, header)


def _listed(x: Outputs) -> list[np.ndarray]:
    return x if isinstance(x, list) else [x]


def _changes(scan: Scan) -> list[str]:
    return [name if name.startswith("-") else f"+{name}" for name in scan.names]


class _TableWriter(ScanWriter):
    def __init__(self, file: IO[str], header: ScanHeader) -> None:
        self._file = file
        names = [f"effect_{label}" if label else "effect" for label in header.labels]
        file.write("\t".join((*COLUMNS, *names)) + "\n")

    def write(self, region: Region, scan: Scan) -> None:
        """One line for every change at every position."""
        arrays = _listed(scan.delta())
        rows = [y[0].reshape(*y.shape[1:3], -1) for y in arrays]
        values = np.concatenate(rows, -1)
        for change, name in enumerate(_changes(scan)):
            for place, position in enumerate(scan.positions):
                fields = (*_placed(region, int(position)), name)
                numbers = (f"{v:.6g}" for v in values[change, place])
                self._file.write("\t".join((*fields, *numbers)) + "\n")


def _placed(region: Region, position: int) -> tuple[str, str, str, str]:
    """Columns that say where a position is: in the genome where that is known."""
    if not region.chrom:
        return region.name, ".", str(position), "."
    reverse = region.strand == "-"
    there = region.end - 1 - position if reverse else region.start + position
    return region.name, region.chrom, str(there), region.strand


class _ArrayWriter(ScanWriter):
    def __init__(self, file: h5py.File, header: ScanHeader, below: SurvivingFile) -> None:
        self._file, self._header, self._below, self._row = file, header, below, 0
        import h5py

        file.attrs.update({"format": FORMAT, "format_version": 1, **header.about})
        file.attrs["outputs"] = json.dumps(list(header.outputs))
        text = h5py.string_dtype()
        for name in ("names", "chrom", "strand", "sequences"):
            self._room(file, name, (), text)
        self._room(file, "start", (), np.int64)

    def _room(
        self, group: h5py.Group, name: str, shape: tuple[int, ...], dtype: Any, **how: Any
    ) -> None:
        """An array with a row for every sequence, of which some may turn out not to be needed."""
        shape = (self._header.sequences, *shape)
        group.create_dataset(name, shape, dtype, maxshape=shape, **{"chunks": True, **how})

    def write(self, region: Region, scan: Scan) -> None:
        """One row of every array."""
        if self._row == 0:
            self._create(scan)
        given: dict[str, Any] = {
            "names": region.name,
            "chrom": region.chrom,
            "strand": region.strand,
            "sequences": region.sequence,
            "start": region.start,
        }
        for name, value in given.items():
            self._file[name][self._row] = value
        for name, reference, delta in self._arrays(scan):
            self._file[name]["reference"][self._row] = reference[0]
            self._file[name]["delta"][self._row] = delta[0]
        self._row += 1
        self._below.check()

    def cut(self) -> None:
        """Take away the rows of sequences that were not written."""
        arrays: list[h5py.Dataset] = []
        per_sequence = ("names", "chrom", "strand", "sequences", "start", "reference", "delta")

        def found(name: str, each: h5py.Dataset) -> None:
            if name.rpartition("/")[2] in per_sequence and hasattr(each, "shape"):
                arrays.append(each)

        if self._row < self._header.sequences:
            self._file.visititems(found)
            for each in arrays:
                each.resize(self._row, axis=0)

    def _arrays(self, scan: Scan) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        yield from zip(
            self._header.outputs, _listed(scan.reference), _listed(scan.delta()), strict=True
        )

    def _create(self, scan: Scan) -> None:
        import h5py

        self._file.create_dataset("changes", data=_changes(scan), dtype=h5py.string_dtype())
        self._file.create_dataset("positions", data=scan.positions)
        for name, reference, delta in self._arrays(scan):
            group = self._file.create_group(name)
            self._room(group, "reference", reference.shape[1:], np.float32)
            self._room(
                group,
                "delta",
                delta.shape[1:],
                np.float32,
                chunks=(1, *delta.shape[1:]),
                compression="gzip",
                compression_opts=1,
                shuffle=True,
            )

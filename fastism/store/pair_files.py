"""Pairs of many sequences in one HDF5 file, written block by block.

Everything is laid out when the file is made; from then on only numbers are written, so that a
process that is killed leaves a file that can be read, and that says how far it came.

Requirements: h5py.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastism.errors import FastISMError
from fastism.files.locks import open_locked
from fastism.files.whole import unwritable
from fastism.genomics.regions import Region, Skipped
from fastism.pairs.result import PairRows
from fastism.store.surviving import SurvivingFile, written_through

if TYPE_CHECKING:
    import h5py

# The command line imports this file before it knows which command is wanted; h5py takes a while, so
# that it is imported where a file is opened.
FORMAT, VERSION = "fastism pairs", 1


@dataclass(frozen=True)
class PairOutput:
    """One output of the model, as it is kept.

    Parameters
    ----------
    name : str
    shape : tuple of int
        After entries were chosen and reduced.
    """

    name: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class PairHeader:
    """What a file of pairs holds, and what it was made from.

    Parameters
    ----------
    alphabet : str
    length : int
        Of all sequences.
    positions : (int, int)
        Half-open.
    content : {"epistasis", "dependency"}
        Whether epistasis of all alternatives is kept, or only the largest of every two positions.
    outputs : tuple of PairOutput
    model, model_hash, input, input_hash, command : str
    versions : dict of str to str
    """

    alphabet: str
    length: int
    positions: tuple[int, int]
    content: str
    outputs: tuple[PairOutput, ...]
    model: str
    model_hash: str
    input: str
    input_hash: str
    command: str
    versions: Mapping[str, str]

    @property
    def rows(self) -> int:
        """How many positions there are."""
        return self.positions[1] - self.positions[0]

    def json(self) -> str:
        """As text."""
        return json.dumps(asdict(self))

    @classmethod
    def read(cls, text: str) -> PairHeader:
        """From text."""
        given = json.loads(text)
        outputs = tuple(PairOutput(o["name"], tuple(o["shape"])) for o in given["outputs"])
        return cls(**{**given, "positions": tuple(given["positions"]), "outputs": outputs})

    def difference(self, other: PairHeader) -> str:
        """The first field that differs, with both values; empty if they would hold the same."""
        for field in fields(self):
            mine, theirs = getattr(self, field.name), getattr(other, field.name)
            if mine != theirs and field.name != "versions":
                return f"{field.name} was {mine!r} and is {theirs!r}"
        return ""


class PairFile:
    """A file of pairs, open for reading; a context manager.

    Parameters
    ----------
    path : Path

    Raises
    ------
    FastISMError
        If it is none, cannot be opened, or another process writes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._root = self._opened()
        except OSError as error:
            raise FastISMError(
                f"{path} cannot be opened as a file of pairs ({error}). Is it one, and does no "
                "other run write it?"
            ) from error
        if self._root.attrs.get("format") != FORMAT or self._root.attrs.get("version") != VERSION:
            self.close()
            raise FastISMError(f"{path} is no file of pairs of version {VERSION}.")
        self.header = PairHeader.read(self._root.attrs["header"])

    def _opened(self) -> h5py.File:
        import h5py

        return h5py.File(self.path, "r")

    def __enter__(self) -> PairFile:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close it."""
        self._root.close()

    @property
    def names(self) -> list[str]:
        """Of all sequences."""
        return [name.decode() for name in self._root["names"][:]]

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Names and reasons of sequences that were left out."""
        reasons = [reason.decode() for reason in self._root["skipped"][:]]
        return [(n, r) for n, r in zip(self.names, reasons, strict=True) if r]

    @property
    def done(self) -> np.ndarray:
        """Rows that are finished of every sequence, shape (sequences,)."""
        return self._root["done"][:]

    def find(self, name: str) -> int:
        """Number of a sequence by its name or the first word of it.

        Raises
        ------
        FastISMError
            If there is none of that name, or it was skipped.
        """
        names = self.names
        found = [i for i, each in enumerate(names) if name in (each, each.split(maxsplit=1)[0])]
        if not found:
            few = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
            raise FastISMError(f"{self.path} has no sequence {name!r}; it has {few}.")
        if reason := self._root["skipped"][found[0]].decode():
            raise FastISMError(f"{name!r} was skipped: {reason}.")
        return found[0]

    def letters(self, number: int) -> str:
        """The sequence itself."""
        return self._root["letters"][number].decode()

    def array(self, name: str, output: int, number: int) -> np.ndarray:
        """``reference``, ``singles``, ``dependency`` or ``epistasis`` of one sequence.

        Returns
        -------
        ndarray, shape (*output), (P, C, *output), (P, P, *output) or (P, C, P, C, *output)
        """
        return self._root[f"outputs/{output}/{name}"][number]


class PairWriter(PairFile):
    """A file of pairs that is being filled.

    Parameters
    ----------
    path : Path
        From `create`.
    """

    def _opened(self) -> h5py.File:
        """The file for writing, locked."""
        import h5py

        self._file = SurvivingFile(open_locked(self.path))
        try:
            return h5py.File(self._file, "r+")
        except OSError:
            self._file.close()
            raise

    def close(self) -> None:
        """Close it."""
        super().close()
        self._file.close()

    @classmethod
    def create(
        cls, path: Path, header: PairHeader, records: Sequence[Region | Skipped]
    ) -> PairWriter:
        """Lay out a new file.

        Parameters
        ----------
        path : Path
            Replaced where it exists.
        header : PairHeader
        records : sequence of Region or Skipped
            All that it will hold, in order.

        Raises
        ------
        FastISMError
            If another process writes it, or there is no room for all of it; then nothing is left.
        """
        with _writing(path), SurvivingFile(open_locked(path, create=True)) as file:
            try:
                file.truncate(0)
                with written_through(file, "w", libver="earliest") as root:
                    _lay_out(root, header, records, file)
            except BaseException:
                path.unlink()
                raise
        return cls(path)

    @classmethod
    def resume(cls, path: Path, header: PairHeader) -> PairWriter:
        """Open an unfinished file, if it is one of the same run.

        Raises
        ------
        FastISMError
            If it was made from something else.
        """
        made = cls(path)
        if difference := made.header.difference(header):
            made.close()
            raise FastISMError(
                f"{path} was begun with something else: {difference}. Give --force in place of "
                "--resume to begin anew."
            )
        return made

    def append(self, number: int, block: PairRows) -> None:
        """Add some rows of a sequence; they count once they are on disk.

        Raises
        ------
        FastISMError
            If the system refuses to write.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            epistasis = block.epistasis()
        with _writing(self.path):
            for index, made in enumerate(epistasis):
                self._write(number, index, block, made)
            self._flush()
            self._root["done"][number] = block.last
            self._flush()

    def skip(self, number: int, reason: str) -> None:
        """Leave a sequence out; what was written of it does not count.

        Raises
        ------
        FastISMError
            If the system refuses to write.
        """
        with _writing(self.path):
            self._root["skipped"][number] = reason
            self._flush()
            self._root["done"][number] = self.header.rows
            self._flush()

    def _flush(self) -> None:
        """See onto the disk what was written; OSError if that failed."""
        self._root.flush()
        self._file.check()

    def _write(self, number: int, index: int, block: PairRows, epistasis: np.ndarray) -> None:
        """Rows of one output, and the same with both edits exchanged."""
        group, first, last = self._root[f"outputs/{index}"], block.first, block.last
        if not first:
            group["reference"][number] = block.reference[index]
            group["singles"][number] = block.singles[index]
        largest = np.abs(epistasis).max((1, 3))
        group["dependency"][number, first:last, first:] = largest
        group["dependency"][number, first:, first:last] = largest.swapaxes(0, 1)
        if "epistasis" in group:
            turned = epistasis.transpose(2, 3, 0, 1, *range(4, epistasis.ndim))
            group["epistasis"][number, first:last, :, first:] = epistasis
            group["epistasis"][number, first:, :, first:last] = turned


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """What the system refuses, such as a full disk, as an error of the library."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def _lay_out(
    root: h5py.File, header: PairHeader, records: Sequence[Region | Skipped], file: SurvivingFile
) -> None:
    """Write all that is known before the first pair, and take the room of all arrays."""
    import h5py

    root.attrs.update(format=FORMAT, version=VERSION, header=header.json())
    given = {
        "names": [r.name for r in records],
        "letters": [r.sequence if isinstance(r, Region) else "" for r in records],
        "skipped": [r.reason if isinstance(r, Skipped) else "" for r in records],
    }
    for name, values in given.items():
        made = np.array(values, dtype=object)
        root.create_dataset(name, data=made, dtype=h5py.string_dtype())
    root.create_dataset("done", data=np.zeros(len(records), np.int64))
    for number, output in enumerate(header.outputs):
        for name, shape in _shapes(header, output).items():
            _room(root, f"outputs/{number}/{name}", (len(records), *shape))
            file.check()


def _shapes(header: PairHeader, output: PairOutput) -> dict[str, tuple[int, ...]]:
    """Arrays of one output, without the axis of sequences."""
    single = (header.rows, len(header.alphabet))
    shapes: dict[str, tuple[int, ...]] = {
        "reference": (),
        "singles": single,
        "dependency": (header.rows, header.rows),
    }
    if header.content == "epistasis":
        shapes["epistasis"] = (*single, *single)
    return {name: (*shape, *output.shape) for name, shape in shapes.items()}


def _room(root: h5py.File, name: str, shape: tuple[int, ...]) -> None:
    """An array of zeros whose room on disk is taken at once."""
    import h5py

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    groups = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    groups.set_create_intermediate_group(True)
    space = h5py.h5s.create_simple(shape)
    kind = h5py.h5t.IEEE_F32LE
    h5py.h5d.create(root.id, name.encode(), kind, space, properties, groups)

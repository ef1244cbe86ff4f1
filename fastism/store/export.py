"""From finished stores to the files that people and tools read.

Every file appears under its name as a whole or not at all, and depends on the scores alone, not on
how many shards they come from.

Requirements: numpy, and what the format needs (h5py, zarr, pyBigWig).
"""

from __future__ import annotations

import importlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from fastism.errors import FastISMError, install
from fastism.files.whole import whole_file
from fastism.store.join import Joined
from fastism.store.reader import Store
from fastism.store.schema import Header, array_types
from fastism.store.scores import Scores
from fastism.store.selection import Selected


@dataclass(frozen=True)
class Format:
    """A format of files.

    Attributes
    ----------
    module : str
        Of `fastism.store`, with functions ``check(scores)`` and ``write(scores, *paths)``; it is
        imported when it is used.
    holds : str
        What a file holds, for the documentation.
    parts : tuple of str
        What stands before the extension in the names of its files; ``("",)`` for one file.
    """

    module: str
    holds: str
    parts: tuple[str, ...] = ("",)


_HDF5 = Format("hdf5", "everything, as HDF5")
_ZARR = Format("zarr", "everything, as Zarr (format 2)")
_NPZ = Format(
    "npz",
    "one output for tf-modisco-lite: one-hot and hypothetical scores, (N, 4, L)",
    (".one_hot", ".hypothetical"),
)
_TSV = Format("tsv", "importance as a table: a row per base, a column per output")
_BIGWIG = Format("bigwig", "importance of one output along the genome, as bigWig")
_BED = Format(
    "bed", "intervals of the scored positions, in the order of all other exports; for hit callers"
)
_BEDGRAPH = Format("bedgraph", "importance of one output along the genome, as text")
#: By extension, in lower case.
FORMATS: Mapping[str, Format] = MappingProxyType(
    {
        ".h5": _HDF5,
        ".hdf5": _HDF5,
        ".zarr": _ZARR,
        ".npz": _NPZ,
        ".tsv": _TSV,
        ".tsv.gz": _TSV,
        ".bw": _BIGWIG,
        ".bigwig": _BIGWIG,
        ".bedgraph": _BEDGRAPH,
        ".bed": _BED,
        ".narrowpeak": _BED,
    }
)


def export(
    parts: Sequence[Path], output: Path, *, select: str | None = None, force: bool = False
) -> list[Path]:
    """Join complete stores and write them in the format that the name of the output asks for.

    Parameters
    ----------
    parts : sequence of Path
        One complete store, or all shards of a run in any order.
    output : Path
        Its extension is one of `FORMATS`. For ``X.npz`` the files are ``X.one_hot.npz`` and
        ``X.hypothetical.npz``.
    select : str, optional
        ``I`` or ``I:A,B,...``: an output, or a part of it; see `fastism.store.selection`.
        Needed for formats that hold one number per position, where the scores have several.
    force : bool
        Replace files that exist.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    FastISMError
        If the stores do not belong together, the format is not known or cannot hold the scores, a
        file exists, or the disk is full.
    """
    check_free(output_files(output), force)
    with opened(parts) as joined:
        scores = chosen(joined, output, select)
        return write(scores, output)


@contextmanager
def opened(parts: Sequence[Path]) -> Iterator[Scores]:
    """Complete stores, opened, checked and read as one; raises what `join.Joined` raises."""
    with ExitStack() as stack:
        yield Joined([stack.enter_context(Store(path)) for path in parts])


def chosen(scores: Scores, output: Path, select: str | None) -> Scores:
    """What is to be written of scores, if the format of the output can hold it.

    Raises
    ------
    FastISMError
        If there is no such output, or the format cannot hold it.
    """
    if select is not None:
        scores = Selected(scores, select)
    _module(output).check(scores)
    return scores


def check_planned(header: Header, output: Path, select: str | None = None) -> None:
    """Like `chosen`, before there are any scores: what the header alone can tell."""
    chosen(_Planned(header), output, select)


def write(scores: Scores, output: Path) -> list[Path]:
    """Write what `chosen` gave to the files of an output, and return their names."""
    files = output_files(output)
    module = _module(output)
    with ExitStack() as stack:
        paths = [stack.enter_context(whole_file(file)) for file in files]
        original = scores.original() if isinstance(scores, Joined) else None
        if original is not None and format_of(output)[1] is _HDF5:
            # It has these very bytes already.
            shutil.copyfile(original, paths[0])
        else:
            module.write(scores, *paths)
    return files


def format_of(output: Path) -> tuple[str, Format]:
    """The extension of a file and its format.

    Raises
    ------
    FastISMError
        If no format has it.
    """
    name = output.name.lower()
    found = [extension for extension in FORMATS if name.endswith(extension) and name != extension]
    if not found:
        raise FastISMError(
            f"{output} has no extension that names a format; expected one of {', '.join(FORMATS)}."
        )
    extension = max(found, key=len)
    return extension, FORMATS[extension]


def output_files(output: Path) -> list[Path]:
    """The files that an output consists of."""
    extension, kind = format_of(output)
    stem, suffix = output.name[: -len(extension)], output.name[-len(extension) :]
    return [output.with_name(stem + part + suffix) for part in kind.parts]


def check_free(files: Sequence[Path], force: bool) -> None:
    """Refuse to write where something is already, or where there is no folder.

    Raises
    ------
    FastISMError
        If a file exists and `force` is not given, or what exists is not a file of that kind.
    """
    for file in files:
        if not file.parent.is_dir():
            raise FastISMError(
                f"There is no folder {file.parent} to write {file.name} to; make it."
            )
        zarr = (file / ".zgroup").exists()
        if file.is_dir() and not zarr:
            raise FastISMError(f"{file} is a folder; choose another name for the output.")
        if zarr and not file.name.lower().endswith(".zarr"):
            raise FastISMError(f"{file} is a Zarr store; choose another name for the output.")
        if file.exists() and not force:
            raise FastISMError(f"{file} exists already. Choose another name, or give --force.")


def _module(output: Path) -> Any:
    """The module of the format of an output, with its functions `check` and `write`."""
    extension, kind = format_of(output)
    try:
        return importlib.import_module(f"fastism.store.{kind.module}")
    except ImportError as error:
        raise FastISMError(
            f"Writing {extension} files needs the package {error.name}. {install('cli')}"
        ) from error


class _Planned(Scores):
    """Scores that are still to be made: a header and no rows."""

    def __init__(self, header: Header) -> None:
        self.header = header

    def column(self, name: str) -> list[Any]:
        return []

    @property
    def skipped(self) -> list[tuple[str, str]]:
        return []

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        dtype, shape = array_types(self.header)[name]
        return np.empty((0, *shape), dtype)

    def __len__(self) -> int:
        return 0

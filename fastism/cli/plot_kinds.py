"""What a file is that `fastism plot` is to draw, and which options its figure has.

Requirements: h5py.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

from fastism.batch import design_files, haplotype_files, scan_files
from fastism.cli.exit_codes import Exit, refuse, stage
from fastism.errors import FastISMError
from fastism.files.text import text_lines
from fastism.store import pair_files


class Kind(Enum):
    """What a file holds, as people call a figure of it."""

    SCORES = "scores"
    PAIRS = "a map of pairs"
    SCAN = "a scan"
    SCAN_TABLE = "a table of a scan"
    HAPLOTYPES = "haplotypes"
    STEPS = "the steps of a design"


_COMMON = ("--title", "--width", "--dpi")
_SCAN = ("--sequence", "--output", "--region", "--highlight", "--limit", *_COMMON)
#: Options of figures other than those of scores and pairs, which have their own checks.
OPTIONS: Mapping[Kind, tuple[str, ...]] = {
    Kind.SCAN: _SCAN,
    Kind.SCAN_TABLE: _SCAN,
    Kind.HAPLOTYPES: ("--output", "--limit", *_COMMON),
    Kind.STEPS: ("--sequence", *_COMMON),
}
#: Columns that tables begin with.
_TABLES = {
    scan_files.COLUMNS: Kind.SCAN_TABLE,
    haplotype_files.COLUMNS: Kind.HAPLOTYPES,
    design_files.COLUMNS: Kind.STEPS,
}
_ENDINGS = (".tsv", ".tsv.gz", ".txt", ".csv")


def kind_of(path: Path) -> Kind:
    """What a file is, by what stands in it; scores where nothing else is found.

    Raises
    ------
    Failure
        If it is a table of which there is no figure.
    """
    if path.name.lower().endswith(_ENDINGS):
        with stage(Exit.INPUT):
            return _table(path)
    return array_kind_of(path)


def array_kind_of(path: Path) -> Kind:
    """What a file is that is no table; scores where nothing else is found."""
    formats = {pair_files.FORMAT: Kind.PAIRS, scan_files.FORMAT: Kind.SCAN}
    return formats.get(_format(path), Kind.SCORES)


def check_options(kind: Kind, given: Mapping[str, Any]) -> None:
    """Refuse options that a figure does not have.

    Parameters
    ----------
    kind : Kind
    given : mapping of str to object
        Options with their values; what is false was not given.
    """
    wrong = [name for name, value in given.items() if value and name not in OPTIONS[kind]]
    if wrong:
        allowed = ", ".join(OPTIONS[kind])
        raise refuse(f"{wrong[0]} is not for {kind.value}; it can have {allowed}.")


def _format(path: Path) -> str:
    """The format that an HDF5 file names; empty for other files."""
    import h5py

    try:
        with h5py.File(path, "r") as root:
            return str(root.attrs.get("format", ""))
    except OSError:
        return ""


def _table(path: Path) -> Kind:
    first = next((line for _, line in text_lines(path, "a table")), "")
    columns = tuple(first.split("\t"))
    for begin, kind in _TABLES.items():
        if columns[: len(begin)] == begin:
            return kind
    raise FastISMError(
        f"{path} begins with the columns {', '.join(columns[:5]) or 'of no table'}; expected a "
        "table of `fastism scan`, of haplotypes (`fastism variants --phased`) or of steps "
        "(`fastism evolve --table`), or an .h5 or .zarr file of scores."
    )

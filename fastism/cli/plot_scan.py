"""The part of `fastism plot` that draws scans, from arrays or from a table.

Requirements: h5py, matplotlib.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastism.batch.scan_files import COLUMNS
from fastism.batch.scan_reader import ScanFile
from fastism.cli.exit_codes import Exit, stage
from fastism.cli.plot_entry import one_entry
from fastism.cli.plot_saved import write_figure
from fastism.cli.plot_tracks import read_tracks
from fastism.cli.skipped import all_finite
from fastism.errors import FastISMError
from fastism.files.text import text_lines
from fastism.plots.place import Place, place_of, read_span

if TYPE_CHECKING:
    from fastism.cli.plot_scores import Request

_REDUCED = "a scan is drawn of one number of the outputs, not of a mean or sum"
#: Columns of a table that hold effects begin so.
_EFFECT = "effect"


@dataclass(frozen=True)
class Lines:
    """What a figure of a scan shows of one sequence.

    Parameters
    ----------
    place : Place
    changes : sequence of str
    deltas : ndarray, shape (changes, positions)
    output : str
    """

    place: Place
    changes: Sequence[str]
    deltas: np.ndarray
    output: str


def plot_scan_file(request: Request, sequence: str | None, highlights: Sequence[str]) -> None:
    """Draw the scan of one sequence of an HDF5 file.

    Parameters
    ----------
    request : Request
    sequence : str or None
        Its name, or the first word of it; None where there is but one.
    highlights : sequence of str
    """
    with stage(Exit.INPUT):
        opened = ScanFile(request.store)
    with opened as file, stage(Exit.USAGE):
        number = file.names.index(named(sequence, file.names, request.store))
        output, entry, name = one_entry(file.outputs, request.output, _REDUCED)
        scored = int(file.positions[0]), int(file.positions[-1]) + 1
        given = (file.names[number], file.length(number), scored, file.interval(number))
        deltas = file.deltas(output, number)[(slice(None), slice(None), *entry)]
        lines = Lines(place_of(*given), file.changes, deltas, name)
    _draw(request, lines, highlights)


def plot_scan_table(request: Request, sequence: str | None, highlights: Sequence[str]) -> None:
    """Draw the scan of one sequence of a table; as `plot_scan_file`."""
    with stage(Exit.INPUT):
        texts = (line for _, line in text_lines(request.store, "a table of a scan"))
        reader = csv.reader(texts, delimiter="\t", quoting=csv.QUOTE_NONE)
        header, *rows = reader
    with stage(Exit.USAGE):
        column = effect_column(header, request.output, _EFFECT)
        names = list(dict.fromkeys(row[0] for row in rows))
        found = named(sequence, names, request.store)
    with stage(Exit.INPUT):
        rows = [row for row in rows if row[0] == found]
        lines = _read(request.store, header, rows, column)
    if rows[0][header.index("chrom")] != ".":
        with stage(Exit.USAGE):
            _check_genomic(lines.place, request.region, highlights)
    _draw(request, lines, highlights)


def named(sequence: str | None, names: Sequence[str], path: Path) -> str:
    """The whole name of the sequence that ``--sequence`` names.

    Parameters
    ----------
    sequence : str or None
        Its name, or the first word of it; None where there is but one.
    names : sequence of str
        All that the file has.
    path : Path

    Raises
    ------
    FastISMError
        If there is none of that name, or none was named of several.
    """
    few = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    if not names:
        raise FastISMError(f"{path} has no sequence.")
    if sequence is None and len(names) > 1:
        raise FastISMError(
            f"{path} has {len(names)} sequences: choose one with --sequence NAME, of {few}."
        )
    if sequence is None:
        return names[0]
    found = [n for n in names if sequence in (n, *n.split(maxsplit=1)[:1])]
    if not found:
        raise FastISMError(f"{path} has no sequence {sequence!r}; it has {few}.")
    return found[0]


def effect_column(header: Sequence[str], output: str | None, kind: str) -> int:
    """The column of a table that ``--output`` names by its label.

    Parameters
    ----------
    header : sequence of str
        All columns.
    output : str or None
    kind : str
        How the columns begin; labels stand behind.

    Raises
    ------
    FastISMError
        If there are several, or none of that label.
    """
    labels = {
        name.removeprefix(kind).removeprefix("_"): number
        for number, name in enumerate(header)
        if name == kind or name.startswith(f"{kind}_")
    }
    if output is None and len(labels) == 1:
        return next(iter(labels.values()))
    if output in labels:
        return labels[output]
    said = f"--output {output}: " if output is not None else ""
    raise FastISMError(
        f"{said}the table has the outputs {', '.join(map(repr, labels)) or 'of no column'}; name "
        "one of them with --output."
    )


def _read(path: Path, header: Sequence[str], rows: list[list[str]], column: int) -> Lines:
    """The lines of one sequence as an array."""
    at = {name: header.index(name) for name in COLUMNS}
    try:
        changes = list(dict.fromkeys(row[at["change"]] for row in rows))
        values = np.array([float(row[column]) for row in rows]).reshape(len(changes), -1)
        positions = [int(row[at["position"]]) for row in rows[: values.shape[1]]]
        name, chrom, strand = (rows[0][at[c]] for c in ("name", "chrom", "strand"))
    except (ValueError, IndexError) as error:
        raise FastISMError(f"{path} is no whole table of a scan ({error}).") from error
    if chrom == ".":
        # Where the scan goes to the end of the sequence, its length tells what the name means.
        scored = positions[0], positions[-1] + 1
        place = place_of(name, scored[1], scored)
    else:
        step = -1 if strand == "-" else 1
        place = Place(name, (0, len(positions)), chrom, positions[0], step)
    label = header[column].removeprefix(_EFFECT).removeprefix("_")
    return Lines(place, changes, values, f"output {label}" if label else "output")


def _check_genomic(place: Place, region: str | None, highlights: Sequence[str]) -> None:
    """Refuse positions within a sequence where a table has those of the genome only."""
    for option, text in [("--region", region), *(("--highlight", h) for h in highlights)]:
        span = read_span(text) if text else None
        if span and not span.chrom:
            raise FastISMError(
                f"{option} {text}: this table has positions of the genome, {place.interval()}; "
                "expected CHROM:A-B. Files that end in .h5 have both."
            )


def _draw(request: Request, lines: Lines, highlights: Sequence[str]) -> None:
    from fastism.plots.scans import plot_scan

    place = lines.place
    with stage(Exit.USAGE):
        first, last = part = place.part(request.region)
    tracks = read_tracks(highlights, ())
    with stage(Exit.USAGE):
        tracks.check([(place, part)])
    deltas = lines.deltas[:, first:last]
    with stage(Exit.INPUT):
        if not all_finite([deltas]):
            raise FastISMError(
                f"The scan of {place.name!r} is not finite (NaN or infinite), as the model's "
                "outputs are: there is nothing to plot. Choose another sequence or output."
            )
        figure = plot_scan(
            deltas,
            lines.changes,
            start=place.start(first),
            step=place.step,
            title=place.name,
            output=lines.output,
            axis=place.axis,
            highlights=tracks.highlights(place, part),
            look=request.look,
        )
    write_figure(figure, request.out, request.dpi)

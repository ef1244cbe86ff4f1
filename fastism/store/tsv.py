"""Importance of every base as a table.

Columns: name, chrom (``.`` without a genomic interval), position (0-based; genomic where there is
an interval, else within the sequence), strand, base (as the model saw it: on the minus strand the
complement of the genome's), then one per output: its name, with ``:label`` for entries of its first
axis and further indices for those of later ones.

Requirements: numpy.
"""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from fastism.errors import FastISMError
from fastism.store.schema import Header
from fastism.store.scores import Scores

#: More columns than this are no table for people any more.
MOST_COLUMNS = 1000


def check(scores: Scores) -> None:
    """Refuse more columns than anybody reads.

    Raises
    ------
    FastISMError
        If there are more than 1,000 outputs.
    """
    count = sum(math.prod(output.shape) for output in scores.header.outputs)
    if count > MOST_COLUMNS:
        raise FastISMError(
            f"The table would have {count} columns of scores, more than {MOST_COLUMNS}. "
            "Select an output or an entry, such as --output 0:0, or export to HDF5."
        )


def write(scores: Scores, path: Path) -> None:
    """Write the table, gzip-compressed if the name asks for it.

    Parameters
    ----------
    scores : Scores
        Checked.
    path : Path
        A new file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    header = scores.header
    names = [name for output in header.outputs for name in output.columns()]
    with _text(path) as handle:
        columns = ["name", "chrom", "position", "strand", "base", *map(_cell, names)]
        handle.write("\t".join(columns) + "\n")
        places = list(_places(scores))
        template = "\t".join(["%.6g"] * len(names))
        for rows in scores.blocks():
            letters = _letters(scores.one_hot(rows), header)
            values = _values(scores, rows)
            for (name, chrom, strand, positions), bases, table in zip(
                places[rows], letters, values, strict=True
            ):
                lines = [
                    f"{name}\t{chrom}\t{position}\t{strand}\t{base}\t{template % tuple(row)}\n"
                    for position, base, row in zip(positions, bases, table.tolist(), strict=True)
                ]
                handle.write("".join(lines))


def _places(scores: Scores) -> Iterator[tuple[str, str, str, range]]:
    """Of every row: name, chromosome, strand and the positions of its bases."""
    first, last = scores.header.positions
    columns = (scores.column(c) for c in ("names", "chrom", "start", "end", "strand"))
    for name, chrom, start, end, strand in zip(*columns, strict=True):
        if not chrom:
            positions = range(first, last)
        elif strand == "-":
            positions = range(end - 1 - first, end - 1 - last, -1)
        else:
            positions = range(start + first, start + last)
        yield _cell(name), _cell(chrom or "."), strand, positions


def _letters(one_hot: np.ndarray, header: Header) -> list[str]:
    """The scored part of every sequence; what is no character of the alphabet as N."""
    x = one_hot[:, slice(*header.positions)]
    letters = np.array(list("N" + header.alphabet))
    return ["".join(row) for row in letters[np.where(x.any(2), x.argmax(2) + 1, 0)]]


def _values(scores: Scores, rows: slice) -> np.ndarray:
    """Importance of all outputs side by side, (n, P, columns)."""
    parts = [scores.importance(i, rows) for i in range(len(scores.header.outputs))]
    return np.concatenate([part.reshape(*part.shape[:2], -1) for part in parts], axis=2)


def _cell(text: str) -> str:
    """Text without what separates cells and lines."""
    return " ".join(text.split())


@contextmanager
def _text(path: Path) -> Iterator[TextIO]:
    """A text file to be written; compressed without name and time, which would change its bytes."""
    with path.open("wb") as raw:
        if not path.name.lower().endswith(".gz"):
            with io.TextIOWrapper(raw, encoding="utf-8", newline="\n") as handle:
                yield handle
            return
        with (
            gzip.GzipFile("", "wb", 6, raw, mtime=0) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as handle,
        ):
            yield handle

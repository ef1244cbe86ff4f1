"""Sequences and hypothetical scores of one output in the files that tf-modisco-lite reads.

``modisco motifs -s X.one_hot.npz -a X.hypothetical.npz`` takes two files with one array each,
``arr_0`` of shape (N, 4, P), characters before positions. The hypothetical score of a character is
its delta minus the mean of the deltas of all characters at that position, as is usual for scores
from mutagenesis; at the character that stands there it is the importance times (C - 1) / C.

Requirements: numpy.
"""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from fastism.errors import FastISMError
from fastism.store.scores import Scores
from fastism.store.selection import check_single

#: The earliest date that ZIP knows: the same content has to give the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def check(scores: Scores) -> None:
    """Refuse what the files cannot hold.

    Raises
    ------
    FastISMError
        If there are several numbers per mutant, or the alphabet has not four characters.
    """
    check_single(scores)
    alphabet = scores.header.alphabet
    if len(alphabet) != 4:
        raise FastISMError(
            f"tf-modisco-lite knows four characters; the alphabet {alphabet!r} has "
            f"{len(alphabet)}. Export to another format."
        )


def write(scores: Scores, one_hot: Path, hypothetical: Path) -> None:
    """Write the pair, some rows at a time.

    Parameters
    ----------
    scores : Scores
        Checked.
    one_hot, hypothetical : Path
        New files; float32 (N, 4, P).

    Raises
    ------
    OSError
        If they cannot be written.
    """
    header = scores.header
    shape = (len(scores), 4, header.scored)
    with _array(one_hot, shape) as sequences, _array(hypothetical, shape) as attributions:
        for rows in scores.blocks():
            x = scores.one_hot(rows)[:, slice(*header.positions)]
            sequences.write(_bytes(x))
            deltas = scores.deltas(0, rows).reshape(x.shape)
            finite = np.isfinite(deltas).all((1, 2))
            if not finite.all():
                name = scores.column("names")[rows.start + int(np.argmin(finite))]
                raise FastISMError(
                    f"The scores of {name!r} are not finite (NaN or infinite), which tf-modisco-"
                    "lite cannot use. Score with --not-finite skip."
                )
            attributions.write(_bytes(deltas - deltas.mean(2, keepdims=True)))


def _bytes(values: np.ndarray) -> bytes:
    """Rows with characters before positions, as they lie in the file."""
    return np.ascontiguousarray(values.transpose(0, 2, 1), "<f4").tobytes()


@contextmanager
def _array(path: Path, shape: tuple[int, ...]) -> Iterator[BinaryIO]:
    """An NPZ file with one array ``arr_0``, whose values are written by the caller."""
    entry = zipfile.ZipInfo("arr_0.npy", _DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    with (
        zipfile.ZipFile(path, "w", compresslevel=4) as archive,
        archive.open(entry, "w", force_zip64=True) as handle,
    ):
        described = {"descr": "<f4", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(handle, described)
        yield handle

"""Scores as one HDF5 file, the same bytes for the same content.

No timestamps are written, chunks depend on the header alone, and rows are written in fixed blocks
that start at chunk boundaries, so that it makes no difference where the rows come from.

Requirements: h5py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastism.store.layout import array_types, chunk_shape
from fastism.store.reader import header_attributes
from fastism.store.scores import Scores

_COMPRESSION = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
#: Rows of a chunk of one-dimensional arrays.
_COLUMN_CHUNK = 1024


def write(scores: Scores, path: Path) -> None:
    """Write a finished store.

    Parameters
    ----------
    scores : Scores
        All rows that its header expects.
    path : Path
        A new file.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    with h5py.File(path, "w", libver="earliest", track_order=False) as root:
        header = scores.header
        for name, value in header_attributes(header).items():
            root.attrs[name] = value
        for name, values in columns(scores).items():
            _write_column(root, name, values)
        for number, output in enumerate(header.outputs):
            group = root.require_group(f"outputs/{number}")
            group.attrs["name"] = output.name
            group.attrs["shape"] = json.dumps(output.shape)
            _write_column(group, "labels", text_column(output.labels))
        arrays = {
            name: _create(root, name, len(scores), dtype, shape)
            for name, (dtype, shape) in array_types(header).items()
        }
        for rows in scores.blocks():
            for name, array in arrays.items():
                array[rows] = scores.read(name, rows.start, rows.stop)


def columns(scores: Scores) -> dict[str, np.ndarray]:
    """The one-dimensional arrays of a store, by name; text as UTF-8 of fixed width."""
    names = [name for name, _ in scores.skipped]
    reasons = [reason for _, reason in scores.skipped]
    sizes = scores.header.chrom_sizes
    return {
        "names": text_column(scores.column("names")),
        "chrom": text_column(scores.column("chrom")),
        "start": np.array(scores.column("start"), np.int64),
        "end": np.array(scores.column("end"), np.int64),
        "strand": text_column(scores.column("strand")),
        "skipped/names": text_column(names),
        "skipped/reasons": text_column(reasons),
        "chrom_sizes/names": text_column(sizes),
        "chrom_sizes/sizes": np.array(list(sizes.values()), np.int64),
    }


def text_column(values: Any) -> np.ndarray:
    """Strings as UTF-8 bytes, as wide as the longest of them."""
    encoded = [value.encode() for value in values]
    return np.array(encoded, f"S{max([1, *map(len, encoded)])}")


def _write_column(group: h5py.Group, name: str, values: np.ndarray) -> None:
    dtype: Any = values.dtype
    if dtype.kind == "S":
        dtype = h5py.string_dtype("utf-8", dtype.itemsize)
    group.create_dataset(
        name,
        data=values.astype(dtype),
        chunks=(_COLUMN_CHUNK,),
        maxshape=(None,),
        track_times=False,
        **_COMPRESSION,
    )


def _create(
    root: h5py.File, name: str, rows: int, dtype: str, shape: tuple[int, ...]
) -> h5py.Dataset:
    return root.create_dataset(
        name,
        shape=(rows, *shape),
        dtype=dtype,
        chunks=chunk_shape(shape, np.dtype(dtype).itemsize),
        maxshape=(None, *shape),
        track_times=False,
        **_COMPRESSION,
    )

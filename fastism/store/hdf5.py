"""Scores as one HDF5 file, the same bytes for the same content.

No timestamps are written, chunks depend on the header alone, and rows are written in fixed blocks
that start at chunk boundaries, so that it makes no difference where the rows come from.

Requirements: h5py.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

from fastism.store.packed import COMPRESSION, processors, write_rows
from fastism.store.schema import array_types, chunk_shape
from fastism.store.scores import Scores
from fastism.store.surviving import SurvivingFile, new_hdf5
from fastism.store.tree import columns, header_attributes, output_attributes, text_column

#: Rows of a chunk of one-dimensional arrays.
_COLUMN_CHUNK = 1024


def check(scores: Scores) -> None:
    """Any scores fit."""


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
    with new_hdf5(path, libver="earliest", track_order=False) as (root, file):
        _write_tree(scores, root, file)


def _write_tree(scores: Scores, root: h5py.File, file: SurvivingFile) -> None:
    header = scores.header
    for name, value in header_attributes(header).items():
        root.attrs[name] = value
    for name, values in columns(scores).items():
        _write_column(root, name, values)
    for number, output in enumerate(header.outputs):
        group = root.require_group(f"outputs/{number}")
        for name, value in output_attributes(output).items():
            group.attrs[name] = value
        _write_column(group, "labels", text_column(output.labels))
    arrays = {
        name: root.create_dataset(
            name,
            shape=(len(scores), *shape),
            dtype=dtype,
            chunks=chunk_shape(header, name),
            maxshape=(None, *shape),
            track_times=False,
            **COMPRESSION,
        )
        for name, (dtype, shape) in array_types(header).items()
    }
    with processors() as pool:
        for rows in scores.blocks():
            for name, array in arrays.items():
                write_rows(array, rows, scores.read(name, rows.start, rows.stop), pool)
                file.check()


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
        **COMPRESSION,
    )

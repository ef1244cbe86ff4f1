"""Scores as a Zarr folder with the names and attributes of the HDF5 file.

Format 2, since everything that reads Zarr reads it (zarr-python 2 and 3, xarray, tensorstore, GDAL,
R and JavaScript), while format 3 has no settled type for text of fixed width and older readers do
not know it.

Requirements: zarr 3, numcodecs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Blosc

from fastism.store.schema import array_types, chunk_shape
from fastism.store.scores import Scores
from fastism.store.tree import columns, header_attributes, output_attributes, text_column

_COMPRESSOR = Blosc(cname="zstd", clevel=5, shuffle=Blosc.SHUFFLE)


def check(scores: Scores) -> None:
    """Any scores fit."""


def write(scores: Scores, path: Path) -> None:
    """Write a finished store; parameters and errors as for `fastism.store.hdf5.write`."""
    root = zarr.open_group(path, mode="w", zarr_format=2)
    header = scores.header
    root.attrs.update(header_attributes(header))
    for name, values in columns(scores).items():
        _write_column(root, name, values)
    for number, output in enumerate(header.outputs):
        group = root.require_group(f"outputs/{number}")
        group.attrs.update(output_attributes(output))
        _write_column(root, f"outputs/{number}/labels", text_column(output.labels))
    arrays = {
        name: _create(root, name, len(scores), dtype, shape, chunk_shape(header, name))
        for name, (dtype, shape) in array_types(header).items()
    }
    for rows in scores.blocks():
        for name, array in arrays.items():
            array[rows] = scores.read(name, rows.start, rows.stop)


def _write_column(root: Any, name: str, values: np.ndarray) -> None:
    array = _create(root, name, len(values), values.dtype, (), (max(len(values), 1),))
    if len(values):
        array[:] = values


def _create(
    root: Any, name: str, rows: int, dtype: Any, shape: tuple[int, ...], chunks: tuple[int, ...]
) -> Any:
    return root.create_array(
        name,
        shape=(rows, *shape),
        dtype=dtype,
        chunks=chunks,
        compressors=_COMPRESSOR,
        # Chunks of zeros are written too, so that a missing one is known to be lost.
        config={"write_empty_chunks": True},
    )

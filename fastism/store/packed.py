"""Rows of HDF5 datasets, whose chunks all processors compress at the same time.

The HDF5 library compresses one chunk after another, at some 15 ms a MB: effects of a Basset of 2 kb
on all of its outputs take it a tenth of a second a sequence, many times what a GPU takes to find
them. So chunks are shuffled and deflated here, as the library's filters of these names do, and
handed over as they are.

Requirements: h5py.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager

import h5py
import numpy as np

#: As zlib means it.
LEVEL = 4
#: How datasets are created whose rows are written here.
COMPRESSION = {"compression": "gzip", "compression_opts": LEVEL, "shuffle": True}


@contextmanager
def processors() -> Iterator[Executor]:
    """Threads to compress with, as many as this process may use processors."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    with ThreadPoolExecutor(count) as pool:
        yield pool


def write_rows(array: h5py.Dataset, rows: slice, values: np.ndarray, pool: Executor) -> None:
    """``array[rows] = values``.

    Parameters
    ----------
    array : h5py.Dataset
        Created with `COMPRESSION`.
    rows : slice
        Begins where chunks begin, and ends there or at the last row.
    values : ndarray, shape (rows, *shape of a row)
    pool : Executor
        From `processors`.
    """
    if not values.size:
        return
    values = np.asarray(values, array.dtype)
    # A row alone may be of several chunks.
    places = list(array.iter_chunks((rows, *(slice(0, n) for n in array.shape[1:]))))

    def packed(place: tuple[slice, ...]) -> bytes:
        first, *others = place
        within = slice(first.start - rows.start, first.stop - rows.start)
        return deflated(filled(values[(within, *others)], array.chunks))

    for place, data in zip(places, pool.map(packed, places), strict=True):
        array.id.write_direct_chunk(tuple(part.start for part in place), data)


def filled(part: np.ndarray, chunk: tuple[int, ...]) -> np.ndarray:
    """A part of an array as a chunk, which is full where the array ends in it."""
    if part.shape == chunk:
        return part
    whole = np.zeros(chunk, part.dtype)
    whole[tuple(map(slice, part.shape))] = part
    return whole


def deflated(chunk: np.ndarray) -> bytes:
    """A chunk as the filters "shuffle" and "gzip" of HDF5 write it.

    The first bytes of all numbers come first, then all second ones: high bytes are alike.
    """
    numbers = np.ascontiguousarray(chunk).reshape(-1, 1).view(np.uint8)
    return zlib.compress(np.ascontiguousarray(numbers.T), LEVEL)

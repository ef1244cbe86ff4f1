"""Chunks that are compressed here against what the HDF5 library makes of the same numbers."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from fastism.store.packed import COMPRESSION, processors, write_rows


@pytest.mark.parametrize("kind", ["u1", "<f2", "<f4"])
@pytest.mark.parametrize(
    ("shape", "chunk"),
    [((7,), (4,)), ((5, 6), (2, 6)), ((3, 10, 4, 5), (1, 3, 4, 5)), ((2, 9, 7), (2, 9, 7))],
)
def test_the_library_reads_what_was_written_and_writes_the_same(tmp_path, kind, shape, chunk):
    rng = np.random.default_rng(0)
    values = (rng.standard_normal(shape) * 100).astype(kind)
    given = {"shape": shape, "dtype": kind, "chunks": chunk, **COMPRESSION}
    with h5py.File(tmp_path / "a.h5", "w") as file, processors() as pool:
        ours = file.create_dataset("ours", **given)
        for first in range(0, shape[0], 2 * chunk[0]):
            rows = slice(first, min(first + 2 * chunk[0], shape[0]))
            write_rows(ours, rows, values[rows], pool)
        theirs = file.create_dataset("theirs", data=values, **given)
    with h5py.File(tmp_path / "a.h5") as file:
        ours, theirs = file["ours"], file["theirs"]
        np.testing.assert_array_equal(ours[:], values)
        assert ours.id.get_num_chunks() == theirs.id.get_num_chunks()
        sizes = [
            [x.id.get_chunk_info(i).size for i in range(x.id.get_num_chunks())]
            for x in (ours, theirs)
        ]
        # The same filters; their libraries for zlib may differ by a few bytes.
        np.testing.assert_allclose(*sizes, rtol=0.1, atol=16)


def test_nothing_is_written_where_there_are_no_numbers(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file, processors() as pool:
        array = file.create_dataset("x", (0, 3), "<f4", maxshape=(None, 3), chunks=(4, 3))
        write_rows(array, slice(0, 0), np.zeros((0, 3), "<f4"), pool)
        assert array.id.get_num_chunks() == 0

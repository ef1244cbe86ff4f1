"""Files of scores that were damaged or crafted: every one is told in a line that names it."""

import re

import h5py
import numpy as np
import pytest
from score_files import HEADER, store

from fastism.errors import FastISMError
from fastism.store import Store
from fastism.store.export import FORMATS, export

ALL = slice(None)


def replaced(file, name, **new):
    """Put another array in the place of one."""
    old = file[name]
    kept = {"data": old[:], "chunks": old.chunks, "maxshape": old.maxshape} | new
    del file[name]
    return file.create_dataset(name, **kept)


def external(file, name):
    """An array whose values lie in another file of the machine."""
    shape, dtype = file[name].shape, file[name].dtype
    del file[name]
    size = int(np.prod(shape)) * dtype.itemsize
    file.create_dataset(name, shape, dtype, external=[("/etc/passwd", 0, size)])


def linked(file, name, link):
    del file[name]
    file[name] = link


def virtual(file, name):
    layout = h5py.VirtualLayout(file[name].shape, file[name].dtype)
    layout[:] = h5py.VirtualSource("other.h5", "x", shape=file[name].shape)
    del file[name]
    file.create_virtual_dataset(name, layout)


def group(file, name):
    del file[name]
    file.create_group(name)


def loop(file, name):
    del file[name]
    file[name] = h5py.SoftLink(f"/{name}")


def attribute(name, value, where="/"):
    return lambda file: file[where].attrs.__setitem__(name, value)


SCORES = "outputs/0/deltas"
CRAFTED = {
    "external-storage": lambda f: external(f, "one_hot"),
    "external-reference": lambda f: external(f, "outputs/1/reference"),
    "external-link": lambda f: linked(f, SCORES, h5py.ExternalLink("other.h5", "x")),
    "external-group": lambda f: linked(f, "outputs", h5py.ExternalLink("other.h5", "x")),
    "soft-link": lambda f: linked(f, "names", h5py.SoftLink("/chrom")),
    "virtual": lambda f: virtual(f, SCORES),
    "group": lambda f: group(f, SCORES),
    "group-of-names": lambda f: group(f, "names"),
    "group-of-labels": lambda f: group(f, "outputs/0/labels"),
    "array-for-group": lambda f: linked(f, "outputs/1", np.zeros(3)),
    "loop": lambda f: loop(f, SCORES),
    "loop-of-groups": lambda f: loop(f, "chrom_sizes"),
    "variable-text": lambda f: replaced(
        f, "names", data=np.array(["x"] * 11, object), dtype=h5py.string_dtype()
    ),
    "numbers-for-names": lambda f: replaced(f, "names", data=np.arange(11)),
    "names-in-a-square": lambda f: replaced(
        f, "names", data=f["names"][:][:, None], chunks=None, maxshape=None
    ),
    "bytes-that-are-no-text": lambda f: replaced(f, "names", data=np.array([b"\xff"] * 11)),
    "text-for-starts": lambda f: replaced(f, "start", data=np.array([b"1"] * 11)),
    "whole-scores": lambda f: replaced(f, SCORES, data=f[SCORES][:].astype("i8")),
    "double-scores": lambda f: replaced(f, SCORES, data=f[SCORES][:].astype("f8")),
    "seven-in-one-hot": lambda f: f["one_hot"].__setitem__((3, 5, 1), 7),
    "two-in-a-row": lambda f: f["one_hot"].__setitem__((3, 5), [1, 1, 0, 0]),
    "wide-one-hot": lambda f: replaced(f, "one_hot", data=f["one_hot"][:].astype("i8")),
    "nan": lambda f: f[SCORES].__setitem__((2, 3, 1, 0), np.nan),
    "infinite-reference": lambda f: f["outputs/0/reference"].__setitem__((2, 1), np.inf),
    "huge-chunk": lambda f: replaced(
        f, SCORES, data=None, shape=(11, 20, 4, 3), dtype="f4", chunks=(1 << 21, 20, 4, 3)
    ),
    "interval": lambda f: f["end"].__setitem__(4, 10**9),
    "shape-of-text": attribute("shape", "three", "outputs/0"),
    "shape-of-fractions": attribute("shape", "[3.0]", "outputs/0"),
    "shape-of-nothing": attribute("shape", "null", "outputs/0"),
    "shape-of-lists": attribute("shape", "[[3]]", "outputs/0"),
    "no-shape": lambda f: f["outputs/0"].attrs.__delitem__("shape"),
    "length-of-text": attribute("length", "30"),
    "length-of-fractions": attribute("length", 30.5),
    "positions": attribute("positions", [5]),
    "negative-outputs": attribute("num_outputs", -1),
    "outputs-of-text": attribute("num_outputs", "two"),
    "versions": attribute("versions", "not JSON"),
    "versions-of-lists": attribute("versions", "[1]"),
    "alphabet": attribute("alphabet", 3),
    "version": attribute("format_version", "new"),
    "consumed": lambda f: f.attrs.__delitem__("consumed"),
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return store(tmp_path_factory.mktemp("good") / "good.h5").read_bytes()


@pytest.mark.parametrize("craft", CRAFTED.values(), ids=CRAFTED.keys())
def test_what_is_not_as_it_was_written_is_told_as_damage(tmp_path, good, craft):
    path = tmp_path / "crafted.h5"
    path.write_bytes(good)
    with h5py.File(tmp_path / "other.h5", "w") as other:
        other["x"] = np.zeros((11, 20, 4, 3), "f4")
    with h5py.File(path, "r+") as file:
        craft(file)
    with pytest.raises(FastISMError, match=r"crafted\.h5 is damaged"), Store(path) as opened:
        for i in range(2):
            opened.reference(i, ALL)
            opened.scores(i, ALL)
        assert opened.regions is opened.skipped


@pytest.mark.parametrize(
    "extension", [x for x, kind in FORMATS.items() if kind.module not in ("hdf5", "bed")]
)
def test_no_export_of_damaged_scores_leaves_anything(tmp_path, good, extension):
    """HDF5 is copied byte by byte, and read by whoever opens the copy; BED needs no scores."""
    path = tmp_path / "crafted.h5"
    path.write_bytes(good)
    with h5py.File(path, "r+") as file:
        file[SCORES][2, 3, 1, 0] = np.nan
    with pytest.raises(FastISMError, match=re.escape("row 2 holds a value of outputs/0/deltas")):
        export([path], tmp_path / f"x{extension}", select="0:0")
    assert [p.name for p in tmp_path.iterdir()] == ["crafted.h5"]


def test_an_undamaged_store_is_read(tmp_path, good):
    """The test above can fail: without a change there is no error."""
    path = tmp_path / "good.h5"
    path.write_bytes(good)
    with Store(path) as opened:
        assert len(opened.regions) == HEADER.expected


@pytest.mark.parametrize("zarr_damage", ["attributes", "array", "missing"])
def test_damaged_zarr_is_told_as_such(tmp_path, good, zarr_damage):
    pytest.importorskip("zarr", reason="Zarr files need it")
    path = tmp_path / "good.h5"
    path.write_bytes(good)
    (folder,) = export([path], tmp_path / "x.zarr")
    if zarr_damage == "attributes":
        (folder / ".zattrs").write_text("{")
    elif zarr_damage == "array":
        (folder / "one_hot" / ".zarray").write_text('{"zarr_format": 2, "shape": "x"}')
    else:
        for file in (folder / "outputs" / "0" / "deltas").iterdir():
            file.unlink()
    with pytest.raises(FastISMError, match=r"x\.zarr is damaged"), Store(folder) as opened:
        assert opened.regions is None

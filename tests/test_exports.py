"""What is exported is read back by the tools it is for, and shards that do not fit are refused."""

import gzip
import io
import zipfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from score_files import AMBIGUOUS, HEADER, batch, content, shards, store

from fastism.errors import FastISMError
from fastism.store import Store, StoreWriter
from fastism.store.export import FORMATS, export

ALL = slice(None)
#: Formats that hold one number per position, and what to select for them.
SINGLE = {name for name, kind in FORMATS.items() if kind.module in ("npz", "bigwig", "bedgraph")}


def select_for(extension):
    return "0:4" if extension in SINGLE else None


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return store(tmp_path_factory.mktemp("whole") / "scores.h5")


def importance(path, entry=1):
    """Importance of an entry of output 0 and where each row lies, by brute force."""
    with Store(path) as opened:
        values = opened.importance(0, ALL)[..., entry]
        first, last = opened.header.positions
        sums, counts = {}, {}
        for region, row in zip(opened.regions, values, strict=True):
            for offset, value in zip(range(first, last), row, strict=True):
                place = region.end - 1 - offset if region.strand == "-" else region.start + offset
                key = region.chrom, place
                sums[key] = sums.get(key, 0.0) + float(value)
                counts[key] = counts.get(key, 0) + 1
    return {key: sums[key] / counts[key] for key in sums}


@pytest.mark.parametrize("extension", FORMATS)
def test_shards_in_any_order_give_the_bytes_of_the_whole(tmp_path, whole, extension):
    select = select_for(extension)
    parts = shards(tmp_path)[::-1]
    (tmp_path / "a").mkdir(), (tmp_path / "b").mkdir()
    one = export([whole], tmp_path / "a" / f"x{extension}", select=select)
    joined = export(parts, tmp_path / "b" / f"x{extension}", select=select)
    assert [p.name for p in one] == [p.name for p in joined]
    assert [content(p) for p in one] == [content(p) for p in joined]


def test_bigwig_holds_the_mean_importance_of_overlapping_records(tmp_path, whole):
    pyBigWig = pytest.importorskip("pyBigWig", reason="bigWig files need it")
    (path,) = export([whole], tmp_path / "x.bw", select="0:4")
    expected = importance(whole)
    with pyBigWig.open(str(path)) as track:
        assert track.chroms() == {"chr1": 9000, "chr2": 5000}
        found = {
            (chrom, place): track.values(chrom, place, place + 1)[0] for chrom, place in expected
        }
        covered = sum(end - start for c in track.chroms() for start, end, _ in track.intervals(c))
    assert covered == len(expected)
    assert found == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_bedgraph_holds_the_same_track(tmp_path, whole):
    (path,) = export([whole], tmp_path / "x.bedgraph", select="0:4")
    found = {}
    for line in path.read_text().splitlines():
        chrom, start, end, value = line.split("\t")
        found |= {(chrom, place): float(value) for place in range(int(start), int(end))}
    assert found == pytest.approx(importance(whole), rel=1e-5, abs=1e-6)


def test_the_npz_pair_has_the_layout_of_modisco(tmp_path, whole):
    """The test of the tutorial runs tf-modisco-lite itself on such a pair."""
    files = export([whole], tmp_path / "x.npz", select="0:4")
    assert [p.name for p in files] == ["x.one_hot.npz", "x.hypothetical.npz"]
    sequences, attributions = (np.load(p)["arr_0"] for p in files)
    with Store(whole) as opened:
        x = opened.one_hot(ALL)[:, 5:25]
        deltas = opened.deltas(0, ALL)[..., 1]
    np.testing.assert_array_equal(sequences, x.transpose(0, 2, 1))
    expected = (deltas - deltas.mean(2, keepdims=True)).transpose(0, 2, 1)
    np.testing.assert_allclose(attributions, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("extension", [".tsv", ".tsv.gz"])
def test_the_table_has_a_row_per_base_and_a_column_per_output(tmp_path, whole, extension):
    (path,) = export([whole], tmp_path / f"x{extension}")
    table = pd.read_csv(path, sep="\t")
    with Store(whole) as opened:
        columns = [opened.importance(0, ALL).reshape(-1, 3), opened.importance(1, ALL).reshape(-1)]
        regions = opened.regions
    assert len(table) == 11 * 20
    np.testing.assert_allclose(
        table.iloc[:, 5:].to_numpy(), np.column_stack(columns), rtol=1e-5, atol=1e-6
    )
    minus = table[table["name"] == regions[1].name]
    assert regions[1].strand == "-"
    assert minus["position"].tolist() == [regions[1].end - 1 - p for p in range(5, 25)]
    assert "".join(minus["base"]) == regions[1].sequence[5:25]
    assert table["base"][AMBIGUOUS * 20 + 5] == "N"
    if extension.endswith(".gz"):
        assert gzip.GzipFile(fileobj=io.BytesIO(path.read_bytes())).read(4) == b"name"


def test_zarr_has_the_names_and_numbers_of_the_hdf5(tmp_path, whole):
    zarr = pytest.importorskip("zarr", reason="Zarr files need it")
    (path,) = export([whole], tmp_path / "x.zarr")
    group = zarr.open_group(path, mode="r")
    with Store(whole) as expected, Store(path) as found:
        assert found.header == expected.header
        assert found.regions == expected.regions
        for i in range(2):
            np.testing.assert_array_equal(group[f"outputs/{i}/deltas"][:], expected.scores(i, ALL))
        np.testing.assert_array_equal(group["one_hot"][:], expected.one_hot(ALL))
    assert group.attrs["complete"]


def test_npz_files_are_whole_archives(tmp_path, whole):
    for path in export([whole], tmp_path / "x.npz", select="1"):
        assert zipfile.ZipFile(path).testzip() is None


@pytest.mark.parametrize("extension", sorted(SINGLE))
def test_a_format_of_one_number_asks_which(tmp_path, whole, extension):
    path = tmp_path / f"x{extension}"
    with pytest.raises(FastISMError, match="2 outputs, and this format holds one"):
        export([whole], path)
    with pytest.raises(FastISMError, match="holds one number"):
        export([whole], path, select="0")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extension", [".bed", ".narrowPeak"])
def test_intervals_are_those_of_the_rows_of_other_exports(tmp_path, whole, extension):
    """Genome positions that the table of the scores names, and their middle as the summit."""
    (path,) = export([whole], tmp_path / f"x{extension}")
    (table,) = export([whole], tmp_path / "x.tsv")
    found = [line.split("\t") for line in path.read_text().splitlines()]
    with Store(whole) as opened:
        names = opened.column("names")
    table = pd.read_csv(table, sep="\t")
    assert [line[3] for line in found] == names
    for name, line in zip(names, found, strict=True):
        rows = table[table["name"] == name]
        place = rows["position"]
        assert line[:3] == [rows["chrom"].iloc[0], str(place.min()), str(place.max() + 1)]
        assert line[4:6] == ["0", rows["strand"].iloc[0]]
        assert line[6:] == ([] if extension == ".bed" else ["0", "-1", "-1", "10"])


def test_intervals_end_with_their_chromosome_and_keep_their_middle(tmp_path):
    header = replace(HEADER, expected=1, chrom_sizes={"chr2": 118})
    with StoreWriter.create(tmp_path / "a.h5", header) as writer:
        regions, *arrays = batch(header, [0])
        writer.append([replace(regions[0], start=-10, end=20, strand="+")], *arrays)
        writer.complete()
    (path,) = export([tmp_path / "a.h5"], tmp_path / "x.narrowPeak")
    # Positions 5 to 25 of the window are -5 to 15.
    assert path.read_text().split("\t")[1:3] == ["0", "15"]
    assert path.read_text().split()[-1] == "5"


def test_rows_without_a_letter_are_named(tmp_path, whole):
    from cli_cases import succeed

    ended = succeed("export", whole, "-o", tmp_path / "x.npz", "--output", "signal:4")
    assert "warning: 1 of 11 rows hold positions without a letter" in ended.stderr
    assert f"peak{AMBIGUOUS} é (1)" in ended.stderr
    assert succeed("export", whole, "-o", tmp_path / "x.tsv").stderr == ""


def test_records_without_a_place_make_no_track(tmp_path):
    with StoreWriter.create(tmp_path / "a.h5", replace(HEADER, expected=2)) as writer:
        regions, *arrays = batch(HEADER, range(2))
        writer.append([replace(r, chrom="", start=-1, end=-1) for r in regions], *arrays)
        writer.complete()
    for name in ("x.bw", "x.bedgraph", "x.bed"):
        with pytest.raises(FastISMError, match="no place in a genome"):
            export([tmp_path / "a.h5"], tmp_path / name, select="1")


def test_an_output_that_exists_is_kept_unless_forced(tmp_path, whole):
    (tmp_path / "x.tsv").write_text("mine")
    with pytest.raises(FastISMError, match="exists already"):
        export([whole], tmp_path / "x.tsv")
    assert (tmp_path / "x.tsv").read_text() == "mine"
    export([whole], tmp_path / "x.tsv", force=True)
    assert (tmp_path / "x.tsv").read_text().startswith("name\t")
    with pytest.raises(FastISMError, match="no extension that names a format"):
        export([whole], tmp_path / "x.xlsx")
    with pytest.raises(FastISMError, match="no folder"):
        export([whole], tmp_path / "none" / "x.tsv")


def test_a_failing_write_leaves_nothing(tmp_path, whole, monkeypatch):
    from fastism.store import tsv

    def fails(scores, path):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tsv, "write", fails)
    with pytest.raises(FastISMError, match=r"No space left|disk"):
        export([whole], tmp_path / "x.tsv")
    assert list(tmp_path.iterdir()) == []


# ---- shards that do not belong together ---------------------------------------------------


def test_a_missing_shard_is_named(tmp_path):
    parts = shards(tmp_path)
    with pytest.raises(FastISMError, match="1 of them are not given: 2"):
        export([parts[0], parts[2]], tmp_path / "x.h5")


def test_a_shard_given_twice_is_named(tmp_path):
    parts = shards(tmp_path)
    with pytest.raises(FastISMError, match="are both shard 1 of 3"):
        export([*parts, parts[0]], tmp_path / "x.h5")


@pytest.mark.parametrize("field", ["model_hash", "input_hash", "command", "dtype"])
def test_shards_of_different_runs_are_told_apart(tmp_path, field):
    (tmp_path / "other").mkdir()
    other = replace(HEADER, **{field: "float16" if field == "dtype" else "different"})
    parts = shards(tmp_path)
    parts[1] = shards(tmp_path / "other", other)[1]
    with pytest.raises(FastISMError, match=f"do not belong together.*{field}"):
        export(parts, tmp_path / "x.h5")


def test_shards_of_another_division_are_refused(tmp_path):
    (tmp_path / "other").mkdir()
    parts = shards(tmp_path)
    parts[2] = shards(tmp_path / "other", bounds=(0, 11))[0]
    with pytest.raises(FastISMError, match="one of 3 shards"):
        export(parts, tmp_path / "x.h5")


def test_an_unfinished_shard_is_refused(tmp_path):
    parts = shards(tmp_path)
    parts[1].unlink()
    header = replace(HEADER, expected=6, shard=(2, 3))
    with StoreWriter.create(parts[1], header) as writer:
        writer.append(*batch(header, range(3)))
    with pytest.raises(FastISMError, match="not finished: 3 of 6"):
        export(parts, tmp_path / "x.h5")

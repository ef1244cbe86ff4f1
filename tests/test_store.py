"""The store of scores: what it keeps and refuses; an interruption costs a batch at most."""

import errno
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import fields, replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from full_disk import fill_disk
from score_files import AMBIGUOUS, HEADER, batch, content, fill, row, store

from fastism.calls.result import Saturation
from fastism.errors import FastISMError
from fastism.store import Header, OutputHeader, Store, StoreWriter
from fastism.store import hdf5 as hdf5_format
from fastism.store.journal import Journal
from fastism.store.schema import CHUNK_BYTES, OPTIONAL, array_types, block_rows, chunk_shape
from fastism.store.surviving import SurvivingFile

ALL = slice(None)


def check_rows(opened, numbers):
    """Compares everything a store gives with what its rows were made from."""
    header = opened.header
    expected = [row(header, n) for n in numbers]
    assert len(opened) == len(expected)
    np.testing.assert_array_equal(opened.one_hot(ALL), [r[1] for r in expected])
    for i in range(len(header.outputs)):
        np.testing.assert_array_equal(opened.reference(i, ALL), [r[2][i] for r in expected])
        np.testing.assert_array_equal(opened.scores(i, ALL), [r[3][i] for r in expected])
    for found, (region, one_hot, *_) in zip(opened.regions, expected, strict=True):
        letters = "".join("ACGT"[x.argmax()] if x.any() else "N" for x in one_hot)
        assert found == replace(region, sequence=letters)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("content_kind", ["deltas", "mutants"])
def test_what_is_stored_comes_back(tmp_path, content_kind, dtype):
    header = replace(HEADER, content=content_kind, dtype=dtype)
    with Store(store(tmp_path / "a", header, skip=(1, 9))) as opened:
        assert opened.complete and opened.consumed == 11
        assert opened.header == header
        assert opened.skipped == [("peak1", "N at 3"), ("peak9", "N at 3")]
        check_rows(opened, [n for n in range(11) if n not in (1, 9)])


def test_deltas_and_importance_are_those_of_saturation(tmp_path):
    header = replace(HEADER, content="mutants")
    with Store(store(tmp_path / "a", header)) as opened:
        for i in range(2):
            result = Saturation(
                opened.reference(i, ALL),
                opened.scores(i, ALL),
                np.arange(5, 25),
                4 - opened.one_hot(ALL)[:, 5:25].any(2),
            )
            np.testing.assert_array_equal(opened.deltas(i, ALL), result.delta())
            np.testing.assert_allclose(
                opened.importance(i, ALL), result.importance(), rtol=1e-6, atol=1e-7
            )
        assert opened.importance(0, slice(AMBIGUOUS, AMBIGUOUS + 2)).dtype == np.float32
        assert opened.importance(0, slice(2, 4)).shape == (2, 20, 3)


def test_rows_are_sliced_alike_before_and_after_completion(tmp_path):
    path = tmp_path / "a.partial"
    with StoreWriter.create(path, HEADER) as writer:
        for first in (0, 3, 6):
            writer.append(*batch(HEADER, range(first, first + 3)))
        with Store(path, allow_incomplete=True) as journal:
            check_rows(journal, range(9))
            before = [journal.deltas(0, slice(a, b)) for a, b in [(0, 1), (2, 7), (8, 9), (5, 5)]]
        writer.append(*batch(HEADER, range(9, 11)))
        writer.complete()
    with Store(path) as finished:
        after = [finished.deltas(0, slice(a, b)) for a, b in [(0, 1), (2, 7), (8, 9), (5, 5)]]
        with pytest.raises(FastISMError, match="step of one"):
            finished.one_hot(slice(0, 9, 2))
    for x, y in zip(before, after, strict=True):
        np.testing.assert_array_equal(x, y)


def test_a_finished_store_is_hdf5_that_others_can_read(tmp_path):
    path = store(tmp_path / "a.h5", skip=(2,))
    with h5py.File(path) as file:
        assert file.attrs["format"] == "fastism-scores"
        assert file.attrs["complete"] and file.attrs["consumed"] == 11
        apart = {"outputs", "chrom_sizes", *OPTIONAL}
        assert set(file.attrs) >= {f.name for f in fields(Header)} - apart
        assert file["names"].asstr()[0] == "peak0 é"
        assert file["outputs/0/labels"].asstr()[:].tolist() == ["0", "4", "5"]
        deltas = file["outputs/0/deltas"]
        assert deltas.shape == (10, 20, 4, 3) and deltas.maxshape == (None, 20, 4, 3)
        assert (deltas.compression, deltas.compression_opts, deltas.shuffle) == ("gzip", 4, True)
        assert file["one_hot"].dtype == np.uint8


@pytest.mark.parametrize("shape", [(), (3,), (919,), (1000, 2), (896, 5313)])
@pytest.mark.parametrize("length", [60, 2000])
def test_chunks_are_about_a_mebibyte_and_cut_no_small_sequence(shape, length):
    labels = tuple(map(str, range(shape[0]))) if shape else ()
    header = replace(
        HEADER, length=length, positions=(0, length), outputs=(OutputHeader("x", shape, labels),)
    )
    for name, (dtype, full) in array_types(header).items():
        chunk = chunk_shape(header, name)
        size = np.dtype(dtype).itemsize
        assert np.prod(chunk) * size <= CHUNK_BYTES
        assert all(a <= b for a, b in zip(chunk[1:], full, strict=True))
        assert chunk[0] == 1 or chunk[1:] == full
        assert block_rows(header) % chunk[0] == 0
        if np.prod(full) * size > CHUNK_BYTES:
            assert np.prod(chunk) * size > CHUNK_BYTES / 4


def test_chunks_of_a_header_depend_on_nothing_else():
    header = replace(HEADER, expected=5, shard=(2, 7))
    assert chunk_shape(header, "one_hot") == chunk_shape(HEADER, "one_hot")


def test_an_empty_shard_is_a_store(tmp_path):
    path = store(tmp_path / "a.h5", replace(HEADER, expected=0))
    with Store(path) as opened:
        assert len(opened) == 0 and opened.regions == []
        assert opened.deltas(0, ALL).shape == (0, 20, 4, 3)


def test_a_store_goes_on_where_it_stopped(tmp_path):
    path, whole = tmp_path / "a.partial", store(tmp_path / "b")
    with StoreWriter.create(path, HEADER) as writer:
        writer.append(*batch(HEADER, range(3)))
        writer.append(*batch(HEADER, [3, 5], skipped=[4]))
    whole = store(tmp_path / "c", skip=(4,))
    with StoreWriter.resume(path, HEADER) as writer:
        assert writer.consumed == 6
        fill(writer, 6, 11)
    assert content(path) == content(whole)
    with StoreWriter.resume(path, HEADER) as writer:
        assert writer.consumed == 11
        writer.complete()
        with pytest.raises(FastISMError, match="complete"):
            writer.append(*batch(HEADER, [0]))


def test_what_a_cut_or_a_flipped_bit_leaves_is_the_whole_batches_before_it(tmp_path):
    path = tmp_path / "a.partial"
    with StoreWriter.create(path, HEADER) as writer:
        writer.append(*batch(HEADER, range(3)))
        writer.append(*batch(HEADER, range(3, 6)))
    data = path.read_bytes()
    journal = Journal(path)
    first, second = journal.frames
    journal.close()
    assert second.end == len(data)
    rng = random.Random(0)
    for cut in [
        first.end,
        first.end + 1,
        second.meta,
        second.body,
        *range(second.end - 3, second.end),
    ]:
        path.write_bytes(data[:cut])
        check_resumes(path, 3)
    for _ in range(30):
        place = rng.randrange(first.end, second.end)
        flipped = bytearray(data)
        flipped[place] ^= 1 << rng.randrange(8)
        path.write_bytes(flipped)
        check_resumes(path, 3)
    path.write_bytes(data + data[first.end : second.end - 1])
    check_resumes(path, 6)
    path.write_bytes(data + bytes(5000))
    check_resumes(path, 6)


def check_resumes(path, consumed):
    with Store(path, allow_incomplete=True) as opened:
        check_rows(opened, range(consumed))
    with StoreWriter.resume(path, HEADER) as writer:
        assert writer.consumed == consumed
        writer.append(*batch(HEADER, range(consumed, consumed + 3)))
    with Store(path, allow_incomplete=True) as opened:
        check_rows(opened, range(consumed + 3))


CHILD = """
import sys
from dataclasses import replace
from pathlib import Path
sys.path.insert(0, {tests!r})
from score_files import HEADER, batch
from fastism.store import StoreWriter

path, header = Path(sys.argv[1]), replace(HEADER, length=3000, positions=(0, 3000), expected=60)
writer = (StoreWriter.resume if path.exists() else StoreWriter.create)(path, header)
print(writer.consumed, flush=True)
while writer.consumed < header.expected:
    writer.append(*batch(header, range(writer.consumed, writer.consumed + 3)))
    print(writer.consumed, flush=True)
print("completing", flush=True)
writer.complete()
"""


def test_killed_processes_lose_nothing_that_was_appended(tmp_path):
    path, rng = tmp_path / "a.partial", random.Random(5)
    code = CHILD.format(tests=str(Path(__file__).parent))
    header = replace(HEADER, length=3000, positions=(0, 3000), expected=60)
    reached = 0
    for lines in [1, 3, 2, 5, 4, None]:
        with subprocess.Popen(
            [sys.executable, "-c", code, str(path)], stdout=subprocess.PIPE, text=True
        ) as child:
            for number, line in enumerate(child.stdout):
                if line == "completing\n":
                    break
                reached = max(reached, int(line))
                if number == lines:
                    break
            time.sleep(rng.uniform(0, 0.03))
            child.send_signal(signal.SIGKILL)
        with Store(path, allow_incomplete=True) as opened:
            assert reached <= opened.consumed <= 60
            last = opened.consumed - 1
            np.testing.assert_array_equal(
                opened.scores(0, slice(last, None))[0], row(header, last)[3][0]
            )
            reached = opened.consumed
    assert reached == 60
    subprocess.run([sys.executable, "-c", code, str(path)], check=True, stdout=subprocess.DEVNULL)
    assert content(path) == content(store(tmp_path / "b", header))


def test_a_store_is_resumed_only_with_what_began_it(tmp_path):
    path = tmp_path / "a.partial"
    StoreWriter.create(path, HEADER).close()
    other = replace(HEADER, model_hash="ff")
    with pytest.raises(FastISMError, match=r"model_hash: 'ab12' and 'ff'"):
        StoreWriter.resume(path, other)
    with pytest.raises(FastISMError, match="exists already"):
        StoreWriter.create(path, HEADER)
    with pytest.raises(FastISMError, match="There is no file"):
        StoreWriter.resume(tmp_path / "b.partial", HEADER)


def test_two_processes_cannot_write_one_store(tmp_path):
    path = tmp_path / "a.partial"
    with (
        StoreWriter.create(path, HEADER),
        pytest.raises(FastISMError, match="written by another process"),
    ):
        StoreWriter.resume(path, HEADER)


def test_a_full_disk_costs_the_batch_being_written(tmp_path, monkeypatch):
    path = tmp_path / "a.partial"
    with StoreWriter.create(path, HEADER) as writer:
        writer.append(*batch(HEADER, range(3)))
        size = path.stat().st_size

        def full(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(FastISMError, match="No space left on device"):
            writer.append(*batch(HEADER, range(3, 6)))
        assert path.stat().st_size == size and writer.consumed == 3
        monkeypatch.undo()
        fill(writer, 3, 11)
    with Store(path) as opened:
        check_rows(opened, range(11))


def test_a_failure_to_complete_leaves_the_journal(tmp_path, monkeypatch):
    path = tmp_path / "a.partial"
    with StoreWriter.create(path, HEADER) as writer:
        monkeypatch.setattr(SurvivingFile, "check", no_space)
        with pytest.raises(FastISMError, match="No space left on device"):
            fill(writer, 0, 11)
    assert [p.name for p in tmp_path.iterdir()] == ["a.partial"]
    monkeypatch.undo()
    with StoreWriter.resume(path, HEADER) as writer:
        assert writer.consumed == 11
        writer.complete()
    with Store(path) as opened:
        check_rows(opened, range(11))


def test_a_folder_that_takes_no_files_is_named(tmp_path):
    with pytest.raises(FastISMError, match=r"the folder .* does not exist, or takes no new files"):
        StoreWriter.create(tmp_path / "missing" / "a.partial", HEADER)


def no_space(_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("room", [0, 1, 3000, 20_000])
def test_hdf5_is_closed_in_peace_on_a_disk_that_is_full(tmp_path, room):
    """The library reads back what it could not write; then the failure is told."""
    source = store(tmp_path / "a.h5")

    with pytest.MonkeyPatch.context() as patch, Store(source) as opened:
        fill_disk(patch, room)
        with pytest.raises(OSError, match="No space left"):
            hdf5_format.write(opened, tmp_path / "b.h5")
    assert (tmp_path / "b.h5").stat().st_size <= room


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: b[3][0].__setitem__((1, 2, 3, 0), np.nan), r"nan at \(1, 2, 3, 0\)"),
        (lambda b: b[2][1].__setitem__(0, np.inf), "outputs/1/reference of a batch holds inf"),
        (lambda b: b[3][0].__setitem__((0, 0, 0, 0), 70000), "reaches 70000, which float16"),
        (lambda b: b[3].pop(), "scores of 1"),
        (lambda b: b[3].__setitem__(0, b[3][0].swapaxes(1, 2)), r"expected \(3, 20, 4, 3\)"),
    ],
    ids=["nan", "infinite", "overflow", "missing", "swapped"],
)
def test_scores_that_cannot_be_kept_are_refused(tmp_path, change, message):
    header = replace(HEADER, dtype="float16")
    with StoreWriter.create(tmp_path / "a", header) as writer:
        bad = batch(replace(header, dtype="float32"), range(3))
        change(bad)
        with pytest.raises(FastISMError, match=message):
            writer.append(*bad)
        assert writer.consumed == 0


def test_a_store_holds_what_was_expected_and_no_more(tmp_path):
    with StoreWriter.create(tmp_path / "a", replace(HEADER, expected=4)) as writer:
        writer.append(*batch(HEADER, range(3)))
        with pytest.raises(FastISMError, match="hold 4 records and has 3"):
            writer.complete()
        with pytest.raises(FastISMError, match="hold 4 records; got 6"):
            writer.append(*batch(HEADER, range(3, 6)))


def test_an_unfinished_store_is_not_mistaken_for_a_finished_one(tmp_path):
    path = tmp_path / "a.h5.partial"
    with StoreWriter.create(path, HEADER) as writer:
        writer.append(*batch(HEADER, range(3)))
    with pytest.raises(FastISMError, match=r"3 of 11 records are done. .*--resume"):
        Store(path)
    with pytest.raises(OSError, match="signature"):
        h5py.File(path)


def test_files_that_are_no_stores_are_named(tmp_path):
    good = store(tmp_path / "good.h5")
    (tmp_path / "text.h5").write_text("no scores")
    (tmp_path / "empty.h5").touch()
    (tmp_path / "cut.h5").write_bytes(good.read_bytes()[:-3000])
    (tmp_path / "folder.h5").mkdir()
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["x"] = 1
    for name in ("newer", "lost"):
        (tmp_path / f"{name}.h5").write_bytes(good.read_bytes())
    with h5py.File(tmp_path / "newer.h5", "r+") as file:
        file.attrs["format_version"] = 99
    with h5py.File(tmp_path / "lost.h5", "r+") as file:
        del file["outputs/1/deltas"]
    messages = {
        "text": "no file of scores",
        "empty": "no file of scores",
        "cut": "truncated or damaged",
        "folder": "is a folder",
        "other": "holds no scores",
        "newer": "version 99",
        "lost": "damaged",
        "missing": "There is no file",
    }
    for name, message in messages.items():
        with pytest.raises(FastISMError, match=message) as caught:
            Store(tmp_path / f"{name}.h5")
        assert f"{name}.h5" in str(caught.value)


def test_sequences_are_found_by_name_or_first_word(tmp_path):
    with Store(store(tmp_path / "a")) as opened:
        assert opened.find("peak7 é") == opened.find("peak7") == 7
        with pytest.raises(FastISMError, match="did you mean 'peak7 é'"):
            opened.find("peek7 é")
        with pytest.raises(FastISMError, match=r"no output 2; the store has 2: 0 .signal."):
            opened.deltas(2, ALL)


def test_a_name_of_two_sequences_is_refused(tmp_path):
    with StoreWriter.create(tmp_path / "a", replace(HEADER, expected=2)) as writer:
        writer.append(*batch(HEADER, [1, 1]))
        writer.complete()
    with Store(tmp_path / "a") as opened, pytest.raises(FastISMError, match=r"row 0.*row 1"):
        opened.find("peak1")


@pytest.mark.parametrize(
    "change",
    [
        {"positions": (5, 31)},
        {"content": "logits"},
        {"dtype": "int8"},
        {"shard": (3, 2)},
        {"outputs": ()},
        {"alphabet": "AACG"},
    ],
    ids=str,
)
def test_impossible_headers_are_refused(change):
    with pytest.raises(FastISMError, match=next(iter(change))):
        replace(HEADER, **change)


def test_headers_survive_json():
    assert Header.from_json(HEADER.to_json()) == HEADER
    with pytest.raises(FastISMError, match="damaged"):
        Header.from_json('{"alphabet": "ACGT"}')

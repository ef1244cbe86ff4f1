"""Two runs on one output: one of them is refused, and nothing is lost, whatever is killed when."""

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from score_files import HEADER, batch, content, fill, row, store

from fastism.errors import FastISMError
from fastism.files.whole import whole_file
from fastism.store import Store, StoreWriter
from fastism.store.export import export

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows lacks such locks")
IN_USE = "being written by another process"


@pytest.mark.parametrize("replace", [False, True], ids=["anew", "by-force"])
def test_no_second_process_begins_or_goes_on_with_a_store_that_is_being_written(tmp_path, replace):
    path = tmp_path / "a.partial"
    with StoreWriter.create(path, HEADER) as writer:
        writer.append(*batch(HEADER, range(3)))
        for second in (
            lambda: StoreWriter.create(path, HEADER, replace=replace),
            lambda: StoreWriter.resume(path, HEADER),
        ):
            with pytest.raises(FastISMError, match=IN_USE):
                second()
        fill(writer, 3, 11)
        # The finished store is still its writer's, who has yet to make the output of it.
        with pytest.raises(FastISMError, match=IN_USE):
            StoreWriter.create(path, HEADER, replace=True)
        with pytest.raises(FastISMError, match=IN_USE):
            StoreWriter.resume(path, HEADER)
    assert content(path) == content(store(tmp_path / "b"))
    with StoreWriter.create(path, HEADER, replace=True) as writer:
        assert writer.consumed == 0


def race(path, queue, start):
    """Begin a store as a run does, as soon as all processes are there."""
    start.wait()
    try:
        with StoreWriter.create(path, HEADER, replace=True) as writer:
            fill(writer, 0, 11)
            queue.put("wrote")
    except FastISMError as error:
        queue.put(str(error))


def test_of_many_that_start_at_once_all_that_write_write_whole_stores(tmp_path):
    path, context = tmp_path / "a.partial", multiprocessing.get_context("fork")
    queue, start = context.Queue(), context.Barrier(4)
    runs = [context.Process(target=race, args=(path, queue, start)) for _ in range(4)]
    for run in runs:
        run.start()
    said = [queue.get(timeout=60) for _ in runs]
    for run in runs:
        run.join(timeout=60)
    assert "wrote" in said
    assert all(text == "wrote" or IN_USE in text for text in said), said
    assert content(path) == content(store(tmp_path / "b"))


def test_a_store_that_is_removed_while_it_is_written_is_not_put_back(tmp_path):
    path = tmp_path / "a.partial"
    with StoreWriter.create(path, HEADER) as writer:
        path.unlink()
        other = store(path)
        with pytest.raises(FastISMError, match="removed or replaced"):
            fill(writer, 0, 11)
        writer.discard()
    assert content(other) == content(store(tmp_path / "b"))


@pytest.mark.parametrize("size", [0, 5, 30, 200], ids=["empty", "magic", "head", "header"])
def test_a_file_cut_within_its_header_is_begun_anew(tmp_path, size):
    path = tmp_path / "a.partial"
    StoreWriter.create(path, HEADER).close()
    whole = path.read_bytes()
    path.write_bytes(whole[:size])
    with StoreWriter.resume(path, HEADER) as writer:
        assert writer.consumed == 0
    assert path.read_bytes() == whole
    damaged = b"X" + whole[1:]
    path.write_bytes(damaged)
    with pytest.raises(FastISMError):
        StoreWriter.resume(path, HEADER)
    assert path.read_bytes() == damaged


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from score_files import HEADER, fill
from fastism.store import StoreWriter, hdf5
from fastism.store.export import export

def killed(scores, path):
    path.write_bytes(b"half of it")
    os.kill(os.getpid(), signal.SIGKILL)

path = Path(sys.argv[1])
writer = StoreWriter.create(path, HEADER)
if sys.argv[2] == "completing":
    hdf5.write = killed
fill(writer, 0, 11)
from fastism.store import tsv
tsv.write = killed
export([path], Path(sys.argv[3]))
"""


@pytest.mark.parametrize("when", ["completing", "exporting"])
def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path, when):
    path, output = tmp_path / "x.tsv.partial", tmp_path / "x.tsv"
    code = KILLED.format(tests=str(Path(__file__).parent))
    done = subprocess.run([sys.executable, "-c", code, path, when, output], check=False)
    assert done.returncode == -signal.SIGKILL
    assert len(list(tmp_path.iterdir())) == 2
    with StoreWriter.resume(path, HEADER) as writer:
        assert writer.consumed == 11
        writer.complete()
        export([path], output)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.tsv", "x.tsv.partial"]
    with Store(path) as opened:
        np.testing.assert_array_equal(opened.scores(0, slice(10, 11))[0], row(HEADER, 10)[3][0])


def test_what_another_process_is_writing_is_left_alone(tmp_path):
    path = tmp_path / "x.txt"
    with whole_file(path) as first:
        first.write_text("first")
        with whole_file(path) as second:
            second.write_text("second")
        assert first.read_text() == "first"
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert [p.name for p in tmp_path.iterdir()] == ["x.txt"]


def test_names_as_long_as_the_system_allows_can_be_written(tmp_path):
    path = tmp_path / ("x" * 251 + ".txt")
    with whole_file(path) as beside:
        beside.write_text("whole")
    assert path.read_text() == "whole"

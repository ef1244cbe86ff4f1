"""`fastism score` from files to files, on real sequences: the same numbers as in Python."""

import gzip
import re
import signal
import subprocess
import sys

import h5py
import numpy as np
import pytest
from cli_cases import (
    INFINITE,
    LENGTH,
    files,
    invoke,
    promoters,
    small_keras,
    succeed,
    write_fasta,
)

from fastism import FastISM
from fastism.cli.interrupts import Interrupts
from fastism.sequences import one_hot
from fastism.store import Store

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return files(tmp_path_factory.mktemp("score"))


@pytest.fixture(scope="module")
def whole(given):
    """One uninterrupted run in batches of two."""
    path = given.folder / "whole.h5"
    succeed("score", given.keras, given.fasta, "-o", path, "--batch", 2)
    return path


@pytest.fixture(scope="module")
def expected(given):
    return FastISM(given.model).saturate(one_hot(given.sequences))


def test_the_store_holds_what_python_gives(given, whole, expected):
    with Store(whole) as store:
        assert [r.name for r in store.regions] == given.names
        assert [r.sequence for r in store.regions] == [s.upper() for s in given.sequences]
        np.testing.assert_array_equal(store.one_hot(slice(0, 7)), one_hot(given.sequences))
        np.testing.assert_allclose(store.reference(0, slice(0, 7)), expected.reference, atol=1e-6)
        np.testing.assert_allclose(store.deltas(0, slice(0, 7)), expected.delta(), atol=1e-6)
        header = store.header
    assert (header.expected, header.batch, header.shard) == (7, 2, (1, 1))
    assert (header.model, header.input) == ("small.keras", "promoters.fa")
    assert header.outputs[0].name == "expression"
    assert header.command == (
        "fastism score small.keras promoters.fa --alphabet ACGT --ambiguous error "
        "--content deltas --dtype float32"
    )
    assert {"fastism-suite", "python", "numpy", "keras", "tensorflow"} == set(header.versions)
    assert not (given.folder / "whole.h5.partial").exists()


def test_the_summary_goes_to_stdout_and_progress_to_stderr(given):
    path = given.folder / "talk.h5"
    result = succeed("score", given.keras, given.fasta, "-o", path)
    summary = r"7 records read, 7 sequences scored, 0 skipped, in \d+ s: \S+talk.h5\n"
    assert re.fullmatch(summary, result.stdout)
    line = r"fastism: 7 of 7 sequences, \S+ per second, 0 s left\n"
    assert re.fullmatch(line, result.stderr)
    result = succeed("score", given.keras, given.fasta, "-o", path, "--force", "--quiet")
    assert result.stderr == ""


def test_shards_joined_have_the_bytes_of_one_run(given, whole):
    parts = []
    for number in (3, 1, 2):
        parts.append(given.folder / f"part{number}.h5")
        shard = ("--batch", 2, "--shard", f"{number}/3")
        succeed("score", given.keras, given.fasta, "-o", parts[-1], *shard)
    joined = given.folder / "joined.h5"
    succeed("export", *parts, "-o", joined)
    assert joined.read_bytes() == whole.read_bytes()


def test_an_interrupted_run_goes_on_to_the_same_bytes(given, whole, monkeypatch):
    path = given.folder / "resumed.h5"
    command = ("score", given.keras, given.fasta, "-o", path, "--batch", 2)
    calls = []

    def interrupt(self):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Interrupts, "check", interrupt)
    result = invoke(*command)
    assert result.exit_code == 130
    assert "resumed.h5.partial keeps 4 of 7 sequences; the same command with --resume" in (
        result.stderr
    )
    assert not path.exists()
    with Store(f"{path}.partial", allow_incomplete=True) as store:
        assert len(store) == 4
    monkeypatch.undo()
    assert "is left from a run that did not finish" in invoke(*command).stderr
    result = succeed(*command, "--resume")
    assert "going on after 4 of 7 sequences" in result.stderr
    assert path.read_bytes() == whole.read_bytes()


def test_a_failed_write_keeps_what_was_finished(given, whole, monkeypatch):
    from fastism.store.writer import StoreWriter

    path = given.folder / "full.h5"
    command = ("score", given.keras, given.fasta, "-o", path, "--batch", 2)
    append = StoreWriter.append

    def full(self, *batch):
        if self.consumed == 4:
            raise OSError(28, "No space left on device", str(self.path))
        append(self, *batch)

    monkeypatch.setattr(StoreWriter, "append", full)
    result = invoke(*command)
    assert (result.exit_code, result.stderr.splitlines()[-1]) == (
        5,
        f"fastism: error: {path}.partial: No space left on device. {path}.partial keeps 4 of 7 "
        "sequences; the same command with --resume goes on from there.",
    )
    monkeypatch.undo()
    result = invoke(*command, "--resume", "--content", "mutants")
    assert result.exit_code == 5
    assert "content: 'deltas' and 'mutants'" in result.stderr
    succeed(*command, "--resume")
    assert path.read_bytes() == whole.read_bytes()


def test_two_runs_on_one_output_do_not_meet(given, whole, tmp_path, monkeypatch):
    """Whichever of them holds the unfinished store, the other is refused and changes nothing."""
    from fastism.cli import folds as command
    from fastism.store import StoreWriter

    path, partial = tmp_path / "out.h5", tmp_path / "out.h5.partial"
    with Store(whole) as store:
        header = store.header

    def refused(*options):
        result = invoke("score", given.keras, given.fasta, "-o", path, "--batch", 2, *options)
        assert result.exit_code == 5
        assert f"{partial} is being written by another process" in result.stderr
        assert "--force" not in result.stderr

    with StoreWriter.create(partial, header):
        for options in ((), ("--force",), ("--resume",)):
            refused(*options)
        assert partial.exists()
    partial.unlink()

    # The other run begins while this one loads its model.
    opened, writers = command.made_ready, []

    def later(*args, **kwargs):
        writers.append(StoreWriter.create(partial, header))
        return opened(*args, **kwargs)

    monkeypatch.setattr(command, "made_ready", later)
    for options in ((), ("--force",), ("--resume",)):
        refused(*options)
        writers.pop().close()
        partial.unlink()

    # The other run ends while this one loads its model.
    def earlier(*args, **kwargs):
        path.write_bytes(whole.read_bytes())
        return opened(*args, **kwargs)

    monkeypatch.setattr(command, "made_ready", earlier)
    result = invoke("score", given.keras, given.fasta, "-o", path, "--batch", 2)
    assert (result.exit_code, "exists already" in result.stderr) == (5, True)
    assert [p.name for p in tmp_path.iterdir()] == ["out.h5"]


def test_resuming_what_is_finished_ends_well(given, whole, tmp_path):
    path = tmp_path / "out.h5"
    command = ("score", given.keras, given.fasta, "-o", path, "--batch", 2, "--resume")
    succeed(*command)
    before = path.stat().st_mtime_ns
    result = succeed(*command)
    assert result.stdout == f"{path} is finished already; it was made from the same.\n"
    assert path.stat().st_mtime_ns == before and path.read_bytes() == whole.read_bytes()
    result = invoke(*command, "--content", "mutants")
    assert result.exit_code == 5
    assert "was made from something else: content: 'deltas' and 'mutants'" in result.stderr

    table = tmp_path / "out.tsv"
    command = ("score", given.keras, given.fasta, "-o", table, "--outputs", "1", "--resume")
    succeed(*command)
    assert "its format does not say what it was made from" in succeed(*command).stdout


#: Writes one sequence and waits with the second until a signal ends it.
HELD = """
import time
import torch
from fastism.store.writer import StoreWriter

append = StoreWriter.append


def held(self, *batch):
    while self.consumed:
        time.sleep(60)
    append(self, *batch)


StoreWriter.append = held


class Model(torch.nn.Module):
    def forward(self, x):
        return (x[..., 1:] * x[..., :-1]).sum(1)[:, :2]


def build():
    return Model()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_run_that_can_go_on(given, number, tmp_path):
    (tmp_path / "held.py").write_text(HELD)
    command = ["score", "held.py:build", given.fasta, "-o", "out.h5", "--naive", "--batch", "1"]
    process = subprocess.Popen(
        [sys.executable, "-m", "fastism", *command, "--input-shape", f"4,{LENGTH}"],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    )
    # On a busy machine lines on reading the model come before.
    first = next((line for line in process.stderr if "sequences" in line), "")
    process.send_signal(number)
    rest = process.stderr.read()
    assert process.wait() == 130
    assert re.match(r"fastism: 1 of 7 sequences", first), first + rest
    assert re.fullmatch(
        r"fastism: interrupted: out.h5.partial keeps 1 of 7 sequences; .*--resume.*\n", rest
    )
    with Store(tmp_path / "out.h5.partial", allow_incomplete=True) as store:
        assert len(store) == 1


# ---- what is asked for ---------------------------------------------------------------------


def test_positions_entries_content_and_type(given, expected):
    path = given.folder / "some.h5"
    asked = ("--positions", "10:14", "--outputs", "2,0", "--content", "mutants")
    succeed("score", given.keras, given.fasta, "-o", path, *asked, "--dtype", "float16")
    with h5py.File(path) as file:
        mutants = file["outputs/0/mutants"]
        assert (mutants.shape, mutants.dtype) == ((7, 4, 4, 2), np.float16)
        wanted = expected.mutants[:, 10:14, :, [2, 0]]
        np.testing.assert_allclose(mutants[:], wanted, rtol=1e-3, atol=1e-3)
    with Store(path) as store:
        assert store.header.outputs[0].labels == ("2", "0")
        assert store.header.positions == (10, 14)


def test_entries_of_several_outputs(given):
    model = small_keras(outputs=2)
    model.save(given.folder / "two.keras")
    path = given.folder / "two.h5"
    names = ("--outputs", "mean/3:,expression")
    succeed("score", given.folder / "two.keras", given.fasta, "-o", path, *names)
    both = FastISM(model).saturate(one_hot(given.sequences)).delta()
    with Store(path) as store:
        assert [(o.name, o.shape) for o in store.header.outputs] == [
            ("expression", (3,)),
            ("mean", (2,)),
        ]
        np.testing.assert_allclose(store.deltas(0, slice(0, 7)), both[0], atol=1e-6)
        np.testing.assert_allclose(store.deltas(1, slice(0, 7)), both[1][..., 3:], atol=1e-6)


@pytest.mark.torch
def test_a_torch_module_needs_no_shape_beside_a_fasta_file(given):
    path, naive = given.folder / "torch.h5", given.folder / "naive.h5"
    succeed("score", given.torch, given.fasta, "-o", path)
    shaped = given.torch.replace(":build", ":with_shape")
    succeed("score", shaped, given.fasta, "-o", naive, "--naive")
    with Store(path) as fast, Store(naive) as slow:
        assert fast.deltas(0, slice(0, 7)).shape == (7, LENGTH, 4, 2)
        np.testing.assert_allclose(
            fast.deltas(0, slice(0, 7)), slow.deltas(0, slice(0, 7)), atol=1e-6
        )
        assert fast.header.model_hash == slow.header.model_hash
        assert slow.header.command.endswith("--naive")
        assert fast.header.outputs[0].name == "output"


def test_ambiguous_sequences_are_skipped_and_named(given, tmp_path):
    records = [(name, letters) for name, letters in promoters(4)]
    records[1] = (records[1][0], "N" + records[1][1][1:])
    fasta = write_fasta(tmp_path / "n.fa", records)
    path = tmp_path / "out.h5"
    result = succeed("score", given.keras, fasta, "-o", path, "--ambiguous", "skip")
    assert f"skipped {given.names[1]}: ambiguous letter: 'N' at position 0" in result.stderr
    assert result.stdout.startswith(
        "4 records read, 3 sequences scored, 1 skipped (1 ambiguous letter), in"
    )
    with Store(path) as store:
        assert store.skipped == [(given.names[1], "ambiguous letter: 'N' at position 0")]
    succeed("score", given.keras, fasta, "-o", path, "--ambiguous", "zero", "--force")
    with Store(path) as store:
        assert len(store) == 4
        assert not store.one_hot(slice(1, 2))[0, 0].any()


def test_intervals_are_windows_of_a_genome(given, tmp_path):
    letters = promoters(1, length=400)[0][1]
    genome = write_fasta(tmp_path / "genome.fa", [("chr1", letters)])
    bed = tmp_path / "peaks.bed.gz"
    rows = ["chr1\t90\t110\tplus\t0\t+", "chr1\t90\t110\tminus\t0\t-", "chr1\t1\t3\tedge\t0\t+"]
    bed.write_bytes(gzip.compress("\n".join(rows).encode()))
    path = tmp_path / "out.h5"
    result = succeed("score", given.keras, bed, "-o", path, "--genome", genome)
    assert "skipped edge: beyond the contig: chr1:-28-32 reaches beyond" in result.stderr
    with Store(path) as store:
        plus, minus = store.regions
        assert (plus.chrom, plus.start, plus.end, plus.strand) == ("chr1", 70, 130, "+")
        assert (minus.chrom, minus.start, minus.end, minus.strand) == ("chr1", 70, 130, "-")
        np.testing.assert_array_equal(
            store.one_hot(slice(0, 1))[0], store.one_hot(slice(1, 2))[0, ::-1, ::-1]
        )
        assert store.header.chrom_sizes == {"chr1": 400}


def test_what_is_skipped_is_counted_by_reason_and_an_error_if_so_wanted(given, tmp_path):
    letters = promoters(1, length=400)[0][1]
    genome = write_fasta(tmp_path / "genome.fa", [("chr1", letters)])
    bed, path = tmp_path / "peaks.bed", tmp_path / "out.h5"
    lines = ["chrom\tstart\tend", "1\t90\t110\ta", "1\tx\t5", "1\t1\t3\tedge", "1\t5", "7\t1\t2\tz"]
    bed.write_text("\n".join(lines))
    options = ("--genome", genome, "-o", path, "--contigs", "rename")
    result = succeed("score", given.keras, bed, *options)
    assert result.stdout.startswith(
        "5 records read, 1 sequences scored, 4 skipped (2 bad line, 1 beyond the contig, "
        "1 unknown contig), in"
    )
    assert "skipped line 3: bad line: the start is 'x', not a whole number (line 3)" in (
        result.stderr
    )
    with Store(path) as store:
        assert [r.chrom for r in store.regions] == ["chr1"]
        assert len(store.skipped) == 4
    result = invoke("score", given.keras, bed, *options, "--force", "--strict")
    assert result.exit_code == 3
    assert "4 of the 5 records of" in result.stderr and "line 5: bad line" in result.stderr
    result = succeed("score", given.keras, bed, *options, "--force", "--pad", "N")
    assert result.stdout.startswith("5 records read, 2 sequences scored")
    with Store(path) as store:
        assert store.regions[1].sequence == "N" * 28 + letters[:32].upper()
        assert "--pad N --contigs rename" in store.header.command
    table = tmp_path / "out.bedgraph"
    succeed("export", path, "-o", table, "--output", "0:1")
    ends = [tuple(map(int, line.split()[1:3])) for line in table.read_text().splitlines()]
    assert ends[0][0] == 0 and max(end for _, end in ends) == 130
    result = invoke("score", given.keras, bed, "--genome", genome, "-o", tmp_path / "no.h5")
    assert result.exit_code == 3
    assert "which calls it 'chr1' (see --contigs rename)" in result.stderr


@pytest.mark.torch
def test_sequences_for_which_a_model_is_not_finite(given, tmp_path):
    (tmp_path / "infinite.py").write_text(INFINITE)
    model, path = f"{tmp_path / 'infinite.py'}:fraction", tmp_path / "out.h5"
    records = [("low", "AT" * 30), *promoters(3), ("one", "AT" * 29 + "AG")]
    fasta = write_fasta(tmp_path / "in.fa", records)
    command = ("score", model, fasta, "-o", path, "--batch", 2)
    result = invoke(*command)
    assert result.exit_code == 4
    assert "is not finite (NaN or infinite) for 'low' or mutants" in result.stderr
    assert "--not-finite skip" in result.stderr
    result = succeed(*command, "--not-finite", "skip", "--force")
    assert "5 records read, 3 sequences scored, 2 skipped (2 not finite)" in result.stdout
    with Store(path) as store:
        assert [name for name, _ in store.skipped] == ["low", "one"]
        finite = store.deltas(0, slice(0, 3))
    succeed(*command, "--not-finite", "keep", "--force")
    naive = tmp_path / "naive.h5"
    succeed("score", model, fasta, "-o", naive, "--naive", "--not-finite", "keep")
    with Store(path) as store, Store(naive) as expected:
        assert (len(store), store.header.not_finite) == (5, "keep")
        np.testing.assert_allclose(store.deltas(0, slice(1, 4)), finite, atol=1e-6)
        deltas, known = store.deltas(0, slice(0, 5)), expected.deltas(0, slice(0, 5))
        np.testing.assert_allclose(deltas, known, atol=1e-5)
        assert np.isneginf(deltas[4]).any() and np.isfinite(deltas[4]).any()
    table, track = tmp_path / "out.tsv", tmp_path / "out.npz"
    succeed("export", path, "-o", table)
    assert invoke("export", path, "-o", track).exit_code == 5
    result = invoke(*command, "--not-finite", "skip", "--strict", "--force")
    assert result.exit_code == 2


@pytest.mark.torch
def test_a_model_that_is_finite_for_nothing_is_said_to_be_so(given, tmp_path):
    (tmp_path / "infinite.py").write_text(INFINITE)
    model = f"{tmp_path / 'infinite.py'}:logit"
    result = invoke("score", model, given.fasta, "-o", tmp_path / "out.h5")
    assert result.exit_code == 4
    assert "The model itself gives no finite output" in result.stderr
    assert "report" not in result.stderr


def test_a_changed_genome_is_noticed(given, tmp_path):
    (_, letters), (_, others) = promoters(2, length=400)
    genome, bed = tmp_path / "genome.fa", tmp_path / "peaks.bed"
    bed.write_text("chr1\t90\t110\nchr1\t190\t210\n")

    def shard(number, path, chr1, chr2):
        write_fasta(genome, [("chr1", chr1), ("chr2", chr2)])
        options = ("--genome", genome, "--batch", 1, "--shard", f"{number}/2", "--resume")
        return invoke("score", given.keras, bed, "-o", path, *options)

    parts = [tmp_path / f"part{number}.h5" for number in (1, 2)]
    assert shard(1, parts[0], letters, others).exit_code == 0
    # Letters that no window holds make no difference; the lengths stay the same.
    assert shard(2, parts[1], letters, others[::-1]).exit_code == 0
    succeed("export", *parts, "-o", tmp_path / "whole.h5")

    changed = letters[:100] + letters[99::-1] + letters[200:]
    assert shard(1, tmp_path / "other.h5", changed, others).exit_code == 0
    result = invoke("export", tmp_path / "other.h5", parts[1], "-o", tmp_path / "mixed.h5")
    assert result.exit_code == 3
    assert "they differ in input_hash" in result.stderr
    parts[0].rename(f"{parts[0]}.partial")
    result = shard(1, parts[0], changed, others)
    assert result.exit_code == 5
    assert "begun with something else: " in result.stderr
    assert "input_hash" in result.stderr


def test_another_format_is_written_at_once_and_checked_before_the_work(given):
    table = given.folder / "table.tsv"
    succeed("score", given.keras, given.fasta, "-o", table, "--outputs", "1")
    assert len(table.read_text().splitlines()) > 7 * LENGTH
    result = invoke("score", given.keras, given.fasta, "-o", given.folder / "x.bw")
    assert result.exit_code == 2
    assert not (given.folder / "x.bw.partial").exists()

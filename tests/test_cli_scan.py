"""`fastism scan`: its files, against scans of the library and sequences made by hand."""

from __future__ import annotations

import h5py
import numpy as np
import pandas
import pytest
from cli_cases import LENGTH, files, invoke, succeed
from full_disk import fill_disk
from scanned import deleted, inserted

pytestmark = pytest.mark.tensorflow
keras = pytest.importorskip("keras", reason="Keras is not installed.")

from fastism.cli.exit_codes import Exit  # noqa: E402
from fastism.genomics.flanks import flank  # noqa: E402
from fastism.genomics.genome import Genome  # noqa: E402
from fastism.genomics.regions import Region  # noqa: E402
from fastism.sequences import one_hot  # noqa: E402


def predicted(outputs):
    """Outputs of a model as an array, on every backend of Keras."""
    return keras.ops.convert_to_numpy(outputs)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return files(tmp_path_factory.mktemp("scan"), count=3)


def effects(given, sequences, i):
    """What the model gives for sequences made by hand, minus what it gives for sequence i."""
    made = predicted(given.model(sequences.astype("float32")))
    return made - predicted(given.model(one_hot(given.sequences[i])))


def test_arrays_hold_every_deletion_and_insertion(given, tmp_path):
    out = tmp_path / "scan.h5"
    result = succeed(
        *("scan", given.keras, given.fasta, "--delete", "1,3", "--insert", "gata"),
        *("--fill", "ACGT", "-o", out, "-q"),
    )
    assert "3 records read, 3 sequences scored, 0 skipped" in result.stdout
    rows = one_hot("ACGT")[0]
    with h5py.File(out) as file:
        assert list(file["changes"].asstr()) == ["-1", "-3", "+GATA"]
        assert list(file["names"].asstr()) == given.names
        assert file.attrs["anchor"] == "left"
        delta = file["expression/delta"]
        assert delta.shape == (3, 3, LENGTH, 3)
        for i, sequence in enumerate(given.sequences):
            x = one_hot(sequence)[0]
            for change, width in enumerate((1, 3)):
                mutants = deleted(x, width, rows[:0], rows, "left")
                np.testing.assert_allclose(delta[i, change], effects(given, mutants, i), atol=1e-5)
            words = inserted(x, one_hot("GATA")[0], "left")
            np.testing.assert_allclose(delta[i, 2], effects(given, words, i), atol=1e-5)


def test_info_says_what_a_scan_holds(given, tmp_path):
    out = tmp_path / "scan.h5"
    command = ("--delete", "1,3", "--insert", "gata", "--positions", "10:13", "-o", out, "-q")
    succeed("scan", given.keras, given.fasta, *command)
    shown = dict(line.split(maxsplit=1) for line in succeed("info", out).stdout.splitlines())
    assert (shown["scan"], shown["changes"]) == ("3 sequences", "-1, -3, +GATA")
    assert (shown["sequences"], shown["changed"]) == (f"{LENGTH} positions", "positions 10:13")
    assert shown["output"].split(maxsplit=1)[1] == "expression (3,)"
    assert shown["model"].startswith("small.keras (sha256 ")
    assert shown["input"].startswith("promoters.fa (sha256 ")
    assert (shown["anchor"], shown["fill"]) == ("left", "N")


def test_a_table_has_a_line_for_every_change_and_position(given, tmp_path):
    out = tmp_path / "scan.tsv"
    command = ("--delete", "2", "--anchor", "right", "--positions", "10:13", "--outputs", "1")
    succeed("scan", given.keras, given.fasta, *command, "-o", out)
    table = pandas.read_csv(out, sep="\t")
    assert list(table.columns) == ["name", "chrom", "position", "strand", "change", "effect_1"]
    assert len(table) == 9
    assert table["position"].tolist() == [10, 11, 12] * 3
    x, zeros = one_hot(given.sequences[1])[0], np.zeros((2, 4))
    truth = effects(given, deleted(x, 2, zeros, zeros[:0], "right"), 1)[10:13, 1]
    np.testing.assert_allclose(table["effect_1"][3:6], truth, atol=1e-5)


def test_the_genome_moves_in_on_both_strands(given, tmp_path):
    genome = tmp_path / "genome.fa"
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))
    genome.write_text(f">chr1\n{letters}\n")
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr1\t50\t110\ta\t0\t+\nchr1\t50\t110\tb\t0\t-\n")
    out = tmp_path / "scan.h5"
    succeed(
        *("scan", given.keras, bed, "--genome", genome, "--delete", "4", "--fill", "genome"),
        *("-o", out, "-q"),
    )
    complement = str.maketrans("ACGT", "TGCA")
    around = {"+": letters[50:114], "-": letters[46:110].translate(complement)[::-1]}
    with h5py.File(out) as file:
        for i, strand in enumerate("+-"):
            x = one_hot(around[strand])[0]
            mutants = deleted(x[:60], 4, x[:0], x[60:], "left").astype("float32")
            truth = predicted(given.model(mutants)) - predicted(given.model(x[None, :60]))
            np.testing.assert_allclose(file["expression/delta"][i, 0], truth, atol=1e-5)


def test_on_the_minus_strand_left_is_the_end_with_the_largest_coordinate(given, tmp_path):
    genome, bed, out = (tmp_path / name for name in ("genome.fa", "peaks.bed", "scan.tsv"))
    letters = "".join(np.random.default_rng(0).choice(list("ACGT"), 200))
    genome.write_text(f">chr1\n{letters}\n")
    bed.write_text("chr1\t50\t110\tb\t0\t-\n")
    command = ("--delete", "3", "--fill", "genome", "--positions", "20:21", "--outputs", "0")
    succeed("scan", given.keras, bed, "--genome", genome, *command, "-o", out, "-q")
    table = pandas.read_csv(out, sep="\t")
    p = 109 - 20
    assert table["position"].tolist() == [p]
    # The right end on the genome stays; letters of smaller coordinates move towards it.
    plus = [letters[50:110], letters[47 : p - 2] + letters[p + 1 : 110]]
    minus = [each.translate(str.maketrans("ACGT", "TGCA"))[::-1] for each in plus]
    before, after = predicted(given.model(one_hot(minus)))
    np.testing.assert_allclose(table["effect_0"], [(after - before)[0]], atol=1e-5)


FLANKS = {
    "follows": ("+", "left", 4, 8, 3, "ACG"),
    "precedes": ("+", "right", 4, 8, 3, "CGT"),
    "follows on minus": ("-", "left", 4, 8, 3, "ACG"),
    "beyond the end": ("+", "left", 4, 10, 4, "GTNN"),
    "beyond the start": ("+", "right", 1, 8, 3, "NNA"),
    "nothing there": ("+", "left", 4, 12, 2, "NN"),
}


@pytest.mark.parametrize("case", FLANKS)
def test_flanks_follow_the_strand_and_end_with_the_chromosome(case, tmp_path):
    strand, anchor, start, end, width, expected = FLANKS[case]
    (tmp_path / "g.fa").write_text(">c\nACGTACGTACGT\n")
    with Genome(tmp_path / "g.fa") as genome:
        region = Region("r", "", "c", start, end, strand)
        assert flank(genome, region, width, anchor) == expected


MISTAKES = {
    "nothing to do": ((), Exit.USAGE, "nothing to scan"),
    "no width": (("--delete", "0"), Exit.USAGE, "expected whole numbers"),
    "no word": (("--insert", "GAXA"), Exit.USAGE, "words of the letters ACGT"),
    "short fill": (("--delete", "3", "--fill", "AC"), Exit.USAGE, "3 letters move in"),
    "no genome": (("--delete", "3", "--fill", "genome"), Exit.USAGE, "needs a BED file"),
    "format": (("--delete", "1", "-o", "out.bw"), Exit.USAGE, "names no format"),
    "too wide": (("--delete", "61"), Exit.MODEL, "1 to 60 letters"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(given, case, tmp_path, monkeypatch):
    options, code, message = MISTAKES[case]
    monkeypatch.chdir(tmp_path)
    end = () if "-o" in options else ("-o", "out.tsv")
    result = invoke("scan", given.keras, given.fasta, *options, *end)
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1)
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("room", [0, 1000, 5000, 10_000])
def test_a_full_disk_is_one_line_and_leaves_nothing(given, tmp_path, room, monkeypatch):
    fill_disk(monkeypatch, room)
    out = tmp_path / "scan.h5"
    result = invoke("scan", given.keras, given.fasta, "--delete", "1,3", "-o", out, "-q")
    assert (result.exit_code, result.stderr.count("\n")) == (Exit.OUTPUT, 1), result.stderr
    assert "scan.h5 cannot be written (No space left on device). Free space" in result.stderr
    assert not list(tmp_path.iterdir())


def test_an_output_is_not_replaced_unasked(given, tmp_path):
    out = tmp_path / "scan.tsv"
    out.write_text("precious")
    command = ("scan", given.keras, given.fasta, "--delete", "1", "--positions", "0:2", "-o", out)
    result = invoke(*command)
    assert result.exit_code == Exit.OUTPUT and out.read_text() == "precious"
    succeed(*command, "--force")
    assert out.read_text().startswith("name\t")

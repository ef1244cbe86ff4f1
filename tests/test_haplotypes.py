"""`fastism variants --phased`: joint effects against the model on haplotypes made by hand."""

from __future__ import annotations

import csv

import pytest

torch = pytest.importorskip("torch", reason="the model is a torch module")
pytest.importorskip("typer", reason="the command line needs the extra cli")
pytest.importorskip("pyfaidx", reason="genomes are read by pyfaidx, of the extra cli")

from cli_cases import invoke, succeed  # noqa: E402
from genome_files import random_letters, write_fasta  # noqa: E402

from fastism.genomics.genome import reverse_complement  # noqa: E402
from fastism.genomics.phased import Copy, read_calls  # noqa: E402
from fastism.sequences import one_hot  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH = 60
ONE = random_letters(300, 1)
MODEL = """
import torch

def build():
    torch.manual_seed(3)
    return torch.nn.Sequential(
        torch.nn.Conv1d(4, 6, 5, padding=2), torch.nn.ReLU(), torch.nn.MaxPool1d(2),
        torch.nn.Flatten(), torch.nn.Linear(180, 2),
    )

def linear():
    torch.manual_seed(4)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 1))
"""
HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tA\tB\n"
#: Position, letters there, what stands instead, genotypes of two samples.
OTHER = {"A": "C", "C": "G", "G": "T", "T": "A"}


def record(pos0, alt, *genotypes, ref=None, form="GT"):
    ref = ONE[pos0] if ref is None else ref
    columns = ("chr1", pos0 + 1, f"v{pos0}", ref, alt, ".", ".", ".", form, *genotypes)
    return "\t".join(map(str, columns)) + "\n"


def letter(pos0):
    return OTHER[ONE[pos0]]


#: Window 90:150 is that of the stretch 105:135 with --share 30 and a length of 60: 120 - 30 = 90.
FAR, NEAR, BOTH, DELETED, LATER = 121, 122, 140, 130, 147
RECORDS = [
    record(FAR, letter(FAR), "0|1", "1|0"),
    record(NEAR, letter(NEAR), "0|1", "0|1"),
    record(DELETED, ONE[DELETED], "0|0", "1|0", ref=ONE[DELETED : DELETED + 3]),
    record(BOTH, letter(BOTH), "1/1", "0/1"),
    record(LATER, f"{letter(LATER)},*", "2|1", "0|0"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("haplotypes")
    (made / "model.py").write_text(MODEL)
    write_fasta(made / "genome.fa", {"chr1": ONE})
    (made / "phased.vcf").write_text(HEADER + "".join(RECORDS))
    for strand in "+-":
        (made / f"peak{strand}.bed").write_text(f"chr1\t110\t150\tpeak\t0\t{strand}\n")
    return made


def words(folder, output, *more, model="build", vcf="phased.vcf"):
    given = (f"{folder / 'model.py'}:{model}", folder / vcf, "--genome", folder / "genome.fa")
    return ("variants", *given, "--input-shape", "4,60", "--phased", "-o", folder / output, *more)


def rows_of(path):
    with path.open(newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def predicted(folder, letters):
    """Outputs of the model for one sequence."""
    names: dict = {}
    exec((folder / "model.py").read_text(), names)
    x = torch.tensor(one_hot([letters]).transpose(0, 2, 1).astype("f4"))
    with torch.no_grad():
        return names["build"]().eval()(x).numpy()[0]


def haplotype(*places):
    """The chromosome with letters exchanged, and three letters made one where they are deleted."""
    made = ""
    at = 0
    for place in sorted(places):
        new, width = (ONE[place], 3) if place == DELETED else (letter(place), 1)
        made += ONE[at:place] + new
        at = place + width
    return made + ONE[at:]


@pytest.mark.parametrize("strand", "+-")
@pytest.mark.parametrize("naive", [False, True], ids=["fast", "naive"])
def test_joint_effects_are_what_the_model_says(folder, strand, naive):
    output = folder / f"effects{strand}{naive}.tsv"
    regions = ("--regions", folder / f"peak{strand}.bed")
    ended = succeed(*words(folder, output.name, *regions, *["--naive"] * naive))
    assert "5 haplotypes" not in ended.stdout
    singles = {int(row["pos"]) - 1: row for row in rows_of(output) if row["status"] == "scored"}
    rows = rows_of(output.with_name(f"effects{strand}{naive}.haplotypes.tsv"))
    # Sample A has BOTH on both copies; B has no phase for it.
    expected = {
        "A|2": (FAR, NEAR, BOTH, LATER),
        "B|1": (FAR, DELETED),
    }
    assert {row["carriers"]: row["copies"] for row in rows} == dict.fromkeys(expected, "1")
    assert [row["haplotype"] for row in rows] == ["H1", "H2"]
    assert "1 unphased genotypes left out" in ended.stderr
    for row in rows:
        assert row["status"] == "scored"
        members = expected[row["carriers"]]
        assert row["method"] == ("naive" if naive or DELETED in members else "fast")
        first, last = int(row["window_start"]), int(row["window_end"])
        before, after = ONE[first:last], haplotype(*members)[first:last]
        if strand == "-":
            before, after = reverse_complement(before), reverse_complement(after)
        joint = predicted(folder, after) - predicted(folder, before)
        for entry in (0, 1):
            summed = sum(float(singles[place][f"effect_{entry}"]) for place in members)
            assert float(row[f"joint_{entry}"]) == pytest.approx(joint[entry], abs=2e-6)
            assert float(row[f"sum_{entry}"]) == pytest.approx(summed, abs=2e-6)
            difference = float(row[f"joint_{entry}"]) - float(row[f"sum_{entry}"])
            assert float(row[f"difference_{entry}"]) == pytest.approx(difference, abs=2e-6)
        # The convolution sees FAR and NEAR together, and the deletion from afar.
        assert row["additive"] == ("no" if NEAR in members else "yes")
    assert rows[0]["variants"].split(";")[0] == f"chr1:{FAR + 1}:{ONE[FAR]}>{letter(FAR)}"


def test_a_linear_model_is_additive_and_windows_are_shared_without_being_told(folder):
    ended = succeed(*words(folder, "linear.vcf", model="linear"))
    assert "variants in the same 30 bases share a window" in ended.stderr
    rows = rows_of(folder / "linear.haplotypes.tsv")
    # Stretches of 30: 120 to 149 holds all of them.
    assert {row["window_start"] for row in rows} == {"105"}
    assert {row["carriers"]: row["additive"] for row in rows if row["method"] == "fast"} == {
        "A|2": "yes"
    }
    assert "2 haplotypes of two variants or more scored" in ended.stderr
    assert "FASTISM_EFFECT" in (folder / "linear.vcf").read_text()


def test_variants_that_cannot_stand_together_say_so(folder):
    records = [
        record(120, "A", "0|0", "1|1", ref="N"),
        record(FAR, letter(FAR), "1|0", "0|1"),
        record(FAR, ONE[FAR], "1|0", "0|0", ref=ONE[FAR : FAR + 2]),
    ]
    (folder / "odd.vcf").write_text(HEADER + "".join(records))
    succeed(*words(folder, "odd.tsv", vcf="odd.vcf"))
    rows = rows_of(folder / "odd.haplotypes.tsv")
    assert {row["carriers"]: (row["status"], row["joint_0"]) for row in rows} == {
        "A|1": ("overlapping_variants", "NA"),
        "B|2": ("variant_not_scored", "NA"),
    }


def test_what_cannot_have_haplotypes_is_refused(folder):
    (folder / "bare.vcf").write_text(
        "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\n"
        f"chr1\t{FAR + 1}\t.\t{ONE[FAR]}\t{letter(FAR)}\n"
    )
    ended = invoke(*words(folder, "bare.tsv", vcf="bare.vcf"))
    assert (ended.exit_code, "names no samples" in ended.stderr) == (3, True)
    mixed = [record(pos0, letter(pos0), "1|0", "1|0") for pos0 in (100, 200, 101)]
    (folder / "mixed.vcf").write_text(HEADER + "".join(mixed))
    ended = invoke(*words(folder, "mixed.tsv", "--batch", 1, vcf="mixed.vcf"))
    assert "Sort the VCF by position" in ended.stderr
    assert not (folder / "mixed.tsv").exists()
    (folder / "there.haplotypes.tsv").touch()
    ended = invoke(*words(folder, "there.tsv"))
    assert (ended.exit_code, "there.haplotypes.tsv exists already" in ended.stderr) == (5, True)


def test_phase_sets_and_genotypes_of_all_kinds(tmp_path):
    path = tmp_path / "calls.vcf"
    path.write_text(
        HEADER
        + record(10, "A", "0|1:7", "1", form="GT:PS")
        + record(11, "A,C", "1|2:.", "./.", form="GT:PS")
        + record(12, "A", "0/1", ".|1")
        + record(13, "A", "5", "6", form="DP")
    )
    first, second, third, last = read_calls(path)
    assert first.carried == ((Copy("A", 2), "7", 1), (Copy("B", 1), None, 1))
    assert second.carried == ((Copy("A", 1), "", 1), (Copy("A", 2), "", 2))
    assert (third.carried, third.unphased) == (((Copy("B", 2), "", 1),), 1)
    assert (last.carried, last.unphased) == ((), 0)

"""`fastism variants` from files to files, and how it ends when something is wrong."""

from __future__ import annotations

import csv
import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the model is a Keras model")
pytest.importorskip("typer", reason="the command line needs the extra cli")
pytest.importorskip("pyfaidx", reason="genomes are read by pyfaidx, of the extra cli")

from genome_files import random_letters, write_fasta  # noqa: E402
from keras import layers  # noqa: E402
from random_models import randomise  # noqa: E402

from fastism.cli import app  # noqa: E402
from fastism.cli.exit_codes import Exit  # noqa: E402
from fastism.genomics.genome import reverse_complement  # noqa: E402
from fastism.sequences import one_hot  # noqa: E402

pytestmark = pytest.mark.tensorflow

LENGTH = 60
CHROMOSOMES = {"chr1": random_letters(300, 1), "chr2": random_letters(150, 2)}
ONE = CHROMOSOMES["chr1"]
HEADER = (
    "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n##contig=<ID=chr2>\n"
    '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
    "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
)


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def run(capfd, monkeypatch) -> Callable[..., Ended]:
    monkeypatch.setattr(app, "COMMANDS", ("variants", "info"))
    command = app.application.__wrapped__()

    def call(*words: object) -> Ended:
        with pytest.raises(SystemExit) as ended:
            command(["variants", *map(str, words)])
        return Ended(ended.value.code, *capfd.readouterr())

    return call


def save_model(folder: Path, name: str, outputs: int, length: int | None = LENGTH) -> keras.Model:
    """sequence -- conv -- global mean -- dense(3)  [-- another dense(1)]."""
    inputs = keras.Input((length, 4))
    x = layers.Conv1D(6, 5, padding="same", activation="relu")(inputs)
    x = layers.GlobalMaxPooling1D()(x)
    made = [layers.Dense(3, name="three")(x), layers.Dense(1, name="one")(x)]
    model = keras.Model(inputs, made[:outputs])
    randomise(model, 3)
    model.save(folder / name)
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("variants")
    write_fasta(made / "genome.fa", CHROMOSOMES)
    save_model(made, "one.keras", 1)
    save_model(made, "two.keras", 2)
    save_model(made, "open.keras", 1, None)
    return made


def other(letters: str) -> str:
    return letters.translate(str.maketrans("ACGT", "GTAC"))


def alt(pos: int, shift: int = 1) -> str:
    return "ACGT"[("ACGT".index(ONE[pos - 1]) + shift) % 4]


def record(pos: int, ref: str, alts: str, info: str = ".", chrom: str = "chr1") -> str:
    return f"{chrom}\t{pos}\tv{pos}\t{ref}\t{alts}\t.\tPASS\t{info}\n"


RECORDS = [
    record(120, ONE[119], f"{alt(120)},{alt(120, 2)},{ONE[119]}GGA", "DP=7"),
    record(118, ONE[117:120], ONE[117]),
    record(121, ONE[120:123], f"{alt(121)}{ONE[121]}{alt(123)}"),
    record(122, alt(122), ONE[121]),
    record(123, ONE[122], f"<DEL>,{alt(123)}", "DB"),
    record(3, ONE[2], alt(3)),
    record(9, "A", "C", chrom="chrX"),
    record(150, ONE[149], f"{alt(150)}"),
]


@pytest.fixture
def vcf(tmp_path) -> Path:
    path = tmp_path / "in.vcf"
    path.write_text(HEADER + "".join(RECORDS))
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def expected(model: keras.Model, row: dict[str, str]) -> tuple[np.ndarray, np.ndarray]:
    """Reference and effect by the model itself, on the window of the mutated chromosome."""
    start, end, pos0 = int(row["window_start"]), int(row["window_end"]), int(row["pos"]) - 1
    letters = CHROMOSOMES[row["chrom"]]
    mutated = letters[:pos0] + row["alt"] + letters[pos0 + len(row["ref"]) :]
    pair = [letters[start:end], mutated[start:end]]
    if row["strand"] == "-":
        pair = [reverse_complement(x) for x in pair]
    made = model(one_hot(pair), training=False)
    made = np.concatenate([np.asarray(y) for y in keras.tree.flatten(made)], axis=1)
    return made[0], made[1] - made[0]


def check(model: keras.Model, table: list[dict[str, str]], labels: list[str]) -> int:
    """All scored rows against the model; how many there are."""
    scored = [row for row in table if row["status"] == "scored"]
    for row in scored:
        for name, values in zip(("reference", "effect"), expected(model, row), strict=True):
            got = [float(row[f"{name}_{label}" if label else name]) for label in labels]
            np.testing.assert_allclose(got, values, rtol=1e-4, atol=1e-5)
    return len(scored)


STATUSES = [
    *["scored"] * 3,
    "scored",
    "scored",
    "reference_mismatch",
    *("symbolic_allele", "scored"),
    "window_off_chromosome",
    "unknown_chromosome",
    "scored",
]


@pytest.mark.parametrize("extra", [[], ["--share", 10], ["--naive"], ["--batch", 1]], ids=str)
def test_a_table_of_every_alternative(run, folder, vcf, tmp_path, extra):
    out = tmp_path / "out.tsv"
    model = keras.models.load_model(folder / "one.keras")
    ended = run(folder / "one.keras", vcf, "--genome", folder / "genome.fa", "-o", out, *extra)
    assert (ended.code, ended.out.split(",")[0]) == (Exit.DONE, "11 variants read: 7 scored")
    assert ended.out.strip().endswith(str(out))
    table = rows(out)
    assert [row["status"] for row in table] == STATUSES
    assert check(model, table, ["0", "1", "2"]) == 7
    methods = [row["method"] for row in table]
    slow = "naive"
    fast = "naive" if extra == ["--naive"] else "fast"
    assert methods == [fast, fast, slow, slow, fast, "NA", "NA", fast, "NA", "NA", fast]
    assert {k: table[5][k] for k in ("window_start", "effect_0", "reference_2")} == {
        "window_start": "NA",
        "effect_0": "NA",
        "reference_2": "NA",
    }
    assert [row["id"] for row in table[:4]] == ["v120"] * 3 + ["v118"]


def test_several_outputs_compressed_and_chosen(run, folder, vcf, tmp_path):
    model = keras.models.load_model(folder / "two.keras")
    given = [folder / "two.keras", vcf, "--genome", folder / "genome.fa", "-q"]
    every, some = tmp_path / "every.tsv.gz", tmp_path / "some.tsv"
    assert run(*given, "-o", every).code == 0
    assert check(model, rows(every), ["three_0", "three_1", "three_2", "one"]) == 7
    ended = run(*given, "-o", some, "--outputs", "0/2,1")
    assert ended.code == 0
    assert list(rows(some)[0])[10:] == [
        "reference_three_2",
        "effect_three_2",
        "reference_one",
        "effect_one",
    ]
    assert rows(some)[0]["effect_three_2"] == rows(every)[0]["effect_three_2"]


def test_regions_are_the_windows(run, folder, vcf, tmp_path):
    bed = tmp_path / "peaks.bed"
    bed.write_text("chr1\t90\t150\ta\t0\t-\nchr1\t130\t190\tb\t0\t+\nchr1\t0\t9\tc\n")
    out = tmp_path / "out.tsv"
    ended = run(
        *(folder / "one.keras", vcf, "--genome", folder / "genome.fa", "-o", out, "--regions", bed)
    )
    assert ended.code == 0
    assert "1 regions are left out; the first, c: beyond the contig: chr1:-26-34" in ended.err
    table = rows(out)
    assert check(keras.models.load_model(folder / "one.keras"), table, ["0", "1", "2"]) == 7
    windows = {(r["window_start"], r["window_end"], r["strand"]) for r in table}
    assert windows == {("90", "150", "-"), ("130", "190", "+"), ("NA", "NA", "NA")}
    assert table[8]["status"] == "no_region"


# ---- VCF ---------------------------------------------------------------------------------


def infos(path: Path) -> list[dict[str, str]]:
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as handle:
        lines = [line.rstrip("\n").split("\t") for line in handle if not line.startswith("#")]
    return [dict(i.partition("=")[::2] for i in fields[7].split(";")) for fields in lines]


@pytest.mark.parametrize("name", ["out.vcf", "out.vcf.gz"])
def test_the_vcf_with_fields_added(run, folder, vcf, tmp_path, name):
    table, out = tmp_path / "out.tsv", tmp_path / name
    given = [folder / "two.keras", vcf, "--genome", folder / "genome.fa", "--outputs", "0/1,1"]
    assert run(*given, "-o", table).code == run(*given, "-o", out).code == 0
    alleles = iter(rows(table))
    made = infos(out)
    assert len(made) == len(RECORDS)
    for line, info in zip(RECORDS, made, strict=True):
        own = [next(alleles) for _ in line.split("\t")[4].split(",")]
        assert info["FASTISM_STATUS"] == ",".join(row["status"] for row in own)
        if "scored" not in info["FASTISM_STATUS"]:
            assert "FASTISM_EFFECT" not in info
            continue
        effects = [row[k] for row in own for k in ("effect_three_1", "effect_one")]
        assert info["FASTISM_EFFECT"] == ",".join(x.replace("NA", ".") for x in effects)
        assert info["FASTISM_METHOD"] == ",".join(r["method"].replace("NA", ".") for r in own)
        first = next(row for row in own if row["status"] == "scored")
        assert info["FASTISM_REF"] == f"{first['reference_three_1']},{first['reference_one']}"
    assert (made[0]["DP"], made[4]["DB"]) == ("7", "")
    if name.endswith("gz"):
        assert out.read_bytes()[12:14] == b"BC"


def test_an_independent_reader_understands_the_vcf(run, folder, vcf, tmp_path):
    pysam = pytest.importorskip("pysam", reason="pysam is the independent reader")
    out = tmp_path / "out.vcf.gz"
    given = [folder / "one.keras", vcf, "--genome", folder / "genome.fa", "--outputs", "1"]
    assert run(*given, "-o", out).code == 0
    with pysam.VariantFile(str(out)) as file:
        records = list(file)
        fields = file.header.info
        assert fields["FASTISM_EFFECT"].number == "A"
        assert "fastism-suite" in fields["FASTISM_EFFECT"].description
        assert "reference_mismatch" in fields["FASTISM_STATUS"].description
    assert [(r.chrom, r.pos) for r in records][:2] == [("chr1", 120), ("chr1", 118)]
    assert len(records[0].info["FASTISM_EFFECT"]) == 3
    assert records[4].info["FASTISM_EFFECT"][0] is None
    assert records[3].info["FASTISM_STATUS"] == ("reference_mismatch",)


def test_running_again_on_its_own_output_replaces_the_fields(run, folder, vcf, tmp_path):
    once, twice = tmp_path / "once.vcf", tmp_path / "twice.vcf"
    model, genome = folder / "one.keras", folder / "genome.fa"
    assert run(model, vcf, "--genome", genome, "-o", once).code == 0
    assert run(model, once, "--genome", genome, "-o", twice).code == 0
    assert twice.read_text() == once.read_text()


def test_a_file_without_variants_gives_a_header(run, folder, tmp_path):
    empty, out = tmp_path / "empty.vcf", tmp_path / "out.tsv"
    empty.write_text(HEADER)
    ended = run(folder / "one.keras", empty, "--genome", folder / "genome.fa", "-o", out)
    assert (ended.code, ended.out.startswith("0 variants read, in")) == (0, True)
    assert len(out.read_text().splitlines()) == 1


@pytest.mark.parametrize("text", ["", "\n \n"], ids=["no byte", "blank lines"])
def test_an_empty_file_is_no_vcf(run, folder, tmp_path, text):
    empty, out = tmp_path / "empty.vcf", tmp_path / "out.tsv"
    empty.write_text(text)
    ended = run(folder / "one.keras", empty, "--genome", folder / "genome.fa", "-o", out)
    assert (ended.code, ended.err.count("\n")) == (Exit.INPUT, 1)
    assert "empty.vcf is empty. Expected a VCF file, with a header" in ended.err
    assert not out.exists()


def test_the_wrong_genome_is_pointed_out(run, folder, vcf, tmp_path):
    wrong = write_fasta(tmp_path / "other.fa", {"chr1": ONE[:121] + other(ONE[121:])})
    ended = run(folder / "one.keras", vcf, "--genome", wrong, "-o", tmp_path / "out.tsv")
    assert ended.code == 0
    assert "variants do not fit other.fa: is it the genome" in ended.err


# ---- what can go wrong -------------------------------------------------------------------


@pytest.fixture
def wrong(run, folder, vcf, tmp_path) -> Callable[..., Ended]:
    """Run with some arguments replaced; nothing may be left at the place of the output."""

    def call(**changes: object) -> Ended:
        model = changes.pop("model", folder / "one.keras")
        given = {"genome": folder / "genome.fa", "out": tmp_path / "out.tsv"}
        source = changes.pop("vcf", vcf)
        words = [model, source]
        for name, value in (given | changes).items():
            words += [f"--{name}"] + ([] if value is True else [value])
        ended = run(*words)
        assert len(ended.err.strip().splitlines()) == 1, ended.err
        assert ended.err.startswith("fastism: ")
        left = sorted(p.name for p in tmp_path.iterdir() if "out" in p.name)
        assert left in ([], ["out.exists.tsv"])
        return ended

    return call


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"out": "out.txt"}, Exit.USAGE, "expected .tsv, .tsv.gz, .vcf, .vcf.gz"),
        ({"share": 61}, Exit.USAGE, "expected 1 to 60"),
        ({"share": 0}, Exit.USAGE, "--share"),
        ({"share": 5, "regions": "peaks.bed"}, Exit.USAGE, "give one of them"),
        ({"alphabet": "rna"}, Exit.USAGE, "A, C, G, T in some order"),
        ({"outputs": "3"}, Exit.USAGE, "--outputs 3"),
        ({"ambiguous": "no"}, Exit.USAGE, "--ambiguous"),
        ({"vcf": "absent.vcf"}, Exit.INPUT, "no file absent.vcf. Expected a VCF file"),
        ({"genome": "absent.fa"}, Exit.INPUT, "no file absent.fa. Expected a genome"),
        ({"regions": "absent.bed"}, Exit.INPUT, "no file absent.bed. Expected a BED file"),
        ({"model": "absent.keras"}, Exit.MODEL, "absent.keras"),
        ({"out": "absent/out.tsv"}, Exit.OUTPUT, "no folder absent"),
    ],
)
def test_arguments_that_cannot_be(wrong, changes, code, message):
    ended = wrong(**changes)
    assert ended.code == code
    assert message in ended.err


def test_files_that_are_wrong_inside(wrong, folder, tmp_path):
    bad = tmp_path / "bad.vcf"
    bad.write_text("chr1\t3\t.\tA\tC\n")
    ended = wrong(vcf=bad, out=tmp_path / "out.vcf")
    assert (ended.code, "no header line #CHROM" in ended.err) == (Exit.INPUT, True)
    plain = tmp_path / "plain.fa.gz"
    plain.write_bytes(gzip.compress((folder / "genome.fa").read_bytes()))
    ended = wrong(genome=plain)
    assert (ended.code, "bgzip" in ended.err) == (Exit.INPUT, True)


def test_one_bad_line_does_not_end_a_run(run, folder, tmp_path):
    bad, peaks = tmp_path / "bad.vcf", tmp_path / "peaks.bed"
    bad.write_bytes(
        (HEADER + RECORDS[0] + "chr1\tx\t.\tA\tC\t.\t.\t.\nchr1\t5\n").encode()
        + record(121, ONE[120], alt(121)).encode().replace(b"PASS", b"caf\xe9")
    )
    peaks.write_text("chr1\t5\nchr1\t90\t150\n")
    given = [folder / "one.keras", bad, "--genome", folder / "genome.fa"]
    table, vcf = tmp_path / "out.tsv", tmp_path / "out.vcf"
    ended = run(*given, "-o", table, "--regions", peaks)
    assert ended.code == 0
    assert "11 " not in ended.out and "6 variants read: 4 scored, 2 bad_line" in ended.out
    assert "line 7: bad_line (POS is 'x', not a position counted from 1)." in ended.err
    assert "1 regions are left out; the first, line 1: bad line: 2 columns" in ended.err
    made = rows(table)
    assert [row["status"] for row in made] == [*["scored"] * 3, *["bad_line"] * 2, "scored"]
    assert [made[i]["pos"] for i in (3, 4)] == ["NA", "5"]
    assert run(*given, "-o", vcf).code == 0
    lines = [x for x in vcf.read_bytes().splitlines() if not x.startswith(b"#")]
    assert lines[1].endswith(b"FASTISM_STATUS=bad_line") and lines[2] == b"chr1\t5"
    assert b"caf\xe9" in lines[3] and b"FASTISM_STATUS=scored" in lines[3]
    ended = run(*given, "-o", tmp_path / "strict.tsv", "--strict")
    assert (ended.code, "line 7: bad_line" in ended.err) == (Exit.INPUT, True)
    assert not (tmp_path / "strict.tsv").exists()


def test_strict_lists_what_cannot_be_scored(run, folder, tmp_path):
    vcf = tmp_path / "several.vcf"
    wrong = "".join(record(400 + i, "A", "<DEL>") for i in range(6))
    vcf.write_text(HEADER + wrong + "chr1\t5\n" + RECORDS[0])
    given = (folder / "one.keras", vcf, "--genome", folder / "genome.fa")
    ended = run(*given, "-o", tmp_path / "out.tsv", "--strict")
    assert (ended.code, ended.err.count("\n")) == (Exit.INPUT, 1)
    first = HEADER.count("\n") + 1
    assert (
        f"7 of the 10 variants of {vcf} cannot be scored; without --strict they would be skipped. "
        f"line {first}: symbolic_allele (ALT is symbolic, such as <DEL>); line {first + 1}: "
    ) in ended.err
    assert ended.err.endswith("; and 2 more.\n")


def test_nothing_that_can_be_scored_is_an_error(wrong, tmp_path):
    other = tmp_path / "other.vcf"
    other.write_text(HEADER + "".join(RECORDS).replace("chr", ""))
    ended = wrong(vcf=other)
    assert ended.code == Exit.INPUT
    assert "None of the 11 variants can be scored. line 6: unknown_chromosome" in ended.err
    assert "which calls it 'chr1' (see --contigs rename)" in ended.err
    other.write_text(HEADER + record(400, "A", "C"))
    ended = wrong(vcf=other)
    assert (ended.code, ended.err.count("\n")) == (Exit.INPUT, 1)
    assert "off_chromosome (position 400 is not on chr1, which has 300 bases)" in ended.err
    other.write_text(HEADER + record(3, ONE[2], alt(3)))
    assert "window_off_chromosome (the window reaches beyond" in wrong(vcf=other).err


def test_contigs_are_renamed_and_windows_padded_on_request(run, folder, vcf, tmp_path):
    other, out, plain = tmp_path / "other.vcf", tmp_path / "out.tsv", tmp_path / "plain.tsv"
    other.write_text(HEADER + "".join(RECORDS).replace("chr", ""))
    genome = ["--genome", folder / "genome.fa", "--pad", "N"]
    assert run(folder / "one.keras", vcf, *genome, "-o", plain).code == 0
    ended = run(folder / "one.keras", other, *genome, "-o", out, "--contigs", "rename")
    assert ended.code == 0
    made, expected = rows(out), rows(plain)
    assert [row["status"] for row in made].count("scored") == 8
    assert [{**row, "chrom": "chr" + row["chrom"]} for row in made] == expected
    assert made[8]["window_start"] == "-28"


def test_unknown_letters_end_the_command_if_so_wanted(wrong, tmp_path):
    unknown = write_fasta(tmp_path / "n.fa", {"chr1": ONE[:130] + "N" + ONE[131:]})
    ended = wrong(genome=unknown, ambiguous="error")
    assert ended.code == Exit.INPUT
    assert "holds 'N'" in ended.err


def test_an_output_that_exists_is_kept_unless_forced(wrong, run, folder, vcf, tmp_path):
    out = tmp_path / "out.exists.tsv"
    out.write_text("mine")
    ended = wrong(out=out)
    assert (ended.code, "--force" in ended.err) == (Exit.OUTPUT, True)
    assert out.read_text() == "mine"
    given = [folder / "one.keras", vcf, "--genome", folder / "genome.fa", "-o", out]
    assert run(*given, "--force").code == 0
    assert len(rows(out)) == 11


def test_a_model_of_open_length_needs_one(wrong, run, folder, vcf, tmp_path):
    ended = wrong(model=folder / "open.keras")
    assert (ended.code, "--seqlen" in ended.err) == (Exit.USAGE, True)
    out = tmp_path / "out.tsv"
    given = [folder / "open.keras", vcf, "--genome", folder / "genome.fa", "-o", out]
    assert run(*given, "--seqlen", 40).code == 0
    assert rows(out)[0]["window_start"] == str(119 - 20)

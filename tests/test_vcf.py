"""Variants of VCF files, and fields added to their records."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip(
    "pyfaidx", reason="fastism.genomics.genome reads with pyfaidx, of the extra cli"
)

from fastism.errors import FastISMError
from fastism.genomics.vcf import Variant, VariantKind, annotated, read_vcf

HEADER = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\n"
REST = "\t50\tPASS\tDP=3;DB\tGT\t0/1\n"


def written(tmp_path: Path, text: str, name: str = "a.vcf") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz"])
def test_every_alternative_is_a_variant(tmp_path, name):
    text = f"{HEADER}chr1\t7\trs1\tA\tC,GG{REST}chr2\t3\t.\tAT\tGC{REST}"
    assert list(read_vcf(written(tmp_path, text, name))) == [
        Variant("chr1", 6, "A", "C", "rs1", 3),
        Variant("chr1", 6, "A", "GG", "rs1", 3),
        Variant("chr2", 2, "AT", "GC", ".", 4),
    ]


@pytest.mark.parametrize(
    ("alt", "kind"),
    [
        ("C", VariantKind.SUBSTITUTION),
        ("n", VariantKind.SUBSTITUTION),
        ("CC", VariantKind.INDEL),
        ("<DEL>", VariantKind.SYMBOLIC),
        ("<*>", VariantKind.SYMBOLIC),
        ("<INS:ME:ALU>", VariantKind.SYMBOLIC),
        ("*", VariantKind.OVERLAPPING),
        (".", VariantKind.MISSING),
        ("G]17:198982]", VariantKind.BREAKEND),
        ("[13:123457[T", VariantKind.BREAKEND),
        ("]<ctg1>:7]T", VariantKind.BREAKEND),
        (".A", VariantKind.BREAKEND),
        ("A.", VariantKind.BREAKEND),
    ],
)
def test_kinds_of_alleles(tmp_path, alt, kind):
    (variant,) = read_vcf(written(tmp_path, f"{HEADER}1\t7\t.\tA\t{alt}{REST}"))
    assert (variant.alt, variant.kind) == (alt, kind)


def test_files_without_header_blank_lines_and_windows_line_ends(tmp_path):
    path = written(tmp_path, "1\t7\t.\tA\tC\r\n\r\n1\t0\t\tN\tT\r\n")
    assert list(read_vcf(path)) == [
        Variant("1", 6, "A", "C", ".", 1),
        Variant("1", -1, "N", "T", ".", 3),
    ]


def test_a_file_without_variants_is_none(tmp_path):
    assert list(read_vcf(written(tmp_path, HEADER))) == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1\t7\t.\tA", "4 columns where a record has at least 5"),
        ("1\tseven\t.\tA\tC", "POS is 'seven', not a position counted from 1"),
        ("1\t-7\t.\tA\tC", "POS is '-7', not a position counted from 1"),
        ("\t7\t.\tA\tC", "CHROM is empty"),
        ("1\t7\t.\t\tC", "REF is '', not letters"),
        ("1\t7\t.\t.\tC", "REF is '.', not letters"),
        ("1\t7\t.\tA\tA/C", "ALT is 'A/C', neither letters nor an allele of VCF 4"),
        ("1\t7\t.\tA\t-", "ALT is '-', neither letters nor an allele of VCF 4"),
    ],
)
def test_a_line_that_is_no_record_is_one_variant_that_cannot_be_scored(tmp_path, line, message):
    path = written(tmp_path, f"{HEADER}1\t7\t.\tA\tC{REST}{line}\n1\t9\t.\tA\tC{REST}")
    first, bad, last = read_vcf(path)
    assert (first.problem, last.problem, last.line) == ("", "", 5)
    assert (bad.kind, bad.problem, bad.line) == (VariantKind.BAD_LINE, message, 4)


def test_one_bad_allele_leaves_the_others_of_its_record(tmp_path):
    good, bad = read_vcf(written(tmp_path, f"{HEADER}1\t7\t.\tA\tC,{REST}"))
    assert (good.kind, bad.kind) == (VariantKind.SUBSTITUTION, VariantKind.BAD_LINE)
    assert "ALT is ''" in bad.problem


@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"DP=3", b"DP=3;NOTE=caf\xe9"),
        lambda data: data.replace(b"#CHROM", b"##source=\xbf\xff\n#CHROM"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\n", b"\r"),
        lambda data: data.replace(b"\n", b"\r\n"),
        lambda data: data.replace(b"\t", b" "),
        lambda data: data.replace(b"\t7\t", b"\t7.0\t"),
    ],
    ids=["latin-info", "latin-header", "mark", "cr", "crlf", "blanks", "float"],
)
def test_bytes_that_are_not_needed_do_no_harm(tmp_path, change):
    plain = f"{HEADER}1\t7\trs1\tA\tC,GG{REST}".encode()
    (tmp_path / "plain.vcf").write_bytes(plain)
    path = tmp_path / "a.vcf"
    path.write_bytes(change(plain))
    found = [replace(v, line=0) for v in read_vcf(path)]
    assert found == [replace(v, line=0) for v in read_vcf(tmp_path / "plain.vcf")]
    lines = annotated(path, [], ["FASTISM_X=1"])
    made = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    kept = change(plain).removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    kept = kept.replace(b"\r", b"\n").replace(b" ", b"\t")
    assert made.replace(b";FASTISM_X=1", b"") == kept


def test_files_that_are_no_vcf_4(tmp_path):
    with pytest.raises(FastISMError, match="There is no file"):
        read_vcf(tmp_path / "absent.vcf")
    with pytest.raises(FastISMError, match=r"format 'VCFv3.3'; expected VCFv4"):
        list(read_vcf(written(tmp_path, "##fileformat=VCFv3.3\n")))
    cut = tmp_path / "cut.vcf.gz"
    cut.write_bytes(gzip.compress((HEADER * 100).encode())[:-9])
    with pytest.raises(FastISMError, match="truncated or damaged"):
        list(read_vcf(cut))
    binary = tmp_path / "a.bcf"
    binary.write_bytes(gzip.compress(b"BCF\x02\x02\xff\xfe\x80"))
    with pytest.raises(FastISMError, match=r"is not text but BCF.*bcftools view"):
        list(read_vcf(binary))


# ---- writing -----------------------------------------------------------------------------

DECLARED = ['##INFO=<ID=FASTISM_X,Number=1,Type=Float,Description="X">']


def test_everything_else_passes_through(tmp_path):
    records = f"chr1\t7\trs1\tA\tC,GG{REST}chr2\t3\t.\tAT\tGC\t1e2\t.\t.\n"
    lines = list(
        annotated(written(tmp_path, HEADER + records), DECLARED, ["FASTISM_X=1", "FASTISM_X=2"])
    )
    head, columns = HEADER.splitlines()
    assert lines == [
        head,
        *DECLARED,
        columns,
        "chr1\t7\trs1\tA\tC,GG\t50\tPASS\tDP=3;DB;FASTISM_X=1\tGT\t0/1",
        "chr2\t3\t.\tAT\tGC\t1e2\t.\tFASTISM_X=2",
    ]


def test_fields_of_an_earlier_run_are_replaced(tmp_path):
    text = f"{HEADER}1\t7\t.\tA\tC{REST}"
    once = "\n".join(annotated(written(tmp_path, text), DECLARED, ["FASTISM_X=1"])) + "\n"
    twice = "\n".join(annotated(written(tmp_path, once), DECLARED, ["FASTISM_X=5"])) + "\n"
    assert twice == once.replace("FASTISM_X=1", "FASTISM_X=5")


def test_records_that_cannot_be_annotated(tmp_path):
    bare = written(tmp_path, f"1\t7\t.\tA\tC{REST}")
    message = r"no header line #CHROM with an INFO column before it.*\.tsv"
    with pytest.raises(FastISMError, match=f"line 1: {message}"):
        list(annotated(bare, DECLARED, ["a=1"]))
    five = written(tmp_path, "#CHROM\tPOS\tID\tREF\tALT\n1\t7\t.\tA\tC\n")
    with pytest.raises(FastISMError, match=f"line 2: {message}"):
        list(annotated(five, DECLARED, ["a=1"]))


def test_short_and_bad_lines_are_written_as_far_as_they_can_be(tmp_path):
    text = HEADER + "1\t7\t.\tA\tC\n1\tx\t.\tA\n1\t8\t.\tA\t?\t.\t.\tDP=1\n"
    lines = list(annotated(written(tmp_path, text), [], ["a=1", "a=2", "a=3"]))
    assert lines[2:] == [
        "1\t7\t.\tA\tC\t.\t.\ta=1",
        "1\tx\t.\tA",
        "1\t8\t.\tA\t?\t.\t.\tDP=1;a=3",
    ]


def test_an_independent_reader_finds_the_same(tmp_path):
    pysam = pytest.importorskip("pysam", reason="pysam is the independent reader")
    text = (
        "##fileformat=VCFv4.2\n##contig=<ID=1>\n##contig=<ID=2>\n"
        '##INFO=<ID=DP,Number=1,Type=Integer,Description="Depth">\n'
        "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
        "1\t7\trs1\tA\tC,GG\t50\tPASS\tDP=3\n2\t3\t.\tAT\tGC\t.\t.\t.\n2\t9\t.\tA\t<DEL>,*\t.\t.\t.\n"
    )
    path = written(tmp_path, text)
    lines = annotated(path, DECLARED, [f"FASTISM_X={i}" for i in range(3)])
    made = written(tmp_path, "\n".join(lines) + "\n", "made.vcf")
    with pysam.VariantFile(str(made)) as records:
        found = list(records)
    assert [r.info["FASTISM_X"] for r in found] == [0, 1, 2]
    assert found[0].info["DP"] == 3
    alleles = [(r.chrom, r.start, r.ref, alt) for r in found for alt in r.alts]
    assert alleles == [(v.chrom, v.pos0, v.ref, v.alt) for v in read_vcf(path)]

"""Where sequences lie: intervals in names, and which positions a region means."""

import pytest

from fastism.errors import FastISMError
from fastism.genomics.named import Interval, interval_of
from fastism.plots.place import Span, place_of, read_span

NAMES = {
    "bedtools": ("chrX:100-200(-)", ("chrX", 100, 200, "-")),
    "bedtools with a name": ("peak 1::chrX:100-200(+)", ("chrX", 100, 200, "+")),
    "samtools": ("chrX:101-200", ("chrX", 100, 200, ".")),
    "samtools reversed": ("chrX:101-200/rc", ("chrX", 100, 200, "-")),
    "commas and a word": ("chrX:100,001-100,100(+) NM_1", ("chrX", 100000, 100100, "+")),
    "colon in the contig": ("HLA-A*01:01:101-200", ("HLA-A*01:01", 100, 200, ".")),
    "UCSC": ("dm6_dna range=chrX:101-200 strand=- mask=none", ("chrX", 100, 200, "-")),
    "another length": ("chrX:100-2000(-)", None),
    "before the first base": ("chrX:0-99", None),
    "none": ("promoter-7:x", None),
}


@pytest.mark.parametrize("case", NAMES)
def test_intervals_in_names_count_as_long_as_the_sequence_is(case):
    name, expected = NAMES[case]
    assert interval_of(name, 100) == (expected and Interval(*expected))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("7:11", ("", 7, 11)),
        ("chr1:1,000-2,000", ("chr1", 1000, 2000)),
        ("HLA:01:5-9", ("HLA:01", 5, 9)),
        ("11:7", None),
        ("chr1:9-9", None),
        ("x", None),
    ],
    ids=["within", "genomic", "colon", "backwards", "empty", "word"],
)
def test_spans_as_they_are_written(text, expected):
    assert read_span(text) == (expected and Span(*expected))


def test_a_name_gives_genome_coordinates_on_either_strand():
    plus = place_of("chrX:101-130", 30, (5, 25))
    assert (plus.axis, plus.start(0)) == ("position on chrX (bp, 0-based)", 105)
    assert plus.part("chrX:105-110") == plus.part("5:10") == (0, 5)
    minus = place_of("seq::chrX:100-130(-)", 30, (5, 25))
    assert minus.axis.endswith("minus strand)")
    assert (minus.start(0), minus.interval()) == (124, "chrX:105-125")
    assert minus.part("chrX:120-125") == (0, 5)
    assert minus.rows(Span("chrX", 90, 107)) == (18, 20)
    assert minus.rows(Span("chrX", 90, 105)) is None
    assert [minus.strand(Span("chrX", 1, 2, "", s)) for s in "+-."] == ["-", "+", "."]


def test_a_record_comes_before_a_name_and_names_of_sequences_count_within():
    known = place_of("chrX:100-130(-)", 30, (0, 30), ("chr2", 500, 530, "+"))
    assert (known.chrom, known.first, known.step) == ("chr2", 500, 1)
    unknown = place_of("seq1 of two", 30, (5, 25), ("", -1, -1, "."))
    assert unknown.axis == "position in the sequence (bp, 0-based)"
    assert unknown.rows(Span("seq1", 0, 7)) == (0, 2)
    assert unknown.strand(Span("seq1", 0, 7, "", "-")) == "-"
    with pytest.raises(FastISMError, match="the name of 'seq1 of two' has no interval"):
        unknown.part("chrX:7-9")

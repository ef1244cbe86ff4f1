"""Genomes by position, and windows of them around the intervals of BED files."""

from __future__ import annotations

import gzip
import os
from pathlib import Path

import pytest

pytest.importorskip("pyfaidx", reason="genomes are read by pyfaidx, of the extra cli")

from genome_files import random_letters, write_fasta

from fastism.errors import FastISMError
from fastism.genomics.bed import is_narrow_peak, read_bed
from fastism.genomics.genome import Genome, chromosome_sizes, reverse_complement
from fastism.genomics.regions import Region, Skip, Skipped

CHROMOSOMES = {"chr1": random_letters(200, 1), "chr2": random_letters(90, 2).lower(), "3": "ACGTN"}
LETTERS = CHROMOSOMES["chr1"]


@pytest.fixture(scope="module")
def genome(tmp_path_factory) -> Path:
    return write_fasta(tmp_path_factory.mktemp("genome") / "genome.fa", CHROMOSOMES)


def windows(tmp_path: Path, genome: Path, text: str, length: int = 10, name: str = "a.bed"):
    path = tmp_path / name
    path.write_text(text)
    return list(read_bed(path, genome, length))


# ---- genomes -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
def test_every_interval_of_a_genome(tmp_path, name):
    path = write_fasta(tmp_path / name, CHROMOSOMES)
    for _ in range(2):  # builds the index, and reads it
        with Genome(path) as genome:
            assert genome.sizes == {"chr1": 200, "chr2": 90, "3": 5}
            for chrom, letters in CHROMOSOMES.items():
                for start in range(len(letters) + 1):
                    for end in {start, (start + len(letters)) // 2, len(letters)}:
                        assert genome.fetch(chrom, start, end) == letters[start:end]
        assert Path(f"{path}.fai").is_file()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []
    assert chromosome_sizes(path) == {"chr1": 200, "chr2": 90, "3": 5}


def test_a_bgzip_file_of_several_blocks(tmp_path):
    long = random_letters(200_000, 3)
    path = write_fasta(tmp_path / "long.fa.gz", {"a": long}, width=60)
    with Genome(path) as genome:
        for start in (0, 64_190, 65_000, 128_500, 199_000):
            assert genome.fetch("a", start, start + 1000) == long[start : start + 1000]


@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
def test_an_index_that_cannot_be_kept_beside_the_file(tmp_path, name):
    path = write_fasta(tmp_path / name, CHROMOSOMES)
    obstacles = [Path(f"{path}.fai"), Path(f"{path}.gzi")]
    for obstacle in obstacles:  # folders, since file modes do not hinder an administrator
        (obstacle / "full").mkdir(parents=True)
    with Genome(path) as genome:
        assert genome.fetch("chr1", 3, 50) == LETTERS[3:50]
    assert all(obstacle.is_dir() for obstacle in obstacles)


def test_a_folder_that_cannot_be_written(tmp_path, monkeypatch):
    path = write_fasta(tmp_path / "genome.fa", CHROMOSOMES)
    import fastism.genomics.genome as module

    def refuse(*_):
        raise PermissionError("read-only")

    monkeypatch.setattr(module, "folder_beside", refuse)
    monkeypatch.setattr(module.os, "replace", refuse)
    with Genome(path) as genome:
        assert genome.fetch("chr1", 3, 50) == LETTERS[3:50]
    assert not Path(f"{path}.fai").exists()


def test_an_index_older_than_its_genome_is_built_anew(tmp_path):
    path = write_fasta(tmp_path / "genome.fa", {"a": "ACGT"})
    assert chromosome_sizes(path) == {"a": 4}
    write_fasta(path, {"b": "ACGTAC"})
    os.utime(f"{path}.fai", (0, 0))
    assert chromosome_sizes(path) == {"b": 6}


def test_positions_that_a_genome_has_not(genome):
    with Genome(genome) as opened:
        for chrom, start, end, message in [
            ("chr1", -1, 4, "chr1:-1-4 reaches beyond the chromosome's 200 bases"),
            ("chr1", 195, 201, "reaches beyond"),
            ("chr1", 5, 4, "reaches beyond"),
            ("chr9", 0, 1, "no chromosome 'chr9' in genome.fa"),
            ("1", 0, 1, "which calls it 'chr1'"),
            ("chr3", 0, 1, "which calls it '3'"),
        ]:
            with pytest.raises(FastISMError, match=message):
                opened.fetch(chrom, start, end)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.fa", None, "There is no file"),
        ("empty.fa", b"", "cannot be read as a genome"),
        ("text.fa", b"chr1\t1\t2\n", "cannot be read as a genome"),
        ("uneven.fa", b">a\nACGT\nAC\nACGT\n", "one length within each chromosome"),
        ("twice.fa", b">a\nACGT\n>a\nAC\n", "two chromosomes called 'a'"),
        ("plain.fa.gz", gzip.compress(b">a\nACGT\n", mtime=0), "compressed by gzip, which"),
        ("bare.fa.gz", b">a\nACGT\n", "is not compressed, which its name"),
        ("binary.fa", b"\xff\xfe\x00>", "cannot be read as a genome"),
    ],
    ids=[
        "absent",
        "empty",
        "intervals",
        "uneven lines",
        "a name twice",
        "gzip, not bgzip",
        "not compressed",
        "binary",
    ],
)
def test_files_that_are_no_genome(tmp_path, name, content, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(FastISMError, match=message):
        Genome(path)


def test_a_bgzip_genome_must_be_called_so_and_be_whole(tmp_path):
    path = write_fasta(tmp_path / "genome.fa.gz", {"a": random_letters(100_000, 4)})
    cut = tmp_path / "cut.fa.gz"
    cut.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(FastISMError, match="cannot be read as a genome"):
        Genome(cut)
    other = path.rename(tmp_path / "genome.fa")
    with pytest.raises(FastISMError, match="compressed by bgzip, which its name does not say"):
        Genome(other)


def test_a_genome_that_was_cut_after_its_index_was_built(tmp_path):
    path = write_fasta(tmp_path / "genome.fa", CHROMOSOMES)
    chromosome_sizes(path)
    path.write_bytes(path.read_bytes()[:100])
    os.utime(path, (0, 0))
    with Genome(path) as genome, pytest.raises(FastISMError, match="does not fit its index"):
        genome.fetch("chr1", 50, 150)


def test_reverse_complement_by_hand():
    assert reverse_complement("AACGtN-RB") == "VY-NaCGTT"


# ---- BED ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("start", "end", "length", "window"),
    [
        (50, 60, 10, (50, 60)),  # as long as the window
        (50, 61, 11, (50, 61)),
        (50, 60, 20, (45, 65)),
        (50, 61, 10, (50, 60)),  # odd in even: one base more on the left of base 55
        (50, 60, 11, (50, 61)),  # even in odd: centred on base 55
        (50, 51, 1, (50, 51)),
        (50, 50, 2, (49, 51)),  # an empty interval lies before its base
    ],
)
def test_windows_are_centred_on_the_interval(tmp_path, genome, start, end, length, window):
    (region,) = windows(tmp_path, genome, f"chr1\t{start}\t{end}\n", length)
    expected = LETTERS[slice(*window)]
    assert region == Region(f"chr1:{start}-{end}(.)", expected, "chr1", *window, ".")


def test_the_minus_strand_is_the_reverse_complement_of_the_same_window(tmp_path, genome):
    plus, minus = windows(
        tmp_path, genome, "chr1\t50\t61\tp\t0\t+\nchr1\t50\t61\tm\t0\t-\n", length=10
    )
    assert (plus.start, plus.end, plus.strand) == (minus.start, minus.end, "+") == (50, 60, "+")
    assert minus.strand == "-"
    assert minus.sequence == reverse_complement(plus.sequence) == reverse_complement(LETTERS[50:60])


PEAK = "chr1\t50\t70\tp\t0\t.\t1.5\t2\t-1\t{}\n"


@pytest.mark.parametrize("name", ["a.narrowPeak", "a.narrowPeak.gz", "a.bed", "a.txt"])
def test_narrow_peaks_are_centred_on_their_summits(tmp_path, genome, name):
    text = PEAK.format(2) + PEAK.format(-1)
    path = tmp_path / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    summit, middle = read_bed(path, genome, 10)
    assert (summit.start, middle.start) == (52 - 5, 60 - 5)


def test_bed_of_twelve_columns_has_no_summit(tmp_path, genome):
    text = "chr1\t50\t70\tgene\t0\t-\t50\t70\t0\t1\t20\t0\n"
    (region,) = windows(tmp_path, genome, text)
    assert (region.start, region.strand, region.name) == (55, "-", "gene")


def test_headers_comments_blank_lines_blanks_and_windows_line_ends(tmp_path, genome):
    text = (
        "browser position chr1:1-2\r\ntrack name=a\r\n#chrom\tstart\tend\r\n\r\n"
        "chr1 50 60\r\nchr1\t60\t70\tlong name\r\n"
    )
    assert [r.name for r in windows(tmp_path, genome, text)] == ["chr1:50-60(.)", "long name"]


def test_every_name_is_given_once(tmp_path, genome):
    names = ["a", "a", "b", "a#2", "a", ".", "."]
    text = "".join(f"chr1\t50\t60\t{name}\n" for name in names)
    got = [region.name for region in windows(tmp_path, genome, text)]
    assert got == ["a", "a#2", "b", "a#2#2", "a#3", "chr1:50-60(.)", "chr1:50-60(.)#2"]


def test_what_gives_no_window_is_skipped_in_its_place(tmp_path, genome):
    text = (
        "chr1\t50\t60\ta\nchr9\t50\t60\tb\nchr1\t0\t6\tc\n"
        "chr1\t190\t210\td\nchr1\t192\t200\te\n2\t1\t3\tf\nchr1\t5\t5\tg\n"
    )
    got = windows(tmp_path, genome, text)
    assert [r.name for r in got] == list("abcdefg")
    assert [type(r) for r in got] == [Region, *[Skipped] * 5, Region]
    reasons = [r.reason for r in got[1:6]]
    assert "no chromosome 'chr9'" in reasons[0]
    assert "chr1:-2-8 reaches beyond" in reasons[1]
    assert "chr1:190-210 reaches beyond" in reasons[2]
    assert "chr1:191-201 reaches beyond" in reasons[3]
    assert "which calls it 'chr2'" in reasons[4]


def test_letters_keep_their_case(tmp_path, genome):
    (region,) = windows(tmp_path, genome, "chr2\t10\t20\n")
    assert region.sequence == CHROMOSOMES["chr2"][10:20]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("chr1\t5", "2 columns where BED has at least 3"),
        ("chr1\tfive\tsix", "the start is 'five', not a whole number"),
        ("chr1\t5\t6.5", "the end is '6.5', not a whole number"),
        ("chr1\t9\t5", "[9, 5) is no interval"),
        ("\t1\t5", "the chromosome is empty"),
        ("chr1\t1\t5\ta\t0\t?", "the strand is '?'"),
    ],
)
def test_a_line_that_is_not_bed_is_skipped_with_its_number(tmp_path, genome, line, message):
    text = f"chr1\t50\t60\ta\n{line}\nchr1\t70\t80\tb\n"
    first, skipped, last = windows(tmp_path, genome, text)
    assert (first.name, last.name) == ("a", "b")
    assert skipped == Skipped("line 2", f"bad line: {message} (line 2)")
    assert Skip.of(skipped.reason) == Skip.BAD_LINE


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (PEAK.format(20), "the summit 20 is not in [50, 70)"),
        (PEAK.format("x"), "the summit is 'x', not a whole number"),
        ("chr1\t50\t60\n", "3 columns where narrowPeak has 10"),
    ],
)
def test_a_line_that_is_no_narrow_peak_is_skipped_with_its_number(tmp_path, genome, line, message):
    _, skipped = windows(tmp_path, genome, PEAK.format(1) + line, name="a.narrowPeak")
    assert skipped == Skipped("line 2", f"bad line: {message} (line 2)")


def test_columns_of_other_tools_are_no_summits(tmp_path, genome):
    """Ten columns of bedtools: -wo has a name in the tenth, closest -d a distance."""
    interval = "chr1\t50\t70\ta\t0\t+\tchr1\t10\t20\t{}\n"
    beyond = "chr1\t50\t70\ta\t0\t+\t1\t10\t20\t{}\n"
    for text in (interval.format("x"), interval.format(7), beyond.format(7) + beyond.format(500)):
        (tmp_path / "a.bed").write_text(text)
        assert not is_narrow_peak(tmp_path / "a.bed")
        assert windows(tmp_path, genome, text)[0].start == 55
    (tmp_path / "a.bed").write_text(PEAK.format(7))
    assert is_narrow_peak(tmp_path / "a.bed")


def test_lines_that_name_columns_are_passed_over(tmp_path, genome):
    header, line = "chrom\tstart\tend\n", "chr1\t50\t60\t{}\n"
    got = windows(tmp_path, genome, header + line.format("a") + header + line.format("b"))
    assert [r.name for r in got] == ["a", "b"]
    got = windows(tmp_path, genome, "seqname\tvon\tbis\n" + line.format("a"))
    assert [r.name for r in got] == ["a"]


def test_numbers_and_strands_as_other_tools_write_them(tmp_path, genome):
    text = "chr1\t5e+01\t60\ta\t0\t*\nchr1\t50.0\t60.0\tb\nchr1\t 50\t60 \tc\n"
    got = windows(tmp_path, genome, text)
    assert [(r.start, r.end, r.strand) for r in got] == [(50, 60, ".")] * 3


def test_bytes_that_are_no_text_of_today(tmp_path, genome):
    path = tmp_path / "a.bed"
    path.write_bytes(b"\xef\xbb\xbfchr1\t50\t60\tcaf\xe9\rchr1\t50\t60\tb\r")
    assert [r.name for r in read_bed(path, genome, 10)] == ["café", "b"]


# ---- beyond contigs, and their names -----------------------------------------------------


def test_windows_beyond_a_contig_are_skipped_or_padded(tmp_path, genome):
    text = "chr1\t-4\t8\ta\nchr1\t0\t2\tb\nchr1\t196\t204\tc\nchr1\t190\t199\td\t0\t-\n"
    text += "chr1\t500\t510\te\nchr1\t-20\t-10\tf\n"
    got = windows(tmp_path, genome, text)
    assert [Skip.of(r.reason) for r in got if isinstance(r, Skipped)] == [Skip.BEYOND] * 5
    assert "chr1:-4-8 reaches beyond the chromosome's 200 bases (line 1)" in got[0].reason
    path = tmp_path / "a.bed"
    a, b, _, d, e, f = got = list(read_bed(path, genome, 10, pad=True))
    assert isinstance(got[2], Skipped)  # its middle, 200, is no base of the contig
    assert (a.start, a.end, a.sequence) == (-3, 7, "..." + LETTERS[:7])
    assert (b.start, b.sequence) == (-4, "...." + LETTERS[:6])
    assert d.sequence == reverse_complement(LETTERS[189:199])
    assert [Skip.of(r.reason) for r in (e, f)] == [Skip.BEYOND] * 2
    (tmp_path / "a.bed").write_text("3\t3\t4\t.\t0\t-\n")
    (only,) = read_bed(path, genome, 9, pad=True)
    assert (only.start, only.sequence) == (-1, "..." + "NACGT" + ".")


@pytest.mark.parametrize(
    ("names", "given", "other"),
    [
        (["chr1", "chr2"], "1", "chr1"),
        (["1", "2"], "chr1", "1"),
        (["chrM"], "MT", "chrM"),
        (["MT"], "chrM", "MT"),
        (["M"], "chrMT", "M"),
        (["chrX"], "chrx", "chrX"),
        (["chr1"], "chr2", ""),
        (["chr1", "CHR1"], "1", ""),
    ],
)
def test_names_of_contigs(tmp_path, names, given, other):
    path = write_fasta(tmp_path / "genome.fa", dict.fromkeys(names, LETTERS))
    with Genome(path) as genome:
        assert (genome.other_name(given), genome.name_of(given)) == (other, given)
        reason = genome.missing(given, 0, 1)
        assert f"no chromosome {given!r}" in reason
        assert (f"which calls it {other!r} (see --contigs rename)" in reason) == bool(other)
    with Genome(path, rename=True) as genome:
        assert genome.name_of(given) == (other or given)
        assert genome.name_of(names[0]) == names[0]
    (tmp_path / "a.bed").write_text(f"{given}\t50\t60\n")
    (made,) = read_bed(tmp_path / "a.bed", path, 10, rename=True)
    assert made.chrom == other if other else Skip.of(made.reason) == Skip.UNKNOWN


# ---- files -------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["", "\n", "\n\n\n", "\r\n \r\n"])
@pytest.mark.parametrize("name", ["genome.fa", "genome.fa.gz"])
def test_blank_lines_at_the_end_of_records_move_no_letter(tmp_path, ending, name):
    end = "\r\n" if "\r" in ending else "\n"
    lines = [">a", LETTERS[:20], LETTERS[20:33], "", ">b of", LETTERS[:7], ">c"]
    lines += [LETTERS[i : i + 10] for i in range(0, 30, 10)]
    data = (end.join(lines) + ending).encode()
    path = tmp_path / name
    if name.endswith("gz"):
        from Bio import bgzf

        with bgzf.BgzfWriter(str(path)) as handle:
            handle.write(data)
    else:
        path.write_bytes(data)
    with Genome(path) as genome:
        assert genome.sizes == {"a": 33, "b": 7, "c": 30}
        for chrom, letters in (("a", LETTERS[:33]), ("b", LETTERS[:7]), ("c", LETTERS[:30])):
            assert genome.fetch(chrom, 0, len(letters)) == letters
            assert genome.fetch(chrom, 3, 6) == letters[3:6]


def test_a_blank_line_within_a_chromosome_is_told(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">a\nACGT\n\nACGT\n")
    with pytest.raises(FastISMError, match=r"line 4 is not as long as .* or follows a shorter or"):
        Genome(path)


def test_the_index_is_that_of_other_programs(tmp_path):
    pysam = pytest.importorskip("pysam", reason="pysam is the independent reader")
    path = write_fasta(tmp_path / "genome.fa", CHROMOSOMES)
    chromosome_sizes(path)
    mine = Path(f"{path}.fai")
    text = mine.read_text()
    mine.unlink()
    pysam.faidx(str(path))
    assert mine.read_text() == text


def test_a_pipe_is_refused_in_one_line(tmp_path, genome):
    pipe = tmp_path / "a.bed"
    os.mkfifo(pipe)
    with pytest.raises(FastISMError, match=r"is a pipe or a terminal.*write it to a file first"):
        read_bed(pipe, genome, 10)


def test_files_that_are_not_bed(tmp_path, genome):
    for text in ("", "# nothing\n", "track name=a\n"):
        with pytest.raises(FastISMError, match="no intervals"):
            windows(tmp_path, genome, text)
    with pytest.raises(FastISMError, match="There is no file"):
        read_bed(tmp_path / "absent.bed", genome, 10)
    with pytest.raises(FastISMError, match="There is no file"):
        read_bed(tmp_path / "a.bed", tmp_path / "absent.fa", 10)
    cut = tmp_path / "cut.bed.gz"
    cut.write_bytes(gzip.compress(b"chr1\t50\t60\n" * 1000)[:-9])
    with pytest.raises(FastISMError, match="truncated or damaged gzip"):
        list(read_bed(cut, genome, 10))
    binary = tmp_path / "binary.bed"
    binary.write_bytes(b"\xff\xfe\xfa")
    with pytest.raises(FastISMError, match="is not text"):
        list(read_bed(binary, genome, 10))
    binary.write_bytes(b"chr1\t\0\t60\n")
    with pytest.raises(FastISMError, match="is not text, as line 1 shows"):
        list(read_bed(binary, genome, 10))
    with pytest.raises(FastISMError, match="length=0"):
        read_bed(tmp_path / "a.bed", genome, 0)

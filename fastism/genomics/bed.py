"""Windows of a genome around the intervals of BED and narrowPeak files.

A line that is no interval, or gives no window, becomes a record that was skipped, with its line
number and a reason: one bad line never ends a run of thousands.

Requirements: pyfaidx (through `fastism.genomics.genome`).

All positions are 0-based and half-open.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from fastism.errors import FastISMError
from fastism.files.text import check_readable, readable, text_lines, whole_number
from fastism.genomics.genome import Genome, reverse_complement, window_start
from fastism.genomics.regions import Region, Skip, Skipped

_KIND = "a BED file"
#: First words of lines that are no intervals.
_HEADERS = (["track"], ["browser"])
#: What the second column is called in a line of column names.
_STARTS = ("start", "chromstart", "chrom_start", "txstart", "begin", "from")
#: Intervals that tell whether a file is narrowPeak.
_TOLD_BY = 100


def read_bed(
    path: str | Path,
    genome_path: str | Path,
    length: int,
    *,
    pad: bool = False,
    rename: bool = False,
) -> Iterator[Region | Skipped]:
    """Windows of a genome around the intervals of a BED file, plain or compressed by (b)gzip.

    BED of 3 to 12 or more columns is read, and narrowPeak (see `is_narrow_peak`). Lines that are
    blank, start with ``#``, ``track`` or ``browser``, or name columns are passed over. The strand
    ``*`` is ``.``; numbers may be written as ``100.0`` or ``1e+05``.

    A window is centred on the summit of a narrowPeak line (start + column 10, unless that is -1),
    and otherwise on the middle of the interval, ``(start + end) // 2``. The central base comes at
    index ``length // 2`` of the window, in the direction of the plus strand whatever the strand:
    so a window of even length reaches one base further to the left of its centre than to the
    right, and an interval that is as long as the window is the window. On the minus strand the
    reverse complement is taken.

    Parameters
    ----------
    path : str or Path
        The BED file. Columns are separated by tabs, or by blanks in a line without tabs.
    genome_path : str or Path
        The genome, see `Genome`.
    length : int
        Of all windows.
    pad : bool
        Take windows that reach beyond the ends of their contig, with the letter
        `fastism.genomics.genome.PAD` there, as long as their centre is on it.
    rename : bool
        Take contig names for those of the genome that differ by ``chr``, case, or M and MT.

    Returns
    -------
    iterator of Region or Skipped
        One for each line that is not passed over, in the order of the file. The name is column 4,
        or ``chrom:start-end(strand)`` of the interval where that is missing or ``.``; a name that
        came before gets ``#2``, ``#3``, ... at its end, so that every name is found again. Lines
        that are no interval are called ``line 7``.

    Raises
    ------
    FastISMError
        At once for a missing file or genome; when it is reached, for damaged compression, and at
        the end for a file without intervals.
    """
    if length < 1:
        raise FastISMError(f"length={length} must be at least 1: the length of the model's input.")
    path = Path(path)
    check_readable(path, _KIND)
    return _windows(path, Genome(genome_path, rename=rename), length, pad)


def read_intervals(path: str | Path) -> Iterator[BedInterval | Skipped]:
    """The lines of a BED file as they are, without a genome; see `read_bed` for what is read.

    Raises
    ------
    FastISMError
        At once for a missing file, and at the end for a file without intervals.
    """
    check_readable(Path(path), _KIND)
    return _intervals(Path(path))


def is_narrow_peak(path: Path) -> bool:
    """Whether a BED file is read as narrowPeak, so that windows are centred on summits.

    It is where the file is called ``.narrowPeak`` (also with ``.gz``), or where its first hundred
    intervals have ten columns that can be nothing else: numbers in columns 5 and 7 to 9, and in
    column 10 a position within the interval, or -1.
    """
    inner = path.name.removesuffix(".gz").removesuffix(".bgz")
    if inner.lower().endswith(".narrowpeak"):
        return True
    first = [fields for _, fields in islice(_lines(path), _TOLD_BY)]
    return bool(first) and all(map(_looks_like_peak, first))


def _looks_like_peak(fields: Sequence[str]) -> bool:
    if len(fields) != 10:
        return False
    try:
        [float(fields[i]) for i in (4, 6, 7, 8)]
    except ValueError:
        return False
    start, end, summit = (whole_number(fields[i]) for i in (1, 2, 9))
    return None not in (start, end, summit) and -1 <= summit < end - start


def _windows(path: Path, genome: Genome, length: int, pad: bool) -> Iterator[Region | Skipped]:
    with genome:
        names: dict[str, int] = {}
        for interval in _intervals(path):
            name = _unique(interval.name, names)
            if isinstance(interval, Skipped):
                yield Skipped(name, interval.reason)
                continue
            chrom = genome.name_of(interval.chrom)
            start = window_start(interval.centre, length)
            window = chrom, start, start + length
            places = (
                [(chrom, interval.centre, interval.centre + 1)]
                if pad
                else [(chrom, interval.start, interval.end), window]
            )
            reason = next(filter(None, (genome.missing(*place) for place in places)), "")
            if reason:
                kind = Skip.BEYOND if chrom in genome.sizes else Skip.UNKNOWN
                yield Skipped(name, kind.because(reason, interval.line))
                continue
            letters = genome.fetch(*window, pad=pad)
            if interval.strand == "-":
                letters = reverse_complement(letters)
            yield Region(name, letters, *window, interval.strand)


def _unique(name: str, names: dict[str, int]) -> str:
    """`name`, with a number at its end where it came before; `names` counts them."""
    made = name
    while made in names:
        names[name] += 1
        made = f"{name}#{names[name]}"
    names[made] = 1
    return made


@dataclass(frozen=True, slots=True)
class BedInterval:
    """One line of a BED file.

    Attributes
    ----------
    name, chrom : str
    start, end : int
        0-based, half-open.
    strand : {"+", "-", "."}
    centre : int
        The base that a window is centred on.
    line : int
        Its number in the file.
    """

    name: str
    chrom: str
    start: int
    end: int
    strand: str
    centre: int
    line: int


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Numbers and columns of the lines that should be intervals."""
    first = True
    for number, text in text_lines(path, _KIND):
        line = readable(text)
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if fields[0].split()[0:1] in _HEADERS or _names_columns(fields, first):
            continue
        first = False
        yield number, fields


def _names_columns(fields: Sequence[str], first: bool) -> bool:
    """Whether a line names the columns: files that were joined have such lines anywhere."""
    if len(fields) < 3:
        return False
    start, end = (field.strip().lower() for field in fields[1:3])
    return start in _STARTS or (first and start.isalpha() and end.isalpha())


def _intervals(path: Path) -> Iterator[BedInterval | Skipped]:
    """The intervals of a BED file; a line that is none is skipped."""
    peaks = is_narrow_peak(path)
    found = False
    for number, fields in _lines(path):
        found = True
        try:
            yield _interval(fields, peaks, number)
        except ValueError as error:
            yield Skipped(f"line {number}", Skip.BAD_LINE.because(str(error), number))
    if not found:
        raise FastISMError(f"{path} has no intervals. Expected BED: chromosome, start, end.")


def _interval(fields: Sequence[str], peaks: bool, line: int) -> BedInterval:
    """Read one line; a ValueError says what is wrong with it."""
    if len(fields) < 3 or (peaks and len(fields) != 10):
        raise ValueError(
            f"{len(fields)} columns where {'narrowPeak has 10' if peaks else 'BED has at least 3'}"
        )
    chrom, start, end = fields[0].strip(), _whole(fields[1], "start"), _whole(fields[2], "end")
    strand = (fields[5].strip() if len(fields) > 5 else ".").replace("*", ".")
    if not chrom:
        raise ValueError("the chromosome is empty")
    if start > end:
        raise ValueError(f"[{start}, {end}) is no interval")
    if strand not in ("+", "-", "."):
        raise ValueError(f"the strand is {strand!r}")
    centre = (start + end) // 2
    if peaks and (summit := _whole(fields[9], "summit")) != -1:
        if not 0 <= summit < end - start:
            raise ValueError(f"the summit {summit} is not in [{start}, {end})")
        centre = start + summit
    given = fields[3].strip() if len(fields) > 3 else ""
    name = given if given not in ("", ".") else f"{chrom}:{start}-{end}({strand})"
    return BedInterval(name, chrom, start, end, strand, centre, line)


def _whole(text: str, what: str) -> int:
    value = whole_number(text)
    if value is None:
        raise ValueError(f"the {what} is {text!r}, not a whole number")
    return value

"""A genome in a FASTA file, and windows of it around the intervals of a BED file.

Requirements: pyfaidx, and biopython for a genome compressed by bgzip.

All positions are 0-based and half-open.
"""

from __future__ import annotations

import gzip
import os
import shutil
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyfaidx

from fastism.errors import FastISMError
from fastism.genomics.regions import Region

_GZIP_MAGIC = b"\x1f\x8b"
#: A BGZF block is a gzip member with an extra field whose identifier is BC.
_BGZF_MAGIC = b"\x1f\x8b\x08\x04"
#: What reading a damaged file raises: EOFError where it ends early, ValueError within BGZF.
_DAMAGE = (OSError, EOFError, ValueError, struct.error, zlib.error)
_COMPLEMENT = str.maketrans("ACGTURYKMBVDHacgturykmbvdh", "TGCAAYRMKVBHDtgcaayrmkvbhd")


@dataclass(frozen=True, slots=True)
class Skipped:
    """An interval that gives no sequence.

    Attributes
    ----------
    name : str
        What outputs would have called it.
    reason : str
        Why, for people.
    """

    name: str
    reason: str


def reverse_complement(sequence: str) -> str:
    """The other strand, read in its own direction; N and what is no nucleotide stays as it is.

    Examples
    --------
    >>> reverse_complement("AACGtN")
    'NaCGTT'
    """
    return sequence.translate(_COMPLEMENT)[::-1]


class Genome:
    """Sequences of a FASTA file by position; a context manager that closes the file.

    The index (``.fai``, and ``.gzi`` for bgzip) is read beside the file, and built there where it
    is missing or older than the file. Where that folder cannot be written, it is built anew in a
    temporary place each time.

    Parameters
    ----------
    path : str or Path
        FASTA, plain or compressed by bgzip (not by gzip, which cannot be read from the middle).

    Raises
    ------
    FastISMError
        The file is missing, cannot be indexed, or is compressed by gzip.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._fasta = _open_fasta(self.path)
        #: Length of every chromosome, in the order of the file.
        self.sizes: dict[str, int] = {
            name: record.rlen for name, record in self._fasta.faidx.index.items()
        }

    def __enter__(self) -> Genome:
        return self

    def __exit__(self, *_: object) -> None:
        self._fasta.close()

    def fetch(self, chrom: str, start: int, end: int) -> str:
        """The letters of ``[start, end)`` on the plus strand, upper and lower case as in the file.

        Raises
        ------
        FastISMError
            If there is no such interval (see `missing`), or the file cannot be read.
        """
        reason = self.missing(chrom, start, end)
        if reason:
            raise FastISMError(f"Nothing to fetch: {reason}.")
        if start == end:
            return ""
        try:
            letters = self._fasta.faidx.fetch(chrom, start + 1, end)
        except (*_DAMAGE, pyfaidx.FetchError) as error:
            raise FastISMError(
                f"{self.path} is damaged at {chrom}:{start}-{end} ({error}). Copy it again."
            ) from error
        if len(letters) != end - start:
            raise FastISMError(
                f"{self.path} gave {len(letters)} letters for {chrom}:{start}-{end}: it does not "
                f"fit its index. Delete {self.path}.fai, so that it is built anew."
            )
        return letters

    def missing(self, chrom: str, start: int, end: int) -> str:
        """Why there is no interval ``[start, end)``; empty where there is one."""
        if chrom not in self.sizes:
            other = chrom.removeprefix("chr") if chrom.startswith("chr") else f"chr{chrom}"
            remedy = f", which calls it {other!r}" if other in self.sizes else ""
            return f"there is no chromosome {chrom!r} in {self.path.name}{remedy}"
        if start < 0 or end < start or end > self.sizes[chrom]:
            return (
                f"{chrom}:{start}-{end} reaches beyond the chromosome's {self.sizes[chrom]} bases"
            )
        return ""


def chromosome_sizes(genome_path: str | Path) -> dict[str, int]:
    """Length of every chromosome of a FASTA file, in its order.

    Raises
    ------
    FastISMError
        As for `Genome`.
    """
    with Genome(genome_path) as genome:
        return genome.sizes


def window_start(centre: int, length: int) -> int:
    """First position of the window of `length` around `centre`, which it holds at length // 2."""
    return centre - length // 2


def read_bed(path: str | Path, genome_path: str | Path, length: int) -> Iterator[Region | Skipped]:
    """Windows of a genome around the intervals of a BED file, plain or compressed by (b)gzip.

    BED of 3 to 12 or more columns is read, and narrowPeak: the file is called ``.narrowPeak``
    (also with ``.gz``), or its first line has exactly 10 columns, which no BED file has. Lines
    that are blank or start with ``#``, ``track`` or ``browser`` are passed over.

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

    Returns
    -------
    iterator of Region or Skipped
        One for each interval, in the order of the file. Skipped are windows and intervals that
        reach beyond their chromosome, and unknown chromosomes. The name is column 4, or
        ``chrom:start-end(strand)`` of the interval where that is missing or ``.``; a name that
        came before gets ``#2``, ``#3``, ... at its end, so that every name is found again.

    Raises
    ------
    FastISMError
        At once for a missing file or genome; when it is reached, for a line that is not BED (with
        its number), for damaged compression, and at the end for a file without intervals.
    """
    if length < 1:
        raise FastISMError(f"length={length} must be at least 1: the length of the model's input.")
    path = Path(path)
    check_readable(path, "a BED file")
    return _windows(path, Genome(genome_path), length)


def _windows(path: Path, genome: Genome, length: int) -> Iterator[Region | Skipped]:
    with genome:
        names: dict[str, int] = {}
        for interval in _intervals(path):
            name = _unique(interval.name, names)
            start = window_start(interval.centre, length)
            window = interval.chrom, start, start + length
            reason = genome.missing(interval.chrom, interval.start, interval.end)
            if reason or (reason := genome.missing(*window)):
                yield Skipped(name, reason)
            else:
                letters = genome.fetch(*window)
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
class _Interval:
    """One line of a BED file; `centre` is the base that a window is centred on."""

    name: str
    chrom: str
    start: int
    end: int
    strand: str
    centre: int


def _intervals(path: Path) -> Iterator[_Interval]:
    """Yield the intervals of a BED file."""
    inner = path.name.removesuffix(".gz").removesuffix(".bgz")
    peaks = True if inner.lower().endswith(".narrowpeak") else None
    found = False
    for number, line in text_lines(path, "a BED file"):
        if not line.strip() or line.startswith("#"):
            continue
        fields = line.split("\t") if "\t" in line else line.split()
        if fields[0].split()[0:1] in (["track"], ["browser"]):
            continue
        if peaks is None:
            peaks = len(fields) == 10
        try:
            interval = _interval(fields, peaks)
        except ValueError as error:
            raise FastISMError(
                f"{path}, line {number}: {error}. Expected "
                f"{'narrowPeak' if peaks else 'BED'}: chromosome, start and end, separated by tabs."
            ) from None
        found = True
        yield interval
    if not found:
        raise FastISMError(f"{path} has no intervals. Expected BED: chromosome, start, end.")


def _interval(fields: list[str], peaks: bool) -> _Interval:
    """Read one line; a ValueError says what is wrong with it."""
    if len(fields) < 3 or (peaks and len(fields) != 10):
        raise ValueError(f"{len(fields)} columns")
    chrom, start, end = fields[0], _whole(fields[1], "start"), _whole(fields[2], "end")
    strand = fields[5] if len(fields) > 5 else "."
    if not chrom:
        raise ValueError("the chromosome is empty")
    if not 0 <= start <= end:
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
    return _Interval(name, chrom, start, end, strand, centre)


def _whole(text: str, what: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise ValueError(f"the {what} is {text!r}, not a whole number") from None


# ---- files -------------------------------------------------------------------------------


def check_readable(path: Path, kind: str) -> None:
    """Raise a FastISMError where a file is missing or may not be read."""
    try:
        with path.open("rb"):
            pass
    except FileNotFoundError:
        raise FastISMError(
            f"There is no file {path}. Expected {kind}; check the path, which is relative to the "
            "working directory unless it is absolute."
        ) from None
    except OSError as error:
        raise FastISMError(
            f"{path} cannot be read ({error.strerror}). Expected {kind} that you may read."
        ) from error


def text_lines(path: Path, kind: str) -> Iterator[tuple[int, str]]:
    """Lines of a text file, plain or compressed by (b)gzip, with their numbers from 1.

    Line ends are taken off. Failures to read are raised as FastISMError, which names the `kind`
    of file that was expected.
    """
    check_readable(path, kind)
    with path.open("rb") as handle:
        compressed = handle.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    try:
        with (gzip.open if compressed else open)(path, "rt", encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                yield number, line.rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise FastISMError(f"{path} is not text. Expected {kind}, plain or gzip.") from error
    except (EOFError, OSError, zlib.error) as error:
        state = "a truncated or damaged gzip file" if compressed else "not readable to its end"
        raise FastISMError(f"{path} is {state} ({error}). Copy or download it again.") from error


def _open_fasta(path: Path) -> pyfaidx.Fasta:
    check_readable(path, "a genome in a FASTA file")
    _check_compression(path)
    index = [Path(f"{path}.fai")]
    if path.suffix in (".gz", ".bgz"):
        index.append(Path(f"{path}.gzi"))
    try:
        modified = path.stat().st_mtime
        if all(i.is_file() and i.stat().st_mtime >= modified for i in index):
            return _indexed(path, index)
        # Other processes may be about to build the same index: it appears complete or not at all.
        with _folder_beside(path) as folder:
            built = [folder / i.name for i in index]
            fasta = _indexed(path, built)
            for source, target in zip(built, index, strict=True):
                with suppress(OSError):
                    os.replace(source, target)
            return fasta
    except ImportError as error:
        raise FastISMError(f"{path} is compressed by bgzip, which needs biopython.") from error
    except (*_DAMAGE, pyfaidx.FastaIndexingError, IndexError) as error:
        message = " ".join(str(error).split()).rstrip(".")
        raise FastISMError(
            f"{path} cannot be read as a genome ({message}). Expected FASTA whose lines have one "
            "length within each chromosome, plain or compressed by bgzip."
        ) from error


def _indexed(path: Path, index: list[Path]) -> pyfaidx.Fasta:
    """Open a genome; pyfaidx builds what is missing, and keeps the index in memory."""
    names = dict(zip(("indexname", "gzi_indexname"), map(str, index), strict=False))
    return pyfaidx.Fasta(str(path), as_raw=True, strict_bounds=True, **names)


def _check_compression(path: Path) -> None:
    """The name must say what the content is, because pyfaidx goes by the name."""
    with path.open("rb") as handle:
        head = handle.read(14)
    blocked = head.startswith(_BGZF_MAGIC) and head[12:14] == b"BC"
    if head.startswith(_GZIP_MAGIC) and not blocked:
        raise FastISMError(
            f"{path} is compressed by gzip, which cannot be read from the middle. Unpack it, or "
            "compress it by bgzip instead: gunzip, then bgzip."
        )
    if blocked != (path.suffix in (".gz", ".bgz")):
        state = "compressed by bgzip" if blocked else "not compressed"
        raise FastISMError(
            f"{path} is {state}, which its name does not say. Rename it: genomes compressed by "
            "bgzip end in .gz or .bgz, others do not."
        )


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder on the same disk, so that files can be moved; elsewhere if need be."""
    try:
        folder = tempfile.mkdtemp(prefix=".fastism-index-", dir=path.parent)
    except OSError:
        folder = tempfile.mkdtemp(prefix="fastism-index-")
    try:
        yield Path(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)

"""A genome in a FASTA file.

Requirements: pyfaidx, and biopython for a genome compressed by bgzip.

All positions are 0-based and half-open.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pyfaidx

from fastism.errors import FastISMError
from fastism.files.text import check_readable
from fastism.files.whole import folder_beside
from fastism.genomics.fasta_index import write_block_index, write_index

_GZIP_MAGIC = b"\x1f\x8b"
#: A BGZF block is a gzip member with an extra field whose identifier is BC.
_BGZF_MAGIC = b"\x1f\x8b\x08\x04"
#: What reading a damaged file raises: EOFError where it ends early, ValueError within BGZF.
_DAMAGE = (OSError, EOFError, ValueError, struct.error, zlib.error)
#: Stands for letters beyond the ends of a contig; one-hot encoded as zeros, as all unknown letters.
PAD = "."
_COMPLEMENT = str.maketrans("ACGTURYKMBVDHacgturykmbvdh", "TGCAAYRMKVBHDtgcaayrmkvbhd")


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
    rename : bool
        `name_of` takes names for those of the genome that differ by ``chr``, case, or M and MT.

    Raises
    ------
    FastISMError
        The file is missing, cannot be indexed, or is compressed by gzip.
    """

    def __init__(self, path: str | Path, *, rename: bool = False) -> None:
        self.path, self.rename = Path(path), rename
        self._fasta = _open_fasta(self.path)
        #: Length of every chromosome, in the order of the file.
        self.sizes: dict[str, int] = {
            name: record.rlen for name, record in self._fasta.faidx.index.items()
        }
        self._bare: dict[str, list[str]] = {}
        for name in self.sizes:
            self._bare.setdefault(_bare(name), []).append(name)

    def __enter__(self) -> Genome:
        return self

    def __exit__(self, *_: object) -> None:
        self._fasta.close()

    def fetch(self, chrom: str, start: int, end: int, *, pad: bool = False) -> str:
        """The letters of ``[start, end)`` on the plus strand, upper and lower case as in the file.

        Parameters
        ----------
        chrom : str
            As the genome calls it.
        start, end : int
        pad : bool
            Give `PAD` for positions beyond the ends of the chromosome.

        Raises
        ------
        FastISMError
            If there is no such interval (see `missing`), or the file cannot be read.
        """
        if pad and chrom in self.sizes:
            low, high = (min(max(x, 0), self.sizes[chrom]) for x in (start, end))
            inner = self.fetch(chrom, low, high)
            return PAD * (low - start) + inner + PAD * (end - high)
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
            other = self.other_name(chrom)
            remedy = f", which calls it {other!r} (see --contigs rename)" if other else ""
            return f"there is no chromosome {chrom!r} in {self.path.name}{remedy}"
        if start < 0 or end < start or end > self.sizes[chrom]:
            return (
                f"{chrom}:{start}-{end} reaches beyond the chromosome's {self.sizes[chrom]} bases"
            )
        return ""

    def name_of(self, chrom: str) -> str:
        """What the genome calls a chromosome, as far as it has it and may be renamed."""
        if self.rename and chrom not in self.sizes:
            return self.other_name(chrom) or chrom
        return chrom

    def other_name(self, chrom: str) -> str:
        """The one name of the genome that differs by ``chr``, case, or M and MT; else empty.

        That M and MT are one chromosome does not say that their letters are the same: those of
        chrM in hg19 are another sequence than MT of GRCh37.
        """
        names = self._bare.get(_bare(chrom), [])
        return names[0] if len(names) == 1 and names[0] != chrom else ""


def _bare(chrom: str) -> str:
    """A chromosome's name without what sources write in different ways."""
    bare = chrom.lower().removeprefix("chr")
    return "mt" if bare == "m" else bare


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


# ---- files -------------------------------------------------------------------------------


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
        with _folder_for_index(path) as folder:
            built = [folder / i.name for i in index]
            write_index(path, built[0])
            if len(built) > 1:
                write_block_index(path, built[1])
            fasta = _indexed(path, built)
            for source, target in zip(built, index, strict=True):
                with suppress(OSError):
                    os.replace(source, target)
            return fasta
    except FastISMError:
        raise
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
def _folder_for_index(path: Path) -> Iterator[Path]:
    """A temporary folder on the same disk, so that files can be moved; elsewhere if need be."""
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(folder_beside(path))
        except OSError:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fastism-")))
        yield folder

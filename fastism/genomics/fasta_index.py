"""The indices of a genome in a FASTA file: where the letters of every chromosome lie.

``.fai`` says it for the text, ``.gzi`` for the blocks of a file compressed by bgzip; both have the
format of samtools. Unlike other programs that write them, this one accepts blank lines at the end
of a record and of the file, since they do not move any letter.

Requirements: none; biopython for files compressed by bgzip.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from fastism.errors import FastISMError


@dataclass
class _Record:
    """A chromosome while its lines are read.

    Attributes
    ----------
    name : str
    offset : int
        Of its first letter, in bytes of the uncompressed file.
    letters : int
    line_letters, line_bytes : int
        Of all lines but the last; 0 before the first line.
    ended : int
        Number of the first line after which no letters may follow, as it is shorter; 0 without.
    """

    name: str
    offset: int
    letters: int = 0
    line_letters: int = 0
    line_bytes: int = 0
    ended: int = 0

    def add(self, number: int, line: bytes, letters: int) -> bool:
        """Take a line; whether it fits to those before."""
        if not letters:
            self.ended = self.ended or number
            return True
        if self.ended or letters > (self.line_letters or letters):
            return False
        if not self.line_letters:
            self.line_letters, self.line_bytes = letters, len(line)
        elif len(line) != self.line_bytes:
            # Shorter, or without the line end that the file lacks at its end.
            self.ended = number
        self.letters += letters
        return True


def write_index(path: Path, index: Path) -> None:
    """Write the index of a FASTA file, plain or compressed by bgzip.

    Parameters
    ----------
    path, index : Path

    Raises
    ------
    FastISMError
        For a file that is not FASTA, a chromosome whose lines differ in length within it, or a name
        that comes twice; the line is named.
    OSError, EOFError, zlib.error
        If a file cannot be read or written.
    """
    opened = gzip.open if path.suffix in (".gz", ".bgz") else open
    names: set[str] = set()
    with opened(path, "rb") as lines, index.open("w", encoding="utf-8", newline="\n") as handle:
        for record in _records(path, lines):
            if record.name in names:
                raise _bad(path, f"it has two chromosomes called {record.name!r}")
            names.add(record.name)
            sizes = (record.letters, record.offset, record.line_letters, record.line_bytes)
            handle.write("\t".join(map(str, (record.name, *sizes))) + "\n")
    if not names:
        raise _bad(path, "it has no line that starts with '>'")


def write_block_index(path: Path, index: Path) -> None:
    """Write the index of the blocks of a file compressed by bgzip.

    Parameters
    ----------
    path, index : Path

    Raises
    ------
    ImportError
        Without biopython.
    OSError, ValueError, struct.error
        If the file is cut off or damaged.
    """
    from Bio import bgzf

    with path.open("rb") as handle:
        blocks = [(start, begin, size) for start, _, begin, size in bgzf.BgzfBlocks(handle)]
    if not blocks or blocks[-1][2]:
        raise ValueError("its end is missing: it has no last empty block")
    # The first block, at the start of both, and the empty last one are left out.
    places = [(start, begin) for start, begin, _ in blocks[1:-1]]
    packed = b"".join(struct.pack("<QQ", *place) for place in places)
    index.write_bytes(struct.pack("<Q", len(places)) + packed)


def _records(path: Path, lines: Iterable[bytes]) -> Iterator[_Record]:
    record: _Record | None = None
    offset = 0
    for number, line in enumerate(lines, start=1):
        offset += len(line)
        if line.startswith(b">"):
            if record is not None:
                yield record
            words = line[1:].decode("utf-8", "surrogateescape").split(maxsplit=1)
            if not words:
                raise _bad(path, f"line {number} has no name after '>'")
            record = _Record(words[0], offset)
            continue
        letters = len(line.rstrip())
        if record is None:
            if letters and not line.startswith(b";"):
                raise _bad(path, f"line {number} comes before the first line that starts with '>'")
        elif not record.add(number, line, letters):
            raise _bad(
                path,
                f"line {number} is not as long as the other lines of {record.name!r}, or follows a "
                "shorter or blank one",
            )
    if record is not None:
        yield record


def _bad(path: Path, what: str) -> FastISMError:
    return FastISMError(
        f"{path} cannot be read as a genome: {what}. Expected FASTA whose lines have one length "
        "within each chromosome, plain or compressed by bgzip."
    )

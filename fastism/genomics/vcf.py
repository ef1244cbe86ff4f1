"""Variants of a VCF file, and VCF files with fields added to their records.

Requirements: pyfaidx (by way of `fastism.genomics.genome`); biopython to write files that bgzip
compresses.

Only the columns CHROM, POS, ID, REF, ALT are looked at; all others pass through as they are, byte
by byte, which no library that parses and formats a VCF promises. So contigs, INFO and FORMAT keys
need no declaration, and errors name their line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from fastism.errors import FastISMError
from fastism.genomics.genome import check_readable, text_lines

#: INFO keys of this program begin so; those of an earlier run are replaced.
PREFIX = "FASTISM_"
_KIND = "a VCF file (make one of a BCF file by bcftools view)"
_LETTERS = re.compile(r"[A-Za-z]+")
_BREAKEND = re.compile(r"\.[A-Za-z]+|[A-Za-z]+\.|.*[\[\]].*")


class VariantKind(Enum):
    """What an alternative allele is."""

    SUBSTITUTION = "as long as the reference allele"
    INDEL = "of another length than the reference allele"
    SYMBOLIC = "symbolic, such as <DEL>"
    OVERLAPPING = "*: deleted by another record"
    MISSING = ".: no alternative"
    BREAKEND = "a breakend"


@dataclass(frozen=True, slots=True)
class Variant:
    """One alternative allele of a record.

    Attributes
    ----------
    chrom : str
    pos0 : int
        0-based position of the first letter of `ref`; -1 for the telomere (POS 0).
    ref, alt : str
        Alleles as in the file.
    id : str
        As in the file: ``.`` without one.
    line : int
        Number of the record's line, from 1; alleles of one record share it.
    """

    chrom: str
    pos0: int
    ref: str
    alt: str
    id: str
    line: int

    @property
    def kind(self) -> VariantKind:
        """What the alternative allele is."""
        if _LETTERS.fullmatch(self.alt):
            same = len(self.alt) == len(self.ref)
            return VariantKind.SUBSTITUTION if same else VariantKind.INDEL
        if self.alt.startswith("<"):
            return VariantKind.SYMBOLIC
        return {"*": VariantKind.OVERLAPPING, ".": VariantKind.MISSING}.get(
            self.alt, VariantKind.BREAKEND
        )


def read_vcf(path: str | Path) -> Iterator[Variant]:
    """Alternative alleles of a VCF 4 file, plain or compressed by (b)gzip, in its order.

    A record with several alternatives gives as many variants. Neither a header nor declared contigs
    are needed, nor sorted records.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    FastISMError
        At once for a missing file; when it is reached, for a line that is no VCF record (with its
        number), another version of the format, or damaged compression.
    """
    path = Path(path)
    check_readable(path, _KIND)
    return _variants(path)


def _variants(path: Path) -> Iterator[Variant]:
    for number, line in text_lines(path, _KIND):
        if number == 1:
            _check_version(path, line)
        if line.startswith("#") or not line.strip():
            continue
        try:
            yield from _alleles(line.split("\t"), number)
        except ValueError as error:
            raise FastISMError(
                f"{path}, line {number}: {error}. Expected a VCF record, with its columns "
                "separated by tabs: CHROM, POS, ID, REF, ALT, ..."
            ) from None


def _check_version(path: Path, line: str) -> None:
    if line.startswith("##fileformat=") and not line.startswith("##fileformat=VCFv4"):
        raise FastISMError(
            f"{path} has the format {line.removeprefix('##fileformat=')!r}; expected VCFv4.x. "
            "Convert it, for instance by vcf-convert."
        )


def _alleles(fields: Sequence[str], line: int) -> list[Variant]:
    """Variants of one record; a ValueError says what is wrong with it."""
    if len(fields) < 5:
        raise ValueError(f"{len(fields)} columns")
    chrom, pos, identifier, ref, alternatives = fields[:5]
    if not chrom:
        raise ValueError("CHROM is empty")
    if not pos.isdecimal():
        raise ValueError(f"POS is {pos!r}, not a position counted from 1")
    if not _LETTERS.fullmatch(ref):
        raise ValueError(f"REF is {ref!r}, not letters")
    made = [
        Variant(chrom, int(pos) - 1, ref, alt, identifier or ".", line)
        for alt in alternatives.strip().split(",")
    ]
    for variant in made:
        if variant.kind is VariantKind.BREAKEND and not _BREAKEND.fullmatch(variant.alt):
            raise ValueError(f"ALT is {variant.alt!r}, neither letters nor an allele of VCF 4")
    return made


def annotated(path: str | Path, declarations: Sequence[str], infos: Iterable[str]) -> Iterator[str]:
    """Lines of a VCF file with something added to the INFO column of every record.

    Parameters
    ----------
    path : str or Path
        A file that `read_vcf` reads.
    declarations : sequence of str
        Header lines ``##INFO=<...>`` for what is added; they come last of all ``##`` lines.
    infos : iterable of str
        For every record in order: ``KEY=value;KEY=value``.

    Yields
    ------
    str
        Without line ends. Keys that begin with `PREFIX` are left out of what was there.

    Raises
    ------
    FastISMError
        As `read_vcf`; and without a ``#CHROM`` line or an INFO column.
    """
    path, added = Path(path), iter(infos)
    complete = False
    for number, line in text_lines(path, _KIND):
        if line.startswith("#CHROM"):
            yield from declarations
            complete = True
        elif not line.startswith("#") and line.strip():
            line = _with_info(path, number, line, complete, next(added))
        elif line.startswith(f"##INFO=<ID={PREFIX}"):
            continue
        yield line


def _with_info(path: Path, number: int, line: str, complete: bool, added: str) -> str:
    fields = line.split("\t")
    if not complete or len(fields) < 8:
        missing = "no INFO column" if complete else "no header line #CHROM before it"
        raise FastISMError(
            f"{path}, line {number}: {missing}, so that no VCF can be written. Add it, or write a "
            "table (.tsv)."
        )
    kept = [i for i in fields[7].split(";") if i not in ("", ".") and not i.startswith(PREFIX)]
    fields[7] = ";".join([*kept, added])
    return "\t".join(fields)

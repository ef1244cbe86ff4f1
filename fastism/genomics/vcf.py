"""Variants of a VCF file, and VCF files with fields added to their records.

Requirements: pyfaidx (by way of `fastism.genomics.genome`); biopython to write files that bgzip
compresses.

Only the columns CHROM, POS, ID, REF, ALT are looked at; all others pass through as they are, byte
by byte, which no library that parses and formats a VCF promises. So contigs, INFO and FORMAT keys
need no declaration, and bytes that are no UTF-8 do no harm. A line that is no record is a variant
that cannot be scored: one bad line never ends a run of thousands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from fastism.errors import FastISMError
from fastism.files.text import check_readable, text_lines, whole_number

#: INFO keys of this program begin so; those of an earlier run are replaced.
PREFIX = "FASTISM_"
#: What a file is said to be where it is none.
VCF_KIND = "a VCF file (make one of a BCF file by bcftools view)"
_LETTERS = re.compile(r"[A-Za-z]+")
#: Number of the column INFO, from 0.
_INFO = 7
_BREAKEND = re.compile(r"\.[A-Za-z]+|[A-Za-z]+\.|.*[\[\]].*")


class VariantKind(Enum):
    """What an alternative allele is."""

    SUBSTITUTION = "as long as the reference allele"
    INDEL = "of another length than the reference allele"
    SYMBOLIC = "symbolic, such as <DEL>"
    OVERLAPPING = "*: deleted by another record"
    MISSING = ".: no alternative"
    BREAKEND = "a breakend"
    BAD_LINE = "none: the line is no VCF record"


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
    problem : str
        What is wrong with a line that is no record; empty for all others.
    """

    chrom: str
    pos0: int
    ref: str
    alt: str
    id: str
    line: int
    problem: str = ""

    @property
    def kind(self) -> VariantKind:
        """What the alternative allele is."""
        if self.problem:
            return VariantKind.BAD_LINE
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
    are needed, nor sorted records. A line that is no record gives a variant of the kind
    ``BAD_LINE``.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    FastISMError
        At once for a missing file; when it is reached, for another version of the format, for what
        is no text or empty, and for damaged compression.
    """
    path = Path(path)
    check_readable(path, VCF_KIND)
    return _variants(path)


def _variants(path: Path) -> Iterator[Variant]:
    empty = True
    for number, line in text_lines(path, VCF_KIND):
        if number == 1:
            _check_version(path, line)
        empty = empty and not line.strip()
        if line.startswith("#") or not line.strip():
            continue
        yield from _alleles(columns(line), number)
    if empty:
        raise FastISMError(
            f"{path} is empty. Expected a VCF file, with a header at least where it has no "
            "variants."
        )


def columns(line: str) -> list[str]:
    """Columns of a line: separated by tabs, or by blanks where an editor replaced the tabs."""
    return line.split("\t") if "\t" in line else line.split()


def _check_version(path: Path, line: str) -> None:
    if line.startswith("BCF"):
        raise FastISMError(f"{path} is not text but BCF. Expected {VCF_KIND}.")
    if line.startswith("##fileformat=") and not line.startswith("##fileformat=VCFv4"):
        raise FastISMError(
            f"{path} has the format {line.removeprefix('##fileformat=')!r}; expected VCFv4.x. "
            "Convert it, for instance by vcf-convert."
        )


def _alleles(fields: Sequence[str], line: int) -> list[Variant]:
    """Variants of one record, or what is wrong with it."""
    chrom, pos, identifier, ref, alternatives = (*fields[:5], *[""] * (5 - len(fields)))
    number = whole_number(pos)
    if len(fields) < 5:
        problem = f"{len(fields)} columns where a record has at least 5"
    elif not chrom:
        problem = "CHROM is empty"
    elif number is None or number < 0:
        problem = f"POS is {pos!r}, not a position counted from 1"
    elif not _LETTERS.fullmatch(ref):
        problem = f"REF is {ref!r}, not letters"
    else:
        problem = ""
    pos0 = -1 if number is None else max(number, 0) - 1
    made = []
    for alt in [alternatives] if problem else alternatives.strip().split(","):
        variant = Variant(chrom, pos0, ref, alt, identifier or ".", line, problem)
        if variant.kind is VariantKind.BREAKEND and not _BREAKEND.fullmatch(alt):
            problem_here = f"ALT is {alt!r}, neither letters nor an allele of VCF 4"
            variant = replace(variant, problem=problem_here)
        made.append(variant)
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
        Without line ends; bytes that are no UTF-8 as `text_lines` gives them. Keys that begin with
        `PREFIX` are left out of what was there. A line that is no record and has no INFO column is
        as it was; a record that ends before it gets ``.`` for what is missing.

    Raises
    ------
    FastISMError
        As `read_vcf`; and without a ``#CHROM`` line with an INFO column.
    """
    path, added = Path(path), iter(infos)
    complete = False
    for number, line in text_lines(path, VCF_KIND):
        if line.startswith("#CHROM"):
            fields = columns(line)
            complete = len(fields) >= _INFO + 1
            line = "\t".join(fields)
            yield from declarations
        elif not line.startswith("#") and line.strip():
            if not complete:
                raise FastISMError(
                    f"{path}, line {number}: no header line #CHROM with an INFO column before it, "
                    "so that no VCF can be written. Add it, or write a table (.tsv)."
                )
            line = _with_info(number, line, next(added))
        elif line.startswith(f"##INFO=<ID={PREFIX}"):
            continue
        yield line


def _with_info(number: int, line: str, added: str) -> str:
    fields = columns(line)
    if len(fields) <= _INFO:
        if any(variant.problem for variant in _alleles(fields, number)):
            return line
        fields += ["."] * (_INFO + 1 - len(fields))
    kept = [i for i in fields[_INFO].split(";") if i not in ("", ".") and not i.startswith(PREFIX)]
    fields[_INFO] = ";".join([*kept, added])
    return "\t".join(fields)

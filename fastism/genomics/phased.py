"""Which alternative alleles each copy of a chromosome carries, by the genotypes of a phased VCF.

Requirements: none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from fastism.errors import FastISMError
from fastism.files.text import text_lines
from fastism.genomics.vcf import VCF_KIND, columns

_FORMAT = 8
_SEPARATORS = re.compile(r"[|/]")


@dataclass(frozen=True, slots=True)
class Copy:
    """One copy of a chromosome in one sample.

    Attributes
    ----------
    sample : str
    number : int
        Which of its copies, from 1, as the genotype lists them.
    """

    sample: str
    number: int

    def __str__(self) -> str:
        """As tables write it."""
        return f"{self.sample}|{self.number}"


@dataclass(frozen=True)
class Calls:
    """The genotypes of one record, as far as they say which copy carries what.

    Attributes
    ----------
    line : int
        Number of the record's line, from 1.
    carried : tuple of (Copy, str, int)
        Copy, phase set and number of the alternative (from 1) of all that carry one. The phase set
        is empty without PS; None for genotypes whose copies are all alike, which fit any.
    unphased : int
        Genotypes with different alleles and no phase, which cannot be told apart.
    """

    line: int
    carried: tuple[tuple[Copy, str | None, int], ...]
    unphased: int


def read_calls(path: str | Path) -> Iterator[Calls]:
    """The genotypes of all records of a VCF file, in its order.

    Parameters
    ----------
    path : str or Path
        A file that `fastism.genomics.vcf.read_vcf` reads, with samples.

    Raises
    ------
    FastISMError
        If its header names no samples.
    """
    samples: list[str] | None = None
    for number, line in text_lines(Path(path), VCF_KIND):
        if line.startswith("#CHROM"):
            samples = columns(line)[_FORMAT + 1 :]
        if line.startswith("#") or not line.strip():
            continue
        if not samples:
            raise FastISMError(
                f"{path} names no samples in a header line #CHROM, so that it has no haplotypes. "
                "--phased needs a VCF with genotypes (GT)."
            )
        yield _calls(columns(line), number, samples)


def _calls(fields: list[str], line: int, samples: list[str]) -> Calls:
    keys = fields[_FORMAT].split(":") if len(fields) > _FORMAT else []
    if "GT" not in keys:
        return Calls(line, (), 0)
    carried: list[tuple[Copy, str | None, int]] = []
    unphased = 0
    for sample, text in zip(samples, fields[_FORMAT + 1 :], strict=False):
        values = dict(zip(keys, text.split(":"), strict=False))
        genotype = values.get("GT", ".")
        alleles = _SEPARATORS.split(genotype.strip("|/"))
        numbers = [int(allele) if allele.isdecimal() else 0 for allele in alleles]
        if not any(numbers):
            continue
        alike = len(set(alleles)) == 1
        if not alike and "/" in genotype.lstrip("/"):
            unphased += 1
            continue
        phase = None if alike else values.get("PS", "").strip(".")
        for copy, allele in enumerate(numbers, start=1):
            if allele:
                carried.append((Copy(sample, copy), phase, allele))
    return Calls(line, tuple(carried), unphased)

"""One spelling for every variant, however a file writes it.

A file may write the same change with letters that do not change on either side (G>T, TG>TT,
CGTG>CGTT), and an insertion or deletion within a repeat at any of its copies. The effect of a
variant depends on where in the model's input it lies, so it is placed by one spelling: the shortest
one, and of those the leftmost, as ``bcftools norm`` and ``vt normalize`` make it (Tan et al. 2015,
doi:10.1093/bioinformatics/btv112).

Requirements: pyfaidx (through `fastism.genomics.genome`).
"""

from __future__ import annotations

from dataclasses import replace

from fastism.genomics.genome import Genome
from fastism.genomics.vcf import Variant

#: Letters of the genome that are read at a time on the way to the left.
_STEP = 64


def shortest(variant: Variant, genome: Genome) -> Variant:
    """The variant in its shortest, leftmost spelling.

    Parameters
    ----------
    variant : Variant
        Letters only; its reference allele is what the genome has there, and its chromosome is
        called as the genome calls it.
    genome : Genome

    Returns
    -------
    Variant
        Alleles that share neither their first nor their last letter, except that those of an
        insertion or deletion share the letter before it (none at the start of a chromosome).
        Alleles that are equal are cut to their first letter.
    """
    pos0, ref, alt = variant.pos0, variant.ref.upper(), variant.alt.upper()
    if ref == alt:
        return replace(variant, ref=ref[:1], alt=alt[:1])
    before = _Before(genome, variant.chrom)
    while True:
        if ref and alt and ref[-1] == alt[-1]:
            ref, alt = ref[:-1], alt[:-1]
        elif (not ref or not alt) and pos0 > 0:
            pos0 -= 1
            letter = before[pos0]
            ref, alt = letter + ref, letter + alt
            if ref[-1] != alt[-1]:
                break
        else:
            break
    shared = 0
    while shared < min(len(ref), len(alt)) - 1 and ref[shared] == alt[shared]:
        shared += 1
    return replace(variant, pos0=pos0 + shared, ref=ref[shared:], alt=alt[shared:])


class _Before:
    """Letters of a chromosome, read in stretches from right to left."""

    def __init__(self, genome: Genome, chrom: str) -> None:
        self._genome, self._chrom = genome, chrom
        self._start, self._letters = 0, ""

    def __getitem__(self, pos0: int) -> str:
        if not self._start <= pos0 < self._start + len(self._letters):
            self._start = max(0, pos0 + 1 - _STEP)
            self._letters = self._genome.fetch(self._chrom, self._start, pos0 + 1).upper()
        return self._letters[pos0 - self._start]

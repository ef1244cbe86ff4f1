"""What a genome has beside a sequence.

Requirements: pyfaidx (through `fastism.genomics.genome`).
"""

from __future__ import annotations

from fastism.genomics.genome import Genome, reverse_complement
from fastism.genomics.regions import Region


def flank(genome: Genome, region: Region, width: int, anchor: str) -> str:
    """The letters next to a region, read along its strand.

    Parameters
    ----------
    genome : Genome
    region : Region
        With a chromosome.
    width : int
        How many letters.
    anchor : {"left", "right"}
        Which end stays where it is: "left" asks for what follows the region, "right" for what
        precedes it.

    Returns
    -------
    str
        `width` letters; ``N`` beyond the ends of the chromosome.
    """
    reverse = region.strand == "-"
    to_the_right = (anchor == "left") != reverse
    start, end = (
        (region.end, region.end + width) if to_the_right else (region.start - width, region.start)
    )
    size = genome.sizes[region.chrom]
    first, last = min(max(start, 0), size), max(min(end, size), 0)
    letters = genome.fetch(region.chrom, first, last) if first < last else ""
    padded = "N" * (first - start if first < last else 0) + letters
    padded = padded.ljust(width, "N") if start >= 0 else padded.rjust(width, "N")
    return reverse_complement(padded) if reverse else padded

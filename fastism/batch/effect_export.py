"""From finished effects of variants, in one file or in shards, to tables and VCF files.

Requirements: numpy, pyfaidx (by way of `fastism.genomics.genome`); biopython for VCF that
bgzip compressed.
"""

from __future__ import annotations

from pathlib import Path

from fastism.batch.effect_files import VCFS, format_of, write_effects
from fastism.batch.haplotype_files import haplotype_file, write_haplotypes
from fastism.errors import FastISMError
from fastism.loading.model_files import hash_files
from fastism.store.effects import JoinedEffects

#: How the name of a shard of `fastism variants` ends.
EFFECTS = ".effects"


def effect_outputs(output: Path, phased: bool) -> list[Path]:
    """The files that an output consists of.

    Examples
    --------
    >>> [path.name for path in effect_outputs(Path("a.tsv"), phased=True)]
    ['a.tsv', 'a.haplotypes.tsv']
    """
    format_of(output)
    return [output, *([haplotype_file(output)] if phased else [])]


def write_joined(joined: JoinedEffects, output: Path, vcf: Path | None) -> list[Path]:
    """Write effects, and haplotypes where there are any.

    Parameters
    ----------
    joined : JoinedEffects
    output : Path
        Its ending says the format; see `fastism.batch.effect_files.write_effects`.
    vcf : Path or None
        The file that the variants come from, which the output repeats if it is a VCF.

    Returns
    -------
    list of Path
        The files written.

    Raises
    ------
    FastISMError
        If the VCF is needed and is not there or another one, or a file cannot be written.
    """
    header = joined.header
    if format_of(output) in VCFS and vcf is not None and hash_files(vcf) != header.input_hash:
        raise FastISMError(
            f"{vcf} is not the file that the variants come from ({header.input}), or has changed "
            "since they were scored."
        )
    files = effect_outputs(output, header.phased)
    write_effects(output, joined.effects(), header.labels, vcf, header.about)
    if header.phased:
        write_haplotypes(files[1], joined.haplotypes(), header.labels)
    return files

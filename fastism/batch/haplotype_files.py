"""Tables of haplotypes: joint effects beside the sums of single ones.

Requirements: numpy.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from fastism.batch.effect_files import VCFS, format_of, opened, shortest
from fastism.files.whole import whole_file
from fastism.genomics.haplotypes import Haplotype
from fastism.genomics.locate import Status
from fastism.genomics.vcf import Variant

#: Columns before those of the values.
COLUMNS = (
    *("chrom", "window_start", "window_end", "strand", "haplotype"),
    *("variants", "copies", "carriers", "method", "status", "additive"),
)
#: For every value.
VALUES = ("joint", "sum", "difference")
_MISSING = "NA"


def haplotype_file(output: Path) -> Path:
    """Where the haplotypes go that belong to effects of single variants.

    Examples
    --------
    >>> haplotype_file(Path("effects.tsv.gz")).name, haplotype_file(Path("calls.vcf")).name
    ('effects.haplotypes.tsv.gz', 'calls.haplotypes.tsv')
    """
    ending = format_of(output)
    stem = output.name[: -len(ending)]
    kind = ".tsv" if ending in VCFS else output.name[-len(ending) :]
    return output.with_name(f"{stem}.haplotypes{kind}")


def haplotype_row(haplotype: Haplotype, values: int) -> str:
    """The row of a haplotype of effects that have so many values."""
    return "\t".join(_fields(haplotype, values * len(VALUES)))


def write_haplotypes(path: Path, rows: Iterable[str], labels: Sequence[str]) -> None:
    """Write a table, which appears when it is whole.

    Parameters
    ----------
    path : Path
        From `haplotype_file`.
    rows : iterable of str
        From `haplotype_row`.
    labels : sequence of str
        From `fastism.genomics.variants.value_labels`.

    Raises
    ------
    FastISMError
        If the file cannot be written.
    """
    names = [f"{kind}_{x}" if x else kind for x in labels for kind in VALUES]
    with whole_file(path) as beside, opened(beside, format_of(path)) as handle:
        for row in ("\t".join([*COLUMNS, *names]), *rows):
            handle.write(f"{row}\n".encode("utf-8", "surrogateescape"))


def told(rows: Iterable[str], unphased: int) -> str:
    """What came of haplotypes, for people; `unphased` genotypes were left out."""
    scored = others = 0
    additive: Counter[str] = Counter()
    for row in rows:
        fields = dict(zip(COLUMNS, row.split("\t"), strict=False))
        scored += fields["status"] == Status.SCORED.value
        others += fields["status"] != Status.SCORED.value
        additive[fields["additive"]] += 1
    text = (
        f"{scored} haplotypes of two variants or more scored, {additive['no']} of them not additive"
    )
    text += f"; {others} not scored" if others else ""
    return text + (f"; {unphased} unphased genotypes left out" if unphased else "")


def _fields(haplotype: Haplotype, values: int) -> list[str]:
    window = haplotype.window
    fields = [window.chrom, str(window.start), str(window.end), window.strand, haplotype.name]
    fields.append(";".join(map(_spelled, haplotype.variants)))
    fields += [str(len(haplotype.copies)), ",".join(map(str, haplotype.copies))]
    fields += [haplotype.method or _MISSING, haplotype.status]
    if haplotype.joint is None:
        return fields + [_MISSING] * (values + 1)
    fields.append("yes" if haplotype.additive else "no")
    for joint, summed in zip(haplotype.joint, haplotype.summed, strict=True):
        fields += [shortest(joint), shortest(summed), shortest(joint - summed)]
    return fields


def _spelled(variant: Variant) -> str:
    """As in the file, with the position counted from 1."""
    return f"{variant.chrom}:{variant.pos0 + 1}:{variant.ref}>{variant.alt}"

"""Tables of haplotypes: joint effects beside the sums of single ones.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fastism.batch.effect_files import VCFS, format_of, opened, shortest
from fastism.files.whole import whole_file
from fastism.genomics.haplotypes import Haplotype
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


@contextmanager
def haplotype_table(path: Path, labels: Sequence[str]) -> Iterator[Callable[[Haplotype], None]]:
    """A table that appears when it is whole; what is given to the function becomes a line.

    Parameters
    ----------
    path : Path
        From `haplotype_file`.
    labels : sequence of str
        From `fastism.genomics.variants.value_labels`.

    Raises
    ------
    FastISMError
        If the file cannot be written.
    """
    names = [f"{kind}_{x}" if x else kind for x in labels for kind in VALUES]
    with whole_file(path) as beside, opened(beside, format_of(path)) as handle:

        def write(fields: Sequence[str]) -> None:
            handle.write(("\t".join(fields) + "\n").encode("utf-8", "surrogateescape"))

        write([*COLUMNS, *names])
        yield lambda haplotype: write(_fields(haplotype, len(names)))


@dataclass
class Tally:
    """Counts haplotypes on their way into a table.

    Parameters
    ----------
    write : callable
        From `haplotype_table`.
    """

    write: Callable[[Haplotype], None]
    scored: int = 0
    additive: int = 0
    others: int = 0

    def __call__(self, haplotype: Haplotype) -> None:
        """Take one."""
        self.write(haplotype)
        self.scored += haplotype.joint is not None
        self.others += haplotype.joint is None
        self.additive += bool(haplotype.additive)

    def said(self, unphased: int) -> str:
        """What came of them, for people; `unphased` genotypes were left out."""
        text = (
            f"{self.scored} haplotypes of two variants or more scored, "
            f"{self.scored - self.additive} of them not additive"
        )
        text += f"; {self.others} not scored" if self.others else ""
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

"""Files of variant effects: tables, and the VCF file itself with fields added.

Requirements: numpy, pyfaidx (by way of `fastism.genomics.genome`); biopython for VCF that
bgzip compressed.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import IO

import numpy as np

from fastism.errors import FastISMError
from fastism.files.whole import whole_file
from fastism.genomics.locate import Effect, Status
from fastism.genomics.vcf import annotated

#: Endings of files that `write_effects` writes.
TABLES = (".tsv", ".tsv.gz")
VCFS = (".vcf", ".vcf.gz")
FORMATS = (*TABLES, *VCFS)
#: Columns of a table before those of the values.
COLUMNS = (
    *("chrom", "pos", "id", "ref", "alt"),
    *("window_start", "window_end", "strand", "method", "status"),
)
_MISSING = "NA"


def format_of(path: Path) -> str:
    """The ending of a file that names its format.

    Raises
    ------
    FastISMError
        If there is none, listing those that there are.
    """
    for ending in FORMATS:
        if path.name.lower().endswith(ending):
            return ending
    raise FastISMError(
        f"The ending of {path} names no format for variants; expected {', '.join(FORMATS)}."
    )


def write_effects(
    path: Path,
    effects: Iterable[Effect],
    labels: Sequence[str],
    source: Path | None,
    about: str = "a model",
) -> None:
    """Write effects in the format that the ending of `path` names; it appears when it is whole.

    A table has one line for each alternative: the columns `COLUMNS` (pos counted from 1 as in VCF;
    windows 0-based and half-open; ``NA`` where there is nothing), then ``reference`` and
    ``effect`` for every value, followed by ``_`` and its label if it has one.

    A VCF file has the records of `source` with the INFO fields ``FASTISM_STATUS`` and, where an
    alternative was scored, ``FASTISM_METHOD``, ``FASTISM_REF`` and ``FASTISM_EFFECT``. Values of
    one alternative stand together, in the order of `labels`, which the header repeats.

    Parameters
    ----------
    path : Path
    effects : iterable of Effect
        Of all alternatives of `source`, in its order.
    labels : sequence of str
        From `fastism.genomics.variants.value_labels`.
    source : Path or None
        The VCF file that the variants come from; a table needs none.
    about : str
        What made the values, for the header of a VCF file.

    Raises
    ------
    FastISMError
        If the file cannot be written, or no VCF can be made of `source`.
    """
    ending = format_of(path)
    if ending in TABLES:
        lines = table(effects, labels)
    elif source is None:
        raise FastISMError(
            f"{path.name} would be the VCF file that the variants come from, with fields added: "
            "give that too, or write a table (.tsv)."
        )
    else:
        lines = annotated(source, declarations(labels, about), _infos(effects, labels))
    with whole_file(path) as beside, opened(beside, ending) as handle:
        for line in lines:
            handle.write(f"{line}\n".encode("utf-8", "surrogateescape"))


@contextmanager
def opened(path: Path, ending: str) -> Iterator[IO[bytes]]:
    """A file to write, compressed as its ending asks for, with no date in it."""
    with path.open("wb") as raw:
        if ending == ".vcf.gz":
            # Indexers such as tabix want bgzip, and gzip reads it too.
            from Bio import bgzf

            with bgzf.BgzfWriter(fileobj=raw) as handle:
                yield handle
        elif ending == ".tsv.gz":
            with gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as handle:
                yield handle
        else:
            yield raw


# ---- tables ------------------------------------------------------------------------------


def table(effects: Iterable[Effect], labels: Sequence[str]) -> Iterator[str]:
    """Lines of a table with its header; see `write_effects`."""
    names = [f"{kind}_{x}" if x else kind for x in labels for kind in ("reference", "effect")]
    yield "\t".join([*COLUMNS, *names])
    for effect in effects:
        variant, window = effect.variant, effect.window
        place = (window.start, window.end, window.strand) if window else (_MISSING,) * 3
        alleles = (field or _MISSING for field in (variant.id, variant.ref, variant.alt))
        pos = _MISSING if variant.problem and variant.pos0 < 0 else variant.pos0 + 1
        fields = [variant.chrom or _MISSING, pos, *alleles, *place]
        fields += [effect.method or _MISSING, effect.status.value]
        if effect.effect is None:
            fields += [_MISSING] * len(names)
        else:
            pairs = zip(effect.reference, effect.effect, strict=True)
            fields += [shortest(value) for pair in pairs for value in pair]
        yield "\t".join(map(str, fields))


def shortest(value: np.floating) -> str:
    """The shortest number that is read back as the same value of its type.

    Examples
    --------
    >>> shortest(np.float32(0.1))
    '0.1'
    """
    return str(value)


# ---- VCF ---------------------------------------------------------------------------------


def declarations(labels: Sequence[str], about: str) -> list[str]:
    """Header lines for the INFO fields of `write_effects`."""
    order = f" of {', '.join(labels)} in this order" if any(labels) else ""
    statuses = "; ".join(f"{status.value}: {status.meaning}" for status in Status)
    fields = [
        ("REF", len(labels), "Float", f"Output{order} for the window as it is, by {about}"),
        # One value for each ALT is what tools that split records know how to split.
        (
            "EFFECT",
            "A" if len(labels) == 1 else ".",
            "Float",
            f"Mutant minus reference for each ALT{order and ', values' + order}, by {about}",
        ),
        ("METHOD", "A", "String", "How an ALT was scored: fast, splice or naive"),
        ("STATUS", "A", "String", f"Whether an ALT was scored. {statuses}"),
    ]
    return [
        f'##INFO=<ID=FASTISM_{name},Number={number},Type={kind},Description="{_quoted(text)}">'
        for name, number, kind, text in fields
    ]


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _infos(effects: Iterable[Effect], labels: Sequence[str]) -> Iterator[str]:
    """For every record of the file, what its INFO column gets."""
    for _, group in groupby(effects, key=attrgetter("variant.line")):
        alleles = list(group)
        scored = [e for e in alleles if e.effect is not None]
        fields = []
        if scored:
            missing = ["."] * len(labels)
            changes = [missing if e.effect is None else map(shortest, e.effect) for e in alleles]
            fields = [
                ("REF", map(shortest, scored[0].reference)),
                ("EFFECT", (value for change in changes for value in change)),
                ("METHOD", (e.method or "." for e in alleles)),
            ]
        fields.append(("STATUS", (e.status.value for e in alleles)))
        yield ";".join(f"FASTISM_{name}={','.join(values)}" for name, values in fields)

"""What files of scores hold, from the code that writes them.

Requirements: fastism; no framework.
"""

from __future__ import annotations

import re

from docs.generate import table


def formats() -> str:
    """The formats that `fastism score` and `fastism export` write, by extension."""
    from fastism.store.export import FORMATS

    endings: dict[str, list[str]] = {}
    for extension, kind in FORMATS.items():
        endings.setdefault(kind.holds, []).append(f"`{extension}`")
    return table(["extension", "holds"], [[", ".join(e), holds] for holds, e in endings.items()])


def store_layout() -> str:
    """The arrays of a store, from the description of `fastism.store.schema`."""
    from fastism.store import schema

    return layout_table(schema.__doc__)


def scan_layout() -> str:
    """The arrays of a file of a scan, from the description of `fastism.batch.scan_files`."""
    from fastism.batch import scan_files

    return layout_table(scan_files.__doc__)


def layout_table(text: str) -> str:
    """The first table of a docstring."""
    header, *rows = simple_table(text)
    return table(header, [[cell.replace("``", "`") for cell in row] for row in rows])


def variant_columns() -> str:
    """Columns of a table of variant effects, before those of the values."""
    from fastism.batch.effect_files import COLUMNS

    return ", ".join(f"`{column}`" for column in COLUMNS)


def haplotype_columns() -> str:
    """Columns of a table of haplotypes, before those of the values."""
    from fastism.batch.haplotype_files import COLUMNS

    return ", ".join(f"`{column}`" for column in COLUMNS)


def variant_statuses() -> str:
    """What the status of a variant says."""
    from fastism.genomics.locate import Status

    rows = [[f"`{status.value}`", status.meaning.replace("<", "&lt;")] for status in Status]
    return table(["status", "meaning"], rows)


def skip_reasons() -> str:
    """Why records of an input are skipped, as they are counted."""
    from fastism.genomics.regions import Skip

    return table(["counted as", "meaning"], [[f"`{kind.value}`", kind.meaning] for kind in Skip])


def simple_table(text: str) -> list[list[str]]:
    """The rows of the first table of a docstring, whose columns are ruled by ``=``.

    A row whose first cell starts a new name is a row of its own; one that goes on with a blank
    first cell belongs to the row above, and so does one after a comma.
    """
    lines = text.splitlines()
    rules = [i for i, line in enumerate(lines) if re.fullmatch(r"\s*=+( +=+)+", line)]
    spans = [m.span() for m in re.finditer(r"=+", lines[rules[0]])]
    ends = [start for start, _ in spans[1:]] + [None]
    rows: list[list[str]] = []
    for line in (*lines[rules[0] + 1 : rules[1]], *lines[rules[1] + 1 : rules[2]]):
        cells = [line[start:end].strip() for (start, _), end in zip(spans, ends, strict=True)]
        goes_on = rows and (not cells[0] or rows[-1][0].endswith(","))
        if goes_on:
            rows[-1] = [f"{a} {b}".strip() for a, b in zip(rows[-1], cells, strict=True)]
        else:
            rows.append(cells)
    return rows

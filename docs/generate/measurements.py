"""Measured tables and figures: whatever records and figures the repository holds.

Requirements: numpy, and what `figures.readme` imports; figures are only linked.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

from benchmarks.architectures import ARCHITECTURES
from benchmarks.methods import discover
from benchmarks.records import read
from benchmarks.records.compare import Comparison, compare, main_cases
from docs.generate import ROOT, table
from figures.opening import SHORT
from figures.provenance import FRAMEWORKS
from figures.readme import FIGURE
from figures.speedup_table import shown, shown_ratio
from figures.targets import FILE

REFERENCE = Path("figures/reference")
RECORDS = Path("benchmarks/records")
#: What was measured twice, on the same kind of processor.
GRID_AND_LIBRARY = ("paper-cpu.jsonl", "library-amd-cpu.jsonl")
#: Of a CSV file that has no Markdown beside it, more columns than this are not shown.
MOST_COLUMNS = 12


def targets() -> str:
    """The committed table of targets, which `snakemake write_targets_table` renews."""
    return (ROOT / REFERENCE / FILE).read_text().strip()


def profiles() -> str:
    """The committed profiles, which `python -m benchmarks.floor.profile` writes."""
    path = ROOT / RECORDS / "profile-cpu.md"
    return path.read_text().strip() if path.is_file() else "None has been committed."


def rounding() -> str:
    """The committed table of what rounding does (`python -m benchmarks.studies.rounding`)."""
    return _record("rounding")


def halves() -> str:
    """The committed table of products of TF32 halves (`python -m benchmarks.studies.halves`)."""
    return _record("halves")


def pairs() -> str:
    """The committed table of double mutants (`python -m benchmarks.studies.pairs`)."""
    return _record("pairs")


def scans() -> str:
    """The committed table of deletions and insertions (`python -m benchmarks.studies.scans`)."""
    return _record("scans")


def designs() -> str:
    """The committed table of designs beside CREsted (`python -m benchmarks.studies.designs`)."""
    return _record("designs")


def steps() -> str:
    """The committed table of what steps of designs take (`python -m benchmarks.studies.steps`)."""
    return _record("steps")


def haplotypes() -> str:
    """The committed table of haplotypes (`python -m benchmarks.studies.haplotypes`)."""
    return _record("haplotypes")


def folds() -> str:
    """The committed table of several models (`python -m benchmarks.studies.folds`)."""
    return _record("folds")


def _record(name: str) -> str:
    """A committed table in Markdown, with what was measured and how above it."""
    return (ROOT / RECORDS / f"{name}.md").read_text().strip()


def reference_figures() -> str:
    """The figures of ``figures/reference`` by folder, each with its table where there is one.

    The figure of speedups stands above, with its own tables.
    """
    parts: list[str] = []
    root = ROOT / REFERENCE
    # Drawings, then the pictures that exist only as PNG.
    found = {p.with_suffix("") for p in root.rglob("*") if p.suffix in (".svg", ".png")}
    found.discard(ROOT / FIGURE)
    folder = None
    for stem in sorted(found, key=lambda p: (p.parent != root, p)):
        if stem.parent != folder:
            folder = stem.parent
            name = folder.relative_to(ROOT).as_posix()
            parts.append(f"### {name}")
        suffix = ".svg" if stem.with_suffix(".svg").is_file() else ".png"
        where = f"../{stem.relative_to(ROOT).as_posix()}{suffix}"
        title, shown = _table_of(stem)
        parts.append(f"#### {title}")
        parts.append(f'![{title}]({where}){{ loading="lazy" }}')
        if shown:
            parts.append(shown)
    return "\n\n".join(parts) if parts else "No figures have been committed."


def _table_of(stem: Path) -> tuple[str, str]:
    """Title and table of a figure: its Markdown, or its CSV where that is narrow."""
    title, text = stem.name.replace("_", " ").replace("-", " ").capitalize(), ""
    beside, data = stem.with_suffix(".md"), stem.with_suffix(".csv")
    if beside.is_file():
        first, *rest = beside.read_text().strip().splitlines()
        if first.startswith("#"):
            title, text = first.lstrip("# "), "\n".join(rest)
        else:
            text = "\n".join([first, *rest])
    elif data.is_file():
        with data.open(newline="") as file:
            header, *rows = list(csv.reader(file))
        text = table(header, rows) if len(header) <= MOST_COLUMNS else ""
    return title, text.strip()


def grid_and_library() -> str:
    """Speedups of the cases that two files of one machine hold: the paper's grid, the library."""
    found = [_comparisons(name) for name in GRID_AND_LIBRARY]
    rows = []
    for case in (case for case in found[0] if case in found[1]):
        pair = [each[case] for each in found]
        cells = [cell for c in pair for cell in (shown_ratio(c, c.best), _of(c))]
        rows.append([shown(case[0]), *map(str, case[1:]), *cells])
    header = ["model", "bp", "sequences", "the grid", "of", "the tables above", "of"]
    return table(header, rows, right=(1, 2, 3, 5))


def _comparisons(name: str) -> dict[tuple[str, int, int], Comparison]:
    """Those of a file of committed records, by architecture, length and number of sequences."""
    made = main_cases(compare(read(ROOT / RECORDS / name)))
    return {(w.architecture, w.length, w.sequences): c for c in made if (w := c.naive.what)}


def _of(comparison: Comparison) -> str:
    """Commit and day of the fast runs, and what the naive ones ran on."""
    where = comparison.best.where
    naive = FRAMEWORKS[comparison.naive.how.backend]
    return f"{(where.commit or 'unknown')[:SHORT]}, {where.date[:10]}, naive on {naive}"


def record_files() -> str:
    """The files of committed records: how many, of which methods, from when and where."""
    rows = []
    for path in sorted((ROOT / RECORDS).rglob("*.jsonl")):
        records = [json.loads(line) for line in path.read_text().splitlines() if line.strip()]
        methods = Counter(record["what"]["method"] for record in records)
        dates = sorted(record["where"]["date"][:10] for record in records)
        places = dict.fromkeys(
            f"{r['where']['cpu']}, {r['where']['threads']} threads" for r in records
        )
        rows.append(
            [
                f"`{path.relative_to(ROOT).as_posix()}`",
                str(len(records)),
                ", ".join(f"{name} ({count})" for name, count in methods.items()),
                dates[0] if dates[0] == dates[-1] else f"{dates[0]} to {dates[-1]}",
                "; ".join(places),
            ]
        )
    return table(["file", "records", "methods", "dates", "machines"], rows, right=(1,))


def methods() -> str:
    """The methods that can be benchmarked."""
    rows = []
    for name, method in discover().items():
        description = (method.__doc__ or "").partition("\n")[0].rstrip(".")
        exact = "exact" if method.exact else ""
        rows.append([f"`{name}`", method.label, description, exact])
    return table(["name in configs", "method", "what it is", "ISM"], rows)


def architectures() -> str:
    """The architectures that can be benchmarked."""
    rows = [
        [f"`{a.name}`", a.label, ", ".join(map(str, a.lengths)), f"`{a.module}`"]
        for a in ARCHITECTURES.values()
    ]
    return table(["name in configs", "architecture", "lengths", "builder"], rows)

"""Measured tables and figures: whatever records and figures the repository holds.

Requirements: pandas, numpy; figures are only linked.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path

from benchmarks.architectures import ARCHITECTURES
from benchmarks.methods import discover
from docs.generate import ROOT, table
from figures.readme import FIGURE, RECORDS, committed
from figures.speedup_table import markdown

REFERENCE = Path("figures/reference")
#: Tables with more columns than this are linked by their Markdown, not repeated from the CSV.
MOST_COLUMNS = 12


def speedups() -> str:
    """The tables of the README, from the same records by the same function."""
    records = committed(ROOT)
    if not records:
        return f"No records have been committed to `{RECORDS}`."
    return markdown(records)


def reference_figures() -> str:
    """The figures of ``figures/reference`` by folder, each with its table where there is one.

    The README's figure stands above, with its own tables.
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
        where = f"figures/{stem.relative_to(root).as_posix()}{suffix}"
        parts.append(f"#### {_title(stem.name)}")
        parts.append(f'![{_title(stem.name)}]({where}){{ .plot loading="lazy" }}')
        shown = _table_of(stem)
        if shown:
            parts.append(shown)
    return "\n\n".join(parts) if parts else "No figures have been committed."


def _table_of(stem: Path) -> str:
    """The table beside a figure: its Markdown, or its CSV where that is narrow."""
    text = stem.with_suffix(".md")
    if text.is_file():
        # Headings of its own would stand in the wrong place of the page's contents.
        lines = [line.lstrip("# ") if line.startswith("#") else line for line in _lines(text)]
        return "\n".join(lines)
    data = stem.with_suffix(".csv")
    if not data.is_file():
        return ""
    with data.open(newline="") as file:
        header, *rows = list(csv.reader(file))
    return table(header, rows) if len(header) <= MOST_COLUMNS else ""


def _lines(path: Path) -> list[str]:
    return path.read_text().strip().splitlines()


def _title(name: str) -> str:
    return name.replace("_", " ").replace("-", " ").capitalize()


def record_files() -> str:
    """The files of committed records: how many, of which methods, from when and where."""
    rows = []
    for path in sorted((ROOT / "benchmarks" / "records").rglob("*.jsonl")):
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

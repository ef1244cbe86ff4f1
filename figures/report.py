"""The report: every table and figure of a study on one page, with where they were measured.

    python -m figures.report --records R.jsonl --folder results/paper --output report.html

The page is a single file: figures are embedded in it.

Requirements: pandas and matplotlib; what was drawn, and the table of targets, must be in the
folder.
"""

from __future__ import annotations

import argparse
import base64
import re
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from benchmarks.records import Record, read
from fastism.errors import FastISMError
from figures import opening
from figures.drawings import DRAWINGS, MISSING
from figures.speedup import TITLE as SPEEDUP_TITLE
from figures.style import TITLE_ID
from figures.targets import FILE, TITLE

#: The figure that every config leads to, `figures.speedup`; its table has no title.
SPEEDUP = "speedup"

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #222; max-width: 1080px; margin: 2em auto;
  padding: 0 1em; }
h1, h2 { line-height: 1.2; }
h2 { margin-top: 2.2em; border-top: 1px solid #ccc; padding-top: .8em; }
img { width: 100%; height: auto; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; text-align: right; border-bottom: 1px solid #ddd; }
th { vertical-align: bottom; border-bottom: 2px solid #888; }
.left { text-align: left; }
td:first-child, td:not(.left) { white-space: nowrap; }
details { margin-top: .8em; }
nav ul { columns: 2; }
summary { cursor: pointer; color: #0072B2; }
"""


def page(
    study: str, records: Sequence[Record], drawings: Sequence[tuple[str, str, str]], targets: str
) -> str:
    """The page as HTML.

    Parameters
    ----------
    study : str
        Name of the config.
    records : sequence of Record
        What the drawings show.
    drawings : sequence of (name, svg, markdown)
    targets : str
        The table of targets, Markdown.

    Returns
    -------
    str
    """
    sections, contents = [], []
    hidden = f"<style>#{TITLE_ID}{{display:none}}</style></svg>"
    for name, svg, markdown in drawings:
        title = _title(markdown) or name
        # The heading is the title: the one within the figure is hidden.
        image = base64.b64encode(svg.replace("</svg>", hidden).encode()).decode()
        contents.append(f'<li><a href="#{name}">{escape(title)}</a></li>')
        sections += [
            f'<h2 id="{name}">{escape(title)}</h2>',
            f'<img src="data:image/svg+xml;base64,{image}" alt="{escape(title)}">',
            *_below(markdown, captioned=name != SPEEDUP),
        ]
    contents.append(f'<li><a href="#targets">{escape(TITLE)}</a></li>')
    sections += [f'<h2 id="targets">{escape(TITLE)}</h2>', *_as_html(targets)]
    if opening.missing(records):
        contents.append('<li><a href="#missing">What is missing, and why</a></li>')
    contents.append('<li><a href="#where">Where it was measured</a></li>')
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width">',
            f"<title>fastISM: {escape(study)}</title><style>{STYLE}</style></head><body>",
            f"<h1>fastISM suite: {escape(study)}</h1>",
            _opening(records),
            f"<nav><ul>{''.join(contents)}</ul></nav>",
            *sections,
            *_missing(records),
            '<h2 id="where">Where it was measured</h2>',
            *_environments(records),
            "</body></html>\n",
        ]
    )


def _below(markdown: str, captioned: bool) -> Iterator[str]:
    """What stands below a figure: its numbers, and what is not among them, folded.

    Texts are left out where the figure has them as its caption.
    """
    numbers, _, missing = markdown.partition(f"\n{MISSING}\n")
    blocks = re.split(r"\n\n+", numbers)
    kept = (block for block in blocks if block.startswith("|") or not captioned)
    yield from _as_html("\n\n".join(kept))
    if missing:
        yield "<details><summary>Not run, and why</summary>"
        yield from _as_html(missing)
        yield "</details>"


def _drawn_by(name: str) -> str:
    """The commands that write a figure and its table."""
    if name == SPEEDUP:
        return "`python -m figures.speedup` and `python -m figures.speedup_table`"
    return f"`python -m figures.drawings {name}`"


def _title(markdown: str) -> str:
    found = re.search(r"^### (.*)$", markdown, re.MULTILINE)
    return found.group(1) if found else ""


def _opening(records: Sequence[Record]) -> str:
    """What ran, and how much is missing, in the first lines."""
    why = ' <a href="#missing">Why</a>.' if opening.missing(records) else ""
    return f"<p><b>{escape(opening.ran(records))}</b>{why} {escape(opening.commits(records))}</p>"


def _missing(records: Sequence[Record]) -> Iterator[str]:
    """Every reason for which records are missing; those of single rows are below their figures."""
    rows = opening.missing(records)
    if rows:
        yield '<h2 id="missing">What is missing, and why</h2>'
        yield from _table(["records", "methods", "reason"], rows, left=(1, 2))


def _environments(records: Sequence[Record]) -> Iterator[str]:
    """A table of the systems and versions that records were taken on."""
    groups: dict[tuple[str, ...], list[Record]] = {}
    for record in records:
        where = record.where
        versions = ", ".join(f"{name} {version}" for name, version in where.versions.items())
        memory = f"{where.memory_bytes / 2**30:.0f} GiB"
        key = (where.cpu, str(where.threads), memory, where.gpu or "–", where.system, versions)
        groups.setdefault((*key, where.commit or "–"), []).append(record)
    header = ["processor", "threads", "memory", "GPU", "system", "versions", "commit"]
    body = [
        [*key, _dates(group), ", ".join(dict.fromkeys(r.what.method for r in group))]
        for key, group in groups.items()
    ]
    yield from _table([*header, "measured", "methods"], body, left=range(len(header) + 2))


def _dates(records: Sequence[Record]) -> str:
    dates = sorted({record.where.date[:10] for record in records})
    text = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return text.replace("-", "\N{NON-BREAKING HYPHEN}")


def _as_html(markdown: str) -> Iterator[str]:
    """What `Drawing.markdown` writes, without its title: tables, lists and paragraphs."""
    for block in re.split(r"\n\n+", markdown.strip()):
        lines = block.splitlines()
        if block.startswith("### "):
            continue
        if block.startswith("|"):
            cells = [[c.strip() for c in line.strip("| ").split(" | ")] for line in lines]
            left = [i for i, rule in enumerate(cells[1]) if rule.startswith(":")]
            yield from _table(cells[0], cells[2:], left)
        elif block.startswith("- "):
            items = "".join(f"<li>{escape(line[2:])}</li>" for line in lines)
            yield f"<ul>{items}</ul>"
        else:
            yield f"<p>{escape(' '.join(lines))}</p>"


def _table(
    header: Sequence[str], body: Sequence[Sequence[str]], left: Sequence[int]
) -> Iterator[str]:
    def row(cells: Sequence[str], tag: str) -> str:
        written = [
            f"<{tag}{' class=left' if i in left else ''}>{_inline(cell)}</{tag}>"
            for i, cell in enumerate(cells)
        ]
        return f"<tr>{''.join(written)}</tr>"

    yield '<div class="wide"><table>'
    yield row(header, "th")
    yield from (row(cells, "td") for cells in body)
    yield "</table></div>"


def _inline(text: str) -> str:
    """Words of a cell, bold where Markdown has them bold."""
    return re.sub(r"\*\*(.+?)\*\*", r"<b>\1</b>", escape(text))


def main(arguments: Sequence[str] | None = None) -> None:
    """Gather tables and figures in one page."""
    parser = argparse.ArgumentParser(prog="python -m figures.report", description=main.__doc__)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="what figures.drawings wrote")
    parser.add_argument("--output", type=Path, required=True, help="HTML")
    given = parser.parse_args(arguments)
    found = []
    for name in (SPEEDUP, *DRAWINGS):
        svg, markdown = (given.folder / f"{name}.{suffix}" for suffix in ("svg", "md"))
        if not (svg.is_file() and markdown.is_file()):
            raise FastISMError(
                f"{given.folder} lacks {svg.name} or {markdown.name}; draw it with "
                f"{_drawn_by(name)}."
            )
        title = f"### {SPEEDUP_TITLE}\n\n" if name == SPEEDUP else ""
        found.append((name, svg.read_text(), title + markdown.read_text()))
    targets = given.folder / FILE
    if not targets.is_file():
        raise FastISMError(
            f"{given.folder} lacks {FILE}; write it with `python -m figures.targets`."
        )
    records = read(given.records)
    study = records[0].what.study if records else given.folder.name
    given.output.write_text(page(study, records, found, targets.read_text()))


if __name__ == "__main__":
    main()

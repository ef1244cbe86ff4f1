"""What pages show is generated from the code and the records, each time the site is built.

A page names it in a line of its own, ``<!-- generate: NAME -->``, or a piece of the code as
``<!-- source: PATH NAME -->``; `docs.hooks` puts the text there. To add one: a function without
arguments that returns Markdown, and its line in `GENERATORS`.

Requirements: none; each generator states its own.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
#: Where each generator is, imported when a page asks for it.
GENERATORS: dict[str, str] = {
    "affected_interval": "docs.generate.drawings:affected_interval",
    "overlap_add": "docs.generate.drawings:overlap_add",
    "block_layout": "docs.generate.drawings:block_layout",
    "multiply_adds": "docs.generate.drawings:multiply_adds",
    "plan_of_basset": "docs.generate.plans:plan_of_basset",
    "rewrites": "docs.generate.plans:rewrites",
    "rules": "docs.generate.layers:rules_table",
    "keras_layers": "docs.generate.layers:keras_table",
    "keras_operations": "docs.generate.layers:keras_operations_table",
    "keras_activations": "docs.generate.layers:activations_table",
    "torch_operators": "docs.generate.layers:torch_table",
    "commands": "docs.generate.commands:commands_reference",
    "command_list": "docs.generate.commands:command_list",
    "exit_codes": "docs.generate.commands:exit_codes",
    "formats": "docs.generate.formats:formats",
    "store_layout": "docs.generate.formats:store_layout",
    "scan_layout": "docs.generate.formats:scan_layout",
    "variant_columns": "docs.generate.formats:variant_columns",
    "haplotype_columns": "docs.generate.formats:haplotype_columns",
    "skip_reasons": "docs.generate.formats:skip_reasons",
    "variant_statuses": "docs.generate.formats:variant_statuses",
    "library_rooms": "docs.generate.rooms:library_rooms",
    "benchmark_rooms": "docs.generate.rooms:benchmark_rooms",
    "targets": "docs.generate.measurements:targets",
    "profiles": "docs.generate.measurements:profiles",
    "pairs": "docs.generate.measurements:pairs",
    "scans": "docs.generate.measurements:scans",
    "designs": "docs.generate.measurements:designs",
    "steps": "docs.generate.measurements:steps",
    "haplotypes": "docs.generate.measurements:haplotypes",
    "folds": "docs.generate.measurements:folds",
    "rounding": "docs.generate.measurements:rounding",
    "halves": "docs.generate.measurements:halves",
    "reference_figures": "docs.generate.measurements:reference_figures",
    "grid_and_library": "docs.generate.measurements:grid_and_library",
    "record_files": "docs.generate.measurements:record_files",
    "scale_out": "figures.scale_out:committed",
    "methods": "docs.generate.measurements:methods",
    "architectures": "docs.generate.measurements:architectures",
}
MARKER = re.compile(r"^<!-- generate: (\w+) -->$", re.MULTILINE)
SOURCE = re.compile(r"^<!-- source: (\S+) ([\w.]+) -->$", re.MULTILINE)


def generate(name: str) -> str:
    """The Markdown that a page asks for by name.

    Raises
    ------
    KeyError
        If there is no such generator.
    """
    if name not in GENERATORS:
        raise KeyError(f"There is no generator {name!r}; expected one of {', '.join(GENERATORS)}.")
    module, _, function = GENERATORS[name].partition(":")
    return getattr(importlib.import_module(module), function)()


def filled(markdown: str) -> str:
    """A page with every marker replaced by what it names."""
    from docs.generate.source import source

    with_code = SOURCE.sub(lambda found: source(found[1], found[2]), markdown)
    return MARKER.sub(lambda found: generate(found[1]), with_code)


def table(header: list[str], rows: list[list[str]], right: tuple[int, ...] = ()) -> str:
    """A Markdown table; columns in `right` are aligned to the right."""

    def line(cells: list[str]) -> str:
        return "| " + " | ".join(map(_cell, cells)) + " |"

    ruler = ["--:" if i in right else ":--" for i in range(len(header))]
    return "\n".join([line(header), line(ruler), *(line(row) for row in rows)])


def _cell(text: str) -> str:
    """Bars that do not end a cell; within code they do not anyway."""
    parts = text.split("`")
    return "`".join(p if i % 2 else p.replace("|", "\\|") for i, p in enumerate(parts))

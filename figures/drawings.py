"""The tables and figures of the paper: what there is, and how each is written.

    python -m figures.drawings table1 --records R.jsonl --paper P.csv --output T.svg T.png

To add one: a module here with a function `draw`, and its name in `DRAWINGS`.

Requirements: pandas and matplotlib, imported when something is drawn, so that Snakemake can read
the names.
"""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastism.errors import FastISMError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Modules of this folder, in the order of the report, each with the function ``draw(records,
#: paper)``, which takes records and the paper's timings and returns a `Drawing`.
DRAWINGS = ("table1", "table2", "sweeps", "floor", "throughput", "breakdown", "agreement")
SUFFIXES = ("svg", "png", "csv", "md")
NOT_RUN = "not run"
#: What stands above the reasons of what is not shown.
MISSING = "Not run:"


@dataclass(frozen=True)
class Drawing:
    """One table or figure.

    Attributes
    ----------
    title : str
    caption : str
        What is shown, on which hardware, and when.
    figure : Figure
        The caller writes and closes it.
    rows : list of dict
        What the CSV holds, in units that its columns name.
    header, body : sequences
        What the Markdown table holds.
    left : tuple of int
        Its columns that are aligned to the left.
    notes : list of str
        What could not be run, and why.
    """

    title: str
    caption: str
    figure: Figure
    rows: list[Mapping[str, Any]]
    header: Sequence[str]
    body: Sequence[Sequence[str]]
    left: tuple[int, ...] = (0,)
    notes: list[str] = field(default_factory=list)

    def markdown(self) -> str:
        """Title, table, caption and notes."""
        from benchmarks.records.tables import markdown_table

        table = markdown_table(self.header, self.body, self.left) if self.body else NOT_RUN
        notes = "\n".join(f"- {note}" for note in self.notes)
        parts = [f"### {self.title}", table, self.caption, notes and f"{MISSING}\n\n{notes}"]
        return "\n\n".join(part for part in parts if part) + "\n"

    def write(self, paths: Sequence[Path]) -> None:
        """Write every file in the format that its name asks for."""
        import pandas

        from figures import style

        images = [path for path in paths if path.suffix in (".svg", ".png")]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".csv":
                pandas.DataFrame(self.rows).convert_dtypes().to_csv(path, index=False)
            elif path.suffix == ".md":
                path.write_text(self.markdown())
            elif path not in images:
                raise FastISMError(
                    f"Nothing can be drawn as {path.name}; expected one of {', '.join(SUFFIXES)}."
                )
        style.write(self.figure, images)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw a table or figure from records."""
    parser = argparse.ArgumentParser(prog="python -m figures.drawings", description=main.__doc__)
    parser.add_argument("drawing", choices=DRAWINGS)
    parser.add_argument("--records", type=Path, required=True)
    parser.add_argument("--paper", type=Path, required=True, help="the paper's timings, CSV")
    parser.add_argument("--output", type=Path, nargs="+", required=True, help=", ".join(SUFFIXES))
    given = parser.parse_args(arguments)

    from benchmarks.records import read
    from figures import style
    from figures.paper import read_paper

    module = importlib.import_module(f"figures.{given.drawing}")
    with style.styled():
        module.draw(read(given.records), read_paper(given.paper)).write(given.output)


if __name__ == "__main__":
    main()

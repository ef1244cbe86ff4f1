"""Files of designs: the sequences as FASTA, and a table of the steps, which can be read again.

Requirements: numpy.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastism.design import Evolution, Substitution
from fastism.errors import FastISMError
from fastism.files.text import text_lines
from fastism.files.whole import whole_file

#: Columns of the table of steps; positions are 0-based.
COLUMNS = ("name", "step", "position", "from", "to", "objective")


def write_designs(
    path: Path, names: Sequence[str], designs: Sequence[str], found: Evolution
) -> None:
    """A FASTA file; headers hold the name, and the goal before and after."""
    with whole_file(path) as beside:
        lines = [
            f">{name} {start:.6g} -> {end:.6g}\n{design}\n"
            for name, design, start, end in zip(names, designs, found.start, found.end, strict=True)
            if np.isfinite(end)
        ]
        beside.write_text("".join(lines))


def write_steps(path: Path, names: Sequence[str], letters: str, found: Evolution) -> None:
    """A table with a line for every substitution."""
    with whole_file(path) as beside:
        lines = ["\t".join(COLUMNS)]
        for s in (each for each in found.substitutions if each.sequence not in found.not_finite):
            before = letters[s.before] if s.before >= 0 else "N"
            fields = (names[s.sequence], s.step, s.position, before, letters[s.after])
            lines.append("\t".join([*map(str, fields), f"{s.objective:.6g}"]))
        beside.write_text("\n".join(lines) + "\n")


def read_steps(path: Path) -> tuple[dict[str, list[Substitution]], str]:
    """Read a table of steps.

    Parameters
    ----------
    path : Path
        From `write_steps`.

    Returns
    -------
    (dict, str)
        The substitutions of every sequence by its name, and the letters that occur, in whose order
        characters are counted.

    Raises
    ------
    FastISMError
        If a line is no step.
    """
    rows = csv.DictReader(
        (line for _, line in text_lines(path, "a table of steps")), delimiter="\t"
    )
    given = list(rows)
    try:
        letters = "".join(sorted({row[c] for row in given for c in ("from", "to")} - {"N"}))
        made: dict[str, list[Substitution]] = {}
        for row in given:
            before, after = (letters.find(row[c]) for c in ("from", "to"))
            steps = made.setdefault(row["name"], [])
            number = steps[0].sequence if steps else len(made) - 1
            place = (number, int(row["step"]), int(row["position"]))
            steps.append(Substitution(*place, before, after, float(row["objective"])))
    except (TypeError, ValueError, KeyError) as error:
        raise FastISMError(
            f"{path} is no table of steps of `fastism evolve` ({error}); expected the columns "
            f"{', '.join(COLUMNS)}."
        ) from error
    return made, letters

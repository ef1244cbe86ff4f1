"""The part of `fastism plot` that draws the map of a file of pairs.

Requirements: h5py, matplotlib, logomaker.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastism.cli.exit_codes import Exit, stage
from fastism.cli.options import read_range
from fastism.errors import FastISMError
from fastism.sequences import one_hot
from fastism.store.pair_files import PairFile


def plot_pairs(
    path: Path, out: Path, sequence: str, output: str | None, region: str | None
) -> None:
    """Draw the dependency map of one sequence.

    Parameters
    ----------
    path, out : Path
    sequence : str
        Its name, or the first word of it.
    output : str or None
        I, or I:J for entry J of output I; needed where there are more.
    region : str or None
        A:B within the sequence.
    """
    # Only now: matplotlib takes a second.
    from fastism.plot import save
    from fastism.plot_pairs import plot_dependency

    with stage(Exit.INPUT):
        opened = PairFile(path)
    with opened as file:
        with stage(Exit.USAGE):
            number = file.find(sequence)
            index, entry, name = _entry(file, output)
            first, last = _part(file, region)
        rows, header = slice(first, last), file.header
        with stage(Exit.INPUT):
            arrays = (file.array(x, index, number) for x in ("dependency", "singles", "reference"))
            dependency, singles, reference = arrays
            deltas = (singles - reference)[(slice(None), slice(None), *entry)]
            letters = one_hot([file.letters(number)], header.alphabet, "zero")[0]
            figure = plot_dependency(
                dependency[(rows, rows, *entry)],
                deltas[rows],
                letters[header.positions[0] + first : header.positions[0] + last],
                start=header.positions[0] + first,
                title=sequence,
                alphabet=header.alphabet,
                output=name,
            )
        with stage(Exit.OUTPUT):
            save(figure, out)


def _entry(file: PairFile, output: str | None) -> tuple[int, tuple[int, ...], str]:
    """Output, index of the entry in it, and name of what to plot."""
    outputs = file.header.outputs
    columns = [
        (i, tuple(int(k) for k in entry), o.name if not o.shape else f"{o.name} {entry[0]}")
        for i, o in enumerate(outputs)
        for entry in np.ndindex(*o.shape)
    ]
    if output is None and len(columns) == 1:
        return columns[0]
    index, _, entry = (output or "").partition(":")
    number = int(index) if index.isdecimal() else -1
    chosen = [c for c in columns if c[0] == number and (not entry or str(c[1][0]) == entry)]
    if len(chosen) != 1:
        raise FastISMError(
            f"--output {output}: the file has {len(columns)} columns of {len(outputs)} outputs; "
            "name one of them as I, or I:J for entry J of output I."
        )
    return chosen[0]


def _part(file: PairFile, region: str | None) -> tuple[int, int]:
    """Rows of the map of a region; all of them by default."""
    low, high = file.header.positions
    if region is None:
        return 0, high - low
    start, end = read_range(region)
    end = high if end is None else end
    if not low <= start < end <= high:
        raise FastISMError(f"--region {region} is not within the positions {low}:{high}.")
    return start - low, end - low

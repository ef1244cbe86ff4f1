"""The part of `fastism plot` that draws the map of a file of pairs.

Requirements: h5py, matplotlib, logomaker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastism.cli.exit_codes import Exit, stage
from fastism.cli.plot_tracks import read_tracks
from fastism.cli.skipped import all_finite
from fastism.errors import FastISMError
from fastism.plots.place import place_of
from fastism.sequences import one_hot
from fastism.store.pair_files import PairFile
from fastism.store.selection import read_selection

if TYPE_CHECKING:
    from fastism.cli.plot_scores import Request


def plot_pairs(request: Request, sequence: str, highlights: Sequence[str] = ()) -> None:
    """Draw the dependency map of one sequence.

    Parameters
    ----------
    request : Request
        Its output is I, or I:J for entry J of output I, needed where there are more; its region is
        A:B within the sequence, or CHROM:A-B where the sequence's name has an interval.
    sequence : str
        Its name, or the first word of it.
    highlights : sequence of str
        As for scores.
    """
    # Only now: matplotlib takes a second.
    from fastism.plots.pairs import plot_dependency
    from fastism.plots.saving import check_resolution, save

    with stage(Exit.INPUT):
        opened = PairFile(request.store)
    with opened as file:
        with stage(Exit.USAGE):
            number = file.find(sequence)
            index, entry, name = _entry(file, request.output)
            header = file.header
            place = place_of(file.names[number], header.length, header.positions)
            first, last = part = place.part(request.region)
        tracks = read_tracks(highlights, ())
        with stage(Exit.USAGE):
            tracks.check([(place, part)])
        rows = slice(first, last)
        with stage(Exit.INPUT):
            arrays = (file.array(x, index, number) for x in ("dependency", "singles", "reference"))
            dependency, singles, reference = arrays
            deltas = (singles - reference)[(slice(None), slice(None), *entry)]
            if not all_finite([dependency[(rows, rows, *entry)], deltas]):
                raise FastISMError(
                    f"The pairs of {place.name!r} are not finite (NaN or infinite), as the model's "
                    "outputs are: there is nothing to plot. Choose another sequence or output."
                )
            letters = one_hot([file.letters(number)], header.alphabet, "zero")[0]
            figure = plot_dependency(
                dependency[(rows, rows, *entry)],
                deltas[rows],
                letters[header.positions[0] + first : header.positions[0] + last],
                start=place.start(first),
                step=place.step,
                title=place.name,
                alphabet=header.alphabet,
                output=name,
                axis=place.axis,
                highlights=tracks.highlights(place, part),
                look=request.look,
            )
        with stage(Exit.USAGE):
            check_resolution(figure, request.dpi)
        with stage(Exit.OUTPUT):
            save(figure, request.out, dpi=request.dpi)


def _entry(file: PairFile, output: str | None) -> tuple[int, tuple[int, ...], str]:
    """Output, index of the entry in it, and name of what to plot."""
    outputs = file.header.outputs
    chosen = read_selection("0" if output is None else output, outputs)
    if chosen.reduces:
        raise FastISMError(
            f"--output {output}: dependencies are no sums of those of parts. Sum up when pairs are "
            "scored, by --reduce."
        )
    shape = outputs[chosen.output].shape
    left = shape[len(chosen.axes) :]
    if (output is None and len(outputs) > 1) or any(length > 1 for length in left):
        columns = sum(math.prod(each.shape) for each in outputs)
        raise FastISMError(
            f"--output {output or ''}: the file has {columns} columns of {len(outputs)} outputs, "
            f"{', '.join(f'{each.name} {each.shape}' for each in outputs)}; name one of them as I, "
            "or I:A,B,... for an entry of every axis of output I."
        )
    index = (*map(int, chosen.axes), *[0] * len(left))
    name = outputs[chosen.output].name
    return chosen.output, index, f"{name} {','.join(map(str, index))}" if index else name

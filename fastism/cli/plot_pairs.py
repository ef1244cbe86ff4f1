"""The part of `fastism plot` that draws the map of a file of pairs.

Requirements: h5py, matplotlib, logomaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from fastism.cli.exit_codes import Exit, stage
from fastism.cli.plot_entry import one_entry
from fastism.cli.plot_saved import write_figure
from fastism.cli.plot_tracks import read_tracks
from fastism.cli.skipped import all_finite
from fastism.errors import FastISMError
from fastism.plots.place import place_of
from fastism.sequences import one_hot
from fastism.store.pair_files import PairFile

if TYPE_CHECKING:
    from fastism.cli.plot_scores import Request


_REDUCED = "dependencies are no sums of those of parts. Sum up when pairs are scored, by --reduce"


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

    with stage(Exit.INPUT):
        opened = PairFile(request.store)
    with opened as file:
        with stage(Exit.USAGE):
            number = file.find(sequence)
            index, entry, name = one_entry(file.header.outputs, request.output, _REDUCED)
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
        write_figure(figure, request.out, request.dpi)

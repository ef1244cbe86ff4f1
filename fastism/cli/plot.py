"""`fastism plot`: a figure of the scores of one sequence.

Requirements: typer, h5py, matplotlib, logomaker.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import numpy as np
import typer

from fastism.cli.exit_codes import Exit, refuse, stage
from fastism.cli.plot_pairs import plot_pairs
from fastism.errors import FastISMError
from fastism.store.export import check_free
from fastism.store.join import Selected, check_single
from fastism.store.pair_files import is_pair_file
from fastism.store.reader import Store
from fastism.store.scores import Scores

SUFFIXES = (".svg", ".png")
#: More rows than this are no figure for people any more.
MOST_OUTPUTS = 1000


def plot(
    store: Annotated[
        Path,
        typer.Argument(
            metavar="STORE",
            help="An .h5 or .zarr output of `fastism score`, or one of `fastism pairs`.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="Figure to write: .svg or .png.")
    ],
    sequence: Annotated[
        str, typer.Option(metavar="NAME", help="Name of the sequence, or its first word.")
    ],
    output: Annotated[
        str | None,
        typer.Option(
            metavar="I[:J]", help="Output, or entry J of its first axis; needed if there are more."
        ),
    ] = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="Part to plot, 0-based and half-open: A:B within the sequence, or CHROM:A-B.",
        ),
    ] = None,
    all_outputs: Annotated[
        bool,
        typer.Option("--all-outputs", help="Importance of every position for every output."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace a figure that exists.")] = False,
) -> None:
    """Plot the effects of all changes of a sequence under a logo of the importance.

    The logo shows letters as high as the mean effect of replacing them. In the heatmap a dot marks
    the character that stands there, a plus what raises the output most. Of pairs, a map shows how
    much every two positions depend on each other, between two logos.
    """
    with stage(Exit.USAGE):
        if out.suffix.lower() not in SUFFIXES:
            raise FastISMError(f"{out} must end in one of {', '.join(SUFFIXES)}.")
    with stage(Exit.OUTPUT):
        check_free([out], force)
    if is_pair_file(store):
        if all_outputs:
            raise refuse("--all-outputs is for scores; a map of pairs shows one output.")
        plot_pairs(store, out, sequence, output, region)
        typer.echo(str(out))
        return
    # Only now: matplotlib takes a second.
    from fastism import plot as plots

    with stage(Exit.INPUT):
        opened = Store(store)
    with opened:
        with stage(Exit.USAGE):
            scores = _selected(opened, output, all_outputs)
            row = scores.find(sequence)
            place = Place(scores, row)
            part = place.part(region)
        with stage(Exit.INPUT):
            figure = _outputs if all_outputs else _changes
            drawn = figure(plots, scores, row, place, part)
        with stage(Exit.OUTPUT):
            plots.save(drawn, out)
    typer.echo(str(out))


def _selected(scores: Scores, output: str | None, all_outputs: bool) -> Scores:
    """The one output to plot, or the outputs to compare."""
    chosen = scores if output is None else Selected(scores, output)
    if not all_outputs:
        check_single(chosen)
        return chosen
    count = sum(len(o.columns()) for o in chosen.header.outputs)
    if count > MOST_OUTPUTS:
        raise FastISMError(
            f"There are {count} outputs, more than {MOST_OUTPUTS} rows of a figure: select some, "
            "such as --output 0."
        )
    return chosen


class Place:
    """Where a sequence lies, and what its axis says.

    Parameters
    ----------
    scores : Scores
    row : int
        Of the sequence.
    """

    def __init__(self, scores: Scores, row: int) -> None:
        columns = ("names", "chrom", "start", "end", "strand")
        name, chrom, start, end, strand = (scores.column(c)[row] for c in columns)
        self.name, self.chrom, self.scored = name, chrom, scores.header.positions
        self.first, self.step = (end - 1, -1) if chrom and strand == "-" else (start, 1)
        self.axis = "position in the sequence (bp, 0-based)"
        if not chrom:
            self.first = 0
        else:
            minus = ", minus strand" if strand == "-" else ""
            self.axis = f"position on {chrom} (bp, 0-based{minus})"

    def part(self, region: str | None) -> tuple[int, int]:
        """Rows of the scores of a region; all of them by default.

        Raises
        ------
        FastISMError
            For something that is no region, or one that was not scored.
        """
        low, high = self.scored
        if region is None:
            return 0, high - low
        within = re.fullmatch(r"(\d+):(\d+)", region)
        genomic = re.fullmatch(r"([^:]+):([\d,]+)-([\d,]+)", region)
        if within:
            start, end = int(within[1]), int(within[2])
        elif genomic and genomic[1] == self.chrom:
            ends = [int(genomic[i].replace(",", "")) for i in (2, 3)]
            start, end = sorted((x - self.first) * self.step for x in (ends[0], ends[1] - 1))
            end += 1
        else:
            example = f" or {self.chrom}:A-B" if self.chrom else ""
            raise FastISMError(f"--region {region}: expected A:B within the sequence{example}.")
        if not low <= start < end <= high:
            raise FastISMError(
                f"--region {region} is not within the scored positions {low}:{high} of "
                f"{self.name!r}" + (f", {self._interval()}." if self.chrom else ".")
            )
        return start - low, end - low

    def start(self, part: tuple[int, int]) -> int:
        """Position of the first row of a part."""
        return self.first + self.step * (self.scored[0] + part[0])

    def _interval(self) -> str:
        ends = [self.first + self.step * x for x in (self.scored[0], self.scored[1] - 1)]
        return f"{self.chrom}:{min(ends)}-{max(ends) + 1}"


def _changes(
    plots: ModuleType, scores: Scores, row: int, place: Place, part: tuple[int, int]
) -> Any:
    header, rows = scores.header, slice(row, row + 1)
    one_hot = scores.one_hot(rows)[0, slice(*header.positions)]
    deltas = _finite(scores.deltas(0, rows)[0].reshape(one_hot.shape), place)
    return plots.plot_sequence(
        deltas[slice(*part)],
        one_hot[slice(*part)],
        start=place.start(part),
        step=place.step,
        title=place.name,
        alphabet=header.alphabet,
        output=header.outputs[0].name,
        axis=place.axis,
    )


def _outputs(
    plots: ModuleType, scores: Scores, row: int, place: Place, part: tuple[int, int]
) -> Any:
    outputs = scores.header.outputs
    rows = slice(row, row + 1)
    importance = [_finite(scores.importance(i, rows)[0], place) for i in range(len(outputs))]
    values = np.concatenate([x.reshape(len(x), -1) for x in importance], axis=1)
    return plots.plot_outputs(
        values[slice(*part)],
        [name for output in outputs for name in output.columns()],
        start=place.start(part),
        step=place.step,
        title=place.name,
        axis=place.axis,
    )


def _finite(values: np.ndarray, place: Place) -> np.ndarray:
    """The values, unless the model gave some that are no numbers (`--not-finite keep`)."""
    if not np.isfinite(values).all():
        raise FastISMError(
            f"The scores of {place.name!r} are not finite (NaN or infinite), as the model's "
            "outputs are: there is nothing to plot. Choose another sequence or output."
        )
    return values

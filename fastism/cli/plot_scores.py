"""The part of `fastism plot` that draws scores.

Requirements: h5py, matplotlib, logomaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from fastism.cli.exit_codes import Exit, stage
from fastism.cli.plot_saved import write_figure
from fastism.cli.plot_tracks import Tracks, read_tracks
from fastism.errors import FastISMError
from fastism.plots.place import Place, places, read_span
from fastism.store.reader import Store
from fastism.store.scores import Scores
from fastism.store.selection import Selected, check_single

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from fastism.plots.sequences import Effects
    from fastism.plots.style import Look

#: More rows than this are no figure for people any more, nor more sequences than that.
MOST_OUTPUTS, MOST_SEQUENCES = 1000, 50


@dataclass(frozen=True)
class Request:
    """What a figure is to show.

    Attributes
    ----------
    store, out : Path
    output, region : str or None
        As the options have them.
    all_outputs : bool
    look : Look
    dpi : float
    sd : bool
        Show the standard deviation over models.
    """

    store: Path
    out: Path
    output: str | None
    region: str | None
    all_outputs: bool
    look: Look
    dpi: float
    sd: bool = False


def plot_scores(
    request: Request, names: Sequence[str], highlights: Sequence[str], annotations: Sequence[Path]
) -> None:
    """Draw sequences of a store.

    Parameters
    ----------
    request : Request
    names : sequence of str
        Of the sequences; where there are none, those that the region lies in are drawn.
    highlights : sequence of str
    annotations : sequence of Path
    """
    with stage(Exit.INPUT):
        opened = Store(request.store)
    with opened:
        with stage(Exit.USAGE):
            scores = _selected(opened, request.output, request.all_outputs)
            chosen = chosen_rows(scores, names, request.region)
            _check_one(request, len(chosen), bool(annotations))
            parts = [place.part(request.region) for _, place in chosen]
        tracks = read_tracks(highlights, annotations)
        with stage(Exit.USAGE):
            tracks.check(list(zip([place for _, place in chosen], parts, strict=True)))
        with stage(Exit.INPUT):
            figure = _drawn(request, scores, chosen, parts, tracks)
        write_figure(figure, request.out, request.dpi)


def chosen_rows(
    scores: Scores, names: Sequence[str], region: str | None
) -> list[tuple[int, Place]]:
    """The rows of sequences with their places: by name, or all that a region lies in.

    Raises
    ------
    FastISMError
        If there are none, or too many.
    """
    everything = list(places(scores))
    if names:
        rows = list(dict.fromkeys(scores.find(name) for name in names))
    elif len(everything) == 1:
        rows = [0]
    else:
        rows = _around(everything, region)
    if len(rows) > MOST_SEQUENCES:
        raise FastISMError(
            f"{len(rows)} sequences are more than the {MOST_SEQUENCES} that a figure can show; "
            "name some with --sequence."
        )
    return [(row, everything[row]) for row in rows]


def _around(everything: Sequence[Place], region: str | None) -> list[int]:
    """Rows of all sequences that a region of a genome lies in."""
    span = read_span(region) if region else None
    if span is None or not span.chrom:
        example = f", such as {everything[0].name!r}" if everything else ""
        raise FastISMError(
            f"The file has {len(everything)} sequences: choose with --sequence NAME{example}, or "
            "with --region CHROM:A-B."
        )
    rows = [row for row, place in enumerate(everything) if place.covers(span)]
    if not rows:
        known = next((place.interval() for place in everything if place.chrom), "")
        raise FastISMError(
            f"--region {region} lies in no sequence as a whole"
            + (f"; the first one is {known}." if known else ": no name or record has an interval.")
        )
    return rows


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


def _drawn(
    request: Request,
    scores: Scores,
    chosen: Sequence[tuple[int, Place]],
    parts: Sequence[tuple[int, int]],
    tracks: Tracks,
) -> Figure:
    from fastism.plots.sequences import plot_sequences

    if request.all_outputs:
        return _outputs(scores, *chosen[0], parts[0], tracks, request.look)
    if request.sd:
        return _spread(scores, *chosen[0], parts[0], tracks, request.look)
    shown = [
        effects_of(scores, row, place, part, tracks)
        for (row, place), part in zip(chosen, parts, strict=True)
    ]
    header = scores.header
    return plot_sequences(
        shown, alphabet=header.alphabet, output=header.outputs[0].name, look=request.look
    )


def effects_of(
    scores: Scores, row: int, place: Place, part: tuple[int, int], tracks: Tracks
) -> Effects:
    """What a figure shows of a part of a sequence; the scores have one output."""
    from fastism.plots.sequences import Effects

    rows, (first, last) = slice(row, row + 1), part
    one_hot = scores.one_hot(rows)[0, slice(*scores.header.positions)]
    deltas = _finite(scores.deltas(0, rows)[0].reshape(one_hot.shape), place)
    return Effects(
        deltas[first:last],
        one_hot[first:last],
        place.name,
        place.start(first),
        place.step,
        place.axis,
        tracks.highlights(place, part),
        tracks.bars(place, part),
    )


def _outputs(
    scores: Scores, row: int, place: Place, part: tuple[int, int], tracks: Tracks, look: Look
) -> Figure:
    from fastism.plots.outputs import plot_outputs

    _check_rows("--all-outputs", look)
    outputs = scores.header.outputs
    rows = slice(row, row + 1)
    importance = [_finite(scores.importance(i, rows)[0], place) for i in range(len(outputs))]
    values = np.concatenate([x.reshape(len(x), -1) for x in importance], axis=1)
    return plot_outputs(
        values[slice(*part)],
        [name for output in outputs for name in output.columns()],
        start=place.start(part[0]),
        step=place.step,
        title=place.name,
        axis=place.axis,
        highlights=tracks.highlights(place, part),
        look=look,
    )


def _spread(
    scores: Scores, row: int, place: Place, part: tuple[int, int], tracks: Tracks, look: Look
) -> Figure:
    """Mean and standard deviation over models; the scores have one number per mutant."""
    from fastism.plots.folds import plot_folds

    if scores.header.content == "mutants":
        raise FastISMError(
            "--sd shows standard deviations of effects; this file has those of outputs. Score "
            "without --content mutants."
        )
    _check_rows("--sd", look)
    rows = slice(row, row + 1)
    deltas = scores.deltas(0, rows)[0]
    arrays = (deltas, scores.scores_sd(0, rows)[0].reshape(deltas.shape))
    made = [_finite(x.reshape(*x.shape[:2])[slice(*part)], place) for x in arrays]
    return plot_folds(
        *made,
        start=place.start(part[0]),
        step=place.step,
        title=place.name,
        output=scores.header.outputs[0].name,
        axis=place.axis,
        highlights=tracks.highlights(place, part),
        look=look,
    )


def _check_one(request: Request, sequences: int, annotated: bool) -> None:
    """Refuse what figures of one sequence have no room for."""
    options = [o for o, on in (("--all-outputs", request.all_outputs), ("--sd", request.sd)) if on]
    if len(options) > 1:
        raise FastISMError("--all-outputs and --sd are two figures; choose one.")
    if options and sequences > 1:
        raise FastISMError(f"{options[0]} shows one sequence; give --sequence NAME once.")
    if options and annotated:
        raise FastISMError(
            f"--annotate is not for {options[0]}, which has no room for bars: --highlight the "
            f"parts, or leave {options[0]} out."
        )


def _check_rows(option: str, look: Look) -> None:
    if look.per_row is not None or look.own_limits:
        raise FastISMError(f"--per-row and --own-limits are not for {option}.")


def _finite(values: np.ndarray, place: Place) -> np.ndarray:
    """The values, unless the model gave some that are no numbers (`--not-finite keep`)."""
    if not np.isfinite(values).all():
        raise FastISMError(
            f"The scores of {place.name!r} are not finite (NaN or infinite), as the model's "
            "outputs are: there is nothing to plot. Choose another sequence or output."
        )
    return values

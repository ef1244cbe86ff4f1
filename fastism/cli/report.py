"""`fastism report`: a page of a run.

Requirements: typer, h5py, matplotlib, logomaker.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, refuse, stage
from fastism.cli.plot_scores import effects_of
from fastism.cli.plot_tracks import Tracks, read_tracks
from fastism.errors import FastISMError
from fastism.files.whole import whole_file
from fastism.store.export import check_free, opened
from fastism.store.scores import Scores
from fastism.store.selection import Selected, check_single

if TYPE_CHECKING:
    from fastism.plots.sequences import Effects
    from fastism.report.summary import SequenceSummary

ENDINGS = (".html", ".htm")
#: Figures of more sequences than this make a page that no browser shows.
MOST_FIGURES = 100


def report(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORE...",
            help="An .h5 or .zarr output of `fastism score`, or all its shards in any order.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="Page to write: .html or .htm.")
    ],
    output: o.Select = None,
    sequence: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Draw this sequence. Repeated."),
    ] = None,
    first: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="Draw the first N sequences of the file."),
    ] = None,
    strongest: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Draw the N sequences with the strongest effects; 3 where nothing else is named.",
        ),
    ] = None,
    rows: Annotated[
        int, typer.Option(min=1, metavar="N", help="Sequences of the table at most.")
    ] = 1000,
    highlight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A:B|BED",
            help="Part of figures that stands out: A:B, CHROM:A-B, or a BED file. Repeated.",
        ),
    ] = None,
    annotate: Annotated[
        list[Path] | None,
        typer.Option(metavar="BED", help="Intervals to draw as labelled bars. Repeated."),
    ] = None,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the page.")] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace a page that exists.")] = False,
) -> None:
    """Write a page of scores: what was scored with what, a summary of the effects, and figures.

    The page is one HTML file that loads nothing from elsewhere. It has a table of the sequences
    with their strongest effects, which a click on a heading sorts. They are compared by --output;
    without it by the first number of the first output, or by its mean where it has several axes.
    """
    if out.suffix.lower() not in ENDINGS:
        raise refuse(f"{out} must end in one of {', '.join(ENDINGS)}.")
    with stage(Exit.OUTPUT):
        check_free([out], force)
    tracks = read_tracks(highlight or [], annotate or [])
    with stage(Exit.INPUT), opened(stores) as scores:
        with stage(Exit.USAGE):
            chosen = _chosen(scores, output)
            drawn = _drawn(scores, sequence or [], first)
        if strongest is None:
            strongest = 0 if sequence or first is not None else 3
        if len(drawn) + strongest > MOST_FIGURES:
            raise refuse(f"A page shows at most {MOST_FIGURES} figures.")
        files = [path.name for path in stores]
        text = _page(scores, chosen, (title, files, drawn, strongest, rows), tracks)
        with stage(Exit.OUTPUT), whole_file(out) as beside:
            beside.write_text(text, encoding="utf-8")
    typer.echo(str(out))


def _chosen(scores: Scores, output: str | None) -> Scores:
    """The number that sequences are compared by."""
    if output is not None:
        chosen: Scores = Selected(scores, output)
    else:
        first = scores.header.outputs[0]
        if sum(length > 1 for length in first.shape) > 1:
            entries = ["mean"] * len(first.shape)
        else:
            entries = [*first.labels[:1], *["0"] * (len(first.shape) - 1)]
        chosen = Selected(scores, f"0:{','.join(entries)}" if entries else "0")
    check_single(chosen)
    return chosen


def _drawn(scores: Scores, names: Sequence[str], first: int | None) -> list[int]:
    """Rows of the sequences that were asked for."""
    rows = [scores.find(name) for name in names]
    if first is not None and first > MOST_FIGURES:
        raise FastISMError(f"--first {first}: a page shows at most {MOST_FIGURES} figures.")
    return list(dict.fromkeys([*rows, *range(min(first or 0, len(scores)))]))


def _page(
    scores: Scores,
    chosen: Scores,
    shown: tuple[str, list[str], list[int], int, int],
    tracks: Tracks,
) -> str:
    # Only now: matplotlib takes a second.
    from fastism.report.page import Choice, page

    def draw(summary: SequenceSummary, part: tuple[int, int]) -> Effects:
        return effects_of(chosen, summary.row, summary.place, part, tracks)

    return page(scores, chosen, Choice(*shown), draw)

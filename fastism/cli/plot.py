"""`fastism plot`: a figure of a file of scores, pairs, a scan, haplotypes or a design.

Requirements: typer, h5py, matplotlib, logomaker.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, refuse, stage
from fastism.cli.plot_kinds import Kind, check_options, kind_of
from fastism.cli.plot_pairs import plot_pairs
from fastism.cli.plot_scan import plot_scan_file, plot_scan_table
from fastism.cli.plot_scores import Request, plot_scores
from fastism.cli.plot_tables import plot_haplotype_table, plot_step_table
from fastism.store.export import check_free

if TYPE_CHECKING:
    from fastism.plots.style import Look


def plot(
    store: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="An .h5 or .zarr output of `fastism score`, an output of `fastism pairs` or "
            "`fastism scan`, or a table of `fastism variants --phased` or of `fastism evolve`.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="OUT", help="Figure to write: .svg, .png, .pdf.")
    ],
    sequence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Name of a sequence, or its first word; repeated, sequences stand under each "
            "other. Without it, all sequences that --region CHROM:A-B lies in.",
        ),
    ] = None,
    output: o.Select = None,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="A:B",
            help="Part to plot, 0-based and half-open: A:B within the sequence, or CHROM:A-B where "
            "the record or the sequence's name has an interval.",
        ),
    ] = None,
    highlight: Annotated[
        list[str] | None,
        typer.Option(
            metavar="A:B|BED",
            help="Part that stands out: A:B, CHROM:A-B, or all intervals of a BED file. Repeated.",
        ),
    ] = None,
    annotate: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="BED",
            help="Intervals to draw as labelled bars above the sequence, such as matches of "
            "motifs; the first column is a chromosome or the name of a sequence. Repeated.",
        ),
    ] = None,
    all_outputs: Annotated[
        bool,
        typer.Option("--all-outputs", help="Importance of every position for every output."),
    ] = False,
    sd: Annotated[
        bool,
        typer.Option(
            "--sd",
            help="Of scores of several models: the strongest mean effect of every position, with a "
            "band of one standard deviation.",
        ),
    ] = False,
    title: Annotated[str, typer.Option(metavar="TEXT", help="Title of the figure.")] = "",
    per_row: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Positions side by side. By default up to 150 in one row, up to 1000 in rows of "
            "about 100, and more in one row, as an overview.",
        ),
    ] = None,
    limit: Annotated[
        float | None,
        typer.Option(metavar="X", help="Effect at which colours are darkest; default: the largest"),
    ] = None,
    own_limits: Annotated[
        bool, typer.Option("--own-limits", help="Each sequence has limits of its own.")
    ] = False,
    colours: Annotated[
        list[str] | None,
        typer.Option(
            metavar="MAP|A=COLOUR,...",
            help="Colours of effects: blue-orange, blue-red, green-purple, or a colour map of "
            "matplotlib; or colours of letters. Repeated.",
        ),
    ] = None,
    width: Annotated[
        float | None, typer.Option(metavar="INCHES", help="Width of the whole figure.")
    ] = None,
    dpi: Annotated[
        float | None, typer.Option(metavar="N", help="Pixels per inch; default: 200.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a figure that exists.")] = False,
) -> None:
    """Plot the effects of all changes of sequences under a logo of the importance.

    The logo shows letters as high as the mean effect of replacing them. In the heatmap a dot marks
    the character that stands there, a plus what raises the output most. Of pairs, a map shows how
    much every two positions depend on each other, between two logos. Of a scan there is a line for
    every change; of haplotypes, joint effects against the sums of single ones; of a design, the
    objective step by step.
    """
    # Only now: matplotlib takes a second.
    from fastism.plots.saving import DPI, check_format

    with stage(Exit.USAGE):
        check_format(out)
        look = _look(title, width, per_row, limit, own_limits, colours or [])
    with stage(Exit.OUTPUT):
        check_free([out], force)
    dpi = DPI if dpi is None else dpi
    request = Request(store, out, output, region, all_outputs, look, dpi, sd)
    kind = kind_of(store)
    names, parts = sequence or [], highlight or []
    if kind is Kind.SCORES:
        plot_scores(request, names, parts, annotate or [])
    elif kind is Kind.PAIRS:
        maps = any("=" not in text for text in colours or [])
        scores_only = any(map(bool, (annotate, per_row, own_limits, maps, sd)))
        _plot_pairs(request, names, parts, scores_only)
    else:
        given = {
            **{"--sequence": names, "--output": output, "--region": region, "--highlight": parts},
            **{"--annotate": annotate, "--all-outputs": all_outputs, "--sd": sd, "--limit": limit},
            **{"--per-row": per_row, "--own-limits": own_limits, "--colours": colours},
        }
        check_options(kind, given)
        _plot_other(kind, request, names, parts)
    typer.echo(str(out))


def _plot_other(kind: Kind, request: Request, names: list[str], highlights: list[str]) -> None:
    """Files that are neither scores nor pairs; at most one sequence."""
    if len(names) > 1:
        raise refuse(f"A figure of {kind.value} shows one sequence; give --sequence NAME once.")
    name = names[0] if names else None
    if kind is Kind.SCAN:
        plot_scan_file(request, name, highlights)
    elif kind is Kind.SCAN_TABLE:
        plot_scan_table(request, name, highlights)
    elif kind is Kind.HAPLOTYPES:
        plot_haplotype_table(request)
    else:
        plot_step_table(request, name)


def _plot_pairs(
    request: Request, sequences: list[str], highlights: list[str], scores_only: bool
) -> None:
    if request.all_outputs:
        raise refuse("--all-outputs is for scores; a map of pairs shows one output.")
    if scores_only:
        raise refuse(
            "Of a map of pairs --output, --region, --highlight, --title, --width, --limit, --dpi "
            "and --colours of letters can be chosen; the other options are for scores."
        )
    if len(sequences) != 1:
        raise refuse("A map of pairs shows one sequence; give --sequence NAME once.")
    plot_pairs(request, sequences[0], highlights)


def _look(
    title: str,
    width: float | None,
    per_row: int | None,
    limit: float | None,
    own_limits: bool,
    colours: list[str],
) -> Look:
    """What was chosen of the figure; a FastISMError says what cannot be."""
    from fastism.plots.style import Look

    given = [item for text in colours for item in text.split(",") if item]
    pairs = (item.partition("=")[::2] for item in given if "=" in item)
    letters = {letter.strip().upper(): colour.strip() for letter, colour in pairs}
    maps = [item for item in given if "=" not in item]
    if len(maps) > 1:
        raise refuse(f"--colours {maps[0]} and {maps[1]}: effects have one colour map.")
    chosen = {"colours": maps[0]} if maps else {}
    return Look(title, width, per_row, limit, own_limits, letters=letters, **chosen)

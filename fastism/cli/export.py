"""`fastism export`: from stores of scores to the files that people and tools read.

Requirements: typer, h5py, and what the format needs.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from fastism.batch import effect_files
from fastism.batch.effect_export import EFFECTS, effect_outputs, write_joined
from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, refuse, stage
from fastism.cli.progress import note
from fastism.store import export as exports
from fastism.store.bed import without_letter
from fastism.store.effects import joined_effects
from fastism.store.scores import Scores

#: Formats, as modules of `fastism.store`, for tools that take every position for a letter.
LETTERS = ("npz", "bed")
#: Sequences that are named where several hold positions without a letter.
NAMED = 3


def export(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORE...",
            help="An .h5 or .zarr output of `fastism score`, or all its shards in any order; or "
            "all shards of `fastism variants`, which end in .effects.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help=f"File to write; its ending says the format: {', '.join(exports.FORMATS)}; of "
            f"variants {', '.join(effect_files.FORMATS)}.",
        ),
    ],
    select: o.Select = None,
    vcf: Annotated[
        Path | None,
        typer.Option(
            metavar="VCF", help="The file that variants come from, for an output that is a VCF."
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an output that exists.")] = False,
) -> None:
    """Join the shards of a run, or turn scores into another format.

    Shards are joined only if they come from one run and none is missing.
    """
    if any(path.name.lower().endswith(EFFECTS) for path in stores):
        if select is not None:
            raise refuse("--output is for scores; effects of variants are joined as they are.")
        _joined(stores, output, vcf, force)
        return
    if vcf is not None:
        raise refuse(f"--vcf is for shards of `fastism variants`, which end in {EFFECTS}.")
    with stage(Exit.USAGE):
        files = exports.output_files(output)
    with stage(Exit.OUTPUT):
        exports.check_free(files, force)
    with ExitStack() as stack:
        with stage(Exit.INPUT):
            joined = stack.enter_context(exports.opened(stores))
        with stage(Exit.USAGE):
            scores = exports.chosen(joined, output, select)
        with stage(Exit.OUTPUT):
            written = exports.write(scores, output)
            warn_of_gaps(scores, output)
    for path in written:
        typer.echo(str(path))


def _joined(parts: list[Path], output: Path, vcf: Path | None, force: bool) -> None:
    """Join effects of variants."""
    with stage(Exit.USAGE):
        ending = effect_files.format_of(output)
        if ending in effect_files.VCFS and vcf is None:
            raise refuse(
                f"{output.name} is the VCF that the variants come from, with fields added: give "
                "--vcf VCF too, or write a table (.tsv)."
            )
    with ExitStack() as stack:
        with stage(Exit.INPUT):
            joined = stack.enter_context(joined_effects(parts))
        with stage(Exit.OUTPUT):
            exports.check_free(effect_outputs(output, joined.header.phased), force)
            written = write_joined(joined, output, vcf)
    for path in written:
        typer.echo(str(path))


def warn_of_gaps(scores: Scores, output: Path, quiet: bool = False) -> None:
    """Say which rows hold positions without a letter, for tools that expect one everywhere."""
    if exports.format_of(output)[1].module not in LETTERS:
        return
    found = without_letter(scores)
    if found:
        named = ", ".join(f"{name} ({count})" for name, count in list(found.items())[:NAMED])
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        note(
            f"warning: {len(found)} of {len(scores)} rows hold positions without a letter, which "
            f"are zeros: {named}{more}",
            quiet,
        )

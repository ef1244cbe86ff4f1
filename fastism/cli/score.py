"""`fastism score`: every change of every sequence of a file, into a file.

Requirements: typer, rich, h5py; the framework of the model.
"""

from __future__ import annotations

import time
from collections import Counter
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, Failure, parsed, stage
from fastism.cli.export import warn_of_gaps
from fastism.cli.folds import Alone, Folds, Models
from fastism.cli.inputs import Input
from fastism.cli.interrupts import interrupts
from fastism.cli.opened import ModelOptions
from fastism.cli.progress import duration, note
from fastism.cli.score_destination import ScoreDestination, check_deviations
from fastism.cli.score_run import Request
from fastism.cli.skipped import check_strict, counted, tell
from fastism.store.reader import Store


class Content(StrEnum):
    """What is stored."""

    deltas = "deltas"
    mutants = "mutants"


class Precision(StrEnum):
    """Type of what is stored."""

    float32 = "float32"
    float16 = "float16"


def score(
    model: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL...",
            help="A model as for the other commands, or several, such as the folds of a training: "
            "the mean of their scores is written. A function may return a list of models, or yield "
            "them one by one.",
        ),
    ],
    input: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            readable=False,
            help="FASTA (plain, gzip or bgzip), or BED or narrowPeak with --genome.",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="File to write; its ending says the format: .h5, .zarr, .npz, .tsv, .bw, ...",
        ),
    ],
    genome: o.Genome = None,
    positions: Annotated[
        str | None,
        typer.Option(metavar="START:END", help="Positions to change, 0-based, half-open."),
    ] = None,
    outputs: o.Outputs = None,
    alphabet: o.Alphabet = "dna",
    ambiguous: Annotated[
        o.AmbiguousChoice,
        typer.Option(help="Letters outside the alphabet: an error, zeros, or skip the sequence."),
    ] = o.AmbiguousChoice.error,
    pad: o.PadOption = o.Pad.skip,
    contigs: o.ContigsOption = o.Contigs.exact,
    not_finite: o.NotFiniteOption = o.NotFinite.error,
    strict: o.Strict = False,
    content: Annotated[
        Content, typer.Option(help="Keep differences to the reference, or outputs of the mutants.")
    ] = Content.deltas,
    sd: Annotated[
        bool,
        typer.Option("--sd", help="Keep the standard deviation over models too (.h5, .zarr)."),
    ] = False,
    dtype: Annotated[Precision, typer.Option(help="Type of what is kept.")] = Precision.float32,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Sequences per batch; by default at most 16, as memory allows."),
    ] = None,
    memory: o.Memory = None,
    shard: o.Shard = "1/1",
    resume: o.Resume = False,
    force: o.Begin = False,
    naive: Annotated[
        bool, typer.Option("--naive", help="Run every mutant through the whole model.")
    ] = False,
    backend: o.Backend = None,
    device: o.Device = None,
    precision: o.Precision = "float32",
    seqlen: o.Seqlen = None,
    input_shape: o.InputShape = None,
    channels_last: o.ChannelsLast = False,
    unsafe: o.Unsafe = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Score every single-character change of every sequence.

    The output appears when it is complete. Until then OUT.partial holds what is finished:
    after an interruption (exit code 130) the same command with --resume goes on from there.
    """
    part = parsed("--shard", o.read_shard, shard)
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    given = ModelOptions(
        unsafe, seqlen, input_shape, channels_last, backend, device, memory, naive, precision
    )
    source = Input(input, genome, pad is o.Pad.n, contigs is o.Contigs.rename)
    check_strict(strict, not_finite)
    if sd and shard == "1/1":
        with stage(Exit.USAGE):
            check_deviations(output)
    request = Request(
        source,
        positions,
        outputs,
        letters,
        ambiguous.value,
        content.value,
        dtype.value,
        batch,
        part,
        given,
        not_finite.value,
        strict,
    )
    destination = ScoreDestination(output, part, force=force, resume=resume)
    begin = time.monotonic()
    try:
        with interrupts() as signals:
            if reading := source.reading():
                note(reading, quiet)
            models = Models(model, given)
            keep = not_finite is not o.NotFinite.error
            how = {"length": source.length, "not_finite": keep, "quiet": quiet}
            several = models.several or sd
            job = Folds.of(models, request, how, sd) if several else Alone.of(models, request, how)
            header = job.header
            if destination.finished:
                typer.echo(f"{output} is finished already; {destination.check_finished(header)}")
                return
            with destination.filling(header) as writer:
                job.fill(destination, writer, signals, quiet)
                skipped = _skipped(destination.partial, output, quiet)
                written = destination.finish()
    except KeyboardInterrupt:
        raise Failure(Exit.INTERRUPTED, destination.left()) from None
    names = ", ".join(str(path) for path in written)
    counts = counted(header.expected, skipped)
    typer.echo(f"{counts}, in {duration(time.monotonic() - begin)}: {names}")


def _skipped(path: Path, output: Path, quiet: bool) -> Counter[str]:
    """Name the first records that were skipped, and count them all by reason."""
    with stage(Exit.OUTPUT), Store(path) as store:
        skipped = store.skipped
        warn_of_gaps(store, output, quiet)
    return tell(skipped, quiet, ", which the output names")

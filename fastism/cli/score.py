"""`fastism score`: every change of every sequence of a file, into a file.

Requirements: typer, rich, h5py; the framework of the model.
"""

from __future__ import annotations

import shlex
import time
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from fastism.batch.scoring import default_batch, shard_rows, values_of
from fastism.batch.scoring import score as score_records
from fastism.cli import options as o
from fastism.cli.destination import Destination
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage
from fastism.cli.inputs import NAMED, Input
from fastism.cli.interrupts import Interrupts, interrupts
from fastism.cli.opened import ModelOptions, Opened, open_model
from fastism.cli.progress import duration, note, progress
from fastism.genomics.regions import Skip
from fastism.ism import DEFAULT_MEMORY
from fastism.store.reader import Store
from fastism.store.schema import Header, OutputHeader
from fastism.store.writer import StoreWriter


class Content(StrEnum):
    """What is stored."""

    deltas = "deltas"
    mutants = "mutants"


class Precision(StrEnum):
    """Type of what is stored."""

    float32 = "float32"
    float16 = "float16"


@dataclass(frozen=True)
class Request:
    """What is to be scored and kept, as the user wrote it."""

    spec: str
    source: Input
    positions: str | None
    outputs: str | None
    alphabet: str
    ambiguous: str
    content: str
    dtype: str
    batch: int | None
    shard: tuple[int, int]
    model: ModelOptions
    not_finite: str
    strict: bool

    def command(self, model: str) -> str:
        """The command with nothing but what determines the content of the output."""
        source, given = self.source, self.model
        words = ["fastism", "score", model, source.path.name]
        pairs = {
            "--genome": source.genome and source.genome.name,
            "--positions": self.positions,
            "--outputs": self.outputs,
            "--alphabet": self.alphabet,
            "--ambiguous": self.ambiguous,
            "--content": self.content,
            "--dtype": self.dtype,
            "--seqlen": given.seqlen,
            "--input-shape": given.input_shape,
            "--backend": given.backend,
            "--precision": None if given.precision == "float32" else given.precision,
            "--pad": "N" if source.pad else None,
            "--contigs": "rename" if source.rename else None,
            # What is left out is listed; only what is kept makes other scores.
            "--not-finite": "keep" if self.not_finite == "keep" else None,
        }
        for option, value in pairs.items():
            words += [option, str(value)] if value is not None else []
        return shlex.join(words + ["--naive"] * given.naive)


def score(
    model: o.ModelSpec,
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
    dtype: Annotated[Precision, typer.Option(help="Type of what is kept.")] = Precision.float32,
    batch: Annotated[
        int | None,
        typer.Option(min=1, help="Sequences per batch; by default at most 16, as memory allows."),
    ] = None,
    memory: o.Memory = None,
    shard: Annotated[
        str,
        typer.Option(
            metavar="I/N", help="Score only the I-th of N parts, for `fastism export` to join."
        ),
    ] = "1/1",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on where an interrupted run stopped.")
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace the output and what a run left unfinished.")
    ] = False,
    naive: Annotated[
        bool, typer.Option("--naive", help="Run every mutant through the whole model.")
    ] = False,
    backend: o.Backend = None,
    device: o.Device = None,
    precision: o.Precision = "float32",
    seqlen: o.Seqlen = None,
    input_shape: o.InputShape = None,
    unsafe: o.Unsafe = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Score every single-character change of every sequence.

    The output appears when it is complete. Until then OUT.partial holds what is finished:
    after an interruption (exit code 130) the same command with --resume goes on from there.
    """
    part = parsed("--shard", o.read_shard, shard)
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    given = ModelOptions(unsafe, seqlen, input_shape, backend, device, memory, naive, precision)
    source = Input(input, genome, pad is o.Pad.n, contigs is o.Contigs.rename)
    if strict and not_finite is o.NotFinite.skip:
        raise refuse("--strict ends at what --not-finite skip leaves out: give one of them.")
    request = Request(
        model,
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
    destination = Destination(output, part, force=force, resume=resume)
    begin = time.monotonic()
    try:
        with interrupts() as signals:
            if reading := source.reading():
                note(reading, quiet)
            opened = open_model(
                model, given, length=source.length, not_finite=not_finite is not o.NotFinite.error
            )
            run = _job(request, opened)
            if destination.finished:
                typer.echo(
                    f"{output} is finished already; {destination.check_finished(run.header)}"
                )
                return
            with destination.filling(run.header) as writer:
                _fill(run, opened, writer, signals, quiet)
                skipped = _skipped(destination.partial, quiet)
                written = destination.finish()
    except KeyboardInterrupt:
        raise Failure(Exit.INTERRUPTED, destination.left()) from None
    names = ", ".join(str(path) for path in written)
    counts = counted(run.header.expected, skipped)
    typer.echo(f"{counts}, in {duration(time.monotonic() - begin)}: {names}")


def counted(read: int, skipped: Counter[str]) -> str:
    """Records read, scored, and skipped by reason, for people.

    Examples
    --------
    >>> counted(7, Counter({"bad line": 2}))
    '7 records read, 5 sequences scored, 2 skipped (2 bad line)'
    """
    left_out = skipped.total()
    reasons = ", ".join(f"{count} {kind}" for kind, count in skipped.most_common())
    said = f"{read} records read, {read - left_out} sequences scored, {left_out} skipped"
    return f"{said} ({reasons})" if reasons else said


@dataclass(frozen=True)
class ScoreRun:
    """What is to be done, checked against model and input.

    Parameters
    ----------
    header : Header
    kept : mapping
        Outputs and their entries, as `saturate` takes them.
    source : Input
    ambiguous : str
    first : int
        Row of the input at which the shard begins.
    not_finite : str
    """

    header: Header
    kept: dict[int, list[int] | None]
    source: Input
    ambiguous: str
    first: int
    not_finite: str


def _job(request: Request, opened: Opened) -> ScoreRun:
    """Check what was asked for against the model, and all records of the input."""
    ism, source, letters = opened.ism, request.source, request.alphabet
    if len(letters) != ism.num_chars:
        raise refuse(
            f"--alphabet {letters} has {len(letters)} letters; the model takes {ism.num_chars}."
        )
    with stage(Exit.MODEL):
        shapes = ism.output_shapes
    kept = parsed("--outputs", lambda text: o.read_outputs(text, shapes), request.outputs)
    where = parsed(
        "--positions", lambda text: o.read_positions(text, ism.seqlen), request.positions
    )
    outputs = []
    for number, entries in kept.items():
        shape = shapes[number]
        chosen = range(shape[0]) if shape and entries is None else entries or ()
        shape = (len(chosen), *shape[1:]) if shape else ()
        outputs.append(
            OutputHeader(opened.output_names[number], shape, tuple(str(i) for i in chosen))
        )
    found = source.survey(ism.seqlen, letters, request.ambiguous, request.strict)
    values = values_of((output.shape for output in outputs), where, len(letters))
    batch = request.batch or default_batch(values, request.model.bytes or DEFAULT_MEMORY)
    rows = shard_rows(found.count, batch, request.shard)
    header = Header(
        alphabet=letters,
        length=ism.seqlen,
        positions=where,
        content=request.content,
        dtype=request.dtype,
        outputs=tuple(outputs),
        expected=len(rows),
        model=opened.loaded.name,
        model_hash=opened.loaded.hash,
        input=source.path.name,
        input_hash=found.hash,
        command=request.command(opened.loaded.name),
        versions=opened.versions(),
        batch=batch,
        chrom_sizes=source.chromosomes(),
        shard=request.shard,
        not_finite="keep" if request.not_finite == "keep" else "",
    )
    return ScoreRun(header, kept, source, request.ambiguous, rows.start, request.not_finite)


class _Staged:
    """A writer whose failures are those of the output, not of the model that is running."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer, self.header = writer, writer.header

    def append(self, *batch: Any) -> None:
        """Add a batch."""
        with stage(Exit.OUTPUT):
            self._writer.append(*batch)


def _fill(
    run: ScoreRun, opened: Opened, writer: StoreWriter, signals: Interrupts, quiet: bool
) -> None:
    """Score what the store does not hold yet, and mark it complete."""
    header = run.header
    if writer.consumed:
        note(f"going on after {writer.consumed} of {header.expected} sequences", quiet)
    if writer.consumed < header.expected:
        records = run.source.records(header.length, header.alphabet, run.ambiguous)
        left = islice(records, run.first + writer.consumed, run.first + header.expected)
        with progress(header.expected, writer.consumed, quiet) as advance:

            def done(count: int) -> None:
                advance(count)
                signals.check()

            with stage(Exit.MODEL):
                score_records(
                    opened.ism,
                    left,
                    _Staged(writer),
                    outputs=run.kept,
                    not_finite=run.not_finite,
                    progress=done,
                )
    with stage(Exit.OUTPUT):
        writer.complete()


def _skipped(path: Path, quiet: bool) -> Counter[str]:
    """Name the first records that were skipped, and count them all by reason."""
    with stage(Exit.OUTPUT), Store(path) as store:
        skipped = store.skipped
    for name, reason in skipped[:NAMED]:
        note(f"skipped {name}: {reason}", quiet)
    if len(skipped) > NAMED:
        note(f"skipped {len(skipped) - NAMED} more, which the output names", quiet)
    return Counter(Skip.of(reason) for _, reason in skipped)

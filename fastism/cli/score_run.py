"""What `fastism score` is to do, checked against model and input, and doing it.

Requirements: typer, h5py; the framework of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from fastism.batch.scoring import default_batch, shard_rows, values_of
from fastism.batch.scoring import score as score_records
from fastism.cli.exit_codes import Exit, stage
from fastism.cli.inputs import Input, Survey, described
from fastism.cli.interrupts import Interrupts
from fastism.cli.opened import ModelOptions, Opened
from fastism.cli.progress import note, progress
from fastism.cli.wanted import command_line, wanted
from fastism.genomics.regions import Region, Skipped
from fastism.ism import DEFAULT_MEMORY
from fastism.store.schema import Header, OutputHeader
from fastism.store.writer import StoreWriter


@dataclass(frozen=True)
class Request:
    """What is to be scored and kept, as the user wrote it."""

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

    def command(self, models: Sequence[str], sd: bool = False) -> str:
        """The command with nothing but what determines the content of the output."""
        source = self.source
        options = {
            "--genome": source.genome and source.genome.name,
            "--positions": self.positions,
            "--outputs": self.outputs,
            "--alphabet": self.alphabet,
            "--ambiguous": self.ambiguous,
            "--content": self.content,
            "--dtype": self.dtype,
            **self.model.described,
            **described(source.pad, source.rename),
            # What is left out is listed; only what is kept makes other scores.
            "--not-finite": "keep" if self.not_finite == "keep" else None,
        }
        words = ["score", *models, source.path.name]
        return command_line(words, options, self.model, ["--sd"] * sd)


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
    survey : Survey
        Of the whole input.
    """

    header: Header
    kept: dict[int, list[int] | None]
    source: Input
    ambiguous: str
    first: int
    not_finite: str
    survey: Survey

    def records(self, done: int = 0) -> Iterator[Region | Skipped]:
        """The records of the shard, behind those that are done."""
        records = self.source.records(self.header.length, self.header.alphabet, self.ambiguous)
        return islice(records, self.first + done, self.first + self.header.expected)


def planned(request: Request, opened: Opened, found: Survey | None = None) -> ScoreRun:
    """Check what was asked for against the model, and all records of the input.

    Parameters
    ----------
    request : Request
    opened : Opened
    found : Survey, optional
        What the records are, where they were read before.
    """
    ism, source, letters = opened.ism, request.source, request.alphabet
    kept = wanted(opened, letters, request.outputs, request.positions)
    outputs = []
    for number, shape in kept.shapes.items():
        entries = kept.outputs[number]
        labels = range(shape[0]) if shape and entries is None else entries or ()
        outputs.append(OutputHeader(opened.output_names[number], shape, tuple(map(str, labels))))
    found = found or source.survey(ism.seqlen, letters, request.ambiguous, request.strict)
    values = values_of(kept.shapes.values(), kept.positions, len(letters))
    batch = request.batch or default_batch(values, request.model.bytes or DEFAULT_MEMORY)
    rows = shard_rows(found.count, batch, request.shard)
    header = Header(
        alphabet=letters,
        length=ism.seqlen,
        positions=kept.positions,
        content=request.content,
        dtype=request.dtype,
        outputs=tuple(outputs),
        expected=len(rows),
        model=opened.loaded.name,
        model_hash=opened.loaded.hash,
        input=source.path.name,
        input_hash=found.hash,
        command=request.command([opened.loaded.name]),
        versions=opened.versions(),
        batch=batch,
        chrom_sizes=source.chromosomes(),
        shard=request.shard,
        not_finite="keep" if request.not_finite == "keep" else "",
    )
    policies = request.ambiguous, rows.start, request.not_finite
    return ScoreRun(header, kept.outputs, source, *policies, found)


class _Staged:
    """A writer whose failures are those of the output, not of the model that is running."""

    def __init__(self, writer: StoreWriter) -> None:
        self._writer, self.header = writer, writer.header

    def append(self, *batch: Any) -> None:
        """Add a batch."""
        with stage(Exit.OUTPUT):
            self._writer.append(*batch)


def fill(
    run: ScoreRun, opened: Opened, writer: StoreWriter, signals: Interrupts, quiet: bool
) -> None:
    """Score what the store does not hold yet, and mark it complete."""
    header = run.header
    if writer.consumed:
        note(f"going on after {writer.consumed} of {header.expected} sequences", quiet)
    if writer.consumed < header.expected:
        with progress(header.expected, writer.consumed, quiet) as advance:

            def done(count: int) -> None:
                advance(count)
                signals.check()

            with stage(Exit.MODEL):
                score_records(
                    opened.ism,
                    run.records(writer.consumed),
                    _Staged(writer),
                    outputs=run.kept,
                    not_finite=run.not_finite,
                    progress=done,
                    beside=opened.ism.accelerated,
                )
    with stage(Exit.OUTPUT):
        writer.complete()

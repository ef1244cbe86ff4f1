"""`fastism pairs`: every double mutant of every sequence of a file, into a file.

Requirements: typer, rich, h5py; the framework of the model.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage, staged
from fastism.cli.inputs import Input, described
from fastism.cli.interrupts import Interrupts, interrupts
from fastism.cli.opened import ModelOptions, Opened, open_model
from fastism.cli.progress import duration, note, progress
from fastism.cli.skipped import (
    all_finite,
    check_some,
    check_strict,
    counted,
    not_finite_reason,
    tell,
)
from fastism.cli.wanted import command_line, wanted
from fastism.errors import FastISMError
from fastism.genomics.regions import Region, Skipped
from fastism.ism import FastISM
from fastism.pairs.collect import count_pairs
from fastism.pairs.filled import check_reduction, reduced
from fastism.pairs.result import PairRows
from fastism.sequences import one_hot
from fastism.store.export import check_free
from fastism.store.pair_files import PairHeader, PairOutput, PairWriter

SUFFIX = ".h5"
#: Positions whose pairs are written together: what is lost at most where a run is interrupted.
ROWS = 48


class Content(StrEnum):
    """What is stored besides the map."""

    epistasis = "epistasis"
    dependency = "dependency"


class Reduce(StrEnum):
    """What outputs of many numbers become."""

    mean = "mean"
    sum = "sum"
    max = "max"
    min = "min"


@dataclass(frozen=True)
class Request:
    """What is to be kept, as the user wrote it."""

    positions: str | None
    outputs: str | None
    reduce: str | None
    alphabet: str
    ambiguous: str
    not_finite: o.NotFinite
    strict: bool
    content: str
    model: ModelOptions

    def command(self, model: str, source: Input) -> str:
        """The command with nothing but what determines the content of the output."""
        options = {
            "--genome": source.genome and source.genome.name,
            "--positions": self.positions,
            "--outputs": self.outputs,
            "--reduce": self.reduce,
            "--alphabet": self.alphabet,
            "--ambiguous": self.ambiguous,
            "--content": self.content,
            **self.model.described,
            **described(source.pad, source.rename),
            "--not-finite": None if self.not_finite is o.NotFinite.error else self.not_finite.value,
        }
        return command_line(["pairs", model, source.path.name], options, self.model)


def pairs(
    model: o.ModelSpec,
    input: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            readable=False,
            help="FASTA (plain, gzip or bgzip), or BED or narrowPeak with --genome.",
        ),
    ],
    output: Annotated[Path, typer.Option("--out", "-o", metavar="OUT", help="File to write: .h5.")],
    genome: o.Genome = None,
    positions: Annotated[
        str | None,
        typer.Option(metavar="START:END", help="Positions to change, 0-based, half-open."),
    ] = None,
    outputs: o.Outputs = None,
    reduce: Annotated[
        Reduce | None,
        typer.Option(help="Keep one number of every output, such as the mean of a profile."),
    ] = None,
    alphabet: o.Alphabet = "dna",
    ambiguous: Annotated[
        o.AmbiguousChoice,
        typer.Option(help="Letters outside the alphabet: an error, zeros, or skip the sequence."),
    ] = o.AmbiguousChoice.error,
    content: Annotated[
        Content,
        typer.Option(
            help="Keep epistasis of all alternatives, or only the largest of two positions."
        ),
    ] = Content.epistasis,
    pad: o.PadOption = o.Pad.skip,
    contigs: o.ContigsOption = o.Contigs.exact,
    not_finite: o.NotFiniteOption = o.NotFinite.error,
    strict: o.Strict = False,
    memory: o.Memory = None,
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
    """Every double substitution: epistasis, and how positions depend on each other.

    The output appears when it is complete. Until then OUT.partial holds what is finished:
    after an interruption (exit code 130) the same command with --resume goes on from there.
    `fastism plot` draws the map of a sequence.
    """
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    given = ModelOptions(
        unsafe, seqlen, input_shape, channels_last, backend, device, memory, naive, precision
    )
    source = Input(input, genome, pad is o.Pad.n, contigs is o.Contigs.rename)
    check_strict(strict, not_finite)
    chosen = reduce and reduce.value
    policies = (ambiguous.value, not_finite, strict)
    request = Request(positions, outputs, chosen, letters, *policies, content.value, given)
    partial = _checked(output, force=force, resume=resume)
    begin = time.monotonic()
    try:
        with interrupts() as signals:
            keep = not_finite is not o.NotFinite.error
            how = {"length": source.length, "not_finite": keep, "quiet": quiet}
            opened = open_model(model, given, **how)
            run = _run(request, opened, source)
            if resume and output.exists() and not partial.exists():
                typer.echo(f"{output} is finished already.")
                return
            with stage(Exit.OUTPUT):
                go_on = resume and partial.exists()
                made = (
                    PairWriter.resume(partial, run.header)
                    if go_on
                    else PairWriter.create(partial, run.header, run.records)
                )
            with made as writer:
                _fill(run, opened, writer, signals, quiet)
                skipped = writer.skipped
                check_some(len(run.records) - len(skipped), skipped)
            with stage(Exit.OUTPUT):
                os.replace(partial, output)
    except KeyboardInterrupt:
        raise Failure(Exit.INTERRUPTED, _left(partial)) from None
    counts = counted(len(run.records), tell(skipped, quiet, ", which the output names"))
    typer.echo(f"{counts}, in {duration(time.monotonic() - begin)}: {output}")


def _checked(output: Path, *, force: bool, resume: bool) -> Path:
    """The name of the unfinished file, after what can be checked before a model is loaded."""
    if force and resume:
        raise refuse("--force begins anew and --resume goes on: give one of them.")
    if output.suffix.lower() != SUFFIX:
        raise refuse(f"{output} must end in {SUFFIX}.")
    partial = output.with_name(output.name + ".partial")
    with stage(Exit.OUTPUT):
        check_free([output], force or resume)
        if partial.exists() and not (force or resume):
            raise FastISMError(
                f"{partial} is left from a run that did not finish. Add --resume to go on with "
                "it, or --force to begin anew."
            )
    return partial


def _left(partial: Path) -> str:
    """What an interrupted run leaves behind, and how to go on."""
    if not partial.exists():
        return "nothing was written."
    return f"{partial} keeps what is finished; the same command with --resume goes on from there."


@dataclass(frozen=True)
class PairRun:
    """What is to be done, checked against model and input."""

    header: PairHeader
    kept: dict[int, list[int] | None]
    reduce: str | None
    not_finite: o.NotFinite
    records: list[Region | Skipped]


def _run(request: Request, opened: Opened, source: Input) -> PairRun:
    ism, letters = opened.ism, request.alphabet
    kept = wanted(opened, letters, request.outputs, request.positions)
    outputs = []
    for number, shape in kept.shapes.items():
        (made,) = reduced([np.zeros((1, *shape))], check_reduction(request.reduce))
        outputs.append(PairOutput(opened.output_names[number], made.shape[1:]))
    found = source.survey(ism.seqlen, letters, request.ambiguous, request.strict)
    header = PairHeader(
        alphabet=letters,
        length=ism.seqlen,
        positions=kept.positions,
        content=request.content,
        outputs=tuple(outputs),
        model=opened.loaded.name,
        model_hash=opened.loaded.hash,
        input=source.path.name,
        input_hash=found.hash,
        command=request.command(opened.loaded.name, source),
        versions=opened.versions(),
    )
    records = list(source.records(ism.seqlen, letters, request.ambiguous))
    return PairRun(header, kept.outputs, request.reduce, request.not_finite, records)


def _fill(
    run: PairRun, opened: Opened, writer: PairWriter, signals: Interrupts, quiet: bool
) -> None:
    """Run what the file does not hold yet."""
    header, ism = run.header, opened.ism
    where, done = np.arange(*header.positions), writer.done
    # Letters that are zeros have an alternative more; for progress that does not matter.
    per_row = len(header.alphabet) - 1
    edits = np.repeat(where, per_row)
    left = [count_pairs(edits[per_row * row :]) for row in range(header.rows + 1)]
    regions = [(i, r) for i, r in enumerate(run.records) if isinstance(r, Region)]
    finished = sum(left[0] - left[int(done[i])] for i, _ in regions)
    if isinstance(ism, FastISM):
        with stage(Exit.MODEL):
            plan = ism.pair_plan(where, run.kept)
        note(f"strategy: {plan.strategy.value}: {plan.reason}", quiet)
    if finished:
        note(f"going on after {finished} of {left[0] * len(regions)} pairs", quiet)
    with progress(left[0] * len(regions), finished, quiet, "pairs") as advance:
        for number, region in regions:
            if done[number] == header.rows:
                continue
            x = one_hot([region.sequence], header.alphabet, "zero")
            x = x.transpose(0, 2, 1) if ism.axes[1] == "character" else x
            settings = (where, run.kept, run.reduce, ROWS)
            for block in _blocks(opened, x, settings, int(done[number])):
                if run.not_finite is not o.NotFinite.keep and not _is_finite(block):
                    reason = not_finite_reason(region.name, run.not_finite)
                    with stage(Exit.OUTPUT):
                        writer.skip(number, reason)
                    advance(left[block.first])
                    break
                with stage(Exit.OUTPUT):
                    writer.append(number, block)
                advance(left[block.first] - left[block.last])
                signals.check()


def _blocks(
    opened: Opened, x: np.ndarray, settings: tuple[Any, ...], first: int
) -> Iterator[PairRows]:
    """Rows of pairs of one sequence; where fast ISM has no finite number, by naive ISM.

    Differences of infinite values are no numbers: the model itself is asked before that is said.
    """
    blocks = opened.ism.pair_rows(x, *settings, first)
    with np.errstate(invalid="ignore", over="ignore"):
        for block in staged(Exit.MODEL, blocks):
            if not _is_finite(block) and isinstance(opened.ism, FastISM):
                again = opened.naive().pair_rows(x, *settings, block.first)
                yield from staged(Exit.MODEL, again)
                return
            yield block


def _is_finite(block: PairRows) -> bool:
    with np.errstate(invalid="ignore", over="ignore"):
        return all_finite([*block.epistasis(), *block.reference, *block.singles])

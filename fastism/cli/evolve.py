"""`fastism evolve`: improve sequences step by step, by the best substitution of each step.

Requirements: typer, rich; the framework of the model.
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fastism.batch.design_files import write_designs, write_steps
from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage
from fastism.cli.inputs import Input
from fastism.cli.interrupts import interrupts
from fastism.cli.opened import ModelOptions, open_model
from fastism.cli.progress import duration, progress
from fastism.cli.skipped import check_some, reasons, tell
from fastism.design import Goal
from fastism.design import evolve as evolve_sequences
from fastism.errors import FastISMError
from fastism.genomics.regions import Region, Skip, Skipped
from fastism.sequences import one_hot, to_string


def evolve(
    model: o.ModelSpec,
    input: Annotated[
        Path,
        typer.Argument(metavar="INPUT", readable=False, help="FASTA (plain, gzip or bgzip)."),
    ],
    output: Annotated[
        Path,
        typer.Option("--out", "-o", metavar="FASTA", help="The designs, a FASTA file to write."),
    ],
    steps: Annotated[int, typer.Option(min=1, help="Most steps.")] = 10,
    goal: Annotated[
        str,
        typer.Option(
            metavar="[OUTPUT/]ENTRY[*WEIGHT],...",
            help="What to make large: entries of the output, weighted and added up, such as 0 or "
            "1/3,0/2*-0.5. Entry 0 of an output that is a single number is that number; 0/, "
            "without an entry, is the sum of all of output 0.",
        ),
    ] = "0",
    minimise: Annotated[
        bool, typer.Option("--minimise", help="Make the goal small instead.")
    ] = False,
    edits: Annotated[int, typer.Option(min=1, help="Substitutions per step.")] = 1,
    positions: Annotated[
        str | None,
        typer.Option(metavar="START:END", help="Positions that may change, 0-based, half-open."),
    ] = None,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="START:END,...",
            help="Positions that must stay as they are, 0-based, half-open.",
        ),
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(metavar="TSV", help="A table of all steps to write."),
    ] = None,
    alphabet: o.Alphabet = "dna",
    ambiguous: Annotated[
        o.AmbiguousChoice,
        typer.Option(help="Letters outside the alphabet: an error, zeros, or skip the sequence."),
    ] = o.AmbiguousChoice.error,
    not_finite: o.NotFiniteOption = o.NotFinite.error,
    memory: o.Memory = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the output.")] = False,
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
    """Greedy directed evolution: at every step the best of all substitutions, by exact ISM.

    It stops for a sequence when no substitution improves it. The headers of the designs say what
    the goal was and is. With --not-finite skip, sequences are left out for which, or for a mutant
    of which, the goal is NaN or infinite; with keep, such mutants are never chosen.
    """
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    goals = parsed("--goal", read_goals, goal)
    given = ModelOptions(
        unsafe, seqlen, input_shape, channels_last, backend, device, memory, naive, precision
    )
    source = Input(input)
    with stage(Exit.OUTPUT):
        for path in (output, table):
            if path is not None and path.exists() and not force:
                raise FastISMError(f"{path} exists already. Add --force to replace it.")
    begin = time.monotonic()
    try:
        with interrupts() as signals:
            given_up = not_finite is not o.NotFinite.error
            how = {"length": source.length, "not_finite": given_up, "quiet": quiet}
            opened = open_model(model, given, **how)
            ism = opened.ism
            allowed = _allowed(positions, keep, ism.seqlen)
            reading = (ism.seqlen, letters, ambiguous.value)
            source.survey(*reading)
            records = list(source.records(*reading))
            regions = [r for r in records if isinstance(r, Region)]
            x = one_hot([region.sequence for region in regions], letters, "zero")
            last = ism.axes.index("position") < ism.axes.index("character")
            with progress(steps, 0, quiet, "steps") as advance, stage(Exit.MODEL):

                def told(step: int, left: int) -> None:
                    advance(1)
                    signals.check()

                found = evolve_sequences(
                    ism,
                    x if last else x.swapaxes(1, 2),
                    steps,
                    goals,
                    minimise=minimise,
                    edits=edits,
                    positions=allowed,
                    not_finite=not_finite.value,
                    progress=told,
                )
            names = [region.name for region in regions]
            reason = Skip.NOT_FINITE.because("the goal for it or a mutant of it")
            skipped = [(r.name, r.reason) for r in records if isinstance(r, Skipped)]
            skipped += [(names[number], reason) for number in sorted(found.not_finite)]
            check_some(len(records) - len(skipped), skipped)
            with stage(Exit.OUTPUT):
                designs = found.sequences if last else found.sequences.swapaxes(1, 2)
                write_designs(output, names, to_string(designs, letters), found)
                if table is not None:
                    write_steps(table, names, letters, found)
    except KeyboardInterrupt:
        raise Failure(Exit.INTERRUPTED, "nothing was written.") from None
    left_out = reasons(tell(skipped, quiet))
    made = sum(each.sequence not in found.not_finite for each in found.substitutions)
    made = f"{made} substitutions in {len(records) - len(skipped)} sequences"
    made += f", {len(skipped)} skipped ({left_out})" if skipped else ""
    typer.echo(f"{made}, in {duration(time.monotonic() - begin)}: {output}")


def read_goals(text: str) -> list[Goal]:
    """Weighted entries of outputs, separated by commas.

    Examples
    --------
    >>> read_goals("1/3,2*-0.5")
    [Goal(entry=(3,), output=1, weight=1.0), Goal(entry=(2,), output=0, weight=-0.5)]
    """
    goals = []
    for item in text.replace(" ", "").split(","):
        match = re.fullmatch(r"(?:(\d+)/)?(\d*)(?:\*(-?\d+(?:\.\d+)?))?", item)
        if match is None or not (match[1] or match[2]):
            raise FastISMError(
                "expected entries such as 0, OUTPUT/ENTRY such as 1/3, or OUTPUT/ for the sum of a "
                "whole output, each with *WEIGHT where it does not count once."
            )
        entry = (int(match[2]),) if match[2] else ()
        goals.append(Goal(entry, int(match[1] or 0), float(match[3] or 1)))
    return goals


def _allowed(positions: str | None, keep: str | None, length: int) -> np.ndarray:
    """Positions that may change."""
    first, last = parsed(
        "--positions", lambda t: o.read_positions(t or None, length), positions or ""
    )
    allowed = np.zeros(length, dtype=bool)
    allowed[first:last] = True
    for part in keep.split(",") if keep else ():
        start, stop = parsed("--keep", lambda t: o.read_positions(t, length), part)
        allowed[start:stop] = False
    if not allowed.any():
        raise refuse("--positions and --keep leave no position that may change.")
    return np.flatnonzero(allowed)

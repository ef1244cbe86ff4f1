"""`fastism scan`: every deletion and every insertion of a word, at every position.

Requirements: typer, rich, h5py; pyfaidx for genomes; the framework of the model.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from fastism import __version__
from fastism.base_ism import BaseISM
from fastism.batch.scan_files import ScanHeader, format_of, scan_writer
from fastism.calls.result import listed
from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage
from fastism.cli.inputs import Input
from fastism.cli.interrupts import interrupts
from fastism.cli.opened import ModelOptions, Opened, open_model
from fastism.cli.progress import duration, progress
from fastism.cli.skipped import (
    all_finite,
    check_some,
    check_strict,
    counted,
    not_finite_reason,
    tell,
)
from fastism.cli.wanted import wanted
from fastism.errors import FastISMError
from fastism.genomics.flanks import flank
from fastism.genomics.genome import Genome
from fastism.genomics.regions import Region, Skipped
from fastism.genomics.variants import value_labels
from fastism.naive_ism import NaiveISM
from fastism.scans.result import Scan
from fastism.sequences import DNA, one_hot


class Anchor(StrEnum):
    """Which end of a sequence stays where it is."""

    left = "left"
    right = "right"


@dataclass(frozen=True)
class Changes:
    """What is done at every position, and what moves in at the end."""

    widths: list[int]
    words: list[str]
    fill: str
    anchor: str


def scan(
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
            help="File to write: a table of effects (.tsv, .tsv.gz), or arrays (.h5).",
        ),
    ],
    delete: Annotated[
        str | None,
        typer.Option(metavar="N,...", help="Delete so many letters from every position on."),
    ] = None,
    insert: Annotated[
        str | None,
        typer.Option(metavar="WORD,...", help="Insert these words before every position."),
    ] = None,
    fill: Annotated[
        str,
        typer.Option(
            metavar="N|genome|LETTERS",
            help="What moves in at the end when letters are deleted: N (zeros), what the genome "
            "has there (BED input), or these letters.",
        ),
    ] = "N",
    anchor: Annotated[
        Anchor,
        typer.Option(
            help="Which end of the sequence stays where it is, as the model reads it: of an "
            "interval on the minus strand left is the end with the largest coordinate."
        ),
    ] = Anchor.left,
    positions: Annotated[
        str | None,
        typer.Option(metavar="START:END", help="Positions to scan, 0-based, half-open."),
    ] = None,
    genome: o.Genome = None,
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
    """Score deletions and insertions at every position of every sequence.

    Mutants have the length of the sequence: what lies behind a deletion moves towards it and --fill
    moves in at the end; what lies behind an insertion moves away and falls off at the end.
    """
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    changes = _changes(delete, insert, fill, anchor.value, letters)
    given = ModelOptions(
        unsafe, seqlen, input_shape, channels_last, backend, device, memory, naive, precision
    )
    source = Input(input, genome, pad is o.Pad.n, contigs is o.Contigs.rename)
    check_strict(strict, not_finite)
    if fill == "genome" and not source.is_bed:
        raise refuse("--fill genome needs a BED file and --genome, which say what lies around.")
    with stage(Exit.USAGE):
        format_of(output)
    with stage(Exit.OUTPUT):
        if output.exists() and not force:
            raise FastISMError(f"{output} exists already. Add --force to replace it.")
    begin = time.monotonic()
    try:
        with interrupts() as signals:
            keep = not_finite is not o.NotFinite.error
            how = {"length": source.length, "not_finite": keep, "quiet": quiet}
            opened = open_model(model, given, **how)
            reading = (letters, ambiguous.value, strict)
            plan = _planned(opened, source, positions, outputs, reading)
            records, skipped = plan.records, [(r.name, r.reason) for r in plan.skipped]
            header = plan.header(opened, {"fill": fill, "anchor": anchor.value})
            with (
                stage(Exit.OUTPUT),
                scan_writer(output, header) as writer,
                progress(header.sequences, 0, quiet) as advance,
            ):
                for region in plan.regions:
                    made, reason = _finite(opened, region, changes, letters, plan, not_finite)
                    if reason:
                        skipped.append((region.name, reason))
                    else:
                        writer.write(region, made)
                    advance(1)
                    signals.check()
                check_some(len(records) - len(skipped), skipped)
    except KeyboardInterrupt:
        raise Failure(Exit.INTERRUPTED, "nothing was written.") from None
    counts = counted(len(records), tell(skipped, quiet))
    typer.echo(f"{counts}, in {duration(time.monotonic() - begin)}: {output}")


@dataclass(frozen=True)
class ScanPlan:
    """What is scanned and kept, checked against model and input."""

    records: list[Region | Skipped]
    source: Input
    positions: range
    kept: dict[int, list[int] | None]
    input_hash: str

    @property
    def regions(self) -> list[Region]:
        """The records that are scanned."""
        return [record for record in self.records if isinstance(record, Region)]

    @property
    def skipped(self) -> list[Skipped]:
        """The records that are not."""
        return [record for record in self.records if isinstance(record, Skipped)]

    def header(self, opened: Opened, settings: dict[str, str]) -> ScanHeader:
        """What the output says of all sequences."""
        names, loaded = opened.output_names, opened.loaded
        about = {"model": loaded.name, "model_hash": loaded.hash}
        about |= {"input": self.source.path.name, "input_hash": self.input_hash, **settings}
        return ScanHeader(
            len(self.regions),
            opened.ism.seqlen,
            value_labels(names, opened.ism.output_shapes, self.kept),
            [names[i] for i in self.kept],
            {"made_by": f"fastism-suite {__version__}", **about},
        )


def _planned(
    opened: Opened,
    source: Input,
    positions: str | None,
    outputs: str | None,
    reading: tuple[str, str, bool],
) -> ScanPlan:
    """Read all records and the options that depend on the model: mistakes show before the work."""
    letters, ambiguous, _ = reading
    kept = wanted(opened, letters, outputs, positions)
    found = source.survey(opened.ism.seqlen, *reading)
    records = list(source.records(opened.ism.seqlen, letters, ambiguous))
    return ScanPlan(records, source, range(*kept.positions), kept.outputs, found.hash)


def _changes(
    delete: str | None, insert: str | None, fill: str, anchor: str, letters: str
) -> Changes:
    """What the options ask for."""
    if delete is None and insert is None:
        raise refuse("nothing to scan: add --delete N, --insert WORD, or both.")
    widths = parsed("--delete", _widths, delete) if delete is not None else []
    words = parsed("--insert", lambda t: _words(t, letters), insert) if insert is not None else []
    if fill not in ("N", "genome"):
        parsed("--fill", lambda t: _words(t, letters), fill)
        if widths and len(fill) < max(widths):
            raise refuse(f"--fill {fill}: {max(widths)} letters move in; give at least as many.")
    return Changes(widths, words, fill, anchor)


def _widths(text: str) -> list[int]:
    parts = text.replace(" ", "").split(",")
    if not all(part.isdecimal() and int(part) for part in parts):
        raise FastISMError("expected whole numbers from 1 on, such as 1,3,10.")
    return [int(part) for part in parts]


def _words(text: str, letters: str) -> list[str]:
    words = text.upper().replace(" ", "").split(",")
    if not all(words) or set("".join(words)) - set(letters):
        raise FastISMError(f"expected words of the letters {letters}, separated by commas.")
    return words


def _finite(
    opened: Opened,
    region: Region,
    changes: Changes,
    letters: str,
    plan: ScanPlan,
    policy: o.NotFinite,
) -> tuple[Scan, str]:
    """All changes of one sequence; and why it is left out, where the model is not finite.

    Differences of infinite values are no numbers where fast ISM is used: the model itself is asked
    before that is said.
    """
    with stage(Exit.MODEL):
        made = _scanned(opened.ism, region, changes, letters, plan)
        if not _is_finite(made) and not isinstance(opened.ism, NaiveISM):
            made = _scanned(opened.naive(), region, changes, letters, plan)
    if policy is o.NotFinite.keep or _is_finite(made):
        return made, ""
    return made, not_finite_reason(region.name, policy)


def _is_finite(scan: Scan) -> bool:
    return all_finite([*listed(scan.reference), *listed(scan.mutants)])


def _scanned(ism: BaseISM, region: Region, changes: Changes, letters: str, plan: ScanPlan) -> Scan:
    """All changes of one sequence, deletions first."""
    x = _rows(region.sequence, letters, ism.axes)
    common = {"anchor": changes.anchor, "outputs": plan.kept, "positions": plan.positions}
    made = []
    with np.errstate(invalid="ignore", over="ignore"):
        if changes.widths:
            fill = _fill(region, changes, letters, plan.source, ism.axes)
            made.append(ism.deletions(x, changes.widths, fill=fill, **common))
        if changes.words:
            words = [_rows(word, letters, ism.axes)[0] for word in changes.words]
            found = ism.insertions(x, words, **common)
            made.append(Scan(found.reference, found.mutants, found.positions, tuple(changes.words)))
    return made[0] if len(made) == 1 else _joined(*made)


def _joined(first: Scan, second: Scan) -> Scan:
    """Two scans of the same sequences and positions as one, with the changes of both."""
    names = (*first.names, *second.names)
    if isinstance(first.mutants, list):
        pairs = zip(first.mutants, second.mutants, strict=True)
        joined = [np.concatenate(pair, 1) for pair in pairs]
    else:
        joined = np.concatenate([first.mutants, second.mutants], 1)
    return Scan(first.reference, joined, first.positions, names)


def _rows(text: str, letters: str, axes: tuple[str, ...]) -> np.ndarray:
    """One-hot rows of one text in the order of axes of the model, with a sequence axis."""
    rows = one_hot(text, letters, ambiguous="zero")
    return rows.swapaxes(1, 2) if axes.index("character") < axes.index("position") else rows


def _fill(
    region: Region, changes: Changes, letters: str, source: Input, axes: tuple[str, ...]
) -> np.ndarray | str:
    if changes.fill == "N":
        return "N"
    if changes.fill != "genome":
        return _rows(changes.fill, letters, axes)
    if sorted(letters) != sorted(DNA):
        raise refuse("--fill genome needs an alphabet of A, C, G and T.")
    with stage(Exit.INPUT), Genome(source.genome) as opened:
        moved = flank(opened, region, max(changes.widths), changes.anchor)
        return _rows(moved, letters, axes)

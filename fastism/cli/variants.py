"""`fastism variants`: effects of the variants of a VCF file.

Requirements: typer, pyfaidx; biopython for genomes and VCF compressed by bgzip; the framework of
the model.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated

import typer

from fastism import __version__
from fastism.batch.effect_files import VCFS, format_of, write_effects
from fastism.batch.haplotype_files import Tally, haplotype_file, haplotype_table
from fastism.cli import options as o
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage, staged
from fastism.cli.interrupts import Interrupts, interrupts
from fastism.cli.opened import ModelOptions, Opened, open_model
from fastism.cli.progress import duration, note, progress
from fastism.errors import FastISMError
from fastism.files.text import check_readable, readable
from fastism.genomics.bed import is_narrow_peak, read_bed
from fastism.genomics.genome import Genome
from fastism.genomics.haplotypes import Haplotypes
from fastism.genomics.locate import Around, Effect, GenomeWindow, Status, Within, locate
from fastism.genomics.phased import read_calls
from fastism.genomics.regions import Region, Skipped
from fastism.genomics.variants import WINDOWS, run_located, value_labels
from fastism.genomics.vcf import Variant, annotated, read_vcf
from fastism.sequences import DNA

#: Variants between two signs of progress.
STEP = 64


@dataclass(frozen=True)
class Files:
    """Files of a run, checked as far as they can be before a model is loaded."""

    vcf: Path
    genome: Path
    regions: Path | None
    output: Path
    pad: bool = False
    rename: bool = False
    phased: bool = False

    @property
    def outputs(self) -> list[Path]:
        """What is written."""
        return [self.output, *([haplotype_file(self.output)] if self.phased else [])]

    def check(self, force: bool) -> None:
        """End the command if one is missing, or the output cannot be written."""
        with stage(Exit.USAGE):
            format_of(self.output)
        with stage(Exit.OUTPUT):
            if not self.output.parent.is_dir():
                raise FastISMError(f"There is no folder {self.output.parent}. Make it.")
            for output in self.outputs:
                if output.exists() and not force:
                    raise FastISMError(f"{output} exists already. Add --force to replace it.")
        with stage(Exit.INPUT):
            check_readable(self.vcf, "a VCF file")
            check_readable(self.genome, "a genome in a FASTA file")
            if self.regions is not None:
                check_readable(self.regions, "a BED file")

    def count(self) -> int:
        """Number of variants, all lines of the VCF file checked: mistakes show before the work."""
        with stage(Exit.INPUT):
            if format_of(self.output) in VCFS:
                for _ in annotated(self.vcf, [], repeat("")):
                    pass
            if self.phased:
                for _ in read_calls(self.vcf):
                    pass
            return sum(1 for _ in read_vcf(self.vcf))


def variants(
    model: o.ModelSpec,
    vcf: Annotated[
        Path, typer.Argument(metavar="VCF", help="Variants: VCF 4, plain, gzip or bgzip.")
    ],
    genome: Annotated[
        Path,
        typer.Option(metavar="FASTA", help="The genome that the VCF refers to: plain or bgzip."),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            metavar="OUT",
            help="File to write: a table (.tsv, .tsv.gz), or the VCF with INFO fields added "
            "(.vcf, .vcf.gz).",
        ),
    ],
    share: Annotated[
        int,
        typer.Option(
            min=1,
            metavar="BP",
            help="Variants in the same stretch of BP bases share a window centred on the middle "
            "of the stretch, which is faster. By default every position has a window of its own.",
        ),
    ] = 1,
    regions: Annotated[
        Path | None,
        typer.Option(
            metavar="BED",
            help="Score each variant in the nearest window around these intervals, such as "
            "peaks, with their strands; variants outside of them are not scored.",
        ),
    ] = None,
    phased: Annotated[
        bool,
        typer.Option(
            "--phased",
            help="Score the haplotypes of phased genotypes (GT with |) too, into a table beside "
            "OUT, OUT.haplotypes.tsv. Variants share windows by --regions or --share, or else by "
            "stretches of half a window.",
        ),
    ] = False,
    outputs: o.Outputs = None,
    alphabet: o.Alphabet = "dna",
    ambiguous: Annotated[
        o.AmbiguousChoice,
        typer.Option(help="Windows with letters such as N: an error, zeros, or not scored."),
    ] = o.AmbiguousChoice.skip,
    pad: o.PadOption = o.Pad.skip,
    contigs: o.ContigsOption = o.Contigs.exact,
    not_finite: o.NotFiniteOption = o.NotFinite.error,
    strict: o.Strict = False,
    batch: Annotated[int, typer.Option(min=1, help="Windows that are scored together.")] = WINDOWS,
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
    unsafe: o.Unsafe = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")] = False,
) -> None:
    """Effects of the variants of a VCF file on every output of a model.

    A variant is placed by its shortest, leftmost spelling, however the file writes it: the
    position of that is in the middle of the window (index L // 2). Substitutions of any width are
    followed through the model (method fast). Insertions and deletions run through the whole
    model (method naive), or, where several that shift the rest by the same number of letters share
    a window, as splices of two sequences (method splice): what is left of them stays in place, the
    right end is filled up from the genome or cut. What cannot be scored, such as a REF that the
    genome does not have there, says why in its status.

    With --phased, variants that a copy of a chromosome carries in one window are scored together
    too, beside the sum of their single effects.
    """
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    if sorted(letters) != sorted(DNA):
        raise refuse(f"--alphabet {alphabet}: variants need the letters A, C, G, T in some order.")
    if regions is not None and share != 1:
        raise refuse("--share and --regions are two ways to share windows: give one of them.")
    given = ModelOptions(unsafe, seqlen, input_shape, backend, device, memory, naive, precision)
    if strict and not_finite is o.NotFinite.skip:
        raise refuse("--strict ends at what --not-finite skip leaves out: give one of them.")
    renamed = contigs is o.Contigs.rename
    files = Files(vcf, genome, regions, output, pad is o.Pad.n, renamed, phased)
    files.check(force)
    begin = time.monotonic()
    try:
        with interrupts() as signals:
            total = files.count()
            opened = open_model(
                model, given, not_finite=not_finite is not o.NotFinite.error, quiet=quiet
            )
            if phased and regions is None and share == 1:
                share = max(opened.ism.seqlen // 2, 1)
                note(f"--phased: variants in the same {share} bases share a window", quiet)
            place = _place(files, share, opened.ism.seqlen, quiet)
            counts = _run(
                files,
                opened,
                place,
                Wanted(outputs, letters, ambiguous.value, batch, not_finite.value, strict),
                (total, 0, quiet),
                signals,
            )
    except KeyboardInterrupt:
        raise Failure(Exit.INTERRUPTED, "nothing was written.") from None
    _warn(counts, genome, quiet)
    said = ", ".join(f"{count} {status}" for status, count in counts.most_common())
    spent = duration(time.monotonic() - begin)
    typer.echo(f"{total} variants read{said and ': ' + said}, in {spent}: {output}")


def _place(
    files: Files, share: int, length: int, quiet: bool
) -> Callable[[Variant], GenomeWindow | None]:
    """The rule that gives every variant its window."""
    if files.regions is None:
        with stage(Exit.USAGE):
            return Around(length, share)
    with stage(Exit.INPUT):
        if is_narrow_peak(files.regions):
            note(f"{files.regions.name} is read as narrowPeak: regions are around summits", quiet)
        found: list[Region] = []
        skipped: list[Skipped] = []
        for each in read_bed(
            files.regions, files.genome, length, pad=files.pad, rename=files.rename
        ):
            (found if isinstance(each, Region) else skipped).append(each)
        if skipped:
            note(
                f"{len(skipped)} regions are left out; the first, {skipped[0].name}: "
                f"{skipped[0].reason}",
                quiet,
            )
        return Within(found, length)


@dataclass(frozen=True)
class Wanted:
    """What is to be scored in which way, as the user wrote it."""

    outputs: str | None
    letters: str
    ambiguous: str
    batch: int
    not_finite: str
    strict: bool


def _run(
    files: Files,
    opened: Opened,
    place: Callable[[Variant], GenomeWindow | None],
    wanted: Wanted,
    shown: tuple[int, int, bool],
    signals: Interrupts,
) -> Counter[str]:
    """Score all variants into the output; how many there are of each status."""
    ism = opened.ism
    if ism.num_chars != len(DNA):
        raise refuse(f"variants need a model of A, C, G, T; this one takes {ism.num_chars}.")
    with stage(Exit.MODEL):
        shapes = ism.output_shapes
    names = opened.output_names
    kept = parsed("--outputs", lambda text: o.read_outputs(text, shapes, names), wanted.outputs)
    labels = value_labels(names, shapes, kept)
    counts: Counter[str] = Counter()

    def counted(effects: Iterator[Effect], advance: Callable[[int], None]) -> Iterator[Effect]:
        for effect in effects:
            counts[effect.status.value] += 1
            if wanted.strict and effect.status is not Status.SCORED:
                raise Failure(Exit.INPUT, f"{_said(effect, genome)} --strict ends here.")
            if effect.status is not Status.SCORED:
                first.setdefault(effect.status, effect)
            yield effect
            signals.check()
            if counts.total() % STEP == 0:
                advance(STEP)
        said = [_said(effect, genome) for effect in first.values()]
        if said and not counts[Status.SCORED.value]:
            raise Failure(
                Exit.INPUT,
                f"None of the {counts.total()} variants can be scored. {' '.join(said)}",
            )
        if rest := counts.total() % STEP:
            advance(rest)
        for line in said:
            note(f"not scored, for example: {line}", shown[2])

    first: dict[Status, Effect] = {}
    with stage(Exit.INPUT):
        genome = Genome(files.genome, rename=files.rename)
    with genome, progress(*shown, "variants") as advance:
        located = locate(
            read_vcf(files.vcf), genome, place, ism.seqlen, wanted.ambiguous, files.pad
        )
        effects = run_located(
            ism,
            staged(Exit.INPUT, located),
            wanted.letters,
            kept,
            wanted.batch,
            wanted.not_finite,
        )
        about = f"fastism-suite {__version__}, model {opened.loaded.name} {opened.loaded.hash[:12]}"
        given = (ism, genome, place, wanted.letters, kept, files.pad, wanted.not_finite)
        with stage(Exit.OUTPUT), ExitStack() as stack:
            made = staged(Exit.MODEL, effects)
            if files.phased:
                watched = Haplotypes(*given, wanted.batch)
                table = haplotype_table(files.outputs[1], labels)
                tally = Tally(stack.enter_context(table))
                made = staged(Exit.MODEL, watched.watch(made, read_calls(files.vcf), tally))
            write_effects(files.output, counted(made, advance), labels, files.vcf, about)
        if files.phased:
            note(tally.said(watched.unphased), shown[2])
    return counts


def _said(effect: Effect, genome: Genome) -> str:
    """Why a variant was not scored, for people."""
    variant, status = effect.variant, effect.status
    reason = variant.problem or status.meaning
    if status is Status.UNKNOWN_CHROMOSOME:
        reason = genome.missing(genome.name_of(variant.chrom), 0, 0)
    elif status is Status.OFF_CHROMOSOME:
        size = genome.sizes[genome.name_of(variant.chrom)]
        reason = f"position {variant.pos0 + 1} is not on {variant.chrom}, which has {size} bases"
    return f"line {variant.line}: {status.value} ({readable(reason)})."


def _warn(counts: Counter[str], genome: Path, quiet: bool) -> None:
    """Say what looks like the wrong genome."""
    wrong = counts[Status.REFERENCE_MISMATCH.value] + counts[Status.UNKNOWN_CHROMOSOME.value]
    if wrong > counts[Status.SCORED.value]:
        note(
            f"{wrong} variants do not fit {genome.name}: is it the genome, and the release of it, "
            "that the VCF refers to?",
            quiet,
        )

"""`fastism variants`: effects of the variants of a VCF file.

Requirements: typer, pyfaidx; biopython for genomes and VCF compressed by bgzip; the framework of
the model.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Annotated

import typer

from fastism.batch.effect_files import VCFS
from fastism.batch.haplotype_files import told
from fastism.cli import options as o
from fastism.cli.effect_destination import EffectDestination
from fastism.cli.exit_codes import Exit, Failure, parsed, refuse, stage
from fastism.cli.interrupts import interrupts
from fastism.cli.opened import ModelOptions, open_model
from fastism.cli.progress import duration, note
from fastism.cli.skipped import check_strict
from fastism.cli.variant_run import VariantRequest, VariantRun, fill, planned
from fastism.cli.variant_survey import Tally
from fastism.files.text import check_readable
from fastism.genomics.bed import is_narrow_peak, read_bed
from fastism.genomics.genome import Genome
from fastism.genomics.locate import Around, GenomeWindow, Status, Within
from fastism.genomics.phased import read_calls
from fastism.genomics.regions import Region, Skipped
from fastism.genomics.variants import WINDOWS
from fastism.genomics.vcf import Variant, annotated, read_vcf
from fastism.sequences import DNA
from fastism.store.effects import EffectWriter


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

    def check(self) -> None:
        """End the command if one is missing."""
        with stage(Exit.INPUT):
            check_readable(self.vcf, "a VCF file")
            check_readable(self.genome, "a genome in a FASTA file")
            if self.regions is not None:
                check_readable(self.regions, "a BED file")

    def check_lines(self) -> None:
        """Read all lines of the VCF file: mistakes show before a model is loaded."""
        with stage(Exit.INPUT):
            if self.output.name.lower().endswith(VCFS):
                for _ in annotated(self.vcf, [], repeat("")):
                    pass
            if self.phased:
                for _ in read_calls(self.vcf):
                    pass
            for _ in read_vcf(self.vcf):
                pass

    def opened(self) -> Genome:
        """The genome, to be closed."""
        with stage(Exit.INPUT):
            return Genome(self.genome, rename=self.rename)


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
            "(.vcf, .vcf.gz). Of a shard: .effects, which `fastism export` joins.",
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
    """Effects of the variants of a VCF file on every output of a model.

    A variant is placed by its shortest, leftmost spelling, however the file writes it: the
    position of that is in the middle of the window (index L // 2). Substitutions of any width are
    followed through the model (method fast). Insertions and deletions run through the whole
    model (method naive), or, where several that shift the rest by the same number of letters share
    a window, as splices of two sequences (method splice): what is left of them on the genome stays
    in place, and the window is filled up from the genome, or cut, at its right end on the genome,
    also where --regions has it on the minus strand. What cannot be scored, such as a REF that the
    genome does not have there, says why in its status.

    With --phased, variants that a copy of a chromosome carries in one window are scored together
    too, beside the sum of their single effects.

    The output appears when it is complete. Until then OUT.partial holds what is finished:
    after an interruption (exit code 130) the same command with --resume goes on from there.
    """
    letters = parsed("--alphabet", o.read_alphabet, alphabet)
    if sorted(letters) != sorted(DNA):
        raise refuse(f"--alphabet {alphabet}: variants need the letters A, C, G, T in some order.")
    if regions is not None and share != 1:
        raise refuse("--share and --regions are two ways to share windows: give one of them.")
    given = ModelOptions(
        unsafe, seqlen, input_shape, channels_last, backend, device, memory, naive, precision
    )
    check_strict(strict, not_finite)
    renamed = contigs is o.Contigs.rename
    part = parsed("--shard", o.read_shard, shard)
    destination = EffectDestination(output, part, vcf, phased=phased, force=force, resume=resume)
    files = Files(vcf, genome, regions, output, pad is o.Pad.n, renamed, phased)
    files.check()
    policies = (pad is o.Pad.n, renamed, not_finite.value, strict, batch, part, given)
    begin = time.monotonic()
    try:
        with interrupts() as signals, files.opened() as letters_of:
            files.check_lines()
            opened = open_model(
                model, given, not_finite=not_finite is not o.NotFinite.error, quiet=quiet
            )
            if phased and regions is None and share == 1:
                share = max(opened.ism.seqlen // 2, 1)
                note(f"--phased: variants in the same {share} bases share a window", quiet)
            place = _place(files, share, opened.ism.seqlen, quiet)
            wanted = (outputs, letters, ambiguous.value)
            request = VariantRequest(vcf, genome, regions, share, phased, *wanted, *policies)
            run = planned(request, opened, letters_of, place)
            if destination.finished:
                typer.echo(
                    f"{output} is finished already; {destination.check_finished(run.header)}"
                )
                return
            with destination.filling(run.header) as writer:
                fill(run, writer, signals, quiet)
                tally = _told(run, writer, quiet)
                written = destination.finish()
    except KeyboardInterrupt:
        raise Failure(Exit.INTERRUPTED, destination.left()) from None
    _warn(tally.counts, genome, quiet)
    said = ", ".join(f"{count} {status}" for status, count in tally.counts.most_common())
    spent = duration(time.monotonic() - begin)
    names = ", ".join(str(path) for path in written)
    typer.echo(f"{run.header.expected} variants read{said and ': ' + said}, in {spent}: {names}")


def _told(run: VariantRun, writer: EffectWriter, quiet: bool) -> Tally:
    """Say what was not scored and what came of haplotypes; how many there are of each status."""
    with stage(Exit.OUTPUT), writer.opened() as held:
        tally = Tally(held.effects())
        if run.request.phased:
            note(told(held.haplotypes(), held.unphased), quiet)
    if run.request.shard == (1, 1):
        try:
            tally.check(run.genome)
        except Failure:
            # Going on would come to the same.
            writer.discard()
            raise
    for line in tally.examples(run.genome):
        note(f"not scored, for example: {line}", quiet)
    return tally


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


def _warn(counts: Counter[str], genome: Path, quiet: bool) -> None:
    """Say what looks like the wrong genome."""
    wrong = counts[Status.REFERENCE_MISMATCH.value] + counts[Status.UNKNOWN_CHROMOSOME.value]
    if wrong > counts[Status.SCORED.value]:
        note(
            f"{wrong} variants do not fit {genome.name}: is it the genome, and the release of it, "
            "that the VCF refers to?",
            quiet,
        )

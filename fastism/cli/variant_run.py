"""What `fastism variants` is to do, checked against model, VCF and genome, and doing it.

Requirements: typer, pyfaidx; the framework of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import accumulate, chain, islice
from pathlib import Path

from fastism.batch.haplotype_files import haplotype_row
from fastism.cli.exit_codes import Exit, refuse, stage, staged
from fastism.cli.inputs import described
from fastism.cli.interrupts import Interrupts
from fastism.cli.opened import ModelOptions, Opened
from fastism.cli.progress import note, progress
from fastism.cli.variant_survey import Survey
from fastism.cli.wanted import Wanted, command_line, wanted
from fastism.genomics.genome import Genome
from fastism.genomics.haplotypes import Haplotype, Haplotypes, window_of
from fastism.genomics.locate import Effect, GenomeWindow, Located, locate
from fastism.genomics.phased import read_calls
from fastism.genomics.variants import VariantRunner, batched, value_labels
from fastism.genomics.vcf import Variant, read_vcf
from fastism.loading.model_files import hash_files
from fastism.sequences import DNA
from fastism.store.effects import EffectHeader, EffectWriter

Place = Callable[[Variant], GenomeWindow | None]


@dataclass(frozen=True)
class VariantRequest:
    """What is to be scored in which way, as the user wrote it."""

    vcf: Path
    genome: Path
    regions: Path | None
    share: int
    phased: bool
    outputs: str | None
    letters: str
    ambiguous: str
    pad: bool
    rename: bool
    not_finite: str
    strict: bool
    batch: int
    shard: tuple[int, int]
    model: ModelOptions

    def command(self, model: str) -> str:
        """The command with nothing but what determines the content of the output."""
        options = {
            "--genome": self.genome.name,
            "--regions": self.regions and self.regions.name,
            "--share": self.share if self.share != 1 else None,
            "--outputs": self.outputs,
            "--alphabet": self.letters,
            "--ambiguous": self.ambiguous,
            **self.model.described,
            **described(self.pad, self.rename),
            "--not-finite": self.not_finite if self.not_finite != "error" else None,
            "--batch": self.batch,
        }
        words = ["variants", model, self.vcf.name]
        return command_line(words, options, self.model, ["--phased"] * self.phased)


@dataclass(frozen=True)
class VariantRun:
    """What is to be done, checked against model and input.

    Parameters
    ----------
    request : VariantRequest
    opened : Opened
    genome : Genome
    place : callable
        Gives every variant its window.
    kept : Wanted
    header : EffectHeader
    first : int
        Variant at which the shard begins.
    sizes : list of int
        Variants of every batch of the shard.
    """

    request: VariantRequest
    opened: Opened
    genome: Genome
    place: Place
    kept: Wanted
    header: EffectHeader
    first: int
    sizes: list[int]

    def located(self, done: int) -> Iterator[Located]:
        """The variants of the shard in their windows, behind those that are done."""
        every = _located(self.request, self.genome, self.place, self.opened.ism.seqlen)
        return islice(every, self.first + done, self.first + self.header.expected)

    def haplotypes(self, done: int) -> Haplotypes:
        """What collects haplotypes; those of so many windows are there already."""
        request, ism = self.request, self.opened.ism
        how = (request.pad, request.not_finite, request.batch)
        given = (ism, self.genome, self.place, request.letters, self.kept.outputs, *how)
        return Haplotypes(*given, done=done)


def _located(
    request: VariantRequest, genome: Genome, place: Place, length: int
) -> Iterator[Located]:
    found = locate(read_vcf(request.vcf), genome, place, length, request.ambiguous, request.pad)
    return staged(Exit.INPUT, found)


def planned(request: VariantRequest, opened: Opened, genome: Genome, place: Place) -> VariantRun:
    """Check what was asked for against the model, and all variants: mistakes show before the work.

    Raises
    ------
    Failure
        If something does not fit, or nothing can be scored.
    """
    ism = opened.ism
    if ism.num_chars != len(DNA):
        raise refuse(f"variants need a model of A, C, G, T; this one takes {ism.num_chars}.")
    kept = wanted(opened, request.letters, request.outputs, None)
    found = Survey()

    def together(effect: Effect) -> GenomeWindow | None:
        return window_of(effect, genome, place) if request.phased else None

    for batch in batched(_located(request, genome, place, ism.seqlen), request.batch):
        found.add(batch, together)
    found.tally.check(genome)
    if request.strict:
        found.tally.check_all(genome, request.vcf)
    numbers = found.batches(request.shard)
    ends = [0, *accumulate(found.sizes)]
    with stage(Exit.INPUT):
        digest = hash_files(request.vcf)
    header = EffectHeader(
        labels=tuple(value_labels(opened.output_names, ism.output_shapes, kept.outputs)),
        expected=ends[numbers.stop] - ends[numbers.start],
        model=opened.loaded.name,
        model_hash=opened.loaded.hash,
        input=request.vcf.name,
        input_hash=digest,
        windows_hash=found.hash,
        command=request.command(opened.loaded.name),
        versions=opened.versions(),
        phased=request.phased,
        shard=request.shard,
    )
    sizes = found.sizes[numbers.start : numbers.stop]
    return VariantRun(request, opened, genome, place, kept, header, ends[numbers.start], sizes)


def fill(run: VariantRun, writer: EffectWriter, signals: Interrupts, quiet: bool) -> None:
    """Score what the journal does not hold yet, and say that it is complete."""
    if writer.complete_already:
        return
    done, expected = writer.consumed, run.header.expected
    if done:
        note(f"going on after {done} of {expected} variants", quiet)
    batches = _Batches(run, writer)
    with progress(expected, done, quiet, "variants") as advance:
        for before, size in zip(accumulate(run.sizes, initial=0), run.sizes, strict=False):
            if before < done:
                continue
            batches.append(size)
            advance(size)
            signals.check()
        batches.complete()


class _Batches:
    """Effects on their way into the journal, and the haplotypes that they are of."""

    def __init__(self, run: VariantRun, writer: EffectWriter) -> None:
        request = run.request
        self._writer, self._rows = writer, []
        with stage(Exit.MODEL):
            runner = VariantRunner(
                run.opened.ism, request.letters, run.kept.outputs, request.not_finite
            )
        made = batched(run.located(writer.consumed), request.batch)
        fresh = staged(Exit.MODEL, (effect for batch in made for effect in runner.run(batch)))
        self._effects: Iterator[Effect] = fresh
        self._haplotypes: Haplotypes | None = None
        if request.phased:
            with stage(Exit.OUTPUT):
                held = writer.opened()
            self._haplotypes = run.haplotypes(held.closed)
            values = len(run.header.labels)

            def found(haplotype: Haplotype) -> None:
                self._rows.append(haplotype_row(haplotype, values))

            every = chain(held.effects(), fresh)
            watched = self._haplotypes.watch(every, read_calls(request.vcf), found)
            self._effects = staged(Exit.MODEL, watched)
            # What an earlier run scored is watched again, so that open windows are known.
            for _ in islice(self._effects, writer.consumed):
                pass

    def append(self, size: int) -> None:
        """Score a batch and see it onto the disk."""
        effects = list(islice(self._effects, size))
        with stage(Exit.OUTPUT):
            self._writer.append(effects, self._rows, *self._state())
        self._rows.clear()

    def complete(self) -> None:
        """Finish the windows that are open still."""
        for _ in self._effects:
            pass
        with stage(Exit.OUTPUT):
            self._writer.complete(self._rows, *self._state())

    def _state(self) -> tuple[int, int]:
        own = self._haplotypes
        return (0, 0) if own is None else (own.closed, own.unphased)

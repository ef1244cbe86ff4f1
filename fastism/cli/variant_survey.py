"""What a first reading of the variants of a VCF finds, and what became of them in the end.

Requirements: none besides those of `fastism.genomics`.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from fastism.batch.scoring import shard_rows
from fastism.cli.exit_codes import Exit, Failure
from fastism.cli.inputs import NAMED, refuse_left_out
from fastism.files.text import readable
from fastism.genomics.genome import Genome
from fastism.genomics.locate import Effect, GenomeWindow, Status
from fastism.genomics.variants import VariantBatch


class Survey:
    """What a first reading of all variants finds, before any is scored.

    Attributes
    ----------
    sizes : list of int
        Variants of every batch.
    hash : str
        SHA-256 (hexadecimal) of what every variant changes in which window.
    tally : Tally
    """

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.tally = Tally()
        self._digest = hashlib.sha256()
        #: First and last batch of everything that may not be torn apart.
        self._spans: dict[GenomeWindow | int, tuple[int, int]] = {}

    def add(self, batch: VariantBatch, together: Callable[[Effect], GenomeWindow | None]) -> None:
        """Take a batch; `together` gives the window whose variants stay in one shard."""
        number = len(self.sizes)
        self.sizes.append(len(batch.effects))
        for row, effect in enumerate(batch.effects):
            self.tally.add(effect)
            self._digest.update(
                repr((effect, batch.perturbations.get(row))).encode("utf-8", "replace")
            )
            window = together(effect)
            if window is not None:
                for whole in (window, effect.variant.line):
                    self._spans[whole] = self._spans.get(whole, (number, number))[0], number

    @property
    def hash(self) -> str:
        """See above."""
        return self._digest.hexdigest()

    def batches(self, shard: tuple[int, int]) -> range:
        """Numbers of the batches of a shard: whole ones, every one in exactly one shard."""
        torn = {b for first, last in self._spans.values() for b in range(first + 1, last + 1)}
        starts = [b for b in range(len(self.sizes)) if b not in torn]
        ends = [*starts, len(self.sizes)]
        groups = shard_rows(len(starts), 1, shard)
        return range(ends[groups.start], ends[groups.stop])


class Tally:
    """How many variants there are of each status, and which ones were not scored.

    Attributes
    ----------
    counts : Counter
        By status.
    first : dict of Status to Effect
        The first of each status that was not scored.
    unscored : list of Effect
        The first that were not scored, whatever their status.
    """

    def __init__(self, effects: Iterable[Effect] = ()) -> None:
        self.counts: Counter[str] = Counter()
        self.first: dict[Status, Effect] = {}
        self.unscored: list[Effect] = []
        for effect in effects:
            self.add(effect)

    def add(self, effect: Effect) -> None:
        """Count a variant."""
        self.counts[effect.status.value] += 1
        if effect.status is not Status.SCORED:
            self.first.setdefault(effect.status, effect)
            self.unscored += [effect] * (len(self.unscored) < NAMED)

    def examples(self, genome: Genome) -> list[str]:
        """Why variants were not scored, for people; one of each status."""
        return [f"{_said(effect, genome)}." for effect in self.first.values()]

    def check(self, genome: Genome) -> None:
        """End the command if nothing can be scored."""
        if self.first and not self.counts[Status.SCORED.value]:
            raise Failure(
                Exit.INPUT,
                f"None of the {self.counts.total()} variants can be scored. "
                + " ".join(self.examples(genome)),
            )

    def check_all(self, genome: Genome, file: Path) -> None:
        """End the command if something cannot be scored."""
        total = self.counts.total()
        named = [_said(effect, genome) for effect in self.unscored]
        left_out = total - self.counts[Status.SCORED.value]
        refuse_left_out(named, left_out, f"{total} variants of {file}")


def _said(effect: Effect, genome: Genome) -> str:
    """Why a variant was not scored, for people."""
    variant, status = effect.variant, effect.status
    reason = variant.problem or status.meaning
    if status is Status.UNKNOWN_CHROMOSOME:
        reason = genome.missing(genome.name_of(variant.chrom), 0, 0)
    elif status is Status.OFF_CHROMOSOME:
        size = genome.sizes[genome.name_of(variant.chrom)]
        reason = f"position {variant.pos0 + 1} is not on {variant.chrom}, which has {size} bases"
    return f"line {variant.line}: {status.value} ({readable(reason)})"

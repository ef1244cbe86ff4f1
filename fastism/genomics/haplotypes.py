"""Joint effects of variants that one copy of a chromosome carries, beside the sum of single ones.

Requirements: numpy, pyfaidx (through `fastism.genomics.genome`).

Variants are on one haplotype if they share a window, and the genotypes of a sample put them on the
same copy. A haplotype is scored in that window: substitutions as edits of one mutant
(`fastism.edits`), and with insertions or deletions as a sequence of its own, which is anchored at
the left of the window and filled up from the genome at its right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from fastism.base_ism import BaseISM
from fastism.errors import FastISMError
from fastism.genomics.genome import Genome, reverse_complement
from fastism.genomics.locate import Effect, GenomeWindow, Status
from fastism.genomics.phased import Calls, Copy
from fastism.genomics.spelling import shortest
from fastism.genomics.variants import NAIVE_BATCH, NotFinite, side_by_side
from fastism.genomics.vcf import Variant
from fastism.ism import FastISM
from fastism.naive_ism import NaiveISM
from fastism.sequences import one_hot

#: A difference is rounding up to these parts of the largest output and of the largest effect.
OF_OUTPUT, OF_EFFECT = 1e-5, 1e-3
#: Not scored, and without any bearing on what other variants of the copy do.
_HARMLESS = (Status.OVERLAPPING, Status.MISSING)
_NOT_SCORED = "variant_not_scored"
_OVERLAP = "overlapping_variants"
_OFF = Status.WINDOW_OFF_CHROMOSOME.value


@dataclass(frozen=True)
class Haplotype:
    """Several variants on one copy of a chromosome, and what they do together.

    Attributes
    ----------
    window : GenomeWindow
    name : str
        ``H1``, ``H2``, ... in the order in which they occur in a window.
    variants : tuple of Variant
        As in the file.
    copies : tuple of Copy
        All that carry exactly these variants in this window.
    status : str
        ``scored``, or why not: a value of `Status`, ``overlapping_variants`` or
        ``variant_not_scored``.
    method : {"fast", "naive", ""}
    joint, summed : ndarray, shape (values,), or None
        Effect of all variants together, and the sum of their single effects in the same window.
    additive : bool or None
        Whether the two differ by no more than rounding.
    """

    window: GenomeWindow
    name: str
    variants: tuple[Variant, ...]
    copies: tuple[Copy, ...]
    status: str
    method: str = ""
    joint: np.ndarray | None = None
    summed: np.ndarray | None = None
    additive: bool | None = None


@dataclass
class _Window:
    """Variants of one window and the copies that carry them."""

    effects: list[Effect] = field(default_factory=list)
    carried: dict[tuple[Copy, str], list[int]] = field(default_factory=dict)
    #: Of genotypes whose copies are all alike: on whatever haplotypes a copy has.
    everywhere: dict[Copy, list[int]] = field(default_factory=dict)

    def haplotypes(self) -> dict[tuple[int, ...], list[Copy]]:
        """Sets of two variants or more, and the copies that carry them."""
        found: dict[tuple[int, ...], dict[Copy, None]] = {}
        phased = {copy for copy, _ in self.carried}
        alone = {(copy, ""): [] for copy in self.everywhere if copy not in phased}
        for (copy, _), members in (self.carried | alone).items():
            every = tuple(sorted({*members, *self.everywhere.get(copy, ())}))
            if len(every) > 1:
                found.setdefault(every, {})[copy] = None
        return {members: list(copies) for members, copies in found.items()}


@dataclass
class Haplotypes:
    """Collects the effects of variants by window, and scores the haplotypes of each.

    Parameters
    ----------
    ism : FastISM or NaiveISM
    genome : Genome
    place : callable
        As for `fastism.genomics.variants.score_variants`.
    alphabet : str
    outputs : optional
    pad : bool
    not_finite : {"error", "skip", "keep"}
    windows : int
        How many windows are open at a time: variants of one window must lie that near to each other
        in the file.
    done : int
        Windows whose haplotypes are known from an earlier run: they are not scored again.

    Attributes
    ----------
    unphased : int
        Genotypes that were left out, since they do not say which copy carries what.
    """

    ism: BaseISM
    genome: Genome
    place: Callable[[Variant], GenomeWindow | None]
    alphabet: str
    outputs: Any
    pad: bool
    not_finite: NotFinite
    windows: int
    done: int = 0
    unphased: int = 0

    def __post_init__(self) -> None:
        self._open: dict[GenomeWindow, _Window] = {}
        self._closed: set[GenomeWindow] = set()
        self._fast = not isinstance(self.ism, NaiveISM)
        self._naive = self.ism.naive() if isinstance(self.ism, FastISM) else self.ism

    def watch(
        self,
        effects: Iterable[Effect],
        calls: Iterable[Calls],
        found: Callable[[Haplotype], None],
    ) -> Iterator[Effect]:
        """Pass effects on as they come, and hand the haplotypes of finished windows to `found`.

        Parameters
        ----------
        effects : iterable of Effect
            Of all alternatives of a file, in its order.
        calls : iterable of Calls
            Of all its records.
        found : callable
        """
        records = iter(calls)
        for line, group in groupby(effects, key=attrgetter("variant.line")):
            call = next(record for record in records if record.line == line)
            self.unphased += call.unphased
            for number, effect in enumerate(group, start=1):
                self._add(effect, [c for c in call.carried if c[2] == number])
                yield effect
            while len(self._open) > self.windows:
                self._finish(next(iter(self._open)), found)
        for window in list(self._open):
            self._finish(window, found)

    @property
    def closed(self) -> int:
        """Windows that were finished."""
        return len(self._closed)

    def _add(self, effect: Effect, carriers: Sequence[tuple[Copy, str | None, int]]) -> None:
        window = window_of(effect, self.genome, self.place)
        if window is None or not carriers or effect.status in _HARMLESS:
            return
        if window in self._closed:
            raise FastISMError(
                f"Line {effect.variant.line} lies in a window whose haplotypes are scored already: "
                f"{window.chrom}:{window.start}-{window.end}. Sort the VCF by position for "
                "--phased."
            )
        own = self._open.setdefault(window, _Window())
        number = len(own.effects)
        own.effects.append(effect)
        for copy, phase, _ in carriers:
            if phase is None:
                own.everywhere.setdefault(copy, []).append(number)
            else:
                own.carried.setdefault((copy, phase), []).append(number)

    # ---- scoring ------------------------------------------------------------------------

    def _finish(self, window: GenomeWindow, found: Callable[[Haplotype], None]) -> None:
        """Score the haplotypes of a window."""
        own = self._open.pop(window)
        self._closed.add(window)
        if self.closed <= self.done:
            return
        made: list[Haplotype] = []
        edits: dict[int, list[Variant]] = {}
        largest: dict[int, float] = {}
        for number, (members, copies) in enumerate(own.haplotypes().items()):
            effects = [own.effects[i] for i in members]
            status, spelled = self._status(effects, window)
            variants = tuple(effect.variant for effect in effects)
            made.append(Haplotype(window, f"H{number + 1}", variants, tuple(copies), status))
            if status == Status.SCORED.value:
                single = np.stack([effect.effect for effect in effects])
                made[-1] = replace(made[-1], summed=single.sum(0))
                edits[number], largest[number] = spelled, float(np.abs(single).max())
        for number, values in self._scored(window, edits).items():
            made[number] = self._settled(made[number], largest[number], *values)
        for haplotype in made:
            found(haplotype)

    def _status(self, effects: Sequence[Effect], window: GenomeWindow) -> tuple[str, list[Variant]]:
        """Whether variants can stand together, and their shortest spellings by position."""
        if any(effect.status is not Status.SCORED for effect in effects):
            return _NOT_SCORED, []
        names = (replace(e.variant, chrom=window.chrom) for e in effects)
        spelled = sorted((shortest(v, self.genome) for v in names), key=attrgetter("pos0"))
        end = -1
        for variant in spelled:
            if variant.pos0 < end:
                return _OVERLAP, []
            end = variant.pos0 + len(variant.ref)
        return Status.SCORED.value, spelled

    def _scored(
        self, window: GenomeWindow, edits: dict[int, list[Variant]]
    ) -> dict[int, tuple[str, np.ndarray | None, np.ndarray | None]]:
        """Method, reference and joint effect of haplotypes; None for those beyond the genome."""
        if not edits:
            return {}
        fetch = self.genome.fetch(window.chrom, window.start, window.end, pad=self.pad)
        before = reverse_complement(fetch) if window.strand == "-" else fetch
        x = one_hot([before], self.alphabet, "zero")
        quick = [i for i, vs in edits.items() if self._fast and _substitutions(vs)]
        values: dict[int, tuple[str, np.ndarray | None, np.ndarray | None]] = {}
        if quick:
            places = [self._edits(window, edits[i]) for i in quick]
            starts, news = ([each[side] for each in places] for side in (0, 1))
            values |= zip(quick, self._run(self.ism, "fast", x, starts, news), strict=True)
        again = [i for i, (_, *made) in values.items() if not np.isfinite(made).all()]
        slow = [*again, *(i for i in edits if i not in values)]
        letters = {i: self._sequence(window, edits[i]) for i in slow}
        values |= dict.fromkeys((i for i in slow if letters[i] is None), ("", None, None))
        slow = [i for i in slow if letters[i] is not None]
        if slow:
            news = [[one_hot([letters[i]], self.alphabet, "zero")[0]] for i in slow]
            if self._fast:
                # Few shapes, as a framework may compile the model for each.
                self._naive.batch_size = min(1 << (len(slow) - 1).bit_length(), NAIVE_BATCH)
            made = self._run(self._naive, "naive", x, [[0]] * len(slow), news)
            values |= zip(slow, made, strict=True)
        return values

    def _run(
        self, ism: BaseISM, method: str, x: np.ndarray, starts: list[list[int]], news: list
    ) -> list[tuple[str, np.ndarray, np.ndarray]]:
        sequence = np.zeros(len(starts), np.int64)
        with np.errstate(invalid="ignore", over="ignore"):
            made = ism.perturb_by_position(x, sequence, starts, news, self.outputs)
            reference, change = side_by_side(made.reference), side_by_side(made.delta())
        return [(method, reference[0], row) for row in change]

    def _edits(
        self, window: GenomeWindow, variants: Sequence[Variant]
    ) -> tuple[list[int], list[np.ndarray]]:
        """Starts and replacements in the model's orientation."""
        starts, news = [], []
        for variant in variants:
            start, letters = variant.pos0 - window.start, variant.alt
            if window.strand == "-":
                start = self.ism.seqlen - start - len(letters)
                letters = reverse_complement(letters)
            starts.append(start)
            news.append(one_hot([letters], self.alphabet, "zero")[0])
        return starts, news

    def _sequence(self, window: GenomeWindow, variants: Sequence[Variant]) -> str | None:
        """The letters of a haplotype; None where the genome ends before the window does."""
        made, place = "", window.start
        for variant in variants:
            made += self._letters(window.chrom, place, variant.pos0) or ""
            made, place = made + variant.alt, variant.pos0 + len(variant.ref)
        rest = self._letters(window.chrom, place, place + max(self.ism.seqlen - len(made), 0))
        if rest is None:
            return None
        made = (made + rest)[: self.ism.seqlen]
        return reverse_complement(made) if window.strand == "-" else made

    def _letters(self, chrom: str, start: int, end: int) -> str | None:
        if not self.pad and self.genome.missing(chrom, start, end):
            return None
        return self.genome.fetch(chrom, start, end, pad=self.pad)

    def _settled(
        self,
        haplotype: Haplotype,
        largest: float,
        method: str,
        reference: np.ndarray | None,
        joint: np.ndarray | None,
    ) -> Haplotype:
        """A haplotype with its joint effect, or why it has none.

        `largest` is the largest effect of one of its variants alone.
        """
        if joint is None:
            return replace(haplotype, status=_OFF, summed=None)
        if self.not_finite != "keep" and not np.isfinite(joint).all():
            if self.not_finite == "error":
                lines = ", ".join(str(variant.line) for variant in haplotype.variants)
                raise FastISMError(
                    "The model's output is not finite (NaN or infinite) for the haplotype of the "
                    f"variants in lines {lines}. --not-finite skip gives such ones a status."
                )
            return replace(haplotype, status=Status.NOT_FINITE.value, summed=None)
        with np.errstate(invalid="ignore"):
            effects = max(largest, np.abs(joint).max())
            rounding = OF_OUTPUT * np.abs(reference).max() + OF_EFFECT * effects
            additive = bool((np.abs(joint - haplotype.summed) <= rounding).all())
        return replace(haplotype, method=method, joint=joint, additive=additive)


def window_of(
    effect: Effect, genome: Genome, place: Callable[[Variant], GenomeWindow | None]
) -> GenomeWindow | None:
    """The window of a variant; of one that was refused, where it would have been scored."""
    if effect.window is not None:
        return effect.window
    variant = replace(effect.variant, chrom=genome.name_of(effect.variant.chrom))
    known = not variant.problem and variant.chrom in genome.sizes
    return place(variant) if known else None


def _substitutions(variants: Sequence[Variant]) -> bool:
    return all(len(variant.ref) == len(variant.alt) for variant in variants)

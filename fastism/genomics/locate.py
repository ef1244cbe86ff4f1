"""What a variant changes in which window of a genome, or why it cannot be scored.

Requirements: numpy, pyfaidx (through `fastism.genomics.genome`).

The effect of a variant depends on where in the model's input it lies, so its window is a function
of the variant alone, never of the other variants in a file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import NamedTuple

import numpy as np

from fastism.errors import FastISMError
from fastism.genomics.genome import PAD, Genome, reverse_complement, window_start
from fastism.genomics.regions import Region
from fastism.genomics.spelling import shortest
from fastism.genomics.vcf import Variant, VariantKind
from fastism.sequences import DNA, Ambiguous


class Status(StrEnum):
    """Whether a variant was scored, and why not; the meanings go into headers and documents."""

    meaning: str

    def __new__(cls, value: str, meaning: str) -> Status:
        """A word that carries a sentence."""
        member = str.__new__(cls, value)
        member._value_ = value
        member.meaning = meaning
        return member

    SCORED = "scored", "has an effect"
    REFERENCE_MISMATCH = "reference_mismatch", "REF is not what the genome has there"
    UNKNOWN_CHROMOSOME = "unknown_chromosome", "the genome has no such chromosome"
    OFF_CHROMOSOME = "off_chromosome", "the variant lies beyond the end of the chromosome"
    WINDOW_OFF_CHROMOSOME = (
        "window_off_chromosome",
        "the window reaches beyond the chromosome (--pad N takes zeros there)",
    )
    NO_REGION = "no_region", "POS lies in none of the given regions"
    BEYOND_WINDOW = "beyond_window", "the substitution reaches beyond its window"
    AMBIGUOUS_WINDOW = "ambiguous_window", "the window holds letters other than A, C, G, T"
    AMBIGUOUS_ALLELE = "ambiguous_allele", "ALT holds letters other than A, C, G, T"
    SYMBOLIC = "symbolic_allele", "ALT is symbolic, such as <DEL>"
    OVERLAPPING = "overlapping_deletion", "ALT is *"
    MISSING = "no_alternative", "ALT is ."
    BREAKEND = "breakend", "ALT is a breakend"
    BAD_LINE = "bad_line", "the line is no VCF record"
    NOT_FINITE = "not_finite", "an output is NaN or infinite with or without the variant"


_UNSCORED = {
    VariantKind.SYMBOLIC: Status.SYMBOLIC,
    VariantKind.OVERLAPPING: Status.OVERLAPPING,
    VariantKind.MISSING: Status.MISSING,
    VariantKind.BREAKEND: Status.BREAKEND,
    VariantKind.BAD_LINE: Status.BAD_LINE,
}


@dataclass(frozen=True, slots=True)
class GenomeWindow:
    """The stretch of a genome that the model is given.

    Attributes
    ----------
    chrom : str
    start, end : int
        0-based half-open.
    strand : {"+", "-", "."}
        Of ``-`` the model sees the reverse complement.
    """

    chrom: str
    start: int
    end: int
    strand: str = "."


@dataclass(frozen=True)
class Effect:
    """What became of a variant.

    Attributes
    ----------
    variant : Variant
        As the file has it.
    status : Status
    window : GenomeWindow or None
        Where it was scored; None if it did not come to that.
    method : {"fast", "splice", "naive", ""}
        Empty where it was not scored.
    reference, effect : ndarray, shape (values,), or None
        Outputs for the window as it is, and mutant minus reference: the chosen entries of all
        chosen outputs, in the order of `value_labels`. None where it was not scored.
    """

    variant: Variant
    status: Status
    window: GenomeWindow | None = None
    method: str = ""
    reference: np.ndarray | None = None
    effect: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Perturbation:
    """What a variant replaces in the letters of its window, in the model's orientation.

    Attributes
    ----------
    before : str
        Letters of the window as it is, shape (L,).
    start : int
        First letter of the window that changes.
    letters : str
        What stands there instead, without changing the length.
    shift : int
        By how many letters the sequence grows: 0 for a substitution.
    """

    before: str
    start: int
    letters: str
    shift: int

    @property
    def fast(self) -> bool:
        """Whether it is a substitution."""
        return self.shift == 0


class Located(NamedTuple):
    """A variant in its window.

    Attributes
    ----------
    effect : Effect
        Without values yet.
    perturbation : Perturbation or None
        None where `effect` says why it is not scored.
    """

    effect: Effect
    perturbation: Perturbation | None


class Around:
    """Windows around positions: that of the variant lies at index ``length // 2``.

    The position is that of the variant's shortest spelling (`fastism.genomics.spelling`).

    With `share` above one, the positions ``[k * share, (k + 1) * share)`` of a chromosome share
    the window around the middle one, ``k * share + share // 2``, and so one reference pass.

    Parameters
    ----------
    length : int
        Of all windows.
    share : int
        From 1 to `length`.
    """

    def __init__(self, length: int, share: int = 1) -> None:
        if not 1 <= share <= length:
            raise FastISMError(
                f"A stretch of {share} positions cannot share a window of {length}; expected "
                f"1 to {length}."
            )
        self.length, self.share = length, share

    def __call__(self, variant: Variant) -> GenomeWindow:
        """The window of a variant."""
        middle = variant.pos0 // self.share * self.share + self.share // 2
        start = window_start(middle, self.length)
        return GenomeWindow(variant.chrom, start, start + self.length)


class Within:
    """Given windows of one length: of those that hold POS, the one whose middle is nearest.

    Of two that are equally near, the one that starts first, then the one that was given first.

    Parameters
    ----------
    regions : iterable of Region
    length : int
        Of all regions.
    """

    def __init__(self, regions: Iterable[Region], length: int) -> None:
        self.length = length
        self._windows: dict[str, list[GenomeWindow]] = {}
        for region in regions:
            window = GenomeWindow(region.chrom, region.start, region.end, region.strand)
            self._windows.setdefault(region.chrom, []).append(window)
        for windows in self._windows.values():
            windows.sort(key=lambda window: window.start)
        self._starts = {c: [w.start for w in ws] for c, ws in self._windows.items()}

    def __call__(self, variant: Variant) -> GenomeWindow | None:
        """The window of a variant; None if no region holds it."""
        starts = self._starts.get(variant.chrom, [])
        wanted = window_start(variant.pos0, self.length)
        right = bisect_left(starts, wanted)
        near = [right, *([bisect_left(starts, starts[right - 1])] if right else [])]
        found = [i for i in near if i < len(starts) and 0 <= variant.pos0 - starts[i] < self.length]
        if not found:
            return None
        best = min(found, key=lambda i: (abs(starts[i] - wanted), starts[i]))
        return self._windows[variant.chrom][best]


def locate(
    variants: Iterable[Variant],
    genome: Genome,
    place: Callable[[Variant], GenomeWindow | None],
    length: int,
    ambiguous: Ambiguous = "skip",
    pad: bool = False,
) -> Iterator[Located]:
    """What each variant changes in its window, or why it cannot be scored; needs no model.

    Parameters and errors as for `fastism.genomics.variants.score_variants`; `length` is that of the
    model's input.
    """
    if ambiguous not in ("error", "zero", "skip"):
        raise FastISMError(f'ambiguous={ambiguous!r} is not one of "error", "zero", "skip".')
    return map(_Reader(genome, place, length, ambiguous, pad).read, variants)


class _Reader:
    """From variants to perturbations of windows, or to the reason why there is none."""

    def __init__(
        self,
        genome: Genome,
        place: Callable[[Variant], GenomeWindow | None],
        length: int,
        ambiguous: str,
        pad: bool,
    ) -> None:
        self.genome, self.place, self.length, self.ambiguous = genome, place, length, ambiguous
        self.pad = pad
        self._last: tuple[GenomeWindow | None, str] = None, ""

    def read(self, given: Variant) -> Located:
        """The variant in its window: what to run, or why it is not run."""
        variant = replace(given, chrom=self.genome.name_of(given.chrom))
        if status := self._refused(variant):
            return Located(Effect(given, status), None)
        variant = shortest(variant, self.genome)
        window = self.place(variant)
        if window is None:
            return Located(Effect(given, Status.NO_REGION), None)
        if self._beyond(window.start, window.end, window.chrom):
            return Located(Effect(given, Status.WINDOW_OFF_CHROMOSOME, window), None)
        made = self._perturbation(variant, window)
        if isinstance(made, Status):
            return Located(Effect(given, made, window), None)
        return Located(Effect(given, Status.SCORED, window), made)

    def _refused(self, variant: Variant) -> Status | None:
        """Why a variant cannot be scored wherever its window lies."""
        if variant.kind in _UNSCORED:
            return _UNSCORED[variant.kind]
        if variant.chrom not in self.genome.sizes:
            return Status.UNKNOWN_CHROMOSOME
        place = variant.chrom, variant.pos0, variant.pos0 + len(variant.ref)
        if self.genome.missing(*place):
            return Status.OFF_CHROMOSOME
        if self.genome.fetch(*place).upper() != variant.ref.upper():
            return Status.REFERENCE_MISMATCH
        return Status.AMBIGUOUS_ALLELE if _strange(variant.alt) else None

    def _beyond(self, start: int, end: int, chrom: str) -> bool:
        """Whether letters are missing that may not be filled up."""
        return not self.pad and bool(self.genome.missing(chrom, start, end))

    def _perturbation(self, variant: Variant, window: GenomeWindow) -> Perturbation | Status:
        """The change of a window by a variant in its shortest spelling."""
        before = self._letters(window)
        first = variant.pos0 - window.start
        shift = len(variant.alt) - len(variant.ref)
        if not shift:
            if first + len(variant.ref) > self.length:
                return Status.BEYOND_WINDOW
            letters = variant.alt
        else:
            room = self.length - first - len(variant.alt)
            after = variant.pos0 + len(variant.ref)
            if room > 0 and self._beyond(after, after + room, window.chrom):
                return Status.WINDOW_OFF_CHROMOSOME
            rest = self._fetch(window.chrom, after, after + room) if room > 0 else ""
            letters = (variant.alt + rest)[: self.length - first]
        strange = _strange(before) or _strange(letters)
        if strange and self.ambiguous == "error":
            raise FastISMError(
                f"The window of the variant in line {variant.line} ({window.chrom}:{window.start}-"
                f"{window.end}) holds {strange!r}; expected only A, C, G, T. Leave such variants "
                'out ("skip"), or encode the letter as zeros ("zero").'
            )
        if strange and self.ambiguous == "skip":
            return Status.AMBIGUOUS_WINDOW
        if window.strand == "-":
            first = self.length - first - len(letters)
            before, letters = reverse_complement(before), reverse_complement(letters)
        return Perturbation(before, first, letters, shift)

    def _letters(self, window: GenomeWindow) -> str:
        """Letters of a window on the plus strand; neighbouring variants often share it."""
        if self._last[0] != window:
            self._last = window, self._fetch(window.chrom, window.start, window.end)
        return self._last[1]

    def _fetch(self, chrom: str, start: int, end: int) -> str:
        return self.genome.fetch(chrom, start, end, pad=self.pad)


def _strange(letters: str) -> str:
    """A letter other than A, C, G, T and `PAD`; empty if there is none."""
    return "".join(sorted(set(letters.upper()) - {*DNA, PAD}))[:1]

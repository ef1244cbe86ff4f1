"""What a variant changes in which window of a genome, or why it cannot be scored.

Requirements: numpy, pyfaidx (through `fastism.genomics.genome`).

The effect of a variant depends on where in the model's input it lies, so its window is a function
of the variant alone, never of the other variants in a file.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

import numpy as np

from fastism.errors import FastISMError
from fastism.genomics.genome import Genome, reverse_complement, window_start
from fastism.genomics.regions import Region
from fastism.genomics.vcf import Variant, VariantKind
from fastism.sequences import DNA

Ambiguous = Literal["error", "zero", "skip"]


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
    OFF_CHROMOSOME = "off_chromosome", "the variant or its window reaches beyond the chromosome"
    NO_REGION = "no_region", "POS lies in none of the given regions"
    BEYOND_WINDOW = "beyond_window", "the substitution reaches beyond its window"
    AMBIGUOUS_WINDOW = "ambiguous_window", "the window holds letters other than A, C, G, T"
    AMBIGUOUS_ALLELE = "ambiguous_allele", "ALT holds letters other than A, C, G, T"
    SYMBOLIC = "symbolic_allele", "ALT is symbolic, such as <DEL>"
    OVERLAPPING = "overlapping_deletion", "ALT is *"
    MISSING = "no_alternative", "ALT is ."
    BREAKEND = "breakend", "ALT is a breakend"


_UNSCORED = {
    VariantKind.SYMBOLIC: Status.SYMBOLIC,
    VariantKind.OVERLAPPING: Status.OVERLAPPING,
    VariantKind.MISSING: Status.MISSING,
    VariantKind.BREAKEND: Status.BREAKEND,
}


@dataclass(frozen=True, slots=True)
class Window:
    """What the model sees of a genome.

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
    status : Status
    window : Window or None
        Where it was scored; None if it did not come to that.
    method : {"fast", "naive", ""}
        Empty where it was not scored.
    reference, effect : ndarray, shape (values,), or None
        Outputs for the window as it is, and mutant minus reference: the chosen entries of all
        chosen outputs, in the order of `value_labels`. None where it was not scored.
    """

    variant: Variant
    status: Status
    window: Window | None = None
    method: str = ""
    reference: np.ndarray | None = None
    effect: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Edit:
    """A variant in the model's orientation.

    Attributes
    ----------
    before : str
        Letters of the window as it is, shape (L,).
    start : int
        First letter of the window that changes.
    letters : str
        What stands there instead, without changing the length.
    fast : bool
        Whether it is a substitution.
    """

    before: str
    start: int
    letters: str
    fast: bool


class Located(NamedTuple):
    """A variant in its window.

    Attributes
    ----------
    effect : Effect
        Without values yet.
    edit : Edit or None
        None where `effect` says why it is not scored.
    """

    effect: Effect
    edit: Edit | None


class Around:
    """Windows around positions: POS lies at index ``length // 2``.

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

    def __call__(self, variant: Variant) -> Window:
        """The window of a variant."""
        middle = variant.pos0 // self.share * self.share + self.share // 2
        start = window_start(middle, self.length)
        return Window(variant.chrom, start, start + self.length)


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
        self._windows: dict[str, list[Window]] = {}
        for region in regions:
            window = Window(region.chrom, region.start, region.end, region.strand)
            self._windows.setdefault(region.chrom, []).append(window)
        for windows in self._windows.values():
            windows.sort(key=lambda window: window.start)
        self._starts = {c: [w.start for w in ws] for c, ws in self._windows.items()}

    def __call__(self, variant: Variant) -> Window | None:
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
    place: Callable[[Variant], Window | None],
    length: int,
    ambiguous: Ambiguous = "skip",
) -> Iterator[Located]:
    """What each variant changes in its window, or why it cannot be scored; needs no model.

    Parameters and errors as for `fastism.genomics.variants.score_variants`; `length` is that of the
    model's input.
    """
    if ambiguous not in ("error", "zero", "skip"):
        raise FastISMError(f'ambiguous={ambiguous!r} is not one of "error", "zero", "skip".')
    return map(_Reader(genome, place, length, ambiguous).read, variants)


class _Reader:
    """From variants to edits of windows, or to the reason why there is none."""

    def __init__(
        self,
        genome: Genome,
        place: Callable[[Variant], Window | None],
        length: int,
        ambiguous: str,
    ) -> None:
        self.genome, self.place, self.length, self.ambiguous = genome, place, length, ambiguous
        self._last: tuple[Window | None, str] = None, ""

    def read(self, variant: Variant) -> Located:
        """What is known before anything is run, and what is to be run."""
        status = self._refused(variant)
        window = None if status else self.place(variant)
        if status is None and window is None:
            status = Status.NO_REGION
        if status is not None:
            return Located(Effect(variant, status), None)
        if self.genome.missing(window.chrom, window.start, window.end):
            return Located(Effect(variant, Status.OFF_CHROMOSOME, window), None)
        made = self._edit(variant, window)
        if isinstance(made, Status):
            return Located(Effect(variant, made, window), None)
        return Located(Effect(variant, Status.SCORED, window), made)

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

    def _edit(self, variant: Variant, window: Window) -> Edit | Status:
        before = self._letters(window)
        first = variant.pos0 - window.start
        if fast := variant.kind is VariantKind.SUBSTITUTION:
            if first + len(variant.ref) > self.length:
                return Status.BEYOND_WINDOW
            first, letters = _changed(first, variant)
        else:
            room = self.length - first - len(variant.alt)
            after = variant.pos0 + len(variant.ref)
            if room > 0 and self.genome.missing(window.chrom, after, after + room):
                return Status.OFF_CHROMOSOME
            rest = self.genome.fetch(window.chrom, after, after + room) if room > 0 else ""
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
        return Edit(before, first, letters, fast)

    def _letters(self, window: Window) -> str:
        """Letters of a window on the plus strand; neighbouring variants often share it."""
        if self._last[0] != window:
            self._last = window, self.genome.fetch(window.chrom, window.start, window.end)
        return self._last[1]


def _strange(letters: str) -> str:
    """A letter that is not A, C, G or T; empty if there is none."""
    return "".join(sorted(set(letters.upper()) - set(DNA)))[:1]


def _changed(first: int, variant: Variant) -> tuple[int, str]:
    """The part of a substitution that differs; its first letter if none does."""
    pairs = zip(variant.ref.upper(), variant.alt.upper(), strict=True)
    differs = [i for i, (a, b) in enumerate(pairs) if a != b] or [0]
    return first + differs[0], variant.alt[differs[0] : differs[-1] + 1]

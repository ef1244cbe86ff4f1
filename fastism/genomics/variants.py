"""Effects of variants on a model's outputs: one reference pass for all variants of a window.

Requirements: numpy, pyfaidx (through `fastism.genomics.genome`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from fastism.base_ism import BaseISM
from fastism.calls.inputs import check_outputs
from fastism.calls.result import listed
from fastism.errors import FastISMError
from fastism.genomics.genome import Genome
from fastism.genomics.indels import FEWEST, splices_of
from fastism.genomics.locate import (
    Effect,
    GenomeWindow,
    Located,
    Perturbation,
    Status,
    locate,
)
from fastism.genomics.vcf import Variant
from fastism.ism import FastISM
from fastism.naive_ism import NaiveISM
from fastism.sequences import DNA, Ambiguous, one_hot

NotFinite = Literal["error", "skip", "keep"]
#: Windows whose variants are scored together, unless the caller says otherwise.
WINDOWS = 32
#: Most variants that are scored together, for files that have many in a window.
MOST_VARIANTS = 2048
#: Most mutants that naive ISM runs at a time.
NAIVE_BATCH = 64


def value_labels(
    names: Sequence[str], shapes: Sequence[tuple[int, ...]], outputs: Any = None
) -> list[str]:
    """What to call the values of an `Effect`, one name each.

    A model with one output has the indices of its entries, joined by ``_``; nothing if it is a
    single number. With several outputs, the output's name comes before.

    Examples
    --------
    >>> value_labels(["score"], [(3,)])
    ['0', '1', '2']
    >>> value_labels(["profile", "counts"], [(2, 2), (1,)], {0: [1], 1: None})
    ['profile_1_0', 'profile_1_1', 'counts']
    """
    labels = []
    for number, entries in check_outputs(outputs, shapes).items():
        shape = shapes[number]
        kept = (len(entries), *shape[1:]) if entries is not None else shape
        single = not shape or shape == (1,)
        for index in np.ndindex(kept):
            first = [index[0] if entries is None else int(entries[index[0]])] if index else []
            parts = [] if single else [str(i) for i in (*first, *index[1:])]
            labels.append("_".join([names[number], *parts] if len(shapes) > 1 else parts))
    return labels


def score_variants(
    ism: BaseISM,
    variants: Iterable[Variant],
    genome: Genome,
    place: Callable[[Variant], GenomeWindow | None],
    *,
    alphabet: str = DNA,
    ambiguous: Ambiguous = "skip",
    outputs: Any = None,
    windows: int = WINDOWS,
    pad: bool = False,
    not_finite: NotFinite = "error",
) -> Iterator[Effect]:
    """Effects of variants, one by one in the order given.

    Every variant is placed by its shortest spelling (`fastism.genomics.spelling`), so that all
    spellings of it have the same effect; POS, REF and ALT mean that spelling here.

    Substitutions of any width go the fast way: those that lie in one window share its reference
    pass, unless `windows` other windows lie between them in the list. Insertions and deletions go
    the naive way, unless at least `fastism.genomics.indels.FEWEST` of them that make the sequence
    longer by the same number of letters (or shorter) lie in one window: these are splices of it and
    of the shifted window. What is left of POS stays where it is, ALT follows, then the genome after
    REF; what leaves the window on the right is cut, what is missing there comes from the genome.
    Left and right are those of the plus strand.

    Parameters
    ----------
    ism : FastISM or NaiveISM
        Of a model with one input. With NaiveISM everything goes the naive way.
    variants : iterable of Variant
    genome : Genome
    place : callable
        `fastism.genomics.locate.Around` or `Within`, with the length of the model's input.
    alphabet : str
        The letters A, C, G, T in the model's order.
    ambiguous : {"error", "zero", "skip"}
        What to do with a window that holds other letters (such as N), before or after the change:
        raise, encode them as zeros, or say so in the status. Alleles that hold such letters are
        never scored.
    outputs : optional
        As for `FastISM.saturate`.
    windows : int
        How many windows to score together.
    pad : bool
        Take windows that reach beyond the ends of their chromosome, with zeros there.
    not_finite : {"error", "skip", "keep"}
        What to do where the model gives NaN or infinite outputs, with or without the variant:
        raise, say so in the status, or keep what naive ISM gives.

    Raises
    ------
    FastISMError
        For a model or alphabet that does not fit, an output that is not finite with
        ``not_finite="error"``, and an ambiguous window with ``ambiguous="error"``.
    """
    located = locate(variants, genome, place, ism.seqlen, ambiguous, pad)
    runner = VariantRunner(ism, alphabet, outputs, not_finite)
    return (effect for batch in batched(located, windows) for effect in runner.run(batch))


def batched(located: Iterable[Located], windows: int = WINDOWS) -> Iterator[VariantBatch]:
    """What `locate` gives, in batches that are run together.

    Where a batch ends depends on the variants of the batch alone: from any end of a batch on,
    batches are the same as from the beginning.
    """
    batch = VariantBatch()
    for effect, perturbation in located:
        full = len(batch.windows) >= windows and perturbation and effect.window not in batch.windows
        if full or len(batch.effects) >= MOST_VARIANTS:
            yield batch
            batch = VariantBatch()
        batch.add(effect, perturbation)
    if batch.effects:
        yield batch


@dataclass
class VariantBatch:
    """Variants that are run together, and the windows that they lie in."""

    effects: list[Effect] = field(default_factory=list)
    perturbations: dict[int, Perturbation] = field(default_factory=dict)
    windows: dict[GenomeWindow, list[int]] = field(default_factory=dict)

    def add(self, effect: Effect, perturbation: Perturbation | None) -> None:
        """Add a variant in its window."""
        if perturbation is not None:
            self.perturbations[len(self.effects)] = perturbation
            self.windows.setdefault(effect.window, []).append(len(self.effects))
        self.effects.append(effect)


class VariantRunner:
    """Runs batches of perturbations on a model; parameters and errors as of `score_variants`."""

    def __init__(
        self,
        ism: BaseISM,
        alphabet: str = DNA,
        outputs: Any = None,
        not_finite: NotFinite = "error",
    ) -> None:
        if sorted(alphabet.upper()) != sorted(DNA) or ism.num_chars != len(DNA):
            raise FastISMError(
                f"Variants need a model of A, C, G, T; this one takes {ism.num_chars} characters, "
                f"with the alphabet {alphabet!r}."
            )
        if ism.num_inputs != 1:
            raise FastISMError(f"The model has {ism.num_inputs} inputs; variants need one.")
        self.ism, self.alphabet = ism, alphabet.upper()
        self.outputs, self.policy = outputs, not_finite
        self.naive = ism.naive() if isinstance(ism, FastISM) else ism

    def run(self, batch: VariantBatch) -> Iterator[Effect]:
        """The effects of a batch in order."""
        values: dict[int, tuple[str, np.ndarray, np.ndarray]] = {}
        fast = not isinstance(self.ism, NaiveISM)
        groups: dict[int, list[list[int]]] = {}
        slow: list[list[int]] = []
        for members in batch.windows.values():
            perturbations = batch.perturbations
            quick = [i for i in members if fast and perturbations[i].fast]
            if quick:
                width = max(len(perturbations[i].letters) for i in quick)
                groups.setdefault(self._width(width), []).append(quick)
            rest = [i for i in members if i not in set(quick)]
            if fast and len(rest) >= FEWEST:
                spliced = self._spliced(batch, rest)
                values |= spliced
                rest = [i for i in rest if i not in spliced]
            if rest:
                slow.append(rest)
        for width, windows in sorted(groups.items()):
            values |= self._perturbed(self.ism, "fast", batch, windows, width)
        values |= self._naively(batch, slow)
        if fast:
            # Differences of values that are infinite on the way are none: the model itself is
            # asked before it is said not to be finite.
            again = [i for i, made in values.items() if made[0] != "naive" and not _finite(made)]
            windows = batch.windows.values()
            grouped = ([i for i in members if i in set(again)] for members in windows)
            values |= self._naively(batch, [members for members in grouped if members])
        for number, effect in enumerate(batch.effects):
            if number not in values:
                yield effect
            elif self.policy != "keep" and not _finite(values[number]):
                yield self._not_finite(effect)
            else:
                method, reference, change = values[number]
                yield replace(effect, method=method, reference=reference, effect=change)

    def _not_finite(self, effect: Effect) -> Effect:
        """What becomes of a variant for which the model is not finite."""
        if self.policy == "error":
            raise FastISMError(
                f"The model's output is not finite (NaN or infinite) for the variant in line "
                f"{effect.variant.line} or its window. Check the model; --not-finite skip gives "
                "such variants a status, --not-finite keep writes what the model gives."
            )
        return replace(effect, status=Status.NOT_FINITE)

    def _spliced(
        self, batch: VariantBatch, members: list[int]
    ) -> dict[int, tuple[str, np.ndarray, np.ndarray]]:
        """Those indels of one window that are worth running as splices."""
        by_shift: dict[int, list[int]] = {}
        for i in members:
            by_shift.setdefault(batch.perturbations[i].shift, []).append(i)
        values = {}
        for alike in by_shift.values():
            perturbations = [batch.perturbations[i] for i in alike]
            chosen, splices = splices_of(perturbations, self.alphabet)
            if splices is None:
                continue
            x = one_hot([perturbations[0].before], self.alphabet, "zero")
            with np.errstate(invalid="ignore", over="ignore"):
                made = self.ism.spliced(x, splices, self.outputs)
                reference, change = side_by_side(made.reference)[0], side_by_side(made.delta())
            for row, number in enumerate(chosen):
                values[alike[number]] = "splice", reference, change[row]
        return values

    def _naively(
        self, batch: VariantBatch, windows: list[list[int]]
    ) -> dict[int, tuple[str, np.ndarray, np.ndarray]]:
        """Variants of some windows, run through the whole model."""
        if not windows:
            return {}
        if isinstance(self.ism, FastISM):
            # Few shapes, as a framework may compile the model for each.
            count = sum(map(len, windows))
            self.naive.batch_size = min(1 << (count - 1).bit_length(), NAIVE_BATCH)
        return self._perturbed(self.naive, "naive", batch, windows, self.ism.seqlen)

    def _width(self, width: int) -> int:
        """One of few widths, because each has a plan of its own."""
        return min(1 << (width - 1).bit_length(), self.ism.seqlen)

    def _perturbed(
        self, ism: BaseISM, method: str, batch: VariantBatch, windows: list[list[int]], width: int
    ) -> dict[int, tuple[str, np.ndarray, np.ndarray]]:
        """Method, reference and effect of every variant of some windows."""
        members = [i for window in windows for i in window]
        sequence = np.repeat(np.arange(len(windows)), [len(window) for window in windows])
        x = one_hot(
            [batch.perturbations[window[0]].before for window in windows], self.alphabet, "zero"
        )
        start = np.array(
            [min(batch.perturbations[i].start, ism.seqlen - width) for i in members], dtype=np.int64
        )
        letters = [
            _widened(batch.perturbations[i], s, width) for i, s in zip(members, start, strict=True)
        ]
        replacement = one_hot(letters, self.alphabet, "zero")
        with np.errstate(invalid="ignore", over="ignore"):
            made = ism.perturb_by_position(x, sequence, start, replacement, self.outputs)
            reference = side_by_side(made.reference)[sequence]
            change = side_by_side(made.delta())
        return {i: (method, reference[row], change[row]) for row, i in enumerate(members)}


def _finite(made: tuple[str, np.ndarray, np.ndarray]) -> bool:
    return bool(np.isfinite(made[1]).all() and np.isfinite(made[2]).all())


def _widened(perturbation: Perturbation, start: int, width: int) -> str:
    """What stands in ``[start, start + width)`` after a perturbation that lies in it."""
    end = perturbation.start + len(perturbation.letters)
    return (
        perturbation.before[start : perturbation.start]
        + perturbation.letters
        + perturbation.before[end : start + width]
    )


def side_by_side(outputs: Any) -> np.ndarray:
    """All outputs side by side, shape (mutants, values)."""
    return np.concatenate([y.reshape(len(y), -1) for y in listed(outputs)], axis=1)

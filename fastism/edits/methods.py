"""The calls for listed mutants: each at a place of its own, with one edit or several.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastism.calls.base import Calls, Ran, Selection
from fastism.calls.inputs import check_outputs, check_perturbations, listed_mutants
from fastism.calls.mutants import Part
from fastism.calls.result import Perturbed
from fastism.edits.hulls import by_width, spanned
from fastism.edits.listed import Edits, check_edits, has_several


class Perturbing(Calls):
    """Mutants that a caller lists, such as variants and haplotypes."""

    def perturb(
        self, x: Any, sequence: Any, start: Any, replacement: Any, outputs: Any = None
    ) -> Perturbed:
        """Outputs for a list of perturbations, each at a place and with characters of its own.

        Every sequence has one reference pass, however many perturbations it has.

        Parameters
        ----------
        x : array, shape (N, L, C), or list of arrays
            As for `saturate`.
        sequence, start : array of int, shape (M,)
            Which sequence each perturbation changes, and its first position, 0-based. Where a
            mutant has several edits, such as a haplotype, `start` is a list of M lists.
        replacement : array, shape (M, width, C)
            What stands there instead; all perturbations of a call have one width, so narrower
            ones repeat what is there. For torch modules (M, C, width). With a list of starts, M
            lists of arrays (width, C), of any widths; those of one mutant must not overlap.
        outputs : optional
            As for `saturate`.

        Returns
        -------
        Perturbed
            ``reference`` (N, *output) and ``mutants`` (M, *output) in the order given; the
            reference output where nothing changes.

        Raises
        ------
        FastISMError
            If something given does not fit the model or the sequences.
        """
        first = self._order.characters_first
        return self._perturbed(self._inputs(x), sequence, start, replacement, outputs, first)

    def perturb_by_position(
        self, x: np.ndarray, sequence: Any, start: Any, replacement: Any, outputs: Any = None
    ) -> Perturbed:
        """`perturb` for callers that hold sequences (N, L, C), whatever order the model takes.

        Parameters
        ----------
        x : array, shape (N, L, C)
            Of a model with one input.
        sequence, start : array of int, shape (M,)
            As for `perturb`.
        replacement : array, shape (M, width, C)
        outputs : optional
            As for `saturate`.
        """
        return self._perturbed(self._by_position(x), sequence, start, replacement, outputs, False)

    def _perturbed(
        self,
        inputs: list[np.ndarray],
        sequence: Any,
        start: Any,
        replacement: Any,
        outputs: Any,
        characters_first: bool,
    ) -> Perturbed:
        """Outputs of perturbations; `characters_first` says in which order replacements come."""
        shape = inputs[self.seq_input_idx].shape
        select = check_outputs(outputs, self._output_shapes(inputs))
        if has_several(start):
            edits = check_edits(sequence, start, replacement, shape, characters_first)
            return self._perturbed_lists(inputs, edits, select)
        sequence, start, replacement = check_perturbations(
            sequence, start, replacement, shape, characters_first
        )

        def run(group: list[np.ndarray], chosen: np.ndarray, within: np.ndarray) -> Ran:
            given = within, start[chosen], replacement[chosen]
            mutants, changed = listed_mutants(group[self.seq_input_idx], *given)
            reference, parts = self._run(group, mutants, select, 1)
            return reference, (Part(changed[part.index], part.outputs) for part in parts)

        return self._collected(inputs, sequence, replacement.shape[1], run)

    def _perturbed_lists(
        self, inputs: list[np.ndarray], edits: Edits, select: Selection
    ) -> Perturbed:
        """Outputs of mutants of several edits."""

        def run(group: list[np.ndarray], chosen: np.ndarray, within: np.ndarray) -> Ran:
            return self._run_edits(group, replace(edits.some(chosen), sequence=within), select)

        return self._collected(inputs, edits.sequence, 1, run)

    def _collected(
        self,
        inputs: list[np.ndarray],
        sequence: np.ndarray,
        width: int,
        run: Callable[[list[np.ndarray], np.ndarray, np.ndarray], Ran],
    ) -> Perturbed:
        """What `run` gives for the mutants of each group of sequences, in the order of all.

        `run` gets a group, the numbers of its mutants and the sequence of the group that each of
        them changes; it gives references, and parts whose indices count those mutants.
        """
        whole: list[tuple[np.ndarray, np.ndarray]] | None = None
        for part, group in self._groups(inputs, width, 1):
            chosen = np.flatnonzero((sequence >= part.start) & (sequence < part.stop))
            within = sequence[chosen] - part.start
            reference, parts = run(group, chosen, within)
            if whole is None:
                count = len(inputs[0]), len(sequence)
                whole = [
                    tuple(np.empty((n, *y.shape[1:]), y.dtype) for n in count) for y in reference
                ]
            for (all_reference, all_mutants), y in zip(whole, reference, strict=True):
                all_reference[part] = y
                all_mutants[chosen] = y[within]
            for made in parts:
                for (_, all_mutants), y in zip(whole, made.outputs, strict=True):
                    if y is not None:
                        all_mutants[chosen[made.index]] = y
        packed = self._packed([r for r, _ in whole]), self._packed([m for _, m in whole])
        return Perturbed(*packed, sequence)

    def _run_edits(self, inputs: Sequence[np.ndarray], edits: Edits, select: Selection) -> Ran:
        """Reference outputs and outputs of mutants of several edits, all as one edit each."""
        return self._run_hulls(inputs, spanned(inputs[self.seq_input_idx], edits), select)

    def _run_hulls(self, inputs: Sequence[np.ndarray], edits: Edits, select: Selection) -> Ran:
        """Reference outputs and outputs of mutants of one edit of any width each."""
        x = inputs[self.seq_input_idx]
        nothing = np.zeros(0, np.int64)
        none, _ = listed_mutants(x, nothing, nothing, np.zeros((0, 1, x.shape[2])))
        index, mutants = next(widths := by_width(x, edits), (nothing, none))
        reference, first = self._run(inputs, mutants, select, 1)

        def parts() -> Iterator[Part]:
            for part in first:
                yield Part(edits.mutant[index[part.index]], part.outputs)
            for which, others in widths:
                for part in self._run(inputs, others, select, 1)[1]:
                    yield Part(edits.mutant[which[part.index]], part.outputs)

        return reference, parts()

"""What fast and naive ISM share: checks, mutants, and putting results together.

Requirements: numpy; frameworks only through front ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastism.backends.precision import check_precision
from fastism.calls.axis_order import POSITIONS_FIRST, AxisOrder
from fastism.calls.filled import Filled
from fastism.calls.inputs import (
    Ranges,
    characters_first,
    check_axes,
    check_inputs,
    check_outputs,
    check_perturbations,
    check_positions,
    check_ranges,
    check_replacement,
    listed_mutants,
    range_mutants,
    saturating_mutants,
    without_single_axis,
)
from fastism.calls.mutants import Mutants, Part
from fastism.calls.result import (
    CHANNELS_FIRST,
    CHANNELS_LAST,
    Outputs,
    Perturbed,
    Saturation,
    listed,
)
from fastism.edits.hulls import by_width, spanned
from fastism.edits.listed import Edits, check_edits, has_several
from fastism.errors import FastISMError
from fastism.frontends import front_end
from fastism.frontends.batches import check_batches
from fastism.pairs.collect import PairRequest, Selection, collect, row_blocks
from fastism.pairs.filled import FilledPairs, check_reduction
from fastism.pairs.references import referenced_pairs
from fastism.pairs.result import PAIRS_FIRST, PAIRS_LAST, PairPart, PairRows, Pairs

#: Reference outputs, and outputs of mutants.
Ran = tuple[list[np.ndarray], Iterator[Part]]
#: Most sequences whose mutants share a run.
MOST_SEQUENCES = 32


class BaseISM(ABC):
    """What fast and naive ISM share: checks, mutants, and putting results together.

    Axes: N sequences, L positions, C characters. Inputs and results have the order of the model:
    (N, L, C) for Keras, (N, C, L) for torch modules. In here positions come first. The order is
    exchanged in the public methods: where users hand something in (`_inputs`) and where results
    leave (`AxisOrder.outward`). `saturate_by_position` and `perturb_by_position` exchange nothing.
    """

    def __init__(
        self,
        model: Any,
        seq_input_idx: int,
        change_ranges: Ranges | None,
        seqlen: int | None,
        input_shape: Any = None,
        channels_last: bool = False,
        check: bool = True,
    ) -> None:
        self.model = model
        self.seq_input_idx = seq_input_idx
        self._front = front_end(model, seq_input_idx, seqlen, input_shape, channels_last)
        shape = self._front.input_shapes[seq_input_idx]
        self._order = AxisOrder(self._front.channels_first)
        self.seqlen, self.num_chars = shape[::-1] if self._order.characters_first else shape
        as_read = not (self._order.characters_first or channels_last)
        if as_read and self.seqlen == 4 < self.num_chars:
            raise FastISMError(characters_first(self.seqlen, self.num_chars))
        self._ranges = check_ranges(change_ranges, self.seqlen)
        self.change_ranges = [(int(a), int(z)) for a, z in self._ranges]
        self.perturb_width = int(self._ranges[0, 1] - self._ranges[0, 0])
        self.num_inputs = len(self._front.input_shapes)
        if check:
            check_batches(self._front)

    def _settle(self, precision: str, framework: str) -> None:
        """Keep what products round to, if the device of `framework` can do it."""
        front = self._front
        self.precision = check_precision(precision, framework, front.device, front.dtype)
        front.precision = self.precision

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the axes of saturated mutants."""
        return CHANNELS_FIRST if self._order.characters_first else CHANNELS_LAST

    @property
    @abstractmethod
    def num_outputs(self) -> int:
        """How many outputs the model has."""

    @property
    def output_shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the outputs in the model's order of axes, without the batch axis."""
        return self._output_shapes(())

    @abstractmethod
    def _output_shapes(self, inputs: Sequence[np.ndarray]) -> list[tuple[int, ...]]:
        """Shapes of the outputs in the model's order of axes, without the batch axis."""

    @abstractmethod
    def _run(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: dict[int, np.ndarray | None],
        alternatives: int,
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        """Reference outputs and outputs of all mutants, of the selected outputs only.

        `alternatives` is how many mutants to expect at each position, for the plan.
        """

    @abstractmethod
    def _sequences_per_run(self, width: int, alternatives: int) -> int:
        """How many sequences are handed to `_run` at a time, with mutants of `width`."""

    @property
    def _other_chars(self) -> int:
        """How many mutants a position has when it is saturated."""
        return max(self.num_chars - 1, 1)

    def __call__(self, inp_batch: Any, replace_with: Any = 0) -> Outputs:
        """Outputs with every range replaced, as fastISM 0.5 gives them.

        Parameters
        ----------
        inp_batch : array, shape (N, L, C), or list of arrays
            One-hot or any real values; a list where the model has several inputs. For torch
            modules (N, C, L).
        replace_with : 0, array of shape (C,) or (width, C)
            What stands in every range instead. For torch modules (C,) or (C, width).

        Returns
        -------
        ndarray, shape (N, ranges, *output), or list of them for several outputs
            Where the replacement is what stands there already: the reference output.

        Raises
        ------
        FastISMError
            If the input or the replacement does not fit.
        """
        inputs = self._inputs(inp_batch)
        replacement = check_replacement(
            replace_with, self.perturb_width, self.num_chars, self._order.characters_first
        )
        select = dict.fromkeys(range(self.num_outputs))
        whole, finish = Filled(len(inputs[0]), (len(self._ranges),)), _nothing
        for part, chosen in self._groups(inputs, self.perturb_width, 1):
            mutants, index = range_mutants(chosen[self.seq_input_idx], self._ranges, replacement)
            begun = self._begin(whole, part, chosen, mutants, index, select)
            finish()
            finish = begun
        finish()
        return self._packed(whole.mutants)

    def saturate(
        self,
        x: Any,
        outputs: Any = None,
        positions: Any = None,
        dtype: Any = None,
        as_tensors: bool = False,
    ) -> Saturation:
        """Outputs for every character at every position.

        Parameters
        ----------
        x : array, shape (N, L, C), or list of arrays
            Sequences, usually one-hot; a list where the model has several inputs. For torch
            modules (N, C, L).
        outputs : optional
            What to keep, before anything is stored. Model with one output: an index, slice or
            list of indices into its first axis. Several outputs: a list of output numbers, or a
            dict from output number to indices (or None for all).
        positions : optional
            A slice or list of positions; all by default.
        dtype : optional
            Floating-point type of the result; the model's by default.
        as_tensors : bool
            Whether arrays of the result are tensors of PyTorch that stay on the device; for
            `FastISM` on PyTorch, without `dtype`.

        Returns
        -------
        Saturation
            ``reference`` (N, *output), ``mutants`` (N, P, C, *output), for torch modules
            (N, C, P, *output), and what follows from them, with P positions.

        Raises
        ------
        FastISMError
            If something given does not fit the model.
        """
        if as_tensors and dtype is not None:
            raise FastISMError(f"dtype={dtype!r} was given with as_tensors: convert the tensors.")
        if as_tensors:
            return self._as_tensors(self._inputs(x), outputs, positions)
        made = self._saturated(self._inputs(x), outputs, positions, dtype, self._order)
        return replace(made, mutants=self._outward(made.mutants, (1, 2)), axes=self.axes)

    def _as_tensors(self, inputs: list[np.ndarray], outputs: Any, positions: Any) -> Saturation:
        """`saturate` with a result of tensors."""
        raise FastISMError("as_tensors=True is for FastISM; naive ISM gives arrays of NumPy.")

    def saturate_by_position(
        self, x: np.ndarray, outputs: Any = None, positions: Any = None, dtype: Any = None
    ) -> Saturation:
        """`saturate` for callers that hold sequences (N, L, C), whatever order the model takes.

        Parameters
        ----------
        x : array, shape (N, L, C)
            Of a model with one input.
        outputs, positions, dtype : optional
            As for `saturate`.

        Returns
        -------
        Saturation
            With ``mutants`` (N, P, C, *output).
        """
        return self._saturated(self._by_position(x), outputs, positions, dtype, POSITIONS_FIRST)

    def _saturated(
        self,
        inputs: list[np.ndarray],
        outputs: Any,
        positions: Any,
        dtype: Any,
        order: AxisOrder,
    ) -> Saturation:
        """All mutants, positions first; memory lies in the order in which they are to leave."""
        chosen = check_positions(positions, self.seqlen)
        select = check_outputs(outputs, self._output_shapes(inputs))
        kind = None if dtype is None else _float_type(dtype)
        count = len(inputs[0])
        whole, finish = Filled(count, (len(chosen), self.num_chars), order, kind), _nothing
        alternatives = np.zeros((count, len(chosen)), dtype=np.int64)
        for part, group in self._groups(inputs, 1, self._other_chars):
            mutants, index = saturating_mutants(group[self.seq_input_idx], chosen)
            np.add.at(alternatives[part], index[:2], 1)
            begun = self._begin(whole, part, group, mutants, index, select)
            finish()
            finish = begun
        finish()
        packed = self._packed(whole.reference), self._packed(whole.mutants)
        return Saturation(*packed, chosen, alternatives)

    def saturate_changing(
        self, count: int, positions: Any = None
    ) -> Callable[[Any, Sequence[int]], Saturation]:
        """`saturate` for sequences that change a little from call to call, such as designs.

        Parameters
        ----------
        count : int
            How many sequences there are.
        positions : optional
            As for `saturate`.

        Returns
        -------
        callable
            Takes sequences, as `saturate` does, and the number of each, from 0 to `count` - 1.
            Other inputs of a model must be those of the last call with that number.
        """
        return lambda x, numbers: self.saturate(x, positions=positions)

    def saturate_each(
        self,
        sequences: Any,
        outputs: Any = None,
        positions: Any = None,
        dtype: Any = None,
    ) -> Iterator[Saturation]:
        """Like `saturate`, one sequence at a time: memory stays flat however many there are.

        Parameters
        ----------
        sequences : iterable
            Yields arrays of shape (L, C), or a tuple of such arrays (without the batch axis)
            where the model has several inputs. An array (N, L, C) is one such iterable. For torch
            modules (C, L) and (N, C, L).
        outputs, positions, dtype
            As for `saturate`.

        Yields
        ------
        Saturation
            With a sequence axis of length one.
        """
        size = self._sequences_per_run(1, self._other_chars)
        for group in _grouped(sequences, size):
            if self.num_inputs == 1:
                batch: Any = np.stack([np.asarray(x) for x in group])
            else:
                batch = [
                    np.stack([np.asarray(x) for x in column]) for column in zip(*group, strict=True)
                ]
            result = self.saturate(batch, outputs, positions, dtype)
            for i in range(len(group)):
                yield Saturation(
                    _sliced(result.reference, i),
                    _sliced(result.mutants, i),
                    result.positions,
                    result.alternatives[i : i + 1],
                    result.axes,
                )

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

    def pairs(
        self,
        x: Any,
        positions: Any = None,
        outputs: Any = None,
        reduce: Any = None,
        dtype: Any = None,
        progress: Callable[[int, int], Any] | None = None,
    ) -> Pairs:
        """Outputs for every two characters at every two positions.

        Parameters
        ----------
        x : array, shape (N, L, C), or list of arrays
            As for `saturate`.
        positions, outputs, dtype : optional
            As for `saturate`. The result grows with the square of the number of positions.
        reduce : optional
            What outputs become before they are stored: "mean", "sum", "max" or "min" over all
            their entries, or a function of an array (mutants, *output) that keeps the first axis.
        progress : callable, optional
            Called with the numbers of pairs that are done and that there are, again and again.

        Returns
        -------
        Pairs
            ``reference``, ``singles`` (N, P, C, *output) and ``doubles``
            (N, P, C, P, C, *output), for torch modules (N, C, P, C, P, *output), and what follows
            from them: `Pairs.epistasis` and `Pairs.dependency`.

        Raises
        ------
        FastISMError
            If something given does not fit the model.
        """
        inputs = self._inputs(x)
        chosen = check_positions(positions, self.seqlen)
        select = check_outputs(outputs, self._output_shapes(inputs))
        kind = None if dtype is None else _float_type(dtype)
        whole = FilledPairs(len(inputs[0]), len(chosen), self.num_chars, self._order, kind)
        request = PairRequest(inputs, self.seq_input_idx, chosen, select, check_reduction(reduce))
        collect(request, self._run_singles, self._run_pairs, whole, progress)
        arrays = (self._packed(y) for y in (whole.reference, whole.singles, whole.doubles))
        made = Pairs(*arrays, chosen)
        singles, doubles = (
            self._outward(made.singles, (1, 2)),
            self._outward(made.doubles, (1, 2, 2)),
        )
        axes = PAIRS_FIRST if self._order.characters_first else PAIRS_LAST
        return replace(made, singles=singles, doubles=doubles, axes=axes)

    def pair_rows(
        self,
        x: Any,
        positions: Any = None,
        outputs: Any = None,
        reduce: Any = None,
        rows: int | None = None,
        first: int = 0,
    ) -> Iterator[PairRows]:
        """Like `pairs` for one sequence, some positions at a time: memory stays bounded.

        Parameters
        ----------
        x : array, shape (1, L, C), or list of arrays
            As for `saturate`.
        positions, outputs, reduce : optional
            As for `pairs`; positions are taken in ascending order.
        rows : int, optional
            Positions per block; by default as many as take 64 MiB.
        first : int
            Row to begin with, such as one behind what is known already.

        Yields
        ------
        PairRows
            Every pair of positions is in one of them, the one further left in its rows.

        Raises
        ------
        FastISMError
            If something given does not fit the model, or there are several sequences.
        """
        inputs = self._inputs(x)
        if len(inputs[0]) != 1:
            raise FastISMError(f"pair_rows takes one sequence at a time; got {len(inputs[0])}.")
        chosen = np.unique(check_positions(positions, self.seqlen))
        select = check_outputs(outputs, self._output_shapes(inputs))
        request = PairRequest(inputs, self.seq_input_idx, chosen, select, check_reduction(reduce))
        return row_blocks(request, self._run_singles, self._run_pairs, rows, first)

    def _run_singles(
        self, inputs: Sequence[np.ndarray], mutants: Mutants, select: Selection
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        """Reference outputs and outputs of edits of one position."""
        return self._run(inputs, mutants, select, self._other_chars)

    def _run_pairs(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: Selection,
        leading: tuple[int, int],
    ) -> Iterator[PairPart]:
        """Outputs of pairs of edits of one sequence whose first position lies in `leading`."""
        size = self._sequences_per_run(1, self._other_chars)

        def run(
            edited: list[np.ndarray], second: Mutants
        ) -> tuple[list[np.ndarray], Iterator[Part]]:
            return self._run_singles(edited, second, select)

        return referenced_pairs(run, inputs, self.seq_input_idx, mutants, leading, size)

    def _inputs(self, given: Any) -> list[np.ndarray]:
        """What users give, checked, with positions before characters."""
        given = without_single_axis(given, self.seq_input_idx, self._front.single_axis)
        arrays = check_inputs(given, self._front.input_shapes, self._front.dtype)
        if not self._order.characters_first:
            check_axes(arrays[self.seq_input_idx])
        return self._front.internal(arrays)

    def _outward(self, arrays: Outputs, groups: tuple[int, ...]) -> Outputs:
        """Results as users get them: views, with positions and characters in the model's order."""
        made = [self._order.outward(y, groups) for y in listed(arrays)]
        return made if isinstance(arrays, list) else made[0]

    def _by_position(self, x: Any) -> list[np.ndarray]:
        """Sequences (N, L, C) of a model with one input, checked."""
        if self.num_inputs != 1:
            raise FastISMError(
                f"The model has {self.num_inputs} inputs; sequences alone can be given to models "
                "with one. Use `saturate` or `perturb` with a list of arrays."
            )
        return check_inputs(x, [(self.seqlen, self.num_chars)], self._front.dtype)

    def _groups(
        self, inputs: Sequence[np.ndarray], width: int, alternatives: int
    ) -> Iterator[tuple[slice, list[np.ndarray]]]:
        size = self._sequences_per_run(width, alternatives)
        for first in range(0, len(inputs[0]), size):
            part = slice(first, first + size)
            yield part, [x[part] for x in inputs]

    def _packed(self, arrays: list[np.ndarray]) -> Outputs:
        return arrays if self.num_outputs > 1 else arrays[0]

    def _begin(
        self,
        whole: Filled,
        part: slice,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
        select: dict[int, np.ndarray | None],
    ) -> Callable[[], None]:
        """Run a group of sequences; what is returned is called once the next group is begun."""
        self._fill(whole, part, inputs, mutants, index, select)
        return _nothing

    def _fill(
        self,
        whole: Filled,
        part: slice,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
        select: dict[int, np.ndarray | None],
    ) -> None:
        """Run the mutants of a group of sequences; `index` says where in the group they belong."""
        alternatives = self._other_chars if len(whole.shape) == 2 else 1
        reference, parts = self._run(inputs, mutants, select, alternatives)
        filled = whole.group(part, reference)
        for made in parts:
            where = tuple(i[made.index] for i in index)
            for array, y in zip(filled, made.outputs, strict=True):
                if y is not None:
                    array[where] = y


def _nothing() -> None:
    """What is left to do where all is done."""


def _float_type(dtype: Any) -> np.dtype:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = None
    if kind is None or kind.kind != "f":
        raise FastISMError(f"dtype must be a floating-point type; got {dtype!r}.")
    return kind


def _sliced(x: Outputs, i: int) -> Outputs:
    return [y[i : i + 1] for y in x] if isinstance(x, list) else x[i : i + 1]


def _grouped(sequences: Iterable[Any], size: int) -> Iterator[list[Any]]:
    group: list[Any] = []
    for x in sequences:
        group.append(x)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group

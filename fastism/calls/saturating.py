"""The calls that replace every position or range: `__call__` of fastISM 0.5, and `saturate`.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastism.calls.axis_order import POSITIONS_FIRST, AxisOrder
from fastism.calls.base import Calls, Selection
from fastism.calls.filled import Filled
from fastism.calls.inputs import (
    check_outputs,
    check_positions,
    check_replacement,
    float_type,
    range_mutants,
    saturating_mutants,
)
from fastism.calls.mutants import Mutants
from fastism.calls.result import Outputs, Saturation
from fastism.errors import FastISMError


class Saturating(Calls):
    """Saturation mutagenesis: all characters at all positions, or one in every range."""

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
        kind = None if dtype is None else float_type(dtype)
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

    def _begin(
        self,
        whole: Filled,
        part: slice,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
        select: Selection,
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
        select: Selection,
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

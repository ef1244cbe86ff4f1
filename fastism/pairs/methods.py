"""The calls for double mutants: every two characters at every two positions.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from fastism.calls.base import Calls, Ran, Selection
from fastism.calls.inputs import check_outputs, check_positions, float_type
from fastism.calls.mutants import Mutants
from fastism.errors import FastISMError
from fastism.pairs.collect import PairRequest, collect, row_blocks
from fastism.pairs.filled import FilledPairs, check_reduction
from fastism.pairs.references import referenced_pairs
from fastism.pairs.result import PAIRS_FIRST, PAIRS_LAST, PairPart, PairRows, Pairs


class Pairing(Calls):
    """Double mutants of a model."""

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
        kind = None if dtype is None else float_type(dtype)
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
    ) -> Ran:
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

        def run(edited: list[np.ndarray], second: Mutants) -> Ran:
            return self._run_singles(edited, second, select)

        return referenced_pairs(run, inputs, self.seq_input_idx, mutants, leading, size)

"""Double mutagenesis of some sequences, one after the other.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastism.calls.base import Ran, Selection
from fastism.calls.inputs import saturating_mutants
from fastism.calls.mutants import Mutants, Part
from fastism.pairs.filled import FilledPairs, Reduction, fill_doubles, fill_singles, reduced
from fastism.pairs.result import PairPart, PairRows

#: Reference outputs and outputs of single edits of some sequences.
RunSingles = Callable[[Sequence[np.ndarray], Mutants, Selection], Ran]
#: Outputs of all pairs of edits of one sequence whose first position lies in an interval.
RunPairs = Callable[[Sequence[np.ndarray], Mutants, Selection, tuple[int, int]], Iterator[PairPart]]
#: Bytes of the outputs of a block of rows.
ROW_BYTES = 64 << 20


@dataclass(frozen=True)
class PairRequest:
    """What is wanted of which sequences.

    Parameters
    ----------
    inputs : sequence of ndarray, each (sequences, *shape)
        One per model input, positions before characters.
    which : int
        The input that is edited.
    positions : ndarray of int, shape (P,)
    select : dict of int to (ndarray of int or None)
        The model outputs to keep, and which entries of each one's first axis.
    reduction : callable or None
        From `fastism.pairs.filled.check_reduction`.
    """

    inputs: Sequence[np.ndarray]
    which: int
    positions: np.ndarray
    select: Selection
    reduction: Reduction | None

    def __len__(self) -> int:
        return len(self.inputs[0])

    @property
    def length(self) -> int:
        """Of the sequences."""
        return self.inputs[self.which].shape[1]


def collect(
    request: PairRequest,
    run_singles: RunSingles,
    run_pairs: RunPairs,
    whole: FilledPairs,
    progress: Callable[[int, int], Any] | None = None,
) -> None:
    """Run all pairs of all sequences into the arrays of `whole`.

    Parameters
    ----------
    request : PairRequest
    run_singles, run_pairs : callable
    whole : FilledPairs
    progress : callable, optional
        Called with the numbers of pairs that are done and that there are, again and again.
    """
    edits = [_edits(request, number) for number in range(len(request))]
    total = sum(count_pairs(mutants.start) for mutants, _ in edits)
    done = 0
    for number, (mutants, index) in enumerate(edits):
        one = [x[number : number + 1] for x in request.inputs]
        reference, singles = run_singles(one, mutants, request.select)
        reference = reduced(reference, request.reduction)
        singles = (Part(part.index, reduced(part.outputs, request.reduction)) for part in singles)

        def counted(mutants: Mutants = mutants, one: list = one) -> Iterator[PairPart]:
            nonlocal done
            for part in run_pairs(one, mutants, request.select, (0, request.length)):
                outputs = reduced(part.outputs, request.reduction)
                yield PairPart(part.first, part.second, outputs)
                done += len(part.first)
                if progress is not None:
                    progress(done, total)

        whole.fill(number, index, reference, singles, counted())


def row_blocks(
    request: PairRequest,
    run_singles: RunSingles,
    run_pairs: RunPairs,
    rows: int | None,
    first: int,
) -> Iterator[PairRows]:
    """Run the pairs of one sequence, some rows of the result at a time.

    Parameters
    ----------
    request : PairRequest
        Of one sequence, with positions in ascending order.
    run_singles, run_pairs : callable
    rows : int or None
        Positions per block; by default as many as fit in 64 MiB.
    first : int
        Row to begin with.
    """
    mutants, index = _edits(request, 0)
    made, singles = run_singles(request.inputs, mutants, request.select)
    reference = reduced(made, request.reduction)
    singles = (Part(part.index, reduced(part.outputs, request.reduction)) for part in singles)
    count, characters = len(request.positions), request.inputs[request.which].shape[2]
    alone = [np.empty((count, characters, *y.shape[1:]), y.dtype) for y in reference]
    fill_singles(alone, reference, index, singles)
    bytes_of_row = sum(y.nbytes for y in alone) * characters
    rows = rows or max(min(ROW_BYTES // max(bytes_of_row, 1), count), 1)
    for begin in range(first, count, rows):
        end = min(begin + rows, count)
        leading = int(request.positions[begin]), int(request.positions[end - 1]) + 1
        both = [np.empty((end - begin, characters, *y[begin:].shape), y.dtype) for y in alone]
        parts = (
            PairPart(part.first, part.second, reduced(part.outputs, request.reduction))
            for part in run_pairs(request.inputs, mutants, request.select, leading)
        )
        fill_doubles(both, alone, reference, index, begin, parts)
        yield PairRows(begin, [y[0] for y in reference], alone, both)


def _edits(request: PairRequest, number: int) -> tuple[Mutants, tuple[np.ndarray, np.ndarray]]:
    """Single edits of one sequence, and the row of its position and the character of each."""
    x = request.inputs[request.which][number : number + 1]
    mutants, (_, rows, characters) = saturating_mutants(x, request.positions)
    return mutants, (rows, characters)


def count_pairs(position: np.ndarray) -> int:
    """How many pairs of edits at two positions there are.

    Parameters
    ----------
    position : ndarray of int, shape (edits,)
        Of every edit.

    Examples
    --------
    >>> count_pairs(np.array([3, 3, 3, 7, 7]))
    6
    """
    _, counts = np.unique(position, return_counts=True)
    return int((counts.sum() ** 2 - (counts**2).sum()) // 2)

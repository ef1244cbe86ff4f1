"""`NaiveISM`: every mutant through the whole model.

Requirements: numpy; frameworks only through front ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf
from typing import Any

import numpy as np

from fastism.backends import get_backend
from fastism.calls.base import MOST_SEQUENCES
from fastism.calls.inputs import Ranges
from fastism.calls.mutants import Mutants, Part
from fastism.calls.naive import (
    LARGE_BATCH_SIZES,
    USUAL_BATCH_SIZE,
    Forward,
    fitting_sizes,
    may_measure,
    run_mutants,
    run_while_tuning,
    tune_batch_size,
)
from fastism.errors import FastISMError
from fastism.frontends.mutant_batches import Batches
from fastism.scans.methods import Made, Scans
from fastism.scans.splices import Splices


class NaiveISM(Scans):
    """Every mutant through the whole model: the baseline, and the oracle.

    A Keras model is compiled by its framework, a torch module runs eagerly unless it is to be
    compiled; mutants of all sequences, positions and characters fill batches of one size.

    Parameters
    ----------
    model, seq_input_idx, change_ranges, seqlen, input_shape, channels_last
        As for `FastISM`.
    batch_size : int, optional
        Mutants per batch; the fastest of several is chosen by timing at the first use. With 1
        every sequence runs alone, also the unchanged ones: for models that mix the sequences of
        a batch.
    test_correctness : bool
        Check at once that a sequence gives the same at every place of a batch and alone, and
        raise if it does not; left out with ``batch_size=1``.
    compiled : bool
        Run the mutants of a torch module through `torch.compile`. That takes seconds to minutes
        for each batch size that is tried and a C++ compiler, and is faster for some modules only.
    precision : {"float32", "tf32"}
        As for `FastISM`.
    """

    def __init__(
        self,
        model: Any,
        seq_input_idx: int = 0,
        change_ranges: Ranges | None = None,
        *,
        batch_size: int | None = None,
        compiled: bool = False,
        seqlen: int | None = None,
        input_shape: Any = None,
        channels_last: bool | None = None,
        precision: str = "float32",
        test_correctness: bool = True,
    ) -> None:
        given = (seq_input_idx, change_ranges, seqlen, input_shape, channels_last)
        super().__init__(model, *given, check=test_correctness and batch_size != 1)
        self._settle(precision, self._front.framework)
        if batch_size is not None and batch_size < 1:
            raise FastISMError(f"batch_size must be at least 1; got {batch_size}.")
        self.batch_size, self._most = batch_size, inf
        # The size that was chosen by timing, and among how many.
        self._chosen: tuple[int, int] | None = None
        self._forward = self._front.compiled() if compiled else self._front.forward
        self._shapes: list[tuple[int, ...]] | None = None

    @property
    def num_outputs(self) -> int:
        """How many outputs the model has."""
        return len(self._output_shapes())

    def tune(self, x: Any) -> int:
        """Choose the fastest of several batch sizes by timing them, and keep it.

        Parameters
        ----------
        x : array, shape (N, L, C), or list of arrays
            Any valid input; its first sequence is run.

        Returns
        -------
        int
            The new `batch_size`.
        """
        inputs = self._inputs(x)
        self.batch_size = self._tuned(inputs, LARGE_BATCH_SIZES[-1])
        return self.batch_size

    def _output_shapes(self, inputs: Sequence[np.ndarray] = ()) -> list[tuple[int, ...]]:
        if self._shapes is None:
            shapes = self._front.input_shapes
            given = inputs or self._front.internal(
                [np.zeros((1, *shape), self._front.dtype) for shape in shapes]
            )
            self._shapes = [y.shape[1:] for y in self._front.forward([x[:1] for x in given])]
        return self._shapes

    def _sequences_per_run(self, width: int, alternatives: int) -> int:
        return int(max(1, min(MOST_SEQUENCES, self._most)))

    def _run(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        select: dict[int, np.ndarray | None],
        alternatives: int,
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        def selected(outputs: list[np.ndarray]) -> list[np.ndarray]:
            return [
                outputs[i] if entries is None else outputs[i][:, entries]
                for i, entries in select.items()
            ]

        def forward(batch: Sequence[np.ndarray]) -> list[np.ndarray]:
            return selected(self._forward(batch))

        # Not worth compiling for its batch size.
        reference = selected(self._references(inputs))
        return reference, self._parts(forward, self._front.batches(inputs), mutants)

    def _parts(self, forward: Forward, batches: Batches, mutants: Mutants) -> Iterator[Part]:
        """All mutants; the first of them in several batch sizes where it is not known yet."""
        sizes = self._sizes(len(mutants))
        if self._is_settled(len(sizes)):
            yield from run_mutants(forward, batches, mutants, self.batch_size)
            return
        self.batch_size = yield from run_while_tuning(forward, batches, mutants, sizes)
        self._chosen = self.batch_size, len(sizes)

    def _is_settled(self, sizes: int) -> bool:
        """Whether the batch size was given, or chosen among as many sizes as there are now."""
        if self.batch_size is None:
            return False
        return (
            self._chosen is None or self._chosen[0] != self.batch_size or sizes <= self._chosen[1]
        )

    def limit(self, most: int) -> None:
        """Let no batch that is chosen here have more than `most` mutants."""
        self._most = most

    def _sizes(self, mutants: int) -> list[int]:
        """The batch sizes to choose from for so many mutants; one where nothing may be timed."""
        if not may_measure():
            return fitting_sizes(USUAL_BATCH_SIZE, most=self._most)[-1:]
        front = self._front
        backend = get_backend(front.framework, front.dtype, front.device)
        return fitting_sizes(mutants, backend.accelerated, self._most)

    def _tuned(self, inputs: Sequence[np.ndarray], mutants: int) -> int:
        """The fastest batch size for so many mutants."""
        return tune_batch_size(self._forward, inputs, self._sizes(mutants))

    def _run_splices(
        self, inputs: Sequence[np.ndarray], splices: Splices, select: dict[int, np.ndarray | None]
    ) -> Made:
        if self.batch_size is None:
            self.batch_size = self._tuned(inputs, len(splices))
        for first in range(0, len(splices), self.batch_size):
            index = np.arange(first, min(first + self.batch_size, len(splices)))
            # All batches have one size, so that nothing is compiled twice.
            padded = np.resize(index, self.batch_size)
            batch = [np.repeat(x, self.batch_size, 0) for x in inputs]
            batch[self.seq_input_idx] = splices.sequences(padded)
            made = self._forward(batch)
            yield (
                index,
                [
                    (made[i] if e is None else made[i][:, e])[: len(index)]
                    for i, e in select.items()
                ],
            )

    def _references(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Outputs of the unchanged sequences: together, unless every sequence is to be alone."""
        if self.batch_size != 1:
            return self._front.forward(inputs)
        alone = [self._front.forward([x[i : i + 1] for x in inputs]) for i in range(len(inputs[0]))]
        return [np.concatenate(y) for y in zip(*alone, strict=True)]

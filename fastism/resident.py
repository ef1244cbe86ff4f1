"""Results that are laid out on the device, and stay there where they are asked for.

Requirements: numpy; frameworks only through backends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from fastism.backends.base import Array
from fastism.calls.filled import Filled
from fastism.calls.inputs import check_outputs, check_positions, saturating_mutants
from fastism.calls.mutants import Mutants
from fastism.calls.result import Saturation
from fastism.errors import FastISMError, no_memory
from fastism.propagated import Propagated
from fastism.running.resident import laid_out, reordered


class Resident(Propagated):
    """What brings the results of `FastISM` into their final order where they were made."""

    def _begin(
        self,
        whole: Filled,
        part: slice,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
        select: dict[int, np.ndarray | None],
    ) -> Callable[[], None]:
        given = (whole, part, inputs, mutants, index, select)
        if not self._backend.resident:
            return super()._begin(*given)
        swapped = whole.order.characters_first
        made = self._on_device(inputs, mutants, index, select, whole.shape, swapped)
        if made is None:
            return super()._begin(*given)
        copies = [[self._backend.start_copy(x) for x in arrays] for arrays in made]

        def finish() -> None:
            arrived = ([copy() for copy in each] for each in copies)
            whole.put(part, *arrived, self._backend.write)

        return finish

    def _on_device(
        self,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
        select: dict[int, np.ndarray | None],
        shape: tuple[int, ...],
        swapped: bool,
    ) -> tuple[list[Array], list[Array]] | None:
        """References and mutants of a group as results hold them, on the device.

        None where mutants run through the whole model, or where the device has no room for all.
        """
        alternatives = self._other_chars if len(shape) == 2 else 1
        key = mutants.width, alternatives
        if self._runs_naive(self._engines.single(*key).plan):
            return None
        b, engine = self._backend, self._engines.resident(*key)
        try:
            with self._exactly():
                reference, parts = engine.run(inputs, mutants, self._kept(select))
                made = laid_out(b, reference, parts, index, shape, swapped)
        except Exception as error:
            if not no_memory(error):
                raise
            return None
        ranks = 1, 1 + len(shape)
        orders = [self._element_order(i, entries) for i, entries in select.items()]
        return tuple(
            [
                x if order is None else reordered(b, x, order, rank)
                for x, order in zip(arrays, orders, strict=True)
            ]
            for arrays, rank in zip((reference, made), ranks, strict=True)
        )

    def _element_order(self, number: int, entries: np.ndarray | None) -> np.ndarray | None:
        """Which elements of an output of the graph stand where in the model's own order of axes."""
        view = self._front.view(number)
        if not view:
            return None
        shape = self._graph.nodes[self._graph.outputs[number]].shape
        order = view(np.arange(prod(shape)).reshape(1, *shape))[0]
        return order if entries is None else order[entries]

    def _as_tensors(self, inputs: list[np.ndarray], outputs: Any, positions: Any) -> Saturation:
        if self.backend != "torch":
            raise FastISMError(
                f"as_tensors=True gives tensors of PyTorch; this model runs on {self.backend}. "
                'Use FastISM(model, backend="torch"), or leave it out for arrays of NumPy.'
            )
        chosen = check_positions(positions, self.seqlen)
        select = check_outputs(outputs, self._output_shapes(inputs))
        shape, b = (len(chosen), self.num_chars), self._backend
        swapped = self._order.characters_first
        alternatives = np.zeros((len(inputs[0]), len(chosen)), dtype=np.int64)
        groups = []
        for part, group in self._groups(inputs, 1, self._other_chars):
            mutants, index = saturating_mutants(group[self.seq_input_idx], chosen)
            np.add.at(alternatives[part], index[:2], 1)
            made = self._on_device(group, mutants, index, select, shape, swapped)
            if made is None:
                # Through the whole model, or by smaller pieces: on the host, and back.
                whole = Filled(len(group[0]), shape, self._order)
                self._fill(whole, slice(None), group, mutants, index, select)
                moved = (self._order.outward(y) for y in whole.mutants)
                made = tuple([b.asarray(y) for y in each] for each in (whole.reference, moved))
            groups.append(made)
        columns = [
            [b.concatenate(pieces, 0) for pieces in zip(*each, strict=True)]
            for each in zip(*groups, strict=True)
        ]
        return Saturation(*map(self._packed, columns), chosen, b.asarray(alternatives), self.axes)

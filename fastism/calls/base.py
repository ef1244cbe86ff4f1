"""A model whose mutants are run: inputs checked, sequences in groups, results handed out.

Requirements: numpy; frameworks only through front ends.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastism.backends.precision import check_precision
from fastism.calls.axis_order import AxisOrder
from fastism.calls.inputs import (
    Ranges,
    characters_first,
    check_axes,
    check_axes_of_module,
    check_inputs,
    check_ranges,
    without_single_axis,
)
from fastism.calls.mutants import Mutants, Part
from fastism.calls.result import CHANNELS_FIRST, CHANNELS_LAST, Outputs, listed
from fastism.errors import FastISMError
from fastism.frontends import front_end
from fastism.frontends.batches import check_batches

#: Reference outputs, and outputs of mutants.
Ran = tuple[list[np.ndarray], Iterator[Part]]
#: Which entries of which outputs are kept; all entries where there is None.
Selection = dict[int, np.ndarray | None]
#: Most sequences whose mutants share a run.
MOST_SEQUENCES = 32


class Calls(ABC):
    """A model, and what all calls about its mutants share.

    Axes: N sequences, L positions, C characters. Inputs and results have the order of the model:
    (N, L, C) for Keras, (N, C, L) for torch modules. In here positions come first. The order is
    exchanged in the public methods: where users hand something in (`_inputs`) and where results
    leave (`AxisOrder.outward`). Methods whose names end in `by_position` exchange nothing.
    """

    def __init__(
        self,
        model: Any,
        seq_input_idx: int,
        change_ranges: Ranges | None,
        seqlen: int | None,
        input_shape: Any = None,
        channels_last: bool | None = None,
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
    def accelerated(self) -> bool:
        """Whether mutants run on a device with memory of its own, as far as that is known."""
        return False

    @property
    def output_names(self) -> list[str]:
        """Names of the outputs in order: those of a Keras model, or the keys of a torch module's.

        Where they have none, they are numbered.
        """
        names, count = self._front.output_names, self.num_outputs
        if len(names) == count:
            return list(names)
        return ["output"] if count == 1 else [f"output_{i}" for i in range(count)]

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
        select: Selection,
        alternatives: int,
    ) -> Ran:
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

    def _inputs(self, given: Any) -> list[np.ndarray]:
        """What users give, checked, with positions before characters."""
        given = without_single_axis(given, self.seq_input_idx, self._front.single_axis)
        arrays = check_inputs(given, self._front.input_shapes, self._front.dtype)
        check = check_axes_of_module if self._order.characters_first else check_axes
        check(arrays[self.seq_input_idx])
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

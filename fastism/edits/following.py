"""Saturation of sequences that change a little from call to call, such as those of a design.

What a substitution adds at the seam of the model stays as it is while no nonlinear step before the
seam sees both it and what has changed. So after a change only substitutions near it run again; what
is behind the seam runs for all of them.

Requirements: numpy; frameworks only behind `Backend`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastism.backends.base import Array
from fastism.calls.mutants import Mutants, Part
from fastism.edits.engine import EditEngine
from fastism.edits.plan import EditPlan


@dataclass
class Followed:
    """What is known of one sequence.

    Parameters
    ----------
    sequence : ndarray, shape (length, channels)
        As it was when the effects were found.
    effects : list of ndarray, each (positions, characters, *shape)
        What substitutions add, one per node of the seam.
    sides : list of array, each (1, *shape)
        What steps behind the seam read and no substitution changes.
    constant : list of ndarray or None, each (1, *shape)
        Outputs that no substitution changes.
    """

    sequence: np.ndarray
    effects: list[np.ndarray]
    sides: list[Array]
    constant: list[np.ndarray | None]


class Following:
    """Runs all substitutions of sequences, and keeps what they add.

    Parameters
    ----------
    engine : EditEngine
    plan : EditPlan
    which : int
        The input that is changed.
    positions : ndarray of int, shape (positions,)
        Where substitutions are made.
    characters : int
    """

    def __init__(
        self,
        engine: EditEngine,
        plan: EditPlan,
        which: int,
        positions: np.ndarray,
        characters: int,
    ) -> None:
        self._engine, self._plan, self._which = engine, plan, which
        self._positions, self._characters = positions, characters
        self._known: dict[int, Followed] = {}

    @property
    def sequence_bytes(self) -> int:
        """Bytes that are kept of every sequence."""
        numbers = len(self._positions) * self._characters * self._plan.seam.numbers
        return numbers * np.dtype(self._plan.seam.graph.dtype).itemsize

    def run(
        self,
        number: int,
        inputs: Sequence[np.ndarray],
        mutants: Mutants,
        index: tuple[np.ndarray, ...],
    ) -> tuple[list[np.ndarray], Iterator[Part]]:
        """Outputs of a sequence and of its substitutions.

        Parameters
        ----------
        number : int
            Which sequence, the same at every call; its other inputs never change.
        inputs : sequence of ndarray, each (1, *shape)
            One per model input.
        mutants : Mutants
        index : tuple of ndarray of int
            Sequence, row of the positions and character of every mutant.

        Returns
        -------
        reference : list of ndarray, each (1, *shape)
        parts : iterator of Part
            Every mutant comes once.
        """
        x, (_, rows, characters) = inputs[self._which][0], index
        if number in self._known:
            known = self._known[number]
            changed = np.flatnonzero((x != known.sequence).any(1))
            again = np.flatnonzero(self._plan.meets(self._positions, changed)[rows])
        else:
            known = self._known[number] = self._begin(inputs)
            again = np.arange(len(mutants))
        head = self._engine.head(1, max(self._characters - 1, 1))
        base, parts = head.run(inputs, mutants.some(again))
        for part in parts:
            place = rows[again[part.index]], characters[again[part.index]]
            for kept, y, before in zip(known.effects, part.outputs, base, strict=True):
                kept[place] = y - before
        known.sequence = x.copy()
        reference = self._finished(known, base)
        return reference, self._parts(known, base, rows, characters)

    def _begin(self, inputs: Sequence[np.ndarray]) -> Followed:
        sides, constant = self._engine.unchanged(inputs)
        seam, shape = self._plan.seam, (len(self._positions), self._characters)
        effects = [
            np.zeros((*shape, *seam.graph.nodes[i].shape), seam.graph.dtype) for i in seam.nodes
        ]
        return Followed(inputs[self._which][0], effects, sides, constant)

    def _finished(self, known: Followed, sums: Sequence[np.ndarray]) -> list[np.ndarray]:
        """All outputs of the sequence itself."""
        made = self._engine.finished(np.zeros(1, np.int64), sums, known.sides)
        outputs = [c if y is None else y for y, c in zip(made, known.constant, strict=True)]
        return [y for y in outputs if y is not None]

    def _parts(
        self,
        known: Followed,
        base: Sequence[np.ndarray],
        rows: np.ndarray,
        characters: np.ndarray,
    ) -> Iterator[Part]:
        for first in range(0, len(rows), self._engine.most):
            some = np.arange(first, min(first + self._engine.most, len(rows)))
            place = rows[some], characters[some]
            sums = [y + kept[place] for y, kept in zip(base, known.effects, strict=True)]
            yield Part(
                some, self._engine.finished(np.zeros(len(some), np.int64), sums, known.sides)
            )

"""Mutants of a few sequences, and the outputs that a model gives for some of them.

Requirements: numpy only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Mutants:
    """Single-edit mutants of a few sequences.

    Parameters
    ----------
    sequence : ndarray of int, shape (mutants,)
        Which sequence is changed.
    start : ndarray of int, shape (mutants,)
        First changed position.
    replacement : ndarray, shape (mutants, width, channels)
        What stands there instead.
    delta : ndarray, shape (mutants, width, channels)
        Replacement minus what stood there.
    """

    sequence: np.ndarray
    start: np.ndarray
    replacement: np.ndarray
    delta: np.ndarray

    def __len__(self) -> int:
        return len(self.start)

    @property
    def width(self) -> int:
        """Positions that an edit replaces."""
        return self.delta.shape[1]

    @property
    def kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """Deltas ``(kinds, width, channels)``, and the number of its delta for every mutant."""
        return self.delta, np.arange(len(self))

    def some(self, index: np.ndarray) -> Mutants:
        """Those at `index`, in that order."""
        given = (self.sequence, self.start, self.replacement, self.delta)
        return Mutants(*(x[index] for x in given))


class Substitutions(Mutants):
    """Mutants whose edits are of a few kinds, such as A to C.

    What stands in the rows of every mutant is made where it is asked for: a device that has its own
    memory makes it there, from the number of the kind.

    Parameters
    ----------
    sequence, start : ndarray of int, shape (mutants,)
        As for `Mutants`.
    kind : ndarray of int, shape (mutants,)
        Which kind of edit each mutant has.
    replacements, deltas : ndarray, shape (kinds, width, channels)
        What an edit of each kind writes, and what that differs by from what stood there.
    """

    def __init__(
        self,
        sequence: np.ndarray,
        start: np.ndarray,
        kind: np.ndarray,
        replacements: np.ndarray,
        deltas: np.ndarray,
    ) -> None:
        given = {"sequence": sequence, "start": start, "_kind": kind}
        vars(self).update(given, _replacements=replacements, _deltas=deltas)

    @cached_property
    def replacement(self) -> np.ndarray:
        """As for `Mutants`."""
        return self._replacements[self._kind]

    @cached_property
    def delta(self) -> np.ndarray:
        """As for `Mutants`."""
        return self._deltas[self._kind]

    @property
    def width(self) -> int:
        """See `Mutants`."""
        return self._deltas.shape[1]

    @property
    def kinds(self) -> tuple[np.ndarray, np.ndarray]:
        """See `Mutants`."""
        return self._deltas, self._kind

    def some(self, index: np.ndarray) -> Substitutions:
        """See `Mutants`."""
        given = (x[index] for x in (self.sequence, self.start, self._kind))
        return Substitutions(*given, self._replacements, self._deltas)


@dataclass(frozen=True)
class Part:
    """Outputs of some mutants.

    Parameters
    ----------
    index : ndarray of int, shape (mutants,)
        Which mutants.
    outputs : list of ndarray
        One per wanted output, ``(mutants, *shape)``; None for an output that does not depend on
        the perturbed input.
    """

    index: np.ndarray
    outputs: list[np.ndarray | None]

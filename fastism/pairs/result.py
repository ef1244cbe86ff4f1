"""What double mutagenesis returns.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fastism.calls.result import Outputs

#: Axes of double mutants, in the order of the model's own input.
PAIRS_LAST = ("sequence", "position", "character", "position", "character", "output...")
PAIRS_FIRST = ("sequence", "character", "position", "character", "position", "output...")


@dataclass(frozen=True)
class PairPart:
    """Outputs of some pairs of edits.

    Parameters
    ----------
    first, second : ndarray of int, shape (pairs,)
        The edits; the position of the first one is the smaller.
    outputs : list of ndarray
        One per wanted output, ``(pairs, *shape)``; None for an output that does not depend on the
        perturbed input.
    """

    first: np.ndarray
    second: np.ndarray
    outputs: list[np.ndarray | None]


@dataclass(frozen=True)
class PairRows:
    """Some rows of the pairs of one sequence: one position with all from `first` on.

    Positions come before characters, whatever the model's layout. Lists have one array per output.

    Parameters
    ----------
    first : int
        Row of the first position, among those that were chosen.
    reference : list of ndarray, each of shape output
    singles : list of ndarray, each (P, C, *output)
        Of all positions.
    doubles : list of ndarray, each (R, C, P - first, C, *output)
        Of positions `first` to ``first + R`` with all from `first` on; see `Pairs`.
    """

    first: int
    reference: list[np.ndarray]
    singles: list[np.ndarray]
    doubles: list[np.ndarray]

    @property
    def last(self) -> int:
        """Row behind the last one."""
        return self.first + len(self.doubles[0])

    def epistasis(self) -> list[np.ndarray]:
        """f(ij) - f(i) - f(j) + f(0), with the axes of `doubles`."""
        made = []
        for y, alone, reference in zip(self.doubles, self.singles, self.reference, strict=True):
            mine, rest = alone[self.first : self.last], alone[self.first :]
            x = (y + reference) - (mine[:, :, None, None] + rest)
            same = np.arange(len(y))
            x[same, :, same] = 0
            made.append(x)
        return made

    def dependency(self) -> list[np.ndarray]:
        """Largest absolute epistasis over the characters, each (R, P - first, *output)."""
        return [np.abs(x).max((1, 3)) for x in self.epistasis()]


@dataclass(frozen=True)
class Pairs:
    """Model outputs for every two characters at every two positions.

    Axes: N sequences, P positions (all L of them unless some were chosen), C characters, in the
    order of the model's input as `axes` says: for torch modules that take ``(N, C, L)`` characters
    come before positions. Where the model has several outputs, every array is a list of arrays.

    Parameters
    ----------
    reference : ndarray, shape (N, *output)
        Outputs for the sequences as they are.
    singles : ndarray, shape (N, P, C, *output) or (N, C, P, *output)
        Outputs with character c at position p; at the reference character, the reference output.
    doubles : ndarray, shape (N, P, C, P, C, *output) or (N, C, P, C, P, *output)
        Outputs with both characters, symmetric. Where one of them stands there already: that of
        the other edit alone. Where both positions are the same, no such mutant exists; the sum of
        both effects stands there, so that epistasis is zero.
    positions : ndarray of int, shape (P,)
        0-based positions.
    axes : tuple of str
        Names of the axes of `doubles`.
    """

    reference: Outputs
    singles: Outputs
    doubles: Outputs
    positions: np.ndarray
    axes: tuple[str, ...] = PAIRS_LAST

    def epistasis(self) -> Outputs:
        """f(ij) - f(i) - f(j) + f(0), with the axes of `doubles`.

        What the two edits do together beyond the sum of what each does alone; exactly zero where
        one of them changes nothing, and where both are at one position.
        """
        return self._each(self._epistasis)

    def dependency(self) -> Outputs:
        """Largest absolute epistasis over the characters, shape (N, P, P, *output)."""
        characters = tuple(i for i, name in enumerate(self.axes) if name == "character")
        return self._each(lambda *given: np.abs(self._epistasis(*given)).max(characters))

    def _epistasis(
        self, doubles: np.ndarray, singles: np.ndarray, reference: np.ndarray
    ) -> np.ndarray:
        # In this order the result is symmetric, and zero where an edit is none, to the last bit.
        made = doubles + reference[:, None, None, None, None]
        made -= singles[:, :, :, None, None] + singles[:, None, None]
        same = self.positions[:, None] == self.positions
        by_position = made if self.axes[1] == "position" else made.swapaxes(1, 2).swapaxes(3, 4)
        by_position.swapaxes(2, 3)[:, same] = 0
        return made

    def _each(self, function: Callable[..., np.ndarray]) -> Outputs:
        if isinstance(self.doubles, list):
            given = zip(self.doubles, self.singles, self.reference, strict=True)
            return [function(*arrays) for arrays in given]
        return function(self.doubles, self.singles, self.reference)

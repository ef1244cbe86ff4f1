"""Greedy directed evolution: at every step the best of all substitutions.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from fastism.base_ism import BaseISM
from fastism.calls.inputs import check_positions
from fastism.calls.result import listed
from fastism.design.objectives import Objective, as_objective
from fastism.errors import FastISMError
from fastism.ism import FastISM

NotFinite = Literal["error", "skip", "keep"]


@dataclass(frozen=True)
class Substitution:
    """One change that was made.

    Parameters
    ----------
    sequence, step : int
        Which sequence, and at which step, counted from 1; several changes may share a step.
    position : int
        0-based.
    before, after : int
        Which character stood there and stands there now; -1 for a row that is not one-hot.
    objective : float
        What the sequence reaches after this step, all of its changes made.
    """

    sequence: int
    step: int
    position: int
    before: int
    after: int
    objective: float


@dataclass(frozen=True)
class Evolution:
    """How sequences were changed, and what came out.

    Parameters
    ----------
    sequences : ndarray, shape (N, L, C), or (N, C, L) for torch modules
        The designs.
    start, end : ndarray, shape (N,)
        The objective of the sequences as they were given, and of the designs.
    substitutions : tuple of Substitution
        In the order in which they were made.
    not_finite : tuple of int
        Sequences that were given up at some step, since the objective is NaN or infinite for them
        or, unless such mutants are passed over, for a mutant of them. Their numbers in `start` and
        `end` are NaN.
    """

    sequences: np.ndarray
    start: np.ndarray
    end: np.ndarray
    substitutions: tuple[Substitution, ...]
    not_finite: tuple[int, ...] = ()


def evolve(
    ism: BaseISM,
    x: Any,
    steps: int,
    objective: Any = 0,
    *,
    minimise: bool = False,
    edits: int = 1,
    positions: Any = None,
    not_finite: NotFinite = "error",
    progress: Callable[[int, int], None] | None = None,
) -> Evolution:
    """Improve sequences by the best substitutions of every step, found by exact ISM.

    At every step all substitutions of every sequence are scored; the best is made, until none
    improves the objective. With ``edits=k`` the k best at different positions are made at once.
    Where these get in each other's way, so that they reach less together than the best alone, only
    the best is made: no step makes a sequence worse.

    Parameters
    ----------
    ism : FastISM or NaiveISM
    x : array, shape (N, L, C), or list of arrays
        As for `saturate`; one-hot where a character stands. For torch modules (N, C, L).
    steps : int
        Most steps.
    objective : int, Goal, sequence of Goal, or callable
        What is to grow: an entry of the model's only output; one or several weighted numbers of its
        outputs, which are added up; or a function from outputs (mutants, *output), a list of them
        where the model has several, to numbers (mutants,).
    minimise : bool
        Make the objective small instead.
    edits : int
        Substitutions per step.
    positions : optional
        Where substitutions may be made, as for `saturate`: all others stay as they are.
    not_finite : {"error", "skip", "keep"}
        What to do where the objective is NaN or infinite for a mutant: raise, give the sequence up,
        or never choose that mutant.
    progress : callable, optional
        Called after every step with its number and how many sequences still improved.

    Returns
    -------
    Evolution

    Raises
    ------
    FastISMError
        If something given does not fit the model, or the objective is no number for every mutant.
    """
    for name, value in (("steps", steps), ("edits", edits)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise FastISMError(f"{name} is a whole number from 1 on; got {value!r}.")
    if not_finite not in get_args(NotFinite):
        raise FastISMError(f"not_finite is one of {get_args(NotFinite)}; got {not_finite!r}.")
    sign = -1.0 if minimise else 1.0
    search = _Search(ism, objective, sign, int(edits), positions, not_finite)
    arrays = [np.array(y) for y in (x if ism.num_inputs > 1 else [x])]
    return search.run(arrays, steps, progress)


class _Search:
    """Settings of an evolution that stay the same from step to step."""

    def __init__(
        self,
        ism: BaseISM,
        objective: Any,
        sign: float,
        edits: int,
        positions: Any,
        not_finite: NotFinite,
    ) -> None:
        self.ism, self.sign, self.edits, self.policy = ism, sign, edits, not_finite
        self._objective: Objective = as_objective(objective, ism.output_shapes)
        self._positions = check_positions(positions, ism.seqlen)
        self._last = ism.axes.index("position") < ism.axes.index("character")

    def run(
        self,
        arrays: list[np.ndarray],
        steps: int,
        progress: Callable[[int, int], None] | None,
    ) -> Evolution:
        """Change `arrays`, the inputs, in place."""
        sequence = self.ism.seq_input_idx
        rows = arrays[sequence] if self._last else arrays[sequence].swapaxes(1, 2)
        active = np.arange(len(rows))
        self._saturate = self.ism.saturate_changing(len(rows), self._positions)
        start, end = np.empty(len(rows)), np.empty(len(rows))
        made: list[Substitution] = []
        given_up: list[int] = []
        for step in range(1, steps + 1):
            now, scores = self._scored([y[active] for y in arrays], active)
            end[active] = now
            if step == 1:
                start[:] = now
            better = []
            for i, row in enumerate(active):
                if not self._usable(now[i], scores[i]):
                    given_up.append(int(row))
                    start[row] = end[row] = np.nan
                    continue
                changes = self._best(scores[i], now[i], rows[row])
                if changes:
                    end[row] = self._apply(arrays, rows, row, changes, scores[i])
                    better.append(row)
                    made += self._told(int(row), step, changes, self.sign * float(end[row]))
            active = np.array(better, dtype=np.int64)
            if progress is not None:
                progress(step, len(active))
            if not len(active):
                break
        ends = self.sign * start, self.sign * end
        return Evolution(arrays[sequence], *ends, tuple(made), tuple(given_up))

    def _usable(self, now: float, scores: np.ndarray) -> bool:
        """Whether a sequence can be improved by what is known of it.

        Raises
        ------
        FastISMError
            Where what is not finite is an error.
        """
        usable = bool(np.isfinite(now))
        if usable and self.policy == "keep":
            scores[~np.isfinite(scores)] = -np.inf
            return True
        usable = usable and bool(np.isfinite(scores).all())
        if not usable and self.policy == "error":
            raise FastISMError("The objective is not finite for some mutants (NaN or infinite).")
        return usable

    def _scored(
        self, arrays: list[np.ndarray], active: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The objective now, (sequences,), and of all mutants, (sequences, positions, characters).

        Both are to be made large. `active` are the numbers of the sequences.
        """
        found = self._saturate(self._given(arrays), active.tolist())
        now, scores = self._both(found)
        bad = np.flatnonzero(~(np.isfinite(now) & np.isfinite(scores).all((1, 2))))
        if len(bad) and isinstance(self.ism, FastISM):
            # Differences of infinite values are no numbers: the model itself is asked.
            again = self._given([y[bad] for y in arrays])
            now[bad], scores[bad] = self._both(
                self.ism.naive().saturate(again, positions=self._positions)
            )
        return now, scores if self._last else scores.swapaxes(1, 2)

    def _both(self, found: Any) -> tuple[np.ndarray, np.ndarray]:
        """The objective of sequences, and of their mutants in the order of the model's axes."""
        mutants = listed(found.mutants)[0].shape[:3]
        return self._numbers(found.reference, ()), self._numbers(found.mutants, mutants)

    def _told(
        self, row: int, step: int, changes: list[tuple[int, int, int]], reached: float
    ) -> list[Substitution]:
        """Changes that were made, for the result."""
        return [
            Substitution(row, step, int(self._positions[p]), before, after, reached)
            for p, before, after in changes
        ]

    def _given(self, arrays: list[np.ndarray]) -> Any:
        return arrays if self.ism.num_inputs > 1 else arrays[0]

    def _numbers(self, outputs: Any, shape: tuple[int, ...]) -> np.ndarray:
        """The objective, to be made large, for every mutant; `shape` of the mutants' axes."""
        flat = [y.reshape(-1, *y.shape[len(shape) or 1 :]) for y in listed(outputs)]
        made = np.asarray(self._objective(flat if self.ism.num_outputs > 1 else flat[0]))
        if made.shape != (len(flat[0]),) or made.dtype.kind not in "fiu":
            raise FastISMError(
                f"The objective gave an array of shape {made.shape} and type {made.dtype} for "
                f"{len(flat[0])} mutants; expected one number for each."
            )
        return self.sign * made.astype(np.float64).reshape(shape or -1)

    def _best(self, scores: np.ndarray, now: float, rows: np.ndarray) -> list[tuple[int, int, int]]:
        """The best substitutions that improve, (index of position, before, after) each."""
        best = scores.max(1)
        order = np.argsort(-best, kind="stable")[: self.edits]
        changes = []
        for p in order:
            if best[p] > now:
                row = rows[self._positions[p]]
                one_hot = row.max(initial=0) == 1 and np.count_nonzero(row) == 1
                before = int(row.argmax()) if one_hot else -1
                changes.append((int(p), before, int(scores[p].argmax())))
        return changes

    def _apply(
        self,
        arrays: list[np.ndarray],
        rows: np.ndarray,
        row: int,
        changes: list[tuple[int, int, int]],
        scores: np.ndarray,
    ) -> float:
        """Make the changes in one sequence, or only the best where all do less; what is reached."""
        best, _, letter = changes[0]
        alone = float(scores[best, letter])
        before = rows[row].copy()
        self._write(rows[row], changes)
        if len(changes) == 1:
            return alone
        together = self._reached(arrays, row)
        if not np.isfinite(together) and self.policy == "error":
            raise FastISMError("The objective is not finite for some mutants (NaN or infinite).")
        if np.isfinite(together) and together >= alone:
            return together
        rows[row] = before
        del changes[1:]
        self._write(rows[row], changes)
        return alone

    def _write(self, rows: np.ndarray, changes: list[tuple[int, int, int]]) -> None:
        for p, _, letter in changes:
            rows[self._positions[p]] = 0
            rows[self._positions[p], letter] = 1

    def _reached(self, arrays: list[np.ndarray], row: int) -> float:
        """The objective of one sequence as it is now."""
        given = self._given([y[row : row + 1] for y in arrays])
        found = self.ism.saturate(given, positions=self._positions[:1])
        return float(self._numbers(found.reference, ())[0])

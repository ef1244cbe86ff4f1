"""What scores come to: for every output, for every sequence, and along the sequence.

Scores are read in blocks, so that memory does not grow with the number of sequences.

Requirements: numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fastism.plots.place import Place, places
from fastism.store.scores import Scores


@dataclass(frozen=True)
class Change:
    """A substitution and its effect.

    Attributes
    ----------
    position : int
        Within the sequence, 0-based.
    where : str
        The same in the genome, as CHROM:START-END; empty where it is not known.
    before, after : str
        Characters; a position without one is N.
    effect : float
    """

    position: int
    where: str
    before: str
    after: str
    effect: float


@dataclass(frozen=True)
class SequenceSummary:
    """One sequence.

    Attributes
    ----------
    row : int
    place : Place
    reference : float
        The output for the sequence as it is.
    lowering, raising : Change or None
        The strongest ones; None where nothing lowers or raises.
    mean : float
        Mean absolute effect of all alternatives.
    finite : bool
        False where the model gave NaN or infinite outputs: there is nothing else to say.
    """

    row: int
    place: Place
    reference: float
    lowering: Change | None
    raising: Change | None
    mean: float
    finite: bool

    @property
    def strongest(self) -> Change | None:
        """The change with the largest effect in either direction."""
        found = [change for change in (self.lowering, self.raising) if change]
        return max(found, key=lambda change: abs(change.effect), default=None)


@dataclass(frozen=True)
class OutputSummary:
    """One number of the model's outputs, over all sequences that are finite.

    Attributes
    ----------
    name : str
    references : (float, float, float)
        Smallest, mean and largest output for sequences as they are.
    lowest, highest : float
        Effects.
    mean : float
        Mean absolute effect.
    """

    name: str
    references: tuple[float, float, float]
    lowest: float
    highest: float
    mean: float


def of_sequences(scores: Scores) -> tuple[list[SequenceSummary], np.ndarray]:
    """Every sequence of scores of a single number, and the mean effect along them.

    Returns
    -------
    list of SequenceSummary
        In the order of the rows.
    ndarray, float64, shape (P,)
        Mean absolute effect at every scored position, over finite sequences; NaN without any.
    """
    header, everything = scores.header, list(places(scores))
    made: list[SequenceSummary] = []
    total, count = np.zeros(header.scored), 0
    for rows in scores.blocks():
        one_hot = scores.one_hot(rows)[:, slice(*header.positions)]
        deltas = scores.deltas(0, rows).reshape(one_hot.shape)
        references = scores.reference(0, rows).reshape(len(one_hot))
        alternatives = len(header.alphabet) - one_hot.any(2)
        for row in range(len(one_hot)):
            place, own = everything[rows.start + row], deltas[row]
            finite = bool(np.isfinite(own).all() and np.isfinite(references[row]))
            if finite:
                along = np.abs(own, dtype=np.float64).sum(1) / alternatives[row]
                total, count = total + along, count + 1
            made.append(
                SequenceSummary(
                    rows.start + row,
                    place,
                    float(references[row]),
                    _change(own, one_hot[row], place, header.alphabet, -1) if finite else None,
                    _change(own, one_hot[row], place, header.alphabet, 1) if finite else None,
                    float(along.mean()) if finite else float("nan"),
                    finite,
                )
            )
    return made, total / count if count else np.full(header.scored, np.nan)


def _change(
    deltas: np.ndarray, one_hot: np.ndarray, place: Place, alphabet: str, sign: int
) -> Change | None:
    """The strongest change in one direction."""
    row, character = divmod(int((sign * deltas).argmax()), len(alphabet))
    effect = float(deltas[row, character])
    if sign * effect <= 0:
        return None
    before = alphabet[int(one_hot[row].argmax())] if one_hot[row].any() else "N"
    base = place.start(row)
    where = f"{place.chrom}:{base}-{base + 1}" if place.chrom else ""
    return Change(place.scored[0] + row, where, before, alphabet[character], effect)


def of_outputs(scores: Scores) -> list[OutputSummary]:
    """Every number of all outputs."""
    return [
        summary
        for number, output in enumerate(scores.header.outputs)
        for summary in _of_output(scores, number, output.columns())
    ]


def _of_output(scores: Scores, number: int, names: list[str]) -> list[OutputSummary]:
    columns = len(names)
    low, high = np.full(columns, np.inf), np.full(columns, -np.inf)
    lowest, highest = np.zeros(columns), np.zeros(columns)
    sums, total, count = np.zeros(columns), np.zeros(columns), np.zeros(columns)
    effects = np.zeros(columns)
    for rows in scores.blocks():
        references = scores.reference(number, rows).reshape(-1, columns).astype(np.float64)
        one_hot = scores.one_hot(rows)[:, slice(*scores.header.positions)]
        deltas = scores.deltas(number, rows).reshape(len(references), -1, columns)
        finite = np.isfinite(deltas).all(1) & np.isfinite(references)
        alternatives = one_hot.shape[1] * one_hot.shape[2] - one_hot.sum((1, 2), dtype=np.int64)
        low = np.minimum(low, np.where(finite, references, np.inf).min(0, initial=np.inf))
        high = np.maximum(high, np.where(finite, references, -np.inf).max(0, initial=-np.inf))
        kept = np.where(finite[:, None], deltas, 0)
        lowest = np.minimum(lowest, kept.min((0, 1), initial=0))
        highest = np.maximum(highest, kept.max((0, 1), initial=0))
        sums += np.where(finite, references, 0).sum(0)
        total += np.abs(kept).sum((0, 1), dtype=np.float64)
        count += finite.sum(0)
        effects += (finite * alternatives[:, None]).sum(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        means, mean = sums / count, total / effects
    return [
        OutputSummary(
            name,
            (float(low[i]), float(means[i]), float(high[i])),
            float(lowest[i]),
            float(highest[i]),
            float(mean[i]),
        )
        for i, name in enumerate(names)
    ]

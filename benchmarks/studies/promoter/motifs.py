"""Where motifs match: log-odds matrices, thresholds by p value, and shuffled matrices as controls.

Requirements: numpy, fastism.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fastism.errors import FastISMError
from fastism.sequences import DNA

#: Scores are whole multiples of one over this many bits, so that p values are exact.
PER_BIT = 1000
#: Counts that are added to every column, in the proportions of the background.
PSEUDOCOUNT = 1.0
#: Matrices that are scored at a time.
CHUNK = 64


@dataclass(frozen=True)
class Motif:
    """A motif as counts of bases.

    Attributes
    ----------
    identifier, name : str
        As in JASPAR: MA1456.2, Dref.
    counts : ndarray, float64, shape (width, 4)
        In the order A, C, G, T.
    """

    identifier: str
    name: str
    counts: np.ndarray

    @property
    def consensus(self) -> str:
        """The most frequent base of every position."""
        return consensus(self.counts)


@dataclass(frozen=True)
class Matches:
    """Where matrices match, of one strand or the other.

    Attributes
    ----------
    matrix, sequence, start : ndarray of int, shape (matches,)
        Which matrix, which sequence, and the first position of the match in it (0-based).
    score : ndarray, float64, shape (matches,)
        Log-odds, bits.
    width : int
        Positions of a match, the same for all.
    """

    matrix: np.ndarray
    sequence: np.ndarray
    start: np.ndarray
    score: np.ndarray
    width: int

    def __len__(self) -> int:
        return len(self.start)

    def where(self, chosen: np.ndarray) -> Matches:
        """Some of the matches, by a mask of shape (matches,)."""
        parts = (self.matrix, self.sequence, self.start, self.score)
        return Matches(*(part[chosen] for part in parts), self.width)

    def within(self, first: int, last: int) -> Matches:
        """Those that lie in the positions [first, last) of their sequence."""
        return self.where((self.start >= first) & (self.start + self.width <= last))

    def means(self, values: np.ndarray) -> np.ndarray:
        """Mean over the positions of every match, of values per sequence and position.

        Parameters
        ----------
        values : ndarray, shape (sequences, length)

        Returns
        -------
        ndarray, float64, shape (matches,)
        """
        sums = np.cumsum(values, axis=1, dtype=np.float64)
        sums = np.pad(sums, ((0, 0), (1, 0)))
        ends = sums[self.sequence, self.start + self.width]
        return (ends - sums[self.sequence, self.start]) / self.width


def consensus(counts: np.ndarray) -> str:
    """The most frequent base of every row of counts."""
    return "".join(DNA[i] for i in counts.argmax(axis=1))


def read_motifs(path: str | Path) -> list[Motif]:
    """Read count matrices in JASPAR's format.

    Raises
    ------
    FastISMError
        The file is missing or not in that format.
    """
    try:
        text = Path(path).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FastISMError(
            f"{path} cannot be read ({error}); expected matrices of JASPAR."
        ) from None
    entries = re.findall(r"^>(\S+)[ \t]+(\S.*)\n((?:[ACGT]\s*\[.*\]\s*)*)", text, re.MULTILINE)
    motifs = []
    for identifier, name, body in entries:
        rows = dict(re.findall(r"([ACGT])\s*\[([^\]]*)\]", body))
        counts = [np.array(rows.get(base, "").split(), dtype=float) for base in DNA]
        if len({len(row) for row in counts}) != 1 or not len(counts[0]):
            raise FastISMError(
                f"{path}: {identifier} {name} has not one row of counts per base, of equal "
                "lengths; expected JASPAR's format, `A [ 1 2 3 ]` and so on."
            )
        motifs.append(Motif(identifier, name.strip(), np.stack(counts, axis=1)))
    if not motifs:
        raise FastISMError(f"{path} holds no matrices; expected JASPAR's format, `>ID name`.")
    return motifs


def log_odds(counts: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Scores of bases against a background.

    Parameters
    ----------
    counts : ndarray, shape (width, 4)
    background : ndarray, shape (4,)
        Frequencies of the bases.

    Returns
    -------
    ndarray of int, shape (width, 4)
        Thousandths of a bit.
    """
    total = counts.sum(axis=1, keepdims=True) + PSEUDOCOUNT
    frequencies = (counts + PSEUDOCOUNT * background) / total
    return np.rint(PER_BIT * np.log2(frequencies / background)).astype(int)


def threshold(weights: np.ndarray, background: np.ndarray, p_value: float) -> int:
    """The lowest score that random letters reach with a probability of at most `p_value`.

    The distribution of scores of independent letters is computed exactly, column by column. A
    matrix with the same columns in another order has the same threshold.

    Parameters
    ----------
    weights : ndarray of int, shape (width, 4)
        From `log_odds`.
    background : ndarray, shape (4,)
    p_value : float
        Of one position on one strand.

    Raises
    ------
    FastISMError
        Even the best letters have a larger probability.
    """
    lowest = weights.min(axis=1)
    chances = np.ones(1)
    for column, low in zip(weights, lowest, strict=True):
        longer = np.zeros(len(chances) + int(column.max() - low))
        for score, share in zip(column - low, background, strict=True):
            longer[score : score + len(chances)] += share * chances
        chances = longer
    tail = np.cumsum(chances[::-1])[::-1]
    # Scores that cannot occur have the tail of the next that can: take the latter.
    reached = np.flatnonzero((tail <= p_value) & (chances > 0))
    if not len(reached):
        raise FastISMError(
            f"A motif of {len(weights)} positions has no match with p <= {p_value:g}: its best "
            f"has p = {tail[-1]:.2g}. Choose a larger p value."
        )
    return int(reached[0] + lowest.sum())


def column_shuffles(counts: np.ndarray, number: int, rng: np.random.Generator) -> list[np.ndarray]:
    """The same columns in other orders, as controls.

    Orders that spell the consensus of the motif, on either strand, are drawn again: they would
    match what the motif itself matches.

    Parameters
    ----------
    counts : ndarray, shape (width, 4)
    number : int
    rng : numpy.random.Generator
        Determines them.

    Returns
    -------
    list of ndarray
        `number` of them, which are not necessarily distinct.

    Raises
    ------
    FastISMError
        No order spells anything else.
    """
    # A matrix read backwards with A and T, C and G exchanged is that of the other strand.
    own = {consensus(counts), consensus(counts[::-1, ::-1])}
    if len(set(consensus(counts))) == 1:
        raise FastISMError("All columns of a motif have the same best base: it has no shuffles.")
    shuffles: list[np.ndarray] = []
    while len(shuffles) < number:
        shuffled = rng.permutation(counts, axis=0)
        if consensus(shuffled) not in own:
            shuffles.append(shuffled)
    return shuffles


def scan(sequences: np.ndarray, weights: Sequence[np.ndarray], least: int) -> Matches:
    """Matches of matrices of one width, on both strands.

    Of matches of one matrix that overlap, the best counts (the first of equals), so that a run of
    repeats is not counted over and over, and neither is a palindrome.

    Parameters
    ----------
    sequences : ndarray, shape (sequences, length, 4)
        One-hot.
    weights : sequence of ndarray of int, shape (width, 4)
        From `log_odds`.
    least : int
        The lowest score of a match, in the unit of `weights`.

    Raises
    ------
    FastISMError
        A sequence has other letters than A, C, G and T.
    """
    if not (sequences.sum(axis=2) == 1).all():
        raise FastISMError("Motifs are looked for in sequences of A, C, G and T only.")
    width = len(weights[0])
    words, word_of = _words(sequences.argmax(axis=2), width)
    # Where every word stands: places[bounds[i] : bounds[i + 1]] for the word i.
    places = np.argsort(word_of, kind="stable")
    bounds = np.searchsorted(word_of[places], np.arange(len(words) + 1))
    flat = np.eye(4, dtype=np.float32)[words].reshape(len(words), width * 4)
    found = []
    for first in range(0, len(weights), CHUNK):
        both = [w for one in weights[first : first + CHUNK] for w in (one, one[::-1, ::-1])]
        # Whole numbers below 2**24: exact in single precision.
        scores = flat @ np.stack([w.reshape(-1) for w in both], axis=1).astype(np.float32)
        word, column = np.nonzero(scores >= least)
        times = bounds[word + 1] - bounds[word]
        begin = np.repeat(bounds[word] - np.cumsum(times) + times, times)
        place = places[begin + np.arange(len(begin))]
        found.append(
            (first + np.repeat(column // 2, times), place, np.repeat(scores[word, column], times))
        )
    matrix, place, score = (np.concatenate(part) for part in zip(*found, strict=True))
    sequence, start = np.divmod(place, sequences.shape[1] - width + 1)
    order = np.lexsort((start, -score, sequence, matrix))
    bits = score[order].astype(np.float64) / PER_BIT
    every = Matches(matrix[order], sequence[order], start[order], bits, width)
    return every.where(_best_of_overlapping(every))


def _words(letters: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Distinct words of a width, (words, width), and which of them stands at every place, flat."""
    windows = np.lib.stride_tricks.sliding_window_view(letters, width, axis=1)
    codes = (windows @ 4 ** np.arange(width)).reshape(-1)
    distinct, index = np.unique(codes, return_inverse=True)
    return distinct[:, None] // 4 ** np.arange(width) % 4, index


def _best_of_overlapping(matches: Matches) -> np.ndarray:
    """Which matches overlap none that comes before them and is kept; best ones come first."""
    keep = np.zeros(len(matches), dtype=bool)
    before, kept = None, []
    places = zip(
        matches.matrix.tolist(), matches.sequence.tolist(), matches.start.tolist(), strict=True
    )
    for index, (matrix, sequence, start) in enumerate(places):
        if (matrix, sequence) != before:
            before, kept = (matrix, sequence), []
        if all(abs(start - other) >= matches.width for other in kept):
            kept.append(start)
            keep[index] = True
    return keep

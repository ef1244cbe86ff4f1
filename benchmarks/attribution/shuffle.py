"""Shuffled sequences that keep their dinucleotides: the references of DeepSHAP.

Requirements: numpy.

A sequence is a walk through a graph whose vertices are characters and whose edges are its
dinucleotides; every other walk that uses each edge once has the same dinucleotides. Such walks are
drawn with equal probability by drawing, for every character but the last one of the sequence, the
edge by which it is left for good, until these edges lead from everywhere to the last character
(Altschul & Erickson 1985, Molecular Biology and Evolution,
doi:10.1093/oxfordjournals.molbev.a040370).
"""

from __future__ import annotations

import numpy as np

from fastism.errors import FastISMError

#: References per sequence.
REFERENCES = 10
SEED = 0


def dinucleotide_shuffle(sequence: np.ndarray, number: int, rng: np.random.Generator) -> np.ndarray:
    """Shuffle one sequence several times.

    Parameters
    ----------
    sequence : ndarray, shape (length, characters)
        Commonly one-hot. Rows that differ are different characters, whatever stands in them: a
        row of zeros for an unknown base, say, is a fifth character.
    number : int
        How many shuffles.
    rng : numpy.random.Generator
        Determines them.

    Returns
    -------
    ndarray, shape (number, length, characters)
        The dtype of `sequence`. Each has the same first and last row as `sequence`, and every pair
        of neighbouring rows as often. Every arrangement that has them is as likely as any other;
        the sequence itself is one of them.

    Raises
    ------
    FastISMError
        `sequence` has not two axes.
    """
    sequence = np.asarray(sequence)
    if sequence.ndim != 2:
        raise FastISMError(
            f"A sequence of shape {sequence.shape} cannot be shuffled; expected "
            "(length, characters). Shuffle the sequences of a batch one by one."
        )
    alphabet, letters = np.unique(sequence, axis=0, return_inverse=True)
    letters = letters.reshape(-1)
    shuffled = [_shuffled(letters, len(alphabet), rng) for _ in range(number)]
    indices = np.array(shuffled, dtype=int).reshape(number, len(letters))
    return alphabet[indices].astype(sequence.dtype, copy=False)


def references(sequences: np.ndarray, number: int = REFERENCES, seed: int = SEED) -> np.ndarray:
    """Shuffled references of each sequence.

    Parameters
    ----------
    sequences : ndarray, shape (sequences, length, characters)
    number : int, default 10
        References per sequence.
    seed : int, default 0
        The references of a sequence depend on this and on its place among the sequences.

    Returns
    -------
    ndarray, shape (sequences, number, length, characters)
    """
    generators = [np.random.default_rng((seed, index)) for index in range(len(sequences))]
    return np.stack(
        [dinucleotide_shuffle(x, number, rng) for x, rng in zip(sequences, generators, strict=True)]
    )


def _shuffled(letters: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """One shuffle of whole numbers below `size`, each of which occurs."""
    if len(letters) < 3:
        return letters
    # Where each letter is left for, in the order of the sequence.
    followers = [letters[1:][letters[:-1] == letter] for letter in range(size)]
    last = int(letters[-1])
    exits = _exits(followers, last, rng)
    orders = []
    for letter, following in enumerate(followers):
        rest = np.arange(len(following))
        if letter != last:
            rest = np.delete(rest, exits[letter])
        order = rng.permutation(rest)
        if letter != last:
            order = np.append(order, exits[letter])
        orders.append(iter(following[order].tolist()))
    walk = [int(letters[0])]
    for _ in range(len(letters) - 1):
        walk.append(next(orders[walk[-1]]))
    return np.array(walk)


def _exits(followers: list[np.ndarray], last: int, rng: np.random.Generator) -> dict[int, int]:
    """For each letter but the last: which of its followers comes last, such that all lead there."""
    others = [letter for letter in range(len(followers)) if letter != last]
    while True:
        exits = {letter: int(rng.integers(len(followers[letter]))) for letter in others}
        leads = {last}
        for start in others:
            path, letter = [], start
            while letter not in leads and letter not in path:
                path.append(letter)
                letter = int(followers[letter][exits[letter]])
            if letter not in leads:
                break
            leads.update(path)
        else:
            return exits

"""Shuffles that keep dinucleotides, against enumerated permutations."""

from collections import Counter
from itertools import pairwise, permutations

import numpy as np
import pytest

from benchmarks.attribution.shuffle import dinucleotide_shuffle, references
from fastism.errors import FastISMError


def one_hot(text, alphabet="ACGT"):
    return np.array([[letter == other for other in alphabet] for letter in text], dtype=np.float32)


def text_of(sequence, alphabet="ACGT"):
    return "".join(alphabet[row.argmax()] if row.any() else "N" for row in sequence)


def dinucleotides(text):
    return Counter(pairwise(text))


def random_text(length, seed, alphabet="ACGT"):
    return "".join(np.random.default_rng(seed).choice(list(alphabet), length))


@pytest.mark.parametrize("length", [1, 2, 3, 4, 17, 300])
@pytest.mark.parametrize("alphabet", ["A", "AC", "ACGT", "ACGTN"])
def test_dinucleotides_and_ends_are_kept(length, alphabet):
    for seed in range(10):
        text = random_text(length, seed, alphabet)
        shuffles = dinucleotide_shuffle(one_hot(text), 5, np.random.default_rng(seed))
        assert shuffles.shape == (5, length, 4)
        assert shuffles.dtype == np.float32
        for shuffled in map(text_of, shuffles):
            assert dinucleotides(shuffled) == dinucleotides(text)
            assert (shuffled[0], shuffled[-1]) == (text[0], text[-1])


@pytest.mark.parametrize("text", ["ACACGA", "AACGCAT", "ABABCAB", "ACGCAGA"])
def test_every_arrangement_is_as_likely_as_any_other(text):
    alphabet = "".join(sorted(set(text)))
    arrangements = {
        "".join(p) for p in permutations(text) if dinucleotides(p) == dinucleotides(text)
    }
    # Without fixed ends there could be more: a closed walk may begin anywhere.
    arrangements = {t for t in arrangements if (t[0], t[-1]) == (text[0], text[-1])}
    assert len(arrangements) > 1
    number = 600 * len(arrangements)
    shuffles = dinucleotide_shuffle(one_hot(text, alphabet), number, np.random.default_rng(0))
    found = Counter(text_of(s, alphabet) for s in shuffles)
    assert set(found) == arrangements
    counts = np.array(list(found.values()))
    # Chi-squared with as many degrees of freedom: mean n - 1, standard deviation sqrt(2 (n - 1)).
    degrees = len(counts) - 1
    assert ((counts - 600) ** 2 / 600).sum() < degrees + 5 * np.sqrt(2 * degrees)


def test_long_sequences_do_change():
    text = random_text(500, 3)
    shuffles = dinucleotide_shuffle(one_hot(text), 3, np.random.default_rng(0))
    texts = [text, *map(text_of, shuffles)]
    for index, first in enumerate(texts):
        for second in texts[index + 1 :]:
            assert sum(a != b for a, b in zip(first, second, strict=True)) > 200


def test_seeds_decide_and_sequences_do_not_share_them():
    x = np.stack([one_hot(random_text(50, 1))] * 2)
    first, again = references(x, 3, seed=5), references(x, 3, seed=5)
    assert first.shape == (2, 3, 50, 4)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first, references(x, 3, seed=6))
    # More sequences leave the references of the first ones as they are.
    np.testing.assert_array_equal(references(x[:1], 3, seed=5), first[:1])


def test_a_batch_is_refused():
    with pytest.raises(FastISMError, match="one by one"):
        dinucleotide_shuffle(np.zeros((2, 5, 4)), 1, np.random.default_rng(0))

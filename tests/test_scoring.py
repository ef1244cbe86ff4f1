"""Batches, shards and checks of records, with an ISM that needs no framework."""

import doctest
import threading

import numpy as np
import pytest

from fastism import FastISMError
from fastism.batch import scoring
from fastism.batch.scoring import (
    checked,
    default_batch,
    fasta_regions,
    score,
    shard_rows,
    values_of,
)
from fastism.calls.result import Saturation
from fastism.genomics.regions import Region, Skip, Skipped
from fastism.store.schema import Header, OutputHeader


def test_the_example_runs():
    assert doctest.testmod(scoring).failed == 0


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 100])
@pytest.mark.parametrize("batch", [1, 3, 16])
@pytest.mark.parametrize("shards", [1, 2, 7, 40])
def test_every_row_is_in_one_shard_of_whole_batches(count, batch, shards):
    parts = [shard_rows(count, batch, (i, shards)) for i in range(1, shards + 1)]
    assert [row for part in parts for row in part] == list(range(count))
    assert all(part.start % batch == 0 for part in parts if part)
    assert all(part.stop % batch == 0 or part.stop == count for part in parts if part)
    batches = [-(-len(part) // batch) for part in parts]
    assert max(batches) - min(batches) <= 1


@pytest.mark.parametrize(("batch", "shard"), [(0, (1, 1)), (1, (0, 2)), (1, (3, 2))])
def test_impossible_shards_are_refused(batch, shard):
    with pytest.raises(FastISMError, match="impossible"):
        shard_rows(10, batch, shard)


def test_the_default_batch_fits_its_results_into_memory():
    values = values_of([(2002,)], (0, 2000), 4)
    assert values == 2000 * 4 * 2002
    assert default_batch(values, 1 << 30) * values * 16 <= 1 << 30
    assert default_batch(values, 1) == 1
    assert default_batch(values_of([(1,), ()], (0, 10), 4), 1 << 28) == 16


def test_names_are_the_first_words_of_headers(tmp_path):
    path = tmp_path / "a.fa"
    path.write_text(">one of many\nACGT\n>two\nAC\nGT\n")
    assert list(fasta_regions(path)) == [Region("one", "ACGT"), Region("two", "ACGT")]
    path.write_text(">\nACGT\n")
    with pytest.raises(FastISMError, match="record 1 has no name"):
        list(fasta_regions(path))


RECORDS = [Region("a", "ACGT"), Skipped("b", "off the end"), Region("c", "ACNT")]


def test_ambiguous_sequences_are_refused_kept_or_skipped():
    with pytest.raises(FastISMError, match="'c' has 'N' at position 2"):
        list(checked(RECORDS, 4, "ACGT", "error"))
    assert list(checked(RECORDS, 4, "ACGT", "zero")) == RECORDS
    skipped = Skipped("c", "ambiguous letter: 'N' at position 2")
    assert list(checked(RECORDS, 4, "ACGT", "skip")) == [*RECORDS[:2], skipped]
    assert list(checked([Region("x", "acgt")], 4, "ACGT", "error")) == [Region("x", "acgt")]


def test_lengths_and_names_are_checked():
    with pytest.raises(FastISMError, match="'a' has 4 characters; the model takes 5"):
        list(checked(RECORDS, 5, "ACGT", "zero"))
    with pytest.raises(FastISMError, match="Two sequences are called 'a'"):
        list(checked([*RECORDS, Region("a", "ACGT")], 4, "ACGT", "zero"))


# ---- score -----------------------------------------------------------------------------------


class Summing:
    """An ISM of a model that weights positions and characters and sums; `asked` are its batches."""

    def __init__(self, output=()):
        self.output, self.asked = output, []

    def saturate_by_position(self, x, outputs=None, positions=None, dtype=None):
        self.asked.append(len(x))
        weights = np.arange(x[0].size, dtype=np.float32).reshape(x[0].shape) + 1
        reference = (x * weights).sum((1, 2))
        here = (x * weights).sum(2)
        mutants = reference[:, None, None] + weights - here[:, :, None]
        mutants = mutants[:, positions]
        ones = np.ones(self.output, np.float32)
        where = np.arange(x.shape[1])[positions]
        alternatives = np.full(mutants.shape[:2], 3)
        spread = [y[(..., *[None] * ones.ndim)] * ones for y in (reference, mutants)]
        return Saturation(*spread, where, alternatives)


class Kept:
    """A writer that keeps what it gets."""

    def __init__(self, **fields):
        given = {
            "alphabet": "ACGT",
            "length": 4,
            "positions": (0, 4),
            "content": "deltas",
            "dtype": "float32",
            "outputs": (OutputHeader("y", ()),),
            "expected": 9,
            "model": "m",
            "model_hash": "",
            "input": "i",
            "input_hash": "",
            "command": "",
            "versions": {},
            "batch": 2,
        }
        self.header, self.batches = Header(**{**given, **fields}), []

    def append(self, regions, one_hot, reference, scores, skipped=()):
        self.batches.append((list(regions), one_hot, reference, scores, list(skipped)))


LETTERS = [Region(f"s{i}", letters) for i, letters in enumerate(["ACGT", "TTTT", "GGCA", "AACC"])]


def test_deltas_and_mutants_of_the_scored_positions():
    deltas, mutants = Kept(positions=(1, 3)), Kept(positions=(1, 3), content="mutants")
    score(Summing(), LETTERS[:1], deltas)
    score(Summing(), LETTERS[:1], mutants)
    (_, one_hot, reference, scores, _), (_, _, _, outputs, _) = (
        deltas.batches[0],
        mutants.batches[0],
    )
    assert one_hot.dtype == np.uint8
    assert one_hot[0].tolist() == np.eye(4).tolist()
    assert reference[0].tolist() == [1 + 6 + 11 + 16]
    assert scores[0][0].tolist() == [[-1, 0, 1, 2], [-2, -1, 0, 1]]
    np.testing.assert_array_equal(outputs[0], scores[0] + 34)


def test_a_batch_is_written_while_the_next_one_runs():
    """In the order of the input, and reported when it is written; a failure ends the run."""
    running, done = threading.Event(), []

    class Watched(Summing):
        def saturate_by_position(self, *given, **more):
            if self.asked:
                running.set()
            return super().saturate_by_position(*given, **more)

    class Slow(Kept):
        def append(self, *batch):
            assert running.wait(60), "the next batch was not begun"
            assert len(done) == len(self.batches)
            super().append(*batch)

    writer = Slow(batch=1)
    score(Watched(), LETTERS, writer, progress=done.append, beside=True)
    assert [batch[0][0].name for batch in writer.batches] == ["s0", "s1", "s2", "s3"]
    assert done == [1] * 4

    class Full(Kept):
        def append(self, *batch):
            raise FastISMError("the disk is full")

    ism = Summing()
    with pytest.raises(FastISMError, match="the disk is full"):
        score(ism, LETTERS, Full(batch=1), progress=done.append, beside=True)
    assert done == [1] * 4 and ism.asked == [1, 1]


def test_batches_count_skipped_records_too():
    records = [
        LETTERS[0],
        Skipped("x", "why"),
        Skipped("y", "why"),
        Skipped("z", "no"),
        *LETTERS[1:],
    ]
    writer, ism, done = (
        Kept(outputs=(OutputHeader("y", (3,), ("0", "1", "2")),)),
        Summing(output=3),
        [],
    )
    score(ism, records, writer, progress=done.append)
    assert ism.asked == [1, 2, 1]
    assert done == [2, 2, 2, 1]
    assert [[r.name for r in batch[0]] for batch in writer.batches] == [
        ["s0"],
        [],
        ["s1", "s2"],
        ["s3"],
    ]
    assert writer.batches[1][4] == [("y", "why"), ("z", "no")]
    assert [y.shape for y in writer.batches[1][2] + writer.batches[1][3]] == [(0, 3), (0, 4, 4, 3)]


def test_outputs_that_are_not_finite_name_the_sequence():
    class Broken(Summing):
        def saturate_by_position(self, *args):
            result = super().saturate_by_position(*args)
            result.mutants[1, 2] = np.nan
            return result

    with pytest.raises(FastISMError, match=r"output 'y' is not finite.*'s1'"):
        score(Broken(), LETTERS, Kept())


class Infinite(Summing):
    """Infinite for the sequence of T, and for one mutant of the last one."""

    def saturate_by_position(self, x, *args):
        result = super().saturate_by_position(x, *args)
        for row, sequence in enumerate(x):
            if sequence[:, 3].all():
                result.reference[row] = np.inf
            if sequence[0, 0] and sequence[2, 1]:
                result.mutants[row, 2] = np.nan
        return result


@pytest.mark.parametrize("batch", [1, 2, 4])
def test_sequences_for_which_a_model_is_not_finite_are_left_out_on_request(batch):
    writer = Kept(batch=batch)
    score(Infinite(), LETTERS, writer, not_finite="skip")
    names = [region.name for regions, *_ in writer.batches for region in regions]
    skipped = [pair for *_, pairs in writer.batches for pair in pairs]
    reason = "not finite: output 'y' for it or a mutant of it"
    assert (names, skipped) == (["s0", "s2"], [("s1", reason), ("s3", reason)])
    assert Skip.of(reason) == Skip.NOT_FINITE
    finite = Kept(batch=batch)
    score(Summing(), LETTERS, finite)
    scores = [np.concatenate([b[3][0] for b in kept.batches]) for kept in (writer, finite)]
    np.testing.assert_array_equal(scores[0], scores[1][[0, 2]])


def test_what_is_not_finite_is_kept_on_request():
    writer = Kept(batch=4, not_finite="keep", content="mutants")
    score(Infinite(), LETTERS, writer, not_finite="keep")
    (regions, _, reference, scores, skipped) = writer.batches[0]
    assert (len(regions), skipped) == (4, [])
    assert np.isinf(reference[0]).tolist() == [False, True, False, False]
    assert np.isnan(scores[0]).any((1, 2)).tolist() == [False, False, False, True]

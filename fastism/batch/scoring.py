"""Scores of many sequences into a store: batches, shards, and going on after an interruption.

Requirements: numpy, pyfaidx (through `fastism.genomics.genome`). Prints nothing; knows no
command line.

Results must not depend on how a run was cut into shards or where it was interrupted. Sums of
floating-point numbers do depend on what shares a batch; so batches are whole rows
``[k * batch, (k + 1) * batch)`` of the input, counting skipped records too, in every run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from itertools import islice
from math import ceil, prod
from typing import Any, Literal, TypeVar

import numpy as np

from fastism.base_ism import BaseISM
from fastism.calls.result import listed
from fastism.errors import FastISMError
from fastism.genomics.genome import PAD
from fastism.genomics.regions import Region, Skip, Skipped
from fastism.ism import FastISM
from fastism.sequences import Ambiguous, one_hot, read_fasta
from fastism.store.schema import Header
from fastism.store.writer import StoreWriter

NotFinite = Literal["error", "skip", "keep"]
T = TypeVar("T")
#: Mutants per batch where naive ISM runs in place of fast ISM: fixed, as it changes the rounding.
NAIVE_BATCH = 64
#: Most sequences of a batch unless the user says otherwise.
MOST_SEQUENCES = 16


def shard_rows(count: int, batch: int, shard: tuple[int, int]) -> range:
    """Rows of the input that a shard scores: whole batches, every one in exactly one shard.

    Parameters
    ----------
    count : int
        Records of the input.
    batch : int
        Records per batch.
    shard : (int, int)
        (I, N): the I-th of N, counted from 1.

    Returns
    -------
    range
        Contiguous, possibly empty where there are fewer batches than shards; sizes of shards
        differ by one batch at most.

    Examples
    --------
    >>> [shard_rows(10, 2, (i, 3)) for i in (1, 2, 3)]
    [range(0, 2), range(2, 6), range(6, 10)]
    """
    number, shards = shard
    if batch < 1 or not 1 <= number <= shards:
        raise FastISMError(
            f"Shard {number}/{shards} of batches of {batch} is impossible; expected I/N with "
            "1 <= I <= N and batches of at least one sequence."
        )
    batches = ceil(count / batch)
    first, last = (batches * i // shards for i in (number - 1, number))
    return range(first * batch, min(last * batch, count))


def default_batch(values: int, memory: int) -> int:
    """Sequences per batch: as many as have their results in `memory`, at most 16.

    Parameters
    ----------
    values : int
        Numbers that the scores of one sequence consist of.
    memory : int
        Bytes for mutants and what is made from them.
    """
    # Mutants and deltas are alive together, and of the batch before, which is being written, deltas
    # and the copy in the type of the store.
    return max(1, min(MOST_SEQUENCES, memory // max(16 * values, 1)))


def fasta_regions(path: Any) -> Iterator[Region]:
    """Sequences of a FASTA file, named by the first word of their headers.

    Raises
    ------
    FastISMError
        As `fastism.sequences.read_fasta`; or for a record without a name.
    """
    for number, record in enumerate(read_fasta(path), start=1):
        words = record.name.split(maxsplit=1)
        if not words:
            raise FastISMError(f"{path}: record {number} has no name after '>'. Give it one.")
        yield Region(words[0], record.sequence)


def checked(
    records: Iterable[Region | Skipped], length: int, alphabet: str, ambiguous: Ambiguous
) -> Iterator[Region | Skipped]:
    """The records of an input, each of them fit for the model or marked as skipped.

    Parameters
    ----------
    records : iterable of Region or Skipped
    length : int
        Of all sequences.
    alphabet : str
        Characters that are not ambiguous; upper and lower case are the same.
    ambiguous : {"error", "zero", "skip"}
        What to do with a sequence that holds others: refuse, encode them as zeros, leave it out.

    Raises
    ------
    FastISMError
        For a sequence of another length, a name that came before, or an ambiguous character with
        ``ambiguous="error"``.
    """
    seen: set[str] = set()
    known = {*alphabet.upper(), *alphabet.lower(), PAD}
    for record in records:
        if record.name in seen:
            raise FastISMError(
                f"Two sequences are called {record.name!r}; names (the first word of the header) "
                "must differ, so that results can be found by them."
            )
        seen.add(record.name)
        if isinstance(record, Region):
            if len(record.sequence) != length:
                ways = _to_length(len(record.sequence), length, ambiguous)
                raise FastISMError(
                    f"{record.name!r} has {len(record.sequence)} characters; the model takes "
                    f"{length}. {ways}"
                )
            strange = _strange(record.sequence, known) if ambiguous != "zero" else ""
            if strange and ambiguous == "error":
                raise FastISMError(
                    f"{record.name!r} has {strange}; expected only characters of {alphabet}. "
                    "--ambiguous zero encodes others as zeros, --ambiguous skip leaves such "
                    "sequences out."
                )
            if strange:
                record = Skipped(record.name, Skip.AMBIGUOUS.because(strange))
        yield record


def _to_length(given: int, length: int, ambiguous: Ambiguous) -> str:
    """What to do with sequences of another length than the model's."""
    if given < length:
        option = "" if ambiguous == "zero" else " (--ambiguous zero)"
        return f"Give longer sequences, or pad all of them with N to {length}{option}."
    return f"Cut all sequences to {length} first."


def _strange(sequence: str, known: set[str]) -> str:
    """The first character that is not known, and where; empty if all are."""
    if set(sequence) <= known:
        return ""
    position = next(i for i, character in enumerate(sequence) if character not in known)
    return f"{sequence[position]!r} at position {position}"


def score(
    ism: BaseISM,
    records: Iterable[Region | Skipped],
    writer: StoreWriter,
    *,
    outputs: Any = None,
    not_finite: NotFinite = "error",
    progress: Callable[[int], None] | None = None,
    beside: bool = False,
) -> None:
    """Score records batch by batch into a store, whose header says what is kept.

    Parameters
    ----------
    ism : FastISM or NaiveISM
    records : iterable of Region or Skipped
        From `checked`: the records of the store's shard that it does not hold yet, so that the
        first of them begins a batch.
    writer : StoreWriter
    outputs : optional
        As for `FastISM.saturate`; must agree with the header.
    not_finite : {"error", "skip", "keep"}
        What to do with a sequence for which, or for a mutant of which, the model gives NaN or
        infinite outputs: end the run, leave it out, or keep what naive ISM gives. To keep it, the
        header must say so.
    progress : callable, optional
        Called after each batch with the number of records that it dealt with.
    beside : bool
        Whether a batch is written while the next one runs: where a device of its own runs it, that
        would have nothing to do meanwhile. An interrupt then waits for what is being written.

    Raises
    ------
    FastISMError
        For outputs that are not finite, and from the model, the records and the writer.
    """
    scorer = _Scorer(ism, writer.header, outputs, not_finite)
    batches = _batches(records, writer.header.batch)
    made = ((len(batch), scorer.scored(batch)) for batch in batches)
    for count in _written(writer, made, beside):
        if progress is not None:
            progress(count)


def _written(
    writer: StoreWriter, made: Iterable[tuple[int, tuple[Any, ...]]], beside: bool
) -> Iterator[int]:
    """Write batches; how many records each dealt with, once it is written."""
    if not beside:
        for count, batch in made:
            writer.append(*batch)
            yield count
        return
    with ThreadPoolExecutor(1) as thread:
        for count, _ in _one_behind(thread, lambda item: writer.append(*item[1]), made):
            yield count


def _one_behind(thread: Executor, do: Callable[[T], Any], items: Iterable[T]) -> Iterator[T]:
    """Do something with every item while the next one is made, and give it when it is done."""
    last: tuple[Future[Any], T] | None = None
    for item in items:
        if last is not None:
            last[0].result()
            yield last[1]
        last = thread.submit(do, item), item
    if last is not None:
        last[0].result()
        yield last[1]


def _batches(records: Iterable[Region | Skipped], size: int) -> Iterator[list[Region | Skipped]]:
    iterator = iter(records)
    while batch := list(islice(iterator, size)):
        yield batch


class _Scorer:
    """From records to what `StoreWriter.append` takes; parameters as of `score`."""

    def __init__(self, ism: BaseISM, header: Header, outputs: Any, not_finite: NotFinite) -> None:
        self.ism, self.header, self.outputs, self.policy = ism, header, outputs, not_finite
        self._naive: BaseISM | None = None if isinstance(ism, FastISM) else ism

    def scored(self, batch: Sequence[Region | Skipped]) -> tuple[Any, ...]:
        """Regions, one-hot, references, scores and skipped records of a batch."""
        header = self.header
        skipped = {r.name: r.reason for r in batch if isinstance(r, Skipped)}
        regions = [record for record in batch if isinstance(record, Region)]
        if regions:
            x = one_hot([r.sequence for r in regions], header.alphabet, "zero")
            reference, scores = self._scores(x)
            bad = self._not_finite(x, reference, scores)
            if bad and self.policy != "keep":
                skipped |= self._left_out([(regions[row], bad[row]) for row in sorted(bad)])
                good = [row for row in range(len(regions)) if row not in bad]
                regions, x = [regions[row] for row in good], x[good]
                reference, scores = ([y[good] for y in ys] for ys in (reference, scores))
        else:
            x = np.zeros((0, header.length, len(header.alphabet)))
            reference = [np.zeros((0, *o.shape)) for o in header.outputs]
            shapes = [header.scores_shape(i) for i in range(len(header.outputs))]
            scores = [np.zeros((0, *shape)) for shape in shapes]
        left_out = [(r.name, skipped[r.name]) for r in batch if r.name in skipped]
        return regions, x.astype(np.uint8), reference, scores, left_out

    def _scores(self, x: np.ndarray, naive: bool = False) -> tuple[list[np.ndarray], ...]:
        """References (n, *shape), and deltas or mutants (n, P, C, *shape), of each output."""
        ism = self.naive if naive else self.ism
        with np.errstate(invalid="ignore", over="ignore"):
            result = ism.saturate_by_position(x, self.outputs, slice(*self.header.positions))
            made = result.mutants if self.header.content == "mutants" else result.delta()
        reference = [np.asarray(y, np.float32) for y in listed(result.reference)]
        return reference, listed(made)

    def _not_finite(
        self, x: np.ndarray, reference: list[np.ndarray], scores: list[np.ndarray]
    ) -> dict[int, str]:
        """Rows for which the model is not finite, each with the output that is not.

        Fast ISM works on differences, and the difference of two infinite values is NaN even where
        the model's output is finite. Rows where it is not finite are therefore computed anew by
        naive ISM, which replaces them in place.
        """
        rows = sorted(self._bad(reference, scores))
        if rows and self.ism is not self.naive:
            again = self._scores(x[rows], naive=True)
            for ys, made in zip((reference, scores), again, strict=True):
                for number, y in enumerate(made):
                    ys[number] = np.array(ys[number])
                    ys[number][rows] = y
        return self._bad(reference, scores)

    def _bad(self, reference: list[np.ndarray], scores: list[np.ndarray]) -> dict[int, str]:
        found: dict[int, str] = {}
        names = [output.name for output in self.header.outputs]
        for ys in (reference, scores):
            for name, y in zip(names, ys, strict=True):
                finite = np.isfinite(y).all(tuple(range(1, y.ndim)))
                for row in np.flatnonzero(~finite):
                    found.setdefault(int(row), name)
        return found

    def _left_out(self, bad: Sequence[tuple[Region, str]]) -> dict[str, str]:
        """Names and reasons of sequences for which the model is not finite."""
        region, output = bad[0]
        if self.policy == "error":
            raise FastISMError(
                f"The model's output {output!r} is not finite (NaN or infinite) for "
                f"{region.name!r} or mutants of it. Check the model on that sequence; --not-finite "
                "skip leaves such sequences out, --not-finite keep stores what the model gives."
            )
        return {
            region.name: Skip.NOT_FINITE.because(f"output {output!r} for it or a mutant of it")
            for region, output in bad
        }

    @property
    def naive(self) -> BaseISM:
        """Naive ISM of the same model."""
        if self._naive is None:
            self._naive = self.ism.naive(batch_size=NAIVE_BATCH)
        return self._naive


def values_of(shapes: Iterable[Sequence[int]], positions: tuple[int, int], characters: int) -> int:
    """Numbers that the scores of one sequence consist of, over all outputs that are kept."""
    return (positions[1] - positions[0]) * characters * sum(prod(shape) for shape in shapes)

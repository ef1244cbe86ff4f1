"""Several stores read as one: the shards of a run joined, and one output picked from all.

Requirements: numpy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from fastism.errors import FastISMError
from fastism.store.reader import HDF5_MAGIC, Store
from fastism.store.schema import OutputHeader, array_types
from fastism.store.scores import Scores


class Joined(Scores):
    """The complete shards of one run, in the order of the input.

    Parameters
    ----------
    stores : sequence of Store
        In any order.

    Raises
    ------
    FastISMError
        If they do not belong together, one is missing or there twice, or one does not hold as many
        records as it says. The message names the file and what is wrong with it.
    """

    def __init__(self, stores: Sequence[Store]) -> None:
        if not stores:
            raise FastISMError("Got no store to export; expected at least one.")
        check_headers(stores)
        self._stores = sorted(stores, key=lambda store: store.header.shard)
        check_shards(self._stores)
        _check_counts(self._stores)
        expected = sum(store.header.expected for store in self._stores)
        self.header = replace(self._stores[0].header, shard=(1, 1), expected=expected)
        self._ends = list(accumulate(len(store) for store in self._stores))

    def column(self, name: str) -> list[Any]:
        """See `Scores.column`."""
        return [x for store in self._stores for x in store.column(name)]

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """See `Scores.skipped`."""
        return [pair for store in self._stores for pair in store.skipped]

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """See `Scores.read`."""
        parts = []
        for index in range(bisect_right(self._ends, start), len(self._stores)):
            store, end = self._stores[index], self._ends[index]
            first = end - len(store)
            if first >= stop:
                break
            parts.append(store.read(name, max(start - first, 0), min(stop, end) - first))
        if not parts:
            dtype, shape = array_types(self.header)[name]
            return np.empty((0, *shape), dtype)
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def __len__(self) -> int:
        return self._ends[-1]

    def original(self) -> Path | None:
        """The HDF5 file that holds all of it, where there is one."""
        store = self._stores[0]
        if len(self._stores) > 1 or store.path.is_dir():
            return None
        with store.path.open("rb") as handle:
            return store.path if handle.read(len(HDF5_MAGIC)) == HDF5_MAGIC else None


class Selected(Scores):
    """One output of scores, or one entry of its first axis.

    Parameters
    ----------
    scores : Scores
    select : str
        ``I``, the number or the name of an output, or ``I:J`` with the label of an entry of its
        first axis (its index in the model's output, unless outputs have names).

    Raises
    ------
    FastISMError
        If there is no such output or entry.
    """

    def __init__(self, scores: Scores, select: str) -> None:
        number, _, entry = select.partition(":")
        names = [output.name for output in scores.header.outputs]
        if not number.isdecimal() and number not in names:
            raise FastISMError(
                f"{select!r} names no output; expected a number or a name, of {', '.join(names)}, "
                "or one with an entry, such as 0:57."
            )
        self._scores = scores
        self._number = scores.output(int(number) if number.isdecimal() else names.index(number))
        output = scores.header.outputs[self._number]
        self._entry: int | None = None
        if entry:
            if entry not in output.labels:
                raise FastISMError(_no_entry(output, self._number, entry))
            self._entry = output.labels.index(entry)
            rest = output.shape[1:]
            labels = tuple(map(str, range(rest[0]))) if rest else ()
            output = OutputHeader(f"{output.name}:{entry}", rest, labels)
        self.header = replace(scores.header, outputs=(output,))

    def column(self, name: str) -> list[Any]:
        """See `Scores.column`."""
        return self._scores.column(name)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """See `Scores.skipped`."""
        return self._scores.skipped

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """See `Scores.read`."""
        if name == "one_hot":
            return self._scores.read(name, start, stop)
        kind = name.rsplit("/", 1)[1]
        values = self._scores.read(f"outputs/{self._number}/{kind}", start, stop)
        if self._entry is None:
            return values
        axis = 1 if kind.startswith("reference") else 3
        return np.ascontiguousarray(values.take(self._entry, axis=axis))

    def __len__(self) -> int:
        return len(self._scores)


def check_single(scores: Scores) -> None:
    """Refuse scores that have more than one number per mutant.

    Raises
    ------
    FastISMError
        If there are several, saying how to select one.
    """
    outputs = scores.header.outputs
    if len(outputs) > 1:
        names = ", ".join(f"{i} ({o.name})" for i, o in enumerate(outputs[:10]))
        raise FastISMError(
            f"The scores have {len(outputs)} outputs, and this format holds one. Of {names} "
            "select one, as by --output 0, or by --outputs when you score."
        )
    output = outputs[0]
    if any(length > 1 for length in output.shape):
        remedy = (
            f"select an entry of its first axis, as by --output 0:{output.labels[0]}, or by "
            "--outputs when you score."
            if len(output.shape) == 1
            else "score with --outputs a number that sums it up."
        )
        raise FastISMError(
            f"Output {output.name!r} has shape {output.shape}, and this format holds one number: "
            + remedy
        )


def check_placed(scores: Scores, lacking: str) -> None:
    """Refuse scores of sequences without a place in a genome.

    Parameters
    ----------
    scores : Scores
    lacking : str
        What there is not without one.

    Raises
    ------
    FastISMError
        Naming the first such sequence.
    """
    chrom = scores.column("chrom")
    if "" in chrom or not (chrom or scores.header.chrom_sizes):
        which = (
            f"The sequence {scores.column('names')[chrom.index('')]!r} has"
            if chrom
            else "Sequences have"
        )
        raise FastISMError(
            f"{which} no place in a genome, so there is {lacking}. Score a BED file with --genome, "
            "or export to another format, such as .tsv."
        )


def _no_entry(output: OutputHeader, number: int, entry: str) -> str:
    if not output.labels:
        return f"Output {number} ({output.name}) is a single number: select it as {number}."
    shown = ", ".join(output.labels[:10]) + (", ..." if len(output.labels) > 10 else "")
    return f"Output {number} ({output.name}) has no entry {entry!r}; it has {shown}."


def check_headers(stores: Sequence[Any]) -> None:
    """Refuse files that are not parts of one run.

    Parameters
    ----------
    stores : sequence
        With ``path`` and ``header``, of which ``shard`` may differ.

    Raises
    ------
    FastISMError
        Naming the first two that do not belong together, and in what they differ.
    """
    first = stores[0]
    for store in stores[1:]:
        difference = first.header.difference(store.header, ignore=("shard", "expected"))
        if difference:
            raise FastISMError(
                f"{first.path} and {store.path} do not belong together; they differ in "
                f"{difference}."
            )
        if store.header.shard[1] != first.header.shard[1]:
            raise FastISMError(
                f"{first.path} is one of {first.header.shard[1]} shards, {store.path} one of "
                f"{store.header.shard[1]}; expected the shards of one run."
            )


def check_shards(stores: Sequence[Any]) -> None:
    """Refuse parts of a run of which one is missing or there twice; parameters as above.

    Raises
    ------
    FastISMError
        Naming the missing ones, or the files that are one and the same part.
    """
    count = stores[0].header.shard[1]
    by_number: dict[int, Any] = {}
    for store in stores:
        number = store.header.shard[0]
        if number in by_number:
            raise FastISMError(
                f"{by_number[number].path} and {store.path} are both shard {number} of {count}; "
                "give every shard once."
            )
        by_number[number] = store
    missing = [number for number in range(1, count + 1) if number not in by_number]
    if missing:
        listed = ", ".join(map(str, missing[:10])) + (", ..." if len(missing) > 10 else "")
        raise FastISMError(
            f"{stores[0].path} is one of {count} shards, and {len(missing)} of them are not given: "
            f"{listed}. Give all shards of the run."
        )


def _check_counts(stores: Sequence[Store]) -> None:
    for store in stores:
        held = len(store) + len(store.skipped)
        expected = store.header.expected
        if not held == store.consumed == expected:
            raise FastISMError(
                f"{store.path} was to hold {expected} records and has {len(store)} scored and "
                f"{len(store.skipped)} skipped ones. Score this shard again."
            )

"""Several stores read as one: the shards of a run joined.

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
from fastism.store.schema import array_types
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

"""Mean and standard deviation over the scores that several models gave the same sequences.

Requirements: numpy. Prints nothing; knows no command line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fastism.errors import FastISMError
from fastism.genomics.regions import Region
from fastism.store.reader import Store
from fastism.store.schema import scores_name
from fastism.store.writer import StoreWriter


class Moments:
    """Mean and standard deviation of arrays that come one after the other.

    Sums are in float64 (Welford's recurrence), so that memory holds two arrays whatever comes.

    Examples
    --------
    >>> moments = Moments()
    >>> for value in (1.0, 2.0, 6.0):
    ...     moments.add(np.array([value]))
    >>> float(moments.mean[0]), round(float(moments.sd()[0]), 4)
    (3.0, 2.6458)
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, values: np.ndarray) -> None:
        """Take one more array, of the same shape as the others."""
        self.count += 1
        # Scores that are not finite were asked for.
        with np.errstate(invalid="ignore", over="ignore"):
            if self.count == 1:
                self.mean = values.astype(np.float64)
                self._squares = np.zeros(values.shape)
                return
            off = values - self.mean
            self.mean += off / self.count
            self._squares += off * (values - self.mean)

    def sd(self) -> np.ndarray:
        """Standard deviation, with one less than the number of arrays as the divisor."""
        return np.sqrt(self._squares / (self.count - 1))


@dataclass(frozen=True)
class Rows:
    """Sequences that every model scored, and those that one of them left out.

    Attributes
    ----------
    names : list of str
        In the order of the input.
    skipped : list of (str, str)
        Names and reasons, in the order of the input.
    """

    names: list[str]
    skipped: list[tuple[str, str]]

    @classmethod
    def of(cls, stores: Sequence[Store], order: Callable[[], Iterable[str]]) -> Rows:
        """Compare what several stores hold.

        Parameters
        ----------
        stores : sequence of Store
        order : callable
            Gives the names of all records of the input; called only if models differ in what they
            left out.
        """
        reasons: dict[str, str] = {}
        for store in stores:
            reasons = dict(store.skipped) | reasons
        names = [name for name in stores[0].column("names") if name not in reasons]
        if all(len(store.skipped) == len(reasons) for store in stores):
            return cls(names, stores[0].skipped)
        return cls(names, [(name, reasons[name]) for name in order() if name in reasons])


def average(
    stores: Sequence[Store],
    writer: StoreWriter,
    order: Callable[[], Iterable[str]],
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write the mean of several complete stores, and what their models differ by.

    Parameters
    ----------
    stores : sequence of Store
        Scores of the same input in the same order, one store per model.
    writer : StoreWriter
        New, or left from an interrupted run; its header says whether standard deviations are kept.
    order : callable
        As for `Rows.of`.
    progress : callable, optional
        Called with numbers of records that are done.

    Raises
    ------
    FastISMError
        If the stores hold other sequences than the first one, or the writer refuses.
    """
    rows = Rows.of(stores, order)
    places = [_places(store, rows.names) for store in stores]
    scored = max(writer.consumed - len(rows.skipped), 0)
    left_out = [] if writer.consumed else rows.skipped
    for block in _blocks(stores[0], scored, len(rows.names)):
        where = [each[block] for each in places]
        moments = [
            (
                _moments(stores, where, f"outputs/{number}/reference"),
                _moments(stores, where, scores_name(writer.header, number)),
            )
            for number in range(len(writer.header.outputs))
        ]
        writer.append(
            _regions(stores[0], where[0]),
            _read(stores[0], where[0], "one_hot"),
            [reference.mean for reference, _ in moments],
            [scores.mean for _, scores in moments],
            left_out,
            [(a.sd(), b.sd()) for a, b in moments] if writer.header.sd else [],
        )
        if progress is not None:
            progress(len(where[0]) + len(left_out))
        left_out = []


def _places(store: Store, names: Sequence[str]) -> np.ndarray:
    """Rows of some sequences in a store."""
    rows = {name: row for row, name in enumerate(store.column("names"))}
    missing = [name for name in names if name not in rows]
    if missing:
        raise FastISMError(
            f"{store.path} has no scores of {missing[0]!r}, which another model's has. Score all "
            "models again, with --force."
        )
    return np.array([rows[name] for name in names], np.int64)


def _blocks(store: Store, first: int, count: int) -> Iterator[slice]:
    """Rows [first, count) in blocks that memory holds; at least one, which may be empty."""
    size = next(iter(store.blocks()), slice(0, 1)).stop
    for start in range(first, max(count, first + 1), size):
        yield slice(start, min(start + size, count))


def _read(store: Store, rows: np.ndarray, name: str) -> np.ndarray:
    """Rows of an array, in ascending order."""
    if not len(rows):
        return store.read(name, 0, 0)
    first = int(rows[0])
    return store.read(name, first, int(rows[-1]) + 1)[rows - first]


def _moments(stores: Sequence[Store], where: Sequence[np.ndarray], name: str) -> Moments:
    moments = Moments()
    for store, rows in zip(stores, where, strict=True):
        moments.add(_read(store, rows, name))
    return moments


def _regions(store: Store, rows: np.ndarray) -> list[Region]:
    """Names and intervals of rows; their letters are in the one-hot."""
    columns = [store.column(n) for n in ("names", "chrom", "start", "end", "strand")]
    made = ([column[row] for column in columns] for row in rows)
    return [Region(name, "", *place) for name, *place in made]

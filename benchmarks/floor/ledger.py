"""Where the seconds of a run go: every second is counted once, for the innermost span it is in.

Requirements: none beyond `benchmarks.clock`.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from benchmarks.clock import Clock


class Ledger:
    """Adds up how long the parts of a run take, under a name for each part (an *entry*).

    A part is the body of a ``with ledger.span(entry)``. Where one such block stands within another,
    the time of the inner one is counted for the inner one only; all entries of a run together are
    therefore as long as its outermost block.

    Parameters
    ----------
    clock : callable
        Seconds.

    Attributes
    ----------
    seconds : dict of hashable to float
        By entry, in the order of their first use.

    Examples
    --------
    >>> ticks = iter([0.0, 1.0, 4.0, 5.0])
    >>> ledger = Ledger(lambda: next(ticks))
    >>> with ledger.span("run"), ledger.span("layer"):
    ...     pass
    >>> ledger.seconds
    {'run': 2.0, 'layer': 3.0}
    """

    def __init__(self, clock: Clock = time.perf_counter) -> None:
        self._clock = clock
        self._open: list[Hashable] = []
        self._since = 0.0
        self.seconds: dict[Hashable, float] = {}

    @contextmanager
    def span(self, entry: Hashable) -> Iterator[None]:
        """Count the time of the block under `entry`, but for what blocks within it take."""
        self._turn()
        self._open.append(entry)
        self.seconds.setdefault(entry, 0.0)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def each(self, entry: Hashable, made: Iterator) -> Iterator:
        """The items of an iterator; the time that it takes to make them counts under `entry`."""
        while True:
            with self.span(entry):
                try:
                    item = next(made)
                except StopIteration:
                    return
            yield item

    def _turn(self) -> None:
        """Enter the time since the last turn for the innermost span."""
        now = self._clock()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now

    def reset(self) -> None:
        """Forget all entries, between two runs."""
        self.seconds = {}

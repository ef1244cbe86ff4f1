"""Where the seconds of a run go: spans within spans, each second entered once.

Requirements: none beyond `benchmarks.clock`.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from benchmarks.clock import Clock


class Ledger:
    """Seconds by entry. What a span within a span takes is entered for the inner one only.

    The entries of a run therefore add up to the time of its outermost span.

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
        """Enter what happens within for `entry`."""
        self._turn()
        self._open.append(entry)
        self.seconds.setdefault(entry, 0.0)
        try:
            yield
        finally:
            self._turn()
            self._open.pop()

    def each(self, entry: Hashable, made: Iterator) -> Iterator:
        """The items of an iterator; what making them takes is entered for `entry`."""
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

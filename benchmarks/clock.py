"""Timing: alternating runs, paired ratios, peak memory.

Requirements: none; psutil for memory. Knows nothing of models or methods.
"""

from __future__ import annotations

import gc
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

Clock = Callable[[], float]


@dataclass(frozen=True, slots=True)
class Repeats:
    """When to stop repeating.

    Attributes
    ----------
    least, most : int
        Bounds on the number of rounds.
    seconds : float
        Between these bounds, no round is begun after this time.
    """

    least: int = 3
    most: int = 9
    seconds: float = 30.0

    def wants_another(self, done: int, spent: float) -> bool:
        """Whether another round follows `done` rounds that took `spent` seconds."""
        return done < self.least or (done < self.most and spent < self.seconds)


@dataclass(frozen=True, slots=True)
class Ratio:
    """A ratio of two durations, from paired runs.

    Attributes
    ----------
    median, least, most : float
        Of the ratios of the pairs.
    pairs : int
        How many there are.
    """

    median: float
    least: float
    most: float
    pairs: int


def paired_ratio(slow: Sequence[float], fast: Sequence[float]) -> Ratio:
    """Ratio of durations that were taken in turns.

    Parameters
    ----------
    slow, fast : sequence of float
        Seconds; entry i of both comes from round i.

    Returns
    -------
    Ratio

    Raises
    ------
    ValueError
        The numbers of rounds differ, or there is none.

    Examples
    --------
    >>> paired_ratio([10.0, 12.0, 20.0], [1.0, 1.0, 2.0])
    Ratio(median=10.0, least=10.0, most=12.0, pairs=3)
    """
    if not slow or len(slow) != len(fast):
        raise ValueError(f"Got {len(slow)} and {len(fast)} durations; expected as many of both.")
    ratios = [a / b for a, b in zip(slow, fast, strict=True)]
    return Ratio(statistics.median(ratios), min(ratios), max(ratios), len(ratios))


def alternate(
    runs: Mapping[str, Callable[[], object]],
    repeats: Repeats,
    clock: Clock = time.perf_counter,
    announce: Callable[[str, int], None] = lambda name, number: None,
) -> dict[str, list[float]]:
    """Time several callables in turns: A B C, A B C, ...

    Whatever slows the machine for a while then hits all of them, and the ratio of two runs of one
    round is worth more than the ratio of two medians. Warming up is the caller's business.

    Parameters
    ----------
    runs : mapping from str to callable
        Each returns only when its work is done.
    repeats : Repeats
        How many rounds.
    clock : callable
        Seconds.
    announce : callable
        Called with name and number (from 1) before each run, outside of the timed part.

    Returns
    -------
    dict from str to list of float
        Seconds per run, one entry per round.
    """
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    begin, done = clock(), 0
    gc.collect()
    # What is there by now need not be looked at between runs, which takes long. A caller that has
    # seen to that already keeps it so.
    frozen = gc.get_freeze_count()
    gc.freeze()
    try:
        while repeats.wants_another(done, clock() - begin):
            done += 1
            for name, run in runs.items():
                announce(name, done)
                gc.collect()
                start = clock()
                run()
                seconds[name].append(clock() - start)
    finally:
        if not frozen:
            gc.unfreeze()
    return seconds


class PeakMemory:
    """Most resident memory of this process within a ``with`` block.

    The kernel's high-water mark where it can be reset (Linux), else samples every few
    milliseconds, which can miss a short peak.

    Attributes
    ----------
    before, peak : int
        Bytes, at the beginning and at most.
    """

    _INTERVAL = 0.002

    def __init__(self) -> None:
        import psutil

        self._process = psutil.Process()
        self.before = self.peak = 0

    @property
    def above(self) -> int:
        """Bytes by which the peak exceeds the beginning."""
        return self.peak - self.before

    def __enter__(self) -> Self:
        gc.collect()
        self._exact = _reset_high_water()
        self.before = self.peak = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        if not self._exact:
            self._thread.start()
        return self

    def _sample(self) -> None:
        while not self._stop.wait(self._INTERVAL):
            self.peak = max(self.peak, self._process.memory_info().rss)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._exact:
            self.peak = max(self.peak, _high_water())
        else:
            self._stop.set()
            self._thread.join()
            self.peak = max(self.peak, self._process.memory_info().rss)


def _reset_high_water() -> bool:
    """Make the kernel forget the peak so far; False where it cannot."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return _high_water() > 0


def _high_water() -> int:
    """Peak resident bytes since the last reset; 0 where the kernel does not say."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0

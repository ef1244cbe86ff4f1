"""Which of several kernels is the fastest here: measured, not guessed.

Requirements: none.

How fast a kernel is depends on the processor, the library below it and the shapes. So kernels are
timed on a sample of what they are to do, once for every class of shapes in a process. Measuring may
take a part (`SHARE`) of the time that calls are expected to take. Until there is time for it, and
where ``FASTISM_MEASURE=0`` is set, the first kernel that accepts a problem is used. Those that the
sample does not tell apart (`CLOSE`) take turns at what is really to be done, until that decides.
"""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Callable, Hashable, Sequence
from functools import cache
from threading import RLock

from fastism.backends.kept_times import KeptTimes
from fastism.errors import no_memory

logger = logging.getLogger(__name__)

#: The part of the expected time of a call that measuring may take.
SHARE = 0.05
#: How often each kernel that is among the fastest is timed; the shortest time counts.
ROUNDS = 3
#: A kernel that takes so many times the shortest time is given up after two runs, after one run.
HOPELESS = {2: 2.0, 1: 10.0}

#: A sample does not tell kernels apart that differ by less than this: what is really to be done has
#: other sizes.
CLOSE = 1.3

#: Makes a kernel ready, and gives what runs a sample once.
Trial = Callable[[str], Callable[[], None]]


class Choices:
    """Kernels by class of shapes, and the time that is left to measure more of them.

    Parameters
    ----------
    clock : callable
        Seconds.
    kept : KeptTimes, optional
        What was measured before, and where what is measured is kept.
    """

    def __init__(
        self, clock: Callable[[], float] = time.perf_counter, kept: KeptTimes | None = None
    ) -> None:
        self._clock, self._kept = clock, kept
        self._times: dict[Hashable, dict[str, list[float]]] = {}
        self._left = 0.0
        self._decided: dict[Hashable, str] = {}
        self._lock = RLock()

    @property
    def clock(self) -> Callable[[], float]:
        """Seconds, by the clock that kernels are compared by."""
        return self._clock

    def allow(self, seconds: float) -> None:
        """Let measuring take its share of a call that is expected to take `seconds`."""
        with self._lock:
            self._left += SHARE * seconds

    def measured(self, shape: Hashable) -> dict[str, float]:
        """Shortest seconds of a sample by the name of the kernel, as far as they are known."""
        return {name: min(times) for name, times in self._times.get(shape, {}).items() if times}

    def unknown(self, shape: Hashable, names: Sequence[str]) -> list[str]:
        """The kernels that are going to be measured for the first time, here or on this machine."""
        if not measures() or len(names) == 1:
            return []
        with self._lock:
            self._remember(shape)
            times = self._times.get(shape, {})
            return [name for name in names if not times.get(name)]

    def close(self, shape: Hashable, names: Sequence[str]) -> list[str]:
        """The kernels that are about as fast as the fastest on the sample."""
        seconds = self.measured(shape)
        if not seconds:
            return []
        most = CLOSE * min(seconds.values())
        return [name for name in names if seconds.get(name, math.inf) <= most]

    def decide(self, work: Hashable, name: str) -> None:
        """Keep which kernel was the fastest at what is really to be done."""
        with self._lock:
            self._decided[work] = name

    def decided(self, work: Hashable) -> str | None:
        """The kernel that `decide` was told; None where nothing was."""
        return self._decided.get(work)

    def settled(self, shape: Hashable, names: Sequence[str]) -> bool:
        """Whether nothing is left to measure, so that the choice stays as it is."""
        return len(names) == 1 or not self._pending(shape, names)

    def best(
        self,
        shape: Hashable,
        names: Sequence[str],
        trial: Trial | None,
        advance: bool = False,
    ) -> str:
        """The fastest kernel for a class of shapes, as far as there was time to measure.

        Parameters
        ----------
        shape : hashable
            The class of shapes, with all else that times depend on.
        names : sequence of str
            The kernels that accept it. The first one is used before anything is measured.
        trial : callable or None
            ``trial(name)`` makes a kernel ready; what it returns runs a sample once. None to
            measure nothing now.
        advance : bool
            Whether measuring may begin before there is time for it, which later calls give back:
            for the few choices that matter most.
        """
        with self._lock:
            self._remember(shape)
            if trial is not None and not self.settled(shape, names):
                self._measure(shape, names, trial, advance)
                if self._kept is not None and self.settled(shape, names):
                    # What could not run may run next time: another driver, or more memory.
                    ran = {n: s for n, s in self.measured(shape).items() if math.isfinite(s)}
                    self._kept.put(repr(shape), ran)
            seconds = self.measured(shape)
            return min(names, key=lambda name: seconds.get(name, math.inf))

    def _remember(self, shape: Hashable) -> None:
        """Take over what was kept of a class of shapes that was not measured here."""
        if self._kept is not None and shape not in self._times and measures():
            kept = self._kept.get(repr(shape))
            if kept:
                self._times[shape] = {name: [seconds] * ROUNDS for name, seconds in kept.items()}

    def _pending(self, shape: Hashable, names: Sequence[str]) -> list[str]:
        """The kernels that should run once more, those with the fewest runs first."""
        times = self._times.get(shape, {})
        shortest = min(self.measured(shape).values(), default=0.0)

        def done(name: str) -> bool:
            runs = len(times.get(name, ()))
            if not runs or runs >= ROUNDS:
                return runs >= ROUNDS
            return min(times[name]) > HOPELESS[runs] * shortest

        left = [name for name in names if not done(name)]
        return sorted(left, key=lambda name: len(times.get(name, ())))

    def _measure(self, shape: Hashable, names: Sequence[str], trial: Trial, advance: bool) -> None:
        """Time kernels in turns, as long as there is time for it."""
        times = self._times.setdefault(shape, {})
        times.update({name: [] for name in names if name not in times})
        runs: dict[str, Callable[[], None]] = {}
        while self._may_measure(advance) and (pending := self._pending(shape, names)):
            name = pending[0]
            try:
                if name not in runs:
                    self._spend(lambda name=name: runs.update({name: trial(name)}))
                times[name].append(self._spend(runs[name]))
            except Exception as error:  # a tile too large for this device, say: others can do it
                if no_memory(error):
                    raise
                logger.warning("%s cannot run here and is not used: %s", name, error)
                times[name] = [math.inf] * ROUNDS

    def _may_measure(self, advance: bool) -> bool:
        return (advance or self._left > 0) and measures()

    def _spend(self, run: Callable[[], None]) -> float:
        """Seconds that `run` takes, off the time that is left."""
        begun = self._clock()
        run()
        taken = self._clock() - begun
        self._left -= taken
        return taken


def measures() -> bool:
    """Whether anything may be timed: not with ``FASTISM_MEASURE=0``."""
    return os.environ.get("FASTISM_MEASURE", "1") != "0"


@cache
def process_choices(on_host: bool) -> Choices:
    """What was measured in this process, for all models.

    Parameters
    ----------
    on_host : bool
        Whether kernels run on the processor of this thread. Its own time is counted then: what
        other programs take meanwhile says nothing about a kernel.
    """
    return Choices(time.thread_time if on_host else time.perf_counter)

"""Chunks replayed from graphs of CUDA, where launching their operations one by one takes longer.

Requirements: torch. A chunk of one sequence is some dozens of launches, each of which takes the
host some microseconds, often longer than the work itself. A graph launches them at once. It reads
and writes the same memory each time: what differs from chunk to chunk is copied there, and results
are copied away.
"""

from __future__ import annotations

import os
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import torch

from fastism.backends.choices import measures
from fastism.errors import no_memory

_Tensor = torch.Tensor
#: What runs a chunk: all its tensors in, tensors out.
Function = Callable[[Sequence[_Tensor]], list[_Tensor]]

#: Graphs that are kept; each has memory of its own for what it reads.
MOST_GRAPHS = 2
#: Bytes of what a chunk reads from which on launches do not matter.
MOST_BYTES = 64 << 20
#: Chunks that run as usual first, so that programs are compiled and kernels are chosen.
BEFORE = 2
#: How often each way is timed before one is taken.
TURNS = 3
#: Largest difference between the two ways, as a part of the largest number.
ALIKE = 1e-5


class Recorder(Protocol):
    """What records and waits for a device; a stand-in takes its place in tests."""

    def record(self, run: Callable[[], list[_Tensor]]) -> tuple[Callable[[], None], list[_Tensor]]:
        """What replays a function, and where it leaves its results. May raise anything."""

    def wait(self) -> None:
        """Until all that was launched is done."""


class CudaRecorder:
    """Graphs of CUDA on one device, which share memory for what lies between in and out.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool: Any = None

    def record(self, run: Callable[[], list[_Tensor]]) -> tuple[Callable[[], None], list[_Tensor]]:
        """See `Recorder`."""
        if self._pool is None:
            self._pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        with (
            torch.cuda.device(self._device),
            torch.cuda.graph(graph, pool=self._pool, capture_error_mode="thread_local"),
        ):
            made = run()
        return graph.replay, made

    def wait(self) -> None:
        """See `Recorder`."""
        torch.cuda.synchronize(self._device)


@dataclass
class _Graph:
    """A recorded chunk, and the memory that it reads and writes."""

    given: list[_Tensor]
    replay: Callable[[], None]
    made: list[_Tensor]
    #: What was copied last: references to the same tensors need no second copy.
    last: list[Callable[[], _Tensor | None]] = field(default_factory=list)

    def run(self, arrays: Sequence[_Tensor]) -> list[_Tensor]:
        """Replay it on other numbers; results are the caller's own."""
        for number, (room, x) in enumerate(zip(self.given, arrays, strict=True)):
            if not self.last or self.last[number]() is not x:
                room.copy_(x)
        self.last = [weakref.ref(x) for x in arrays]
        self.replay()
        return [x.clone() for x in self.made]


@dataclass
class _Trial:
    """What is known of chunks of one shape, until one way is taken."""

    runs: int = 0
    graph: _Graph | None = None
    plain: list[float] = field(default_factory=list)
    replayed: list[float] = field(default_factory=list)
    settled: bool = False


def wanted() -> bool:
    """Whether graphs may be used: not with ``FASTISM_GRAPHS=0``, nor where nothing is timed."""
    return os.environ.get("FASTISM_GRAPHS", "1") != "0" and measures()


class Graphs:
    """Runs a function of tensors as usual or from a graph, whichever is faster for their shapes.

    Parameters
    ----------
    recorder : Recorder
    clock : callable
        Seconds.
    """

    def __init__(self, recorder: Recorder, clock: Callable[[], float] = time.perf_counter) -> None:
        self._recorder, self._clock = recorder, clock
        self._trials: OrderedDict[Hashable, _Trial] = OrderedDict()

    @property
    def kept(self) -> int:
        """How many graphs there are."""
        return sum(trial.graph is not None for trial in self._trials.values())

    def run(self, key: Hashable, function: Function, arrays: Sequence[_Tensor]) -> list[_Tensor]:
        """What ``function(arrays)`` gives.

        Parameters
        ----------
        key : hashable
            Whatever the function depends on beside the shapes of `arrays`.
        function : callable
        arrays : sequence of tensor
        """
        try:
            return self._run(key, function, arrays)
        except Exception as error:
            if no_memory(error):  # they hold some
                self._trials.clear()
            raise

    def _run(self, key: Hashable, function: Function, arrays: Sequence[_Tensor]) -> list[_Tensor]:
        if sum(x.nbytes for x in arrays) > MOST_BYTES:
            return function(arrays)
        shapes = tuple((tuple(x.shape), x.dtype) for x in arrays)
        trial = self._trial((key, shapes))
        trial.runs += 1
        if trial.settled:
            return function(arrays) if trial.graph is None else trial.graph.run(arrays)
        if trial.runs <= BEFORE:
            return function(arrays)
        if trial.graph is None:
            return self._recorded(trial, function, arrays)
        return self._timed(trial, function, arrays)

    def _trial(self, key: Hashable) -> _Trial:
        """That of some shapes; the one used longest ago is given up for a new one."""
        if key not in self._trials:
            self._trials[key] = _Trial()
            if len(self._trials) > MOST_GRAPHS:
                self._trials.popitem(last=False)
        self._trials.move_to_end(key)
        return self._trials[key]

    def _recorded(
        self, trial: _Trial, function: Function, arrays: Sequence[_Tensor]
    ) -> list[_Tensor]:
        """Run as usual, and record a graph that gives the same; without one where that fails."""
        plain = function(arrays)
        try:
            given = [torch.empty_like(x).copy_(x) for x in arrays]
            self._recorder.wait()
            replay, made = self._recorder.record(lambda: function(given))
            graph = _Graph(given, replay, made)
            if _alike(graph.run(arrays), plain):
                trial.graph = graph
        except Exception:  # such as a step that waits for the device: no graph, and no harm
            trial.graph = None
        trial.settled = trial.graph is None
        return plain

    def _timed(self, trial: _Trial, function: Function, arrays: Sequence[_Tensor]) -> list[_Tensor]:
        """Run in turns in both ways until the faster one is known."""
        graph = trial.graph
        takes_graph = len(trial.replayed) < len(trial.plain)
        self._recorder.wait()
        begun = self._clock()
        made = graph.run(arrays) if takes_graph else function(arrays)
        self._recorder.wait()
        (trial.replayed if takes_graph else trial.plain).append(self._clock() - begun)
        if len(trial.replayed) == TURNS:
            trial.settled = True
            if min(trial.replayed) >= min(trial.plain):
                trial.graph = None
        return made


def _alike(first: Sequence[_Tensor], second: Sequence[_Tensor]) -> bool:
    """Whether two ways give the same up to the order of sums."""
    return all(
        bool(((a - b).abs().max() <= ALIKE * b.abs().max()).item()) if a.numel() else True
        for a, b in zip(first, second, strict=True)
    )

"""Fast ISM with a clock between its steps: which layer, and what around them, takes how long.

Requirements: numpy, fastism; Keras or PyTorch for the model. Times are those of steps only where a
step has ended when its call returns: eagerly, on a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from benchmarks.floor.ledger import Ledger
from fastism.calls.mutants import Mutants, Part
from fastism.engines import Engines
from fastism.ism import FastISM
from fastism.planning.plan import Plan
from fastism.running.chunks import Chunk
from fastism.running.engine import Engine
from fastism.running.windows import WindowRun

#: Entries beside those of layers, which are indices of nodes.
REFERENCE = "reference pass"
DELTAS = "input windows and their transfer"
GATHERING = "gathering of mutants into chunks"
REBUILDING = "whole tensors from windows"
ENGINE = "the rest of the engine"
RESULT = "checks, mutants and putting results together"
AROUND = (REFERENCE, GATHERING, DELTAS, REBUILDING, ENGINE, RESULT)


class ProfiledEngine(Engine):
    """An engine that enters the time of each of its steps, by the index of its node.

    Parameters
    ----------
    ledger : Ledger
    plan, backend, memory, weights
        As for `Engine`.
    """

    def __init__(self, ledger: Ledger, plan: Plan, *others: Any) -> None:
        super().__init__(plan, *others)
        self._ledger = ledger
        self.windows = partial(_ProfiledWindows, ledger)

    def reference(self, inputs: Sequence[np.ndarray]) -> dict:
        """See `Engine`."""
        with self._ledger.span(REFERENCE):
            return super().reference(inputs)

    def run(self, *given: Any) -> tuple[list[np.ndarray], Iterator[Part]]:
        """See `Engine`."""
        with self._ledger.span(ENGINE):
            reference, parts = super().run(*given)
        return reference, self._ledger.each(ENGINE, parts)

    def batches(self, mutants: Mutants) -> Iterator[list[Chunk]]:
        """See `Engine`."""
        return self._ledger.each(GATHERING, super().batches(mutants))

    def _deltas(self, mutants: Mutants, batch: Sequence[Chunk]) -> Iterator:
        return self._ledger.each(DELTAS, super()._deltas(mutants, batch))

    def _geometry(self, chunk: Chunk) -> Any:
        with self._ledger.span(GATHERING):
            return super()._geometry(chunk)

    def _rebuilt(self, *given: Any) -> dict:
        with self._ledger.span(REBUILDING):
            return super()._rebuilt(*given)

    def _read_rows(self, tables: dict, index: int, *given: Any) -> Any:
        with self._ledger.span(index):
            return super()._read_rows(tables, index, *given)

    def _step_in_full(self, index: int, sources: Sequence[Any]) -> Any:
        with self._ledger.span(index):
            return super()._step_in_full(index, sources)


class _ProfiledWindows(WindowRun):
    """The window steps of one chunk, each with its time entered."""

    def __init__(self, ledger: Ledger, plan: Plan, *others: Any) -> None:
        super().__init__(plan, *others)
        self._ledger = ledger

    def step(self, index: int) -> None:
        with self._ledger.span(index):
            super().step(index)

    def read(self, index: int) -> Any:
        with self._ledger.span(index):
            return super().read(index)


class _ProfiledEngines(Engines):
    """Engines of mutants of one edit that enter what they do."""

    def __init__(self, ledger: Ledger, *given: Any) -> None:
        super().__init__(*given)
        self._ledger = ledger

    def make(self, plan: Plan, weights: list[Any]) -> Engine:
        """See `Engines`."""
        return ProfiledEngine(self._ledger, plan, self.backend, self.memory, weights)


class ProfiledISM(FastISM):
    """`FastISM` whose runs are entered in a ledger, step by step; results are the same.

    Parameters
    ----------
    ledger : Ledger
    model, **settings
        As for `FastISM`.
    """

    def __init__(self, ledger: Ledger, model: Any, **settings: Any) -> None:
        self._ledger = ledger
        super().__init__(model, **settings)

    def _make_engines(self) -> Engines:
        return super()._make_engines(partial(_ProfiledEngines, self._ledger))

    def saturate(self, *given: Any, **settings: Any) -> Any:
        """See `FastISM`."""
        with self._ledger.span(RESULT):
            return super().saturate(*given, **settings)

"""Records, methods and a clock for the tests of the benchmark, which need no framework."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from rich.console import Console

from benchmarks.jobs.job import TimingJob
from benchmarks.jobs.progress import Progress
from benchmarks.methods import Attribution, Method
from benchmarks.records import How, Record, Result, What, Where
from benchmarks.timing.measure import Subject

WHERE = Where(
    cpu="A processor",
    gpu="",
    threads=2,
    memory_bytes=2**34,
    system="Linux x86_64",
    versions={"python": "3.11.7", "numpy": "2.4.6"},
    commit="0123456789ab",
    date="2026-01-02T03:04:05+00:00",
)


@dataclass
class FakeClock:
    """A clock that moves only when a fake method runs."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class FakeMethod(Method):
    """Takes given seconds, run after run (the last over and over), and returns given values."""

    name: str
    backend: str
    clock: FakeClock
    durations: Sequence[float]
    values: np.ndarray
    sample: Sequence[int] = ()
    reason: str | None = None
    error: Exception | None = None
    runs: int = field(default=0, init=False)
    exact = True
    label = "fake"

    def refuse(self) -> str | None:
        return self.reason

    def set_up(self, model: object, sequences: np.ndarray) -> None:
        if self.error:
            raise self.error
        self.number, self.length = sequences.shape[:2]
        self.runs = 0

    def run(self) -> Attribution:
        # The first run of each number of sequences is the warm-up.
        seconds = self.durations[min(max(self.runs - 1, 0), len(self.durations) - 1)]
        self.clock.now += seconds * self.number
        self.runs += 1
        positions = list(self.sample) or list(range(self.length))
        return Attribution.of(self.values[: self.number, positions], np.array(positions))

    @property
    def positions(self) -> int | None:
        return len(self.sample) or None

    @property
    def scale(self) -> float:
        return self.length / len(self.sample) if self.sample else 1.0

    @property
    def macs(self) -> float:
        return 100.0 if self.name == "naive_ism" else 5.0


def make_job(**changes: object) -> TimingJob:
    """A job of three rounds, with what is changed."""
    values = {
        "study": "test",
        "architecture": "basset",
        "length": 10,
        "data": "nowhere",
        "parameter": "",
        "value": 0,
        "sequences": (1, 2),
        "methods": ("naive_ism", "fast_ism"),
        "backends": ("tensorflow", "torch", "jax"),
        "every_backend_up_to": 1,
        "keras_backend": "tensorflow",
        "device": "cpu",
        "naive_mutants": 1,
        "warm_up": 1,
        "least": 3,
        "most": 3,
        "seconds": 0.0,
        "tolerance": 0.01,
        "budget": 1e9,
        "failures": "stop",
    }
    return TimingJob(**{**values, **changes})


def make_subject(number: int = 2, length: int = 10) -> Subject:
    """Sequences without a model."""
    sequences = np.zeros((number, length, 4), dtype=np.float32)
    return Subject(None, sequences, WHERE)


def make_progress() -> tuple[Progress, io.StringIO]:
    """A progress display, and what it has written."""
    written = io.StringIO()
    return Progress("a test", Console(file=written, width=200)), written


def make_record(
    method: str = "fast_ism",
    backend: str = "torch",
    seconds: Sequence[float] = (1.0, 2.0, 4.0),
    scale: float = 1.0,
    sequences: int = 1,
    job: str = "a",
    macs: float = 5.0,
    where: Where = WHERE,
    architecture: str = "basset",
    result: Result | None = None,
    length: int = 1000,
    kind: str = "throughput",
    variant: str = "",
    device: str = "cpu",
    keras_backend: str = "tensorflow",
    settings: Mapping[str, int | float | str] | None = None,
) -> Record:
    """A record of Basset at 1000 bp, with what is changed."""
    return Record(
        What(
            study="test",
            kind=kind,
            method=method,
            architecture=architecture,
            length=length,
            sequences=sequences,
            positions=round(length / scale),
            alternatives=3,
            data="nowhere, seed 1",
            variant=variant,
        ),
        How(
            backend=backend,
            keras_backend=keras_backend,
            device=device,
            batch_size=128 if method == "naive_ism" else None,
            warm_up=1,
            extrapolated=scale != 1.0,
            scale=scale,
            settings={"block": 8} if settings is None else settings,
            job=job,
        ),
        result or Result(seconds=tuple(seconds), macs=macs, difference=1e-6, spread=1e-2),
        where,
    )

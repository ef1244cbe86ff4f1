"""Jobs: what one process is asked to measure, one class for each kind of measurement.

A job reaches its process as one JSON document, see `benchmarks.jobs.document`.

Requirements: none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What every job needs to know, as fields of plain types.

    Attributes
    ----------
    study : str
        Name of the config.
    architecture : str
        A key of `benchmarks.architectures.ARCHITECTURES`.
    length : int
        Of the sequences.
    data : str
        Where the sequences are from, for the records.
    """

    study: str
    architecture: str
    length: int
    data: str

    @property
    def case(self) -> str:
        """What files call the job, unique within a config."""
        return f"{self.architecture}_{self.length}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TimingJob(Job):
    """Several methods that are timed in turns, in one process.

    Attributes
    ----------
    parameter : str
        What a sweep varies; an empty string elsewhere.
    value : int
        Its value; 0 elsewhere.
    sequences : tuple of int
        Numbers of sequences per run, ascending.
    methods, backends : tuple of str
    every_backend_up_to : int
        With more sequences than this, only the framework of the model and the fastest other
        backend so far are timed.
    keras_backend : str
    device : {"cpu", "gpu"}
    naive_mutants, warm_up : int
    least, most : int
        Rounds.
    seconds : float
        No round is begun after this time, between `least` and `most`.
    tolerance : float
        Largest difference to naive ISM, in standard deviations of the effects.
    budget : float
        Seconds that the whole job may take: what is expected to take it beyond is left out, and
        the record says so.
    failures : {"stop", "record"}
        Whether a failure of the whole job stops the workflow, or leaves records with its reason.
    model : {"keras", "torch"}
        Whether methods are given the Keras model, or its twin as a PyTorch module.
    """

    sequences: tuple[int, ...]
    methods: tuple[str, ...]
    backends: tuple[str, ...]
    every_backend_up_to: int
    keras_backend: str
    device: Device
    naive_mutants: int
    warm_up: int
    least: int
    most: int
    seconds: float
    tolerance: float
    budget: float
    failures: Literal["stop", "record"]
    model: Literal["keras", "torch"] = "keras"
    parameter: str = ""
    value: int = 0

    @property
    def case(self) -> str:
        """What files call the job, unique within a config."""
        variant = f"{self.parameter}_{self.value}_" if self.parameter else ""
        where = f"{self.device}_{self.keras_backend}"
        where += "_module" if self.model == "torch" else ""
        return f"{self.architecture}_{self.length}_{variant}{where}"

    @property
    def variant(self) -> str:
        """What records call it, within architecture and length."""
        return f"{self.parameter}={self.value}" if self.parameter else ""

    @property
    def parameters(self) -> dict[str, int]:
        """What the builder of the architecture needs besides the length."""
        varied = self.parameter and self.parameter != "sequence_length"
        return {self.parameter: self.value} if varied else {}


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstCallJob(Job):
    """Building `FastISM` and its first call, in a fresh process.

    Attributes
    ----------
    backend : str
        The framework that `FastISM` runs on.
    keras_backend : str
        The framework of the model.
    device : {"cpu", "gpu"}
    sequences : int
        How many the call takes.
    """

    backend: str
    keras_backend: str = "tensorflow"
    device: Device = "cpu"
    sequences: int = 1

    @property
    def case(self) -> str:
        """What files call the job, unique within a config."""
        where = f"{self.device}_{self.keras_backend}"
        return f"{self.architecture}_{self.length}_{where}_first_call_{self.backend}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerJob(Job):
    """Another implementation of ISM, timed in an environment of its own.

    Attributes
    ----------
    peer : str
        A key of `benchmarks.peers.PEERS`.
    sequences : tuple of int
        Numbers of sequences per run, ascending.
    batch_sizes : tuple of int
        To choose the best from, by timing.
    repeats : int
        Timed runs, after one that is not.
    budget : float
        Seconds that the job may take; numbers of sequences that would take longer are left out.
    """

    peer: str
    sequences: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    repeats: int
    budget: float

    @property
    def case(self) -> str:
        """What files call the job, unique within a config."""
        return f"peer_{self.peer}_{self.architecture}_{self.length}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakdownJob(Job):
    """Where the time goes: a model as a whole, and its convolutions alone.

    Attributes
    ----------
    sequences : int
        How many are in a run.
    """

    sequences: int

    @property
    def case(self) -> str:
        """What files call the job, unique within a config."""
        return f"breakdown_{self.architecture}_{self.length}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgreementJob(Job):
    """How far attributions agree with exact ISM.

    Attributes
    ----------
    sequences : int
        How many are attributed.
    methods : tuple of str
        Keys of `benchmarks.methods.discover`.
    """

    sequences: int
    methods: tuple[str, ...]

    @property
    def case(self) -> str:
        """What files call the job, unique within a config."""
        return f"agreement_{self.architecture}_{self.length}"

"""One timing job: what a process is asked to time, as flags of a command line.

Requirements: none.
"""

from __future__ import annotations

import argparse
import dataclasses
import shlex
import typing
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that one timing job needs to know, as fields of plain types.

    Attributes
    ----------
    study : str
        Name of the config.
    architecture : str
    length : int
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
    keras_backend, device : str
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

    study: str
    architecture: str
    length: int
    parameter: str
    value: int
    sequences: tuple[int, ...]
    methods: tuple[str, ...]
    backends: tuple[str, ...]
    every_backend_up_to: int
    keras_backend: str
    device: str
    naive_mutants: int
    warm_up: int
    least: int
    most: int
    seconds: float
    tolerance: float
    budget: float
    failures: str
    model: str = "keras"

    @property
    def case(self) -> str:
        """What files call it, unique within a config."""
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

    def flags(self) -> str:
        """The job as command-line flags, quoted for a shell."""
        words = []
        for name, value in dataclasses.asdict(self).items():
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
        return shlex.join(words)

    @classmethod
    def add_flags(cls, parser: argparse.ArgumentParser) -> None:
        """Give a parser the flags of all fields."""
        for name, kind in typing.get_type_hints(cls).items():
            several = typing.get_origin(kind) is tuple
            parser.add_argument(
                f"--{name.replace('_', '-')}",
                type=typing.get_args(kind)[0] if several else kind,
                nargs="+" if several else None,
                required=True,
            )

    @classmethod
    def from_flags(cls, given: argparse.Namespace) -> Job:
        """The job that parsed flags describe."""
        values = {f.name: getattr(given, f.name) for f in dataclasses.fields(cls)}
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})

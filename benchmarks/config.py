"""Configs of the workflow: read, checked against the schema, and turned into job settings.

Requirements: jsonschema and PyYAML.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from benchmarks.architectures import ARCHITECTURES
from benchmarks.methods import discover
from fastism.backends import available_backends
from fastism.errors import FastISMError

SCHEMA = Path(__file__).resolve().parents[1] / "workflows" / "config" / "schema.json"
#: In place of a list of backends: every one that is installed.
BEST = "best"


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that one timing job needs to know, as fields of plain types.

    Attributes
    ----------
    study : str
        Name of the config.
    architecture : str
    length : int
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
    """

    study: str
    architecture: str
    length: int
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


@dataclass(frozen=True, slots=True)
class Config:
    """One checked config.

    Attributes
    ----------
    name : str
        Names the target of the workflow and the folder of its results.
    fasta : str
        Where sequences are taken from, relative to the repository.
    seed : int
        Which of them.
    first_call : bool
        Whether building and the first call are measured as well.
    jobs : mapping from (str, int) to Job
        By architecture and length.
    """

    name: str
    fasta: str
    seed: int
    first_call: bool
    jobs: Mapping[tuple[str, int], Job]

    @property
    def most_sequences(self) -> int:
        """The largest number of sequences in any job."""
        return max(max(job.sequences) for job in self.jobs.values())


def load_config(path: str | Path) -> Config:
    """Read and check a config file.

    Raises
    ------
    FastISMError
        The file is missing, not YAML, or does not fit the schema.
    """
    path = Path(path)
    try:
        content = yaml.safe_load(path.read_text())
    except OSError as error:
        raise FastISMError(f"The config {path} cannot be read ({error.strerror}).") from None
    except yaml.YAMLError as error:
        raise FastISMError(f"The config {path} is not YAML: {error}") from None
    return parse_config(content, str(path))


def parse_config(content: Any, source: str) -> Config:
    """Check the content of a config.

    Parameters
    ----------
    content : object
        As YAML gives it.
    source : str
        What error messages call it.

    Raises
    ------
    FastISMError
        Names every unknown key and every value that is not allowed.
    """
    schema = json.loads(SCHEMA.read_text())
    validator = jsonschema.Draft202012Validator(schema)
    wrong = [_explained(e) for e in sorted(validator.iter_errors(content), key=_where)]
    if not wrong:
        wrong = _unknown_names(content)
    if wrong:
        raise FastISMError("\n".join([f"The config {source} is not valid:", *wrong]))
    jobs = {}
    for case in content["cases"]:
        key = case["architecture"], case["length"]
        if key in jobs:
            raise FastISMError(f"The config {source} lists {key[0]} at {key[1]} twice.")
        jobs[key] = _job(content, case)
    return Config(
        name=content["name"],
        fasta=content["data"]["fasta"],
        seed=content["data"]["seed"],
        first_call=content["first_call"],
        jobs=jobs,
    )


def _job(content: Mapping[str, Any], case: Mapping[str, Any]) -> Job:
    backends = content["backends"]
    repeats = content["repeats"]
    return Job(
        study=content["name"],
        architecture=case["architecture"],
        length=case["length"],
        sequences=tuple(sorted(case.get("sequences", content["sequences"]))),
        methods=tuple(content["methods"]),
        backends=tuple(available_backends() if backends == BEST else backends),
        every_backend_up_to=content["every_backend_up_to"],
        keras_backend=content["keras_backend"],
        device=content["device"],
        naive_mutants=content["naive_mutants"],
        warm_up=content["warm_up"],
        least=repeats["least"],
        most=repeats["most"],
        seconds=float(repeats["seconds"]),
        tolerance=float(content["tolerance"]),
    )


def _unknown_names(content: Mapping[str, Any]) -> list[str]:
    """Complaints about names that registries decide about, and about bounds that cross."""
    known = {"architecture": ARCHITECTURES, "method": discover()}
    given = [("method", "methods", name) for name in content["methods"]]
    for number, case in enumerate(content["cases"]):
        given.append(("architecture", f"cases.{number}", case["architecture"]))
    wrong = [
        f"  {place}: unknown {what} {name!r}; expected one of {', '.join(known[what])}"
        for what, place, name in given
        if name not in known[what]
    ]
    repeats = content["repeats"]
    if repeats["least"] > repeats["most"]:
        wrong.append(f"  repeats: least={repeats['least']} exceeds most={repeats['most']}")
    return wrong


def _where(error: jsonschema.ValidationError) -> str:
    return ".".join(map(str, error.absolute_path)) or "top level"


def _explained(error: jsonschema.ValidationError) -> str:
    """One line: where, what was given, what is allowed."""
    if error.validator == "additionalProperties":
        allowed = error.schema["properties"]
        unknown = ", ".join(repr(key) for key in error.instance if key not in allowed)
        return f"  {_where(error)}: unknown key {unknown}; expected some of {', '.join(allowed)}"
    return f"  {_where(error)}: {error.message}"

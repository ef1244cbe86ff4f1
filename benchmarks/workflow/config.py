"""Configs of the workflow: read, checked against the schema, and turned into job settings.

Requirements: jsonschema and PyYAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import yaml

from benchmarks.architectures import ARCHITECTURES
from benchmarks.jobs.job import Job
from benchmarks.methods import discover
from benchmarks.peers import PEERS
from fastism.backends import available_backends
from fastism.errors import FastISMError

SCHEMA = Path(__file__).resolve().parents[2] / "workflows" / "config" / "schema.json"
#: In place of a list of backends: every one that is installed.
BEST = "best"
#: Names that the workflow uses otherwise.
RESERVED = ("run", "regression")

__all__ = ["Config", "Extra", "Job", "PeerJob", "load_config", "parse_config"]


@dataclass(frozen=True, slots=True)
class PeerJob:
    """What a peer is timed on, in an environment of its own.

    Attributes
    ----------
    peer : str
        A key of `benchmarks.peers.PEERS`.
    architecture : str
    length : int
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
    architecture: str
    length: int
    sequences: tuple[int, ...]
    batch_sizes: tuple[int, ...]
    repeats: int
    budget: float

    @property
    def case(self) -> str:
        """What files call it, unique within a config."""
        return f"{self.peer}_{self.architecture}_{self.length}"


@dataclass(frozen=True, slots=True)
class Extra:
    """Something else that is measured on an architecture: agreement, or where the time goes.

    Attributes
    ----------
    architecture : str
    length : int
    sequences : int
    methods : tuple of str
    """

    architecture: str
    length: int
    sequences: int
    methods: tuple[str, ...]

    @property
    def case(self) -> str:
        """What files call it, unique among those of its kind."""
        return f"{self.architecture}_{self.length}"


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
    report : bool
        Whether every table and figure is drawn and gathered in a page, or that of speedups only.
    jobs : mapping from str to Job
        Timing jobs, by their case.
    first_calls : mapping from str to Job
        Those of them that building and the first call are measured for.
    peers : mapping from str to PeerJob
    agreements, breakdowns : mapping from str to Extra
    """

    name: str
    fasta: str
    seed: int
    report: bool
    jobs: Mapping[str, Job]
    first_calls: Mapping[str, Job]
    peers: Mapping[str, PeerJob]
    agreements: Mapping[str, Extra]
    breakdowns: Mapping[str, Extra]

    @property
    def most_sequences(self) -> int:
        """The largest number of sequences in any job."""
        numbers = [max(job.sequences) for job in (*self.jobs.values(), *self.peers.values())]
        extras = (*self.agreements.values(), *self.breakdowns.values())
        return max([*numbers, *(extra.sequences for extra in extras)])

    def described_data(self, job: Job | PeerJob | Extra) -> str:
        """What records of a job say about its sequences."""
        joined = ", joined where short" if getattr(job, "parameter", "") else ""
        return f"{Path(self.fasta).name}, seed {self.seed}, last {job.length} bp{joined}"


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
    jobs: dict[str, Job] = {}
    for job in (*_jobs(content), *_sweeps(content)):
        if job.case in jobs:
            what = f"{job.architecture} at {job.length}"
            raise FastISMError(
                f"The config {source} lists {what} twice, on {job.device} with {job.keras_backend}."
            )
        jobs[job.case] = job
        _check_model(job, source)
    own = {
        case: job
        for case, job in jobs.items()
        if not job.parameter
        and job.keras_backend == content["keras_backend"]
        and job.model == "keras"
    }
    return Config(
        name=content["name"],
        fasta=content["data"]["fasta"],
        seed=content["data"]["seed"],
        report=content["report"],
        jobs=jobs,
        first_calls=own if content["first_call"] else {},
        peers={job.case: job for job in _peers(content)},
        agreements=_extras(content, "agreement"),
        breakdowns=_extras(content, "breakdown"),
    )


def _jobs(content: Mapping[str, Any]) -> Iterator[Job]:
    """One job per case and device."""
    for case in content["cases"]:
        for device in case.get("devices", content["devices"]):
            yield _job({**content, **case}, device)


def _check_model(job: Job, source: str) -> None:
    """Refuse what cannot be done with a PyTorch module."""
    if job.model == "keras":
        return
    place = f"The config {source}, {job.architecture} at {job.length}: model: {job.model}"
    if job.keras_backend != job.model:
        raise FastISMError(
            f"{place} needs keras_backend: {job.model}, where its weights come from; got "
            f"{job.keras_backend}."
        )
    known = discover()
    others = [name for name in job.methods if job.model not in known[name].models]
    if others:
        able = ", ".join(name for name, method in known.items() if job.model in method.models)
        raise FastISMError(
            f"{place} cannot be given to {', '.join(others)}; expected some of {able}."
        )


def _sweeps(content: Mapping[str, Any]) -> Iterator[Job]:
    """One job per value of every parameter that is varied, and device."""
    sweeps = content.get("sweeps")
    for parameter, values in (sweeps["values"] if sweeps else {}).items():
        for value in values:
            length = value if parameter == "sequence_length" else sweeps["length"]
            case = {**content, **sweeps, "length": length}
            for device in sweeps.get("devices", content["devices"]):
                yield _job(case, device, parameter, value)


def _job(case: Mapping[str, Any], device: str, parameter: str = "", value: int = 0) -> Job:
    backends = case["backends"]
    repeats = case["repeats"]
    return Job(
        study=case["name"],
        architecture=case["architecture"],
        length=case["length"],
        parameter=parameter,
        value=value,
        sequences=tuple(sorted(case["sequences"])),
        methods=tuple(case["methods"]),
        backends=tuple(available_backends() if backends == BEST else backends),
        every_backend_up_to=case["every_backend_up_to"],
        keras_backend=case["keras_backend"],
        device=device,
        naive_mutants=case["naive_mutants"],
        warm_up=case["warm_up"],
        least=repeats["least"],
        most=repeats["most"],
        seconds=float(repeats["seconds"]),
        tolerance=float(case["tolerance"]),
        budget=float(case["job_seconds"]),
        failures=case["failures"],
        model=case.get("model", "keras"),
    )


def _peers(content: Mapping[str, Any]) -> Iterator[PeerJob]:
    peers = content.get("peers")
    for case in peers["cases"] if peers else []:
        for name in peers["names"]:
            yield PeerJob(
                peer=name,
                architecture=case["architecture"],
                length=case["length"],
                sequences=tuple(sorted(case.get("sequences", peers["sequences"]))),
                batch_sizes=tuple(peers["batch_sizes"]),
                repeats=peers["repeats"],
                budget=float(peers["job_seconds"]),
            )


def _extras(content: Mapping[str, Any], key: str) -> dict[str, Extra]:
    """The jobs of one kind besides timing."""
    given = content.get(key)
    if not given:
        return {}
    methods = tuple(given.get("methods", ()))
    extras = (
        Extra(case["architecture"], case["length"], given["sequences"], methods)
        for case in given["cases"]
    )
    return {extra.case: extra for extra in extras}


def _unknown_names(content: Mapping[str, Any]) -> list[str]:
    """Complaints about names that registries decide about, and about bounds that cross."""
    known = {"architecture": ARCHITECTURES, "method": discover(), "peer": PEERS}
    wrong = [
        f"  {place}: unknown {what} {name!r}; expected one of {', '.join(known[what])}"
        for what, place, name in _names(content)
        if name not in known[what]
    ]
    sweeps = content.get("sweeps")
    if sweeps and not wrong:
        allowed = ("sequence_length", *ARCHITECTURES[sweeps["architecture"]].parameters)
        wrong += [
            f"  sweeps.values: {sweeps['architecture']} has no parameter {name!r}; expected some "
            f"of {', '.join(allowed)}"
            for name in sweeps["values"]
            if name not in allowed
        ]
    repeats = content["repeats"]
    if repeats["least"] > repeats["most"]:
        wrong.append(f"  repeats: least={repeats['least']} exceeds most={repeats['most']}")
    if content["name"] in RESERVED:
        wrong.append(f"  name: {content['name']!r} is another target of the workflow; rename it")
    return wrong


def _names(content: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Every name of a registry, with what it is and where it stands."""
    for key, what in (("", "method"), ("agreement", "method"), ("sweeps", "method")):
        part = content.get(key, {}) if key else content
        for name in part.get("methods", ()):
            yield what, f"{key}.methods" if key else "methods", name
    for name in content.get("peers", {}).get("names", ()):
        yield "peer", "peers.names", name
    for key in ("", "peers", "agreement", "breakdown"):
        part = content.get(key, {}) if key else content
        for number, case in enumerate(part.get("cases", ())):
            place = f"{key}.cases.{number}" if key else f"cases.{number}"
            yield "architecture", place, case["architecture"]
            for name in case.get("methods", ()):
                yield "method", place, name
    if "sweeps" in content:
        yield "architecture", "sweeps", content["sweeps"]["architecture"]


def _where(error: jsonschema.ValidationError) -> str:
    return ".".join(map(str, error.absolute_path)) or "top level"


def _explained(error: jsonschema.ValidationError) -> str:
    """One line: where, what was given, what is allowed."""
    if error.validator == "additionalProperties":
        allowed = error.schema["properties"]
        unknown = ", ".join(repr(key) for key in error.instance if key not in allowed)
        return f"  {_where(error)}: unknown key {unknown}; expected some of {', '.join(allowed)}"
    return f"  {_where(error)}: {error.message}"

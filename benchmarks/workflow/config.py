"""Configs of the workflow: read, checked against the schema, and turned into job settings.

Requirements: jsonschema and PyYAML.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import jsonschema
import yaml

from benchmarks.architectures import ARCHITECTURES
from benchmarks.jobs.job import (
    AgreementJob,
    BreakdownJob,
    FirstCallJob,
    Job,
    PeerJob,
    TimingJob,
)
from benchmarks.methods import discover
from benchmarks.peers import PEERS
from fastism.backends import available_backends
from fastism.errors import FastISMError

SCHEMA = Path(__file__).resolve().parents[2] / "workflows" / "config" / "schema.json"
#: In place of a list of backends: every one that is installed.
BEST = "best"
#: Names that the workflow uses otherwise.
RESERVED = ("run", "regression")

J = TypeVar("J", bound=Job)


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
    jobs : mapping from str to TimingJob
        By their case, as are all others.
    first_calls : mapping from str to FirstCallJob
    peers : mapping from str to PeerJob
    agreements : mapping from str to AgreementJob
    breakdowns : mapping from str to BreakdownJob
    """

    name: str
    fasta: str
    seed: int
    report: bool
    jobs: Mapping[str, TimingJob]
    first_calls: Mapping[str, FirstCallJob]
    peers: Mapping[str, PeerJob]
    agreements: Mapping[str, AgreementJob]
    breakdowns: Mapping[str, BreakdownJob]

    @property
    def measured(self) -> dict[str, Job]:
        """Every job that leaves records, of whatever kind, by its case."""
        kinds = (self.jobs, self.first_calls, self.peers, self.breakdowns, self.agreements)
        return {case: job for jobs in kinds for case, job in jobs.items()}

    @property
    def most_sequences(self) -> int:
        """The largest number of sequences in any job."""
        numbers = [job.sequences for job in self.measured.values()]
        return max(max(each) if isinstance(each, tuple) else each for each in numbers)


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
    jobs: dict[str, TimingJob] = {}
    for job in (*_jobs(content), *_sweeps(content)):
        if job.case in jobs:
            what = f"{job.architecture} at {job.length}"
            raise FastISMError(
                f"The config {source} lists {what} twice, on {job.device} with {job.keras_backend}."
            )
        jobs[job.case] = job
        _check_model(job, source)
    return Config(
        name=content["name"],
        fasta=content["data"]["fasta"],
        seed=content["data"]["seed"],
        report=content["report"],
        jobs=jobs,
        first_calls=_by_case(_first_calls(content, jobs.values())),
        peers=_by_case(_peers(content)),
        agreements=_by_case(_agreements(content)),
        breakdowns=_by_case(_breakdowns(content)),
    )


def _by_case(jobs: Iterable[J]) -> dict[str, J]:
    return {job.case: job for job in jobs}


def _data(content: Mapping[str, Any], length: int, joined: bool = False) -> str:
    """What records of a job say about its sequences."""
    data = content["data"]
    how = ", joined where short" if joined else ""
    return f"{Path(data['fasta']).name}, seed {data['seed']}, last {length} bp{how}"


def _jobs(content: Mapping[str, Any]) -> Iterator[TimingJob]:
    """One job per case and device."""
    for case in content["cases"]:
        for device in case.get("devices", content["devices"]):
            yield _job({**content, **case}, device)


def _check_model(job: TimingJob, source: str) -> None:
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


def _sweeps(content: Mapping[str, Any]) -> Iterator[TimingJob]:
    """One job per value of every parameter that is varied, and device."""
    sweeps = content.get("sweeps")
    for parameter, values in (sweeps["values"] if sweeps else {}).items():
        for value in values:
            length = value if parameter == "sequence_length" else sweeps["length"]
            case = {**content, **sweeps, "length": length}
            for device in sweeps.get("devices", content["devices"]):
                yield _job(case, device, parameter, value)


def _job(case: Mapping[str, Any], device: str, parameter: str = "", value: int = 0) -> TimingJob:
    backends = case["backends"]
    repeats = case["repeats"]
    return TimingJob(
        study=case["name"],
        architecture=case["architecture"],
        length=case["length"],
        data=_data(case, case["length"], joined=bool(parameter)),
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
                study=content["name"],
                data=_data(content, case["length"]),
                peer=name,
                architecture=case["architecture"],
                length=case["length"],
                sequences=tuple(sorted(case.get("sequences", peers["sequences"]))),
                batch_sizes=tuple(peers["batch_sizes"]),
                repeats=peers["repeats"],
                budget=float(peers["job_seconds"]),
            )


def _first_calls(content: Mapping[str, Any], jobs: Iterable[TimingJob]) -> Iterator[FirstCallJob]:
    """One job per timing job and backend, of Keras models on the framework of the config."""
    for job in jobs if content["first_call"] else ():
        if job.parameter or job.model != "keras" or job.keras_backend != content["keras_backend"]:
            continue
        for backend in job.backends:
            yield FirstCallJob(
                study=job.study,
                architecture=job.architecture,
                length=job.length,
                data=job.data,
                backend=backend,
                keras_backend=job.keras_backend,
                device=job.device,
            )


def _agreements(content: Mapping[str, Any]) -> Iterator[AgreementJob]:
    given = content.get("agreement")
    for case in given["cases"] if given else []:
        yield AgreementJob(
            study=content["name"],
            architecture=case["architecture"],
            length=case["length"],
            data=_data(content, case["length"]),
            sequences=given["sequences"],
            methods=tuple(given["methods"]),
        )


def _breakdowns(content: Mapping[str, Any]) -> Iterator[BreakdownJob]:
    given = content.get("breakdown")
    for case in given["cases"] if given else []:
        yield BreakdownJob(
            study=content["name"],
            architecture=case["architecture"],
            length=case["length"],
            data=_data(content, case["length"]),
            sequences=given["sequences"],
        )


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

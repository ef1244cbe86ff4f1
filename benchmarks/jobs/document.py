"""Jobs as JSON documents, and the command line of the processes that are given one.

    python -m benchmarks.timing.first_call --output records.jsonl --fasta some.fa --job '{
        "study": "mine", "architecture": "basset", "length": 1000, "data": "some.fa",
        "backend": "torch"}'

The keys are the fields of the job's class in `benchmarks.jobs.job`; the reader is strict.

Requirements: none.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

from benchmarks.architectures import ARCHITECTURES
from benchmarks.jobs.job import Job
from fastism.errors import FastISMError

J = TypeVar("J", bound=Job)


def write_job(job: Job) -> str:
    """The document of a job, on one line."""
    return json.dumps(dataclasses.asdict(job))


def read_job(kind: type[J], given: str) -> J:
    """Read the document of a job.

    Parameters
    ----------
    kind : subclass of Job
        Which job is expected.
    given : str
        The document itself, which begins with a brace, or the path of a file that holds it.

    Raises
    ------
    FastISMError
        The file cannot be read, the text is not a JSON object, keys are unknown, missing or given
        twice, a value is not of its type, or there is no such architecture. The message names
        every such key.
    """
    inline = given.lstrip().startswith("{")
    source = "The job" if inline else f"The job in {given}"
    try:
        text = given if inline else Path(given).read_text()
        content = json.loads(text, object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise FastISMError(
            f"{source} cannot be read ({error.strerror}). Give a JSON object, or the path of a "
            "file that holds one."
        ) from None
    except ValueError as error:
        raise FastISMError(f"{source} is not a JSON document: {error}.") from None
    if not isinstance(content, dict):
        raise FastISMError(f"{source} is {type(content).__name__}; expected a JSON object.")
    values, wrong = _checked(kind, content)
    architecture = values.get("architecture")
    if architecture is not None and architecture not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        wrong.append(f"architecture: unknown {architecture!r}; expected one of {known}")
    if wrong:
        what = f"{source} is not a valid {kind.__name__}"
        raise FastISMError("\n  ".join([f"{what}:", *wrong]))
    return kind(**values)


def job_parser(kind: type[Job], prog: str, description: str | None) -> argparse.ArgumentParser:
    """A parser with the flags that all commands have that know a job: `--job` and `--output`.

    Parameters
    ----------
    kind : subclass of Job
        What `--job` is read as. A document that is not one ends the command with status 2.
    prog, description : str
        As for `argparse.ArgumentParser`.
    """

    def job(given: str) -> Job:
        try:
            return read_job(kind, given)
        except FastISMError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    parser = argparse.ArgumentParser(prog=prog, description=description)
    help_text = f"JSON document of a benchmarks.jobs.job.{kind.__name__}, or a file that holds it"
    parser.add_argument("--job", type=job, required=True, help=help_text)
    parser.add_argument("--output", type=Path, required=True, help="records, as JSON lines")
    return parser


def measuring_parser(
    kind: type[Job], prog: str, description: str | None
) -> argparse.ArgumentParser:
    """`job_parser` with what a command needs that measures: sequences and processors."""
    parser = job_parser(kind, prog, description)
    parser.add_argument("--fasta", type=Path, required=True, help="enough sequences to run on")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    return parser


def _without_duplicates(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; ValueError where a key is given twice, of which Python would keep one."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {key!r} is given twice")
        found[key] = value
    return found


def _checked(kind: type[Job], content: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The values of the fields of a job, and complaints about all that does not fit."""
    types = typing.get_type_hints(kind)
    fields = {field.name: field for field in dataclasses.fields(kind)}
    wrong = [
        f"unknown key {key!r}; expected some of {', '.join(fields)}"
        for key in content
        if key not in fields
    ]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name not in content:
            if field.default is dataclasses.MISSING:
                wrong.append(f"missing key {name!r}")
        elif _fits(content[name], types[name]):
            value = content[name]
            values[name] = tuple(value) if isinstance(value, list) else value
        else:
            wrong.append(f"{name}: got {content[name]!r}; expected {_named(types[name])}")
    return values, wrong


def _fits(value: object, kind: Any) -> bool:
    """Whether a value, as JSON gives it, is of the type of a field."""
    if typing.get_origin(kind) is Literal:
        return value in typing.get_args(kind)
    if typing.get_origin(kind) is tuple:
        of = typing.get_args(kind)[0]
        return isinstance(value, list) and all(_fits(each, of) for each in value)
    if isinstance(value, bool):
        return kind is bool
    if kind is float:
        return isinstance(value, (int, float)) and math.isfinite(value)
    return isinstance(value, kind)


def _named(kind: Any) -> str:
    """What an error message calls the type of a field."""
    if typing.get_origin(kind) is Literal:
        return "one of " + ", ".join(map(repr, typing.get_args(kind)))
    if typing.get_origin(kind) is tuple:
        return f"a list of {typing.get_args(kind)[0].__name__}"
    return kind.__name__

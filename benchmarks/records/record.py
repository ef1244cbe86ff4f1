"""Records: one row per timed method, appended to JSON lines and never changed.

A record holds what was measured and nothing that follows from it; ratios and scaled times are
worked out by `benchmarks.records.compare`.

Requirements: pandas, only to tabulate.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import statistics
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastism.errors import FastISMError

if TYPE_CHECKING:
    import pandas

#: Raised when a field changes its meaning.
VERSION = 1


@dataclass(frozen=True, slots=True)
class What:
    """What ran.

    Attributes
    ----------
    study : str
        Name of the config.
    kind : {"throughput", "first_call", "breakdown", "agreement"}
        Warm runs in turns with others; building and calling once in a fresh process; the same as
        the first on parts of a model; or no timing but rank correlations with exact ISM.
    method, architecture : str
        Names.
    length : int
        Positions of a sequence.
    sequences : int
        Sequences of one run.
    positions : int
        Positions that a run mutates; all of them unless it is a sample.
    alternatives : int
        Replacements per position.
    data : str
        Where the sequences are from.
    variant : str
        The parameter of the architecture that a sweep varies and its value, "channels=32".
    """

    study: str
    kind: str
    method: str
    architecture: str
    length: int
    sequences: int
    positions: int
    alternatives: int
    data: str
    variant: str = ""


@dataclass(frozen=True, slots=True)
class How:
    """How it ran.

    Attributes
    ----------
    backend, keras_backend : str
        Framework of the method, and of the Keras model.
    device : {"cpu", "gpu"}
    batch_size : int or None
        Inputs per call of the model, where the method has such a number.
    warm_up : int
        Runs that were not timed.
    extrapolated : bool
        Whether a run was a sample of the whole.
    scale : float
        Seconds of the whole per second of a run.
    settings : mapping
        Anything else that belongs to the method.
    job : str
        Records with the same job come from one process; entry i of their seconds is round i.
    model : {"keras", "torch"}
        Whether the model is a Keras model, or its twin as a PyTorch module.
    mode : {"", "eager", "compiled"}
        How the model is run, where a method runs it in several ways.
    """

    backend: str
    keras_backend: str
    device: str
    batch_size: int | None
    warm_up: int
    extrapolated: bool
    scale: float
    settings: Mapping[str, int | float | str]
    job: str
    model: str = "keras"
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Result:
    """What was measured.

    Attributes
    ----------
    status : {"ok", "refused", "failed", "skipped"}
    reason : str
        Why it was refused or failed, or skipped for want of time or memory.
    seconds : tuple of float
        Wall-clock seconds of every run.
    build_seconds : float or None
        Seconds to make the method ready, of kind "first_call" and of peers.
    peak_bytes : int or None
        Peak resident memory above that of the process with its model and the backend's framework,
        of kind "first_call".
    macs : float or None
        Multiply-adds per mutant, counted, not measured.
    difference, spread : float or None
        Of exact methods and approximations of them: the largest difference to naive ISM, in units
        of the output, and the standard deviation of the effects there.
    correlations : tuple of float
        Of kind "agreement": Spearman's, with exact ISM, one per sequence.
    identity : str
        Of other methods: what their attributions were checked for.
    residual : float or None
        How far they were from it, as `benchmarks.methods.Check` says.
    result_bytes : int or None
        Of kind "first_call": what the result itself takes, which is part of `peak_bytes`.
    rates : tuple of float
        Of fast ISM: FLOP/s of plain matrix products of the plan's shapes (`benchmarks.floor.rate`),
        one for every entry of the seconds, measured right after it; empty where none was measured.
    """

    status: str = "ok"
    reason: str = ""
    seconds: tuple[float, ...] = ()
    build_seconds: float | None = None
    peak_bytes: int | None = None
    macs: float | None = None
    difference: float | None = None
    spread: float | None = None
    correlations: tuple[float, ...] = ()
    identity: str = ""
    residual: float | None = None
    rates: tuple[float, ...] = ()
    result_bytes: int | None = None

    @property
    def median(self) -> float:
        """Median of the seconds; NaN where nothing was timed."""
        return statistics.median(self.seconds) if self.seconds else float("nan")


@dataclass(frozen=True, slots=True)
class Where:
    """The system it ran on.

    Attributes
    ----------
    cpu, gpu : str
        Models; an empty string without GPU.
    threads : int
        Processors that the process could use.
    memory_bytes : int
        Of the machine.
    system : str
        Operating system and architecture.
    versions : mapping from str to str
        Python and the packages that matter.
    commit : str
        Of this repository, with "+" where files differed from it; empty outside of git.
    date : str
        ISO 8601, UTC.
    """

    cpu: str
    gpu: str
    threads: int
    memory_bytes: int
    system: str
    versions: Mapping[str, str]
    commit: str
    date: str


@dataclass(frozen=True, slots=True)
class Record:
    """One row: what ran, how, the result, and where."""

    what: What
    how: How
    result: Result
    where: Where
    version: int = field(default=VERSION)

    def to_json(self) -> str:
        """One line of JSON."""
        return json.dumps(dataclasses.asdict(self), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Record:
        """The inverse of `to_json`.

        Raises
        ------
        FastISMError
            The line is not JSON, has another version, lacks a field that has no default, or has
            one too many.
        """
        try:
            content = json.loads(line)
        except json.JSONDecodeError as error:
            raise FastISMError(f"A record is not JSON ({error}): {line[:80]!r}") from None
        found = content.get("version") if isinstance(content, dict) else None
        if found != VERSION:
            raise FastISMError(f"A record has version {found!r}; expected {VERSION}.")
        return _built(cls, content, "record")


def append(path: str | Path, records: Iterable[Record]) -> None:
    """Append records to a JSON-lines file in a single write, so that no line is ever torn.

    Parameters
    ----------
    path : str or Path
        Made with its folders if it is not there.
    records : iterable of Record
    """
    lines = "".join(f"{record.to_json()}\n" for record in records)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        content = lines.encode()
        if os.write(handle, content) != len(content):
            raise OSError(f"{path}: the disk is full.")
        os.fsync(handle)
    finally:
        os.close(handle)


def read(paths: str | Path | Sequence[str | Path]) -> list[Record]:
    """Read records, in the order of the files.

    Parameters
    ----------
    paths : path or sequence of paths
        JSON-lines files.

    Raises
    ------
    FastISMError
        A file is missing, or a line is no record; the message names file and line.
    """
    several = [paths] if isinstance(paths, (str, Path)) else paths
    records = []
    for path in map(Path, several):
        if not path.is_file():
            raise FastISMError(f"There is no file {path}; expected records in JSON lines.")
        for number, line in enumerate(path.read_text().splitlines(), start=1):
            if not line.strip():
                continue
            try:
                records.append(Record.from_json(line))
            except FastISMError as error:
                raise FastISMError(f"{path}, line {number}: {error}") from None
    return records


def tabulate(records: Iterable[Record]) -> pandas.DataFrame:
    """One row per record; columns like ``what.method``, lists and mappings as JSON."""
    import pandas

    rows = []
    for record in records:
        row = {"version": record.version}
        for part in ("what", "how", "result", "where"):
            for name, value in dataclasses.asdict(getattr(record, part)).items():
                nested = isinstance(value, (dict, list, tuple))
                row[f"{part}.{name}"] = json.dumps(value) if nested else value
        row["result.median"] = record.result.median
        rows.append(row)
    return pandas.DataFrame(rows)


def _built(kind: type, content: Any, place: str) -> Any:
    """A dataclass from what JSON gave, checked for missing and unknown fields."""
    hints = typing.get_type_hints(kind)
    # Fields with a default may be missing: records are never changed, but their kinds can grow.
    needed = {f.name for f in dataclasses.fields(kind) if f.default is dataclasses.MISSING}
    given = set(content) if isinstance(content, dict) else set()
    if not isinstance(content, dict) or not needed <= given <= set(hints):
        wrong = sorted((needed - given) | (given - set(hints))) or [repr(content)]
        raise FastISMError(f"{place}: missing or unknown: {', '.join(wrong)}.")
    values = {}
    for name, value in content.items():
        if dataclasses.is_dataclass(hints[name]):
            value = _built(hints[name], value, f"{place}.{name}")
        elif isinstance(value, list):
            value = tuple(value)
        values[name] = value
    return kind(**values)


def main(arguments: Sequence[str] | None = None) -> None:
    """Gather files of records into one, and tabulate it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.records", description=main.__doc__)
    parser.add_argument("records", nargs="+", type=Path, help="JSON-lines files")
    parser.add_argument("--output", required=True, type=Path, help="all of them, as JSON lines")
    parser.add_argument("--csv", required=True, type=Path, help="the same as a table")
    given = parser.parse_args(arguments)
    records = read(given.records)
    given.output.unlink(missing_ok=True)
    append(given.output, records)
    tabulate(records).to_csv(given.csv, index=False)


if __name__ == "__main__":
    main()

"""`fastism score` with several models, such as the folds of a training: one after the other.

Requirements: typer, h5py; the framework of the models.

Every model is made twice: once to see that all of them fit, before hours are spent on the first
one, and once to be scored. One of them is in memory at a time, unless a function returned a list.
The scores of each wait beside the output, in OUT.partial.1 and so on, in float32; an interrupted
run goes on within the model that it was at.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fastism.batch.average import average
from fastism.cli.destination import Destination
from fastism.cli.exit_codes import Exit, Failure, refuse, stage
from fastism.cli.interrupts import Interrupts
from fastism.cli.opened import ModelOptions, Opened, made_ready
from fastism.cli.progress import note
from fastism.cli.score_run import Request, ScoreRun, fill, planned
from fastism.cli.silence import without_logs
from fastism.errors import FastISMError
from fastism.loading.model_files import LoadedModel, LoadedModels, load_models
from fastism.store.reader import Store
from fastism.store.schema import Header
from fastism.store.writer import StoreWriter


class Models:
    """The models that a command names.

    Parameters
    ----------
    specs : sequence of str
        Files and functions.
    options : ModelOptions
    """

    def __init__(self, specs: Sequence[str], options: ModelOptions) -> None:
        self._specs, self._options = specs, options
        #: What a single name stands for is known only once it is loaded.
        self._first = self._load(specs[0]) if len(specs) == 1 else None
        self.several = self._first is None or self._first.several

    @property
    def names(self) -> list[str]:
        """As the command is written down: files without their folders."""
        return [Path(spec).name if Path(spec).exists() else spec for spec in self._specs]

    def each(self) -> Iterator[LoadedModel]:
        """Load all of them, one after the other."""
        for number, spec in enumerate(self._specs):
            if number:
                # Frameworks keep models in circles of references.
                gc.collect()
            models, self._first = self._first or self._load(spec), None
            while (loaded := self._next(models)) is not None:
                yield loaded
                del loaded
                if models.several:
                    gc.collect()

    def _next(self, models: LoadedModels) -> LoadedModel | None:
        with stage(Exit.MODEL), without_logs():
            return next(models.each, None)

    def _load(self, spec: str) -> LoadedModels:
        with stage(Exit.MODEL), without_logs():
            return load_models(spec, **self._options.loading)


@dataclass(frozen=True)
class Alone:
    """One model, which is scored into the store at once.

    Parameters
    ----------
    run : ScoreRun
    opened : Opened
    """

    run: ScoreRun
    opened: Opened

    @classmethod
    def of(cls, models: Models, request: Request, given: Mapping[str, Any]) -> Alone:
        """Make the model; `given` is as for `fastism.cli.opened.made_ready`."""
        opened = made_ready(next(models.each()), request.model, **given)
        return cls(planned(request, opened), opened)

    @property
    def header(self) -> Header:
        """Of the scores."""
        return self.run.header

    def fill(
        self, destination: Destination, writer: StoreWriter, signals: Interrupts, quiet: bool
    ) -> None:
        """Score what is missing."""
        fill(self.run, self.opened, writer, signals, quiet)


@dataclass(frozen=True)
class Folds:
    """Several models that are scored on one input.

    Parameters
    ----------
    models : Models
    request : Request
    given : mapping
        As for `fastism.cli.opened.made_ready`.
    runs : list of ScoreRun
        Of every model alone, with a header of its own.
    header : Header
        Of their mean.
    """

    models: Models
    request: Request
    given: Mapping[str, Any]
    runs: list[ScoreRun]
    header: Header

    @classmethod
    def of(cls, models: Models, request: Request, given: Mapping[str, Any], sd: bool) -> Folds:
        """Make every model once and compare them; parameters as above.

        Raises
        ------
        Failure
            If their inputs or outputs differ in shape, naming the first two that do.
        """
        runs: list[ScoreRun] = []
        shapes: list[Any] = []
        for loaded in models.each():
            opened = made_ready(loaded, request.model, check=False, **given)
            with stage(Exit.MODEL):
                shapes.append(_shapes(opened))
                _check_shapes(shapes, [*(run.header.model for run in runs), loaded.name])
            run = planned(request, opened, runs[0].survey if runs else None)
            runs.append(replace(run, header=replace(run.header, dtype="float32")))
            del loaded, opened
        if sd and len(runs) < 2:
            raise refuse("--sd is over models: give at least two of them.")
        return cls(models, request, given, runs, _joint(runs, request, models.names, sd))

    def fill(
        self, destination: Destination, writer: StoreWriter, signals: Interrupts, quiet: bool
    ) -> None:
        """Score what is missing of every model, and write the mean."""
        number = 0
        for loaded in self.models.each():
            run = self.runs[number]
            number += 1
            _check_weights(loaded, run)
            with destination.part(number, run.header) as part:
                if not part.complete_already:
                    note(f"model {number} of {len(self.runs)}: {loaded.name}", quiet)
                    self._score(run, loaded, part, signals, quiet)
            del loaded

        def order() -> Iterator[str]:
            return (record.name for record in self.runs[0].records())

        with stage(Exit.OUTPUT), ExitStack() as stack:
            stores = [stack.enter_context(Store(path)) for path in destination.parts()[:number]]
            average(stores, writer, order, lambda _: signals.check())
            writer.complete()

    def _score(
        self,
        run: ScoreRun,
        loaded: LoadedModel,
        part: StoreWriter,
        signals: Interrupts,
        quiet: bool,
    ) -> None:
        opened = made_ready(loaded, self.request.model, **self.given)
        fill(run, opened, part, signals, quiet)


def _check_weights(loaded: LoadedModel, run: ScoreRun) -> None:
    if loaded.hash != run.header.model_hash:
        raise Failure(
            Exit.MODEL,
            f"{loaded.name} has other weights than when it was made to be compared with the "
            "others; expected a function that returns the same models every time.",
        )


def _shapes(opened: Opened) -> tuple[Any, ...]:
    ism = opened.ism
    return (ism.seqlen, ism.num_chars), [tuple(shape) for shape in ism.output_shapes]


def _check_shapes(shapes: Sequence[tuple[Any, ...]], names: Sequence[str]) -> None:
    """Refuse the last model if it differs from the first."""
    if shapes[0] != shapes[-1]:
        first, last = (
            f"{name} takes {taken[0]} positions and {taken[1]} characters and gives outputs of "
            f"shapes {', '.join(map(str, made))}"
            for name, (taken, made) in ((names[0], shapes[0]), (names[-1], shapes[-1]))
        )
        raise FastISMError(
            f"{first}; {last}. Models whose mean is taken need equal shapes of inputs and outputs."
        )


def _joint(runs: Sequence[ScoreRun], request: Request, names: Sequence[str], sd: bool) -> Header:
    """What is said of the mean."""
    headers = [run.header for run in runs]
    hashes = "\n".join(header.model_hash for header in headers)
    versions: dict[str, str] = {}
    for header in headers:
        versions |= header.versions
    return replace(
        headers[0],
        dtype=request.dtype,
        model=", ".join(header.model for header in headers),
        model_hash=hashlib.sha256(hashes.encode()).hexdigest(),
        command=request.command(names, sd),
        versions=versions,
        sd=len(runs) if sd else 0,
    )

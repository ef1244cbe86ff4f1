"""Where the time goes: a model as a whole, and its convolutions alone, naive and fast.

    python -m benchmarks.studies.breakdown --help

Two models are timed: the whole one, and one of its convolutions alone, in which an average over
positions and one dense unit replace Flatten and the dense layers. The figures take the difference
of the two as the time of the dense layers.

Requirements: rich; Keras with TensorFlow.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.clock import Clock, Repeats, alternate
from benchmarks.errors import BenchmarkError
from benchmarks.jobs.document import measuring_parser
from benchmarks.jobs.job import BreakdownJob
from benchmarks.jobs.progress import Progress
from benchmarks.jobs.select_sequences import encoded
from benchmarks.methods import Method
from benchmarks.methods.fast_ism import FastMethod
from benchmarks.methods.naive_ism import NaiveMethod
from benchmarks.records import How, Record, Result, What, Where, environment
from fastism.errors import FastISMError

WHOLE, CONVOLUTIONS = "whole", "convolutions"
BACKEND = "tensorflow"
NAIVE_MUTANTS = 512
REPEATS = Repeats(least=5, most=15, seconds=60.0)

#: Part and method.
Key = tuple[str, str]


def convolutions_of(model: Any) -> Any:
    """The layers before the first Flatten, with an average over positions and a dense unit.

    Raises
    ------
    BenchmarkError
        The model has no Flatten.
    """
    import keras
    from keras import layers

    flat = next((layer for layer in model.layers if isinstance(layer, layers.Flatten)), None)
    if flat is None:
        raise BenchmarkError(f"{model.name} has no Flatten, at which it could be parted.")
    x = layers.GlobalAveragePooling1D()(flat.input)
    return keras.Model(model.inputs, layers.Dense(1)(x), name=f"{model.name}_convolutions")


def methods_of_parts() -> dict[Key, Method]:
    """Naive and fast ISM for each part, on the framework of the model."""
    made: dict[Key, Method] = {}
    for part in (WHOLE, CONVOLUTIONS):
        made[part, NaiveMethod.name] = NaiveMethod(BACKEND, NAIVE_MUTANTS)
        made[part, FastMethod.name] = FastMethod(BACKEND)
    return made


def measure_parts(
    parts: dict[str, Any],
    sequences: np.ndarray,
    methods: dict[Key, Method],
    repeats: Repeats = REPEATS,
    clock: Clock = time.perf_counter,
) -> dict[Key, list[float]]:
    """Time all methods on all parts in turns, after a warm-up.

    Parameters
    ----------
    parts : dict from str to model
    sequences : ndarray, float32, shape (sequences, length, characters)
    methods : dict from (part, name) to Method
    repeats : Repeats
    clock : callable
        Seconds.
    """
    for (part, _), method in methods.items():
        method.set_up(parts[part], sequences)
        method.run()
    runs = {" ".join(key): method.run for key, method in methods.items()}
    seconds = alternate(runs, repeats, clock, lambda name, repeat: None)
    return {key: seconds[" ".join(key)] for key in methods}


def as_records(
    job: BreakdownJob,
    characters: int,
    methods: dict[Key, Method],
    seconds: dict[Key, list[float]],
    where: Where,
) -> Iterator[Record]:
    """One record per part and method."""
    name = uuid.uuid4().hex[:12]
    for (part, method_name), method in methods.items():
        positions = method.positions or job.length
        yield Record(
            What(
                study=job.study,
                kind="breakdown",
                method=method_name,
                architecture=job.architecture,
                length=job.length,
                sequences=job.sequences,
                positions=positions,
                alternatives=characters - 1,
                data=job.data,
            ),
            How(
                backend=method.backend,
                keras_backend=BACKEND,
                device="cpu",
                batch_size=method.batch_size,
                warm_up=1,
                extrapolated=positions != job.length,
                scale=method.scale,
                settings={"part": part},
                job=name,
            ),
            Result(seconds=tuple(seconds[part, method_name]), macs=method.macs),
            where,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Time the parts of one architecture and append the records to a file."""
    parser = measuring_parser(BreakdownJob, "python -m benchmarks.studies.breakdown", main.__doc__)
    given = parser.parse_args(arguments)
    job: BreakdownJob = given.job
    environment.prepare(BACKEND, "cpu", given.threads)
    label = ARCHITECTURES[job.architecture].label
    with Progress(f"{label}, {job.length} bp: where the time goes") as progress:
        try:
            sequences = encoded(given.fasta, job.length, count=job.sequences)
            model = build(job.architecture, job.length)
            parts = {WHOLE: model, CONVOLUTIONS: convolutions_of(model)}
            methods = methods_of_parts()
            seconds = measure_parts(parts, sequences, methods)
        except (BenchmarkError, FastISMError) as error:
            progress.wrong(str(error))
            return 1
        where = environment.describe()
        done = list(as_records(job, sequences.shape[2], methods, seconds, where))
        records.append(given.output, done)
        for record in done:
            each = record.result.median * record.how.scale / record.what.sequences
            part = record.how.settings["part"]
            progress.done(f"{record.what.method}, {part}: {each:.3g} s per sequence")
    return 0


if __name__ == "__main__":
    sys.exit(main())

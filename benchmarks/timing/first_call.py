"""Time building `FastISM` and its first call in a fresh process, with the memory they take.

    python -m benchmarks.timing.first_call --help

Requirements: rich; Keras with its framework, and that of the backend.
"""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.clock import PeakMemory
from benchmarks.jobs.document import measuring_parser
from benchmarks.jobs.job import FirstCallJob
from benchmarks.jobs.progress import Progress, logger
from benchmarks.jobs.select_sequences import encoded
from benchmarks.records import How, Record, Result, What, environment
from benchmarks.records.compare import FAST
from fastism.errors import FastISMError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one backend on one architecture and append the record to a file."""
    parser = measuring_parser(FirstCallJob, "python -m benchmarks.timing.first_call", main.__doc__)
    given = parser.parse_args(arguments)
    job: FirstCallJob = given.job
    environment.prepare(job.keras_backend, job.device, given.threads)
    label = ARCHITECTURES[job.architecture].label
    with Progress(f"{label}, {job.length} bp: first call on {job.backend}") as progress:
        try:
            sequences = encoded(given.fasta, job.length, count=job.sequences)
            model = build(job.architecture, job.length)
        except FastISMError as error:
            progress.wrong(str(error))
            return 1
        result = first_call(model, sequences, job.backend)
        records.append(given.output, [_record(job, sequences.shape[2], result)])
        if result.status == "ok":
            progress.done(
                f"built in {result.build_seconds:.2g} s, first call {result.seconds[0]:.3g} s, "
                f"peak {result.peak_bytes / 2**20:.0f} MiB above the model, of which the result "
                f"takes {result.result_bytes / 2**20:.0f} MiB"
            )
        else:
            progress.wrong(f"failed. {result.reason}")
    return 0


def first_call(model: Any, sequences: np.ndarray, backend: str) -> Result:
    """Build and call once.

    The memory is counted from a process that holds the model and has run it, and has loaded the
    backend's framework, where that is not the model's; the time of loading it is part of building.

    Parameters
    ----------
    model : keras.Model
    sequences : ndarray, float32, shape (sequences, length, characters)
        One-hot.
    backend : str
        The framework to run on.

    Returns
    -------
    Result
        Failed, with the reason, where building or calling raises.
    """
    from fastism import FastISM
    from fastism.backends import get_backend

    model(sequences[:1])
    try:
        begin = time.perf_counter()
        get_backend(backend, "float32")
        with PeakMemory() as memory:
            ism = FastISM(model, test_correctness=False, backend=backend)
            built = time.perf_counter()
            made = ism.saturate(sequences)
            end = time.perf_counter()
    except Exception as error:  # whatever it is, it goes into the record
        logger.exception("The first call failed")
        return Result(status="failed", reason=f"{type(error).__name__}: {error}")
    return Result(
        seconds=(end - built,),
        build_seconds=built - begin,
        peak_bytes=memory.above,
        result_bytes=bytes_of(made),
        macs=float(ism.plan.fast_macs),
    )


def bytes_of(result: Any) -> int:
    """Bytes of the arrays of a `fastism.Saturation`: no implementation could do with less."""
    several = result.mutants if isinstance(result.mutants, list) else [result.mutants]
    references = result.reference if isinstance(result.reference, list) else [result.reference]
    return sum(array.nbytes for array in (*several, *references))


def _record(job: FirstCallJob, characters: int, result: Result) -> Record:
    return Record(
        What(
            study=job.study,
            kind="first_call",
            method=FAST,
            architecture=job.architecture,
            length=job.length,
            sequences=job.sequences,
            positions=job.length,
            alternatives=characters - 1,
            data=job.data,
        ),
        How(
            backend=job.backend,
            keras_backend=job.keras_backend,
            device=job.device,
            batch_size=None,
            warm_up=0,
            extrapolated=False,
            scale=1.0,
            settings={},
            job=uuid.uuid4().hex[:12],
        ),
        result,
        environment.describe(job.device),
    )


if __name__ == "__main__":
    sys.exit(main())

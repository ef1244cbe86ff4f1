"""Time building `FastISM` and its first call in a fresh process, with the memory they take.

    python -m benchmarks.timing.first_call --help

Requirements: rich; Keras with its framework, and that of the backend.
"""

from __future__ import annotations

import argparse
import sys
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.clock import PeakMemory
from benchmarks.jobs.progress import Progress, logger
from benchmarks.jobs.select_sequences import encoded
from benchmarks.records import How, Record, Result, What, environment
from benchmarks.records.compare import FAST
from fastism.errors import FastISMError


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure one backend on one architecture and append the record to a file."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.timing.first_call", description=main.__doc__
    )
    parser.add_argument("--study", required=True)
    parser.add_argument("--architecture", choices=ARCHITECTURES, required=True)
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--backend", required=True)
    parser.add_argument("--keras-backend", default="tensorflow")
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--fasta", type=Path, required=True, help="enough sequences to run on")
    parser.add_argument("--sequences", type=int, default=1, help="how many to call with")
    parser.add_argument("--data", required=True, help="where it is from, for the record")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    parser.add_argument("--output", type=Path, required=True, help="JSON lines")
    given = parser.parse_args(arguments)
    environment.prepare(given.keras_backend, given.device, given.threads)
    label = ARCHITECTURES[given.architecture].label
    title = f"{label}, {given.length} bp: first call on {given.backend}"
    with Progress(title) as progress:
        try:
            sequences = encoded(given.fasta, given.length, count=given.sequences)
            model = build(given.architecture, given.length)
        except FastISMError as error:
            progress.wrong(str(error))
            return 1
        result = first_call(model, sequences, given.backend)
        records.append(given.output, [_record(given, sequences.shape, result)])
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
    """Bytes of the arrays of a `fastism.Saturation`, which any way to compute it would need."""
    several = result.mutants if isinstance(result.mutants, list) else [result.mutants]
    references = result.reference if isinstance(result.reference, list) else [result.reference]
    return sum(array.nbytes for array in (*several, *references))


def _record(given: argparse.Namespace, shape: tuple[int, int, int], result: Result) -> Record:
    return Record(
        What(
            study=given.study,
            kind="first_call",
            method=FAST,
            architecture=given.architecture,
            length=given.length,
            sequences=shape[0],
            positions=given.length,
            alternatives=shape[2] - 1,
            data=given.data,
        ),
        How(
            backend=given.backend,
            keras_backend=given.keras_backend,
            device=given.device,
            batch_size=None,
            warm_up=0,
            extrapolated=False,
            scale=1.0,
            settings={},
            job=uuid.uuid4().hex[:12],
        ),
        result,
        environment.describe(given.device),
    )


if __name__ == "__main__":
    sys.exit(main())

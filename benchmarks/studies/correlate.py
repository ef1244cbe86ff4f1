"""How far attributions agree with exact ISM: rank correlations over positions, per sequence.

    python -m benchmarks.studies.correlate --help

Every method gives one number per position, the importance of the character that is there. Of exact
ISM and of what predicts its effects, it is minus the mean effect of the alternatives; of methods
that share the output out among the characters of the input, it is the share of the position.

Requirements: numpy, rich; Keras with TensorFlow, and what the methods need.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.errors import BenchmarkError, look_up
from benchmarks.jobs.document import measuring_parser
from benchmarks.jobs.job import AgreementJob
from benchmarks.jobs.progress import Progress, logger
from benchmarks.jobs.select_sequences import encoded
from benchmarks.methods import Attribution, Method, Setting, discover
from benchmarks.records import How, Record, Result, What, environment
from benchmarks.records.compare import FAST
from fastism.errors import FastISMError

BACKEND = "tensorflow"
#: Methods whose attributions are effects of replacements; those of others are shares.
EFFECTS = ("taylor_ism",)


def importance(method: Method, found: Attribution, sequences: np.ndarray) -> np.ndarray:
    """One number per sequence and position, of the first output.

    Parameters
    ----------
    method : Method
    found : Attribution
        Of all positions.
    sequences : ndarray, shape (sequences, length, characters)
        One-hot.

    Returns
    -------
    ndarray, float64, shape (sequences, length)

    Raises
    ------
    BenchmarkError
        The model has several outputs, or attributions are of other positions or shapes.
    """
    values = np.asarray(found.values[0], dtype=np.float64)
    if method.exact and values.ndim == 4 and values.shape[3] == 1:
        values = values[..., 0]
    if len(found.values) != 1 or values.shape != sequences.shape:
        raise BenchmarkError(
            f"{method.name} gave {len(found.values)} attributions, the first of shape "
            f"{values.shape}; expected one of shape {sequences.shape}: all positions, and a model "
            "with a single output."
        )
    alternatives = sequences.shape[2] - 1
    if method.exact:
        reference = (values * sequences).sum(2)
        return reference - (values.sum(2) - reference) / alternatives
    if method.name in EFFECTS:
        return -values.sum(2) / alternatives
    return values.sum(2)


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Spearman's rank correlation of two vectors; ties share their mean rank.

    Returns
    -------
    float
        NaN where one of them is constant.

    Examples
    --------
    >>> round(spearman(np.array([1.0, 2.0, 3.0, 4.0]), np.array([1.0, 8.0, 27.0, 20.0])), 3)
    0.8
    """
    ranks = [_ranks(x) for x in (a, b)]
    centred = [r - r.mean() for r in ranks]
    norm = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / norm) if norm else float("nan")


def _ranks(x: np.ndarray) -> np.ndarray:
    _, inverse, counts = np.unique(x, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return (last - (counts - 1) / 2)[inverse]


def correlations(exact: np.ndarray, other: np.ndarray) -> tuple[float, ...]:
    """One correlation per sequence, of ``(sequences, length)`` with the same.

    Raises
    ------
    BenchmarkError
        One is not a number: importance is the same at all positions.
    """
    found = tuple(spearman(a, b) for a, b in zip(exact, other, strict=True))
    if np.isnan(found).any():
        raise BenchmarkError("A sequence has the same importance at all positions.")
    return found


def correlate(
    methods: Sequence[Method], model: Any, sequences: np.ndarray, exact: Method
) -> Iterator[tuple[Method, Result]]:
    """Correlate methods with exact ISM.

    Parameters
    ----------
    methods : sequence of Method
    model : keras.Model
    sequences : ndarray, float32, shape (sequences, length, characters)
    exact : Method
        Gives exact ISM.

    Yields
    ------
    tuple of Method and Result
        Failed or refused, with the reason, where a method cannot run.
    """
    exact.set_up(model, sequences)
    truth = importance(exact, exact.run(), sequences)
    for method in methods:
        reason = method.refuse()
        if reason:
            yield method, Result(status="refused", reason=reason)
            continue
        try:
            method.set_up(model, sequences)
            found = correlations(truth, importance(method, method.run(), sequences))
        except Exception as error:  # whatever it is, it goes into the record
            logger.exception("%s failed", method.name)
            yield method, Result(status="failed", reason=f"{type(error).__name__}: {error}")
        else:
            yield method, Result(correlations=found)


def chosen(names: Sequence[str], found: Mapping[str, type[Method]]) -> list[Method]:
    """One variant of each method, on the framework of the model."""
    setting = Setting(BACKEND, (BACKEND,))
    return [look_up("method", name, found).variants(setting)[0] for name in names]


def _record(
    job: AgreementJob, method: Method, result: Result, name: str, where: records.Where
) -> Record:
    return Record(
        What(
            study=job.study,
            kind="agreement",
            method=method.name,
            architecture=job.architecture,
            length=job.length,
            sequences=job.sequences,
            positions=job.length,
            alternatives=3,
            data=job.data,
        ),
        How(
            backend=method.backend,
            keras_backend=BACKEND,
            device="cpu",
            batch_size=None,
            warm_up=0,
            extrapolated=False,
            scale=1.0,
            settings=method.settings if result.status == "ok" else {},
            job=name,
        ),
        result,
        where,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Correlate methods with exact ISM on one architecture and append the records to a file."""
    parser = measuring_parser(AgreementJob, "python -m benchmarks.studies.correlate", main.__doc__)
    given = parser.parse_args(arguments)
    job: AgreementJob = given.job
    environment.prepare(BACKEND, "cpu", given.threads)
    label = ARCHITECTURES[job.architecture].label
    with Progress(f"{label}, {job.length} bp: agreement with exact ISM") as progress:
        try:
            sequences = encoded(given.fasta, job.length, count=job.sequences)
            model = build(job.architecture, job.length)
            (exact,) = chosen([FAST], discover())
            methods = chosen(job.methods, discover())
            where, name = environment.describe(), uuid.uuid4().hex[:12]
            for method, result in correlate(methods, model, sequences, exact):
                records.append(given.output, [_record(job, method, result, name, where)])
                if result.correlations:
                    median = np.median(result.correlations)
                    progress.done(f"{method.label}: median correlation {median:.3f}")
                else:
                    progress.wrong(f"{method.label}: {result.status}. {result.reason}")
        except (BenchmarkError, FastISMError) as error:
            progress.wrong(str(error))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

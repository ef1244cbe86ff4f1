"""Run a peer in its environment and turn what it measured into records.

    python -m benchmarks.peers.record --help

Requirements: numpy, rich; Keras with TensorFlow, for the weights of the models.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.errors import BenchmarkError, look_up
from benchmarks.jobs.document import measuring_parser, write_job
from benchmarks.jobs.job import PeerJob
from benchmarks.jobs.progress import Progress, logger
from benchmarks.jobs.select_sequences import encoded
from benchmarks.peers import PEERS
from benchmarks.peers.environment import PeerEnvironment, own_environment
from benchmarks.records import How, Record, Result, What, environment
from fastism.errors import FastISMError

ROOT = Path(__file__).resolve().parents[2]
#: Packages of a peer's environment that its records name.
PACKAGES = ("fastism", "yuzu-ism", "tangermeme", "torch", "tensorflow-cpu", "keras", "numpy")
#: Beyond its budget, a peer may take so many seconds to get ready or to end a run.
GRACE = 900.0


def measured(
    job: PeerJob, python: str, sequences: np.ndarray, weights: Sequence[np.ndarray]
) -> Mapping[str, Any]:
    """Run the script of a peer; what it could not report is reported for it.

    Parameters
    ----------
    job : PeerJob
    python : str
        Interpreter of the peer's environment.
    sequences : ndarray, float32, shape (sequences, length, 4)
    weights : sequence of ndarray
        Of the Keras model, in its order.

    Returns
    -------
    mapping
        What `script_common` writes; one result per number of sequences.
    """
    with tempfile.TemporaryDirectory() as folder:
        given, output = Path(folder) / "input.npz", Path(folder) / "output.json"
        arrays = {f"weight_{i}": weight for i, weight in enumerate(weights)}
        np.savez(given, sequences=sequences, **arrays)
        command = [python, str(ROOT / PEERS[job.peer].script)]
        command += ["--job", write_job(job), "--input", str(given), "--output", str(output)]
        reason = _run(command, job.budget + GRACE)
        found = json.loads(output.read_text()) if output.is_file() else {}
    report = {"build_seconds": None, "alternatives": 3, "settings": {}, "results": [], **found}
    known = {result["sequences"] for result in report["results"]}
    for number in job.sequences:
        if number not in known:
            report["results"].append({"sequences": number, "status": "failed", "reason": reason})
    return report


def _run(command: Sequence[str], seconds: float) -> str:
    """Run a command to its end; what went wrong, for where it reports nothing itself."""
    try:
        done = subprocess.run(
            command,
            env=own_environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"It was stopped after {seconds:.0f} s."
    except OSError as error:
        return f"It could not be started: {error}"
    logger.info("%s", done.stdout + done.stderr)
    said = (done.stderr or done.stdout).strip().splitlines()
    if done.returncode < 0:
        return f"It was ended by signal {-done.returncode}."
    return said[-1] if said else f"It ended with status {done.returncode} and said nothing."


def as_records(job: PeerJob, report: Mapping[str, Any], where: records.Where) -> Iterator[Record]:
    """One record per number of sequences.

    Parameters
    ----------
    job : PeerJob
    report : mapping
        From `measured`.
    where : Where
        The system, with the versions of the peer's environment.
    """
    framework = PEERS[job.peer].framework
    name = uuid.uuid4().hex[:12]
    for result in report["results"]:
        scale = result.get("scale", 1.0)
        yield Record(
            What(
                study=job.study,
                kind="throughput",
                method=job.peer,
                architecture=job.architecture,
                length=job.length,
                sequences=result["sequences"],
                positions=job.length,
                alternatives=report["alternatives"],
                data=job.data,
            ),
            How(
                backend=framework,
                keras_backend=framework,
                device="cpu",
                batch_size=result.get("batch_size"),
                warm_up=result.get("warm_up", 1),
                extrapolated=scale != 1,
                scale=scale,
                settings=report["settings"],
                job=name,
            ),
            Result(
                status=result["status"],
                reason=result["reason"],
                seconds=tuple(result.get("seconds", ())),
                build_seconds=report["build_seconds"],
            ),
            where,
        )


def unmade(job: PeerJob, reason: str, status: str = "failed") -> Mapping[str, Any]:
    """The report of a peer that measured nothing: without environment, or not run."""
    results = [{"sequences": n, "status": status, "reason": reason} for n in job.sequences]
    return {"build_seconds": None, "alternatives": 3, "settings": {}, "results": results}


def _versions(made: PeerEnvironment) -> dict[str, str]:
    import platform

    found = {name: made.versions[name] for name in PACKAGES if name in made.versions}
    return {"python": platform.python_version(), **found}


def main(arguments: Sequence[str] | None = None) -> int:
    """Time a peer on one architecture and append the records to a file."""
    parser = measuring_parser(PeerJob, "python -m benchmarks.peers.record", main.__doc__)
    parser.add_argument("--environment", type=Path, required=True, help="JSON")
    given = parser.parse_args(arguments)
    job: PeerJob = given.job
    environment.prepare(threads=given.threads)
    label = f"{job.peer}: {ARCHITECTURES[job.architecture].label}, {job.length} bp"
    with Progress(label) as progress:
        try:
            look_up("peer", job.peer, PEERS)
            made = PeerEnvironment.read(given.environment)
            sequences = encoded(given.fasta, job.length)
            if made.python:
                weights = build(job.architecture, job.length).get_weights()
                report = measured(job, made.python, sequences, weights)
            else:
                report = unmade(job, made.reason)
        except (BenchmarkError, FastISMError) as error:
            progress.wrong(str(error))
            return 1
        where = replace(environment.describe(), versions=_versions(made))
        done = list(as_records(job, report, where))
        records.append(given.output, done)
        for record in done:
            count = f"{record.what.sequences} sequences"
            if record.result.status == "ok":
                each = record.result.median * record.how.scale / record.what.sequences
                progress.done(f"{count}: {each:.3g} s per sequence")
            else:
                progress.wrong(f"{count}: {record.result.status}. {record.result.reason}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What the scripts of all peers share. Runs in the environments of the peers.

Imports nothing of this repository and nothing that a peer does not have.

Requirements: numpy.
"""

import argparse
import json
import time
import traceback
import types
from pathlib import Path

import numpy as np


class Refused(Exception):
    """A peer cannot do what is asked for; its message says why."""


class Runner:
    """A peer that is ready to run; each script has a subclass.

    Attributes
    ----------
    build_seconds : float or None
        What it took to get ready, where that is not negligible.
    settings : dict
        What a reader needs to know besides.
    alternatives : int
        Replacements per position that it runs.
    grows : bool
        Whether a run of several sequences takes several times what one takes; not so where calls
        of the model, whatever their size, are what takes long.
    """

    build_seconds = None
    alternatives = 3
    grows = True

    def __init__(self):
        self.settings = {}

    def batch_sizes(self, number, sizes):
        """Those of the sizes that make a difference with so many sequences."""
        return sizes

    def scale(self, x, batch_size):
        """How many times longer all of the work takes than a run, which may be a sample of it."""
        return 1.0

    def run(self, x, batch_size):
        """All mutants of the sequences ``(sequences, length, 4)``; returns when they are done."""
        raise NotImplementedError


def main(make):
    """Time a peer as the command line says, and write JSON after every number of sequences.

    Parameters
    ----------
    make : callable
        From architecture, length and a list of weights to a `Runner`.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--input", required=True, help="npz: sequences, weight_0, weight_1, ...")
    parser.add_argument("--output", required=True, help="JSON")
    parser.add_argument("--job", type=json.loads, required=True, help="JSON, of a PeerJob")
    given = parser.parse_args()
    job = types.SimpleNamespace(**given.job)
    begin = time.perf_counter()
    with np.load(given.input) as content:
        sequences = content["sequences"]
        count = sum(name.startswith("weight_") for name in content.files)
        weights = [content[f"weight_{i}"] for i in range(count)]
    report = {"build_seconds": None, "alternatives": 3, "settings": {}, "results": []}

    def write():
        Path(given.output).write_text(json.dumps(report))

    try:
        runner = make(job.architecture, job.length, weights)
    except Exception as error:
        report["results"] = [_failed(number, error) for number in job.sequences]
        write()
        return
    report.update(
        build_seconds=runner.build_seconds,
        alternatives=runner.alternatives,
        settings=runner.settings,
    )
    known = None
    for number in job.sequences:
        left = job.budget - (time.perf_counter() - begin)
        try:
            result = _measured(runner, sequences[:number], job, known, left)
        except Exception as error:
            result = _failed(number, error)
        if result["status"] == "ok":
            whole = min(result["seconds"]) * result["scale"]
            known = whole / (number if runner.grows else 1)
        report["results"].append(result)
        write()


def _measured(runner, x, job, known, left):
    """Seconds of repeated runs at the best batch size; as many as fit into what is left.

    A first run that takes all of it is what is known then, and no run goes before it.
    """
    number = len(x)
    sizes = runner.batch_sizes(number, job.batch_sizes)
    expected = (known or 0.0) * (number if runner.grows else 1) / runner.scale(x, sizes[0])
    if known is not None and 2 * expected > left:  # without it, nothing would be known
        reason = (
            f"Two runs of {number} sequences are expected to take {2 * expected:.0f} s; "
            f"{max(left, 0):.0f} s are left of the {job.budget:.0f} s of this job."
        )
        return {"sequences": number, "status": "skipped", "reason": reason}
    end = time.perf_counter() + left
    best, least, seconds, warm_ups = sizes[0], None, [], 1
    for size in sizes:
        warm_up = _timed(runner, x, size)
        if least is None and time.perf_counter() >= end:
            seconds, warm_ups = [warm_up], 0
            break
        if len(sizes) > 1:
            once = _timed(runner, x, size)
            if least is None or once < least:
                best, least = size, once
            if time.perf_counter() + 2 * warm_up > end:
                break
    seconds = seconds or [_timed(runner, x, best)]
    while len(seconds) < job.repeats and time.perf_counter() + seconds[-1] <= end:
        seconds.append(_timed(runner, x, best))
    return {
        "sequences": number,
        "status": "ok",
        "reason": "",
        "batch_size": best,
        "scale": runner.scale(x, best),
        "warm_up": warm_ups,
        "seconds": seconds,
    }


def _timed(runner, x, size):
    begin = time.perf_counter()
    runner.run(x, size)
    return time.perf_counter() - begin


def _failed(number, error):
    refused = isinstance(error, Refused)
    if not refused:
        traceback.print_exc()
    message = str(error).strip() or "no message"
    return {
        "sequences": number,
        "status": "refused" if refused else "failed",
        "reason": message if refused else f"{type(error).__name__}: {message.splitlines()[0]}",
    }

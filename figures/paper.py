"""The paper's own timings, as data/paper_p100_timings.csv lists them.

Requirements: none.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

HARDWARE = "one Tesla P100, TensorFlow 2.3"
#: What it calls the published fastISM.
PUBLISHED = "fastism_0.5"


@dataclass(frozen=True, slots=True)
class PaperTiming:
    """One line of the file.

    Attributes
    ----------
    study, method, architecture : str
    length : int
    parameter : str
        What a sweep varies; an empty string elsewhere.
    value : int
        Its value; 0 elsewhere.
    seconds : float
        Per 100 sequences.
    """

    study: str
    method: str
    architecture: str
    length: int
    parameter: str
    value: int
    seconds: float


def read_paper(path: str | Path) -> list[PaperTiming]:
    """Read the file; lines that begin with # are comments."""
    with Path(path).open(newline="") as file:
        lines = csv.DictReader(line for line in file if not line.startswith("#"))
        return [
            PaperTiming(
                line["study"],
                line["method"],
                line["architecture"],
                int(line["length"]),
                line["parameter"],
                int(line["value"] or 0),
                float(line["seconds_per_100"]),
            )
            for line in lines
        ]


def paper_seconds(
    paper: Sequence[PaperTiming], method: str, architecture: str, length: int
) -> float | None:
    """Seconds per 100 sequences of a method, outside of the sweeps; None where there are none."""
    found = (
        timing.seconds
        for timing in paper
        if (timing.method, timing.architecture, timing.length) == (method, architecture, length)
        and timing.study == "main"
    )
    return next(found, None)

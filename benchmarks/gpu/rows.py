"""What is measured on a GPU, the most important rows first.

Requirements: none. To add a row: a line in `ROWS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

#: Sequences of one call of fast ISM.
FEW, MANY = 1, 32


@dataclass(frozen=True, slots=True)
class Row:
    """One entry of the table.

    Attributes
    ----------
    kind : {"throughput", "errors", "attribution", "scoring"}
        Naive and fast ISM in turns; errors of both against float64; what gradients take; what
        `fastism score` takes with reading and writing.
    architecture : str
    length : int
    precision : {"float32", "tf32"}
        Of errors both are measured.
    sequences : tuple of int
        Of the calls of fast ISM.
    seconds : float
        Expected of the whole row, a guess from one H200 with some reserve for compiling kernels,
        which later runs on the same machine do not repeat. Nothing of the row is repeated beyond.
    """

    kind: str
    architecture: str
    length: int
    precision: str = "float32"
    sequences: tuple[int, ...] = (FEW, MANY)
    seconds: float = 20.0

    def __str__(self) -> str:
        """As one line of output begins."""
        rounded = f", {self.precision}" if self.kind == "throughput" else ""
        return f"{self.kind} of {self.architecture} {self.length}{rounded}"


ROWS = (
    Row("throughput", "basset", 1000, seconds=40),
    Row("throughput", "bpnet", 1000, seconds=40),
    Row("throughput", "deepsea", 1000, seconds=30),
    Row("throughput", "factorized_basset", 1000, seconds=30),
    Row("throughput", "basset", 1000, "tf32", seconds=25),
    Row("throughput", "bpnet", 1000, "tf32", seconds=25),
    Row("throughput", "deepsea", 1000, "tf32", seconds=20),
    Row("throughput", "factorized_basset", 1000, "tf32", seconds=20),
    Row("throughput", "basset", 2000, seconds=20),
    Row("throughput", "bpnet", 2000, seconds=25),
    Row("throughput", "beluga", 2000, seconds=40),
    Row("attribution", "basset", 1000, seconds=15),
    Row("errors", "basset", 1000, seconds=10),
    Row("errors", "bpnet", 1000, seconds=10),
    Row("errors", "deepsea", 1000, seconds=10),
    Row("errors", "factorized_basset", 1000, seconds=10),
    Row("throughput", "basset", 2000, "tf32", seconds=15),
    Row("throughput", "bpnet", 2000, "tf32", seconds=20),
    Row("throughput", "beluga", 2000, "tf32", seconds=30),
    Row("errors", "beluga", 2000, seconds=20),
    Row("throughput", "basset", 1000, sequences=(1, 2, 8, 128, 512), seconds=20),
    Row("scoring", "basset", 2000, sequences=(2000,), seconds=120),
)


def quick(rows: Sequence[Row]) -> list[Row]:
    """Rows on short sequences and few of them, to try everything out on a CPU."""
    short = [
        replace(
            row,
            length=150,
            sequences=(4,) if row.kind == "scoring" else (1, 2),
            seconds=row.seconds / 2,
        )
        for row in rows
        if row.architecture in ("basset", "bpnet", "factorized_basset")
    ]
    return list(dict.fromkeys(short))

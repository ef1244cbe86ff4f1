"""Measure the table of GPUs, the most important rows first, within a few minutes.

    python -m benchmarks.gpu                           on the GPU
    python -m benchmarks.gpu --device cpu --quick      everything tried out on a CPU

Requirements: numpy, torch; captum for one row.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.gpu.rows import ROWS, Row, quick
from benchmarks.records import Record, append, environment

FOLDER = environment.ROOT / "benchmarks" / "records"
#: Where records of a kind go, by precision where that matters; with the device behind it.
FILES = {
    ("throughput", "float32"): "torch-modules",
    ("throughput", "tf32"): "torch-modules-tf32",
    ("errors", "float32"): "errors",
    ("attribution", "float32"): "attribution",
    ("scoring", "float32"): "scoring",
}

Measure = Callable[[Row], Iterator[Record]]


@dataclass
class Table:
    """Rows while they are measured.

    Parameters
    ----------
    rows : sequence of Row
    seconds : float
        That all of them may take.
    measure : callable
        ``measure(row)`` gives records, one by one.
    keep : callable
        ``keep(row, records)`` appends them.
    clock : callable

    Attributes
    ----------
    left : list of (Row, str)
        What was not measured, and why.
    """

    rows: Sequence[Row]
    seconds: float
    measure: Measure
    keep: Callable[[Row, list[Record]], None]
    clock: Callable[[], float] = time.perf_counter
    left: list[tuple[Row, str]] = field(default_factory=list)

    def run(self) -> None:
        """Measure row by row, as long as the time is expected to suffice."""
        begun = self.clock()
        for row in self.rows:
            spent = self.clock() - begun
            if spent + row.seconds > self.seconds:
                rest = max(self.seconds - spent, 0)
                self.left.append((row, f"needs about {row.seconds:.0f} s, {rest:.0f} were left"))
                continue
            print(f"[{spent:.0f} s] {row}, about {row.seconds:.0f} s", flush=True)
            try:
                self.keep(row, list(self.measure(row)))
            except Exception as error:  # whatever happens to one row, the others are measured
                self.left.append((row, f"{type(error).__name__}: {error}"))
                print(f"  failed: {self.left[-1][1]}", flush=True)
        print(f"[{self.clock() - begun:.0f} s] done: {len(self.rows) - len(self.left)} rows.")
        for row, why in self.left:
            print(f"  not measured: {row}: {why}")


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.gpu", description=main.__doc__)
    made.add_argument("--device", choices=("gpu", "cpu"), default="gpu")
    made.add_argument("--seconds", type=float, default=480.0, help="for everything (480)")
    made.add_argument("--quick", action="store_true", help="short sequences: does it work?")
    made.add_argument("--only", default="", help="rows whose line holds this text")
    made.add_argument("--output", type=Path, default=FOLDER, help="folder of the records")
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure naive and fast ISM on a GPU, and say what was not measured."""
    given = parser().parse_args(arguments)
    environment.prepare("torch", given.device)
    import torch

    if given.device == "gpu" and not torch.cuda.is_available():
        print("No GPU: PyTorch finds none. --device cpu --quick tries everything out on a CPU.")
        return 1
    rows = [row for row in ROWS if given.only in str(row)]
    if given.device == "cpu":
        rows = [row for row in rows if row.precision == "float32"]
    if given.quick:
        rows = quick(rows)
    suffix = given.device + ("-quick" if given.quick else "")

    def keep(row: Row, records: list[Record]) -> None:
        name = FILES[row.kind, row.precision]
        append(given.output / f"{name}-{suffix}.jsonl", records)

    table = Table(rows, given.seconds, _measuring(given.device, given.quick), keep)
    table.run()
    return 0 if len(table.left) < len(rows) else 1


def _measuring(device: str, is_quick: bool) -> Measure:
    """How a row is measured on a device."""
    import torch

    from benchmarks.clock import Repeats
    from benchmarks.gpu import scoring
    from benchmarks.gpu.attribution import attribution
    from benchmarks.gpu.measure import Setting, errors, throughput
    from benchmarks.gpu.subject import Subject, build, sequences

    where = environment.describe(device)
    on_gpu = device == "gpu"
    torch.backends.cudnn.benchmark = on_gpu
    name = torch.cuda.get_device_name() if on_gpu else where.cpu
    print(f"{name}, torch {torch.__version__}, commit {where.commit or 'unknown'}", flush=True)
    repeats = Repeats(1, 2, 1.0) if is_quick else Repeats(3, 9, 6.0)
    torch_device = "cuda" if on_gpu else "cpu"
    largest = 32 if is_quick else 8192
    setting = Setting(device, torch_device, repeats, where, largest, rates=not is_quick)
    kinds = {"throughput": throughput, "errors": errors, "attribution": attribution}

    def measure(row: Row) -> Iterator[Record]:
        if row.kind == "scoring":
            yield from scoring.measure(row, device, where)
            return
        module = build(row.architecture, row.length, torch_device)
        number = max(*row.sequences, 11)
        yield from kinds[row.kind](row, Subject(module, sequences(number, row.length)), setting)
        if on_gpu:
            torch.cuda.empty_cache()

    return measure


if __name__ == "__main__":
    sys.exit(main())

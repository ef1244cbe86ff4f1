"""How near each layer comes to the floor: its time beside that of its multiply-adds.

    python -m benchmarks.floor.profile basset bpnet --length 1000 --backend torch \
        --markdown profile.md

One process, fast ISM of a real promoter on a CPU. In turns, round by round: fast ISM as it is, fast
ISM with a clock between its steps (`benchmarks.floor.profiled`), and plain matrix products of the
shapes of the plan (`benchmarks.floor.rate`). Of the runs with a clock the one of median length is
shown, so that its rows add up to it.

Requirements: rich; Keras with PyTorch.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.clock import Clock, Repeats, alternate
from benchmarks.floor.fraction import ideal_seconds
from benchmarks.floor.ledger import Ledger
from benchmarks.floor.products import saturating_products
from benchmarks.floor.rate import Maker, RateProbe, makers
from benchmarks.records import Where, environment
from benchmarks.records.tables import markdown_table
from fastism.backends import NAMES
from fastism.errors import FastISMError
from fastism.planning.plan import Plan
from fastism.planning.steps import Mode
from fastism.rules import (
    AveragePool,
    Channels,
    ConstantChannels,
    Convolution,
    Dense,
    FlattenDense,
    Flip,
    GlobalPool,
    GlobalSoftmaxPool,
    MaxPool,
    Opaque,
    Reshape,
    Shift,
    SoftmaxPool,
    Upsample,
)

#: The backends whose steps have ended when their calls return.
EAGER = ("torch",)
FASTA = environment.ROOT / "data" / "dm3_promoters_2kb.fa.gz"
SEED = 1
#: Characters of a line where no terminal says how many it has.
WIDTH = 160
ROUNDS = 5
#: What the rows of layers are called by their rules; all others are element-wise.
KINDS = {
    Convolution: "convolution",
    Dense: "dense",
    FlattenDense: "dense",
    MaxPool: "pooling",
    AveragePool: "pooling",
    SoftmaxPool: "pooling",
    GlobalPool: "pooling",
    GlobalSoftmaxPool: "pooling",
    Opaque: "opaque",
    **dict.fromkeys((Channels, ConstantChannels, Flip, Reshape, Shift, Upsample), "rearranging"),
}
AROUND = "around the layers"
HEADER = (
    *("layer", "kind", "multiply-adds", "ideal, ms", "measured, ms", "ideal / measured"),
    "share of the total",
)
LEFT = (0, 1)


@dataclass(frozen=True, slots=True)
class Row:
    """What one layer, or one part of the work around the layers, takes in a run.

    Attributes
    ----------
    name, kind : str
    macs : float
        Multiply-adds per mutant; 0 where there are none in the plan.
    ideal : float
        Seconds that they take in plain matrix products of the same shape.
    seconds : float
        Measured.
    """

    name: str
    kind: str
    macs: float
    ideal: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Profile:
    """Fast ISM of one model, layer by layer.

    Attributes
    ----------
    title : str
    mutants : int
        Of a run.
    rows : tuple of Row
        They add up to the run that was profiled.
    plain : tuple of float
        Seconds of runs without a clock between the steps, one per round.
    """

    title: str
    mutants: int
    rows: tuple[Row, ...]
    plain: tuple[float, ...]

    @property
    def seconds(self) -> float:
        """Of the run that was profiled."""
        return sum(row.seconds for row in self.rows)

    def by_kind(self) -> list[Row]:
        """Sums of the rows of one kind, in the order of their first row, and of all rows."""
        groups: dict[str, list[Row]] = {}
        for row in self.rows:
            groups.setdefault(row.kind, []).append(row)
        return [_total(f"all: {kind}", group) for kind, group in groups.items()] + [
            _total("total", self.rows)
        ]

    def cells(self) -> list[list[str]]:
        """What the table shows, `HEADER` row by row."""
        return [self._cells(row) for row in (*self.rows, *self.by_kind())]

    def _cells(self, row: Row) -> list[str]:
        ideal = [f"{row.ideal * 1e3:.1f}", f"{row.ideal / row.seconds:.2f}"]
        if not row.macs or not row.seconds:
            ideal = ["", ""]
        return [
            row.name,
            row.kind,
            f"{row.macs:,.0f}" if row.macs else "",
            ideal[0],
            f"{row.seconds * 1e3:.1f}",
            ideal[1],
            f"{row.seconds / self.seconds:.1%}",
        ]

    def caption(self) -> str:
        """What was run, and how long it takes without the clock between the steps."""
        least, most = min(self.plain), max(self.plain)
        return (
            f"{self.mutants:,} mutants. The profiled run took {self.seconds:.3g} s; without a "
            f"clock between the steps {median(self.plain):.3g} s ({least:.3g}–{most:.3g}, "
            f"{len(self.plain)} runs in turns with it)."
        )


def _total(name: str, rows: Sequence[Row]) -> Row:
    macs, ideal, seconds = (
        sum(getattr(row, field) for row in rows) for field in ("macs", "ideal", "seconds")
    )
    return Row(name, "", macs, ideal, seconds)


def profile(
    model: Any,
    sequences: np.ndarray,
    title: str,
    backend: str,
    rounds: int = ROUNDS,
    clock: Clock = time.perf_counter,
    ways: Mapping[str, Maker] | None = None,
) -> Profile:
    """Profile all alternatives at all positions, after a warm-up.

    Parameters
    ----------
    model : keras.Model
    sequences : ndarray, float32, shape (sequences, length, characters)
        One-hot.
    title : str
    backend : str
        One of `EAGER`.
    rounds : int
        Odd, so that one run is the median.
    clock : callable
        Seconds.
    ways : mapping from str to Maker, optional
        How matrices are multiplied; by default as `benchmarks.floor.rate.makers` says.

    Raises
    ------
    FastISMError
        The backend compiles its plans.
    """
    refuse_compiled(backend)
    from benchmarks.floor.profiled import ProfiledISM
    from fastism import FastISM

    ledger = Ledger(clock)
    settings = {"test_correctness": False, "backend": backend}
    plain, profiled = FastISM(model, **settings), ProfiledISM(ledger, model, **settings)
    products = saturating_products(plain, sequences)
    probe = RateProbe(products, makers(backend) if ways is None else ways, clock=clock)
    found: list[dict[Hashable, float]] = []
    rates: list[list[float]] = []

    def entered() -> None:
        ledger.reset()
        profiled.saturate(sequences)
        found.append(ledger.seconds)

    runs = {
        "plain": lambda: plain.saturate(sequences),
        "profiled": entered,
        "products": lambda: rates.append(probe.each()),
    }
    for warm_up in ("plain", "profiled"):
        runs[warm_up]()
    found.clear()
    seconds = alternate(runs, Repeats(rounds, rounds, 0.0), clock)
    middle = sorted(found, key=lambda entries: sum(entries.values()))[len(found) // 2]
    plan = plain.plan
    mutants = sequences.shape[0] * sequences.shape[1] * (sequences.shape[2] - 1)
    typical = [median(each) for each in zip(*rates, strict=True)]
    rows = layer_rows(plan, middle, typical, mutants)
    return Profile(title, mutants, tuple(rows), tuple(seconds["plain"]))


def refuse_compiled(backend: str) -> None:
    """Raise where steps have no times of their own.

    Raises
    ------
    FastISMError
        The backend compiles its plans.
    """
    if backend not in EAGER:
        raise FastISMError(
            f"Plans are compiled as a whole on {backend}, where layers are joined and reordered: "
            "no step has a time of its own, and run one by one they would take other times. "
            f"Profile on {', '.join(EAGER)}, or use the framework's own profiler."
        )


def layer_rows(
    plan: Plan, entries: Mapping[Hashable, float], rates: Sequence[float], mutants: int
) -> list[Row]:
    """Rows of layers in the order of the model, then of what is around them.

    Parameters
    ----------
    plan : Plan
    entries : mapping from (int or str) to float
        Seconds by node, and by what else takes time.
    rates : sequence of float
        FLOP/s of the product of every node that multiplies, in the order of the nodes.
    mutants : int
    """
    costs = {i: cost.fast for i, cost in enumerate(plan.costs) if cost.fast}
    rate_of = dict(zip(costs, rates, strict=True))
    rows = []
    for index in sorted(i for i in {*entries, *costs} if isinstance(i, int)):
        macs = costs.get(index, 0.0)
        ideal = ideal_seconds(macs, mutants, rate_of[index]) if macs else 0.0
        seconds = entries.get(index, 0.0)
        rows.append(Row(shown(plan, index), kind_of(plan, index), macs, ideal, seconds))
    around = {name: s for name, s in entries.items() if isinstance(name, str)}
    return rows + [Row(name, AROUND, 0.0, 0.0, seconds) for name, seconds in around.items()]


def shown(plan: Plan, index: int) -> str:
    """The layer, and those that run in its pass."""
    tail = plan.tails.get(index)
    taken = () if tail is None else tail.nodes
    return " + ".join(plan.graph.nodes[i].name for i in (index, *taken))


def kind_of(plan: Plan, index: int) -> str:
    """What a layer is, for a reader."""
    if plan.steps[index].mode is Mode.READOUT:
        return "readout"
    return KINDS.get(type(plan.graph.nodes[index].rule), "element-wise")


def markdown(profiles: Sequence[Profile], backend: str, where: Where) -> str:
    """Tables of several models, with hardware, software and date."""
    parts = [f"Fast ISM on {backend}, one process on the CPU: {environment.caption(where)}"]
    for made in profiles:
        parts += [f"#### {made.title}", markdown_table(HEADER, made.cells(), LEFT), made.caption()]
    return "\n\n".join(parts) + "\n"


def show(made: Profile) -> None:
    """Print a profile as a table."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(title=made.title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for number, heading in enumerate(HEADER):
        table.add_column(heading, justify="left" if number in LEFT else "right", overflow="fold")
    cells = made.cells()
    for number, row in enumerate(cells):
        table.add_row(*row, end_section=number == len(made.rows) - 1)
    # A file, or what reads from a pipe, is as wide as the table.
    console = Console(highlight=False, width=None if sys.stdout.isatty() else WIDTH)
    console.print(table)
    console.print(made.caption(), style="dim")


def main(arguments: Sequence[str] | None = None) -> int:
    """Print where the time of fast ISM goes, beside the floor, and write it as Markdown."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.floor.profile", description=main.__doc__
    )
    parser.add_argument("architecture", choices=ARCHITECTURES, nargs="+")
    parser.add_argument("--length", type=int, required=True)
    parser.add_argument("--sequences", type=int, default=1)
    parser.add_argument("--backend", choices=NAMES, default="torch")
    parser.add_argument("--fasta", type=Path, default=FASTA, help="where sequences are drawn from")
    parser.add_argument("--threads", type=int, default=0, help="processors to use; 0 for all")
    parser.add_argument("--markdown", type=Path, help="file to write the tables to as well")
    given = parser.parse_args(arguments)
    try:
        refuse_compiled(given.backend)
        environment.prepare(given.backend, "cpu", given.threads)
        profiles = [_profiled(name, given) for name in given.architecture]
    except FastISMError as error:
        print(error, file=sys.stderr)
        return 1
    if given.markdown:
        given.markdown.parent.mkdir(parents=True, exist_ok=True)
        given.markdown.write_text(markdown(profiles, given.backend, environment.describe()))
    return 0


def _profiled(name: str, given: argparse.Namespace) -> Profile:
    """Profile one architecture and show it."""
    from benchmarks.jobs.select_sequences import select
    from fastism.sequences import one_hot

    drawn = select(given.fasta, given.sequences, SEED)
    sequences = one_hot([record.sequence[-given.length :] for record in drawn])
    number = "one sequence" if given.sequences == 1 else f"{given.sequences} sequences"
    title = f"{ARCHITECTURES[name].label}, {given.length} bp, {number}"
    made = profile(build(name, given.length), sequences, title, given.backend)
    show(made)
    return made


if __name__ == "__main__":
    sys.exit(main())

"""Which record of several a figure shows.

Requirements: none beyond `benchmarks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.architectures import ARCHITECTURES
from benchmarks.peers import PEERS
from benchmarks.records import Record
from benchmarks.records.compare import BASELINE, FAST, seconds_per_sequence
from figures.provenance import FRAMEWORKS

#: What a reader calls the methods; those that are not listed are called by their name.
LABELS = {
    BASELINE: "naive ISM",
    FAST: "fastISM",
    "gradient_x_input": "gradient × input",
    "integrated_gradients": "integrated gradients",
    "deepshap": "DeepSHAP",
    "taylor_ism": "Taylor ISM",
    **{peer.name: peer.label for peer in PEERS.values()},
}
#: Architecture and length.
Case = tuple[str, int]


def timed(records: Iterable[Record], method: str | None = None) -> list[Record]:
    """Throughput that was measured, outside of the sweeps, perhaps of one method only."""
    return [
        record
        for record in records
        if record.what.kind == "throughput"
        and record.result.status == "ok"
        and not record.what.variant
        and method in (None, record.what.method)
    ]


def best(records: Iterable[Record], method: str, case: Case, device: str) -> Record | None:
    """The run with the fewest seconds per sequence, whatever its backend and batch; or None."""
    found = [
        record
        for record in timed(records, method)
        if (record.what.architecture, record.what.length) == case and record.how.device == device
    ]
    return min(found, key=lambda r: seconds_per_sequence(r)[0], default=None)


def per_100(record: Record | None) -> float | None:
    """Seconds per 100 sequences."""
    return None if record is None else 100 * seconds_per_sequence(record)[0]


def devices(records: Iterable[Record]) -> list[str]:
    """Those that something was timed on, the CPU first; the CPU alone where nothing was."""
    return sorted({record.how.device for record in timed(records)}) or ["cpu"]


def cases(lengths: Sequence[Case] = ()) -> list[Case]:
    """Every architecture at every length of its own, without the base of the sweeps."""
    return list(lengths) or [
        (name, length)
        for name, architecture in ARCHITECTURES.items()
        if not architecture.parameters
        for length in architecture.lengths
    ]


def shown_case(case: Case) -> str:
    """What a reader calls a case."""
    name, length = case
    known = ARCHITECTURES.get(name)
    return f"{known.label if known else name}, {length} bp"


def reasons(
    records: Iterable[Record], methods: Sequence[str], by_number: bool = False
) -> list[str]:
    """Why something was not run, once per reason, outside of the sweeps.

    Where several numbers of sequences were not run for the same reason, the smallest of them is
    named, unless that is one. What was skipped, for lack of time say, is not missing where the cell
    of the table has a number all the same: of another job, framework or number of sequences.

    Parameters
    ----------
    records : iterable of Record
    methods : sequence of str
    by_number : bool
        Whether every number of sequences has a cell of its own.
    """
    records = list(records)
    ran = {cell(record, by_number) for record in timed(records)}
    found: dict[tuple[str, Case, str, str], Record] = {}
    for record in records:
        what = record.what
        if record.result.status == "ok" or what.method not in methods or what.variant:
            continue
        if record.result.status == "skipped" and cell(record, by_number) in ran:
            continue
        key = (what.method, (what.architecture, what.length), record.how.device, record.how.backend)
        if key not in found or what.sequences < found[key].what.sequences:
            found[key] = record
    grouped: dict[tuple[str, str], list[str]] = {}
    for (method, case, device, backend), record in found.items():
        reason = " ".join(record.result.reason.split())
        count = record.what.sequences
        place = f"{shown_case(case)} on {FRAMEWORKS[backend]}"
        place += " (GPU)" if device == "gpu" else ""
        place += f" from {count} sequences on" if count > 1 else ""
        said = f"{record.result.status}. {reason}"
        grouped.setdefault((LABELS.get(method, method), said), []).append(place)
    return [f"{method}: {'; '.join(places)}: {said}" for (method, said), places in grouped.items()]


def cell(record: Record, by_number: bool = False) -> tuple[str | int, ...]:
    """Where a record stands in a table, whatever framework it is of."""
    what = record.what
    case = (what.method, what.architecture, what.length, what.variant, record.how.device)
    return (*case, what.sequences) if by_number else case


def number(value: float | None, missing: str = "not run") -> str:
    """Three digits, or why there is no number."""
    if value is None:
        return missing
    return f"{value:.3g}" if value < 1000 else f"{value:.0f}"


def ratio(slow: float | None, fast: float | None, missing: str = "–") -> str:
    """How many times faster."""
    return missing if slow is None or not fast else f"{slow / fast:.3g}×"

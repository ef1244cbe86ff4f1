"""One paragraph that says what was measured, how, where and when.

Requirements: none beyond `benchmarks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.records import Record, Where
from benchmarks.records.compare import Comparison

#: What a reader calls the backends.
FRAMEWORKS = {"tensorflow": "TensorFlow", "torch": "PyTorch", "jax": "JAX"}


def caption(comparisons: Sequence[Comparison], spread: str) -> str:
    """Describe hardware, software, data, repeats and the sample of naive ISM.

    Parameters
    ----------
    comparisons : sequence of Comparison
        At least one.
    spread : str
        How the spread of the repeats is shown, after "Medians of ... runs in turns; ".
    """
    fast = [record for c in comparisons for record in c.fast]
    naive = [c.naive for c in comparisons]
    repeats = [len(record.result.seconds) for record in [*naive, *fast]]
    return " ".join(
        [
            "All alternatives at all positions, seconds per sequence.",
            f"Medians of {_span(repeats)} runs in turns after a warm-up; {spread}.",
            _baseline(comparisons),
            f"Sequences: {_listed(c.naive.what.data.partition(', seed')[0] for c in comparisons)}.",
            caption_of_systems([c.naive.where for c in comparisons]),
        ]
    )


def _baseline(comparisons: Sequence[Comparison]) -> str:
    naive = [c.naive for c in comparisons]
    batches = _span([record.how.batch_size or 0 for record in naive])
    frameworks = sorted({framework for c in comparisons for framework in c.frameworks})
    names = _alternatives([FRAMEWORKS[framework] for framework in frameworks])
    backend = names if len(frameworks) == 1 else f"on {names}, whichever is fastest"
    several = any(record.how.mode for record in naive)
    how = "compiled or eager, whichever is faster" if several else "compiled"
    text = f"Naive ISM: {backend}, {how}, at its best batch size ({batches})"
    apart = ""
    if len(frameworks) > 1:
        apart = (
            " Models on different frameworks are jobs of their own, one after the other, so that "
            "which of them is fastest for naive ISM is judged by medians. Speedups are of runs in "
            "turns within one job"
        )
        apart += (
            "." if all(c.paired(c.best) for c in comparisons) else ", but where it says otherwise."
        )
    sampled = [record for record in naive if record.how.extrapolated]
    if not sampled:
        return f"{text}.{apart}"
    positions = _span([record.what.positions for record in sampled])
    return f"{text}, timed at {positions} evenly spaced positions and scaled to all.{apart}"


def short_caption(records: Iterable[Record]) -> str:
    """Hardware and date of what was measured; versions stand in the report and in the records."""
    places = [record.where for record in records]
    if not places:
        return "Nothing was measured."
    dates = sorted({place.date[:10] for place in places})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"Measured on {_machines(places)}, {when}."


def _machines(systems: Sequence[Where]) -> str:
    return _listed(
        f"{w.cpu}{f' and {w.gpu}' if w.gpu else ''}, {w.threads} threads" for w in systems
    )


def caption_of_systems(systems: Sequence[Where]) -> str:
    """Machines, dates, commits, and the versions of every package."""
    machines = _machines(systems)
    found: dict[str, dict[str, None]] = {}
    for system in systems:
        for package, version in system.versions.items():
            found.setdefault(package, {})[version] = None
    versions = ", ".join(f"{package} {' or '.join(several)}" for package, several in found.items())
    dates = sorted({w.date[:10] for w in systems})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    commits = _listed(w.commit or "unknown" for w in systems)
    return f"Machine: {machines}. Measured {when} at commit {commits} with {versions}."


def _span(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


def _alternatives(names: Sequence[str]) -> str:
    """Words joined by commas and "or"."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last


def _listed(texts: Iterable[str]) -> str:
    """Distinct texts in the order of their appearance."""
    return "; ".join(dict.fromkeys(texts))

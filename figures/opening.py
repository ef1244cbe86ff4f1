"""How a report begins: what ran and at which commit, and what is missing and why.

Requirements: none beyond `benchmarks`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from benchmarks.records import Record

#: Characters of a commit that are shown.
SHORT = 7
ELSEWHERE = (
    "A speedup that is shown elsewhere, as in README.md, is of other records: of another commit, "
    "or over naive ISM on another framework."
)


def ran(records: Sequence[Record]) -> str:
    """How many records ran, and how many did not, by what became of them."""
    if not records:
        return "No records."
    counts = _counts([record.result.status for record in records])
    done = counts.pop("ok", 0)
    if not counts:
        return f"All records ran ({len(records)})."
    listed = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{done} of {len(records)} records ran; of the others, {listed}."


def commits(records: Sequence[Record]) -> str:
    """The commits at which those that ran were measured, the most frequent first."""
    where = [record.where for record in records if record.result.status == "ok"]
    if not where:
        return ""
    counts = _counts([(place.commit or "unknown")[:SHORT] for place in where])
    dates = sorted({place.date[:10] for place in where})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    listed = ", ".join(f"{commit} ({count})" for commit, count in counts.items())
    return f"Measured {when} at commit {listed}. {ELSEWHERE}"


def missing(records: Sequence[Record]) -> list[tuple[str, str, str]]:
    """Why records are missing: number, methods, and the reason without its numbers.

    Returns
    -------
    list of (str, str, str)
        The most frequent reason first; those that differ in numbers only count as one.
    """
    groups: dict[str, list[str]] = {}
    for record in records:
        if record.result.status != "ok":
            reason = " ".join((record.result.reason or "No reason was left.").split())
            general = re.sub(r"\d[\d.,]*(?<![.,])", "…", reason)
            groups.setdefault(general, []).append(record.what.method)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))
    return [
        (str(len(methods)), ", ".join(dict.fromkeys(methods)), reason)
        for reason, methods in ordered
    ]


def _counts(words: Sequence[str]) -> dict[str, int]:
    """How often each word occurs, the most frequent first."""
    counts = {word: words.count(word) for word in dict.fromkeys(words)}
    return dict(sorted(counts.items(), key=lambda item: -item[1]))

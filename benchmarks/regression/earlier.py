"""What the benchmark measured here a moment ago, so that the check need not measure it again.

Requirements: none beyond `benchmarks.regression.baseline`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from benchmarks.records import Record, Where
from benchmarks.regression.baseline import BEST, Baseline, speedups_of

Case = tuple[str, int]


def of_this_state(
    records: Iterable[Record], here: Where, baseline: Baseline, cases: Sequence[Case]
) -> dict[Case, list[Record]]:
    """Records that say what a measurement would say now, by case.

    Parameters
    ----------
    records : iterable of Record
        Of any configs, states of the library and machines.
    here : Where
        The machine and the commit of the check.
    baseline : Baseline
        On a processor of its own it holds the frameworks one by one, and runs with settings of
        their own: nothing measured otherwise is compared with it.
    cases : sequence of (architecture, length)

    Returns
    -------
    dict from (architecture, length) to list of Record
        Of one sequence, from this commit without changes, this processor and as many threads.
        Cases in which naive or fast ISM did not run are left out.
    """
    if baseline.is_of(here) or not here.commit or here.commit.endswith("+"):
        return {}
    found: dict[Case, list[Record]] = {}
    for record in records:
        what, where = record.what, record.where
        same = (where.commit, where.cpu, where.threads) == (here.commit, here.cpu, here.threads)
        case = what.architecture, what.length
        if same and case in cases and what.sequences == 1 and not what.variant:
            found.setdefault(case, []).append(record)
    return {case: taken for case, taken in found.items() if (*case, BEST) in speedups_of(taken)}

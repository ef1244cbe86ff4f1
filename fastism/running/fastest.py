"""Which of several frameworks runs a model's mutants fastest here: measured on a few positions.

Requirements: none.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from fastism.errors import FastISMError

#: Positions that are measured, at most.
POSITIONS = 48


def time_each(
    names: Sequence[str],
    use: Callable[[str], None],
    run: Callable[[], object],
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, float]:
    """Seconds of the same work on each of some frameworks.

    Parameters
    ----------
    names : sequence of str
    use : callable
        Makes a framework ready. It may raise `FastISMError` where the framework cannot run the
        model, and is then left out.
    run : callable
        The work, on the framework that was made ready last.
    clock : callable
        Seconds.

    Returns
    -------
    dict from str to float
        By the name of the framework; the shorter of two runs after one that compiles, in the order
        of `names`.

    Raises
    ------
    FastISMError
        If none of them can run it; the error of the first one.
    """
    seconds: dict[str, float] = {}
    refused: list[FastISMError] = []
    for name in names:
        try:
            use(name)
            run()
        except FastISMError as error:
            refused.append(error)
            continue
        taken = []
        for _ in range(2):
            begun = clock()
            run()
            taken.append(clock() - begun)
        seconds[name] = min(taken)
    if not seconds:
        raise refused[0]
    return seconds

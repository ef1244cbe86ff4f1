"""Whether propagating deltas is worth it, or mutants had better run through the whole model.

Requirements: none. Where the first layer is global, delta propagation saves nothing and costs its
bookkeeping; a plan that expects hardly anything is run the naive way.
"""

from __future__ import annotations

import os

from fastism.errors import FastISMError

#: Plans that expect a smaller speedup than this are run the naive way.
NAIVE_BELOW = 1.2
#: The environment variable that says otherwise, for a whole process.
VARIABLE = "FASTISM_NAIVE_BELOW"


def least_speedup(given: float | None) -> float:
    """The speedup from which on deltas are propagated.

    Parameters
    ----------
    given : float or None
        What the caller asks for; None for the environment's, or `NAIVE_BELOW`.

    Raises
    ------
    FastISMError
        If it is no number from 0 on.
    """
    told = os.environ.get(VARIABLE) if given is None else given
    if told is None:
        return NAIVE_BELOW
    try:
        least = float(told)
    except (TypeError, ValueError):
        least = -1.0
    if not least >= 0:
        raise FastISMError(
            f"naive_below (or {VARIABLE}) is {told!r}; expected the speedup from which on deltas "
            f"are propagated: {NAIVE_BELOW} unless told, 0 for always, inf for never."
        )
    return least


def is_naive(naive: float, fast: float, in_full: bool, least: float) -> bool:
    """Whether a plan runs the naive way.

    Parameters
    ----------
    naive, fast : float
        Multiply-adds of naive ISM and of the plan, those of uncounted layers left out: they are
        the same in both, so that the true ratio is no larger.
    in_full : bool
        Whether any step runs on whole tensors of the mutants.
    least : float
        From `least_speedup`.
    """
    if not naive:
        # Nothing that can be counted: what is local is worth it, whatever it is.
        return in_full and least > 0
    return naive / max(fast, 1.0) < least

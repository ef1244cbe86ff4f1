"""Checks of methods whose attributions sum up to a difference of outputs.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.identities import completeness_residual

#: Largest residual of methods that satisfy completeness but for rounding.
TOLERANCE = 1e-2
#: Largest residual of a path integral, at the most steps.
INTEGRAL_TOLERANCE = 0.05
#: Steps that are tried where those of the method are too few.
MORE_STEPS = (200, 800)


def completeness(result: Attribution, differences: Sequence[np.ndarray], baseline: str) -> Check:
    """Whether attributions sum up to a difference of outputs.

    Parameters
    ----------
    result : Attribution
        Per explained output.
    differences : sequence of ndarray, shape (sequences,)
        Per explained output: the output minus that of the baseline.
    baseline : str
        What the baseline is, for the record.
    """
    return Check(f"completeness, against {baseline}", _residual(result, differences), TOLERANCE)


def integral_completeness(
    result: Attribution,
    differences: Sequence[np.ndarray],
    steps: int,
    integrate: Callable[[int, int], Sequence[np.ndarray]],
) -> Check:
    """Whether path integrals from zeros are complete, with more steps if there are too few.

    The gradient jumps wherever a ReLU switches on or off along the path. With a few dozen steps
    the integral can therefore miss the difference of outputs by a third of it, although every
    gradient is right. If it does, the worst sequence is integrated again with more and more steps,
    and completeness must hold at the largest number of them.

    Parameters
    ----------
    result, differences :
        As for `completeness`; the baseline is zeros.
    steps : int
        Of the result.
    integrate : callable
        Called with the number of a sequence and a number of steps; its attributions per explained
        output, each ``(length, characters)``.

    Returns
    -------
    Check
        Its identity names the number of steps that the residual belongs to, and the residual with
        the steps of the method where that is another number.
    """
    first = residual = _residual(result, differences)
    used = steps
    if INTEGRAL_TOLERANCE < residual < float("inf"):  # more steps do not mend what is no number
        pairs = list(zip(result.values, differences, strict=True))
        each = [
            max(completeness_residual(v[i : i + 1], d[i : i + 1]) for v, d in pairs)
            for i in range(len(result.values[0]))
        ]
        worst = int(np.argmax(each))
        for used in MORE_STEPS:
            values = np.stack(integrate(worst, used))
            residual = completeness_residual(values, np.array([d[worst] for d in differences]))
            if residual <= INTEGRAL_TOLERANCE:
                break
    text = f"completeness, against zeros, with {used} steps"
    if used != steps:
        text += f" ({first:.2g} with {steps})"
    return Check(text, residual, INTEGRAL_TOLERANCE)


def _residual(result: Attribution, differences: Sequence[np.ndarray]) -> float:
    return completeness_residual(np.concatenate(result.values), np.concatenate(differences))

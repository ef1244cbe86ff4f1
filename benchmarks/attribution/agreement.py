"""Whether two exact methods gave the same.

Requirements: numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from benchmarks.attribution.result import Attribution


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far two results are apart, over the positions that both have.

    Attributes
    ----------
    difference : float
        Largest absolute difference, in units of the output.
    spread : float
        Standard deviation of the effects of the mutations, likewise.
    rounding : float
        A difference that rounding the outputs alone explains.
    """

    difference: float
    spread: float
    rounding: float

    def within(self, tolerance: float) -> bool:
        """Whether the difference is below `tolerance` spreads (or mere rounding)."""
        return self.difference <= max(tolerance * self.spread, self.rounding)

    def excess(self) -> float:
        """The difference in units of the spread, or of the rounding where that is larger."""
        return self.difference / max(self.spread, self.rounding, 1e-300)


def agreement(reference: Attribution, other: Attribution) -> Agreement:
    """Compare a result with a reference, output by output; the worst output counts.

    Parameters
    ----------
    reference : Attribution
        From naive ISM, perhaps at some positions only.
    other : Attribution
        Of the same sequences, at these positions or more.

    Raises
    ------
    ValueError
        The other lacks positions, or shapes differ.
    """
    if not np.isin(reference.positions, other.positions).all():
        raise ValueError("The other result lacks positions; compare runs of one case.")
    rows = np.searchsorted(other.positions, reference.positions)
    worst: Agreement | None = None
    for a, b in zip(reference.values, other.values, strict=True):
        b = b[:, rows]
        if a.shape != b.shape:
            raise ValueError(f"The results have shapes {a.shape} and {b.shape}.")
        # Positions and characters vary, the sequence and the element of the output do not.
        spread = float(np.sqrt(np.var(a, axis=(1, 2), dtype=np.float64).mean()))
        difference = float(np.abs(a - b).max())
        if np.isnan(difference):
            difference = float("inf")
        largest = float(np.abs(a).max())
        found = Agreement(difference, spread, 8 * float(np.finfo(a.dtype).eps) * largest)
        if worst is None or found.excess() > worst.excess():
            worst = found
    if worst is None:
        raise ValueError("The results are empty.")
    return worst

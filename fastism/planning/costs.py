"""What one layer costs, naive and fast.

Requirements: none.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Cost:
    """What one node costs per mutant, or per pair of edits in a plan of pairs.

    Parameters
    ----------
    naive : int
        Multiply-adds of a full pass.
    fast : float
        Multiply-adds in the plan's form, averaged over the mutants or pairs.
    width : float
        Window width, averaged likewise; NaN where there is no window.
    """

    naive: int
    fast: float
    width: float

"""How near fast ISM comes to the time that its multiply-adds need at the rate of matrix products.

Requirements: none beyond `benchmarks.records` and `benchmarks.clock`.
"""

from __future__ import annotations

from benchmarks.clock import Ratio, paired_ratio
from benchmarks.records import Record


def fraction_of_floor(macs: float, mutants: float, rate: float, seconds: float) -> float:
    """The shortest possible time over the measured one.

    Parameters
    ----------
    macs : float
        Multiply-adds per mutant.
    mutants : float
        How many a run has.
    rate : float
        FLOP/s of plain matrix products; a multiply-add is two operations.
    seconds : float
        Of the run.

    Examples
    --------
    >>> fraction_of_floor(macs=50.0, mutants=3000, rate=1e6, seconds=0.5)
    0.6
    """
    return ideal_seconds(macs, mutants, rate) / seconds


def ideal_seconds(macs: float, mutants: float, rate: float) -> float:
    """Seconds that the multiply-adds of a run need at a rate in FLOP/s."""
    return 2 * macs * mutants / rate


def mutants_of(record: Record) -> int:
    """How many mutants one run of a record has."""
    what = record.what
    return what.sequences * what.positions * what.alternatives


def recorded_fraction(record: Record) -> Ratio | None:
    """Fraction of the floor of every round, by the rate that was measured in this round.

    Parameters
    ----------
    record : Record

    Returns
    -------
    Ratio or None
        None where no rates were measured, as in records from before there were any.
    """
    rates, macs = record.result.rates, record.result.macs
    if not rates or not macs:
        return None
    ideal = [ideal_seconds(macs, mutants_of(record), rate) for rate in rates]
    return paired_ratio(ideal, record.result.seconds)

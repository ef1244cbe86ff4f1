"""What counted and measured speedups must reach, here and on other processors.

Requirements: none beyond `benchmarks.regression.baseline`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from benchmarks.regression.baseline import BEST, Baseline, Key
from benchmarks.regression.counting import Count

#: On a processor without baseline, the part of what the multiply-adds promise that must be reached.
HALF = 0.5
#: Counts are equal up to the order of summation.
ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class Bound:
    """What a measured speedup must reach.

    Attributes
    ----------
    key : tuple of (str, int, str)
        Architecture, length, and a framework or "best".
    name : str
    kind : {"measured", "promised"}
        Compared with what was measured on such a processor, or with what multiply-adds promise.
    expected, least : float
        The speedup that it is compared with, and the smallest that passes.
    """

    key: Key
    name: str
    kind: str
    expected: float
    least: float

    def judge(self, found: Mapping[Key, float]) -> Finding:
        """Compare with the speedups that a run found."""
        now = found.get(self.key, float("nan"))
        return Finding(self.name, self.kind, self.expected, self.least, now)


@dataclass(frozen=True, slots=True)
class Finding:
    """One comparison with the baseline.

    Attributes
    ----------
    name : str
    kind : {"counted", "measured", "promised"}
    expected, least, found : float
        The ratio to compare with, the smallest that passes, and the ratio now; NaN where there is
        none now.
    """

    name: str
    kind: str
    expected: float
    least: float
    found: float

    @property
    def passed(self) -> bool:
        """Whether the ratio is large enough."""
        return self.found >= self.least

    @property
    def share(self) -> float:
        """The ratio now over the ratio to compare with."""
        return self.found / self.expected


def compare_counts(baseline: Baseline, counts: Iterable[Count]) -> list[Finding]:
    """Check that no plan saves fewer multiply-adds than it did when the baseline was written."""
    now = {count.name: count.ratio for count in counts}
    return [
        Finding(
            then.name,
            "counted",
            then.ratio,
            then.ratio * (1 - ROUNDING),
            now.get(then.name, float("nan")),
        )
        for then in baseline.counts
    ]


def measured_bounds(baseline: Baseline) -> list[Bound]:
    """On the processor of a baseline, each speedup must be a fraction of its own at least."""
    return [
        Bound(each.key, each.name, "measured", each.median, each.median * baseline.fraction)
        for each in baseline.speedups
    ]


def promised_bounds(baseline: Baseline, counts: Iterable[Count]) -> list[Bound]:
    """On another processor, the best framework must reach half of what multiply-adds promise.

    A measured speedup belongs to one kind of processor: it depends on the width of its vectors, on
    its caches, and on how fast naive ISM runs there. The share of multiply-adds that a plan saves
    is the same everywhere, so that a bound can be derived from it. A plan has one layout for
    frameworks that need windows of equal width and one for the others; the layout that saves more
    gives the bound, because the best framework may use either.
    """
    promised: dict[tuple[str, int], float] = {}
    for count in counts:
        case = count.architecture, count.length
        promised[case] = max(count.ratio, promised.get(case, 0.0))
    bounds = []
    for each in baseline.speedups:
        ratio = promised.get(each.key[:2], float("nan"))
        if each.backend == BEST:
            bounds.append(Bound(each.key, each.name, "promised", ratio, HALF * ratio))
    return bounds

"""How many multiply-adds the planner counts for the benchmarked architectures, naive and fast.

Requirements: numpy, fastism; Keras with any of its frameworks, to build the models.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from benchmarks.architectures import ARCHITECTURES, Architecture, build


@dataclass(frozen=True, slots=True)
class Count:
    """Multiply-adds per mutant of one model in one layout; the same on every machine.

    Attributes
    ----------
    architecture : str
    length : int
    uniform : bool
        Whether all windows of a layer have one width, as traced backends need.
    naive, fast : float
        Multiply-adds of a whole pass, and of the plan.
    """

    architecture: str
    length: int
    uniform: bool
    naive: float
    fast: float

    @property
    def name(self) -> str:
        """What a reader calls it."""
        layout = "equal widths" if self.uniform else "own widths"
        return f"{self.architecture} {self.length}, {layout}"

    @property
    def ratio(self) -> float:
        """The speedup at equal rates of arithmetic."""
        return self.naive / self.fast


def counted(architectures: Mapping[str, Architecture] = ARCHITECTURES) -> Iterator[Count]:
    """Plan every architecture at each of its lengths, in both layouts.

    Parameters
    ----------
    architectures : mapping from str to Architecture

    Yields
    ------
    Count
    """
    from fastism.frontends import front_end
    from fastism.graph.simplify import simplify
    from fastism.planning.plan import make_plan

    for architecture in architectures.values():
        for length in architecture.lengths:
            model = build(architecture.name, length)
            graph = simplify(front_end(model, 0, None).graph(()))
            for uniform in (True, False):
                plan = make_plan(graph, uniform=uniform)
                naive, fast = float(plan.naive_macs), float(plan.fast_macs)
                yield Count(architecture.name, length, uniform, naive, fast)

"""Modules that `torch.export` made for batches of one size.

Requirements: torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import fx


@dataclass(frozen=True)
class FixedBatch:
    """How a module was exported that runs batches of one size only.

    Attributes
    ----------
    size : int
        Sequences in a batch.
    inputs : tuple of str
        Names of the inputs.
    """

    size: int
    inputs: tuple[str, ...]

    def __str__(self) -> str:
        open_axis = "{0: torch.export.Dim.AUTO}"
        shapes = ", ".join(f"{name!r}: {open_axis}" for name in self.inputs)
        return (
            f"was exported with a fixed batch of {self.size}, and mutants run in batches of any "
            f"size: export it again with dynamic_shapes={{{shapes}}}, from an example of two "
            "sequences or more"
        )


def fixed_batch(module: torch.nn.Module) -> FixedBatch | None:
    """The batch that the traces of an exported module name; None where they leave it open.

    A module that names one may run others: tracers other than `torch.export` check nothing.

    Parameters
    ----------
    module : torch.nn.Module
        An exported module, or one that holds it.
    """
    traced = next((m for m in module.modules() if isinstance(m, fx.GraphModule)), None)
    if traced is None:
        return None
    inputs = [node for node in traced.graph.nodes if node.op == "placeholder"]
    shapes = [getattr(node.meta.get("val"), "shape", ()) for node in inputs]
    sizes = [shape[0] if shape else None for shape in shapes]
    if not sizes or not all(isinstance(n, int) and n == sizes[0] for n in sizes):
        return None
    return FixedBatch(sizes[0], tuple(str(node.target) for node in inputs))

"""Which part of a torch module mixes the sequences of a batch, and what it decides by values.

Requirements: torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils import _pytree
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
#: Operators that make a Python number of a tensor, as `if`, `while`, `int()` and `.item()` do.
READS = (
    ATEN._local_scalar_dense.default,
    ATEN.equal.default,
    ATEN.is_nonzero.default,
    ATEN.item.default,
)


class NumbersRead(TorchDispatchMode):
    """Notes the Python numbers that are made of tensors while a module runs."""

    def __init__(self) -> None:
        super().__init__()
        self.numbers: list[Any] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run the operator and look at what it made."""
        made = func(*args, **(kwargs or {}))
        if func in READS:
            self.numbers.append(made)
        return made


@dataclass(frozen=True)
class _Call:
    """One call of a submodule: its path and class, and the tensors that went in and came out."""

    path: str
    module: torch.nn.Module
    given: list[torch.Tensor]
    made: list[torch.Tensor]


def calls(module: torch.nn.Module, run: Callable[[], Any]) -> list[_Call]:
    """All calls of submodules during `run`, in the order in which they end."""
    noted: list[_Call] = []

    def tensors(x: Any) -> list[torch.Tensor]:
        leaves = _pytree.tree_leaves(x)
        return [y.detach().clone() for y in leaves if isinstance(y, torch.Tensor)]

    def hook(path: str) -> Callable[..., None]:
        def note(part: torch.nn.Module, args: Any, kwargs: Any, made: Any) -> None:
            noted.append(_Call(path, part, tensors((args, kwargs)), tensors(made)))

        return note

    handles = [
        part.register_forward_hook(hook(path), with_kwargs=True)
        for path, part in module.named_modules()
    ]
    try:
        run()
    finally:
        for handle in handles:
            handle.remove()
    return noted


def coupled_layer(
    first: Sequence[_Call], second: Sequence[_Call], sizes: tuple[int, int], index: tuple[int, int]
) -> str:
    """A sentence about the first submodule that makes unequal results of equal inputs.

    Parameters
    ----------
    first, second : sequence of _Call
        Calls of two runs with batches of different sizes.
    sizes, index : tuple of int
        Of both runs: sequences in the batch, and which of them is the one to compare.

    Returns
    -------
    str
        Empty where none is found.
    """
    for a, b in zip(first, second, strict=False):
        if a.path != b.path or len(a.made) != len(b.made) or len(a.given) != len(b.given):
            return ""
        pairs = list(zip(a.given, b.given, strict=True))
        if not all(_same(x, y, sizes, index) for x, y in pairs):
            continue
        if all(_same(x, y, sizes, index) for x, y in zip(a.made, b.made, strict=True)):
            continue
        axes = [_batch_axis(x, y, sizes) for x, y in pairs]
        return _sentence(a, next((axis for axis in axes if axis is not None), None))
    return ""


def _batch_axis(x: torch.Tensor, y: torch.Tensor, sizes: tuple[int, int]) -> int | None:
    """The axis along which the sequences lie; None where there is none."""
    if x.dim() != y.dim():
        return None
    unequal = [axis for axis in range(x.dim()) if x.shape[axis] != y.shape[axis]]
    fits = len(unequal) == 1 and (x.shape[unequal[0]], y.shape[unequal[0]]) == sizes
    return unequal[0] if fits else None


def _same(x: torch.Tensor, y: torch.Tensor, sizes: tuple[int, int], index: tuple[int, int]) -> bool:
    """Whether two tensors hold the same for the sequence that is compared."""
    axis = _batch_axis(x, y, sizes)
    if axis is not None:
        x, y = x.select(axis, index[0]), y.select(axis, index[1])
    if x.shape != y.shape:
        return False
    x, y = x.double(), y.double()
    size = float(torch.nan_to_num(x).abs().max()) if x.numel() else 0.0
    return torch.allclose(x, y, 1e-4, 1e-5 * size, equal_nan=True)


def _sentence(call: _Call, axis: int | None) -> str:
    name = f"{call.path!r} ({type(call.module).__name__})" if call.path else "The module itself"
    said = f"{name} is the first part that makes different results of the same input"
    if isinstance(call.module, torch.nn.RNNBase) and axis is not None:
        steps = 1 if call.module.batch_first else 0
        if axis == steps:
            said += (
                f": the sequences lie along axis {axis} of what it gets, which with batch_first="
                f"{call.module.batch_first} it takes for positions, so that it runs along the batch"
            )
    return said + "."

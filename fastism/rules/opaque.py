"""Operations without a rule: the original layer is called on rebuilt tensors.

Requirements: numpy only; the callable belongs to the model's own framework.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from fastism.errors import FastISMError
from fastism.rules.base import Array, Rule, Shape

if TYPE_CHECKING:
    from fastism.backends.base import Backend


@dataclass(frozen=True, eq=False)
class Opaque(Rule):
    """One output of an operation that the library does not know.

    Parameters
    ----------
    call : callable
        Takes the full input tensors ``(batch, *shape)`` in the model's framework and returns
        the full output tensor.
    shape : tuple of int
        Shape of the output without the batch axis.
    framework : str
        Name of the backend whose arrays `call` takes.
    reason : str
        Why the operation is opaque, for the plan.
    name : str
        The layer's name, for errors.
    elements : int
        Size of its largest tensor per mutant, where it is known to hold larger ones than its
        inputs and output.
    macs : int or None
        Multiply-adds of one sequence; None where they cannot be known.
    """

    call: Callable[..., Any]
    shape: Shape
    framework: str
    reason: str
    name: str
    elements: int = 0
    macs: int | None = None

    local: ClassVar[bool] = False

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return self.shape

    def prepare(self, b: Backend) -> None:
        if b.name != self.framework:
            raise FastISMError(
                f"Layer {self.name!r} is opaque ({self.reason}), so it runs only in its own "
                f"framework, {self.framework}; backend {b.name!r} was asked for. "
                f"Leave out the backend, or name {self.framework}."
            )

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        return self.call(*inputs)

    def full_macs(self, shapes: Sequence[Shape], shape: Shape) -> int:
        return self.macs or 0

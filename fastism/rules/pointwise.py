"""Operations on each position alone: activations, batch norm, layer norm over channels.

Requirements: numpy only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.rules.base import Array, Kind, Rule, Shape, WindowCall

if TYPE_CHECKING:
    from fastism.backends.base import Backend

#: Functions of one number, with the parameters that each takes.
ELEMENTWISE: dict[str, tuple[str, ...]] = {
    "abs": (),
    "clip": ("low", "high"),
    "cos": (),
    "elu": ("alpha",),
    "exp": (),
    "gelu": ("approximate",),
    "hard_sigmoid": (),
    "leaky_relu": ("negative_slope",),
    "log": (),
    "negative": (),
    "negative_part": (),
    "relu": (),
    "relu6": (),
    "selu": (),
    "sigmoid": (),
    "silu": (),
    "sin": (),
    "softplus": (),
    "softsign": (),
    "sqrt": (),
    "square": (),
    "tanh": (),
}
#: Functions of all channels of a position.
CHANNELWISE: dict[str, tuple[str, ...]] = {"softmax": (), "log_softmax": ()}
#: Non-decreasing everywhere, so that a maximum may be taken before them.
MONOTONE = frozenset(
    {
        "clip",
        "exp",
        "hard_sigmoid",
        "log",
        "negative_part",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "softplus",
        "softsign",
    }
    | {"sqrt", "tanh"}
)


@dataclass(frozen=True, eq=False)
class Pointwise(Rule):
    """A function of one number, or of the channels of one position, by name.

    Parameters
    ----------
    function : str
        A key of `ELEMENTWISE` or `CHANNELWISE`.
    parameters : dict
        Its parameters, such as ``{"alpha": 1.0}`` for ELU.
    """

    function: str
    parameters: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = ELEMENTWISE.get(self.function, CHANNELWISE.get(self.function))
        if known is None or set(self.parameters) - set(known):
            raise FastISMError(
                f"Unknown function {self.function!r} with parameters {self.parameters}; "
                f"known: {', '.join(sorted({**ELEMENTWISE, **CHANNELWISE}))}."
            )

    @property
    def monotone(self) -> bool:
        """Whether a larger input never gives a smaller output."""
        if self.function == "leaky_relu":
            return self.parameters.get("negative_slope", 0.01) >= 0
        if self.function == "elu":
            return self.parameters.get("alpha", 1.0) >= 0
        return self.function in MONOTONE

    @property
    def elementwise(self) -> bool:
        """Whether every element is treated alone and alike."""
        return self.function in ELEMENTWISE

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        return b.function(self.function, inputs[0], **self.parameters)

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        x = b.place(call.inputs[0], call.offsets[0], call.width)
        if call.kind is Kind.RECTIFIED:
            # relu(z + d) - relu(z) = max(d + min(z, 0), -relu(z))
            return b.rectify(x, call.reference(), reuse=call.reuse[0])
        return b.function(self.function, x, reuse=call.reuse[0], **self.parameters)


@dataclass(frozen=True, eq=False)
class Affine(Rule):
    """``scale * x + shift`` per channel: batch norm at inference, or a constant factor.

    Parameters
    ----------
    scale, shift : ndarray, shape (channels,)
    """

    scale: np.ndarray
    shift: np.ndarray

    consumes: ClassVar[None] = None

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        if shapes[0][-1] != len(self.scale):
            raise FastISMError(
                f"An affine step over {len(self.scale)} channels got shape {shapes[0]}."
            )
        return shapes[0]

    def prepare(self, b: Backend) -> tuple[Array, Array]:
        return b.constant(self.scale), b.constant(self.shift)

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        return inputs[0] * weights[0] + weights[1]

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        x = b.place(call.inputs[0], call.offsets[0], call.width) * weights[0]
        return x + weights[1] if call.kind is Kind.VALUES else x

    def full_macs(self, shapes: Sequence[Shape], shape: Shape) -> int:
        return 0


@dataclass(frozen=True, eq=False)
class PositionAffine(Rule):
    """``scale * x + shift`` with constants that differ by position: encodings, position weights.

    Parameters
    ----------
    scale, shift : ndarray or None, shape (length, channels)
        Without a scale, deltas stay as they are.
    """

    scale: np.ndarray | None
    shift: np.ndarray | None

    consumes: ClassVar[None] = None

    @property
    def shares_memory(self) -> bool:  # type: ignore[override]
        """A shift alone does nothing to a delta."""
        return self.scale is None

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        for table in (self.scale, self.shift):
            if table is not None and table.shape != tuple(shapes[0]):
                raise FastISMError(
                    f"Constants of shape {table.shape}, one for each position and channel, got a "
                    f"tensor of shape {shapes[0]}."
                )
        return shapes[0]

    def prepare(self, b: Backend) -> tuple[Array | None, Array | None]:
        return tuple(None if v is None else b.constant(v[None]) for v in (self.scale, self.shift))

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        scale, shift = weights
        y = inputs[0] if scale is None else inputs[0] * scale
        return y if shift is None else y + shift

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        scale, shift = weights
        x = b.place(call.inputs[0], call.offsets[0], call.width)
        x = x if scale is None else x * call.lookup(scale)
        with_shift = call.kind is Kind.VALUES and shift is not None
        return x + call.lookup(shift) if with_shift else x


@dataclass(frozen=True, eq=False)
class LayerNorm(Rule):
    """Normalisation over the channels of each position.

    Parameters
    ----------
    gamma, beta : ndarray or None, shape (channels,)
    epsilon : float
    centre : bool
        Whether the mean is subtracted (False for RMS normalisation).
    """

    gamma: np.ndarray | None
    beta: np.ndarray | None
    epsilon: float
    centre: bool = True

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return shapes[0]

    def prepare(self, b: Backend) -> tuple[Array | None, Array | None]:
        return tuple(None if v is None else b.constant(v) for v in (self.gamma, self.beta))

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        gamma, beta = weights
        y = b.layer_norm(inputs[0], self.epsilon, self.centre)
        y = y if gamma is None else y * gamma
        return y if beta is None else y + beta

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        x = b.place(call.inputs[0], call.offsets[0], call.width)
        return self.full(b, weights, [x])

"""What every rule states about its operation: reach, arithmetic on windows, and cost.

Requirements: numpy only. Arrays of a framework reach a rule as arguments and go through the
`Backend` primitives; a rule never imports a framework.

Shapes of arrays
----------------
full tensor
    ``(sequences or mutants, *shape)``, channels last.
window
    ``(width, blocks, mutants of a block, channels)``: position first, so that a tap of a
    convolution is one contiguous matrix product for all blocks of a chunk; mutants of a block
    share the reference window ``(width, blocks, 1, channels)``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from fastism.errors import FastISMError
from fastism.intervals import Interval, hull

if TYPE_CHECKING:
    from fastism.backends.base import Backend
    from fastism.backends.epilogue import Epilogue

Array = Any
Shape = tuple[int, ...]


class Kind(Enum):
    """What a window holds, named by the reference term that is added to the delta.

    ``DELTA``: mutant minus reference. ``VALUES``: delta plus the reference. ``RECTIFIED``: delta
    plus ``min(reference, 0)``, from which a ReLU gives its output delta with one maximum.
    """

    DELTA = "delta"
    VALUES = "values"
    RECTIFIED = "rectified"


class ReadsOut(Enum):
    """How a rule reads a vector out of a window.

    ``ROWS``: it multiplies the rows of its kernel at the changed positions, for all chunks of a
    batch at once, so that each row is read once. ``SUM``: it adds up the window. ``JOIN``: it
    gathers the window and joins the result with that of what lies beside it, as a maximum does
    and a log-sum-exp; such a rule is `Joining`.
    """

    ROWS = "rows"
    SUM = "sum"
    JOIN = "join"


@dataclass(frozen=True)
class ReadoutCall:
    """Everything a rule gets to read the vectors out of the window of one chunk.

    Parameters
    ----------
    window : array, shape (width, blocks, mutants, channels)
        In the kind that the rule consumes.
    length : int
        Of the tensor that the window is a part of.
    reference : callable
        ``reference()`` is what the rule gives for each block's sequence, ``(blocks, features)``.
    beside : callable
        ``beside()`` is what the rule gathers of the reference outside the window,
        ``(blocks, 1, channels)``; only for ``ReadsOut.JOIN``.
    """

    window: Array
    length: int
    reference: Callable[[], Array]
    beside: Callable[[], Array]


@dataclass(frozen=True)
class WindowCall:
    """Everything a rule gets to compute one window.

    Parameters
    ----------
    inputs : sequence of array or None
        Windows in the kind that the rule consumes. An input that does not depend on the
        perturbation is its reference window for ``VALUES`` and ``None`` for ``DELTA``.
    kind : Kind
        The kind of `inputs`.
    width : int
        Width of the window to produce.
    offsets : sequence
        Per input the start of `Rule.placed` counted from the start of `Rule.frame`; ``None``
        where the two agree for every block of the plan.
    base : array or None
        Reference term to add to the produced delta (only for rules that accumulate).
    reuse : sequence of bool
        Whether an input's memory may be overwritten.
    channels : sequence of int
        Channels of each input, also of those that are ``None``.
    reference : callable
        ``reference()`` is this node's own reference window.
    lookup : callable
        ``lookup(table)`` is the window of a constant table ``(1, length, channels)``.
    epilogue : Epilogue or None
        What follows in the same pass. The result is then the delta of its last operation, and
        there is no `base`. Only rules that take an epilogue are given one.
    """

    inputs: Sequence[Array | None]
    kind: Kind
    width: Any
    offsets: Sequence[Any]
    base: Array | None
    reuse: Sequence[bool]
    channels: Sequence[int]
    reference: Callable[[], Array]
    lookup: Callable[[Array], Array]
    epilogue: Epilogue | None = None


class Rule(ABC):
    """One operation: how intervals propagate, how a delta propagates, and what it costs.

    Attributes
    ----------
    local : bool
        Whether a window of the output follows from windows of the inputs.
    reverses : bool
        Whether what is left of a position in the input is right of it in the output.
    consumes : Kind or None
        The kind of window it works on; ``None`` if both deltas and values will do.
    accumulates : bool
        Whether `window` can start from a reference term, which makes values for free.
    shares_memory : bool
        Whether `window` may return its input, or a view of it, instead of a new array.
    takes_epilogue : bool
        Whether `window` can run what follows it in the same pass (`WindowCall.epilogue`).
    reads_out : ReadsOut or None
        How it reads a vector out of a window; None if it does not.
    reach : str
        Why it changes every position, for people; empty where its shapes tell.
    elements : int
        Numbers per mutant of its largest tensor in a full pass, where that is known to be larger
        than its inputs and its output.
    """

    local: ClassVar[bool] = True
    reverses: ClassVar[bool] = False
    consumes: ClassVar[Kind | None] = Kind.VALUES
    accumulates: ClassVar[bool] = False
    shares_memory: ClassVar[bool] = False
    takes_epilogue: ClassVar[bool] = False
    reads_out: ClassVar[ReadsOut | None] = None
    reach: ClassVar[str] = ""
    elements: ClassVar[int] = 0

    @abstractmethod
    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        """Shape of the output without the batch axis; raises FastISMError if inputs do not fit."""

    def prepare(self, b: Backend) -> Any:
        """Weights as arrays of the backend, made once; handed to `full` and `window`."""
        return None

    @abstractmethod
    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        """The operation on full tensors ``(batch, *shape)``."""

    def local_for(self, shapes: Sequence[Shape], affected: Sequence[bool]) -> bool:
        """Whether the rule is local for these input shapes and these affected inputs."""
        return self.local

    def affected(self, inputs: Sequence[Interval | None], length: int) -> Interval:
        """Outputs that can change when `inputs` change (``None``: that input does not)."""
        return hull(self.placed(x) for x in inputs if x is not None).clip(length)

    def required(self, out: Interval) -> Interval:
        """Input positions needed to compute the values of `out` (may exceed the input)."""
        return out

    def placed(self, x: Interval) -> Interval:
        """Where the contribution of the input window `x` lies in the coordinates of `frame`."""
        return x

    def frame(self, out: Interval) -> Interval:
        """The interval into which inputs are placed to compute the output window `out`."""
        return out

    def window(self, b: Backend, weights: Any, call: WindowCall) -> Array:
        """The output window; its kind is that of `call.base`, or of the inputs."""
        raise FastISMError(f"{type(self).__name__} has no window form; this is an internal error.")

    def reads(self, positions: np.ndarray) -> np.ndarray:
        """Input positions that are read to compute the values at some output positions.

        Parameters
        ----------
        positions : ndarray of int, shape (mutants, width)
            Consecutive output positions of every mutant.

        Returns
        -------
        ndarray of int, shape (mutants, positions read)
            For every input that has positions. What lies outside of the input reads `outside`.
        """
        return positions

    def outside(self, channels: int) -> np.ndarray:
        """What an input is taken to be outside of its positions, shape (channels,)."""
        return np.zeros(channels)

    def values(
        self, b: Backend, weights: Any, inputs: Sequence[Array], positions: np.ndarray
    ) -> Array:
        """Values at some output positions from the values at the input positions that they read.

        Parameters
        ----------
        inputs : sequence of array, each (mutants, positions read, channels)
            At `reads` of `positions`. An input without a position axis is as `full` takes it.
        positions : ndarray of int, shape (mutants, width)

        Returns
        -------
        array, shape (mutants, width, channels)
        """
        return self.full(b, weights, inputs)

    @property
    def kernel_shape(self) -> Shape:
        """Shape of the weights that it multiplies with, the first axis one product each."""
        return ()

    def waiting(self, width: int, channels: int) -> int:
        """Numbers per mutant that wait for a readout: for windows of this width and depth."""
        return 0

    def read_window(self, b: Backend, weights: Any, call: ReadoutCall) -> Array:
        """Vectors ``(blocks, mutants, features)`` read out of the window of one chunk."""
        raise FastISMError(f"{type(self).__name__} does not read a window; an internal error.")

    def read_rows(
        self,
        b: Backend,
        weights: Any,
        windows: Sequence[Array],
        starts: Sequence[np.ndarray],
        table: Array,
        sequences: Sequence[np.ndarray],
    ) -> Array:
        """Vectors ``(mutants, features)`` read out of the delta windows of several chunks.

        Parameters
        ----------
        windows, starts, sequences
            As for `Backend.flatten_dense`.
        table : array, shape (sequences, features)
            What the rule gives for the sequences.
        """
        raise FastISMError(f"{type(self).__name__} does not read rows; this is an internal error.")

    def full_macs(self, shapes: Sequence[Shape], shape: Shape) -> int:
        """Multiply-adds of one full pass."""
        return 0

    def window_macs(self, inputs: Sequence[Interval | None], out: Interval) -> np.ndarray:
        """Multiply-adds per mutant of the window form, shape (hulls,)."""
        return np.zeros(len(out.start), dtype=np.int64)


class Joining(Rule):
    """Reads a vector out of a window by what it gathers there and beside it (``ReadsOut.JOIN``)."""

    @abstractmethod
    def gathered(self, b: Backend, x: Array, axis: int) -> Array:
        """What is gathered along one axis, that of positions, which is then gone."""

    @abstractmethod
    def joined(self, b: Backend, x: Array, y: Array) -> Array:
        """What is gathered of two parts, from what is gathered of each; with broadcasting."""

    @abstractmethod
    def sides(self, b: Backend, x: Array) -> tuple[Array, Array]:
        """What is gathered of everything left of each position, and from each position on.

        Parameters
        ----------
        x : array, shape (sequences, length, channels)

        Returns
        -------
        two arrays, each (sequences, length + 1, features)
        """


class Source(Rule):
    """An input of the model."""

    def __init__(self, shape: Shape) -> None:
        self.shape = tuple(shape)

    def output_shape(self, shapes: Sequence[Shape]) -> Shape:
        return self.shape

    def full(self, b: Backend, weights: Any, inputs: Sequence[Array]) -> Array:
        raise FastISMError("An input node is given, not computed; this is an internal error.")


def require_sequence(name: str, shape: Shape) -> tuple[int, int]:
    """`shape` as (length, channels), or an error that names the operation."""
    if len(shape) != 2:
        raise FastISMError(
            f"{name} got a tensor of shape {shape} (without the batch axis); "
            "a position axis and a channel axis are expected."
        )
    return shape

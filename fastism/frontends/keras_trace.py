"""What a Keras layer of one's own consists of: its `call` on symbolic tensors.

Requirements: keras. Operations of `keras.ops` and layers note what they are called on, so that a
`call` (or a function) that uses nothing else becomes a small graph of operations. The layer is left
as it was found.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers
from keras.src.backend.common import global_state

#: Where Keras counts the names it has given.
NAMES = "object_name_uids"


@dataclass(frozen=True)
class Traced:
    """A call as operations between symbolic tensors, like a functional model."""

    inputs: list[keras.KerasTensor]
    outputs: list[keras.KerasTensor]


def is_own(operation: Any) -> bool:
    """Whether only its author knows what a layer does: it is none of Keras', or a Lambda."""
    foreign = not type(operation).__module__.startswith(("keras.", "tensorflow."))
    is_layer = isinstance(operation, layers.Layer)
    return is_layer and (foreign or isinstance(operation, layers.Lambda))


def inference(layer: Any) -> dict[str, bool]:
    """What to call a layer with, because some default to the behaviour of training."""
    return {"training": False} if getattr(layer, "_call_has_training_arg", False) else {}


@contextmanager
def left_as_found(thing: Any) -> Iterator[None]:
    """Forget what Keras notes of calls within the block, and the names it gives in it."""
    parts = list(thing._flatten_layers()) if isinstance(thing, layers.Layer) else []
    counts = [(part, len(part._inbound_nodes), len(part._outbound_nodes)) for part in parts]
    names = global_state.get_global_attribute(NAMES)
    global_state.set_global_attribute(NAMES, defaultdict(int))
    try:
        yield
    finally:
        global_state.set_global_attribute(NAMES, names)
        for part, inbound, outbound in counts:
            del part._inbound_nodes[inbound:]
            del part._outbound_nodes[outbound:]


def traced(
    function: Callable[..., Any],
    specs: Sequence[keras.KerasTensor],
    arguments: Callable[[list[keras.KerasTensor]], tuple[tuple, dict]],
) -> Traced | None:
    """The operations of a function; None where it does anything else with its inputs.

    Parameters
    ----------
    function : callable
    specs : sequence of KerasTensor
        Shapes and types of its inputs.
    arguments : callable
        Puts symbolic tensors in place of the inputs: positional and keyword arguments.
    """
    inputs = [keras.Input(batch_shape=spec.shape, dtype=spec.dtype) for spec in specs]
    args, kwargs = arguments(inputs)
    try:
        # What is assigned to variables stays in the scope.
        with keras.StatelessScope():
            made = function(*args, **kwargs)
    except Exception:
        # Whatever it is that the function does not do with symbolic tensors: it is not traced.
        return None
    outputs = keras.tree.flatten(made)
    if not outputs or not all(isinstance(y, keras.KerasTensor) for y in outputs):
        return None
    return Traced(inputs, outputs)

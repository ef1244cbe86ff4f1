"""TensorFlow functions that are traced once, whatever the length of their tensors' first axes.

Requirements: tensorflow. TensorFlow counts how often functions that share their code are traced,
and warns of retracing when there are several: also where each is another model's, traced once.
So each graph is made once by itself and called directly, which is not counted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


def trace(
    function: Callable[..., Any], signature: Sequence[Any], autograph: bool = True
) -> Callable[..., Any]:
    """The graph of a function.

    Parameters
    ----------
    function : callable
        It keeps alive what it uses; the graph does not.
    signature : sequence of (tf.TensorSpec or list of tf.TensorSpec)
        Types and shapes of its arguments; an axis of None has any length.
    autograph : bool, default True
        Whether it may hold control flow on tensors.

    Returns
    -------
    callable
        Takes tensors of that signature.
    """
    return tf.function(
        function, input_signature=signature, autograph=autograph
    ).get_concrete_function()


class Traced:
    """A function of lists of tensors, traced when it is first called.

    Parameters
    ----------
    function : callable
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._graph: Callable[..., Any] | None = None

    def __call__(self, *lists: Sequence[tf.Tensor]) -> Any:
        """Call it; the first axes of the tensors may have other lengths every time."""
        lists = [list(tensors) for tensors in lists]
        if self._graph is None:
            self._graph = trace(self._function, tf.nest.map_structure(_any_length, lists))
        return self._graph(*lists)


def _any_length(x: tf.Tensor) -> tf.TensorSpec:
    return tf.TensorSpec((None, *x.shape[1:]), x.dtype)

"""Layers whose authors say what they do at inference, because their `call` cannot be read.

Requirements: none. A Keras layer is read by calling it on symbolic tensors; one that hands its
input to another framework cannot be read like that. What is declared here is read in its place, and
checked against the layer itself whenever a model with it is built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastism.errors import FastISMError

#: By the class of a layer: a function ``(layer, *tensors)`` of `keras.ops` and layers.
REGISTERED: dict[type, Callable[..., Any]] = {}


def register(layer: type, function: Callable[..., Any]) -> None:
    """Declare what a Keras layer of one's own does at inference.

    Layers whose `call` consists of `keras.ops` and other layers need no declaration.

    Parameters
    ----------
    layer : type
        The class of the layer; those derived from it are not meant.
    function : callable
        ``function(layer, *tensors)`` gives what the layer does with its tensors ``(N, L, C)``,
        by means of `keras.ops`, other layers and the layer's weights. Building a `FastISM` compares
        it with the layer itself (unless ``test_correctness=False``).

    Raises
    ------
    FastISMError
        If `layer` is no class, or `function` cannot be called.

    Examples
    --------
    >>> class Doubled:  # keras.layers.Layer, with a call that Keras cannot trace
    ...     pass
    >>> register(Doubled, lambda layer, x: 2.0 * x)
    """
    if not isinstance(layer, type) or not callable(function):
        raise FastISMError(
            f"register got {layer!r} and {function!r}; expected the class of a Keras layer and a "
            "function of the layer and its tensors."
        )
    REGISTERED[layer] = function


def see_through(*layers: type) -> None:
    """Declare that Keras layers of one's own leave their input as it is at inference.

    Parameters
    ----------
    *layers : type
        Their classes.

    Raises
    ------
    FastISMError
        If one of them is no class.
    """
    for layer in layers:
        register(layer, _same)


def _same(layer: Any, x: Any) -> Any:
    return x

"""What a front end offers, whatever the framework.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from fastism.errors import FastISMError
from fastism.graph import Graph


class FrontEnd(Protocol):
    """A user's model, seen through its framework.

    Attributes
    ----------
    framework : str
        Name of the backend that the model itself runs on.
    dtype : str
        Floating-point type of its computation.
    input_shapes : list of tuple
        Shapes of the inputs without the batch axis, lengths filled in.
    """

    framework: str
    dtype: str
    input_shapes: list[tuple[int, ...]]

    def graph(self, stop_layers: Sequence[str]) -> Graph:
        """The model as a graph, with the weights it has now."""

    def forward(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The model itself, compiled, at inference; a list of outputs on the host."""


def front_end(model: Any, seq_input_idx: int, seqlen: int | None) -> FrontEnd:
    """The front end for `model`, importing only the framework that the model comes from.

    Raises
    ------
    FastISMError
        If `model` is not a model that the library can read.
    """
    modules = {cls.__module__.split(".")[0] for cls in type(model).__mro__}
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    # A Keras model on the torch backend is a torch module too, so Keras comes first.
    if "keras" in modules and any(name.endswith("models.model.Model") for name in names):
        from fastism.frontends.keras import KerasFrontEnd

        return KerasFrontEnd(model, seq_input_idx, seqlen)
    what = f"{type(model).__module__}.{type(model).__qualname__}"
    remedy = "give a built Keras 3 model"
    if "tf_keras" in modules or "tensorflow" in modules:
        remedy += "; a Keras 2 model must be saved as .keras or .h5 and loaded with keras.models"
    if "torch" in modules:
        remedy += "; plain torch modules are not read by this version"
    if callable(model) and not modules & {"torch", "tensorflow"}:
        remedy += "; a function is not enough, because the layers must be known"
    raise FastISMError(f"A {what} is not a model that can be read: {remedy}.")

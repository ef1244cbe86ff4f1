"""What a front end offers, whatever the framework.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from fastism.errors import FastISMError
from fastism.frontends.mutant_batches import Batches
from fastism.graph.nodes import Graph
from fastism.loading.torch_programs import as_module


class FrontEnd(Protocol):
    """A user's model, seen through its framework.

    Attributes
    ----------
    framework : str
        Name of the backend that the model itself runs on.
    called : str
        What errors call the model.
    sequence : int
        Which input is the sequence.
    dtype : str
        Floating-point type of its computation.
    input_shapes : list of tuple
        Shapes of the inputs without the batch axis, lengths filled in, in the model's order of
        axes.
    output_names : list of str
        What the model calls its outputs, in order; empty where it has no names for them.
    channels_first : bool
        Whether the sequence is ``(characters, length)`` in the model's order of axes.
    single_axis : int or None
        Where the model's own sequence has a further axis of size one, which is left out here.
    device : str or None
        Where the model lives, for backends that must be told.
    precision : str
        What products of `forward` round to; see `fastism.backends.precision`.
    """

    framework: str
    called: str
    sequence: int
    dtype: str
    input_shapes: list[tuple[int, ...]]
    output_names: list[str]
    channels_first: bool
    single_axis: int | None
    device: str | None
    precision: str

    def internal(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Inputs in the model's order of axes, with positions before characters in the sequence."""

    def batches(self, inputs: Sequence[np.ndarray]) -> Batches:
        """What makes batches of mutants of `inputs`, in the form of `internal`, for `forward`."""

    def output_shapes(self, graph: Graph) -> list[tuple[int, ...]]:
        """Shapes of the outputs of the last `graph` in the model's order, without the batch."""

    def view(self, number: int) -> Callable[[np.ndarray], np.ndarray] | None:
        """What brings an output of the last `graph` into the model's order; None for nothing."""

    def graph(self, stop_layers: Sequence[str]) -> Graph:
        """The model as a graph, with the weights it has now."""

    def forward(self, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The model itself at inference, on inputs in the form of `internal`.

        The list of its outputs on the host, in the model's order of axes.
        """

    def decision(self, inputs: Sequence[np.ndarray]) -> str:
        """How the model decides by numbers that it computes from sequences; empty if it does not.

        `inputs` are several different sequences in the form of `internal`.
        """

    def coupled(self, batches: Sequence[Sequence[np.ndarray]], index: tuple[int, int]) -> str:
        """A sentence about the layer that mixes the sequences of a batch; empty if unknown.

        `batches` are two inputs in the form of `internal` that share a sequence, at `index`.
        """

    def compiled(self) -> Callable[[Sequence[np.ndarray]], list[np.ndarray]]:
        """`forward`, compiled by the framework; once more for every new batch size.

        What it returns raises a FastISMError where the framework cannot compile the model here.
        """


def front_end(
    model: Any,
    seq_input_idx: int,
    seqlen: int | None,
    input_shape: Any = None,
    channels_last: bool | None = None,
) -> FrontEnd:
    """The front end for `model`, importing only the framework that the model comes from.

    Parameters
    ----------
    model : keras.Model, tf_keras.Model, torch.nn.Module or torch.export.ExportedProgram
    seq_input_idx : int
    seqlen : int or None
    input_shape : optional
        Shapes of a torch module's inputs without the batch axis.
    channels_last : bool or None
        Whether a torch module takes ``(length, characters)``; None if nobody said.

    Raises
    ------
    FastISMError
        If `model` is not a model that the library can read.
    """
    model = as_module(model)
    modules = {cls.__module__.split(".")[0] for cls in type(model).__mro__}
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    if "tf_keras" in modules and any(name.endswith("engine.training.Model") for name in names):
        from fastism.loading.keras2_models import as_keras3

        return front_end(as_keras3(model), seq_input_idx, seqlen, input_shape, channels_last)
    # A Keras model on the torch backend is a torch module too, so Keras comes first.
    if "keras" in modules and any(name.endswith("models.model.Model") for name in names):
        from fastism.frontends.keras import KerasFrontEnd

        if input_shape is not None:
            raise FastISMError(
                "input_shape (--input-shape) is for torch modules; a Keras model knows the shapes "
                "of its inputs (seqlen=, or --seqlen, gives a length that it leaves open)."
            )
        if channels_last:
            raise FastISMError(
                "channels_last is for torch modules; a Keras model is read as taking positions "
                "before characters. Wrap one that takes characters first in a model whose first "
                "layer is Permute((2, 1))."
            )
        return KerasFrontEnd(model, seq_input_idx, seqlen)
    if "torch.nn.modules.module.Module" in names:
        from fastism.frontends.torch import TorchFrontEnd

        return TorchFrontEnd(model, seq_input_idx, seqlen, input_shape, channels_last)
    what = f"{type(model).__module__}.{type(model).__qualname__}"
    remedy = "give a built Keras 3 model or a torch.nn.Module"
    if "tensorflow" in modules:
        remedy += "; a Keras 2 model must be saved as .keras or .h5 and loaded with keras.models"
    if callable(model) and not modules & {"torch", "tensorflow"}:
        remedy += "; a function is not enough, because the layers must be known"
    raise FastISMError(f"A {what} is not a model that can be read: {remedy}.")

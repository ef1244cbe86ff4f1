"""PyTorch twins of the benchmarked Keras models, with their weights.

Requirements: numpy, fastism; torch, imported when a twin is made.
"""

from __future__ import annotations

from typing import Any

from benchmarks.networks.promoter import promoter_model, promoter_module
from fastism.errors import FastISMError


def make_twin(model: Any) -> Any:
    """Build the twin of a Keras model and copy its weights.

    Parameters
    ----------
    model : keras.Model
        From a builder of `fastism.models`, or `benchmarks.networks.promoter.promoter_model`; its
        name tells which.

    Returns
    -------
    torch.nn.Module
        In eval mode, on the first GPU if there is one. Takes ``(batch, characters, length)``.

    Raises
    ------
    FastISMError
        The model has no twin.
    """
    import torch

    from fastism.models import torch as twins
    from fastism.models.transfer import to_torch

    builders = {name: getattr(twins, name) for name in twins.__all__ if name.endswith("_model")}
    builders[promoter_model.__name__] = promoter_module
    if model.name not in builders:
        raise FastISMError(
            f"There is no PyTorch twin of a model called {model.name!r}; expected one of "
            f"{', '.join(builders)}."
        )
    module = builders[model.name](**_arguments(model))
    to_torch(model, module)
    return module.eval().to("cuda" if torch.cuda.is_available() else "cpu")


def _arguments(model: Any) -> dict[str, int]:
    length, characters = model.inputs[0].shape[1:]
    if model.name == promoter_model.__name__:
        return {"seqlen": length}
    if model.name == "bpnet_model":
        dilated = sum(layer.name.startswith("dilated") for layer in model.layers)
        return {
            "seqlen": length,
            "numchars": characters,
            "num_dilated_convs": dilated,
            "num_tasks": len(model.outputs) // 2,
        }
    arguments = {"seqlen": length, "num_outputs": model.outputs[0].shape[1]}
    if model.name in ("deepsea_model", "beluga_model"):  # always four characters
        return arguments
    return {**arguments, "numchars": characters}


def linear_twin(model: Any) -> Any:
    """The twin of `benchmarks.attribution.linear.linear_model`, with its weights."""
    from collections import OrderedDict

    from torch import nn

    from fastism.models.transfer import to_torch

    length, characters = model.inputs[0].shape[1:]
    filters, width = model.get_layer("conv").filters, model.get_layer("conv").kernel_size[0]
    outputs = model.outputs[0].shape[1]
    modules = OrderedDict(
        conv=nn.Conv1d(characters, filters, width, padding="same"),
        flatten=nn.Flatten(),
        fc=nn.Linear(filters * length, outputs),
    )
    module = nn.Sequential(modules)
    to_torch(model, module)
    return module.eval()

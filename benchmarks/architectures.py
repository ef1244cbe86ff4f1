"""The architectures that are benchmarked.

Requirements: numpy; building a model needs keras as well. Listing the architectures does not, so
that Snakemake can read the registry without loading a framework.

To add an architecture: its builder in one file, and one line in `ARCHITECTURES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from fastism.errors import FastISMError

if TYPE_CHECKING:
    import keras

CHARACTERS = 4
CALIBRATION_SEQUENCES = 32


@dataclass(frozen=True, slots=True)
class Architecture:
    """One benchmarked architecture.

    Attributes
    ----------
    name : str
        What records and the command line call it.
    label : str
        What tables and figures call it.
    module : str
        The module of its builder, imported when a model is built.
    function : str
        The builder: takes `seqlen`, returns a Keras model.
    lengths : tuple of int
        The sequence lengths it is benchmarked at.
    parameters : tuple of str
        What else the builder takes that a sweep can vary.
    """

    name: str
    label: str
    module: str
    function: str
    lengths: tuple[int, ...]
    parameters: tuple[str, ...] = ()

    @property
    def builder(self) -> Callable[..., keras.Model]:
        """The builder itself; imports keras."""
        return getattr(importlib.import_module(self.module), self.function)


ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        Architecture("basset", "Basset", "fastism.models.basset", "basset_model", (1000, 2000)),
        Architecture(
            "factorized_basset",
            "Factorized Basset",
            "fastism.models.factorized_basset",
            "factorized_basset_model",
            (1000, 2000),
        ),
        Architecture("bpnet", "BPNet", "fastism.models.bpnet", "bpnet_model", (1000, 2000)),
        Architecture("deepsea", "DeepSEA", "fastism.models.deepsea", "deepsea_model", (1000,)),
        Architecture("beluga", "DeepSEA Beluga", "fastism.models.deepsea", "beluga_model", (2000,)),
        Architecture(
            "sweep_base",
            "base of the sweeps",
            "benchmarks.networks.sweep_base",
            "sweep_base_model",
            (1000,),
            ("conv_width", "channels", "conv_layers"),
        ),
    )
}


def build(name: str, length: int, seed: int = 0, **parameters: int) -> keras.Model:
    """Build an untrained model whose numbers look like those of a trained one.

    The weights are Keras' initial ones; the batch norms are given statistics by
    `randomise_batch_norm`, as the initial ones would make them do nothing.

    Parameters
    ----------
    name : str
        A key of `ARCHITECTURES`.
    length : int
        Length of the sequence; any that the builder takes.
    seed : int, default 0
        The same seed gives the same model on the same Keras backend. Sets Python's, numpy's and the
        backend's global seeds.
    **parameters : int
        Those of the architecture that are not to have their defaults.

    Returns
    -------
    keras.Model
        Input ``(batch, length, 4)``.

    Raises
    ------
    FastISMError
        The name is not registered, a parameter is not one of the architecture, or the builder
        refuses the length or a value.
    """
    if name not in ARCHITECTURES:
        raise FastISMError(
            f"There is no architecture {name!r}; expected one of {', '.join(ARCHITECTURES)}."
        )
    architecture = ARCHITECTURES[name]
    unknown = [parameter for parameter in parameters if parameter not in architecture.parameters]
    if unknown:
        allowed = ", ".join(architecture.parameters) or "none"
        raise FastISMError(
            f"{name} has no parameter {', '.join(unknown)}; expected some of: {allowed}."
        )
    import keras

    keras.utils.set_random_seed(seed)
    model = architecture.builder(seqlen=length, **parameters)
    randomise_batch_norm(model, seed)
    return model


def randomise_batch_norm(model: keras.Model, seed: int = 0) -> None:
    """Give every batch norm of a model parameters and statistics such as training leaves behind.

    Scales are drawn from 0.5 to 1.5, one in ten of them negative, offsets from a normal
    distribution. The moving statistics are those of random one-hot sequences, disturbed, so that
    activations keep a natural size through the model. A model without batch norm is left as it is.

    Parameters
    ----------
    model : keras.Model
        Changed in place. One input of shape ``(length, characters)``; nested models are looked
        into.
    seed : int, default 0
        Determines all that is drawn.
    """
    import keras

    norms = list(_batch_norms(model))
    if not norms:
        return
    rng = np.random.default_rng(seed)
    for norm in norms:
        channels = norm.moving_mean.shape[0]
        if norm.gamma is not None:
            sign = np.where(rng.random(channels) < 0.1, -1.0, 1.0)
            norm.gamma.assign(sign * rng.uniform(0.5, 1.5, channels))
        if norm.beta is not None:
            norm.beta.assign(rng.normal(0.0, 0.2, channels))

    # With a momentum of zero, one pass in training mode leaves the statistics of this batch behind.
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    length, characters = model.inputs[0].shape[1:]
    letters = rng.integers(characters, size=(CALIBRATION_SEQUENCES, length))
    model(np.eye(characters, dtype=np.float32)[letters], training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
        mean = keras.ops.convert_to_numpy(norm.moving_mean.value)
        variance = keras.ops.convert_to_numpy(norm.moving_variance.value)
        # A channel that was silent on these sequences must not be blown up on others.
        variance = np.maximum(variance, 0.1 * variance.mean())
        norm.moving_mean.assign(mean + rng.normal(0.0, 0.1, mean.shape) * np.sqrt(variance))
        norm.moving_variance.assign(variance * rng.uniform(0.7, 1.4, variance.shape))


def _batch_norms(model: keras.Model) -> Iterator[keras.layers.BatchNormalization]:
    """Yield the batch norms of a model and of the models nested in it."""
    import keras

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            yield layer
        elif isinstance(layer, keras.Model):
            yield from _batch_norms(layer)

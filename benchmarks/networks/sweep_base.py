"""The network that the paper varied one parameter of at a time (Nair et al. 2022, figure 2).

Requirements: keras.
"""

from __future__ import annotations

import keras
from keras import layers

from fastism.errors import FastISMError

POOL = 2
DENSE = 1000


def sweep_base_model(
    seqlen: int = 1000,
    conv_width: int = 10,
    channels: int = 256,
    conv_layers: int = 4,
    name: str = "sweep_base_model",
) -> keras.Model:
    """Build blocks of convolution ("same"), ReLU, batch norm and max pool, and two dense layers.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence; each block halves it.
    conv_width : int, default 10
        Width of every convolution.
    channels : int, default 256
        Filters of every convolution.
    conv_layers : int, default 4
        Number of blocks.
    name : str, default "sweep_base_model"
        Name of the model.

    Returns
    -------
    keras.Model
        Input ``(batch, seqlen, 4)``, output ``(batch, 1)``.

    Raises
    ------
    FastISMError
        A value is below one, or the pools leave nothing of the sequence.
    """
    given = {"conv_width": conv_width, "channels": channels, "conv_layers": conv_layers}
    for parameter, value in given.items():
        if value < 1:
            raise FastISMError(f"{name}: {parameter}={value}; expected at least 1.")
    if seqlen < POOL**conv_layers:
        raise FastISMError(
            f"{name}: seqlen={seqlen} is too short for {conv_layers} pools; expected at least "
            f"{POOL**conv_layers}."
        )
    inputs = keras.Input((seqlen, 4), name="sequence")
    x = inputs
    for block in range(1, conv_layers + 1):
        conv = f"conv{block}"
        x = layers.Conv1D(channels, conv_width, padding="same", activation="relu", name=conv)(x)
        x = layers.BatchNormalization(name=f"{conv}_norm")(x)
        x = layers.MaxPooling1D(POOL, name=f"pool{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    for dense in ("fc1", "fc2"):
        x = layers.Dense(DENSE, activation="relu", name=dense)(x)
        x = layers.BatchNormalization(name=f"{dense}_norm")(x)
    return keras.Model(inputs, layers.Dense(1, name="fc3")(x), name=name)

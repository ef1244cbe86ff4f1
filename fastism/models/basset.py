"""Basset (Kelley, Snoek & Rinn 2016, Genome Research, doi:10.1101/gr.200535.115).

Requirements: keras.
"""

from __future__ import annotations

import keras
from keras import layers

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import BASSET_BLOCKS, BASSET_HIDDEN, BASSET_SHORTEST


def basset_model(
    seqlen: int = 1000, numchars: int = 4, num_outputs: int = 1, name: str = "basset_model"
) -> keras.Model:
    """Build Basset as benchmarked by Nair et al. 2022.

    Three blocks of convolution ("same"), ReLU, batch norm and max pool, then two dense layers of
    1000 units with batch norm, and a linear output.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence, at least 48.
    numchars : int, default 4
        Number of characters.
    num_outputs : int, default 1
        Number of outputs. No activation is applied to them.
    name : str, default "basset_model"
        Name of the model.

    Returns
    -------
    keras.Model
        Input ``(batch, seqlen, numchars)``, output ``(batch, num_outputs)``.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.

    References
    ----------
    Kelley, Snoek & Rinn 2016, doi:10.1101/gr.200535.115.
    """
    seqlen = check_length("basset_model", seqlen, BASSET_SHORTEST)
    numchars = check_whole("basset_model", "numchars", numchars)
    num_outputs = check_whole("basset_model", "num_outputs", num_outputs)

    inputs = keras.Input((seqlen, numchars), name="sequence")
    x = inputs
    for block, (filters, width, pool) in enumerate(BASSET_BLOCKS, start=1):
        conv = f"conv{block}"
        x = layers.Conv1D(filters, width, padding="same", activation="relu", name=conv)(x)
        x = layers.BatchNormalization(name=f"{conv}_norm")(x)
        x = layers.MaxPooling1D(pool, name=f"pool{block}")(x)
    return keras.Model(inputs, dense_part(x, num_outputs), name=name)


def dense_part(x: keras.KerasTensor, num_outputs: int) -> keras.KerasTensor:
    """Apply Basset's dense layers, which Factorized Basset shares.

    Parameters
    ----------
    x : KerasTensor, shape (batch, positions, channels)
        What the last pool returns.
    num_outputs : int
        Number of outputs.

    Returns
    -------
    KerasTensor, shape (batch, num_outputs)
    """
    x = layers.Flatten(name="flatten")(x)
    for dense in ("fc1", "fc2"):
        x = layers.Dense(BASSET_HIDDEN, activation="relu", name=dense)(x)
        x = layers.BatchNormalization(name=f"{dense}_norm")(x)
    return layers.Dense(num_outputs, name="fc3")(x)

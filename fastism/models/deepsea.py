"""DeepSEA (Zhou & Troyanskaya 2015) and its successor Beluga (Zhou et al. 2018).

DeepSEA: Nature Methods, doi:10.1038/nmeth.3547. Beluga, the chromatin model of ExPecto: Nature
Genetics, doi:10.1038/s41588-018-0160-6. Both use "valid" convolutions 8 wide.

Requirements: keras.
"""

from __future__ import annotations

import keras
from keras import layers

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import (
    BELUGA_FILTERS,
    BELUGA_HIDDEN,
    BELUGA_SHORTEST,
    DEEPSEA_FILTERS,
    DEEPSEA_HIDDEN,
    DEEPSEA_KERNEL,
    DEEPSEA_NUMCHARS,
    DEEPSEA_POOL,
    DEEPSEA_SHORTEST,
)


def _convolve(x: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
    """Apply one "valid" convolution with ReLU."""
    return layers.Conv1D(filters, DEEPSEA_KERNEL, padding="valid", activation="relu", name=name)(x)


def _read_out(x: keras.KerasTensor, hidden: int, num_outputs: int) -> keras.KerasTensor:
    """Apply dropout, Flatten, the hidden dense layer and the sigmoid outputs."""
    x = layers.Dropout(0.5, name="dropout3")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(hidden, activation="relu", name="fc1")(x)
    return layers.Dense(num_outputs, activation="sigmoid", name="fc2")(x)


def deepsea_model(
    seqlen: int = 1000, num_outputs: int = 919, name: str = "deepsea_model"
) -> keras.Model:
    """Build DeepSEA as published in 2015.

    Three convolutions (320, 480 and 960 filters) with ReLU; max pool 4 and dropout 0.2 after the
    first two, dropout 0.5 after the third; a dense layer of 925 units; sigmoid outputs.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence, at least 163.
    num_outputs : int, default 919
        Number of chromatin features.
    name : str, default "deepsea_model"
        Name of the model.

    Returns
    -------
    keras.Model
        Input ``(batch, seqlen, 4)``, output ``(batch, num_outputs)`` between 0 and 1.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.

    References
    ----------
    Zhou & Troyanskaya 2015, doi:10.1038/nmeth.3547.
    """
    seqlen = check_length("deepsea_model", seqlen, DEEPSEA_SHORTEST)
    num_outputs = check_whole("deepsea_model", "num_outputs", num_outputs)

    inputs = keras.Input((seqlen, DEEPSEA_NUMCHARS), name="sequence")
    x = inputs
    for block, filters in enumerate(DEEPSEA_FILTERS[:2], start=1):
        x = _convolve(x, filters, f"conv{block}")
        x = layers.MaxPooling1D(DEEPSEA_POOL, name=f"pool{block}")(x)
        x = layers.Dropout(0.2, name=f"dropout{block}")(x)
    x = _convolve(x, DEEPSEA_FILTERS[2], "conv3")
    outputs = _read_out(x, DEEPSEA_HIDDEN, num_outputs)
    return keras.Model(inputs, outputs, name=name)


def beluga_model(
    seqlen: int = 2000, num_outputs: int = 2002, name: str = "beluga_model"
) -> keras.Model:
    """Build Beluga as published in 2018.

    Three pairs of convolutions (320, 480 and 640 filters) with ReLU; dropout 0.2 and max pool 4
    after the first two pairs, dropout 0.5 after the third; a dense layer of 2003 units; sigmoid
    outputs.

    Parameters
    ----------
    seqlen : int, default 2000
        Length of the sequence, at least 310.
    num_outputs : int, default 2002
        Number of chromatin features.
    name : str, default "beluga_model"
        Name of the model.

    Returns
    -------
    keras.Model
        Input ``(batch, seqlen, 4)``, output ``(batch, num_outputs)`` between 0 and 1.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.

    References
    ----------
    Zhou et al. 2018, doi:10.1038/s41588-018-0160-6.
    """
    seqlen = check_length("beluga_model", seqlen, BELUGA_SHORTEST)
    num_outputs = check_whole("beluga_model", "num_outputs", num_outputs)

    inputs = keras.Input((seqlen, DEEPSEA_NUMCHARS), name="sequence")
    x = inputs
    for block, filters in enumerate(BELUGA_FILTERS[:2], start=1):
        x = _convolve(x, filters, f"conv{block}a")
        x = _convolve(x, filters, f"conv{block}b")
        x = layers.Dropout(0.2, name=f"dropout{block}")(x)
        x = layers.MaxPooling1D(DEEPSEA_POOL, name=f"pool{block}")(x)
    x = _convolve(x, BELUGA_FILTERS[2], "conv3a")
    x = _convolve(x, BELUGA_FILTERS[2], "conv3b")
    outputs = _read_out(x, BELUGA_HIDDEN, num_outputs)
    return keras.Model(inputs, outputs, name=name)

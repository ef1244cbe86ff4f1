"""Factorized Basset: Basset with its wide convolutions replaced by stacks of narrow ones.

The architecture of Wnuk et al. 2019 ("Predicting DNA accessibility in the pan-cancer tumor genome
using RNA-seq, WGS, and deep learning"), in the form that Nair et al. 2022 benchmarked.

Requirements: keras.
"""

from __future__ import annotations

import keras
from keras import layers

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import BASSET_SHORTEST, FACTORIZED_BASSET_BLOCKS
from fastism.models.basset import dense_part


def factorized_basset_model(
    seqlen: int = 1000,
    numchars: int = 4,
    num_outputs: int = 1,
    name: str = "factorized_basset_model",
) -> keras.Model:
    """Build Factorized Basset as benchmarked by Nair et al. 2022.

    Nine convolutions ("same"), each followed by batch norm and ReLU, in three blocks that end in a
    max pool; then the dense layers of Basset.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence, at least 48.
    numchars : int, default 4
        Number of characters.
    num_outputs : int, default 1
        Number of outputs. No activation is applied to them.
    name : str, default "factorized_basset_model"
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
    Wnuk et al. 2019; Nair et al. 2022, doi:10.1093/bioinformatics/btac135.
    """
    seqlen = check_length("factorized_basset_model", seqlen, BASSET_SHORTEST)
    numchars = check_whole("factorized_basset_model", "numchars", numchars)
    num_outputs = check_whole("factorized_basset_model", "num_outputs", num_outputs)

    inputs = keras.Input((seqlen, numchars), name="sequence")
    x = inputs
    for block, (convolutions, pool) in enumerate(FACTORIZED_BASSET_BLOCKS, start=1):
        for conv, filters, width in convolutions:
            x = layers.Conv1D(filters, width, padding="same", name=conv)(x)
            x = layers.BatchNormalization(name=f"{conv}_norm")(x)
            x = layers.ReLU(name=f"{conv}_relu")(x)
        x = layers.MaxPooling1D(pool, name=f"pool{block}")(x)
    return keras.Model(inputs, dense_part(x, num_outputs), name=name)

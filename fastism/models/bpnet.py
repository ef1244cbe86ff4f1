"""BPNet (Avsec et al. 2021, Nature Genetics, doi:10.1038/s41588-021-00782-6).

Requirements: keras.
"""

from __future__ import annotations

import keras
from keras import layers

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import BPNET_FILTERS, BPNET_WIDTH


def bpnet_model(
    seqlen: int = 1000,
    numchars: int = 4,
    num_dilated_convs: int = 9,
    num_tasks: int = 1,
    name: str = "bpnet_model",
) -> keras.Model:
    """Build BPNet as benchmarked by Nair et al. 2022.

    A convolution, then a tower of residual dilated convolutions (dilation 1, 2, 4, ...), all 64
    wide, "same" and with ReLU. Per task there are two heads: the profile, a transposed convolution
    25 wide, and the counts, a dense unit on the average over positions.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence.
    numchars : int, default 4
        Number of characters.
    num_dilated_convs : int, default 9
        Number of residual layers; zero is allowed.
    num_tasks : int, default 1
        Number of tasks, each with a profile and a counts output.
    name : str, default "bpnet_model"
        Name of the model.

    Returns
    -------
    keras.Model
        Input ``(batch, seqlen, numchars)``. A list of ``2 * num_tasks`` outputs, task by task: the
        profile
        ``(batch, seqlen)``, then the counts ``(batch, 1)``.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.

    References
    ----------
    Avsec et al. 2021, doi:10.1038/s41588-021-00782-6.
    """
    seqlen = check_length("bpnet_model", seqlen, 1)
    numchars = check_whole("bpnet_model", "numchars", numchars)
    num_dilated_convs = check_whole("bpnet_model", "num_dilated_convs", num_dilated_convs, least=0)
    num_tasks = check_whole("bpnet_model", "num_tasks", num_tasks)

    inputs = keras.Input((seqlen, numchars), name="sequence")
    x = layers.Conv1D(BPNET_FILTERS, BPNET_WIDTH, padding="same", activation="relu", name="conv")(
        inputs
    )
    for index in range(num_dilated_convs):
        rate = 2**index
        branch = layers.Conv1D(
            BPNET_FILTERS,
            3,
            padding="same",
            dilation_rate=rate,
            activation="relu",
            name=f"dilated{index + 1}",
        )(x)
        x = layers.Add(name=f"residual{index + 1}")([branch, x])

    outputs = []
    for task in range(1, num_tasks + 1):
        profile = layers.Conv1DTranspose(
            1, BPNET_WIDTH, padding="same", name=f"task{task}_profile_conv"
        )(x)
        outputs.append(layers.Flatten(name=f"task{task}_profile")(profile))
        average = layers.GlobalAveragePooling1D(name=f"task{task}_average")(x)
        outputs.append(layers.Dense(1, name=f"task{task}_counts")(average))
    return keras.Model(inputs, outputs, name=name)

"""What the models that methods are given do not tell of their inputs.

Requirements: numpy.
"""

from __future__ import annotations

import numpy as np


def input_shape(kind: str, sequences: np.ndarray) -> tuple[int, int] | None:
    """The ``input_shape=`` of `fastism.FastISM` and `fastism.NaiveISM` for a kind of model.

    Parameters
    ----------
    kind : {"keras", "torch"}
        A Keras model knows the shapes of its inputs; its twin as a PyTorch module does not.
    sequences : ndarray, shape (sequences, length, characters)

    Returns
    -------
    (characters, length), or None for Keras models
    """
    _, length, characters = sequences.shape
    return (characters, length) if kind == "torch" else None

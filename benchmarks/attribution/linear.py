"""The check of methods that use one gradient: on a linear model they must equal exact ISM.

Requirements: numpy, fastism; keras, imported when it is used.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution

#: Largest difference on a linear model, relative to the largest effect; single precision.
TOLERANCE = 1e-4


def linear_model(length: int, characters: int, outputs: int = 2, seed: int = 0) -> Any:
    """A Keras model of a convolution and a dense layer, without any activation.

    Parameters
    ----------
    length, characters : int
        Of the sequence.
    outputs : int, default 2
        Number of outputs.
    seed : int, default 0
        Determines the weights.

    Returns
    -------
    keras.Model
        Input ``(batch, length, characters)``, output ``(batch, outputs)``.
    """
    import keras
    from keras import layers

    def drawn() -> Any:
        nonlocal seed
        seed += 1
        return keras.initializers.RandomNormal(seed=seed)

    inputs = keras.Input((length, characters))
    x = layers.Conv1D(4, 5, padding="same", kernel_initializer=drawn(), name="conv")(inputs)
    x = layers.Flatten()(x)
    x = layers.Dense(outputs, kernel_initializer=drawn(), name="fc")(x)
    return keras.Model(inputs, x)


def finite(result: Attribution) -> bool:
    """Whether all attributions are finite numbers."""
    return all(np.isfinite(values).all() for values in result.values)


def alternatives_effect(model: Any, sequences: np.ndarray) -> np.ndarray:
    """Exact ISM as a difference, ``(sequences, length, characters, outputs)``."""
    from fastism import FastISM

    return FastISM(model, test_correctness=False).saturate(sequences).delta()


def removal_effect(model: Any, sequences: np.ndarray) -> list[np.ndarray]:
    """What is lost when a position is replaced by zeros, exactly.

    Returns
    -------
    list of ndarray, shape (sequences, length, *output)
        Per output tensor: the output minus that of the mutant.
    """
    from fastism import FastISM

    ism = FastISM(model, test_correctness=False)
    mutants = ism(sequences, 0)
    outputs = ism.saturate(sequences, positions=[0]).reference
    listed = [mutants] if isinstance(mutants, np.ndarray) else mutants
    references = [outputs] if isinstance(outputs, np.ndarray) else outputs
    return [r[:, None] - m for r, m in zip(references, listed, strict=True)]

"""A Keras model on TensorFlow, compiled: its outputs, and their gradients.

Requirements: tensorflow and keras with TensorFlow as its backend, imported when a model is given.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.attribution.explained import Explained


class TensorFlowModel:
    """Scalar outputs of a model and their gradients with respect to the input.

    Compiled in graph mode, once per output tensor, for every batch size; which element of the
    tensor is an argument. Of a model with several output tensors only what leads to the one in
    question is run.

    Parameters
    ----------
    model : keras.Model
        One input, ``(length, characters)``.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._parts: dict[int, tuple[Any, Any]] = {}

    def outputs(self, x: np.ndarray, entry: Explained) -> np.ndarray:
        """One scalar output.

        Parameters
        ----------
        x : ndarray, float32, shape (batch, length, characters)
        entry : Explained

        Returns
        -------
        ndarray, shape (batch,)
        """
        return self._part(entry.output)[0](x, entry.element).numpy()

    def gradient(self, x: np.ndarray, entry: Explained) -> np.ndarray:
        """Gradient of one scalar output, of the shape of `x`."""
        return self._part(entry.output)[1](x, entry.element).numpy()

    def gradients(self, x: np.ndarray, entry: Explained, size: int) -> np.ndarray:
        """As `gradient`, at most `size` inputs at a time."""
        parts = [self.gradient(x[i : i + size], entry) for i in range(0, len(x), size)]
        return parts[0] if len(parts) == 1 else np.concatenate(parts)

    def _part(self, output: int) -> tuple[Any, Any]:
        if output not in self._parts:
            self._parts[output] = self._compiled(output)
        return self._parts[output]

    def _compiled(self, output: int) -> tuple[Any, Any]:
        import keras
        import tensorflow as tf

        from fastism.backends.traced import trace

        part = keras.Model(self._model.inputs, self._model.outputs[output])
        shape = self._model.inputs[0].shape[1:]
        signature = [tf.TensorSpec((None, *shape), "float32"), tf.TensorSpec((), "int32")]

        def value(x: tf.Tensor, element: tf.Tensor) -> tf.Tensor:
            y = part(x, training=False)
            return tf.reshape(y, (tf.shape(y)[0], -1))[:, element]

        def gradient(x: tf.Tensor, element: tf.Tensor) -> tf.Tensor:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(x)
                y = value(x, element)
            return tape.gradient(y, x)

        return trace(value, signature), trace(gradient, signature)

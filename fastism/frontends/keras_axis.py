"""Keras models whose sequence has a further axis of size one, as models of a plain sequence.

Requirements: keras. Models of images were taken for sequences: (length, letters, 1), (1, length,
letters) or (length, 1, letters).
"""

from __future__ import annotations

import keras

Shape = tuple[int | None, ...]


def single_axis(shape: Shape) -> int | None:
    """The axis of size one beside length and letters; None where there is no such axis.

    Parameters
    ----------
    shape : tuple of (int or None)
        Of the sequence, without the batch axis.
    """
    single = [axis for axis, n in enumerate(shape) if n == 1]
    return single[0] if len(shape) == 3 and len(single) == 1 and None not in shape else None


def without_axis(model: keras.Model, inputs: list[keras.KerasTensor], sequence: int) -> keras.Model:
    """The model of sequences ``(length, letters)``, which adds the axis by itself.

    Parameters
    ----------
    model : keras.Model
        Its sequence has a `single_axis`.
    inputs : list of KerasTensor
        The model's inputs.
    sequence : int
        Which of them is the sequence.
    """
    shapes = [tuple(x.shape[1:]) for x in inputs]
    axis = single_axis(shapes[sequence])
    plain = list(shapes)
    plain[sequence] = tuple(n for i, n in enumerate(shapes[sequence]) if i != axis)
    given = [
        keras.Input(shape, dtype=x.dtype, name=x.name)
        for shape, x in zip(plain, inputs, strict=True)
    ]
    made = list(given)
    made[sequence] = keras.layers.Reshape(shapes[sequence])(given[sequence])
    outputs = model(keras.tree.pack_sequence_as(model.input, made))
    return keras.Model(given if len(given) > 1 else given[0], outputs, name=model.name)

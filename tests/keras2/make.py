"""Makes the files beside it with Keras 2: python tests/keras2/make.py

Requirements: tensorflow and tf_keras (2.21 made the files), which the tests do not need.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras as keras

layers = keras.layers
HERE = Path(__file__).parent


def stem(x, name):
    """Two outputs of a small dilated model."""
    y = layers.Conv1D(3, 5, activation="relu", name=f"{name}_first")(x)
    z = layers.Conv1D(3, 3, dilation_rate=2, activation="relu", name=f"{name}_dilated")(y)
    y = layers.add([layers.Cropping1D(2, name=f"{name}_crop")(y), z])
    profile = layers.Flatten(name=f"{name}_profile")(layers.Conv1D(1, 5, name=f"{name}_last")(y))
    return profile, layers.Dense(1, name=f"{name}_count")(layers.GlobalAveragePooling1D()(y))


def nested():
    """Two models in one, as of a model with a bias beside it."""
    x = layers.Input((40, 4), name="sequence")
    parts = [keras.Model(x, list(stem(x, name)), name=name)(x) for name in ("signal", "bias")]
    return keras.Model(x, [layers.Add()(list(pair)) for pair in zip(*parts, strict=True)])


def operations():
    """Operations of TensorFlow on tensors, which became layers."""
    x = layers.Input((40, 4))
    y = layers.Conv1D(3, 5, padding="same")(x)
    y = tf.nn.relu(y) + y
    return keras.Model(x, layers.Dense(1)(layers.GlobalMaxPooling1D()(tf.math.sigmoid(y))))


def settings():
    """Layers with settings that Keras 3 does not have."""
    x = layers.Input((40, 4))
    y = layers.MaxPooling1D(2)(layers.Conv1D(3, 5, padding="same", activation="relu")(x))
    y = layers.Conv1DTranspose(3, 4, strides=2, padding="same")(y)
    y = layers.BatchNormalization()(layers.SeparableConv1D(3, 5, padding="same")(y))
    return keras.Model(x, layers.Dense(1)(layers.GlobalMaxPooling1D()(layers.LeakyReLU(0.1)(y))))


def main():
    """Save each with what it gives for three random sequences."""
    keras.utils.set_random_seed(1)
    x = np.eye(4, dtype="f4")[np.random.default_rng(0).integers(4, size=(3, 40))]
    for make in (nested, operations, settings):
        model = make()
        model.save(HERE / f"{make.__name__}.h5", include_optimizer=False)
        made = model.predict(x, verbose=0)
        outputs = made if isinstance(made, list) else [made]
        named = {f"y{number}": y for number, y in enumerate(outputs)}
        np.savez_compressed(HERE / f"{make.__name__}.npz", x=x, **named)


if __name__ == "__main__":
    main()

"""Time the published fastISM. Runs in its environment, not in ours.

Requirements: numpy, tensorflow 2.15 with its Keras, fastism 0.5.
"""

import numpy as np
from script_common import Runner, main
from tensorflow import keras
from tensorflow.keras import layers

import fastism
from fastism.models.basset import basset_model
from fastism.models.bpnet import bpnet_model
from fastism.models.factorized_basset import factorized_basset_model

#: Lists: it compares what it is given with zero, which an array does not allow.
CHARACTERS = np.eye(4).tolist()
#: So many of the characters are timed.
TIMED = 1


def _valid(blocks, hidden, outputs, length):
    """DeepSEA and Beluga, which the package is published without."""
    inputs = keras.Input((length, 4))
    x = inputs
    for number, filters in enumerate(blocks):
        for count in filters:
            x = layers.Conv1D(count, 8, activation="relu")(x)
        if number < len(blocks) - 1:
            x = layers.MaxPooling1D(4)(x)
    x = layers.Flatten()(x)
    x = layers.Dense(hidden, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(outputs, activation="sigmoid")(x))


BUILDERS = {
    "basset": lambda length: basset_model(seqlen=length, numchars=4, num_outputs=1),
    "factorized_basset": lambda length: factorized_basset_model(
        seqlen=length, numchars=4, num_outputs=1
    ),
    "bpnet": lambda length: bpnet_model(seqlen=length, numchars=4, num_dilated_convs=9),
    "deepsea": lambda length: _valid([[320], [480], [960]], 925, 919, length),
    "beluga": lambda length: _valid([[320] * 2, [480] * 2, [640] * 2], 2003, 2002, length),
}


class Published(Runner):
    """One call per character: a call replaces every position by the same one.

    It runs the model once per position at which a sequence of its batch has another character. A
    sample of the characters is timed, and scaled by the runs of the model that all of them take.
    """

    alternatives = 4
    grows = False

    def __init__(self, architecture, length, weights):
        super().__init__()
        model = BUILDERS[architecture](length)
        shapes = [w.shape for w in model.get_weights()]
        if shapes == [w.shape for w in weights]:
            model.set_weights(weights)
            self.settings = {"weights": "those of the Keras model"}
        else:
            self.settings = {"weights": "its own, of another order or shape"}
        self.settings["characters_timed"] = TIMED
        self._ism = fastism.FastISM(model, test_correctness=False)

    def batch_sizes(self, number, sizes):
        """Sequences per call; more than there are is the same as all of them."""
        return sorted({min(size, number) for size in sizes})

    def scale(self, x, batch_size):
        """Runs of the model that all characters take, over those of the timed ones."""
        runs = np.zeros(len(CHARACTERS))
        for first in range(0, len(x), batch_size):
            runs += x.shape[1] - x[first : first + batch_size].all(axis=0).sum(axis=0)
        return float(runs.sum() / runs[:TIMED].sum())

    def run(self, x, batch_size):
        """Return nothing: the outputs are dropped."""
        for first in range(0, len(x), batch_size):
            for character in CHARACTERS[:TIMED]:
                found = self._ism(x[first : first + batch_size], replace_with=character)
                for output in found if isinstance(found, list) else [found]:
                    np.asarray(output)


if __name__ == "__main__":
    main(Published)

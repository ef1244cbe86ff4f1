"""Time tangermeme's saturation mutagenesis. Runs in its environment, not in ours.

Requirements: numpy, torch, tangermeme.
"""

import numpy as np
import script_torch
import torch
from script_common import Runner, main
from tangermeme.saturation_mutagenesis import saturation_mutagenesis

#: About how many mutants are run; every mutant goes through the whole model, so that a sample of
#: positions tells what all of them take.
MUTANTS = 1536


class Tangermeme(Runner):
    """Every mutant through the whole model, as tangermeme does it, at a sample of positions."""

    def __init__(self, architecture, length, weights):
        super().__init__()
        self._model = script_torch.build(architecture, length, weights)
        self._length = length
        self.settings = {"weights": "those of the Keras model"}

    def positions(self, number, length):
        """As many as give about so many mutants."""
        return min(length, max(1, -(-MUTANTS // (3 * number))))

    def run(self, x, batch_size):
        """Return nothing: the outputs of all mutants are dropped."""
        first = (self._length - self.positions(*x.shape[:2])) // 2
        saturation_mutagenesis(
            self._model,
            torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1))),
            start=first,
            end=first + self.positions(*x.shape[:2]),
            batch_size=batch_size,
            raw_outputs=True,
            device="cpu",
        )


if __name__ == "__main__":
    main(Tangermeme)

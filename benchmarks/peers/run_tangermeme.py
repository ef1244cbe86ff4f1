"""Time tangermeme's saturation mutagenesis. Runs in its environment, not in ours.

Requirements: numpy, torch, tangermeme.
"""

import numpy as np
import script_torch
import torch
from script_common import Runner, main
from tangermeme.saturation_mutagenesis import saturation_mutagenesis


class Tangermeme(Runner):
    """Saturation mutagenesis as tangermeme does it by default, all mutants of all sequences.

    Where all of a call is expected to take half a minute or more, it computes windows of the layers
    instead of whole mutants, if a trial shows that to be right and faster. So a sample of positions
    would not tell what all of them take.
    """

    def __init__(self, architecture, length, weights):
        super().__init__()
        self._model = script_torch.build(architecture, length, weights)
        self.settings = {"weights": "those of the Keras model"}

    def run(self, x, batch_size):
        """Return nothing: the outputs of all mutants are dropped."""
        saturation_mutagenesis(
            self._model,
            torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1))),
            batch_size=batch_size,
            raw_outputs=True,
            device="cpu",
        )


if __name__ == "__main__":
    main(Tangermeme)

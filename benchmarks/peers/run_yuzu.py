"""Time Yuzu. Runs in its environment, not in ours.

Requirements: numpy, torch, yuzu.
"""

import time

import numpy as np
import script_torch
import yuzu
import yuzu.models
from script_common import Refused, Runner, main
from torch import nn


class Yuzu(Runner):
    """Compressed sensing, after a precomputation that holds for all sequences of a model.

    Yuzu takes models that are a plain sequence of layers whose convolutions keep the length.
    Those that are not are replaced by the model of that name that Yuzu is published with.
    """

    def __init__(self, architecture, length, weights):
        super().__init__()
        if architecture in ("basset", "factorized_basset"):
            model = script_torch.build(architecture, length, weights, yuzu.models.Flatten)
            # It sums over the last axis of outputs with two axes per sequence.
            self._model = nn.Sequential(*model, yuzu.models.Unsqueeze(1)).eval()
            self.settings = {"weights": "those of the Keras model"}
        elif architecture in ("bpnet", "deepsea"):
            kind = {"bpnet": yuzu.models.BPNet, "deepsea": yuzu.models.DeepSEA}[architecture]
            self._model = kind(4, seq_len=length).eval()
            self.settings = {"model": f"yuzu.models.{kind.__name__}, another architecture"}
        else:
            raise Refused(
                "Yuzu takes no valid convolutions, and is published without a model of that name."
            )
        begin = time.perf_counter()
        self._known = yuzu.precompute(self._model, seq_len=length, n_choices=4, random_state=0)
        self.build_seconds = time.perf_counter() - begin

    def batch_sizes(self, number, sizes):
        """One sequence at a time, its default: it runs all mutants of one at once."""
        return [1]

    def run(self, x, batch_size):
        """Return nothing: the attributions are dropped."""
        sequences = np.ascontiguousarray(x.transpose(0, 2, 1))
        yuzu.yuzu_ism(self._model, sequences, self._known, batch_size=batch_size)


if __name__ == "__main__":
    main(Yuzu)

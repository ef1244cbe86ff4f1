"""Feature ablation of captum, on the PyTorch twin: positions replaced by zeros, one at a time.

Zeiler & Fergus 2014 (doi:10.1007/978-3-319-10590-1_53) for occlusion; Kokhlikyan et al. 2020 for
captum (doi:10.48550/arXiv.2009.07896).

Requirements: numpy, fastism; torch and captum once it is set up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.captum_method import CaptumMethod
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.identities import relative_difference
from benchmarks.attribution.linear import finite, removal_effect

#: Largest difference to exact ISM, relative to its largest effect; single precision.
TOLERANCE = 1e-2


class CaptumFeatureAblation(CaptumMethod):
    """The output minus that with a position replaced by zeros: captum's way to do ISM.

    Each position is replaced once, by zeros, where ISM replaces it by three other characters.
    One pass of the model gives all outputs; as many of them are kept as other methods explain.
    captum gives all characters of a position the same attribution.
    """

    name = "captum_feature_ablation"
    label = "feature ablation (captum)"
    every_output_at_once: ClassVar[bool] = True

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Find the best number of positions per pass."""
        super().prepare(model, sequences)
        self._ablation = self.make(self._kept)
        length = sequences.shape[1]
        self._batch = self.tune(self._time_forward, sequences, length)

    def make(self, part: Any) -> Any:
        """The `FeatureAblation` of captum."""
        from captum.attr import FeatureAblation

        return FeatureAblation(part)

    def _kept(self, x: Any) -> Any:
        """The outputs that are kept, ``(batch, outputs)``."""
        import torch

        y = self._twin(x)
        several = y if isinstance(y, (list, tuple)) else [y]
        kept = [several[t.output].flatten(1)[:, t.element] for t in self.explained]
        return torch.stack(kept, dim=1)

    def _time_forward(self, batch: np.ndarray) -> None:
        import torch

        with torch.no_grad():
            self._kept(self._tensor(batch)).cpu()

    def run(self) -> Attribution:
        """Replace every position of every sequence, for all outputs at once."""
        import torch

        length = self._x.shape[2]
        positions = torch.arange(length, device=self._x.device)[None, None]
        values = []
        for x in self._x:
            found = self._ablation.attribute(
                x[None], baselines=0, feature_mask=positions, perturbations_per_eval=self._batch
            )
            values.append(self._array(found))  # (outputs, length, characters)
        return Attribution.of(list(np.stack(values, axis=1)), np.arange(length))

    def explain(self, entry: Explained) -> np.ndarray:
        """Every output comes with every other."""
        return self.run().values[self.explained.index(entry)]

    @property
    def passes(self) -> int:
        """The positions."""
        return self._sequences.shape[1]

    @property
    def scale(self) -> float:
        """A run is the whole: one pass serves every output."""
        return 1.0

    @property
    def batch_size(self) -> int | None:
        """Positions per pass, found by timing several."""
        return self._batch

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """Outputs, how many are kept, and the replacement."""
        kept = len(self.explained)
        return {
            "outputs": self._outputs,
            "outputs_kept": kept,
            "replacement": "zeros",
            "model": "PyTorch twin",
        }

    def check(self, result: Attribution) -> Check | None:
        """What fast ISM of the Keras model finds when a position is replaced by zeros."""
        exact = removal_effect(self._model, self._sequences[:1])
        residual = 0.0 if finite(result) else float("inf")
        for entry, values in zip(self.explained, result.values, strict=True):
            expected = exact[entry.output].reshape(1, values.shape[1], -1)[..., entry.element]
            same = np.broadcast_to(expected[..., None], values[:1].shape)
            residual = max(residual, relative_difference(values[:1], same))
        return Check("exact ISM with replacement by zero", residual, TOLERANCE)

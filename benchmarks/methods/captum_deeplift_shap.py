"""DeepLIFT averaged over references, as captum implements it, on the PyTorch twin.

Lundberg & Lee 2017 (doi:10.48550/arXiv.1705.07874); Shrikumar et al. 2017 for DeepLIFT
(doi:10.48550/arXiv.1704.02685); Kokhlikyan et al. 2020 for captum (doi:10.48550/arXiv.2009.07896).

Requirements: numpy, fastism; torch and captum once it is set up.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.captum_method import CaptumMethod
from benchmarks.attribution.completeness import completeness
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.shuffle import REFERENCES, references


class CaptumDeepLiftShap(CaptumMethod):
    """Against ten dinucleotide-shuffled references per sequence, those of `deepshap`.

    Shuffling the references is not timed. captum uses the same references for all inputs of a
    call, and each sequence has references of its own, so sequences are explained one at a time.

    captum computes DeepLIFT by hooks on activations and pools. If one of these modules directly
    follows another, as a pool follows a ReLU in DeepSEA, the output of the first is the very
    tensor that the second takes as input. captum then reads the gradient for the first module
    before the hook of the second one has changed it, and attributions miss completeness by a
    quarter without any warning. Every hooked module is therefore given a copy of its input.
    """

    name = "captum_deeplift_shap"
    label = "DeepLIFT SHAP (captum)"

    def __init__(self, backend: str = "torch") -> None:
        super().__init__(backend)
        self._copies: list[Any] = []

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Shuffle the references, and keep hooked modules apart."""
        super().prepare(model, sequences)
        for handle in self._copies:
            handle.remove()
        self._copies = _copy_inputs(self._twin)
        self._references = self._tensor(references(sequences))

    def make(self, part: Any) -> Any:
        """The `DeepLiftShap` of captum."""
        from captum.attr import DeepLiftShap

        return DeepLiftShap(part)

    def explain(self, entry: Explained) -> np.ndarray:
        """A pass of one sequence and its references at a time."""
        captum, values = self._captum[entry.output], []
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that hooks are set on the activations
            for x, shuffled in zip(self._x, self._references, strict=True):
                found = captum.attribute(x[None], baselines=shuffled, target=entry.element)
                values.append(self._array(found))
        return np.concatenate(values)

    @property
    def batch_size(self) -> int | None:
        """The sequence once per reference, and the references."""
        return 2 * REFERENCES

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """Outputs and references."""
        return {**super().settings, "references": REFERENCES, "shuffle": "dinucleotides"}

    def check(self, result: Attribution) -> Check | None:
        """Attributions sum up to the output minus the mean over the references."""
        differences = []
        for entry in self.explained:
            means = [self._outputs_of(shuffled, entry).mean() for shuffled in self._references]
            differences.append(self._outputs_of(self._x, entry) - np.array(means))
        return completeness(result, differences, "the mean over the references")


def _copy_inputs(module: Any) -> list[Any]:
    """Have every submodule that captum has a rule for copy its input; returns the handles."""
    from captum.attr._core.deep_lift import SUPPORTED_NON_LINEAR

    return [
        child.register_forward_pre_hook(lambda _, inputs: (inputs[0].clone(),))
        for child in module.modules()
        if type(child) in SUPPORTED_NON_LINEAR
    ]

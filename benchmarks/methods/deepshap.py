"""DeepSHAP: DeepLIFT averaged over references, as the package shap implements it on TensorFlow.

Lundberg & Lee 2017 (doi:10.48550/arXiv.1705.07874); Shrikumar et al. 2017 for DeepLIFT
(doi:10.48550/arXiv.1704.02685).

Requirements: numpy, fastism; shap and TensorFlow once it is set up.
"""

from __future__ import annotations

import importlib
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from benchmarks.attribution.base import Attribution, Check
from benchmarks.attribution.completeness import completeness
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.per_output import PerOutputMethod
from benchmarks.attribution.shuffle import REFERENCES, references
from benchmarks.attribution.tensorflow_model import TensorFlowModel

#: Linear operations of TensorFlow that shap 0.51 has no rule for: their gradient is the rule.
LINEAR = ("Conv2DBackpropInput", "SpaceToBatchND", "BatchToSpaceND")


class DeepShap(PerOutputMethod):
    """Against ten dinucleotide-shuffled references per sequence.

    Shuffling the references is not timed, because its cost has nothing to do with the method. shap
    has no rules for transposed and dilated convolutions; it is told that they are linear, as users
    of such models have to do.
    """

    name = "deepshap"
    label = "DeepSHAP"
    packages = ("shap", "tensorflow")

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Shuffle the references, and make one explainer per explained output."""
        _teach()
        self._compiled = TensorFlowModel(model)
        self._references = references(sequences)
        # shap asks for the references of a sequence by the sequence itself, in the order of the
        # batch: of equal sequences, each has references of its own.
        self._places: dict[bytes, list[int]] = defaultdict(list)
        for place, x in enumerate(sequences):
            self._places[x.tobytes()].append(place)
        self._asked: Counter[bytes] = Counter()
        self._explainers = {entry: self._explainer(model, entry) for entry in self.explained}

    def _explainer(self, model: Any, entry: Explained) -> Any:
        import keras
        import shap

        (output,) = [model.outputs[entry.output]]
        if len(output.shape) != 2:
            output = keras.ops.reshape(output, (-1, int(np.prod(output.shape[1:]))))
        column = output[:, entry.element : entry.element + 1]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that TensorFlow is newer than 2.4
            return shap.DeepExplainer((model.inputs, column), self._references_of)

    def _references_of(self, inputs: list[np.ndarray]) -> list[np.ndarray]:
        name = inputs[0].tobytes()
        places = self._places[name]
        place = places[self._asked[name] % len(places)]
        self._asked[name] += 1
        return [self._references[place]]

    def explain(self, entry: Explained) -> np.ndarray:
        """A pass of one sequence and its references at a time, as shap works."""
        explainer = self._explainers[entry]
        self._asked.clear()
        with _restored_recording():
            # Additivity is what `check` looks at; here it would only take time.
            values = explainer.shap_values(self._sequences, check_additivity=False)
        return np.asarray(values, dtype=np.float32)[..., 0]

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
        count = len(self._sequences)
        differences = []
        for entry in self.explained:
            found = [self._compiled.outputs(x, entry).mean() for x in self._references]
            own = [self._compiled.outputs(self._sequences[i : i + 1], entry) for i in range(count)]
            differences.append(np.concatenate(own) - np.array(found))
        return completeness(result, differences, "the mean over the references")


@contextmanager
def _restored_recording() -> Iterator[None]:
    """Undo what shap leaves in TensorFlow when it fails.

    shap replaces the function by which TensorFlow records operations for gradients, and restores it
    only if no error occurs. Without this, one failure would break every later gradient of the
    process, also those of other methods.
    """
    execute = importlib.import_module("tensorflow.python.eager.execute")
    before = execute.record_gradient
    try:
        yield
    finally:
        execute.record_gradient = before


def _teach() -> None:
    """Give shap a rule for the linear operations that it has none for."""
    handlers = importlib.import_module("shap.explainers._deep.deep_tf")
    for operation in LINEAR:
        handlers.op_handlers.setdefault(operation, handlers.passthrough)

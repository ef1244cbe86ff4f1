"""What captum's methods share: the twin in PyTorch, its outputs, and the order of axes.

captum works on PyTorch modules. On a Keras model that runs on PyTorch its DeepLIFT finds none of
the modules that it has rules for and returns plain gradients without a word, so that the methods
here run on native twins of the models, with the same weights.

Requirements: numpy, fastism; torch and captum once a method is set up.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from benchmarks.attribution.base import Method, Setting
from benchmarks.attribution.explained import Explained
from benchmarks.attribution.per_output import PerOutputMethod
from benchmarks.attribution.twins import make_twin


class CaptumMethod(PerOutputMethod):
    """A method of captum, on the PyTorch twin of the Keras model, eager as captum runs it.

    Subclasses make captum's object in `make` and use it in `explain`.
    """

    packages: ClassVar[tuple[str, ...]] = ("torch", "captum")
    frameworks: ClassVar[tuple[str, ...]] = ("torch",)

    def __init__(self, backend: str = "torch") -> None:
        super().__init__(backend)
        self._model: Any = None

    @classmethod
    def variants(cls, setting: Setting) -> list[Method]:
        """One variant, on PyTorch, whatever the Keras models run on."""
        return [cls("torch")]

    def prepare(self, model: Any, sequences: np.ndarray) -> None:
        """Build the twin, once per model, and one captum object per output tensor."""
        if self._model is not model:
            self._twin, self._model = make_twin(model), model
        self._parts = {entry.output: self._part(entry.output) for entry in self.explained}
        self._captum = {output: self.make(part) for output, part in self._parts.items()}
        self._x = self._tensor(sequences)

    @abstractmethod
    def make(self, part: Any) -> Any:
        """The object of captum for a module that returns ``(batch, elements)``."""

    def _part(self, output: int) -> Any:
        from torch import Tensor, nn

        class Part(nn.Module):
            """One output tensor of a model that may have several, flattened."""

            def __init__(self, inner: nn.Module) -> None:
                super().__init__()
                self.inner = inner

            def forward(self, x: Tensor) -> Tensor:
                y = self.inner(x)
                return (y[output] if isinstance(y, (list, tuple)) else y).flatten(1)

        return Part(self._twin).eval()

    def _tensor(self, sequences: np.ndarray) -> Any:
        """``(..., length, characters)`` as a tensor ``(..., characters, length)``."""
        import torch

        device = next(self._twin.parameters()).device
        return torch.from_numpy(np.ascontiguousarray(sequences.swapaxes(-1, -2))).to(device)

    @staticmethod
    def _array(tensor: Any) -> np.ndarray:
        """A tensor ``(..., characters, length)`` as an array ``(..., length, characters)``."""
        return np.ascontiguousarray(tensor.detach().cpu().numpy().swapaxes(-1, -2))

    def _outputs_of(self, x: Any, entry: Explained, size: int = 32) -> np.ndarray:
        """One scalar output of every input, ``(batch,)``."""
        import torch

        with torch.no_grad():
            parts = [self._parts[entry.output](x[i : i + size]) for i in range(0, len(x), size)]
            return torch.cat(parts)[:, entry.element].cpu().numpy()

    def _time_gradient(self, batch: np.ndarray) -> None:
        """A gradient of a batch, to find out how large a batch should be."""
        entry = self.explained[0]
        x = self._tensor(batch).requires_grad_()
        self._parts[entry.output](x)[:, entry.element].sum().backward()
        x.grad.cpu()

    @property
    def settings(self) -> Mapping[str, int | float | str]:
        """Outputs, and what is explained in place of the Keras model."""
        return {**super().settings, "model": "PyTorch twin"}

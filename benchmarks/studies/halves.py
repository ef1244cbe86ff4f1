"""How near products of two TF32 halves come to float64, on a CPU, beside float32 and TF32.

    python -m benchmarks.studies.halves --architecture basset bpnet \
        --markdown benchmarks/records/halves.md

A factor is the sum of its upper half, rounded to the ten bits of TF32, and of the rest, rounded
to ten bits as well: ``a * b`` is about ``a_hi * b_hi + a_hi * b_lo + a_lo * b_hi`` (Ootomo and
Yokota, 2022, arXiv:2203.03341). Products of halves are exact in single precision, in which they are
added up. What is multiplied here is what fast ISM multiplies: the deltas of substitutions, layer by
layer, and the layers' weights. A GPU adds up in another order, and cuts off where a CPU rounds.

Requirements: rich; Keras with PyTorch.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.studies.of_models import ModelStudy
from benchmarks.studies.rounding import keep_bits

#: Bits of the mantissa of TF32, without the leading one.
TF32 = 10
HEADER = ("model", "bp", "products in", "rms", "rms, worst layer", "of float32's", "worst layer")
LEFT = (0, 2)

#: Multiplies ``(layer in float32, its input)`` in one way.
Way = Callable[[Any, Any], Any]


def single(layer: Any, x: Any) -> Any:
    """As the layer computes."""
    return layer(x)


def rounded(layer: Any, x: Any) -> Any:
    """Both factors in TF32."""
    return _with_weight(layer, keep_bits(layer.weight.data, TF32))(keep_bits(x, TF32))


def halves(layer: Any, x: Any) -> Any:
    """Both factors in two halves, without the product of the lower ones."""
    high, low = halved(layer.weight.data)
    x_high, x_low = halved(x)
    upper, lower = _with_weight(layer, high), _with_weight(layer, low)
    return upper(x_low) + lower(x_high) + upper(x_high)


def halved(x: Any) -> tuple[Any, Any]:
    """A tensor as the sum of two in TF32, up to the rounding of the second one."""
    high = keep_bits(x, TF32)
    return high, keep_bits(x - high, TF32)


WAYS: dict[str, Way] = {"float32": single, "two TF32 halves": halves, "TF32": rounded}


def _with_weight(layer: Any, weight: Any) -> Any:
    made = copy.deepcopy(layer)
    made.weight.data = weight
    return made


@dataclass(frozen=True, slots=True)
class Error:
    """What products of one layer are off by, over the root of the mean square of their sums.

    Attributes
    ----------
    squares : float
        Mean square of the error.
    sums : float
        Mean square of the sums in float64.
    """

    squares: float
    sums: float

    @property
    def relative(self) -> float:
        """Root of the mean square of the error over that of the sums."""
        return float(np.sqrt(self.squares / self.sums))


def errors_of(module: Any, x: np.ndarray) -> dict[str, list[Error]]:
    """Errors of every way, for each layer with products that the substitutions reach.

    Parameters
    ----------
    module : torch.nn.Module
        Takes ``(batch, characters, length)``, in float32.
    x : ndarray, float32, shape (1 + mutants, length, characters)
        The reference first.
    """
    import torch

    kinds = (torch.nn.Conv1d, torch.nn.ConvTranspose1d, torch.nn.Linear)
    found: dict[str, list[Error]] = {name: [] for name in WAYS}

    def compare(layer: Any, given: tuple[Any, ...]) -> None:
        delta = given[0][1:] - given[0][:1]
        alone = copy.deepcopy(layer)
        alone._forward_pre_hooks.clear()
        alone.bias = None
        exact = copy.deepcopy(alone).double()(delta.double())
        reached = exact != 0
        sums = exact.square().sum() / reached.sum()
        if not reached.any():
            return
        for name, way in WAYS.items():
            squares = (way(alone, delta).double() - exact).square().sum() / reached.sum()
            found[name].append(Error(float(squares), float(sums)))

    handles = [
        part.register_forward_pre_hook(compare)
        for part in module.eval().modules()
        if isinstance(part, kinds)
    ]
    given = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1)))
    try:
        with torch.inference_mode():
            module(given)
    finally:
        for handle in handles:
            handle.remove()
    return found


def rows(name: str, length: int, found: dict[str, list[Error]]) -> list[list[str]]:
    """Lines of the table, `HEADER` by `HEADER`."""
    plain = [error.relative for error in found["float32"]]

    def over_layers(errors: Sequence[float]) -> float:
        return float(np.sqrt(np.mean(np.square(errors))))

    made = []
    for way, errors in found.items():
        relative = [error.relative for error in errors]
        ratios = [r / max(p, 1e-30) for r, p in zip(relative, plain, strict=True)]
        numbers = (
            f"{over_layers(relative):.2g}",
            f"{max(relative):.2g}",
            f"{over_layers(relative) / over_layers(plain):.2g}",
            f"{max(ratios):.2g}",
        )
        made.append([name, str(length), way, *numbers])
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what products of deltas are off by in each way, as a table in Markdown."""
    study = ModelStudy(
        name="halves",
        description=main.__doc__ or "",
        positions=16,
        header=HEADER,
        left=LEFT,
        rows=lambda name, length, twin, x: rows(name, length, errors_of(twin, x)),
        head=(
            "Deltas of substitutions at {positions} positions of the first sequence of {fasta}, "
            "times the weights of each layer; imitated on the CPU"
        ),
    )
    return study.run(arguments)


if __name__ == "__main__":
    sys.exit(main())

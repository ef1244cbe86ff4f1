"""How far the effects of naive ISM change if a model computes with fewer digits, on a CPU.

    python -m benchmarks.studies.rounding --architecture basset bpnet \
        --model data/promoter_model.keras --markdown benchmarks/records/rounding.md

Requirements: rich; Keras with PyTorch.

TF32 and bfloat16 keep 10 and 7 bits of the mantissa of each factor of a product, and sum in single
precision. That is imitated here, on PyTorch twins of the models: inputs and weights of every
convolution and dense layer are rounded, and the layer computes in single precision. A processor
that computes in bfloat16 rounds what every layer gives as well: that is the module in this type.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np

from benchmarks.studies.of_models import ModelStudy
from fastism.errors import FastISMError

#: Bits of the mantissa of single precision, without the leading one.
SINGLE = 23
#: Bits of the factors, by what tables call them.
FACTORS = {"TF32 factors": 10, "bfloat16 factors": 7}
WHOLE = "bfloat16 throughout"
BATCH = 64


HEADER = (
    *("model", "bp", "rounded", "rms, sd", "largest, sd", "largest / largest effect"),
    "largest / largest output",
)
LEFT = (0, 2)


@dataclass(frozen=True, slots=True)
class Moved:
    """Differences of the effects of mutations to those in single precision.

    Attributes
    ----------
    typical, largest : float
        Root of the mean square and the largest, over the standard deviation of the effects.
    of_effect, of_output : float
        The largest over the largest effect and over the largest output.
    """

    typical: float
    largest: float
    of_effect: float
    of_output: float


def moved(exact: np.ndarray, rounded: np.ndarray) -> Moved:
    """Compare the effects of mutations.

    Parameters
    ----------
    exact, rounded : ndarray, shape (1 + mutants, *output)
        Outputs of the reference and of its mutants.

    Raises
    ------
    FastISMError
        No mutation has an effect, so that nothing can be compared with it.
    """
    effects, other = (y[1:].astype(np.float64) - y[:1] for y in (exact, rounded))
    spread = np.sqrt(np.var(effects, axis=0).mean())
    if not spread:
        raise FastISMError(
            "The effects of the mutations do not vary, so there is nothing to compare rounding "
            "with: give a model that depends on its input."
        )
    difference = np.abs(other - effects)
    largest = difference.max()
    return Moved(
        float(np.sqrt(np.square(difference).mean()) / spread),
        float(largest / spread),
        float(largest / np.abs(effects).max()),
        float(largest / np.abs(exact).max()),
    )


def keep_bits(x: Any, bits: int) -> Any:
    """Round to the nearest number with so many bits of mantissa, ties to even.

    Parameters
    ----------
    x : torch.Tensor, float32
        Finite numbers.
    bits : int
        1 to 23, those of single precision.

    Returns
    -------
    torch.Tensor, float32, of the shape of `x`
    """
    import torch

    dropped = SINGLE - bits
    if not dropped:
        return x
    pattern = x.contiguous().view(torch.int32)
    # Half of what the last kept bit stands for, less one where that bit is even: ties go to even.
    up = (1 << (dropped - 1)) - 1 + ((pattern >> dropped) & 1)
    return ((pattern + up) & -(1 << dropped)).view(torch.float32)


def with_factors(module: Any, bits: int) -> Any:
    """A copy of a module whose convolutions and dense layers round their factors.

    Parameters
    ----------
    module : torch.nn.Module
        Left as it is.
    bits : int
        As for `keep_bits`.
    """
    import torch

    module = copy.deepcopy(module)
    kinds = (torch.nn.Conv1d, torch.nn.ConvTranspose1d, torch.nn.Linear)
    for layer in module.modules():
        if isinstance(layer, kinds):
            layer.weight.data = keep_bits(layer.weight.data, bits)
            layer.register_forward_pre_hook(
                lambda _, given: (keep_bits(given[0], bits), *given[1:])
            )
    return module


def outputs_of(module: Any, x: np.ndarray) -> list[np.ndarray]:
    """Outputs of a module for inputs ``(batch, length, characters)``, in its own type.

    Returns
    -------
    list of ndarray, float32, each (batch, *output)
    """
    import torch

    given = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 2, 1)))
    given = given.to(next(module.parameters()).dtype)
    with torch.inference_mode():
        batches = [module(batch) for batch in given.split(BATCH)]
    if isinstance(batches[0], torch.Tensor):
        batches = [(y,) for y in batches]
    return [torch.cat(ys).float().numpy() for ys in zip(*batches, strict=True)]


def measure(module: Any, x: np.ndarray) -> dict[str, Moved]:
    """Every way to round, by name; of several output tensors the one that moves most.

    Parameters
    ----------
    module : torch.nn.Module
        Takes ``(batch, characters, length)``.
    x : ndarray, float32, shape (1 + mutants, length, characters)
    """
    import torch

    module = module.eval()
    ways = {name: with_factors(module, bits) for name, bits in FACTORS.items()}
    ways[WHOLE] = copy.deepcopy(module).to(torch.bfloat16)
    exact = outputs_of(module, x)
    return {
        name: max(
            (moved(a, b) for a, b in zip(exact, outputs_of(way, x), strict=True)),
            key=lambda found: found.typical,
        )
        for name, way in ways.items()
    }


def rows(name: str, length: int, found: dict[str, Moved]) -> list[list[str]]:
    """Lines of the table, `HEADER` by `HEADER`."""
    return [
        [name, str(length), way, *(f"{number:.2g}" for number in astuple(one))]
        for way, one in found.items()
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what rounding does to the effects of mutations, as a table in Markdown."""
    study = ModelStudy(
        name="rounding",
        description=main.__doc__ or "",
        positions=64,
        header=HEADER,
        left=LEFT,
        rows=lambda name, length, twin, x: rows(name, length, measure(twin, x)),
        head=(
            "Naive ISM of the first sequence of {fasta}, {positions} positions; "
            "rounding is imitated on the CPU"
        ),
    )
    return study.run(arguments)


if __name__ == "__main__":
    sys.exit(main())

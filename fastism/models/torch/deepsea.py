"""DeepSEA (Zhou & Troyanskaya 2015) and its successor Beluga (Zhou et al. 2018) in PyTorch.

DeepSEA: Nature Methods, doi:10.1038/nmeth.3547. Beluga, the chromatin model of ExPecto: Nature
Genetics, doi:10.1038/s41588-018-0160-6.

Requirements: torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from torch import Tensor, nn

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import (
    BELUGA_FILTERS,
    BELUGA_HIDDEN,
    BELUGA_SHORTEST,
    DEEPSEA_FILTERS,
    DEEPSEA_HIDDEN,
    DEEPSEA_KERNEL,
    DEEPSEA_NUMCHARS,
    DEEPSEA_POOL,
    DEEPSEA_SHORTEST,
)

Modules = OrderedDict[str, nn.Module]


class DeepSEA(nn.Sequential):
    """DeepSEA as published in 2015: three convolutions, a dense layer, sigmoid outputs.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence, at least 163.
    num_outputs : int, default 919
        Number of chromatin features.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.
    """

    def __init__(self, seqlen: int = 1000, num_outputs: int = 919) -> None:
        length = check_length("deepsea_model", seqlen, DEEPSEA_SHORTEST)
        num_outputs = check_whole("deepsea_model", "num_outputs", num_outputs)
        modules: Modules = OrderedDict()
        channels = DEEPSEA_NUMCHARS
        for block, filters in enumerate(DEEPSEA_FILTERS, start=1):
            length = _convolve(modules, [f"conv{block}"], channels, filters, length)
            if block < len(DEEPSEA_FILTERS):
                modules[f"pool{block}"] = nn.MaxPool1d(DEEPSEA_POOL)
                modules[f"dropout{block}"] = nn.Dropout(0.2)
                length //= DEEPSEA_POOL
            channels = filters
        _read_out(modules, channels * length, DEEPSEA_HIDDEN, num_outputs)
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Run the model.

        Parameters
        ----------
        x : Tensor, shape (batch, 4, seqlen)

        Returns
        -------
        Tensor, shape (batch, num_outputs)
            Between 0 and 1.
        """
        return super().forward(x)


class Beluga(nn.Sequential):
    """Beluga as published in 2018: three pairs of convolutions, a dense layer, sigmoid outputs.

    Parameters
    ----------
    seqlen : int, default 2000
        Length of the sequence, at least 310.
    num_outputs : int, default 2002
        Number of chromatin features.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.
    """

    def __init__(self, seqlen: int = 2000, num_outputs: int = 2002) -> None:
        length = check_length("beluga_model", seqlen, BELUGA_SHORTEST)
        num_outputs = check_whole("beluga_model", "num_outputs", num_outputs)
        modules: Modules = OrderedDict()
        channels = DEEPSEA_NUMCHARS
        for block, filters in enumerate(BELUGA_FILTERS, start=1):
            names = [f"conv{block}a", f"conv{block}b"]
            length = _convolve(modules, names, channels, filters, length)
            if block < len(BELUGA_FILTERS):
                modules[f"dropout{block}"] = nn.Dropout(0.2)
                modules[f"pool{block}"] = nn.MaxPool1d(DEEPSEA_POOL)
                length //= DEEPSEA_POOL
            channels = filters
        _read_out(modules, channels * length, BELUGA_HIDDEN, num_outputs)
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Run the model.

        Parameters
        ----------
        x : Tensor, shape (batch, 4, seqlen)

        Returns
        -------
        Tensor, shape (batch, num_outputs)
            Between 0 and 1.
        """
        return super().forward(x)


def deepsea_model(seqlen: int = 1000, num_outputs: int = 919) -> DeepSEA:
    """Build DeepSEA; the arguments are those of `DeepSEA`."""
    return DeepSEA(seqlen, num_outputs)


def beluga_model(seqlen: int = 2000, num_outputs: int = 2002) -> Beluga:
    """Build Beluga; the arguments are those of `Beluga`."""
    return Beluga(seqlen, num_outputs)


def _convolve(
    modules: Modules, names: Sequence[str], channels: int, filters: int, length: int
) -> int:
    """Add "valid" convolutions with ReLU; returns how many positions they leave."""
    for name in names:
        modules[name] = nn.Conv1d(channels, filters, DEEPSEA_KERNEL)
        modules[f"{name}_relu"] = nn.ReLU()
        channels, length = filters, length - DEEPSEA_KERNEL + 1
    return length


def _read_out(modules: Modules, features: int, hidden: int, num_outputs: int) -> None:
    """Add dropout, flattening, the hidden dense layer and the sigmoid outputs."""
    modules["dropout3"] = nn.Dropout(0.5)
    modules["flatten"] = nn.Flatten()
    modules["fc1"] = nn.Linear(features, hidden)
    modules["fc1_relu"] = nn.ReLU()
    modules["fc2"] = nn.Linear(hidden, num_outputs)
    modules["fc2_sigmoid"] = nn.Sigmoid()

"""Basset in PyTorch (Kelley, Snoek & Rinn 2016, Genome Research, doi:10.1101/gr.200535.115).

Requirements: torch.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import (
    BASSET_BLOCKS,
    BASSET_HIDDEN,
    BASSET_SHORTEST,
    NORM_EPSILON,
    NORM_MOMENTUM,
)


class Basset(nn.Sequential):
    """Basset: three blocks of convolution, ReLU, batch norm and max pool, then dense layers.

    Parameters
    ----------
    seqlen : int, default 1000
        Length of the sequence, at least 48.
    numchars : int, default 4
        Number of characters.
    num_outputs : int, default 1
        Number of outputs. No activation is applied to them.

    Raises
    ------
    FastISMError
        An argument is not a whole number or too small.
    """

    def __init__(self, seqlen: int = 1000, numchars: int = 4, num_outputs: int = 1) -> None:
        seqlen = check_length("basset_model", seqlen, BASSET_SHORTEST)
        channels = check_whole("basset_model", "numchars", numchars)
        num_outputs = check_whole("basset_model", "num_outputs", num_outputs)
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        for block, (filters, width, pool) in enumerate(BASSET_BLOCKS, start=1):
            conv = f"conv{block}"
            modules[conv] = nn.Conv1d(channels, filters, width, padding="same")
            modules[f"{conv}_relu"] = nn.ReLU()
            modules[f"{conv}_norm"] = batch_norm(filters)
            modules[f"pool{block}"] = nn.MaxPool1d(pool)
            channels, seqlen = filters, seqlen // pool
        modules |= dense_part(channels * seqlen, num_outputs)
        super().__init__(modules)

    def forward(self, x: Tensor) -> Tensor:
        """Run the model.

        Parameters
        ----------
        x : Tensor, shape (batch, numchars, seqlen)

        Returns
        -------
        Tensor, shape (batch, num_outputs)
        """
        return super().forward(x)


def basset_model(seqlen: int = 1000, numchars: int = 4, num_outputs: int = 1) -> Basset:
    """Build Basset as benchmarked by Nair et al. 2022; the arguments are those of `Basset`."""
    return Basset(seqlen, numchars, num_outputs)


def batch_norm(channels: int) -> nn.BatchNorm1d:
    """A batch norm with the constants of Keras, whose momentum is one minus that of PyTorch."""
    return nn.BatchNorm1d(channels, eps=NORM_EPSILON, momentum=1 - NORM_MOMENTUM)


def dense_part(features: int, num_outputs: int) -> OrderedDict[str, nn.Module]:
    """Basset's dense layers, which Factorized Basset shares, in the order they are run.

    Parameters
    ----------
    features : int
        Channels times positions of what the last pool returns.
    num_outputs : int
        Number of outputs.
    """
    modules: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for dense in ("fc1", "fc2"):
        modules[dense] = nn.Linear(features, BASSET_HIDDEN)
        modules[f"{dense}_relu"] = nn.ReLU()
        modules[f"{dense}_norm"] = batch_norm(BASSET_HIDDEN)
        features = BASSET_HIDDEN
    modules["fc3"] = nn.Linear(features, num_outputs)
    return modules

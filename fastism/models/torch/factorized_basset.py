"""Factorized Basset in PyTorch: Basset with its wide convolutions replaced by narrow ones.

The architecture of Wnuk et al. 2019 ("Predicting DNA accessibility in the pan-cancer tumor genome
using RNA-seq, WGS, and deep learning"), in the form that Nair et al. 2022
(doi:10.1093/bioinformatics/btac135) benchmarked.

Requirements: torch.
"""

from __future__ import annotations

from collections import OrderedDict

from torch import Tensor, nn

from fastism.models._arguments import check_length, check_whole
from fastism.models._sizes import BASSET_SHORTEST, FACTORIZED_BASSET_BLOCKS
from fastism.models.torch.basset import batch_norm, dense_part


class FactorizedBasset(nn.Sequential):
    """Nine convolutions, each with batch norm and ReLU, in three blocks; then dense layers.

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
        seqlen = check_length("factorized_basset_model", seqlen, BASSET_SHORTEST)
        channels = check_whole("factorized_basset_model", "numchars", numchars)
        num_outputs = check_whole("factorized_basset_model", "num_outputs", num_outputs)
        modules: OrderedDict[str, nn.Module] = OrderedDict()
        for block, (convolutions, pool) in enumerate(FACTORIZED_BASSET_BLOCKS, start=1):
            for conv, filters, width in convolutions:
                modules[conv] = nn.Conv1d(channels, filters, width, padding="same")
                modules[f"{conv}_norm"] = batch_norm(filters)
                modules[f"{conv}_relu"] = nn.ReLU()
                channels = filters
            modules[f"pool{block}"] = nn.MaxPool1d(pool)
            seqlen //= pool
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


def factorized_basset_model(
    seqlen: int = 1000, numchars: int = 4, num_outputs: int = 1
) -> FactorizedBasset:
    """Build Factorized Basset; the arguments are those of `FactorizedBasset`."""
    return FactorizedBasset(seqlen, numchars, num_outputs)

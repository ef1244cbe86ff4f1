"""Exact in-silico saturation mutagenesis, an order of magnitude faster.

`FastISM` follows single changes through a convolutional sequence model by delta propagation;
`NaiveISM` runs every mutant through the whole model and is its baseline and oracle. The method
extends fastISM (Nair et al. 2022, doi:10.1093/bioinformatics/btac135).
"""

from fastism.calls.result import Saturation
from fastism.errors import FastISMError
from fastism.frontends.registered import register, see_through
from fastism.ism import FastISM
from fastism.naive_ism import NaiveISM

__version__ = "0.6.0"
__all__ = [
    "FastISM",
    "FastISMError",
    "NaiveISM",
    "Saturation",
    "__version__",
    "register",
    "see_through",
]

"""Exact in-silico saturation mutagenesis, an order of magnitude faster.

`FastISM` follows single changes through a convolutional sequence model by delta propagation;
`NaiveISM` runs every mutant through the whole model and is its baseline and oracle. The method
extends fastISM (Nair et al. 2022, doi:10.1093/bioinformatics/btac135).
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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
#: Where the public names are. They are imported when they are first asked for: the command handles
#: Ctrl-C before anything that takes long to import.
_HOMES = {
    "FastISM": "fastism.ism",
    "FastISMError": "fastism.errors",
    "NaiveISM": "fastism.naive_ism",
    "Saturation": "fastism.calls.result",
    "register": "fastism.frontends.registered",
    "see_through": "fastism.frontends.registered",
}


def __getattr__(name: str) -> Any:
    """A public name, or a module of the package."""
    if name in _HOMES:
        value = globals()[name] = getattr(import_module(_HOMES[name]), name)
        return value
    if not name.startswith("_"):
        try:
            return import_module(f"{__name__}.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"{__name__}.{name}":
                raise
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

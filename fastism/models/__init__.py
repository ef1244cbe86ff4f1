"""The architectures of the paper and of the DeepSEA line, one file each.

The builders named here return untrained functional Keras 3 models that take one-hot sequences
``(batch, seqlen, characters)``; they need keras, with any of its backends, and are imported when
they are asked for. Their twins in PyTorch, which need no Keras, are in `fastism.models.torch`, and
`fastism.models.transfer` copies weights from the one to the other.

Requirements: none until a builder is asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fastism.models.basset import basset_model
    from fastism.models.bpnet import bpnet_model
    from fastism.models.deepsea import beluga_model, deepsea_model
    from fastism.models.factorized_basset import factorized_basset_model

__all__ = [
    "basset_model",
    "beluga_model",
    "bpnet_model",
    "deepsea_model",
    "factorized_basset_model",
]

#: Where each builder is.
_MODULES = {
    "basset_model": "basset",
    "beluga_model": "deepsea",
    "bpnet_model": "bpnet",
    "deepsea_model": "deepsea",
    "factorized_basset_model": "factorized_basset",
}


def __getattr__(name: str) -> Any:
    """Import a builder, and with it Keras, when it is asked for."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)

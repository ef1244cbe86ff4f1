"""The architectures of the paper and of the DeepSEA line, as Keras 3 models, one file each.

Requirements: keras (with any of its backends). The builders return untrained functional models that
take one-hot sequences ``(batch, seqlen, characters)``.
"""

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

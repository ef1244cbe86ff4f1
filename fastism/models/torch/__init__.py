"""The architectures as PyTorch modules: twins of the Keras models, with the same builders.

Requirements: torch. Neither Keras nor TensorFlow.

Modules take one-hot sequences ``(batch, characters, seqlen)``, as PyTorch's convolutions do, and
flatten ``(channels, positions)`` in that order; otherwise they are what the Keras models of the
same name are, and their submodules are called as the layers there. `fastism.models.transfer`
copies weights between the two and puts the inputs of the first dense layer in order.

Every activation and every pool is a module of its own that is used once, as attribution by hooks
(captum's DeepLIFT) needs it.
"""

from fastism.models.torch.basset import Basset, basset_model
from fastism.models.torch.bpnet import BPNet, bpnet_model
from fastism.models.torch.deepsea import Beluga, DeepSEA, beluga_model, deepsea_model
from fastism.models.torch.factorized_basset import FactorizedBasset, factorized_basset_model

__all__ = [
    "BPNet",
    "Basset",
    "Beluga",
    "DeepSEA",
    "FactorizedBasset",
    "basset_model",
    "beluga_model",
    "bpnet_model",
    "deepsea_model",
    "factorized_basset_model",
]

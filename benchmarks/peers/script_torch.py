"""The benchmarked architectures in PyTorch, with the weights of the Keras models.

Runs in the environments of the peers and imports nothing of this repository.

Requirements: numpy, torch.
"""

import numpy as np
import torch
from torch import nn

BASSET = [
    *(("conv", 300, 19), ("relu",), ("norm",), ("pool", 3)),
    *(("conv", 200, 11), ("relu",), ("norm",), ("pool", 4)),
    *(("conv", 200, 7), ("relu",), ("norm",), ("pool", 4)),
]
DENSE = [
    ("flatten",),
    *(("dense", 1000), ("relu",), ("norm",)),
    *(("dense", 1000), ("relu",), ("norm",)),
    ("dense", 1),
]
FACTORIZED = [
    *(
        layer
        for filters, width in ((48, 3), (64, 3), (100, 3), (150, 7), (300, 7))
        for layer in (("conv", filters, width), ("norm",), ("relu",))
    ),
    ("pool", 3),
    *(
        layer
        for filters, width in ((200, 7), (200, 3), (200, 3))
        for layer in (("conv", filters, width), ("norm",), ("relu",))
    ),
    ("pool", 4),
    *(("conv", 200, 7), ("norm",), ("relu",), ("pool", 4)),
]
DEEPSEA = [
    *(("valid", 320, 8), ("relu",), ("pool", 4)),
    *(("valid", 480, 8), ("relu",), ("pool", 4)),
    *(("valid", 960, 8), ("relu",), ("flatten",)),
    *(("dense", 925), ("relu",), ("dense", 919), ("sigmoid",)),
]
BELUGA = [
    *(("valid", 320, 8), ("relu",), ("valid", 320, 8), ("relu",), ("pool", 4)),
    *(("valid", 480, 8), ("relu",), ("valid", 480, 8), ("relu",), ("pool", 4)),
    *(("valid", 640, 8), ("relu",), ("valid", 640, 8), ("relu",), ("flatten",)),
    *(("dense", 2003), ("relu",), ("dense", 2002), ("sigmoid",)),
]
SEQUENTIAL = {
    "basset": BASSET + DENSE,
    "factorized_basset": FACTORIZED + DENSE,
    "deepsea": DEEPSEA,
    "beluga": BELUGA,
}
KERAS_EPSILON = 1e-3


class Flatten(nn.Module):
    """Position by position, as Keras does it."""

    def forward(self, x):
        """From ``(batch, channels, positions)`` to ``(batch, features)``."""
        return x.permute(0, 2, 1).reshape(x.shape[0], -1)


class BPNet(nn.Module):
    """Both outputs of BPNet side by side, ``(batch, length + 1)``."""

    def __init__(self, layers=9, filters=64):
        super().__init__()
        self.conv = nn.Conv1d(4, filters, 25, padding=12)
        self.dilated = nn.ModuleList(
            nn.Conv1d(filters, filters, 3, padding=2**i, dilation=2**i) for i in range(layers)
        )
        self.profile = nn.ConvTranspose1d(filters, 1, 25, padding=12)
        self.counts = nn.Linear(filters, 1)

    def forward(self, x):
        """From ``(batch, 4, length)``."""
        x = torch.relu(self.conv(x))
        for conv in self.dilated:
            x = x + torch.relu(conv(x))
        return torch.cat([self.profile(x)[:, 0], self.counts(x.mean(2))], dim=1)


def build(architecture, length, weights, flatten=Flatten):
    """Build a model in evaluation mode.

    Parameters
    ----------
    architecture : str
    length : int
    weights : list of ndarray
        As the Keras model lists them.
    flatten : class
        What to flatten with; some peers recognise only their own.

    Returns
    -------
    torch.nn.Module
        From ``(batch, 4, length)``. Unknown architectures raise KeyError.
    """
    if architecture == "bpnet":
        model = BPNet()
        loaded = [model.conv, *model.dilated, model.profile, model.counts]
    else:
        modules = _modules(SEQUENTIAL[architecture], length, flatten)
        model = nn.Sequential(*modules)
        loaded = [m for m in modules if isinstance(m, (nn.Conv1d, nn.Linear, nn.BatchNorm1d))]
    given = iter(weights)
    with torch.no_grad():
        for module in loaded:
            _load(module, given)
    if list(given):
        raise ValueError("The Keras model has more weights than the PyTorch model.")
    return model.eval()


def _modules(layers, length, flatten):
    channels, found, flat = 4, [], False
    for kind, *numbers in layers:
        if kind in ("conv", "valid"):
            padding = numbers[1] // 2 if kind == "conv" else 0
            found.append(nn.Conv1d(channels, *numbers, padding=padding))
            channels, length = numbers[0], length + 2 * padding - numbers[1] + 1
        elif kind == "pool":
            found.append(nn.MaxPool1d(*numbers))
            length //= numbers[0]
        elif kind == "norm":
            found.append(nn.BatchNorm1d(channels, eps=KERAS_EPSILON))
        elif kind == "flatten":
            found.append(flatten())
            channels, flat = channels * length, True
        elif kind == "dense":
            if not flat:
                raise ValueError("A dense layer needs a flat input.")
            found.append(nn.Linear(channels, *numbers))
            channels = numbers[0]
        else:
            found.append({"relu": nn.ReLU, "sigmoid": nn.Sigmoid}[kind]())
    return found


def _load(module, weights):
    if isinstance(module, nn.BatchNorm1d):
        for target in (module.weight, module.bias, module.running_mean, module.running_var):
            _copy(target, next(weights))
        return
    kernel = next(weights)
    if isinstance(module, nn.ConvTranspose1d):
        kernel = kernel.transpose(2, 1, 0)  # (width, out, in) to (in, out, width)
    elif isinstance(module, nn.Conv1d):
        kernel = kernel.transpose(2, 1, 0)  # (width, in, out) to (out, in, width)
    else:
        kernel = kernel.T
    _copy(module.weight, kernel)
    _copy(module.bias, next(weights))


def _copy(target, values):
    if tuple(target.shape) != values.shape:
        raise ValueError(f"A weight has shape {values.shape}; expected {tuple(target.shape)}.")
    target.copy_(torch.from_numpy(np.ascontiguousarray(values)))

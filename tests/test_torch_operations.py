"""Every operation that the front end for PyTorch promises to recognise: not opaque, and exact."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from fastism import FastISM  # noqa: E402
from fastism.rules import Opaque  # noqa: E402

pytestmark = pytest.mark.torch
LENGTH, WIDTH = 24, 6
POSITIONS = [0, 1, 11, 22, 23]


class Between(nn.Module):
    """A convolution to six channels, then what is tested with layers of its own."""

    def __init__(self, function, *layers: nn.Module) -> None:
        super().__init__()
        self.function, self.layers = function, nn.ModuleList(layers)
        self.stem = nn.Conv1d(4, WIDTH, 3, padding=1)

    def forward(self, x):
        return self.function(*self.layers, self.stem(x))


def layer(made: nn.Module):
    """A case that is one layer."""
    return lambda inner, x: inner(x), made


def over_channels(made: nn.Module):
    """A case that is a layer on channels last."""
    return lambda inner, x: inner(x.transpose(1, 2)).transpose(1, 2), made


def conv(channels: int = 5, size: int = 3, **settings):
    return layer(nn.Conv1d(WIDTH, channels, size, **settings))


def transposed(channels: int = 4, size: int = 4, **settings):
    return layer(nn.ConvTranspose1d(WIDTH, channels, size, **settings))


CASES = {
    "conv1d": conv(),
    "conv1d, stride": conv(stride=2, padding=1),
    "conv1d, dilation": conv(dilation=3, padding=3),
    "conv1d, groups": conv(6, groups=3, padding=1),
    "conv1d, depthwise": conv(6, groups=6, padding=1, bias=False),
    "conv1d, padding beyond the kernel": conv(padding=4),
    "conv1d, same": conv(size=4, padding="same", dilation=2),
    "conv1d, valid": conv(padding="valid"),
    "conv_transpose1d": transposed(),
    "conv_transpose1d, stride": transposed(stride=2, padding=1, output_padding=1),
    "conv_transpose1d, dilation": transposed(dilation=2, padding=3),
    "conv_transpose1d, groups": transposed(stride=3, groups=2),
    "batch_norm": layer(nn.BatchNorm1d(WIDTH)),
    "batch_norm, not affine": layer(nn.BatchNorm1d(WIDTH, affine=False)),
    "layer_norm over channels": over_channels(nn.LayerNorm(WIDTH)),
    "rms_norm over channels": over_channels(nn.RMSNorm(WIDTH)),
    "relu": (torch.relu,),
    "relu, in place": layer(nn.ReLU(inplace=True)),
    "relu6": (F.relu6,),
    "clamp": (lambda x: x.clamp(-0.4, 0.3),),
    "clamp, one limit": (lambda x: x.clamp(min=-0.2) - x.clamp(max=0.1),),
    "clamp, limits exchanged": (lambda x: x * torch.clamp(x, 0.5, 0.2),),
    "hardtanh": (lambda x: F.hardtanh(x, -0.3, 0.5),),
    "masked_fill": (lambda x: x.masked_fill(torch.arange(x.shape[2]) % 3 == 0, 0.5),),
    "repeat of channels": (lambda x: x.repeat(1, 3, 1),),
    "repeat of positions": (lambda x: x.repeat(1, 1, 2),),
    "gelu": (F.gelu,),
    "gelu, tanh": layer(nn.GELU(approximate="tanh")),
    "elu": (lambda x: F.elu(x, alpha=0.7),),
    "silu": (F.silu,),
    "softplus": (F.softplus,),
    "softplus, beta": layer(nn.Softplus(beta=2)),
    "sigmoid": (torch.sigmoid,),
    "tanh": (torch.tanh,),
    "exp": (torch.exp,),
    "leaky_relu": layer(nn.LeakyReLU(0.2)),
    "selu": (F.selu,),
    "mish": (F.mish,),
    "hardswish": (F.hardswish,),
    "hardsigmoid": (F.hardsigmoid,),
    "logsigmoid": (F.logsigmoid,),
    "abs": (torch.abs,),
    "square": (torch.square,),
    "pow 2": (lambda x: x**2,),
    "sqrt": (lambda x: torch.sqrt(x**2 + 1),),
    "log": (lambda x: torch.log(torch.exp(x) + 1),),
    "sin and cos": (lambda x: torch.sin(x) + torch.cos(x),),
    "softmax over channels": (lambda x: torch.softmax(x, 1),),
    "max_pool1d": layer(nn.MaxPool1d(3)),
    "max_pool1d, stride": layer(nn.MaxPool1d(3, stride=2)),
    "max_pool1d, padding": layer(nn.MaxPool1d(4, padding=2)),
    "max_pool1d, ceil_mode": layer(nn.MaxPool1d(5, stride=4, ceil_mode=True)),
    "avg_pool1d": layer(nn.AvgPool1d(3)),
    "avg_pool1d, padding": layer(nn.AvgPool1d(4, stride=2, padding=2)),
    "avg_pool1d, padding not counted": layer(nn.AvgPool1d(4, padding=2, count_include_pad=False)),
    "avg_pool1d, ceil_mode": layer(nn.AvgPool1d(5, stride=4, ceil_mode=True)),
    "adaptive_avg_pool1d to 1": layer(nn.AdaptiveAvgPool1d(1)),
    "adaptive_max_pool1d to 1": layer(nn.AdaptiveMaxPool1d(1)),
    "mean over length": (lambda x: x.mean(-1),),
    "mean over length, kept": (lambda x: x.mean(dim=2, keepdim=True),),
    "sum over length": (lambda x: x.sum(-1),),
    "max over length": (lambda x: x.amax(-1),),
    "max over length, with indices": (lambda x: x.max(-1).values,),
    "flatten and linear": (lambda fc, x: fc(x.flatten(1)), nn.Linear(WIDTH * LENGTH, 3)),
    "view and linear": (lambda fc, x: fc(x.view(x.size(0), -1)), nn.Linear(WIDTH * LENGTH, 3)),
    "linear on the last axis": (lambda fc, x: fc(x.transpose(1, 2)), nn.Linear(WIDTH, 3)),
    "linear on vectors": (lambda fc, x: fc(x.mean(-1)), nn.Linear(WIDTH, 3)),
    "add": (lambda x: x + torch.tanh(x),),
    "add, a channel's constant": (lambda x: x + torch.arange(6.0)[:, None],),
    "add with alpha": (lambda x: torch.add(x, torch.relu(x), alpha=0.5),),
    "sub": (lambda x: torch.sigmoid(x) - x,),
    "sub from a number": (lambda x: 1 - x,),
    "mul": (lambda x: x * torch.sigmoid(x),),
    "mul by a number": (lambda x: 1.5 * x,),
    "mul by a vector of the sequence": (lambda x: x * torch.sigmoid(x.mean(-1, keepdim=True)),),
    "div": (lambda x: x / (1 + torch.exp(x)),),
    "maximum": (lambda x: torch.maximum(x, 0.5 * x),),
    "minimum": (lambda x: torch.minimum(x, 0.5 * x),),
    "cat of channels": (lambda x: torch.cat([x, torch.relu(x)], 1),),
    "crop": (lambda x: x[:, :, 3:-4],),
    "crop by narrow": (lambda x: x.narrow(2, 3, 12),),
    "crop by negative pad": (lambda x: F.pad(x, (-2, -3)),),
    "every second position": (lambda x: x[..., ::2],),
    "some channels": (lambda x: x[:, 2:5],),
    "one position": (lambda x: x[:, :, 11],),
    "pad": (lambda x: F.pad(x, (2, 3)),),
    "dropout": layer(nn.Dropout(0.5)),
    "dropout of channels": layer(nn.Dropout1d(0.5)),
    "squeeze and unsqueeze": (lambda x: torch.relu(x.unsqueeze(2)).squeeze(2),),
    "unsqueeze at the end": (lambda x: x.unsqueeze(-1).squeeze(-1) + x.unsqueeze(1).squeeze(1),),
    "permuted and back": (lambda x: torch.relu(x.permute(0, 2, 1)).permute(0, 2, 1),),
    "conv2d of height one": (
        lambda inner, x: inner(x.unsqueeze(2)).squeeze(2),
        nn.Conv2d(WIDTH, 3, (1, 3), padding=(0, 1)),
    ),
    "upsample": (lambda x: F.interpolate(x, scale_factor=2, mode="nearest"),),
    "reverse complements through one module": (
        lambda inner, x: (inner(x) + inner(x.flip([1, 2])).flip(-1)) / 2,
        nn.Sequential(nn.Conv1d(WIDTH, 3, 3, padding=1), nn.ReLU()),
    ),
}


def made(case: str) -> nn.Module:
    function, *layers = CASES[case]
    module = Between(function, *layers).eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for x in module.parameters():
            x.copy_(torch.randn(x.shape, generator=generator) * 0.5)
        for x in module.buffers():
            if x.is_floating_point():
                x.uniform_(0.5, 2.0, generator=generator)
    return module


def one_hot() -> np.ndarray:
    letters = np.random.default_rng(0).integers(4, size=(2, LENGTH))
    return np.eye(4, dtype=np.float32)[letters].transpose(0, 2, 1).copy()


def brute_force(module: nn.Module, x: np.ndarray) -> np.ndarray:
    """Outputs ``(sequences, characters, positions, *output)``."""
    grid = []
    for character in range(4):
        row = []
        for position in POSITIONS:
            changed = x.copy()
            changed[:, :, position] = np.eye(4)[character]
            with torch.no_grad():
                row.append(module(torch.tensor(changed)).numpy())
        grid.append(np.stack(row, 1))
    return np.stack(grid, 1)


@pytest.mark.parametrize("case", CASES)
def test_it_is_recognised_and_exact(case):
    module, x = made(case), one_hot()
    ism = FastISM(module, input_shape=(4, LENGTH), test_correctness=False)
    assert not any(isinstance(node.rule, Opaque) for node in ism.plan.graph.nodes), str(ism.plan)
    expected = brute_force(module, x)
    result = ism.saturate(x, positions=POSITIONS)
    assert np.ptp(expected, axis=(1, 2)).max() > 1e-3, "no effect to see"
    assert result.mutants.shape == expected.shape
    np.testing.assert_allclose(result.mutants, expected, atol=1e-5 * np.abs(expected).max())


def test_the_comparison_can_fail():
    module, x = made("conv1d"), one_hot()
    expected = brute_force(module, x)
    with torch.no_grad():
        module.layers[0].weight[0, 0, 0] += 0.01
    ism = FastISM(module, input_shape=(4, LENGTH), test_correctness=False)
    found = ism.saturate(x, positions=POSITIONS).mutants
    assert np.abs(found - expected).max() > 1e-3

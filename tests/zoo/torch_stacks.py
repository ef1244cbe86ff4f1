"""Small torch members of published families that are convolutions, pools and dense layers.

Written from the descriptions in the papers that are named; sizes are ours.
"""

from __future__ import annotations

import torch
from family import Register
from torch import nn
from torch.nn import functional as F

family = Register("torch")


def convolved(first: int, channels: int, size: int, pool: int) -> nn.Sequential:
    """Convolution of equal length, batch norm, ReLU, maximum of `pool` neighbours."""
    conv = nn.Conv1d(first, channels, size, padding=size // 2)
    return nn.Sequential(conv, nn.BatchNorm1d(channels), nn.ReLU(), nn.MaxPool1d(pool))


class Both(nn.Module):
    """Vectors that several modules make of one input, side by side."""

    def __init__(self, *parts: nn.Module, axis: int = 1) -> None:
        super().__init__()
        self.parts, self.axis = nn.ModuleList(parts), axis

    def forward(self, x):
        return torch.cat([part(x) for part in self.parts], self.axis)


class Residual(nn.Module):
    """A module whose input is added to its output, cropped where the output is shorter."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.part = nn.Sequential(*parts)

    def forward(self, x):
        y = self.part(x)
        cut = (x.shape[2] - y.shape[2]) // 2
        return y + (x[:, :, cut : x.shape[2] - cut] if cut else x)


@family("DeepBind", "Alipanahi et al. 2015", 300)
def deepbind() -> nn.Module:
    pools = Both(nn.AdaptiveMaxPool1d(1), nn.AdaptiveAvgPool1d(1))
    dense = nn.Linear(32, 8), nn.ReLU(), nn.Linear(8, 1)
    return nn.Sequential(nn.Conv1d(4, 16, 24), nn.ReLU(), pools, nn.Flatten(), *dense)


@family("AI-TAC", "Maslova et al. 2020", 300)
class AITAC(nn.Module):
    """The first convolution is one over two axes that spans the letters."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Conv2d(1, 24, (4, 19)), nn.BatchNorm2d(24)
        self.second, self.third = nn.Conv2d(24, 16, (1, 11)), nn.Conv2d(16, 16, (1, 7))
        self.dense = nn.Sequential(nn.Flatten(), nn.LazyLinear(20), nn.ReLU(), nn.Linear(20, 4))

    def forward(self, x):
        y = F.max_pool2d(F.relu(self.norm(self.first(x.unsqueeze(1)))), (1, 3))
        y = F.max_pool2d(F.relu(self.second(y)), (1, 4))
        return self.dense(F.max_pool2d(F.relu(self.third(y)), (1, 4)))


@family("Malinois", "Gosai et al. 2024", 600)
def malinois() -> nn.Module:
    stem = convolved(4, 24, 19, 3), convolved(24, 16, 11, 4), convolved(16, 16, 7, 4)
    shared = nn.Flatten(), nn.LazyLinear(24), nn.BatchNorm1d(24), nn.ReLU()
    cells = [nn.Sequential(nn.Linear(24, 8), nn.ReLU(), nn.Linear(8, 1)) for _ in range(3)]
    return nn.Sequential(*stem, *shared, Both(*cells))


@family("ExplaiNN", "Novakovsky et al. 2023", 200)
class ExplaiNN(nn.Module):
    """Units of one filter each, as groups of every layer, and a linear layer over them."""

    def __init__(self, units: int = 12) -> None:
        super().__init__()
        self.conv = nn.Conv1d(4 * units, units, 19, groups=units)
        self.norm, self.units = nn.BatchNorm1d(units), units
        self.hidden = nn.LazyConv1d(8 * units, 1, groups=units)
        self.score = nn.Conv1d(8 * units, units, 1, groups=units)
        self.out = nn.Linear(units, 3)

    def forward(self, x):
        y = torch.exp(self.norm(self.conv(x.repeat(1, self.units, 1))).clamp(max=2))
        y = F.max_pool1d(y, 7).flatten(1).unsqueeze(-1)
        return self.out(F.relu(self.score(F.relu(self.hidden(y)))).flatten(1))


@family("PARM", "Barbadilla-Martínez et al. 2025", 400)
def parm() -> nn.Module:
    def block(first: int, channels: int) -> nn.Module:
        conv = nn.Conv1d(first, channels, 7, padding=3), nn.BatchNorm1d(channels), nn.GELU()
        point = nn.BatchNorm1d(channels), nn.GELU(), nn.Conv1d(channels, channels, 1)
        return nn.Sequential(*conv, Residual(*point), AttentionPool(channels, 2))

    tower = block(4, 16), block(16, 16), block(16, 24), block(24, 24)
    return nn.Sequential(*tower, nn.AdaptiveMaxPool1d(1), nn.Flatten(), nn.Linear(24, 1))


class AttentionPool(nn.Module):
    """The mean of neighbours, weighted per channel by the softmax of a product over channels."""

    def __init__(self, channels: int, size: int) -> None:
        super().__init__()
        self.size, self.logits = size, nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x):
        x = x.view(*x.shape[:2], -1, self.size)
        return (x * self.logits(x).softmax(-1)).sum(-1)


@family("ProCapNet", "Cochran et al. 2024", 600)
class ProCapNet(nn.Module):
    """Dilated convolutions without padding; a profile of two strands, and counts."""

    def __init__(self, channels: int = 16, layers: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, channels, 21)
        dilated = [nn.Conv1d(channels, channels, 3, dilation=2**i) for i in range(1, layers)]
        self.body = nn.Sequential(*(Residual(conv, nn.ReLU()) for conv in dilated))
        self.profile, self.counts = nn.Conv1d(channels, 2, 75), nn.Linear(channels, 1)

    def forward(self, x):
        y = self.body(F.relu(self.stem(x)))
        return self.profile(y), self.counts(y[:, :, 37:-37].mean(2))


@family("seq2PRINT", "Hu et al. 2025", 600)
class Seq2Print(nn.Module):
    """Dilated blocks with two convolutions; footprints of several scales, and coverage."""

    def __init__(self, channels: int = 16, layers: int = 5) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, channels, 21, padding=10)
        self.body = nn.Sequential(*(self.block(channels, 2**i) for i in range(1, layers)))
        self.footprints, self.coverage = nn.Conv1d(channels, 9, 1), nn.Linear(channels, 1)

    @staticmethod
    def block(channels: int, dilation: int) -> nn.Module:
        wide = nn.Conv1d(channels, channels, 3, padding=dilation, dilation=dilation)
        point = nn.Conv1d(channels, channels, 1)
        return Residual(wide, nn.BatchNorm1d(channels), nn.GELU(), point, nn.GELU())

    def forward(self, x):
        y = self.body(F.gelu(self.stem(x)))[:, :, 100:-100]
        return self.footprints(y), self.coverage(y.mean(2))


@family("Pangolin", "Zeng and Li 2022", 500)
class Pangolin(nn.Module):
    """Dilated residual blocks with skips that are summed; splicing in tissues by softmax."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        self.first, self.skip = nn.Conv1d(4, channels, 1), nn.Conv1d(channels, channels, 1)
        sizes = ((11, 1), (11, 1), (11, 4), (11, 4), (21, 4))
        self.blocks = nn.ModuleList(self.block(channels, *size) for size in sizes)
        self.skips = nn.ModuleList(nn.Conv1d(channels, channels, 1) for _ in sizes[1::2])
        self.site, self.usage = nn.Conv1d(channels, 2, 1), nn.Conv1d(channels, 1, 1)

    @staticmethod
    def block(channels: int, size: int, dilation: int) -> nn.Module:
        parts = []
        for _ in range(2):
            conv = nn.Conv1d(channels, channels, size, padding="same", dilation=dilation)
            parts += [nn.BatchNorm1d(channels), nn.ReLU(), conv]
        return Residual(*parts)

    def forward(self, x):
        y = self.first(x)
        skip = self.skip(y)
        for number, block in enumerate(self.blocks):
            y = block(y)
            if number % 2:
                skip = skip + self.skips[number // 2](y)
        skip = skip[:, :, 150:-150]
        return torch.cat([self.site(skip).softmax(1), torch.sigmoid(self.usage(skip))], 1)


@family("Puffin", "Dudnyk et al. 2024", 500)
class Puffin(nn.Module):
    """Motifs on both strands, their effects at a distance, and what they do together."""

    def __init__(self, motifs: int = 10) -> None:
        super().__init__()
        self.motifs = nn.Conv1d(4, motifs, 21, padding=10)
        self.effects = nn.Conv1d(2 * motifs, 4, 101, padding=50)
        self.initiator = nn.Conv1d(4, 4, 15, padding=7)

    def forward(self, x):
        flipped = self.motifs(x.flip([1, 2])).flip(2)
        y = torch.cat([self.motifs(x), flipped], 1)
        y = torch.sigmoid(y) * y
        return F.softplus(self.effects(y) + self.initiator(x))[:, :, 100:-100]


@family("Puffin-D", "Dudnyk et al. 2024", 768)
class PuffinD(nn.Module):
    """A U-net: down by strides, up again, with what was there before added at every scale."""

    def __init__(self, channels: int = 12, scales: int = 3) -> None:
        super().__init__()
        self.stem = nn.Conv1d(4, channels, 17, padding=8)
        self.down = nn.ModuleList(self.block(channels, 4) for _ in range(scales))
        self.up = nn.ModuleList(self.block(channels, 1) for _ in range(scales))
        self.out = nn.Conv1d(channels, 2, 1)

    @staticmethod
    def block(channels: int, stride: int) -> nn.Module:
        conv = nn.Conv1d(channels, channels, 9, stride, 4)
        return nn.Sequential(nn.BatchNorm1d(channels), nn.ReLU(), conv)

    def forward(self, x):
        y, kept = self.stem(x), []
        for block in self.down:
            kept.append(y)
            y = block(y)
        for block in self.up:
            y = F.interpolate(block(y), scale_factor=4.0, mode="nearest") + kept.pop()
        return F.softplus(self.out(y))


@family("gReLU's ConvModel", "package gReLU", 400)
def grelu_conv() -> nn.Module:
    from grelu.model.models import ConvModel

    settings = {"stem_channels": 16, "stem_kernel_size": 15, "n_conv": 3, "kernel_size": 5}
    return ConvModel(n_tasks=2, **settings)


@family("BPNet, PyTorch", "package bpnet-lite", 600)
def bpnet_lite() -> nn.Module:
    from bpnetlite.bpnet import BPNet

    return BPNet(n_filters=16, n_layers=5, n_control_tracks=0, trimming=100)


@family("BPNet with control tracks", "package bpnet-lite", 600, sides=((2, 600),))
def bpnet_with_control() -> nn.Module:
    from bpnetlite.bpnet import BPNet

    return BPNet(n_filters=16, n_layers=4, n_control_tracks=2, trimming=80)


@family("ChromBPNet", "package bpnet-lite", 600)
def chrombpnet() -> nn.Module:
    from bpnetlite.bpnet import BPNet
    from bpnetlite.chrombpnet import ChromBPNet

    given = {"n_outputs": 1, "n_control_tracks": 0, "trimming": 100}
    parts = BPNet(n_filters=6, n_layers=3, **given), BPNet(n_filters=16, n_layers=5, **given)
    return ChromBPNet(*parts, name="chrombpnet")

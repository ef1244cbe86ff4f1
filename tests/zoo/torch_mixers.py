"""Small torch members of published families with layers that mix all positions.

Written from the descriptions in the papers that are named; sizes are ours.
"""

from __future__ import annotations

import torch
from family import Register
from torch import nn
from torch.nn import functional as F
from torch_stacks import AttentionPool, Both, Residual, convolved

family = Register("torch")


class Recurrent(nn.Module):
    """A bidirectional LSTM over positions, channels first before and behind."""

    def __init__(self, first: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(first, units, batch_first=True, bidirectional=True)

    def forward(self, x):
        return self.lstm(x.transpose(1, 2))[0].transpose(1, 2)


class Transformer(nn.Module):
    """Encoder layers over positions, channels first before and behind."""

    def __init__(self, channels: int, layers: int) -> None:
        super().__init__()
        made = [
            nn.TransformerEncoderLayer(channels, 4, 2 * channels, 0.0, batch_first=True)
            for _ in range(layers)
        ]
        self.layers = nn.Sequential(*made)

    def forward(self, x):
        return self.layers(x.transpose(1, 2)).transpose(1, 2)


@family("DanQ", "Quang and Xie 2016", 520)
def danq() -> nn.Module:
    stem = nn.Conv1d(4, 24, 26), nn.ReLU(), nn.MaxPool1d(13)
    dense = nn.Flatten(), nn.LazyLinear(32), nn.ReLU(), nn.Linear(32, 5)
    return nn.Sequential(*stem, Recurrent(24, 12), *dense)


@family("DREAM-RNN", "Rafi et al. 2025", 60)
def dream_rnn() -> nn.Module:
    def wide(first: int) -> nn.Module:
        convs = [nn.Sequential(nn.Conv1d(first, 12, k, padding="same"), nn.ReLU()) for k in (9, 15)]
        return Both(*convs)

    parts = wide(4), Recurrent(24, 12), wide(24), nn.Conv1d(24, 16, 1), nn.ReLU()
    return nn.Sequential(*parts, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(16, 1))


@family("LegNet", "Penzar et al. 2023", 230)
def legnet() -> nn.Module:
    def unit(first: int, channels: int, size: int, groups: int = 1) -> list[nn.Module]:
        conv = nn.Conv1d(first, channels, size, padding="same", groups=groups, bias=False)
        return [conv, nn.BatchNorm1d(channels), nn.SiLU()]

    class Block(nn.Module):
        """Wider, depthwise, squeezed and excited; and its input beside it."""

        def __init__(self, channels: int, out: int) -> None:
            super().__init__()
            wide = 2 * channels
            self.wide = nn.Sequential(*unit(channels, wide, 1), *unit(wide, wide, 7, wide))
            self.gate = nn.Sequential(nn.Linear(wide, 4), nn.SiLU(), nn.Linear(4, wide))
            self.narrow = nn.Sequential(*unit(wide, channels, 1))
            self.out = nn.Sequential(*unit(2 * channels, out, 7))

        def forward(self, x):
            y = self.wide(x)
            y = y * torch.sigmoid(self.gate(y.mean(2)))[:, :, None]
            return self.out(torch.cat([x, self.narrow(y)], 1))

    parts = *unit(4, 16, 11), Block(16, 16), nn.MaxPool1d(2), Block(16, 12), nn.Conv1d(12, 18, 1)
    return nn.Sequential(*parts, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Softmax(1))


@family("Sei", "Chen et al. 2022", 512, note="splines over positions as one product")
class Sei(nn.Module):
    """Linear and nonlinear convolutions in parallel, dilated ones, a basis of splines."""

    def __init__(self, channels: int = 16, splines: int = 6) -> None:
        super().__init__()
        widths = ((4, 9), (channels, 9))
        self.linear = nn.ModuleList(self.pair(*w) for w in widths)
        self.bent = nn.ModuleList(self.relued(channels, w[1]) for w in widths)
        self.dilated = nn.ModuleList(
            nn.Conv1d(channels, channels, 5, padding="same", dilation=2**i) for i in range(1, 4)
        )
        grid = torch.linspace(0, 1, 32)[:, None] - torch.linspace(0, 1, splines)
        self.register_buffer("basis", torch.relu(1 - (splines * grid).abs()))
        self.out = nn.Linear(channels * splines, 6)

    @staticmethod
    def pair(first: int, size: int, channels: int = 16) -> nn.Module:
        convs = (nn.Conv1d(n, channels, size, padding="same") for n in (first, channels))
        return nn.Sequential(*convs)

    @staticmethod
    def relued(channels: int, size: int) -> nn.Module:
        convs = [nn.Conv1d(channels, channels, size, padding="same") for _ in range(2)]
        return nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU())

    def forward(self, x):
        for linear, bent in zip(self.linear, self.bent, strict=True):
            y = linear(x)
            x = F.max_pool1d(bent(y) + y, 4)
        for conv in self.dilated:
            x = x + F.relu(conv(x))
        return torch.sigmoid(self.out((x @ self.basis).flatten(1)))


@family("Enformer", "package enformer-pytorch", 512, channels_last=True)
def enformer() -> nn.Module:
    from enformer_pytorch import Enformer

    class Human(nn.Module):
        """The tracks of one head as a tensor."""

        def __init__(self, module: nn.Module) -> None:
            super().__init__()
            self.module = module

        def forward(self, x):
            return self.module(x)["human"]

    sizes = {"dim": 24, "depth": 1, "heads": 2, "attn_dim_key": 4, "dim_divisible_by": 4}
    given = {"output_heads": {"human": 3}, "target_length": 8, "num_downsamples": 5}
    return Human(Enformer.from_hparams(**sizes, **given))


@family("Borzoi", "Linder et al. 2025", 512)
class Borzoi(nn.Module):
    """A tower of pools, attention at its end, and up again with what the tower had."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = convolved(4, 16, 15, 2)
        self.tower = nn.ModuleList(convolved(16, 16, 5, 2) for _ in range(4))
        self.attention = Transformer(16, 1)
        self.across = nn.ModuleList(nn.Conv1d(16, 16, 1) for _ in range(2))
        self.separable = nn.ModuleList(nn.Conv1d(16, 16, 3, padding=1, groups=16) for _ in range(2))
        self.out = nn.Sequential(nn.GELU(), nn.Conv1d(16, 4, 1), nn.Softplus())

    def forward(self, x):
        y, kept = self.stem(x), []
        for block in self.tower:
            kept.append(y)
            y = block(y)
        y = self.attention(y)
        for across, separable in zip(self.across, self.separable, strict=True):
            y = separable(F.interpolate(y, scale_factor=2.0) + across(kept.pop()))
        return self.out(y)


@family("SATORI", "Ullah and Ben-Hur 2021", 320)
def satori() -> nn.Module:
    stem = nn.Conv1d(4, 24, 13, padding=6), nn.BatchNorm1d(24), nn.ReLU(), nn.MaxPool1d(8)
    return nn.Sequential(*stem, Transformer(24, 1), nn.Flatten(), nn.LazyLinear(4))


@family("HyenaDNA", "Nguyen et al. 2023", 200, note="global convolutions by Fourier transforms")
class Hyena(nn.Module):
    """Gates, and filters as long as the sequence, applied as Fourier transforms."""

    def __init__(self, channels: int = 16, layers: int = 2, length: int = 200) -> None:
        super().__init__()
        self.embed, self.length = nn.Linear(4, channels), length
        self.gates = nn.ModuleList(nn.Linear(channels, 3 * channels) for _ in range(layers))
        self.short = nn.ModuleList(
            nn.Conv1d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels)
            for _ in range(layers)
        )
        self.filters = nn.ParameterList(torch.randn(channels, length) for _ in range(layers))
        self.out = nn.Linear(channels, 2)

    def forward(self, x):
        y = self.embed(x.transpose(1, 2))
        for gates, short, filters in zip(self.gates, self.short, self.filters, strict=True):
            a, b, value = short(gates(y).transpose(1, 2)).chunk(3, 1)
            spectrum = torch.fft.rfft(filters, 2 * self.length)
            mixed = torch.fft.irfft(torch.fft.rfft(a * value, 2 * self.length) * spectrum)
            y = y + (b * mixed[:, :, : self.length]).transpose(1, 2) / self.length**0.5
        return self.out(y.mean(1))


@family("C.Origami", "Tan et al. 2023", 256, sides=((2, 256),), note="maps of contacts")
class COrigami(nn.Module):
    """Sequence and tracks by convolutions of strides, attention, and a map of all pairs."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        self.sequence = self.encoder(4, channels)
        self.tracks = self.encoder(2, channels)
        self.attention = Transformer(2 * channels, 1)
        self.map = nn.Conv2d(4 * channels, 4, 3, padding=1)
        self.out = nn.Conv2d(4, 1, 1)

    @staticmethod
    def encoder(first: int, channels: int) -> nn.Module:
        parts = [nn.Conv1d(first, channels, 3, 2, 1), nn.BatchNorm1d(channels), nn.ReLU()]
        for _ in range(3):
            wide = nn.Conv1d(channels, channels, 5, padding=2), nn.BatchNorm1d(channels)
            parts += [Residual(*wide, nn.ReLU()), nn.Conv1d(channels, channels, 3, 2, 1), nn.ReLU()]
        return nn.Sequential(*parts)

    def forward(self, x, tracks):
        y = self.attention(torch.cat([self.sequence(x), self.tracks(tracks)], 1))
        rows = y[:, :, :, None].expand(-1, -1, -1, y.shape[2])
        pairs = torch.cat([rows, rows.transpose(2, 3)], 1)
        return self.out(F.relu(self.map(pairs))).squeeze(1)


@family("Enformer's tower", "Avsec, Agarwal et al. 2021", 512, note="without its transformer")
def enformer_tower() -> nn.Module:
    def block(first: int, channels: int) -> list[nn.Module]:
        conv = nn.BatchNorm1d(first), nn.GELU(), nn.Conv1d(first, channels, 5, padding=2)
        point = nn.BatchNorm1d(channels), nn.GELU(), nn.Conv1d(channels, channels, 1)
        return [*conv, Residual(*point), AttentionPool(channels, 2)]

    stem = nn.Conv1d(4, 12, 15, padding=7), AttentionPool(12, 2)
    parts = *stem, *block(12, 16), *block(16, 16), *block(16, 20), nn.GELU()
    return nn.Sequential(*parts, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(20, 2))

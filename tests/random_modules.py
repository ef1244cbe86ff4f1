"""Random torch modules over every operator that has a rule, and some that have none.

A module is grown step by step from numbers that hypothesis draws (and shrinks), and run on two
sequences while it grows, so that shapes are known; all weights come from a seeded generator.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from hypothesis import strategies as st
from random_draw import Draw
from torch import nn

Step = Callable[[list[torch.Tensor]], torch.Tensor]


class Grown(nn.Module):
    """Steps that each append a tensor to those there are."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList()
        self.steps: list[Step] = []
        self.outputs: list[int] = []

    def forward(self, *inputs: torch.Tensor) -> Any:
        tensors = list(inputs)
        for step in self.steps:
            tensors.append(step(tensors))
        made = [tensors[i] for i in self.outputs]
        return made[0] if len(made) == 1 else tuple(made)


@dataclass
class Example:
    """A module and how to perturb it.

    Parameters
    ----------
    module : Grown
    shapes : list of tuple
        Input shapes without the batch axis.
    sequence : int
        Which input is the sequence.
    channels_last : bool
        Whether the sequence is (length, characters).
    stops : list of str
        Submodules to stop early at.
    dtype : str
    told : list of str
        How it was made, for people.
    """

    module: nn.Module
    shapes: list[tuple[int, ...]]
    sequence: int
    channels_last: bool
    stops: list[str]
    dtype: str
    told: list[str]

    def __repr__(self) -> str:
        head = f"a module on {self.shapes}, sequence {self.sequence}, stops {self.stops}:"
        return "\n".join([head, *self.told])


class Growing:
    """A module while it grows; tensor 0 is channels-first from the start."""

    def __init__(self, d: Draw, dtype: torch.dtype) -> None:
        self.d, self.dtype = d, dtype
        self.module = Grown()
        self.told: list[str] = []
        self.tensors: list[torch.Tensor] = []
        self.inputs = 0

    # ---- bookkeeping --------------------------------------------------------------------

    def input(self, *shape: int) -> int:
        """Inputs come first, before any step."""
        generator = torch.Generator().manual_seed(self.inputs)
        x = torch.randn((2, *shape), generator=generator, dtype=self.dtype)
        self.tensors.append(x)
        self.inputs += 1
        return len(self.tensors) - 1

    def layer(self, layer: nn.Module) -> Callable:
        self.module.layers.append(layer.to(self.dtype).eval())
        randomise(layer, self.d.int(0, 2**32 - 1))
        # Looked up when it runs: a module in the list is the module's own.
        number = len(self.module.layers) - 1
        return lambda x: self.module.layers[number](x)

    def add(self, function: Callable, *sources: int, said: str) -> int:
        """A step ``function(*tensors)``."""

        def step(tensors: list[torch.Tensor]) -> torch.Tensor:
            return function(*(tensors[i] for i in sources))

        with torch.no_grad():
            made = step(self.tensors)
        self.module.steps.append(step)
        self.tensors.append(made)
        names = ", ".join(f"t{i}" for i in sources)
        shape = tuple(made.shape[1:])
        self.told.append(f"t{len(self.tensors) - 1} = {said} of {names} -> {shape}")
        return len(self.tensors) - 1

    def sequences(self) -> list[int]:
        return [i for i, x in enumerate(self.tensors) if x.dim() == 3]

    def vectors(self) -> list[int]:
        return [i for i, x in enumerate(self.tensors) if x.dim() == 2]

    def recent(self) -> int:
        found = [i for i in self.sequences() if i == 0 or i >= self.inputs]
        return self.d.of(found[-1], *found[-3:])

    def shape(self, i: int) -> tuple[int, int]:
        return tuple(self.tensors[i].shape[1:])

    # ---- steps on one sequence ----------------------------------------------------------

    def activation(self) -> tuple[Callable, str]:
        kinds: dict[str, Callable] = {
            "relu": torch.relu,
            "gelu": F.gelu,
            "gelu tanh": lambda x: F.gelu(x, approximate="tanh"),
            "elu": lambda x: F.elu(x, 0.7),
            "silu": F.silu,
            "softplus": F.softplus,
            "softplus 2": lambda x: F.softplus(x, beta=2),
            "sigmoid": torch.sigmoid,
            "tanh": torch.tanh,
            "leaky": lambda x: F.leaky_relu(x, 0.2),
            "relu6": F.relu6,
            "selu": F.selu,
            "mish": F.mish,
            "hardswish": F.hardswish,
            "hardtanh": F.hardtanh,
            "softsign": F.softsign,
            "log sigmoid": F.logsigmoid,
            "clamp": lambda x: x.clamp(min=0),
            "clamp both": lambda x: x.clamp(-0.5, 0.5),
            "exp of tanh": lambda x: torch.exp(torch.tanh(x)),
            "abs": torch.abs,
            "square of tanh": lambda x: torch.tanh(x) ** 2,
            "sin": torch.sin,
            "custom gelu": lambda x: torch.sigmoid(1.702 * x) * x,
        }
        name = self.d.of("relu", *kinds)
        return kinds[name], name

    def convolution(self, i: int) -> int:
        d, (channels, length) = self.d, self.shape(i)
        size = d.int(1, min(5, length))
        stride, dilation = d.of((1, 1), (1, 1), (2, 1), (3, 1), (1, 2), (1, 3))
        reach = (size - 1) * dilation
        kinds = ["same"] if stride == 1 else []
        kinds += ["valid"] if reach < length else []
        padding = d.of(*kinds, d.int((max(reach + 1 - length, 0) + 1) // 2, reach + 1))
        groups = d.of(1, 1, *([2] if channels % 2 == 0 else []))
        mode = d.of("zeros", "zeros", "zeros", "zeros", "circular")
        if mode == "circular" and not isinstance(padding, str) and padding > length:
            mode = "zeros"
        if mode == "circular" and padding == "same" and reach > length:
            mode = "zeros"
        options = {
            "stride": stride,
            "dilation": dilation,
            "padding": padding,
            "groups": groups,
            "bias": d.bool(),
            "padding_mode": mode,
        }
        layer = self.layer(nn.Conv1d(channels, groups * d.int(1, 4), size, **options))
        function, name = self.activation()
        if d.bool():
            function, name = (lambda x: x), "nothing"
        said = f"Conv1d({size}, {options}), {name}"
        return self.add(lambda x: function(layer(x)), i, said=said)

    def transposed(self, i: int) -> int:
        d, (channels, length) = self.d, self.shape(i)
        stride = d.int(1, 3) if length <= 24 else 1
        size, dilation = d.int(1, 5), d.of(1, 1, 2)
        groups = d.of(1, 1, *([2] if channels % 2 == 0 else []))
        reach = (size - 1) * dilation
        longest = (length - 1) * stride + reach
        padding = d.int(0, min(reach + 1, longest // 2))
        extra = d.int(0, max(stride, dilation) - 1)
        settings = (stride, padding, extra, groups, d.bool(), dilation)
        layer = self.layer(nn.ConvTranspose1d(channels, groups * d.int(1, 3), size, *settings))
        return self.add(layer, i, said=f"ConvTranspose1d({size}, {settings})")

    def normalise(self, i: int) -> int:
        d, (channels, length) = self.d, self.shape(i)
        kind = d.of("batch", "batch", "layer", "rms", "group", "positions")
        if kind == "batch":
            layer = self.layer(nn.BatchNorm1d(channels, affine=d.bool()))
            return self.add(layer, i, said="BatchNorm1d")
        if kind == "group":
            layer = self.layer(nn.GroupNorm(1, channels, eps=0.125))
            return self.add(layer, i, said="GroupNorm")
        if kind == "positions":
            layer = self.layer(nn.LayerNorm(length, eps=0.125))
            return self.add(layer, i, said="LayerNorm over positions")
        if kind == "layer":
            layer = self.layer(nn.LayerNorm(channels, eps=0.125, elementwise_affine=d.bool()))
        else:
            layer = self.layer(nn.RMSNorm(channels, eps=0.125))
        said = f"{kind} norm over channels"
        return self.add(lambda x: layer(x.transpose(1, 2)).transpose(1, 2), i, said=said)

    def pool(self, i: int) -> int:
        d, (_, length) = self.d, self.shape(i)
        size = d.int(1, min(4, length))
        options = {
            "stride": d.of(None, 1, 2, 3, 4),
            "padding": d.int(0, size // 2),
            "ceil_mode": d.bool(),
        }
        if d.bool():
            layer = self.layer(nn.MaxPool1d(size, **options))
            return self.add(layer, i, said=f"MaxPool1d({size}, {options})")
        options["count_include_pad"] = d.bool()
        layer = self.layer(nn.AvgPool1d(size, **options))
        return self.add(layer, i, said=f"AvgPool1d({size}, {options})")

    def resize(self, i: int) -> int:
        d, (channels, length) = self.d, self.shape(i)
        left = d.int(0, min(3, length - 1))
        right = d.int(0, min(3, length - 1 - left))
        kinds: dict[str, Callable] = {
            f"crop {left} {right}": lambda x: x[:, :, left : length - right],
            f"negative crop {left} {right}": lambda x: F.pad(x, (-left, -right)),
            f"pad {left} {right}": lambda x: F.pad(x, (left, right)),
            f"pad with one {left}": lambda x: F.pad(x, (left, 0), value=1.0),
            "first channel": lambda x: x[:, :1],
            "last channels": lambda x: x[:, channels // 2 :],
            "chunks": lambda x: torch.cat(x.chunk(2, 1)[::-1], 1),
            "every second": lambda x: x[:, :, ::2],
            "every third from two": lambda x: x[..., min(2, length - 1) :: 3],
            "middle": lambda x: x[:, :, length // 2].unsqueeze(-1),
            "narrow": lambda x: x.narrow(2, left, length - left),
        }
        if length <= 24:
            kinds["upsample"] = lambda x: F.interpolate(x, scale_factor=2, mode="nearest")
            kinds["repeat"] = lambda x: x.repeat_interleave(3, -1)
        name = d.of(*kinds)
        return self.add(kinds[name], i, said=name)

    def activate(self, i: int) -> int:
        function, name = self.activation()
        return self.add(function, i, said=name)

    def arithmetic(self, i: int) -> int:
        d, (channels, length) = self.d, self.shape(i)
        generator = torch.Generator().manual_seed(d.int(0, 1000))
        per_channel = torch.randn(channels, 1, generator=generator, dtype=self.dtype)
        per_position = torch.randn(1, 1, length, generator=generator, dtype=self.dtype)
        kinds: dict[str, Callable] = {
            "x * 1.5 - 0.25": lambda x: x * 1.5 - 0.25,
            "1 - x": lambda x: 1 - x,
            "-x / 4 + 1": lambda x: -x / 4 + 1,
            "torch.add(x, x, alpha=0.5)": lambda x: torch.add(x, x, alpha=0.5),
            "flip positions": lambda x: x.flip(-1),
            "flip both": lambda x: torch.flip(x, [1, 2]),
            "x * c": lambda x: x * per_channel,
            "c - x": lambda x: per_channel - x,
            "x / c": lambda x: x / (2 + per_channel.abs()),
            "x + p": lambda x: x + per_position,
            "x * p": lambda x: x * per_position,
            "x * x": lambda x: x * x,
            "max(x, x / 2)": lambda x: torch.maximum(x, x / 2),
            "x / (2 + sigmoid(x))": lambda x: x / (torch.sigmoid(x) + 2),
            "1 / (2 + sigmoid(x))": lambda x: 1 / (torch.sigmoid(x) + 2),
            "round trip": lambda x: x.unsqueeze(1).squeeze(1).contiguous().clone().detach(),
            "permuted twice": lambda x: x.permute(0, 2, 1).relu().permute(0, 2, 1),
            "softmax over channels": lambda x: torch.softmax(x, 1),
            "softmax over positions": lambda x: torch.softmax(x, -1),
            "centred": lambda x: x - x.mean(-1, keepdim=True),
            "centred over channels": lambda x: x - x.mean(1, keepdim=True),
            "squeeze and excite": lambda x: x * torch.sigmoid(x.mean(-1, keepdim=True)),
            "max over channels": lambda x: x.amax(1, keepdim=True),
            "sum over channels": lambda x: x.sum(1, keepdim=True),
            "in place": lambda x: x.clone().add_(1).relu_(),
            "part in place": _zeroed_in_place,
            "masked": lambda x: x.masked_fill(x > 0.5, 0.25),
            "outer": lambda x: x.mean(1, keepdim=True) * x.mean(-1, keepdim=True),
        }
        name = d.of(*kinds)
        return self.add(kinds[name], i, said=name)

    def dense(self, i: int) -> int:
        d, (channels, length) = self.d, self.shape(i)
        if d.int(0, 3) == 0:
            layer = self.layer(nn.Linear(length, d.int(1, 5)))
            return self.add(layer, i, said="Linear over positions")
        layer = self.layer(nn.Linear(channels, d.int(1, 4), bias=d.bool()))
        said = "Linear over channels"
        return self.add(lambda x: layer(x.transpose(1, 2)).transpose(1, 2), i, said=said)

    def unknown(self, i: int) -> int:
        d, (channels, length) = self.d, self.shape(i)
        kind = d.of("cumsum", "lstm", "attention", "swapped", "reshaped", "joined", "bmm", "conv2d")
        if kind == "lstm":
            cell = d.of(nn.LSTM, nn.GRU)(channels, 2, batch_first=True, bidirectional=d.bool())
            layer = self.layer(cell)
            return self.add(lambda x: layer(x.transpose(1, 2))[0].transpose(1, 2), i, said=kind)
        if kind == "attention":
            heads = nn.MultiheadAttention(channels, 1, batch_first=d.bool())
            layer = self.layer(Attention(heads))
            return self.add(layer, i, said=kind)
        if kind == "conv2d":
            layer = self.layer(nn.Conv2d(channels, 2, (1, min(3, length)), padding=(0, 1)))
            return self.add(lambda x: layer(x.unsqueeze(2)).squeeze(2), i, said=kind)
        kinds = {
            "cumsum": lambda x: torch.cumsum(x, -1) * 0.2,
            "swapped": lambda x: x.transpose(1, 2),
            "reshaped": lambda x: x.reshape(x.shape[0], length, channels),
            "joined": lambda x: torch.cat([x, x], 2),
            "bmm": lambda x: torch.bmm(torch.bmm(x, x.transpose(1, 2)), x) / length,
        }
        return self.add(kinds[kind], i, said=kind)

    def step(self, i: int) -> int:
        kinds = (
            self.convolution,
            self.convolution,
            self.convolution,
            self.pool,
            self.pool,
            self.normalise,
            self.activate,
            self.resize,
            self.arithmetic,
            self.arithmetic,
            self.transposed,
            self.dense,
        )
        return self.d.of(*kinds)(i)

    # ---- several tensors ----------------------------------------------------------------

    def same_shape(self, i: int) -> int:
        channels, _ = self.shape(i)
        size, dilation = self.d.of((1, 1), (3, 1), (3, 2), (3, 4))
        layer = self.layer(nn.Conv1d(channels, channels, size, padding="same", dilation=dilation))
        function, name = self.activation()
        said = f"Conv1d({size}, same, dilation {dilation}), {name}"
        return self.add(lambda x: function(layer(x)), i, said=said)

    def merge(self, i: int, j: int) -> int:
        kinds: dict[str, Callable] = {
            "x + y": lambda x, y: x + y,
            "x - 2 y": lambda x, y: torch.sub(x, y, alpha=2),
            "x * y": lambda x, y: x * y,
            "max(x, y)": torch.maximum,
            "cat of channels": lambda x, y: torch.cat([x, y], 1),
            "cat of permuted": lambda x, y: torch.cat([x.mT, y.mT], -1).mT,
            "gate": lambda x, y: F.glu(torch.cat([x, y], 1), 1),
            "x * y of other layout": lambda x, y: (x.mT * y.mT.contiguous()).mT,
        }
        name = self.d.of("x + y", *kinds)
        return self.add(kinds[name], i, j, said=name)

    def branches(self, i: int) -> int:
        first = i if self.d.bool() else self.same_shape(i)
        return self.merge(first, self.same_shape(i))

    def both_strands(self, i: int) -> int:
        channels, _ = self.shape(i)
        layer = self.layer(nn.Conv1d(channels, 3, 3, padding=1))

        def average(x: torch.Tensor) -> torch.Tensor:
            return (layer(x) + layer(x.flip([1, 2])).flip(-1)) / 2

        return self.add(average, i, said="both strands")

    def side(self, i: int) -> int:
        """Join with an input that is not perturbed, of any shape that fits."""
        channels, length = self.shape(i)
        fitting = []
        for j in range(1, self.inputs):
            shape = tuple(self.tensors[j].shape[1:])
            if len(shape) == 2 and shape[1] == length:
                fitting.append(lambda x, j=j: self.add(_cat_channels, x, j, said="cat with side"))
            if len(shape) == 2 and shape[1] in (1, length) and shape[0] in (1, channels):
                fitting.append(lambda x, j=j: self.add(torch.mul, x, j, said="times side"))
            if len(shape) == 1 and shape[0] == channels:
                fitting.append(lambda x, j=j: self.add(_plus_vector, x, j, said="plus side"))
        return self.d.of(*fitting)(i) if fitting else i

    def grow(self) -> None:
        i = self.recent()
        channels, length = self.shape(i)
        if length * channels > 400:
            i = self.add(lambda x: F.max_pool1d(x, 4, ceil_mode=True), i, said="smaller")
        kinds = (
            self.step,
            self.step,
            self.step,
            self.step,
            self.step,
            self.branches,
            self.both_strands,
            self.side,
            self.unknown,
        )
        self.d.of(*kinds)(i)

    # ---- readouts -----------------------------------------------------------------------

    def read(self) -> int:
        kinds: dict[str, Callable] = {
            "flatten": lambda x: x.flatten(1),
            "view": lambda x: x.contiguous().view(x.size(0), -1),
            "permuted flatten": lambda x: x.transpose(1, 2).flatten(1),
            "mean": lambda x: x.mean(-1),
            "sum": lambda x: x.sum(2),
            "max": lambda x: x.max(-1).values,
            "average pooled": lambda x: F.adaptive_avg_pool1d(x, 1).squeeze(-1),
            "max pooled": lambda x: F.adaptive_max_pool1d(x, 1).flatten(1),
            "last": lambda x: x[:, :, -1],
            "mean of both": lambda x: x.mean((1, 2)).unsqueeze(-1),
            "logsumexp": lambda x: torch.logsumexp(x, -1),
            "weighted by a softmax": lambda x: (x[:, :1].softmax(-1) * x).sum(-1),
            "weighted by softmaxes": lambda x: (x.softmax(-1) * x).mean(-1),
            "product with a softmax": lambda x: (x @ x[:, :1].softmax(-1).mT).flatten(1),
        }
        name = self.d.of("flatten", *kinds)
        return self.add(kinds[name], self.recent(), said=name)

    def head(self) -> None:
        d, i = self.d, self.read()
        kind = d.of("dense", "joined", "normalised", "side")
        if kind == "joined":
            i = self.add(lambda x, y: torch.cat([x, y], 1), i, self.read(), said="cat of vectors")
        elif kind == "normalised":
            layer = self.layer(nn.BatchNorm1d(self.tensors[i].shape[1]))
            i = self.add(layer, i, said="BatchNorm1d")
        elif kind == "side":
            sides = [j for j in range(1, self.inputs) if self.tensors[j].dim() == 2]
            if sides:
                j = d.of(*sides)
                i = self.add(lambda x, y: torch.cat([y, x], 1), i, j, said="cat with side")
        for _ in range(d.int(1, 2)):
            layer = self.layer(nn.Linear(self.tensors[i].shape[1], d.int(1, 4)))
            function, name = self.activation()
            i = self.add(lambda x, g=layer, f=function: f(g(x)), i, said=f"Linear, {name}")
        if d.int(0, 4) == 0:
            self.add(lambda x: x[:, 0], i, said="one number")


def _cat_channels(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return torch.cat([y, x], 1)


def _plus_vector(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    return x + y[:, :, None]


def _zeroed_in_place(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    x[:, :, 0] = 0
    return x


class Attention(nn.Module):
    """Self-attention of every position."""

    def __init__(self, heads: nn.MultiheadAttention) -> None:
        super().__init__()
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        order = (0, 2, 1) if self.heads.batch_first else (2, 0, 1)
        back = (0, 2, 1) if self.heads.batch_first else (1, 2, 0)
        y = x.permute(order)
        return self.heads(y, y, y, need_weights=False)[0].permute(back)


class Permuted(nn.Module):
    """A module with its inputs in another order, and its sequence perhaps transposed."""

    def __init__(
        self, inner: Grown, order: list[int], channels_last: bool, dtype: torch.dtype
    ) -> None:
        super().__init__()
        # Says the type where there are no weights.
        self.register_buffer("typed", torch.zeros((), dtype=dtype))
        self.inner, self.order, self.channels_last = inner, order, channels_last

    def forward(self, *inputs: torch.Tensor) -> Any:
        given = [inputs[self.order.index(i)] for i in range(len(inputs))]
        if self.channels_last:
            given[0] = given[0].transpose(1, 2)
        return self.inner(*given)


def randomise(module: nn.Module, seed: int) -> None:
    """Give every weight a number from a seeded generator."""
    generator = torch.Generator().manual_seed(seed)

    def normal(x: torch.Tensor) -> torch.Tensor:
        return torch.randn(x.shape, generator=generator, dtype=torch.float64)

    with torch.no_grad():
        for x in module.parameters():
            size = max(x[0].numel() if x.dim() > 1 else 2, 1)
            x.copy_(normal(x) * 1.2 / size**0.5)
        for name, x in module.named_buffers():
            if "var" in name:
                x.copy_(0.3 + torch.rand(x.shape, generator=generator, dtype=torch.float64))
            elif "mean" in name:
                x.copy_(normal(x) * 0.7)


@st.composite
def modules(draw: Callable, dtype: str = "float64") -> Example:
    """A random module.

    Parameters
    ----------
    dtype : {"float32", "float64"}
    """
    return grown(draw, dtype)


def grown(draw: Callable, dtype: str = "float64") -> Example:
    """A random module; `draw` gives a value of a strategy."""
    d = Draw(draw)
    growing = Growing(d, getattr(torch, dtype))
    channels, length = d.of(4, 4, 2, 3), d.int(6, 20)
    growing.input(channels, length)
    sides = ((3,), (channels,), (1, length), (2, length), (channels, 1))
    for _ in range(d.of(0, 0, 1, 2)):
        growing.input(*d.of(*sides))
    for _ in range(d.int(1, 6)):
        growing.grow()
    for _ in range(d.of(1, 1, 2, 0)):
        growing.head()
    made = range(growing.inputs, len(growing.tensors)) or [0]
    outputs = {made[-1]: None}
    for _ in range(d.int(0, 2)):
        outputs[d.of(*made)] = None
    growing.module.outputs = list(outputs)
    growing.told.append(f"outputs {list(outputs)}")
    order = list(draw(st.permutations(range(growing.inputs))))
    channels_last = d.int(0, 3) == 0
    module = Permuted(growing.module, order, channels_last, growing.dtype).eval()
    shapes = [tuple(growing.tensors[i].shape[1:]) for i in order]
    if channels_last:
        shapes[order.index(0)] = shapes[order.index(0)][::-1]
    names = [f"inner.layers.{i}" for i in range(len(growing.module.layers))]
    stops = [d.of(*names)] if names and d.int(0, 4) == 0 else []
    return Example(module, shapes, order.index(0), channels_last, stops, dtype, growing.told)

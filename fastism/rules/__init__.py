"""Rules: one per kind of operation, one file per family. See `fastism.rules.base`."""

from fastism.rules.base import Joining, Kind, ReadoutCall, ReadsOut, Rule, Source, WindowCall
from fastism.rules.convolution import Convolution
from fastism.rules.merge import Concatenate, ConstantChannels, Elementwise, WeightedSum
from fastism.rules.opaque import Opaque
from fastism.rules.pointwise import Affine, LayerNorm, Pointwise, PositionAffine
from fastism.rules.pooling import AveragePool, GlobalPool, MaxPool, SoftmaxPool
from fastism.rules.readout import Dense, FlattenDense
from fastism.rules.reshape import Channels, Flip, Reshape, Shift, Upsample
from fastism.rules.softmax import GlobalSoftmaxPool, PositionSoftmax

__all__ = [
    "Affine",
    "AveragePool",
    "Channels",
    "Concatenate",
    "ConstantChannels",
    "Convolution",
    "Dense",
    "Elementwise",
    "FlattenDense",
    "Flip",
    "GlobalPool",
    "GlobalSoftmaxPool",
    "Joining",
    "Kind",
    "LayerNorm",
    "MaxPool",
    "Opaque",
    "Pointwise",
    "PositionAffine",
    "PositionSoftmax",
    "ReadoutCall",
    "ReadsOut",
    "Reshape",
    "Rule",
    "Shift",
    "SoftmaxPool",
    "Source",
    "Upsample",
    "WeightedSum",
    "WindowCall",
]

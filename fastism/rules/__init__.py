"""Rules: one per kind of operation, one file per family. See `fastism.rules.base`."""

from fastism.rules.base import Kind, ReadoutCall, ReadsOut, Rule, Source, WindowCall
from fastism.rules.convolution import Convolution
from fastism.rules.merge import Concatenate, ConstantChannels, Elementwise, WeightedSum
from fastism.rules.opaque import Opaque
from fastism.rules.pointwise import Affine, LayerNorm, Pointwise, PositionAffine
from fastism.rules.pooling import AveragePool, GlobalPool, MaxPool, SoftmaxPool
from fastism.rules.readout import Dense, FlattenDense
from fastism.rules.reshape import Channels, Flip, Reshape, Shift, Upsample

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
    "Kind",
    "LayerNorm",
    "MaxPool",
    "Opaque",
    "Pointwise",
    "PositionAffine",
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

"""Models and sequences to measure on.

Requirements: numpy and torch.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.jobs.select_sequences import select
from benchmarks.records import environment
from fastism.sequences import one_hot

FASTA = environment.ROOT / "data" / "dm3_promoters_2kb.fa.gz"
#: Where the records say that sequences are from.
DATA = f"{FASTA.name}, seed 1, last {{length}} bp"
BUILDERS = {
    "basset": ("basset", "basset_model"),
    "factorized_basset": ("factorized_basset", "factorized_basset_model"),
    "bpnet": ("bpnet", "bpnet_model"),
    "deepsea": ("deepsea", "deepsea_model"),
    "beluga": ("deepsea", "beluga_model"),
}


@dataclass(frozen=True)
class Subject:
    """A module on a device, and sequences for it.

    Attributes
    ----------
    module : torch.nn.Module
        In eval mode.
    sequences : ndarray, float32, shape (sequences, 4, length)
    """

    module: torch.nn.Module
    sequences: np.ndarray

    @property
    def length(self) -> int:
        """Positions of a sequence."""
        return self.sequences.shape[2]

    @property
    def device(self) -> torch.device:
        """Where the module is."""
        return next(self.module.parameters()).device


def made(architecture: str, length: int) -> torch.nn.Module:
    """A module with the weights that PyTorch gives it."""
    file, function = BUILDERS[architecture]
    maker = getattr(importlib.import_module(f"fastism.models.torch.{file}"), function)
    return maker(seqlen=length)


def build(architecture: str, length: int, device: str, dtype: str = "float32") -> torch.nn.Module:
    """A module with random weights and batch norms that change what passes them.

    The same arguments give the same weights, on the CPU's generator, whatever the device.
    """
    torch.manual_seed(0)
    module = made(architecture, length).eval()
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm1d):
            part.running_mean.normal_(0, 0.1)
            part.running_var.uniform_(0.5, 1.5)
    return module.to(device=device, dtype=getattr(torch, dtype))


def sequences(number: int, length: int, fasta: Path = FASTA) -> np.ndarray:
    """One-hot of promoters, float32, shape (number, 4, length)."""
    chosen = [record.sequence[-length:] for record in select(fasta, number, 1)]
    return np.ascontiguousarray(one_hot(chosen).transpose(0, 2, 1))

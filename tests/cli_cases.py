"""Files and calls that the tests of the command line share."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
from typer.testing import CliRunner

from fastism.cli.app import application
from fastism.sequences import read_fasta

LENGTH = 60
PROMOTERS = Path(__file__).parents[1] / "data" / "dm3_promoters_2kb.fa.gz"

#: A torch module from a file; one output with two entries. Weights are the same in every process.
TORCH = """
import torch

def build():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv1d(4, 5, 7, padding=3), torch.nn.ReLU(), torch.nn.MaxPool1d(3),
        torch.nn.Flatten(), torch.nn.Linear(100, 2),
    )

def with_shape():
    return build(), (4, 60)

def broken():
    raise RuntimeError("no weights here")

def number():
    return 3

def exits():
    raise SystemExit(3)
"""

#: Models that give infinite or no numbers for some sequences.
INFINITE = """
import torch
from torch import nn

class LogFraction(nn.Module):
    \"\"\"The logarithm of C and G over A and T, which is minus infinity without any.\"\"\"
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(4, 4, 5, padding=2)
    def forward(self, x):
        ratio = x[:, 1:3].sum((1, 2)) / x[:, [0, 3]].sum((1, 2))
        return (torch.log(ratio) + torch.relu(self.conv(x)).mean((1, 2)))[:, None]

class Logit(nn.Module):
    \"\"\"The log-odds of a sigmoid that is one for all sequences.\"\"\"
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv1d(4, 4, 5, padding=2)
    def forward(self, x):
        p = torch.sigmoid(self.conv(x).mean((1, 2)) + 40)
        return torch.log(p / (1 - p))[:, None]

def fraction():
    return LogFraction(), (4, 60)

def logit():
    return Logit(), (4, 60)
"""


def invoke(*args):
    """Run the command in this process; a SystemExit is its end, anything else a mistake."""
    result = CliRunner().invoke(application(), [str(a) for a in args])
    unexpected = result.exception
    assert unexpected is None or isinstance(unexpected, SystemExit), unexpected
    return result


def succeed(*args):
    result = invoke(*args)
    assert result.exit_code == 0, result.stderr
    return result


def promoters(count, length=LENGTH):
    """Real sequences next to the start site: (name, letters)."""
    records = read_fasta(PROMOTERS, limit=count)
    return [(record.name, record.sequence[-length:]) for record in records]


def write_fasta(path, records):
    path.write_text("".join(f">{name}\n{letters}\n" for name, letters in records))
    return path


def small_keras(outputs=1, length=LENGTH):
    """Two convolutions, 60 bp; a second output where asked for."""
    import keras

    keras.utils.set_random_seed(7)
    x = keras.Input((length, 4), name="sequence")
    y = keras.layers.Conv1D(6, 7, activation="relu", padding="same")(x)
    y = keras.layers.MaxPooling1D(3)(y)
    y = keras.layers.Conv1D(5, 3, activation="relu")(y)
    heads = [keras.layers.Dense(3, name="expression")(keras.layers.Flatten()(y))]
    if outputs == 2:
        heads.append(keras.layers.GlobalAveragePooling1D(name="mean")(y))
    return keras.Model(x, heads if outputs > 1 else heads[0])


def files(folder, count=7):
    """A folder with a Keras model, torch modules and a FASTA file of `count` sequences."""
    model = small_keras()
    model.save(folder / "small.keras")
    (folder / "modules.py").write_text(TORCH)
    records = promoters(count)
    return SimpleNamespace(
        folder=folder,
        model=model,
        keras=folder / "small.keras",
        torch=f"{folder / 'modules.py'}:build",
        fasta=write_fasta(folder / "promoters.fa", records),
        names=[name.split()[0] for name, _ in records],
        sequences=[letters for _, letters in records],
    )


def damaged(model):
    """Set one weight to NaN."""
    weights = model.get_weights()
    weights[0][0, 0, 0] = np.nan
    model.set_weights(weights)
    return model

"""The promoter model: two convolutional blocks and a dense one.

Requirements: keras, and torch for its twin; imported when a model is built.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras
    import torch

#: Positions of its sequences, the last one next to the start site.
LENGTH = 400
#: Filters, width and pool of every block.
BLOCKS = ((64, 15, 4), (96, 11, 5))
HIDDEN = 160
#: Share of the activations that training leaves out, in the blocks and in the dense layer.
DROPOUT, DENSE_DROPOUT = 0.2, 0.5


def promoter_model(seqlen: int = LENGTH) -> keras.Model:
    """Build the promoter model, untrained.

    Its output is the logit: the log-odds that a sequence lies next to a start site, of which a
    sigmoid makes the probability. Probabilities saturate: where one is close to 1 no mutation
    moves it, and importance would vanish on just the promoters that the model is sure of. On
    logits, effects of mutations of independent parts add up.

    Parameters
    ----------
    seqlen : int, default 400
        Length of the sequence, at least 20.

    Returns
    -------
    keras.Model
        Input ``(batch, seqlen, 4)``, output ``(batch, 1)``; about 0.4M parameters at 400.
    """
    import keras
    from keras import layers

    inputs = keras.Input((seqlen, 4), name="sequence")
    x = inputs
    for block, (filters, width, pool) in enumerate(BLOCKS, start=1):
        conv = f"conv{block}"
        x = layers.Conv1D(filters, width, padding="same", activation="relu", name=conv)(x)
        x = layers.BatchNormalization(name=f"{conv}_norm")(x)
        x = layers.MaxPooling1D(pool, name=f"pool{block}")(x)
        x = layers.Dropout(DROPOUT, name=f"dropout{block}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(HIDDEN, activation="relu", name="dense")(x)
    x = layers.Dropout(DENSE_DROPOUT, name="dense_dropout")(x)
    return keras.Model(inputs, layers.Dense(1, name="logit")(x), name="promoter_model")


def promoter_module(seqlen: int = LENGTH) -> torch.nn.Module:
    """The twin of `promoter_model` as a PyTorch module, for `fastism.models.transfer`.

    Parameters
    ----------
    seqlen : int, default 400
        As for `promoter_model`.

    Returns
    -------
    torch.nn.Module
        Input ``(batch, 4, seqlen)``, output ``(batch, 1)``; untrained.
    """
    from torch import nn

    modules: OrderedDict[str, nn.Module] = OrderedDict()
    channels, positions = 4, seqlen
    for block, (filters, width, pool) in enumerate(BLOCKS, start=1):
        conv = f"conv{block}"
        modules[conv] = nn.Conv1d(channels, filters, width, padding="same")
        modules[f"{conv}_relu"] = nn.ReLU()
        # Keras' default of epsilon.
        modules[f"{conv}_norm"] = nn.BatchNorm1d(filters, eps=1e-3)
        modules[f"pool{block}"] = nn.MaxPool1d(pool)
        modules[f"dropout{block}"] = nn.Dropout(DROPOUT)
        channels, positions = filters, positions // pool
    modules["flatten"] = nn.Flatten()
    modules["dense"] = nn.Linear(channels * positions, HIDDEN)
    modules["dense_relu"] = nn.ReLU()
    modules["dense_dropout"] = nn.Dropout(DENSE_DROPOUT)
    modules["logit"] = nn.Linear(HIDDEN, 1)
    return nn.Sequential(modules)

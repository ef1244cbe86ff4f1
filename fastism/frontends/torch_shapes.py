"""Shapes of the inputs of a torch module, as users tell them.

Requirements: torch.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import torch

from fastism.errors import FastISMError
from fastism.frontends.input_index import check_index, which_input

Shape = tuple[int, ...]
SHAPE_REMEDY = (
    "give the shape of one input without the batch axis, input_shape=(4, 1000) (--input-shape "
    "4,1000 on the command line), or in Python a list of shapes for several inputs"
)
#: More letters than any alphabet has (there are 64 codons), and fewer positions than models read
#: that take as many features of each.
MOST_LETTERS, FEW_POSITIONS = 64, 32


def input_shapes(
    module: torch.nn.Module,
    sequence: int,
    seqlen: int | None,
    given: Any,
    channels_last: bool | None,
) -> list[Shape]:
    """Shapes of all inputs without the batch axis, checked.

    Parameters
    ----------
    module : torch.nn.Module
    sequence : int
        Which input is the sequence.
    seqlen : int or None
        Its length, where that is told.
    given : tuple of int, or sequence of them, or None
        What the user says the shapes are.
    channels_last : bool or None
        Whether the sequence is ``(length, characters)``; None if nobody said.

    Raises
    ------
    FastISMError
        If these are no shapes, none is that of a sequence, or its axes look exchanged.
    """
    if given is None:
        given = _guessed(module, seqlen, bool(channels_last))
    try:
        single = all(isinstance(n, (int, np.integer)) for n in given)
        shapes = [tuple(int(n) for n in shape) for shape in ([given] if single else given)]
    except (TypeError, ValueError):
        shapes = []
    if not shapes or any(n < 1 for shape in shapes for n in shape):
        raise FastISMError(f"input_shape is {given!r}: {SHAPE_REMEDY}.")
    check_index(sequence, len(shapes), _names(module, len(shapes)))
    _check_sequence(shapes, sequence, seqlen, channels_last)
    return shapes


def _check_sequence(
    shapes: list[Shape], sequence: int, seqlen: int | None, channels_last: bool | None
) -> None:
    shape = shapes[sequence]
    if len(shape) != 2:
        wanted = "(length, characters)" if channels_last else "(characters, length)"
        raise FastISMError(
            f"Input {sequence} has shape {shape} without the batch axis; the "
            f"perturbed sequence needs {wanted}.{which_input(len(shapes))}"
        )
    length = shape[0 if channels_last else 1]
    if seqlen not in (None, length):
        raise FastISMError(
            f"seqlen={seqlen} (--seqlen) was given, but the sequence length in input_shape is "
            f"{length} (--input-shape). Leave out what is wrong."
        )
    if channels_last is None and _look_exchanged(*shape):
        raise FastISMError(_exchanged(*shape))


def _look_exchanged(characters: int, positions: int) -> bool:
    """Whether so many characters at so few positions are rather the other way round."""
    few = positions == 4 or (positions <= FEW_POSITIONS and characters > MOST_LETTERS)
    return few and positions < characters


def _exchanged(length: int, characters: int) -> str:
    return (
        f"input_shape=({length}, {characters}) is read as {length} characters at {characters} "
        "positions, as torch modules take characters first. If the module takes (length, "
        "characters), give channels_last=True (--channels-last on the command line); if it does "
        f"not, give input_shape=({characters}, {length}). channels_last=False takes the shape as "
        "it is."
    )


def _names(module: torch.nn.Module, count: int) -> list[str]:
    """What the first `count` arguments of the module are called; empty where that is unknown."""
    try:
        parameters = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        # A module of TorchScript has no signature.
        return []
    names = [x.name for x in parameters if x.kind in (x.POSITIONAL_ONLY, x.POSITIONAL_OR_KEYWORD)]
    return names[:count] if len(names) >= count else []


def _guessed(module: torch.nn.Module, seqlen: int | None, channels_last: bool) -> Shape:
    """A sequence of `seqlen` with the channels that the module's first convolution takes."""
    convolutions = [m for m in module.modules() if isinstance(m, torch.nn.Conv1d)]
    if seqlen is None or not convolutions:
        raise FastISMError(f"A torch module does not tell the shape of its input: {SHAPE_REMEDY}.")
    channels = convolutions[0].in_channels
    return (seqlen, channels) if channels_last else (channels, seqlen)

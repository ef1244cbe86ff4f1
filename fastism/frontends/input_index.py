"""Which of a model's inputs is the sequence, checked.

Requirements: numpy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastism.errors import FastISMError


def check_index(index: Any, count: int, names: Sequence[str] = ()) -> None:
    """Refuse what is not the number of an input.

    Parameters
    ----------
    index : int
        What the user gave as `seq_input_idx`.
    count : int
        Inputs of the model.
    names : sequence of str
        What they are called, in order; empty where they have no names.

    Raises
    ------
    FastISMError
        If `index` is no integer from 0 to `count` - 1.
    """
    if isinstance(index, (int, np.integer)) and 0 <= index < count:
        return
    named = ", ".join(f"{number} is {name!r}" for number, name in enumerate(names))
    raise FastISMError(
        f"seq_input_idx={index!r}, but the model has {count} input(s): expected an integer, the "
        f"number of the sequence among them, counted from 0{f' ({named})' if named else ''}."
    )


def which_input(count: int) -> str:
    """A sentence for what is no sequence: how another of `count` inputs is chosen."""
    remedy = " If another input is the sequence, give its number, seq_input_idx=."
    return remedy if count > 1 else ""

"""The one number of a model's outputs that a figure shows.

Requirements: none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from fastism.errors import FastISMError
from fastism.store.selection import Output, read_selection


def one_entry(
    outputs: Sequence[Output], text: str | None, reduced: str
) -> tuple[int, tuple[int, ...], str]:
    """Read ``--output``.

    Parameters
    ----------
    outputs : sequence of Output
        All that the file has.
    text : str or None
        The option; None where there is but one number.
    reduced : str
        Why no mean or sum can be taken.

    Returns
    -------
    (int, tuple of int, str)
        Number of the output, index of the entry in it, and what to call it.

    Raises
    ------
    FastISMError
        If it names none, or several.
    """
    chosen = read_selection("0" if text is None else text, outputs)
    if chosen.reduces:
        raise FastISMError(f"--output {text}: {reduced}.")
    shape = outputs[chosen.output].shape
    left = shape[len(chosen.axes) :]
    if (text is None and len(outputs) > 1) or any(length > 1 for length in left):
        columns = sum(math.prod(each.shape) for each in outputs)
        raise FastISMError(
            f"--output {text or ''}: the file has {columns} columns of {len(outputs)} outputs, "
            f"{', '.join(f'{each.name} {each.shape}' for each in outputs)}; name one of them as I, "
            "or I:A,B,... for an entry of every axis of output I."
        )
    index = (*map(int, chosen.axes), *[0] * len(left))
    name = outputs[chosen.output].name
    return chosen.output, index, f"{name} {','.join(map(str, index))}" if index else name

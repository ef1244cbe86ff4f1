"""Checks of the builders' arguments.

Requirements: none. A length that a model cannot take is refused here, in the library's words,
before Keras fails somewhere in the middle of the model.
"""

from __future__ import annotations

import operator

from fastism.errors import FastISMError


def check_whole(model: str, argument: str, value: int, least: int = 1) -> int:
    """Return `value` as an int of at least `least`, or raise FastISMError naming the argument."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool) or number < least:
        raise FastISMError(
            f"{model}: {argument}={value!r}; expected a whole number of at least {least}."
        )
    return number


def check_length(model: str, seqlen: int, shortest: int) -> int:
    """Return `seqlen` if the model's convolutions and pools leave something of it."""
    length = check_whole(model, "seqlen", seqlen)
    if length < shortest:
        raise FastISMError(
            f"{model}: seqlen={length} is too short, its convolutions and pools leave nothing of "
            "it; "
            f"expected at least {shortest}. Pass a longer seqlen."
        )
    return length

"""What the benchmark raises besides the library's own `FastISMError`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

T = TypeVar("T")


class BenchmarkError(RuntimeError):
    """A job cannot give what it is for: methods disagree, or nothing could be run."""


def look_up(what: str, name: str, known: Mapping[str, T]) -> T:
    """The entry of a registry.

    Parameters
    ----------
    what : str
        What the registry holds, for the message.
    name : str
    known : mapping from str
        The registry.

    Raises
    ------
    BenchmarkError
        There is no such entry; names those that there are.
    """
    if name not in known:
        raise BenchmarkError(f"unknown {what} {name!r}; expected one of {', '.join(known)}")
    return known[name]

"""The library's exception.

Requirements: none.
"""

from __future__ import annotations


class FastISMError(ValueError):
    """The one exception type of the library.

    It is raised for everything a caller can mend: an input of the wrong shape, a model that cannot
    be read, a setting that is not supported, a file that is not what it should be. The message says
    what was given, what was expected, and what to do.
    """


class NotFiniteError(FastISMError):
    """A model itself gives NaN or infinite outputs."""


def install(extra: str) -> str:
    """How to install what an optional part of the program needs."""
    return f"Install it from a clone of the repository: pip install '.[{extra}]'."


def no_memory(error: BaseException) -> bool:
    """Whether an exception of Python or of a framework says that memory is used up."""
    words = f"{type(error).__name__} {error}".lower()
    known = ("outofmemory", "out of memory", "resourceexhausted", "resource_exhausted")
    return isinstance(error, MemoryError) or any(word in words for word in known)

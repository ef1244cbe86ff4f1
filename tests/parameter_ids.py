"""Names of test parameters: the same in every process, on every machine, and readable.

pytest-xdist runs nothing where two of its processes collect different names, and what failed is
run again by its name. So a name is made from plain values only; whatever else is given to
`pytest.mark.parametrize` needs one (``ids=`` or ``pytest.param(..., id=)``).
"""

from __future__ import annotations

import enum
import hashlib
from dataclasses import fields, is_dataclass
from types import FunctionType

import numpy as np

_PLAIN = (str, int, float, complex, type(None), enum.Enum)
#: A name that is longer than this tells a reader nothing.
LONGEST = 80


def name_of(value: object) -> str | None:
    """The name of a parameter.

    Parameters
    ----------
    value : object
        What a test is parametrised with.

    Returns
    -------
    str or None
        None where pytest's own name does: the value itself, or that of a class or a function.

    Raises
    ------
    TypeError
        Nothing in the value says what to call it, or its name would be too long.
    """
    if isinstance(value, _PLAIN) or _has_a_name(value):
        return None
    if not _is_plain(value):
        raise TypeError(
            f"a parameter of type {type(value).__name__} has no name of its own; give one with "
            "ids= or pytest.param(..., id=)"
        )
    name = str(value)
    if len(name) > LONGEST:
        raise TypeError(
            f"the parameter {name[:20]}... makes a name of {len(name)} characters; give one of at "
            f"most {LONGEST} with ids= or pytest.param(..., id=)"
        )
    return name


def digest(value: object) -> str:
    """A summary of a parameter that tells apart what two processes made of it.

    Of objects that are neither data nor named, only the class counts.
    """
    return hashlib.sha256(_content(value).encode()).hexdigest()[:16]


def _has_a_name(value: object) -> bool:
    return isinstance(value, type) or (
        isinstance(value, FunctionType) and value.__name__ != "<lambda>"
    )


def _is_plain(value: object) -> bool:
    if isinstance(value, dict):
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, (*_PLAIN, range, slice))


def _content(value: object) -> str:
    if _is_plain(value) or isinstance(value, bytes):
        return repr(value)
    if isinstance(value, np.ndarray):
        return f"{value.dtype}{value.shape}{value.tolist()}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{_content(k)}: {_content(v)}' for k, v in value.items())}}}"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_content, value))}]"
    if is_dataclass(value) and not isinstance(value, type):
        return f"{type(value).__name__}{[_content(getattr(value, f.name)) for f in fields(value)]}"
    named = value if isinstance(value, (type, FunctionType)) else type(value)
    return f"{named.__module__}.{named.__qualname__}"

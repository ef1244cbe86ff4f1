"""A lock as Python sees it.

Requirements: the standard library.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
#: No local version, such as that of torch 2.13.0+cpu: it exists on some machines only.
LINE = re.compile(r"([A-Za-z0-9_.-]+)==([A-Za-z0-9.]+)  # ([a-z0-9_.]+-[a-z0-9_.]+-[a-z0-9_.]+)")


@dataclass(frozen=True, slots=True)
class Pin:
    """One line of a lock.

    Attributes
    ----------
    name : str
        The package, as pip writes its name.
    version : str
        Without a local part.
    tags : str
        The compressed tags in the file name of its wheel: Python, ABI, and platforms.
    """

    name: str
    version: str
    tags: str

    @property
    def requirement(self) -> str:
        """What pip is told."""
        return f"{self.name}=={self.version}"

    @property
    def key(self) -> str:
        """The name in the one spelling that can be compared."""
        return canonical(self.name)

    def __str__(self) -> str:
        """The line of the lock."""
        return f"{self.requirement}  # {self.tags}"


def canonical(name: str) -> str:
    """The spelling of a package's name that is the same for all of its spellings."""
    return re.sub(r"[-_.]+", "-", name).lower()


def lock_path(purpose: str) -> Path:
    """Where the lock of a purpose is."""
    return FOLDER / f"{purpose}.lock"


def read_lock(purpose: str) -> dict[str, Pin]:
    """The pins of a purpose by their canonical names.

    Raises
    ------
    ValueError
        A line is neither a comment nor ``name==version  # tags``, or a package is pinned twice.
    """
    pins: dict[str, Pin] = {}
    for line in lock_path(purpose).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        found = LINE.fullmatch(line)
        if found is None:
            raise ValueError(
                f"{lock_path(purpose).name}: {line!r} is not `name==version  # tags of its wheel`; "
                "write the locks with python -m requirements.lock."
            )
        pin = Pin(*found.groups())
        if pin.key in pins:
            raise ValueError(f"{lock_path(purpose).name}: {pin.name} is pinned twice.")
        pins[pin.key] = pin
    return pins

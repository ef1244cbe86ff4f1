"""A published architecture in small: how it is built, where it is described, what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Family:
    """A family of models, of which `build` makes a small member with few channels.

    Parameters
    ----------
    name : str
    source : str
        Whose description the structure follows, or which package has it.
    length : int
        Positions of its sequence.
    build : callable
        Makes the model, whose weights may be anything.
    framework : {"torch", "keras"}
    sides : tuple of shape
        Shapes of further inputs, behind the sequence.
    channels_last : bool
        Whether a torch module takes positions before characters.
    note : str
        What is to be said about it in the table.
    """

    name: str
    source: str
    length: int
    build: Callable[[], Any]
    framework: str
    sides: tuple[Shape, ...] = ()
    channels_last: bool = False
    note: str = ""

    @property
    def shapes(self) -> list[Shape]:
        """Shapes of the inputs without the batch axis."""
        last = self.channels_last or self.framework == "keras"
        return [(self.length, 4) if last else (4, self.length), *self.sides]


class Register:
    """Families in the order in which they were added.

    Parameters
    ----------
    framework : {"torch", "keras"}
    """

    def __init__(self, framework: str) -> None:
        self.framework, self.families = framework, []

    def __call__(self, name: str, source: str, length: int, **told: Any) -> Callable:
        """A decorator of the function that builds a family."""

        def added(build: Callable[[], Any]) -> Callable[[], Any]:
            given = name, source, length, build, self.framework
            self.families.append(Family(*given, **told))
            return build

        return added

"""The rooms of the code: what each folder holds, and which others it imports.

Requirements: none; the code is read, not imported.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from docs.generate import ROOT, table

#: What any room imports, so that the tables do not name it.
EVERYWHERE = "fastism.errors"


@dataclass(frozen=True, slots=True)
class Room:
    """A folder of Python files, or a module that stands alone above the folders.

    Attributes
    ----------
    name : str
        Dotted, as it is imported.
    about : str
        The first line of its docstring.
    modules : tuple of str
        Its files without suffix, below the folder, but those that only mark a package.
    imports : frozenset of str
        Other rooms of the package that it imports anywhere, also within functions.
    """

    name: str
    about: str
    modules: tuple[str, ...]
    imports: frozenset[str]


def library_rooms() -> str:
    """The rooms of `fastism`, from those that import nothing of the others upward."""
    return _table("fastism")


def benchmark_rooms() -> str:
    """The rooms of `benchmarks`."""
    return _table("benchmarks")


def rooms(package: str, root: Path = ROOT) -> list[Room]:
    """The rooms of a package, each after all that it imports as far as that is possible.

    Parameters
    ----------
    package : str
        A folder of `root`.
    root : Path
        Where imports start.
    """
    folder = root / package
    places = [p for p in sorted(folder.iterdir()) if p.is_dir() and any(p.rglob("*.py"))]
    places += [p for p in sorted(folder.glob("*.py")) if not p.name.startswith("_")]
    names = {f"{package}.{place.stem}" for place in places}
    return _ordered([_room(place, package, names) for place in places])


def _room(place: Path, package: str, names: set[str]) -> Room:
    files = sorted(place.rglob("*.py")) if place.is_dir() else [place]
    name = f"{package}.{place.stem}"
    found = {_room_of(target, names) for file in files for target in _imported(file)}
    below = (f.relative_to(place).with_suffix("").as_posix() for f in files if place.is_dir())
    modules = tuple(path for path in below if not path.rpartition("/")[2].startswith("__"))
    first = place / "__init__.py" if place.is_dir() else place
    return Room(name, _about(first), modules, frozenset(found - {None, name}))


def _about(path: Path) -> str:
    if not path.is_file():
        return ""
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def _imported(path: Path) -> Iterator[str]:
    """Modules, and names of modules, that a file imports; not those for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def _room_of(target: str, names: set[str]) -> str | None:
    found = ".".join(target.split(".")[:2])
    return found if found in names else None


def _ordered(found: list[Room]) -> list[Room]:
    """Those whose imports stand above first; what is left of a circle, in the order given."""
    left, ordered = list(found), []
    while left:
        placed = {room.name for room in ordered}
        ready = [room for room in left if room.imports <= placed]
        ordered += ready or left
        left = [room for room in left if room not in ordered]
    return ordered


def _table(package: str) -> str:
    rows = []
    for room in rooms(package):
        path = room.name.replace(".", "/") + ("/" if room.modules else ".py")
        imports = ", ".join(sorted(n.partition(".")[2] for n in room.imports - {EVERYWHERE}))
        rows.append([f"`{path}`", room.about, ", ".join(room.modules), imports])
    return table(["room", "what it holds", "its files", "imports"], rows)

"""Who imports whom, read from the source: nothing is imported to find out."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path


def modules_of(root: Path, *packages: str) -> dict[str, str]:
    """The source of every module of some packages, by its dotted name."""
    found = {}
    for package in packages:
        for path in sorted((root / package).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            found[name] = path.read_text()
    return found


def imported(source: str) -> Iterator[str]:
    """Dotted names that a module imports anywhere: in functions and for type checks, too.

    Of ``from a import b``, both ``a`` and ``a.b``, which may be a module; of
    ``import_module("a")`` with a name written out, that name.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and node.args:
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            given = node.args[0]
            if name == "import_module" and isinstance(given, ast.Constant):
                yield given.value


def edges(sources: Mapping[str, str]) -> dict[str, set[str]]:
    """Which of the modules each of them imports; of ``from a import b``, b where it is one."""
    found = {}
    for name, source in sources.items():
        names = set(imported(source)) & set(sources) - {name}
        # A package is imported with each of its modules; only what comes from itself counts.
        parents = {n for n in names if any(other.startswith(f"{n}.") for other in names)}
        found[name] = names - {n for n in parents if not _takes_from(source, n, sources)}
    return found


def _takes_from(source: str, package: str, sources: Mapping[str, str]) -> bool:
    """Whether a module takes something of a package that is not one of its modules."""
    return any(
        isinstance(node, ast.ImportFrom)
        and node.module == package
        and any(f"{package}.{alias.name}" not in sources for alias in node.names)
        for node in ast.walk(ast.parse(source))
    )


def circle(graph: Mapping[str, set[str]]) -> list[str]:
    """Modules that import each other in a circle, the first one again at the end; none: empty."""
    done: set[str] = set()
    for start in graph:
        path: list[str] = []
        stack: list[tuple[str, Iterator[str]]] = []

        def enter(name: str, path: list = path, stack: list = stack) -> None:
            path.append(name)
            stack.append((name, iter(sorted(graph[name]))))

        if start not in done:
            enter(start)
        while stack:
            name, rest = stack[-1]
            following = next(rest, None)
            if following is None:
                done.add(name)
                path.pop()
                stack.pop()
            elif following in path:
                return [*path[path.index(following) :], following]
            elif following not in done:
                enter(following)
    return []

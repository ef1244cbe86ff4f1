"""Pieces of the repository's code, for pages that walk through it.

Requirements: none; nothing is imported.
"""

from __future__ import annotations

import ast
from textwrap import dedent

from docs.generate import ROOT


def source(path: str, name: str) -> str:
    """A function, class or assignment of a file, as a block of code that names the file.

    Parameters
    ----------
    path : str
        From the top of the repository.
    name : str
        Of something defined at the top level of the file, or ``Class.method``.

    Raises
    ------
    KeyError
        If the file has no such definition.
    """
    text = (ROOT / path).read_text()
    body: list[ast.stmt] = ast.parse(text).body
    *outer, last = name.split(".")
    for part in outer:
        body = [
            inner for node in body if part in _names(node) for inner in getattr(node, "body", ())
        ]
    for node in body:
        if last in _names(node):
            decorators = getattr(node, "decorator_list", [])
            first = min([node.lineno, *(d.lineno for d in decorators)])
            lines = text.splitlines()[first - 1 : node.end_lineno]
            return "\n".join([f'```{{.py title="{path}"}}', dedent("\n".join(lines)), "```"])
    raise KeyError(f"{path} defines no {name!r} that a page could show.")


def _names(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.AnnAssign):
        return {node.target.id} if isinstance(node.target, ast.Name) else set()
    if isinstance(node, ast.Assign):
        return {target.id for target in node.targets if isinstance(target, ast.Name)}
    return set()

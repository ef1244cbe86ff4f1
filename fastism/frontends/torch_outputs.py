"""Names of what a torch module returns.

Requirements: torch.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.utils import _pytree


def names_of_outputs(made: Any) -> list[str]:
    """Names of the tensors in what a module returned, in order; empty where they have none.

    Keys of a dict and fields of a named tuple are names. What is nested has the names on the way to
    it, joined by dots.

    Parameters
    ----------
    made : tensor, or a dict, tuple, list of them

    Examples
    --------
    >>> y = torch.zeros(2, 1)
    >>> names_of_outputs({"profile": [y, y], "counts": y})
    ['profile.0', 'profile.1', 'counts']
    >>> names_of_outputs((y, y))
    []
    """
    try:
        leaves, _ = _pytree.tree_flatten_with_path(made)
    except ValueError:
        # A container of somebody's own, whose parts have no names.
        return []
    paths = [path for path, y in leaves if isinstance(y, torch.Tensor)]
    if any(not path or isinstance(path[0], _pytree.SequenceKey) for path in paths):
        return []
    return [".".join(map(_word, path)) for path in paths]


def _word(key: Any) -> str:
    """One step of the way to a tensor: a key, a field or a number."""
    kinds = {_pytree.MappingKey: "key", _pytree.GetAttrKey: "name", _pytree.SequenceKey: "idx"}
    attribute = kinds.get(type(key))
    return str(key) if attribute is None else str(getattr(key, attribute))

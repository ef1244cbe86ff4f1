"""The methods that are benchmarked, one file each, found by looking into this folder.

To add a method: a file here with one subclass of `base.Method`. Nothing else is edited.
"""

from __future__ import annotations

import importlib
import pkgutil

from benchmarks.attribution.base import Attribution, Check, Method, Setting, WouldExceed

__all__ = ["Attribution", "Check", "Method", "Setting", "WouldExceed", "discover"]


def discover() -> dict[str, type[Method]]:
    """Every method in this folder, by name, in the order of the file names.

    Returns
    -------
    dict from str to subclass of Method

    Raises
    ------
    ValueError
        Two files use the same name.
    """
    found: dict[str, type[Method]] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(__path__)):
        content = vars(importlib.import_module(f"{__name__}.{module}"))
        for value in content.values():
            if not (isinstance(value, type) and issubclass(value, Method)):
                continue
            if value.__module__ != f"{__name__}.{module}" or value is Method:
                continue
            if value.name in found:
                raise ValueError(f"Two methods are called {value.name!r}; rename one of them.")
            found[value.name] = value
    return found

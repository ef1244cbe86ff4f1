"""Programs that `torch.export` made, as the modules that they are made to be run as.

Requirements: none; torch is there where such a program is.
"""

from __future__ import annotations

from typing import Any


def as_module(model: Any) -> Any:
    """The module of an exported program; anything else as it is.

    Parameters
    ----------
    model : torch.export.ExportedProgram, or anything
    """
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    return model.module() if "torch.export.exported_program.ExportedProgram" in names else model

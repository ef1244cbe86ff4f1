"""Programs that `torch.export` made, as the modules that they are made to be run as.

Requirements: none; torch is there where such a program is.
"""

from __future__ import annotations

import inspect
from typing import Any

PROGRAM = "torch.export.exported_program.ExportedProgram"


def as_module(model: Any) -> Any:
    """The module of an exported program; anything else as it is.

    A largest batch that the program was exported with is left out: its calls know none, and
    mutants run in batches of any size.

    Parameters
    ----------
    model : torch.export.ExportedProgram, or anything
    """
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    if PROGRAM not in names:
        return model
    if "check_guards" in inspect.signature(model.module).parameters:
        return model.module(check_guards=False)
    made = model.module()
    if model.range_constraints:  # as older versions of PyTorch have it
        made.validate_inputs = False
    return made

"""Which options of a command a workflow passes on: all but those that a run of many jobs sets.

Requirements: none.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

#: Arguments and options that belong to one job, and are set by the workflow itself.
OF_A_JOB = ("model", "input", "vcf", "output", "shard", "resume", "force", "quiet")


def passed_on(command: Callable[..., None]) -> dict[str, bool]:
    """Names of the options that a workflow's config may hold, in the order of the command's help.

    Parameters
    ----------
    command : callable
        The function of a command, such as `fastism.cli.score.score`.

    Returns
    -------
    dict of str to bool
        As in the config, with underscores; whether an option is a flag, without a value.
    """
    parameters = inspect.signature(command).parameters.values()
    return {
        each.name: isinstance(each.default, bool)
        for each in parameters
        if each.name not in OF_A_JOB
    }


def words(command: Callable[..., None], config: Mapping[str, Any]) -> list[str]:
    """The options of a command that a config holds, as words of a command line."""
    made = []
    for name, flag in passed_on(command).items():
        option = f"--{name.replace('_', '-')}"
        if name in config and not flag:
            made.append(f"{option}={config[name]}")
        elif config.get(name):
            made.append(option)
    return made


def config_schema(folder: Path, command: str) -> dict[str, Any]:
    """What the config of a workflow may hold: keys of its own, and those of all sharded runs.

    Parameters
    ----------
    folder : Path
        Of workflows; it holds ``COMMAND.schema.json`` and ``sharded.schema.json``.
    command : str

    Returns
    -------
    dict
        A JSON schema.
    """
    own, shared = (
        json.loads((folder / f"{name}.schema.json").read_text()) for name in (command, "sharded")
    )
    required = [*own["required"], *shared["required"]]
    properties = {**own["properties"], **shared["properties"]}
    return {**own, "required": required, "properties": properties}

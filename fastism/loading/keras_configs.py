"""What a Keras file says about its layers, read without Keras: whether it holds code.

Requirements: numpy; h5py for ``.h5`` files.

Keras refuses lambdas in its safe mode, but the loader of ``.h5`` files has done so only since
version 3.11.3, and names of functions and modules in a file have been used to run code through the
loader of ``.keras`` files as well. So what a file may name is checked here, before Keras sees it.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fastism.errors import FastISMError

#: Classes that run code from the file, or load other files that hold code.
CODE = ("Lambda", "__lambda__", "TFSMLayer", "TorchModuleWrapper", "FlaxLayer", "JaxLayer")
#: Packages of Keras whose functions a file may name: they compute and do nothing else.
FUNCTIONS = (
    "activations",
    "backend",
    "constraints",
    "initializers",
    "losses",
    "metrics",
    "ops",
    "regularizers",
)


def file_config(path: Path) -> Any:
    """The configuration of the model in a ``.keras`` or ``.h5`` file.

    Raises
    ------
    FastISMError
        If the file is damaged or holds no model.
    """
    if path.suffix.lower() == ".keras":
        return _from_zip(path)
    return _from_hdf5(path)


def _from_zip(path: Path) -> Any:
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except OSError as error:
        raise FastISMError(f"{path} cannot be read ({error.strerror or error}).") from error
    except (zipfile.BadZipFile, zlib.error, KeyError, ValueError, EOFError) as error:
        raise FastISMError(
            f"{path} is not a Keras model, or damaged ({error}). Expected a zip archive with "
            "config.json, as model.save('model.keras') writes it; copy it again."
        ) from error
    if isinstance(config, dict):
        # Loss and optimizer are not loaded, and so need no code.
        config.pop("compile_config", None)
    return config


def _from_hdf5(path: Path) -> Any:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            config = file.attrs.get("model_config")
    except OSError as error:
        reason = error.strerror or str(error)
        raise FastISMError(
            f"{path} is not an HDF5 file, or damaged ({reason}). Copy it again."
        ) from error
    if config is None:
        raise FastISMError(
            f"{path} holds no Keras model: it has no model_config. Weights alone (save_weights) "
            "are not enough: save the whole model, or give module:function that loads them."
        )
    try:
        return json.loads(config)
    except ValueError as error:
        raise FastISMError(f"The model_config of {path} is damaged ({error}).") from error


def check_config(config: Any, name: str) -> None:
    """Raise FastISMError if loading a model with this configuration could run code of its file.

    Parameters
    ----------
    config : object read from JSON
    name : str
        Of the file, for the message.
    """
    for entry in _entries(config):
        reason = _code(entry)
        if reason:
            raise FastISMError(
                f"{name} holds {reason}, which runs code when it is loaded. If you trust where "
                "the file comes from, add --unsafe; or give module:function that builds the model."
            )


def _entries(config: Any) -> Iterator[dict[str, Any]]:
    """All objects in a configuration that name a class."""
    waiting = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            if "class_name" in value:
                yield value
            waiting.extend(value.values())
        elif isinstance(value, list):
            waiting.extend(value)


def _code(entry: dict[str, Any]) -> str:
    """What in an entry runs code; empty if nothing does."""
    kind, module = str(entry["class_name"]), entry.get("module")
    own = entry.get("registered_name")
    if kind.rpartition(">")[2] in CODE:
        layer = entry.get("config")
        called = layer.get("name") if isinstance(layer, dict) else None
        return f"a {kind} layer" + (f" ({called!r})" if called else "")
    if kind == "function":
        return _function(entry)
    if module is not None and str(module).partition(".")[0] not in ("keras", "builtins"):
        return f"the custom class {kind!r} of the module {module!r}"
    if ">" in kind or (own and ">" in str(own)) or ("module" in entry and module is None):
        return f"the custom class {kind!r}"
    return ""


def _function(entry: dict[str, Any]) -> str:
    module = str(entry.get("module"))
    parts = [part for part in module.split(".") if part != "src"]
    if parts[0] == "keras" and len(parts) > 1 and parts[1] in FUNCTIONS:
        return ""
    return f"the custom function {entry.get('config')!r}"

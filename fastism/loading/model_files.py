"""What a user calls a model, a file or a function, to the model itself.

Requirements: numpy; the framework of the model is imported when it is loaded. Files are read
without running code that they may hold, unless the caller says so
(`fastism.loading.keras_configs`).
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from fastism.errors import FastISMError, install
from fastism.loading import torch_files
from fastism.loading.devices import choose_device, gpu_count
from fastism.loading.keras2 import mended, name_tensorflow, operations
from fastism.loading.keras_configs import check_config, file_config
from fastism.loading.torch_files import TORCH_SUFFIXES
from fastism.loading.torch_programs import as_module

KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
#: Files that hold a compiled graph.
GRAPH_SUFFIXES = (".onnx", ".pb", ".tflite")
#: The model's own packages, in the order in which Keras takes one without being told.
FRAMEWORKS = ("tensorflow", "jax", "torch")
EXPECTED = (
    "a .keras or .h5 file, a SavedModel folder, or module:function or file.py:function that "
    "returns a Keras or PyTorch model"
)


@dataclass(frozen=True)
class LoadedModel:
    """A model and where it comes from.

    Attributes
    ----------
    model : keras.Model or torch.nn.Module
    name : str
        File name, or module:function.
    hash : str
        SHA-256, hexadecimal: of the file or the files of the folder; of the weights where a
        function made the model.
    input_shape : tuple of int, or list of them, or None
        What a function said about the inputs of a torch module, without the batch axis.
    """

    model: Any
    name: str
    hash: str
    input_shape: Any = None

    @property
    def framework(self) -> str:
        """The framework that the model itself runs on."""
        if is_keras(self.model):
            return sys.modules["keras"].backend.backend()
        return "torch"


def load_model(
    spec: str, *, unsafe: bool = False, opaque: bool = False, device: str | None = None
) -> LoadedModel:
    """Load a model from a file, or from a function that returns one.

    Parameters
    ----------
    spec : str
        A Keras file (``.keras``, ``.h5``), the folder of a SavedModel, or ``module:function`` or
        ``file.py:function``. Naming a function runs the code of its module; it is called without
        arguments and returns a model, or a pair of a torch module and its input shape.
    unsafe : bool
        Run code that the file holds (Lambda layers, custom classes, the graph of a SavedModel).
    opaque : bool
        Take a SavedModel that holds no layers as one function, which only naive ISM can use.
    device : str, optional
        ``cpu``, ``gpu`` or ``gpu:I``; must be chosen before a framework is first used. The
        framework's own choice by default.

    Raises
    ------
    FastISMError
        If there is no such model, it cannot be loaded, a package is missing, it would run code,
        its weights hold NaN, or there are several.
    """
    made = load_models(spec, unsafe=unsafe, opaque=opaque, device=device)
    if made.several:
        raise FastISMError(
            f"{spec} returned several models, and one is taken here. `fastism score` takes several."
        )
    return next(made.each)


@dataclass(frozen=True)
class LoadedModels:
    """What stands behind one name: usually one model.

    Parameters
    ----------
    several : bool
        Whether a function returned a list of models, or yields them.
    each : iterator of LoadedModel
        One after the other: those that a function yields are made only when they are asked for.
    """

    several: bool
    each: Iterator[LoadedModel]


def load_models(
    spec: str, *, unsafe: bool = False, opaque: bool = False, device: str | None = None
) -> LoadedModels:
    """Like `load_model`, also for functions that return a list or a generator of models."""
    choose_device(device)
    path = Path(spec)
    if path.exists():
        model = _from_path(path, unsafe, opaque)
        loaded = _loaded(model, path.name, hash_files(path), None, device)
        return LoadedModels(False, iter([loaded]))
    if ":" not in spec:
        raise FastISMError(f"There is no model {spec}. Expected {EXPECTED}.")
    made = _returned(spec)
    several = isinstance(made, Iterator) or (
        isinstance(made, list | tuple) and bool(made) and not _is_pair(made)
    )
    return LoadedModels(several, _each(spec, made, several, device))


def _each(spec: str, made: Any, several: bool, device: str | None) -> Iterator[LoadedModel]:
    """The models that a function returned or yields, numbered if there are several."""
    if not several:
        model, shape = _model_and_shape(made, spec)
        yield _loaded(model, spec, hash_weights(model), shape, device)
        return
    number = 0
    for number, one in enumerate(_yielded(spec, iter(made)), start=1):
        model, shape = _model_and_shape(one, spec)
        yield _loaded(model, f"{spec}[{number}]", hash_weights(model), shape, device)
        # Otherwise two of them are in memory while the next one is made.
        del one, model
    if not number:
        raise FastISMError(f"{spec} yields no model; expected at least one.")


def _yielded(spec: str, models: Iterator[Any]) -> Iterator[Any]:
    while True:
        try:
            yield next(models)
        except StopIteration:
            return
        except (Exception, SystemExit) as error:
            raise _failed(spec, error) from error


def _loaded(model: Any, name: str, digest: str, shape: Any, device: str | None) -> LoadedModel:
    _check_weights(model)
    return LoadedModel(_placed(model, device), name, digest, shape)


def _from_path(path: Path, unsafe: bool, opaque: bool) -> Any:
    if path.is_dir():
        from fastism.loading.saved_models import load_saved_model

        need_keras(path.name)
        return load_saved_model(path, unsafe=unsafe, opaque=opaque)
    suffix = path.suffix.lower()
    if suffix == ".py":
        raise FastISMError(
            f"{path} is Python: say which function returns the model, as in {path}:build."
        )
    if suffix not in KERAS_SUFFIXES:
        raise FastISMError(f"{path} {_unread(path, suffix)}. Expected {EXPECTED}.")
    config = file_config(path)
    if not unsafe:
        check_config(config, path.name)
    return load_keras_file(path, config, unsafe)


def _unread(path: Path, suffix: str) -> str:
    """What is in a file that is no Keras model, and what to do with it."""
    if suffix in TORCH_SUFFIXES:
        return torch_files.told(path)
    if suffix in GRAPH_SUFFIXES:
        return (
            "holds a compiled graph, not layers: give the Keras or PyTorch model that it was made "
            "from"
        )
    return "is not a kind of file that can be read"


def load_keras_file(path: Path, config: Any, unsafe: bool) -> Any:
    """The Keras model in a file whose configuration was checked."""
    keras = need_keras(path.name)
    if unsafe:
        _search_here()
        name_tensorflow()
    try:
        with mended(path, config) as readable:
            return keras.models.load_model(readable, compile=False, safe_mode=not unsafe)
    except Exception as error:
        # Keras raises whatever its layers raise; the file, not the program, is at fault.
        reason = _short(_said(_inner(error)))
        if left := operations(config):
            reason = (
                f"it holds TensorFlow operations as layers ({', '.join(left)}), which Keras 2 "
                "wrote and Keras 3 does not know."
            )
        raise FastISMError(
            f"Keras {keras.__version__} cannot load {path}: {reason} Give module:function that "
            "builds the model with Keras 3 and loads the weights (model.load_weights); or let the "
            "Keras that wrote it save a SavedModel, which --naive --unsafe runs."
        ) from error


def _said(error: BaseException) -> str:
    """The line of an error that says what is wrong: Keras emphasises it where it says more."""
    strong = re.search(r"\x1b\[1m(.+?)\x1b\[0m", str(error), re.DOTALL)
    return f"{' '.join(strong[1].split()).rstrip('.')}." if strong else first_line(error)


def _short(reason: str) -> str:
    """A reason without the configuration of a layer, which Keras puts into it."""
    reason = re.sub(r"\x1b\[\d*m", "", reason)
    reason = re.sub(r" using config=\{.*\}", "", reason)
    # What Python said is at the end.
    return reason if len(reason) <= 300 else f"{reason[:150]} ... {reason[-150:]}"


def _inner(error: BaseException) -> BaseException:
    """What Keras found wrong with a layer, which it wraps once per model around it."""
    while error.__context__ is not None and "could not be deserialized" in str(error):
        error = error.__context__
    return error


def _returned(spec: str) -> Any:
    """What a function returns, or the model that has that name."""
    where, _, name = spec.rpartition(":")
    module = _module(where, spec)
    if not hasattr(module, name):
        known = [n for n, x in vars(module).items() if callable(x) and not n.startswith("_")]
        raise FastISMError(
            f"{where} has no function {name!r}; it has {', '.join(sorted(known)) or 'none'}."
        )
    made = as_module(getattr(module, name))
    if is_model(made):
        return made
    try:
        return made()
    except (Exception, SystemExit) as error:
        raise _failed(spec, error) from error


def _failed(spec: str, error: BaseException) -> FastISMError:
    return FastISMError(
        f"{spec} raised {type(error).__name__}: {first_line(error)} It is called without arguments."
    )


def _is_pair(made: Any) -> bool:
    """Whether it is a model and its input shape."""
    return isinstance(made, tuple) and len(made) == 2 and not is_model(made[1])


def _model_and_shape(made: Any, spec: str) -> tuple[Any, Any]:
    """Model and input shape of what a function returned or yielded."""
    made, shape = made if _is_pair(made) else (made, None)
    made = as_module(made)
    if not is_model(made):
        raise FastISMError(
            f"{spec} returned a {type(made).__module__}.{type(made).__qualname__}; expected a "
            "Keras model or a torch.nn.Module, or a pair of a module and its input shape."
        )
    return made, shape


def _module(where: str, spec: str) -> ModuleType:
    """Import a module by name, or a Python file by path."""
    _prefer_installed()
    _search_here()
    try:
        if not where.endswith(".py"):
            return importlib.import_module(where)
        path = Path(where)
        if not path.is_file():
            raise FastISMError(f"There is no file {where}, from which {spec} should come.")
        # Files beside it can be imported from it, as if it were run.
        sys.path.insert(0, str(path.resolve().parent))
        description = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(description)
        sys.modules[path.stem] = module
        description.loader.exec_module(module)
        return module
    except FastISMError:
        raise
    except ModuleNotFoundError as error:
        raise FastISMError(
            f"{spec}: there is no module {error.name!r}. {_remedy(error.name)}"
        ) from error
    except (Exception, SystemExit) as error:
        raise FastISMError(
            f"{where} cannot be imported: {type(error).__name__}: {first_line(error)}"
        ) from error


def _remedy(module: str | None) -> str:
    if module in (*FRAMEWORKS, "keras"):
        extra = "tensorflow" if module == "keras" else module
        return install(extra)
    return "Modules are searched in the working directory and among the installed packages."


def _search_here() -> None:
    """Modules of the working directory can be imported, as with ``python -m``."""
    if os.getcwd() not in sys.path and "" not in sys.path:
        sys.path.insert(0, os.getcwd())


def need_keras(name: str) -> ModuleType:
    """Keras, or a FastISMError that says which package to install."""
    installed = _prefer_installed()
    if importlib.util.find_spec("keras") is None or not installed:
        missing = "keras" if installed else "one of " + ", ".join(FRAMEWORKS)
        raise FastISMError(
            f"{name} is a Keras model, which needs Keras 3 and a framework for it; {missing} is "
            f"not installed. {install('tensorflow')} Or install keras beside PyTorch or JAX."
        )
    try:
        return importlib.import_module("keras")
    except ImportError as error:
        chosen = os.environ.get("KERAS_BACKEND", "tensorflow")
        raise FastISMError(
            f"Keras cannot be imported with its backend {chosen}: {first_line(error)} Installed: "
            f"{', '.join(installed)}; set KERAS_BACKEND to one of them."
        ) from error


def _prefer_installed() -> list[str]:
    """Names of installed frameworks; Keras is told to use one unless somebody told it before."""
    installed = [name for name in FRAMEWORKS if importlib.util.find_spec(name) is not None]
    if installed and "tensorflow" not in installed:
        os.environ.setdefault("KERAS_BACKEND", installed[0])
    return installed


def is_keras(model: Any) -> bool:
    """Whether something is a Keras model."""
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    return any(n.startswith("keras.") and n.endswith("models.model.Model") for n in names)


def is_model(model: Any) -> bool:
    """Whether something is a Keras model or a torch module."""
    names = {f"{cls.__module__}.{cls.__qualname__}" for cls in type(model).__mro__}
    return is_keras(model) or "torch.nn.modules.module.Module" in names


# ---- weights and hashes --------------------------------------------------------------------


def weights_of(model: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Names and values of all weights, in a fixed order; torch's buffers are among them."""
    if is_keras(model):
        for number, weight in enumerate(model.weights):
            # In older versions of Keras, those of a SavedModel are variables of TensorFlow.
            yield f"{number} {getattr(weight, 'path', '')}", np.asarray(weight)
        return
    for name, tensor in model.state_dict().items():
        if not hasattr(tensor, "detach"):
            continue
        values = tensor.detach().cpu()
        # numpy has no bfloat16.
        yield name, (values.float() if "bfloat16" in str(values.dtype) else values).numpy()


def hash_weights(model: Any) -> str:
    """SHA-256 of names, types, shapes and values of all weights."""
    digest = hashlib.sha256()
    for name, values in weights_of(model):
        label = name if not is_keras(model) else name.partition(" ")[0]
        digest.update(f"{label} {values.dtype} {values.shape}\n".encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def hash_files(path: Path) -> str:
    """SHA-256 of a file, or of the names and contents of all files of a folder."""
    digest = hashlib.sha256()
    try:
        if path.is_file():
            with path.open("rb") as handle:
                return hashlib.file_digest(handle, "sha256").hexdigest()
        for each in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(f"{each.relative_to(path).as_posix()} {hash_files(each)}\n".encode())
    except OSError as error:
        raise FastISMError(f"{path} cannot be read ({error.strerror}).") from error
    return digest.hexdigest()


def _check_weights(model: Any) -> None:
    for name, values in weights_of(model):
        if values.dtype.kind == "f" and np.isnan(values).any():
            raise FastISMError(
                f"The model's weight {name.partition(' ')[2] or name} holds NaN: its training "
                "failed, or the file is damaged. Nothing can be scored with it."
            )


def _placed(model: Any, device: str | None) -> Any:
    """A torch module on the device; what Keras uses was chosen before it was imported."""
    if device is None:
        return model
    wanted = "cpu" if device.lower().startswith("cpu") else "cuda"
    framework = LoadedModel(model, "", "").framework
    if wanted == "cuda" and not gpu_count(framework):
        raise FastISMError(
            f"{framework} finds no GPU for --device {device}. Is a version of it with support for "
            "the GPU installed, and is the GPU visible (nvidia-smi, CUDA_VISIBLE_DEVICES)?"
        )
    return model if is_keras(model) else model.to(wanted)


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, ended by a full stop."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return text if text.endswith(".") else text + "."

"""Files of Keras 2 (``.h5``) in the words of Keras 3: what differs without a difference in meaning.

Three things keep Keras 3 from reading many of them, and are put right here in a copy of the file:
settings that a layer no longer has, where they have no effect; places of nested models, which
Keras 2 counted from the model's own making on; and TensorFlow operations that became layers
(``tf.nn.relu(x) + x``), where a layer of Keras computes the same. No code of the file is run.

Requirements: h5py.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: Settings without effect, by class, that layers of Keras 3 do not know.
NEUTRAL: dict[str, dict[str, Any]] = {
    "Conv1DTranspose": {"groups": 1},
    "Conv2DTranspose": {"groups": 1},
    "SeparableConv1D": {"groups": 1, "kernel_regularizer": None, "kernel_constraint": None},
    "SeparableConv2D": {"groups": 1, "kernel_regularizer": None, "kernel_constraint": None},
    "DepthwiseConv1D": {"groups": 1, "kernel_regularizer": None, "kernel_constraint": None},
    "DepthwiseConv2D": {"groups": 1, "kernel_regularizer": None, "kernel_constraint": None},
    "GRU": {"time_major": False},
    "LSTM": {"time_major": False},
    "SimpleRNN": {"time_major": False},
}
#: Classes whose initializer of a kernel that they do not have is of no effect.
NO_KERNEL = ("SeparableConv1D", "SeparableConv2D", "DepthwiseConv1D", "DepthwiseConv2D")
MODELS = ("Functional", "Model", "Sequential")
#: Operations of TensorFlow and the layers that compute the same.
ACTIVATIONS = {
    **{f"nn.{name}": name for name in ("elu", "gelu", "relu", "selu", "softmax", "softplus")},
    **{"math.sigmoid": "sigmoid", "nn.sigmoid": "sigmoid", "math.tanh": "tanh", "nn.tanh": "tanh"},
    **{"math.softplus": "softplus", "math.exp": "exponential", "nn.swish": "silu"},
}
MERGES = {
    "__operators__.add": "Add",
    "math.add": "Add",
    "math.subtract": "Subtract",
    "math.multiply": "Multiply",
}


@contextmanager
def mended(path: Path, config: Any) -> Iterator[Path]:
    """A file that Keras 3 reads: a copy with a mended configuration, or the file itself.

    Parameters
    ----------
    path : Path
    config : object read from JSON
        From `fastism.loading.keras_configs.file_config`; it is changed.

    Yields
    ------
    Path
    """
    if path.suffix.lower() == ".keras" or not _version(path).startswith("2."):
        yield path
        return
    import h5py

    mend(config)
    with TemporaryDirectory(prefix="fastism-") as folder:
        copy = Path(folder) / path.name
        shutil.copyfile(path, copy)
        with h5py.File(copy, "r+") as file:
            file.attrs["model_config"] = json.dumps(config)
        yield copy


def name_tensorflow() -> None:
    """Let lambdas of a file find TensorFlow as ``tf``, as they did where they were written.

    Keras gives them the names of one of its own modules, and calls them whenever a model runs.
    """
    module = sys.modules.get("keras.src.utils.python_utils")
    tensorflow = sys.modules.get("tensorflow")
    if module is not None and tensorflow is not None and not hasattr(module, "tf"):
        module.tf = tensorflow


def operations(config: Any) -> list[str]:
    """TensorFlow operations that are layers of a configuration, as ``tf.nn.relu``."""
    named = [
        f"tf.{layer['config'].get('function', '?')}"
        for layer in _layers(config)
        if layer["class_name"] in ("TFOpLambda", "SlicingOpLambda")
    ]
    return sorted(set(named))


def mend(config: Any) -> None:
    """Put right, in place, what Keras 3 would not understand; see the module's description."""
    for layer in _layers(config):
        settings = layer["config"]
        for name, value in NEUTRAL.get(layer["class_name"], {}).items():
            if settings.get(name, object()) == value:
                del settings[name]
        if layer["class_name"] in NO_KERNEL:
            settings.pop("kernel_initializer", None)
        if layer["class_name"] == "TFOpLambda":
            _as_layer(layer)
    for model in _models(config):
        _recount(model["config"])


def _version(path: Path) -> str:
    import h5py

    with h5py.File(path, "r") as file:
        version = file.attrs.get("keras_version", "")
    return version.decode() if isinstance(version, bytes) else str(version)


def _models(config: Any) -> Iterator[dict[str, Any]]:
    """A model and the models nested in it."""
    if isinstance(config, dict) and config.get("class_name") in MODELS:
        yield config
        settings = config.get("config")
        for layer in settings.get("layers", []) if isinstance(settings, dict) else []:
            yield from _models(layer)


def _layers(config: Any) -> Iterator[dict[str, Any]]:
    for model in _models(config):
        for layer in model["config"].get("layers", []):
            if isinstance(layer, dict) and isinstance(layer.get("config"), dict):
                yield layer


def _as_layer(layer: dict[str, Any]) -> None:
    """An operation of TensorFlow as the layer that computes the same, where there is one."""
    function, calls = layer["config"].get("function"), layer.get("inbound_nodes", [])
    name = {"name": layer["config"]["name"], "trainable": True, "dtype": "float32"}
    inputs = [_inputs(call) for call in calls]
    if function in ACTIVATIONS and all(found is not None and len(found) == 1 for found in inputs):
        layer["class_name"] = "Activation"
        layer["config"] = {**name, "activation": ACTIVATIONS[function]}
    elif function in MERGES and all(found is not None and len(found) == 2 for found in inputs):
        layer["class_name"], layer["config"] = MERGES[function], name
    else:
        return
    layer["inbound_nodes"] = inputs


def _inputs(call: Sequence[Any]) -> list[list[Any]] | None:
    """The tensors that an operation was called on; None if it was given anything else."""
    found = []
    # The call of an operation on one tensor stands there without a list around it.
    for reference in [call] if call and isinstance(call[0], str) else call:
        if not (isinstance(reference, list) and len(reference) == 4):
            return None
        found.append([*reference[:3], {}])
        for name, value in reference[3].items():
            if isinstance(value, list) and len(value) == 3 and isinstance(value[0], str):
                found.append([*value, {}])
            elif name != "name":
                return None
    return found


def _recount(settings: dict[str, Any]) -> None:
    """Count the calls of nested models from 0."""
    layers = settings.get("layers", [])
    nested = {layer.get("name") for layer in layers if layer.get("class_name") in MODELS}
    references = [
        reference
        for layer in layers
        for call in layer.get("inbound_nodes", [])
        for reference in ([call] if call and isinstance(call[0], str) else call)
        if isinstance(reference, list) and len(reference) >= 3
    ]
    outputs = settings.get("output_layers", [])
    references += [each for each in outputs if isinstance(each, list) and len(each) >= 3]
    first: dict[str, int] = {}
    for name, place, *_ in references:
        if name in nested:
            first[name] = min(place, first.get(name, place))
    for reference in references:
        if reference[0] in first:
            reference[1] -= first[reference[0]]

"""SavedModel folders: a compiled function of TensorFlow, which has no layers.

Requirements: keras on TensorFlow.

What works: Keras 3 reads no layers from a SavedModel, whether ``model.export`` of Keras 3 or
``model.save`` of Keras 2 wrote it. Its function can be called, so naive ISM can score it; fast
ISM needs the layers: the model saved as ``.keras`` (Keras 3) or ``.h5`` (either). Running it is
running code of the file, since a graph can read and write files.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from fastism.errors import FastISMError

#: Names of the function in SavedModels of Keras 3 and of Keras 2, in order of preference.
ENDPOINTS = ("serve", "serving_default")


def load_saved_model(path: Path, *, unsafe: bool, opaque: bool) -> Any:
    """The function of a SavedModel as a Keras model of one opaque layer.

    Parameters
    ----------
    path : Path
        The folder.
    unsafe, opaque : bool
        Whether the user allows to run it, and does not expect it to be accelerated.

    Raises
    ------
    FastISMError
        If it is not allowed, is no SavedModel, or has no function of one array.
    """
    if not (path / "saved_model.pb").is_file():
        raise FastISMError(
            f"{path} is a folder without saved_model.pb, so no SavedModel. Name the folder that "
            "holds that file, or a .keras or .h5 file."
        )
    if not (unsafe and opaque):
        raise FastISMError(_remedy(path))
    keras = importlib.import_module("keras")
    if keras.backend.backend() != "tensorflow":
        raise FastISMError(
            f"{path} is a SavedModel, which only TensorFlow runs; Keras uses "
            f"{keras.backend.backend()}. Set KERAS_BACKEND=tensorflow."
        )
    tensorflow = importlib.import_module("tensorflow")
    try:
        signatures = tensorflow.saved_model.load(str(path)).signatures
        endpoint = next(name for name in (*ENDPOINTS, *signatures) if name in signatures)
        inputs = signatures[endpoint].structured_input_signature[1]
        (spec,) = inputs.values()
        x = keras.Input(spec.shape[1:], dtype=spec.dtype.name)
        layer = keras.layers.TFSMLayer(str(path), call_endpoint=endpoint)
        y = layer(x)
    except (StopIteration, ValueError) as error:
        raise FastISMError(
            f"{path} has no function that takes one array of sequences. Expected a SavedModel of "
            "a model with one input."
        ) from error
    except Exception as error:
        raise FastISMError(f"TensorFlow cannot load {path}: {error}.") from error
    return keras.Model(x, list(y.values()) if isinstance(y, dict) else y)


def _remedy(path: Path) -> str:
    """What to do instead."""
    if (path / "keras_metadata.pb").is_file():
        better = (
            "it was saved by Keras 2, where tf.keras.models.load_model(folder).save('model.h5') "
            "makes a file with layers"
        )
    else:
        better = "save the Keras model itself, as model.save('model.keras')"
    return (
        f"{path} is a SavedModel: a compiled function, not layers, and so cannot be accelerated. "
        f"Better: {better}. Or run it for every mutant with --naive --unsafe (its graph may read "
        "and write files)."
    )

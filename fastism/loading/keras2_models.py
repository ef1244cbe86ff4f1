"""A model object of Keras 2 (the package `tf_keras`) as a model of Keras 3, by way of a file.

Requirements: h5py and Keras 3. The model itself is only saved. Code that it holds (lambdas) is the
caller's own and runs; what differs between both versions is put right as for files.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from fastism.errors import FastISMError
from fastism.loading.keras_configs import file_config
from fastism.loading.model_files import first_line, load_keras_file

REMEDY = (
    "Build the model with Keras 3 and load the weights into it (save_weights and load_weights of "
    "an .h5 file)."
)


def as_keras3(model: Any) -> Any:
    """The same layers and weights as a model of Keras 3; what changes later is not followed.

    Raises
    ------
    FastISMError
        If the model cannot be saved, or holds what Keras 3 does not know.
    """
    name = f"tf_keras model {getattr(model, 'name', '')!r}"
    with TemporaryDirectory(prefix="fastism-") as folder:
        path = Path(folder) / "model.h5"
        try:
            model.save(path, save_format="h5", include_optimizer=False)
        except Exception as error:
            raise FastISMError(
                f"The {name} cannot be saved, and so not be read: {first_line(error)} {REMEDY}"
            ) from error
        try:
            return load_keras_file(path, file_config(path), unsafe=True)
        except FastISMError as error:
            reason = str(error).split(" Give module:function")[0].replace(str(path), f"the {name}")
            raise FastISMError(f"{reason} {REMEDY}") from error

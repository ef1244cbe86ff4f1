"""Files of Keras 2: what Keras 3 does not understand is put right where it can be.

The files in `tests/keras2` were written by Keras 2; `make.py` there says how.
"""

import copy
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")
h5py = pytest.importorskip("h5py", reason="files of Keras 2 are HDF5")

from fastism import FastISM, FastISMError  # noqa: E402
from fastism.loading.keras2 import mend, operations  # noqa: E402
from fastism.loading.model_files import load_model  # noqa: E402

pytestmark = [pytest.mark.tensorflow, pytest.mark.filterwarnings("ignore")]
FILES = Path(__file__).parent / "keras2"


@pytest.mark.parametrize("name", ["nested", "operations", "settings"])
def test_an_old_file_gives_what_it_gave_where_it_was_written(name):
    path = FILES / f"{name}.h5"
    before = path.read_bytes()
    with pytest.raises((ValueError, TypeError)):
        keras.models.load_model(path, compile=False)
    model = load_model(str(path)).model
    with np.load(FILES / f"{name}.npz") as kept:
        x, *expected = (kept[key] for key in sorted(kept.files))
    made = keras.tree.flatten(model(x))
    assert len(made) == len(expected)
    for a, b in zip(made, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), b, rtol=1e-5, atol=1e-6)
    assert path.read_bytes() == before
    assert FastISM(model).verify(x[:1]) < 1e-5


def keras2_model(save):
    """A stand-in for a model of `tf_keras` that saves what Keras 2 once saved."""
    base = type("Model", (), {"__module__": "tf_keras.src.engine.training", "save": save})
    kind = type("Functional", (base,), {"__module__": "tf_keras.src.engine.functional"})
    model = kind()
    model.name = "old"
    return model


@pytest.mark.parametrize("name", ["nested", "operations", "settings"])
def test_a_model_in_memory_is_read_as_its_file(name):
    def save(self, path, save_format, include_optimizer):
        assert (save_format, include_optimizer) == ("h5", False)
        shutil.copyfile(FILES / f"{name}.h5", path)

    with np.load(FILES / f"{name}.npz") as kept:
        x = kept[sorted(kept.files)[0]][:1]
    expected = FastISM(load_model(str(FILES / f"{name}.h5")).model).saturate(x, positions=[0, 9])
    made = FastISM(keras2_model(save)).saturate(x, positions=[0, 9])
    for a, b in zip(*(keras.tree.flatten(r.mutants) for r in (made, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def test_a_model_in_memory_that_cannot_be_saved_says_what_to_do():
    def save(self, path, **settings):
        raise NotImplementedError("Saving the model to HDF5 format requires a functional model.")

    with pytest.raises(FastISMError, match=r"'old' cannot be saved.*Build the model with Keras 3"):
        FastISM(keras2_model(save))


def test_what_has_no_layer_is_named_with_the_ways_out(tmp_path):
    path = tmp_path / "old.h5"
    shutil.copyfile(FILES / "operations.h5", path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        next(x for x in config["config"]["layers"] if x["class_name"] == "TFOpLambda")["config"][
            "function"
        ] = "signal.fft"
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(FastISMError, match=r"as layers \(tf\.signal\.fft\)") as told:
        load_model(str(path))
    assert "load_weights" in str(told.value) and "config=" not in str(told.value)
    assert len(str(told.value)) < 700


def test_settings_that_have_an_effect_stay():
    settings = {"name": "x", "groups": 2}
    layer = {"class_name": "Conv1DTranspose", "config": settings, "inbound_nodes": []}
    config = {"class_name": "Functional", "config": {"layers": [layer], "output_layers": []}}
    before = copy.deepcopy(config)
    mend(config)
    assert config == before
    assert operations(config) == []

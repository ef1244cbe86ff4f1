"""Loading models: which files, which functions, and that no file runs code unasked."""

import importlib.util as util
import json
import os
import sys
import zipfile

import h5py
import numpy as np
import pytest
from cli_cases import LENGTH, TORCH, damaged, small_keras

from fastism import FastISMError
from fastism.loading.keras_configs import check_config, file_config
from fastism.loading.model_files import hash_files, hash_weights, load_model

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    model = small_keras()
    model.compile("adam", "mse")
    for suffix in ("keras", "h5"):
        model.save(folder / f"small.{suffix}")
    (folder / "modules.py").write_text(TORCH)
    return folder, model


def evil(marker):
    """A model whose Lambda writes a file when it is built or called."""
    import keras

    x = keras.Input((LENGTH, 4))
    # Written out, since Keras loads no lambda with a closure or with defaults.
    function = eval(f"lambda y: (open({str(marker)!r}, 'a').close(), y)[1]")
    wrote = keras.layers.Lambda(function, output_shape=(LENGTH, 4), name="trap")
    return keras.Model(x, keras.layers.GlobalAveragePooling1D()(wrote(x)))


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_file_gives_the_model_that_was_saved(saved, suffix):
    folder, model = saved
    loaded = load_model(str(folder / f"small.{suffix}"))
    x = np.random.default_rng(0).random((2, LENGTH, 4), dtype=np.float32)
    np.testing.assert_allclose(loaded.model.predict(x, verbose=0), model.predict(x, verbose=0))
    assert (loaded.name, loaded.framework) == (f"small.{suffix}", "tensorflow")
    assert loaded.hash == hash_files(folder / f"small.{suffix}")


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_a_lambda_runs_only_if_the_user_says_so(tmp_path, suffix):
    marker, path = tmp_path / "marker", tmp_path / f"evil.{suffix}"
    evil(marker).save(path)
    marker.unlink(missing_ok=True)
    with pytest.raises(FastISMError, match=r"a Lambda layer \('trap'\).*--unsafe"):
        load_model(str(path))
    assert not marker.exists()
    loaded = load_model(str(path), unsafe=True)
    loaded.model.predict(np.zeros((1, LENGTH, 4)), verbose=0)
    assert marker.exists()


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_keras_itself_refuses_a_lambda_as_well(tmp_path, suffix, monkeypatch):
    # The second line of defence: what the check of the configuration does not know.
    marker, path = tmp_path / "marker", tmp_path / f"evil.{suffix}"
    evil(marker).save(path)
    marker.unlink(missing_ok=True)
    monkeypatch.setattr("fastism.loading.model_files.check_config", lambda config, name: None)
    with pytest.raises(FastISMError, match=r"Keras .* cannot load"):
        load_model(str(path))
    assert not marker.exists()


def test_custom_classes_are_named_and_need_a_function(tmp_path):
    import keras

    class Doubled(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    registered = keras.saving.register_keras_serializable("mine", "Registered")
    for kind in (Doubled, registered(type("Registered", (Doubled,), {}))):
        x = keras.Input((LENGTH, 4))
        path = tmp_path / "custom.keras"
        keras.Model(x, kind()(x)).save(path)
        with pytest.raises(FastISMError, match=r"the custom class '(Doubled|Registered)'"):
            load_model(str(path))
    with pytest.raises(FastISMError, match=r"the custom class '(Doubled|Registered)'"):
        check_config(file_config(path), path.name)


@pytest.mark.parametrize(
    ("entry", "refused"),
    [
        ({"class_name": "Dense", "module": "keras.layers", "config": {}}, ""),
        (
            {
                "class_name": "GetItem",
                "module": "keras.src.ops.numpy",
                "registered_name": "GetItem",
            },
            "",
        ),
        ({"class_name": "function", "module": "keras.activations", "config": "gelu"}, ""),
        ({"class_name": "function", "module": "keras.src.activations.x", "config": "gelu"}, ""),
        ({"class_name": "function", "module": "keras.utils", "config": "get_file"}, "'get_file'"),
        ({"class_name": "function", "module": "builtins", "config": "exec"}, "'exec'"),
        ({"class_name": "function", "module": "os", "config": "system"}, "'system'"),
        ({"class_name": "run", "module": "subprocess", "config": {}}, "module 'subprocess'"),
        ({"class_name": "__lambda__", "config": {"value": "..."}}, "__lambda__"),
        ({"class_name": "TFSMLayer", "module": "keras.layers", "config": {}}, "TFSMLayer"),
        ({"class_name": "TorchModuleWrapper", "config": {"name": "w"}}, "TorchModuleWrapper"),
        ({"class_name": "mine>Lambda", "config": {}}, "Lambda"),
    ],
    ids=[
        "layer",
        "operation",
        "activation",
        "activation within",
        "utility",
        "builtin",
        "system",
        "subprocess",
        "lambda",
        "saved model",
        "torch module",
        "registered lambda",
    ],
)
def test_what_a_configuration_may_name(entry, refused):
    config = {"config": {"layers": [[entry]]}}
    if refused:
        with pytest.raises(FastISMError, match=refused):
            check_config(config, "x.keras")
    else:
        assert check_config(config, "x.keras") is None


def test_loss_and_optimizer_need_no_code(saved, tmp_path):
    folder, _ = saved
    path = tmp_path / "compiled.keras"
    with zipfile.ZipFile(folder / "small.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["compile_config"] = {"loss": {"class_name": "function", "module": "mine"}}
                content = json.dumps(config)
            new.writestr(name, content)
    assert load_model(str(path)).model.count_params() > 0


def keras2_file(path):
    """A file as Keras 2.15 writes it, byte layout and names included; returns its weights."""
    rng = np.random.default_rng(3)
    shapes = {
        "conv1d": {"kernel:0": (5, 4, 3), "bias:0": (3,)},
        "batch_normalization": {
            f"{name}:0": (3,) for name in ("gamma", "beta", "moving_mean", "moving_variance")
        },
        "dense": {"kernel:0": (3, 2), "bias:0": (2,)},
    }
    weights = {
        layer: {name: rng.random(shape, dtype=np.float32) for name, shape in kept.items()}
        for layer, kept in shapes.items()
    }

    def layer(kind, name, before, **config):
        nodes = [[[before, 0, 0, {}]]] if before else []
        config = {"name": name, "dtype": "float32", **config}
        return {"class_name": kind, "config": config, "name": name, "inbound_nodes": nodes}

    zeros = {"class_name": "Zeros", "config": {}}
    convolution = {"filters": 3, "kernel_size": [5], "activation": "relu", "padding": "same"}
    layers = [
        layer("InputLayer", "input_1", None, batch_input_shape=[None, LENGTH, 4], sparse=False),
        layer("Conv1D", "conv1d", "input_1", trainable=True, bias_initializer=zeros, **convolution),
        layer("BatchNormalization", "batch_normalization", "conv1d", axis=[2], epsilon=0.001),
        layer("GlobalAveragePooling1D", "pool", "batch_normalization", data_format="channels_last"),
        layer("Dense", "dense", "pool", units=2, activation="linear", use_bias=True),
    ]
    ends = {"input_layers": [["input_1", 0, 0]], "output_layers": [["dense", 0, 0]]}
    config = {"class_name": "Functional", "config": {"name": "model", "layers": layers, **ends}}
    with h5py.File(path, "w") as file:
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
        group = file.create_group("model_weights")
        group.attrs["layer_names"] = [each["name"].encode() for each in layers]
        for each in layers:
            kept = weights.get(each["name"], {})
            names = [f"{each['name']}/{name}" for name in kept]
            inner = group.create_group(each["name"])
            inner.attrs["weight_names"] = [name.encode() for name in names]
            for name, values in zip(names, kept.values(), strict=True):
                inner[name] = values
    return weights


def test_a_file_of_keras_2_loads(tmp_path):
    weights = keras2_file(tmp_path / "old.h5")
    model = load_model(str(tmp_path / "old.h5")).model
    x = np.random.default_rng(0).random((2, LENGTH, 4), dtype=np.float32)
    padded = np.pad(x, ((0, 0), (2, 2), (0, 0)))
    kernel = weights["conv1d"]["kernel:0"]
    y = sum(padded[:, i : i + LENGTH] @ kernel[i] for i in range(5)) + weights["conv1d"]["bias:0"]
    norm = weights["batch_normalization"]
    y = (np.maximum(y, 0) - norm["moving_mean:0"]) / np.sqrt(norm["moving_variance:0"] + 0.001)
    y = (y * norm["gamma:0"] + norm["beta:0"]).mean(1) @ weights["dense"]["kernel:0"]
    y = y + weights["dense"]["bias:0"]
    np.testing.assert_allclose(model.predict(x, verbose=0), y, rtol=1e-4)


# ---- functions -----------------------------------------------------------------------------


def test_a_function_of_a_file_or_a_module_gives_the_model(saved, monkeypatch):
    folder, _ = saved
    by_file = load_model(f"{folder / 'modules.py'}:build")
    assert (by_file.framework, by_file.input_shape) == ("torch", None)
    monkeypatch.chdir(folder)
    monkeypatch.delitem(sys.modules, "modules")
    by_name = load_model("modules:with_shape")
    assert by_name.input_shape == (4, 60)
    assert by_name.name == "modules:with_shape"
    assert by_name.hash == by_file.hash == hash_weights(by_file.model)
    by_name.model[0].bias.data += 1
    assert hash_weights(by_name.model) != by_file.hash


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere.keras", "There is no model nowhere.keras"),
        ("nowhere.py:build", "There is no file nowhere.py"),
        ("no_such_module:build", "no module 'no_such_module'"),
        ("modules.py", "say which function"),
        ("modules.py:nothing", "no function 'nothing'; it has broken, build, exits"),
        ("modules.py:broken", "raised RuntimeError: no weights here"),
        ("modules.py:number", "returned a builtins.int"),
        ("modules.py:exits", "raised SystemExit: 3"),
        ("exits.py:build", "cannot be imported: SystemExit: 3"),
        ("syntax.py:build", "cannot be imported: SyntaxError"),
        ("weights.pt", "holds weights without the code"),
        ("graph.onnx", "holds a compiled graph"),
        ("text.txt", "is not a kind of file"),
        ("text.keras", "is not a Keras model, or damaged"),
        ("text.h5", "is not an HDF5 file"),
        ("truncated.keras", "is not a Keras model, or damaged"),
        ("truncated.h5", "is not an HDF5 file, or damaged"),
        ("weights.weights.h5", "it has no model_config"),
        ("nan.keras", "weight .*kernel holds NaN"),
        ("folder", "without saved_model.pb"),
    ],
)
def test_what_cannot_be_loaded_says_why(faulty, spec, message, monkeypatch):
    monkeypatch.chdir(faulty)
    with pytest.raises(FastISMError, match=message):
        load_model(spec)


@pytest.fixture(scope="module")
def faulty(saved):
    folder, model = saved
    for name in ("weights.pt", "graph.onnx", "text.txt", "text.keras", "text.h5"):
        (folder / name).write_text("not a model")
    (folder / "syntax.py").write_text("def build(:")
    (folder / "exits.py").write_text("raise SystemExit(3)")
    (folder / "folder").mkdir()
    for suffix in ("keras", "h5"):
        whole = (folder / f"small.{suffix}").read_bytes()
        (folder / f"truncated.{suffix}").write_bytes(whole[: len(whole) // 2])
    model.save_weights(folder / "weights.weights.h5")
    damaged(small_keras()).save(folder / "nan.keras")
    return folder


def test_a_saved_model_is_one_opaque_function(saved, tmp_path):
    _, model = saved
    model.export(tmp_path / "exported", verbose=False)
    spec = str(tmp_path / "exported")
    for allowed in ({}, {"unsafe": True}, {"opaque": True}):
        with pytest.raises(FastISMError, match=r"not layers.*model.save.*--naive --unsafe"):
            load_model(spec, **allowed)
    (tmp_path / "exported" / "keras_metadata.pb").touch()
    with pytest.raises(FastISMError, match="saved by Keras 2"):
        load_model(spec)
    loaded = load_model(spec, unsafe=True, opaque=True)
    x = np.random.default_rng(0).random((2, LENGTH, 4), dtype=np.float32)
    np.testing.assert_allclose(
        loaded.model.predict(x, verbose=0), model.predict(x, verbose=0), rtol=1e-5
    )


# ---- packages and devices ------------------------------------------------------------------


def test_a_keras_model_without_keras_names_the_package(saved, monkeypatch):
    folder, _ = saved
    find = util.find_spec
    for missing, message in [
        (
            {"keras", "tensorflow", "jax"},
            r"keras is not installed\. Install it from a clone .*: pip install",
        ),
        ({"tensorflow", "jax", "torch"}, "one of tensorflow, jax, torch is not installed"),
    ]:
        monkeypatch.setattr(util, "find_spec", lambda n, m=missing: None if n in m else find(n))
        monkeypatch.setenv("KERAS_BACKEND", "tensorflow")
        with pytest.raises(FastISMError, match=message):
            load_model(str(folder / "small.keras"))


def test_keras_is_told_to_use_what_is_installed(monkeypatch):
    from fastism.loading.model_files import _prefer_installed

    find = util.find_spec
    monkeypatch.setattr(util, "find_spec", lambda n: None if n == "tensorflow" else find(n))
    monkeypatch.delenv("KERAS_BACKEND")
    assert _prefer_installed() == ["jax", "torch"]
    assert os.environ["KERAS_BACKEND"] == "jax"


def test_a_gpu_that_is_not_there_is_said(saved, monkeypatch):
    folder, _ = saved
    monkeypatch.setattr("fastism.loading.model_files.gpu_count", lambda framework: 0)
    with pytest.raises(FastISMError, match="torch finds no GPU for --device gpu"):
        load_model(f"{folder / 'modules.py'}:build", device="gpu")

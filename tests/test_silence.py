"""Using the library prints nothing, however many models one process runs."""

import importlib.util
import os
import subprocess
import sys

import pytest

#: What frameworks say when they are loaded is theirs; from then on everything that is printed
#: counts, also what C++ prints.
REDIRECT = """
def redirect():
    printed = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
    sys.stderr.flush()
    os.dup2(printed, 1)
    os.dup2(printed, 2)


def use(model, x, **options):
    fast, naive = FastISM(model, **options), NaiveISM(model, batch_size=16, **options)
    for some in (x[:1], x):
        fast.saturate(some)
        fast(some, replace_with=0)
    fast.verify(x[:1])
    naive.saturate(x[:1])


def sequences(length):
    letters = np.random.default_rng(length).integers(4, size=(3, length))
    return np.eye(4, dtype=np.float32)[letters]
"""

KERAS_MODELS = f"""
import os, sys
import keras, numpy as np
from fastism import FastISM, NaiveISM
{REDIRECT}
HEADS = [
    [keras.layers.Flatten, lambda: keras.layers.Dense(3, activation="tanh")],
    [keras.layers.GlobalMaxPooling1D],
    [lambda: keras.layers.Softmax(axis=1), keras.layers.Flatten],  # in full
    [lambda: keras.layers.Conv1D(4, 3), keras.layers.GlobalAveragePooling1D],
]


def build(number):
    y = inputs = keras.Input((24 + number, 4))
    layers = [keras.layers.Conv1D(8 + number, 3, activation="relu"), keras.layers.MaxPooling1D(2)]
    layers += [make() for make in HEADS[number % len(HEADS)]]
    for layer in [*layers, keras.layers.Dense(2)]:
        y = layer(y)
    return keras.Model(inputs, y)


build(0)(np.zeros((1, 24, 4), "float32"))
redirect()
for number in range(int(sys.argv[2])):
    use(build(number), sequences(24 + number))
"""

TORCH_MODULES = f"""
import os, sys
import numpy as np, torch
from fastism import FastISM, NaiveISM
{REDIRECT}
redirect()
for number in range(int(sys.argv[2])):
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 8 + number, 3),
        torch.nn.ReLU(),
        torch.nn.MaxPool1d(2),
        torch.nn.Softmax(2),  # in full
        torch.nn.Flatten(),
        torch.nn.Linear(11 * (8 + number), 2),
    ).eval()
    x = sequences(24).swapaxes(1, 2)
    use(module, x, input_shape=(4, 24))
"""


def printed_by(code, models, folder):
    """What a process prints while it uses as many models, with the settings of a user's shell."""
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(
        [sys.executable, "-c", code, folder / "printed", str(models)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    printed = (folder / "printed").read_text()
    assert done.returncode == 0, done.stderr + printed
    return printed


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.skipif(importlib.util.find_spec("keras") is None, reason="builds Keras models")
def test_ten_models_in_one_process_print_nothing(tmp_path):
    # Only TensorFlow counts models.
    models = 10 if os.environ["KERAS_BACKEND"] == "tensorflow" else 4
    assert printed_by(KERAS_MODELS, models, tmp_path) == ""


@pytest.mark.slow
@pytest.mark.torch
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="builds PyTorch modules")
def test_modules_print_nothing(tmp_path):
    assert printed_by(TORCH_MODULES, 3, tmp_path) == ""


def test_the_command_handles_ctrl_c_before_anything_that_takes_long_to_import():
    script = (
        "import sys, fastism.cli.start; print(sorted({'numpy', 'rich', 'typer'} & {*sys.modules}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"

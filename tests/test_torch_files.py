"""Files that PyTorch saved: each says what it holds, and what it says to do works."""

from __future__ import annotations

import re

import pytest

torch = pytest.importorskip("torch", reason="the files are those of PyTorch")

from torch import nn  # noqa: E402

from fastism import FastISM, FastISMError  # noqa: E402
from fastism.loading.model_files import load_model  # noqa: E402

pytestmark = pytest.mark.torch
SHAPE = (4, 24)


def module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv1d(4, 3, 5), nn.ReLU(), nn.Flatten(), nn.Linear(60, 2)).eval()


def program(path) -> None:
    shapes = {"input": {0: torch.export.Dim.AUTO}}
    made = torch.export.export(module(), (torch.zeros(2, *SHAPE),), dynamic_shapes=shapes)
    torch.export.save(made, path)


#: How a file of each kind is saved.
MODULES = {
    "scripted.pt": lambda path: torch.jit.script(module()).save(path),
    "traced.pth": lambda path: torch.jit.trace(module(), torch.zeros(2, *SHAPE)).save(path),
    "program.pt2": program,
    "pickled.pt": lambda path: torch.save(module(), path),
}
WEIGHTS = {
    "weights.pt": lambda path: torch.save(module().state_dict(), path),
    "training.ckpt": lambda path: torch.save({"state_dict": module().state_dict()}, path),
    "tensor.bin": lambda path: torch.save(module()[0].weight, path),
    "old.pth": lambda path: torch.save(
        module().state_dict(), path, _use_new_zipfile_serialization=False
    ),
    "other.safetensors": lambda path: path.write_bytes(b"no archive"),
}
HOLDS = {
    "scripted.pt": "a module of TorchScript",
    "traced.pth": "a module of TorchScript",
    "program.pt2": "a program of torch.export",
    "pickled.pt": "of the class torch.nn.modules.container.Sequential",
}


# TorchScript is deprecated; people have its files.
@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
@pytest.mark.parametrize("name", MODULES)
def test_what_a_saved_module_says_to_do_works(name, tmp_path):
    path = tmp_path / name
    MODULES[name](str(path))
    with pytest.raises(FastISMError, match=HOLDS[name]) as caught:
        load_model(str(path))
    returned = re.search(r"a function that returns (torch\..*?), (?:and|in) ", str(caught.value))[1]
    remedy = tmp_path / f"remedy_{path.stem}.py"
    remedy.write_text(f"import torch\n\ndef build():\n    return {returned}\n")
    loaded = load_model(f"{remedy}:build")
    assert FastISM(loaded.model, input_shape=SHAPE).output_shapes == [(2,)]


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_need_the_code_of_the_module(name, tmp_path):
    WEIGHTS[name](tmp_path / name)
    with pytest.raises(FastISMError, match="holds weights without the code"):
        load_model(str(tmp_path / name))

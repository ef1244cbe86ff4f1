"""Torch modules are left exactly as they were found, and need nothing but PyTorch."""

from __future__ import annotations

import copy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402
from torch_cases import SHAPE, X, readout, run, seeded  # noqa: E402

from fastism import FastISM  # noqa: E402
from fastism.backends import get_backend  # noqa: E402

pytestmark = pytest.mark.torch


def state_of(module: nn.Module) -> dict:
    tensors = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {
        "modes": [m.training for m in module.modules()],
        "values": {k: (v.detach().clone(), v.dtype, v.device) for k, v in tensors.items()},
        "same": {k: id(v) for k, v in tensors.items()},
        "grads": {k: (v.requires_grad, v.grad) for k, v in module.named_parameters()},
        "hooks": [len(m._forward_hooks) for m in module.modules()],
        "attributes": [sorted(m.__dict__) for m in module.modules()],
    }


def assert_unchanged(before: dict, after: dict) -> None:
    for key in ("modes", "same", "hooks", "attributes"):
        assert before[key] == after[key]
    for name, (value, dtype, device) in before["values"].items():
        now, dtype_now, device_now = after["values"][name]
        assert (dtype, device) == (dtype_now, device_now)
        torch.testing.assert_close(now, value, rtol=0, atol=0)
    assert before["grads"].keys() == after["grads"].keys()
    for name, (required, grad) in before["grads"].items():
        assert after["grads"][name] == (required, grad)


def test_the_module_is_left_exactly_as_it_was():
    module = readout()
    module.train()
    module.layers[1].eval()
    module.layers[0].weight.requires_grad_(False)
    module.layers[3].register_forward_hook(lambda *_: None)
    before = state_of(module)
    grad = torch.is_grad_enabled()
    ism = FastISM(module, input_shape=SHAPE)
    result = ism.saturate(X)
    ism.verify(X, positions=[3])
    assert_unchanged(before, state_of(module))
    assert torch.is_grad_enabled() == grad
    expected = copy.deepcopy(module).eval()
    np.testing.assert_allclose(result.reference, run(expected, X)[0], atol=1e-5)


def test_parametrizations_and_hooks_are_seen_and_left_as_they_were():
    from torch.nn.utils import parametrizations

    def forward(conv, linear, x):
        return linear(torch.relu(conv(x)).mean(-1))

    module = seeded(
        forward,
        parametrizations.weight_norm(nn.Conv1d(4, 5, 3)),
        parametrizations.spectral_norm(nn.Linear(5, 2)),
    ).train()
    module.layers[0].register_forward_hook(lambda module, given, made: 2 * made)
    module.layers[1].register_forward_pre_hook(lambda module, given: (given[0] + 1,))
    before = state_of(module)
    ism = FastISM(module, input_shape=SHAPE)
    result = ism.saturate(X)
    assert_unchanged(before, state_of(module))
    assert [len(m._forward_pre_hooks) for m in module.layers] == [0, 1]
    assert list(module.layers[0].parametrizations) == ["weight"]
    assert ism.plan.opaque == ()
    expected = run(copy.deepcopy(module).eval(), X)[0]
    np.testing.assert_allclose(result.reference, expected, rtol=1e-5, atol=1e-5)
    # Spectral norm begins with random vectors, which decide how large the outputs are.
    assert ism.verify(X) < 1e-5 * max(1.0, np.abs(result.mutants).max())


def test_recurrent_layers_are_left_as_they_were():
    module = seeded(lambda lstm, x: lstm(x.mT)[0].mean(1), nn.LSTM(4, 3, batch_first=True))
    before, weights = state_of(module), [id(w) for w in module.layers[0]._flat_weights]
    FastISM(module, input_shape=SHAPE)
    assert_unchanged(before, state_of(module))
    assert [id(w) for w in module.layers[0]._flat_weights] == weights
    module(torch.tensor(X)).sum().backward()


def test_buffers_that_a_module_counts_in_are_put_back():
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls += 1
            return x.mean(-1)

    module = Counting()
    FastISM(module, input_shape=SHAPE).saturate(X)
    assert module.calls == 0
    assert module.training


def test_later_training_changes_nothing():
    module = seeded(
        lambda conv, lstm, x: lstm(conv(x).mT)[0][:, -1],
        nn.Conv1d(4, 5, 3),
        nn.LSTM(5, 2, batch_first=True),
    )
    ism = FastISM(module, input_shape=SHAPE)
    before = ism.saturate(X).mutants
    with torch.no_grad():
        for x in module.parameters():
            x.add_(1)
    np.testing.assert_array_equal(ism.saturate(X).mutants, before)


def test_arrays_live_where_the_module_lives():
    ism = FastISM(readout(), input_shape=SHAPE)
    assert ism._front.device == "cpu"
    assert str(ism._backend.device) == "cpu"
    assert str(get_backend("torch", "float32", "meta").device) == "meta"


# ---- without Keras ----------------------------------------------------------------------

ALONE = """
import sys

# As if they were not installed: importing them raises, and nobody finds them.
sys.modules.update(dict.fromkeys(("keras", "tensorflow", "jax", "tf_keras")))
import numpy as np
import torch
from fastism import FastISM

module = torch.nn.Sequential(
    torch.nn.Conv1d(4, 3, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(18, 2)
)
x = np.eye(4, dtype="float32")[np.arange(8) % 4].T[None]
result = FastISM(module, input_shape=(4, 8)).saturate(x)
print(result.mutants.shape, module.training)
"""


def test_neither_keras_nor_tensorflow_is_needed():
    done = subprocess.run(
        [sys.executable, "-c", ALONE],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[1],
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[0] == "(1, 4, 8, 2) True"

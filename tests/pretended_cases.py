"""What a call does on a device, seen on one that is not there: run by `test_pretended_gpu.py`."""

from __future__ import annotations

import copy
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from pretended_gpu import GPU, DeviceError, Graph, Held
from test_gpu import assert_close
from torch import nn
from torch.nn import functional

from fastism import FastISM, NaiveISM
from fastism.backends import torch_graphs
from fastism.backends.precision import products_in

LENGTH = 24
#: Until it is known whether chunks run from graphs.
CALLS = 10
INTERPRETED = find_spec("triton") is not None


class Small(nn.Module):
    """A pool, a residual block, a single tap, a profile, and a dense layer after Flatten."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv1d(4, 6, 5, padding=2), nn.Conv1d(6, 6, 3, padding=1)
        self.profile, self.read = nn.Conv1d(6, 2, 1), nn.Linear(6 * (LENGTH // 2), 3)

    def forward(self, x):
        x = functional.max_pool1d(torch.relu(self.first(x)), 2)
        x = x + torch.relu(self.second(x))
        return self.profile(x), self.read(x.flatten(1))


@pytest.fixture
def module() -> nn.Module:
    torch.manual_seed(0)
    return Small().eval()


def test_the_device_is_told_from_the_host():
    here, there = torch.ones(3), torch.ones(3, device="cuda")
    assert isinstance(there + 1, Held) and there.device.type == "cuda"
    assert (there + 1).cpu().tolist() == [2, 2, 2]
    for wrong in (lambda: here + there, lambda: there.add_(here), lambda: torch.cat([here, there])):
        with pytest.raises(DeviceError, match="lies on the host"):
            wrong()
    with pytest.raises(TypeError):
        there.numpy()


def test_a_copy_arrives_when_the_host_waits_for_it():
    there, room = torch.ones(3, device="cuda"), torch.zeros(3, pin_memory=True)
    room.copy_(there, non_blocking=True)
    done = torch.cuda.Event()
    done.record()
    assert room.isnan().all()
    done.synchronize()
    assert room.tolist() == [1, 1, 1]


def test_a_graph_gives_nothing_before_it_is_replayed_and_records_nothing_of_the_host():
    graph, given = Graph(), torch.ones(3, device="cuda")
    with torch.cuda.graph(graph):
        made = given * 2
    assert made.cpu().isnan().all()
    given.fill_(4)
    graph.replay()
    assert made.cpu().tolist() == [8, 8, 8]
    for wrong in (lambda: given.sum().item(), lambda: torch.ones(3).pin_memory().to("cuda")):
        with pytest.raises(DeviceError, match="recorded"), torch.cuda.graph(Graph()):
            wrong()


def test_factors_are_rounded_where_pytorch_takes_tf32():
    x = torch.full((1, 1), 1 + 2**-11, device="cuda")
    assert (x @ torch.ones_like(x)).item() == 1 + 2**-11
    with products_in("torch", "tf32"):
        assert (x @ torch.ones_like(x)).item() == 1


def test_calls_wait_for_their_results_only(module, monkeypatch):
    """And chunks are replayed from graphs, with the same results."""
    monkeypatch.setenv("FASTISM_MEASURE", "0")  # to time kernels, it waits
    monkeypatch.setattr(torch_graphs, "wanted", lambda: True)
    naive = NaiveISM(copy.deepcopy(module).double(), input_shape=(4, LENGTH))
    given = {"input_shape": (4, LENGTH), "test_correctness": False}
    ism = FastISM(module.cuda(), **given)
    rng = np.random.default_rng(0)
    for _ in range(CALLS):
        GPU.waits.clear()
        x = np.eye(4, dtype=np.float32)[rng.integers(4, size=(1, LENGTH))].swapaxes(1, 2)
        assert_close(ism.saturate(x).mutants, naive.saturate(x).mutants)
    assert set(GPU.waits) == {"an event"}
    assert not INTERPRETED or "Triton" in str(ism.plan)
    assert not ism.plan.naive and "cannot capture" not in str(ism.plan)
    assert GPU.replays > 0


def test_modules_on_the_host_are_refused_tensors_of_the_device(module):
    """A model that lies elsewhere than what is made for it must not go unnoticed."""
    with pytest.raises(DeviceError):
        module(torch.tensor(np.ones((1, 4, LENGTH), np.float32)).to("cuda"))


def test_models_of_keras_run_on_the_device():
    keras = pytest.importorskip("keras", reason="a model of Keras on PyTorch")
    layers = keras.layers
    inputs = keras.Input((LENGTH, 4))
    x = layers.Conv1D(6, 5, activation="relu", padding="same")(inputs)
    x = layers.Flatten()(layers.MaxPooling1D(2)(x))
    model = keras.Model(inputs, layers.Dense(2)(x))
    ism = FastISM(model, test_correctness=False)
    assert ism.accelerated and not ism.plan.opaque
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(4, size=(2, LENGTH))]
    made, naive = (each.saturate(x).mutants for each in (ism, NaiveISM(model)))
    assert_close(made, naive)

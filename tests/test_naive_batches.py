"""Batches of naive ISM: made where the module lives, as on the host, of a size that fits."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from fastism.calls.naive import BATCH_SIZES, LARGE_BATCH_SIZES, fitting_sizes, tune_batch_size
from fastism.frontends.mutant_batches import host_batches

torch = pytest.importorskip("torch")

from fastism import NaiveISM  # noqa: E402
from fastism.frontends.torch import TorchFrontEnd  # noqa: E402

pytestmark = pytest.mark.torch


class Two(torch.nn.Module):
    """Two inputs, of which the second is the sequence."""

    def forward(self, cell: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        flat = x.flatten(1)
        return cell.sum(1, keepdim=True) + flat.cumsum(1)


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_batches_of_a_module_are_those_made_on_the_host(last):
    shape = (9, 4) if last else (4, 9)
    front = TorchFrontEnd(Two().double(), 1, None, [(3,), shape], last)
    rng = np.random.default_rng(0)
    front.dtype = "float64"
    inputs = front.internal([rng.normal(size=(3, 3)), rng.normal(size=(3, *shape))])
    which, start = np.array([2, 0, 0, 1]), np.array([0, 7, 3, 4])
    letters = rng.normal(size=(4, 2, 4))
    before = [x.copy() for x in inputs]
    made = front.batches(inputs)(which, start, letters)
    expected = front.given(host_batches(inputs, 1)(which, start, letters))
    assert all(isinstance(x, torch.Tensor) for x in made)
    for a, b in zip(made, expected, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    for a, b in zip(inputs, before, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(
        front.forward(made),
        front.forward(host_batches(inputs, 1)(which, start, letters)),
        strict=True,
    ):
        np.testing.assert_array_equal(a, b)


def test_an_accelerator_is_offered_larger_batches():
    assert fitting_sizes(10**6) == list(BATCH_SIZES)
    assert fitting_sizes(10**6, accelerated=True)[-1] == 8192
    assert fitting_sizes(3000, accelerated=True) == [s for s in LARGE_BATCH_SIZES if s <= 3000]
    assert fitting_sizes(1) == [16]


def test_tuning_stops_where_the_device_has_no_room():
    seen = []

    def forward(batch):
        seen.append(len(batch[0]))
        if len(batch[0]) > 64:
            raise RuntimeError("CUDA out of memory.")
        return [np.zeros((len(batch[0]), 1))]

    assert tune_batch_size(forward, [np.zeros((1, 8, 4))], LARGE_BATCH_SIZES) <= 64
    assert max(seen) <= 128
    with pytest.raises(RuntimeError, match="out of memory"):
        tune_batch_size(forward, [np.zeros((1, 8, 4))], (128, 256))


def test_tuning_hands_on_other_errors():
    def forward(batch):
        raise ValueError("not a matter of memory")

    with pytest.raises(ValueError, match="not a matter"):
        tune_batch_size(forward, [np.zeros((1, 8, 4))], (16, 32))


def test_an_accelerated_model_is_tuned_over_large_batches(monkeypatch):
    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(36, 1)).eval()
    naive, offered = NaiveISM(module, input_shape=(4, 9)), []
    there = SimpleNamespace(accelerated=True)
    monkeypatch.setattr("fastism.naive_ism.get_backend", lambda *_: there)

    def tuned(forward, inputs, sizes):
        offered.extend(sizes)
        return 16

    monkeypatch.setattr("fastism.naive_ism.tune_batch_size", tuned)
    naive.tune(np.zeros((1, 4, 9), dtype=np.float32))
    assert offered == list(LARGE_BATCH_SIZES)

"""Results that are laid out on the device: as NumPy has them, one group behind, and as tensors.

No GPU is needed: PyTorch on the CPU plays one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import fastism.ism as ism_module  # noqa: E402
from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.backends.torch_uniform import UniformTorchBackend  # noqa: E402

LENGTH = 40


class Device(UniformTorchBackend):
    """A CPU that has a memory of its own; counts copies, and those that wait."""

    accelerated, resident = True, True
    free = 1 << 30

    def __init__(self, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self.begun, self.waited, self.behind = [], 0, 0
        self.fail = 0
        self.floats: list[tuple[int, ...]] = []

    def _moved(self, x: torch.Tensor) -> torch.Tensor:
        if x.is_floating_point():
            self.floats.append(tuple(x.shape))
        return x.clone()

    def available_memory(self) -> int:
        return self.free

    def concatenate(self, arrays: Any, axis: int) -> Any:
        if self.fail and len(arrays) > 1 and axis == 0:
            self.fail -= 1
            raise RuntimeError("CUDA out of memory")
        return super().concatenate(arrays, axis)

    def start_copy(self, x: torch.Tensor) -> Any:
        self.begun.append(tuple(x.shape))

        def wait() -> np.ndarray:
            self.waited += 1
            self.behind = max(self.behind, len(self.begun) - self.waited)
            return x.numpy().copy()

        return wait


class Two(nn.Module):
    """A profile with characters first, a vector, and something that does not depend on x."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.profile = nn.Conv1d(4, 24, 5, padding=2), nn.Conv1d(24, 3, 3, padding=1)
        self.read = nn.Linear(24, 2)

    def forward(self, x: torch.Tensor) -> Any:
        x = torch.relu(self.conv(x))
        return self.profile(x), self.read(x.mean(2))


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> list[Device]:
    made: list[Device] = []

    def get(name: str, dtype: str, place: str | None = None) -> Device:
        made.append(Device(dtype, "cpu"))
        return made[-1]

    monkeypatch.setattr(ism_module, "get_backend", get)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    return made


def sequences(count: int) -> np.ndarray:
    rng = np.random.default_rng(3)
    x = np.eye(4, dtype="float32")[rng.integers(0, 4, (count, LENGTH))].transpose(0, 2, 1).copy()
    x[0, :, 3] = 0  # an N, with four alternatives
    return x


def fast(**more: Any) -> FastISM:
    return FastISM(Two().eval(), input_shape=(4, LENGTH), test_correctness=False, **more)


def same(made: Any, expected: Any) -> None:
    for name in ("reference", "mutants"):
        for a, b in zip(getattr(made, name), getattr(expected, name), strict=True):
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, atol=2e-6)
    np.testing.assert_array_equal(made.alternatives, expected.alternatives)


@pytest.mark.parametrize("outputs", [None, [1], {0: [2, 0]}, {0: None, 1: [1]}], ids=str)
def test_results_equal_those_of_naive_ism(device, outputs):
    x = sequences(3)
    naive = NaiveISM(Two().eval(), input_shape=(4, LENGTH), batch_size=64, test_correctness=False)
    positions = [0, 3, 17, LENGTH - 1]
    expected = naive.saturate(x, outputs=outputs, positions=positions)
    same(fast().saturate(x, outputs=outputs, positions=positions), expected)
    tensors = fast().saturate(x, outputs=outputs, positions=positions, as_tensors=True)
    assert all(isinstance(y, torch.Tensor) for y in (*tensors.reference, *tensors.mutants))
    same(tensors, expected)
    for a, b in zip(tensors.importance(), expected.importance(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_calls_with_ranges_equal_those_of_naive_ism(device):
    x, ranges = sequences(3), [(0, 4), (11, 15), (LENGTH - 4, LENGTH)]
    model = Two().eval()
    given = {"change_ranges": ranges, "input_shape": (4, LENGTH), "test_correctness": False}
    for a, b in zip(FastISM(model, **given)(x), NaiveISM(model, **given)(x), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-6)


def test_a_group_leaves_in_one_copy_while_the_next_one_runs(device):
    ism = fast()
    ism._sequences_per_run = lambda *_: 2
    ism.saturate(sequences(6))
    # Of three groups: both references and both outputs of mutants, in their final order.
    expected = [(2, 3, LENGTH), (2, 2), (2, 4, LENGTH, 3, LENGTH), (2, 4, LENGTH, 2)]
    assert device[0].begun == expected * 3
    assert device[0].waited == 12 and device[0].behind == 7


def test_mutants_are_made_on_the_device(device):
    ism, x = fast(memory=1 << 20), sequences(2)
    device[0].floats.clear()  # weights
    ism.saturate(x)
    # The sequences, and what a change of each of 4 characters, and of an N, to each of 4 adds.
    assert device[0].floats == [(1, LENGTH, 4), (20, 3, 4), (1, LENGTH, 4), (16, 3, 4)]


def test_groups_are_small_where_results_are_large(device):
    ism = fast(memory=1 << 20)
    # 40 positions of 4 characters, 122 numbers of 4 bytes each, in an eighth of the memory.
    assert ism.sequences_per_run == (1 << 17) // (LENGTH * 4 * (3 * LENGTH + 2) * 4)


def test_without_room_for_all_results_they_go_to_the_host_piece_by_piece(device):
    ism = fast()
    expected = ism.saturate(sequences(2))
    device[0].fail = 1
    same(ism.saturate(sequences(2)), expected)
    assert device[0].fail == 0


def test_what_gives_no_tensors_says_so(device):
    with pytest.raises(FastISMError, match="convert the tensors"):
        fast().saturate(sequences(1), as_tensors=True, dtype="float16")
    naive = NaiveISM(Two().eval(), input_shape=(4, LENGTH), test_correctness=False)
    with pytest.raises(FastISMError, match="is for FastISM"):
        naive.saturate(sequences(1), as_tensors=True)


def test_tensors_of_a_cpu_are_the_same():
    x = sequences(2)
    ism = fast()
    tensors = ism.saturate(x, as_tensors=True)
    assert all(isinstance(y, torch.Tensor) for y in (*tensors.reference, *tensors.mutants))
    same(tensors, ism.saturate(x))

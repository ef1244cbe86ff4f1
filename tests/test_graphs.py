"""Chunks from graphs: what is copied, what is kept, what falls back; a stand-in records them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import fastism.ism as ism_module  # noqa: E402
from fastism import FastISM, NaiveISM  # noqa: E402
from fastism.backends import torch_graphs, torch_uniform  # noqa: E402
from fastism.backends.torch_graphs import BEFORE, MOST_GRAPHS, TURNS, Graphs  # noqa: E402

LENGTH = 40
#: Runs until one way is taken: as usual, the one that is recorded, and both in turns.
UNTIL = BEFORE + 1 + 2 * TURNS


class Recorder:
    """Runs what it recorded again, from the same memory into the same memory."""

    def __init__(self, fails: bool = False, wrong: float = 0.0) -> None:
        self.fails, self.wrong = fails, wrong
        self.recorded = self.replayed = self.waited = 0

    def record(self, run: Callable[[], list[Any]]) -> tuple[Callable[[], None], list[Any]]:
        if self.fails:
            raise RuntimeError("operation not permitted when stream is capturing")
        self.recorded += 1
        made = run()

        def replay() -> None:
            self.replayed += 1
            for room, x in zip(made, run(), strict=True):
                room.copy_(x + self.wrong)

        return replay, made

    def wait(self) -> None:
        self.waited += 1


class Clock:
    """Runs as usual take 3 seconds, replays as many as they are said to."""

    def __init__(self, recorder: Recorder, replay: float) -> None:
        self.recorder, self.replay, self.usual = recorder, replay, 0

    def __call__(self) -> float:
        return 3.0 * self.usual + self.replay * self.recorder.replayed


class Work:
    """Twice the first tensor plus the second one; counts its runs outside of graphs."""

    def __init__(self, clock: Clock) -> None:
        self.clock, self.seen = clock, []

    def __call__(self, arrays: Any) -> list[Any]:
        self.clock.usual += 1
        self.seen.append([x.data_ptr() for x in arrays])
        return [2 * arrays[0] + arrays[1]]


def made(replay: float = 1.0, **how: Any) -> tuple[Graphs, Recorder, Work]:
    recorder = Recorder(**how)
    clock = Clock(recorder, replay)
    return Graphs(recorder, clock), recorder, Work(clock)


def used(graphs: Graphs, work: Work, times: int, size: int = 4, key: Any = "key") -> None:
    """Run on new numbers each time; results must be right and stay as they were."""
    before = []
    table = torch.arange(float(size))
    for number in range(times):
        x = torch.full((size,), float(number))
        (y,) = graphs.run(key, work, [table, x])
        assert torch.equal(y, 2 * table + number)
        before.append((y, y.clone()))
    assert all(torch.equal(y, as_was) for y, as_was in before)


def test_a_faster_graph_is_taken_after_both_ways_took_turns():
    graphs, recorder, work = made(replay=-2.5)  # its own run counts as 3 seconds here
    used(graphs, work, UNTIL)
    assert recorder.recorded == 1 and graphs.kept == 1
    assert recorder.replayed == 1 + TURNS
    used(graphs, work, 5)
    assert recorder.replayed == 1 + TURNS + 5 and recorder.recorded == 1


def test_a_slower_graph_is_given_up():
    graphs, recorder, work = made(replay=1.0)
    used(graphs, work, UNTIL + 5)
    assert recorder.recorded == 1 and recorder.replayed == 1 + TURNS and graphs.kept == 0


@pytest.mark.parametrize("how", [{"fails": True}, {"wrong": 1.0}], ids=["no capture", "wrong"])
def test_without_a_graph_that_is_right_it_runs_as_usual(how):
    graphs, recorder, work = made(replay=-9.0, **how)
    used(graphs, work, UNTIL + 5)
    assert graphs.kept == 0 and recorder.replayed == bool(how.get("wrong"))


def test_tables_that_stay_the_same_are_copied_once(monkeypatch):
    graphs, _, work = made(replay=-2.5)
    used(graphs, work, UNTIL)
    (trial,) = graphs._trials.values()
    table, graph = torch.arange(4.0), trial.graph
    graph.run([table, torch.ones(4)])
    graph.given[0].fill_(7)  # would be overwritten by a copy
    (y,) = graph.run([table, torch.zeros(4)])
    assert torch.equal(y, torch.full((4,), 14.0))
    (y,) = graph.run([table.clone(), torch.zeros(4)])
    assert torch.equal(y, 2 * table)


def test_other_shapes_are_recorded_anew_and_few_graphs_are_kept():
    graphs, recorder, work = made(replay=-2.5)
    for size in (4, 5, 6):
        used(graphs, work, UNTIL, size)
    assert recorder.recorded == 3 and graphs.kept == MOST_GRAPHS
    used(graphs, work, UNTIL, 6, key="another")
    assert recorder.recorded == 4 and graphs.kept == MOST_GRAPHS


def test_large_inputs_are_not_copied(monkeypatch):
    monkeypatch.setattr(torch_graphs, "MOST_BYTES", 31)
    graphs, recorder, work = made(replay=-2.5)
    used(graphs, work, UNTIL + 2)
    assert recorder.recorded == 0 and recorder.waited == 0


def test_without_memory_graphs_are_given_back():
    graphs, _, work = made(replay=-2.5)
    used(graphs, work, UNTIL)

    def full(arrays: Any) -> list[Any]:
        raise RuntimeError("CUDA out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        graphs.run("full", full, [torch.zeros(2), torch.zeros(2)])
    assert graphs.kept == 0


class Profile(nn.Module):
    """A profile with a residual, and a pooled vector."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv1d(4, 24, 5, padding=2), nn.Conv1d(24, 24, 3, padding=1)
        self.read = nn.Linear(24 * (LENGTH // 2), 3)

    def forward(self, x: Any) -> Any:
        x = torch.relu(self.first(x))
        x = x + torch.relu(self.second(x))
        return self.read(torch.max_pool1d(x, 2).flatten(1))


def test_a_model_run_from_graphs_gives_what_naive_ism_does(monkeypatch):
    recorders, kept = [], []

    class Device(torch_uniform.UniformTorchBackend):
        accelerated = resident = True

        def _moved(self, x: Any) -> Any:
            return x.clone()

        def start_copy(self, x: Any) -> Any:
            return lambda: x.numpy().copy()

        def available_memory(self) -> int:
            return 1 << 30

    def recorder(device: Any) -> Recorder:
        recorders.append(Recorder())
        return recorders[-1]

    def graphs(recorder: Recorder) -> Graphs:
        # Replays gain time: every graph is taken.
        kept.append(Graphs(recorder, lambda: -1.0 * recorder.replayed))
        return kept[-1]

    monkeypatch.delenv("FASTISM_MEASURE", raising=False)
    monkeypatch.delenv("FASTISM_GRAPHS", raising=False)
    monkeypatch.setattr(torch_uniform, "CudaRecorder", recorder)
    monkeypatch.setattr(torch_uniform, "Graphs", graphs)
    monkeypatch.setattr(ism_module, "get_backend", lambda name, dtype, place=None: Device(dtype))
    monkeypatch.setattr(torch.cuda, "synchronize", lambda *_: None)
    module = Profile().eval()
    given = {"input_shape": (4, LENGTH), "test_correctness": False}
    fast = FastISM(module, memory=1 << 20, **given)
    rng = np.random.default_rng(0)
    x = np.eye(4, dtype="float32")[rng.integers(0, 4, (4, LENGTH))].transpose(0, 2, 1).copy()
    naive = NaiveISM(module, batch_size=64, **given)
    for _ in range(UNTIL):
        for part in (x[:2], x[2:]):
            made = fast.saturate(part)
    assert sum(each.kept for each in kept) >= 1
    assert sum(r.replayed for r in recorders) > 1 + TURNS
    np.testing.assert_allclose(made.mutants, naive.saturate(x[2:]).mutants, atol=2e-6)
    count = len(recorders)
    for setting in ("FASTISM_GRAPHS", "FASTISM_MEASURE"):
        with monkeypatch.context() as changed:
            changed.setenv(setting, "0")
            FastISM(module, memory=1 << 20, **given).saturate(x[:2])
    assert len(recorders) == count

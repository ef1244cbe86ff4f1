"""Where hardly anything is to be gained, mutants run through the whole model; plans say so."""

from __future__ import annotations

import numpy as np
import pytest

from fastism.calls.mutants import Mutants
from fastism.calls.naive import TRIALS, fitting_sizes, run_while_tuning
from fastism.errors import FastISMError
from fastism.planning.worth import NAIVE_BELOW, VARIABLE, is_naive, least_speedup

torch = pytest.importorskip("torch", reason="the models are torch modules")

from torch import nn  # noqa: E402

from fastism import FastISM, NaiveISM  # noqa: E402
from fastism.cli.plan import as_dict  # noqa: E402
from fastism.running.engine import Engine  # noqa: E402

LENGTH = 24


class Mixed(nn.Module):
    """A layer that mixes all positions at once, and two outputs of it."""

    def __init__(self, channels_last: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.mix = nn.Linear(LENGTH, LENGTH)
        self.wide, self.out = nn.Linear(4, 16), nn.Linear(16, 3)
        self.channels_last = channels_last

    def forward(self, x):
        x = x.transpose(1, 2) if self.channels_last else x
        y = self.wide(torch.tanh(self.mix(x)).cumsum(2).transpose(1, 2))
        return self.out(torch.relu(y)), y.mean(1)


def one_hot(count: int = 2, seed: int = 0) -> np.ndarray:
    letters = np.random.default_rng(seed).integers(4, size=(count, LENGTH))
    return np.ascontiguousarray(np.eye(4, dtype=np.float32)[letters].swapaxes(1, 2))


def built(least: float | None = NAIVE_BELOW, channels_last: bool = False, **given) -> FastISM:
    shape = (LENGTH, 4) if channels_last else (4, LENGTH)
    module = Mixed(channels_last).eval()
    return FastISM(
        module, input_shape=shape, channels_last=channels_last, naive_below=least, **given
    )


@pytest.fixture
def no_engine(monkeypatch):
    """No mutant is run by a plan."""

    def run(*given):
        raise AssertionError("an engine ran")

    monkeypatch.setattr(Engine, "run", run)


# ---- the decision ----------------------------------------------------------------------------


def test_the_least_speedup_is_given_told_or_usual(monkeypatch):
    monkeypatch.delenv(VARIABLE)
    assert least_speedup(None) == NAIVE_BELOW == 1.2
    monkeypatch.setenv(VARIABLE, "3")
    assert least_speedup(None) == 3.0
    assert least_speedup(0) == 0.0


@pytest.mark.parametrize("value", ["much", "-1", "nan"])
def test_what_is_no_speedup_is_refused(value, monkeypatch):
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(FastISMError, match="expected the speedup from which on"):
        least_speedup(None)


@pytest.mark.parametrize(
    ("naive", "fast", "in_full", "expected"),
    [
        (100.0, 90.0, True, True),
        (100.0, 80.0, True, False),
        (100.0, 10.0, False, False),
        (0.0, 0.0, True, True),
        (0.0, 0.0, False, False),
    ],
)
def test_a_plan_is_naive_where_it_saves_less(naive, fast, in_full, expected):
    assert is_naive(naive, fast, in_full, 1.2) is expected
    assert not is_naive(naive, fast, in_full, 0.0)


# ---- what users get --------------------------------------------------------------------------


@pytest.mark.torch
def test_plan_says_that_the_whole_model_runs():
    plan = built(test_correctness=False).plan
    assert plan.speedup < 1.2
    assert "Less than 1.2 times is not worth it" in " ".join(str(plan).split())
    assert as_dict(plan)["runs_naive"]
    plan = built(0, test_correctness=False).plan
    assert "not worth it" not in str(plan)
    assert not as_dict(plan)["runs_naive"]


@pytest.mark.torch
@pytest.mark.parametrize("channels_last", [False, True], ids=["channels first", "channels last"])
def test_results_are_those_of_delta_propagation(channels_last, monkeypatch):
    fast, naive = built(0, channels_last), built(channels_last=channels_last)
    x = one_hot()
    x = x.swapaxes(1, 2).copy() if channels_last else x
    word = [[0, 1, 0, 0], [0, 0, 0, 1]]
    word = word if channels_last else np.transpose(word)
    calls = {
        "saturate": lambda ism: ism.saturate(x, positions=[0, 5, LENGTH - 1]).mutants,
        "chosen": lambda ism: ism.saturate(x, outputs={0: [3], 1: None}, positions=[4]).mutants,
        "replaced": lambda ism: ism(x),
        "perturb": lambda ism: ism.perturb(x, [1, 0], [3, 9], [word, word]).mutants,
        "pairs": lambda ism: ism.pairs(x[:1], positions=[1, 7]).doubles,
        "deletions": lambda ism: ism.deletions(x[:1], positions=[2, 9]).mutants,
    }
    expected = {name: call(fast) for name, call in calls.items()}
    monkeypatch.setattr(Engine, "run", None)
    monkeypatch.setattr("fastism.scans.engine.SpliceEngine.splices", None)
    for name, call in calls.items():
        for made, propagated in zip(call(naive), expected[name], strict=True):
            assert made.shape == propagated.shape
            assert made.dtype == propagated.dtype
            np.testing.assert_allclose(made, propagated, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.torch
def test_the_check_at_building_is_of_delta_propagation(no_engine):
    with pytest.raises(AssertionError, match="an engine ran"):
        built()
    built(test_correctness=False).saturate(one_hot(), positions=[3])


@pytest.mark.torch
def test_a_model_with_a_gain_propagates(no_engine):
    module = nn.Sequential(nn.Conv1d(4, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 22, 1))
    ism = FastISM(module.eval(), input_shape=(4, LENGTH), naive_below=1.2, test_correctness=False)
    assert not ism.plan.naive
    with pytest.raises(AssertionError, match="an engine ran"):
        ism.saturate(one_hot(), positions=[3])


@pytest.mark.keras
def test_a_keras_model_runs_through_itself(no_engine):
    keras = pytest.importorskip("keras", reason="the model is a Keras model")
    x = keras.Input((LENGTH, 4))
    y = keras.layers.LSTM(3, return_sequences=True)(x)
    model = keras.Model(x, keras.layers.Dense(2)(keras.layers.Flatten()(y)))
    ism = FastISM(model, naive_below=1.2, test_correctness=False)
    given = one_hot().swapaxes(1, 2).copy()
    made = ism.saturate(given, positions=[0, 23])
    expected = NaiveISM(model, batch_size=16).saturate(given, positions=[0, 23])
    np.testing.assert_allclose(made.mutants, expected.mutants, rtol=1e-4, atol=1e-6)
    assert "not worth it" in str(ism.plan)


# ---- batches ---------------------------------------------------------------------------------


def mutants(count: int) -> Mutants:
    letters = np.zeros((count, 1, 4), np.float32)
    return Mutants(np.zeros(count, int), np.arange(count), letters + 1, letters)


def batches(sequence, start, replacement):
    return [start[:, None].astype(float)]


def test_mutants_that_are_timed_are_results():
    ran = []

    def forward(batch):
        ran.append(len(batch[0]))
        return [batch[0] * 2]

    sizes = [2, 4, 8]
    run = run_while_tuning(forward, batches, mutants(70), sizes)
    parts = []
    while True:
        try:
            parts.append(next(run))
        except StopIteration as end:
            chosen = end.value
            break
    assert np.concatenate([part.index for part in parts]).tolist() == list(range(70))
    assert np.concatenate([part.outputs[0] for part in parts])[:, 0].tolist() == list(
        range(0, 140, 2)
    )
    assert chosen in sizes
    assert ran[: 2 * TRIALS] == [2] * TRIALS + [4] * TRIALS
    assert set(ran[3 * TRIALS :]) <= {chosen}


def test_few_mutants_time_nothing():
    ran = []
    run = run_while_tuning(lambda b: ran.append(len(b[0])) or [b[0]], batches, mutants(5), [4, 8])
    assert [len(part.index) for part in run] == [4, 1]
    assert ran == [4, 4]


def test_a_size_without_room_is_left_out():
    def forward(batch):
        if len(batch[0]) > 4:
            raise RuntimeError("CUDA out of memory.")
        return [batch[0]]

    found = [part.index for part in run_while_tuning(forward, batches, mutants(90), [2, 4, 8, 16])]
    assert np.concatenate(found).tolist() == list(range(90))
    with pytest.raises(RuntimeError, match="out of memory"):
        list(run_while_tuning(forward, batches, mutants(90), [8, 16]))


def test_sizes_keep_to_the_memory():
    assert fitting_sizes(10**6, most=100) == [16, 32, 64]
    assert fitting_sizes(10**6, most=5) == [4]
    assert fitting_sizes(10**6, most=0) == [1]


@pytest.mark.torch
def test_a_size_that_was_chosen_for_few_mutants_is_chosen_again(monkeypatch):
    naive = NaiveISM(Mixed().eval(), input_shape=(4, LENGTH))
    naive.saturate(one_hot(1), positions=[3])
    assert naive.batch_size == 16
    tried = []

    def run(forward, batches, mutants, sizes):
        tried.extend(sizes)
        yield from ()
        return 32

    monkeypatch.setattr("fastism.naive_ism.run_while_tuning", run)
    naive.saturate(one_hot())
    assert tried == [16, 32, 64, 128]
    assert naive.batch_size == 32
    tried.clear()
    naive.batch_size = 8
    naive.saturate(one_hot())
    assert not tried


@pytest.mark.torch
def test_nothing_is_timed_where_results_are_to_round_alike(monkeypatch):
    monkeypatch.setenv("FASTISM_MEASURE", "0")
    naive = NaiveISM(Mixed().eval(), input_shape=(4, LENGTH))
    naive.saturate(one_hot())
    assert naive.batch_size == 128

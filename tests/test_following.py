"""Saturation of sequences that change from call to call, against naive ISM of each."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile

import fastism.propagated
from fastism import FastISM, NaiveISM
from fastism.design import evolve
from fastism.running.engine import Engine

SEEDS = st.integers(0, 2**32 - 1)
LENGTH = 60


def changed(x: np.ndarray, rng: np.random.Generator, letters: int) -> np.ndarray:
    """Sequences (N, L, C) with a few letters of each substituted."""
    made = x.copy()
    for row in made:
        places = rng.choice(len(row), min(letters, len(row)), replace=False)
        row[places] = np.eye(row.shape[1])[rng.integers(row.shape[1], size=len(places))]
    return made


def furthest(ism, naive, inputs, which, last, rng):
    """Steps of two sequences, the second of which rests in between; how far both methods differ.

    The largest difference at any step, in units of the largest output where that exceeds 1.
    """
    apart = []
    packed = (lambda arrays: arrays) if len(inputs) > 1 else (lambda arrays: arrays[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            fastism.propagated, "FAR", 0
        )  # Wherever it is possible, whether it pays or not.
        again = ism.saturate_changing(2)
    for numbers in ([0, 1], [0], [0, 1]):
        now = inputs[which] if last else inputs[which].swapaxes(1, 2)
        now = now.copy()
        now[numbers] = changed(now[numbers], rng, 2)
        inputs[which] = now if last else now.swapaxes(1, 2)
        given = packed([y[numbers] for y in inputs])
        found, truth = again(given, numbers), naive.saturate(given)
        np.testing.assert_array_equal(found.alternatives, truth.alternatives)
        for name in ("reference", "mutants"):
            each = (getattr(result, name) for result in (found, truth))
            made = ([y] if isinstance(y, np.ndarray) else y for y in each)
            for fast, slow in zip(*made, strict=True):
                assert fast.shape == slow.shape
                apart.append(np.abs(fast - slow).max() / max(1, np.abs(slow).max()))
    return np.max(apart)  # NaN if any of them is


@pytest.mark.torch
@pytest.mark.slow
@profile(4)
@given(st.data(), SEEDS)
def test_random_modules(data, seed):
    torch = pytest.importorskip("torch", reason="the models are torch modules")
    from random_modules import modules
    from test_pairs import settings_of

    torch.manual_seed(0)
    example = data.draw(modules("float64"))
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=(2, *shape)) for shape in example.shapes]
    given = settings_of(example)
    ism = FastISM(example.module, early_stop_layers=example.stops, **{**given, "naive_below": 0})
    naive = NaiveISM(example.module, batch_size=8, **given)

    steps = (inputs, example.sequence, example.channels_last, rng)
    assert furthest(ism, naive, *steps) <= 1e-9


@pytest.mark.keras
def test_what_no_substitution_changes_is_kept():
    """A second input that is read behind the seam, and an output of it alone."""
    keras = pytest.importorskip("keras", reason="the model is a Keras model")
    layers = keras.layers

    keras.utils.set_random_seed(0)
    x, other = keras.Input((30, 4)), keras.Input((3,))
    y = layers.Flatten()(layers.Conv1D(3, 3, activation="relu")(x))
    side = layers.Dense(2, activation="tanh")(other)
    both = layers.Concatenate()([layers.Dense(4)(y), side])
    model = keras.Model([x, other], [layers.Dense(2, activation="tanh")(both), side])
    ism = FastISM(model, test_correctness=False, naive_below=0)
    naive = NaiveISM(model, test_correctness=False)
    rng = np.random.default_rng(0)
    inputs = [np.eye(4)[rng.integers(4, size=(2, 30))], rng.normal(size=(2, 3))]
    assert furthest(ism, naive, [y.astype(np.float32) for y in inputs], 0, True, rng) <= 1e-5


# ---- a module that is known ---------------------------------------------------------------


@pytest.fixture(scope="module")
def made():
    torch = pytest.importorskip("torch", reason="the model is a torch module")

    class Heads(torch.nn.Module):
        """A dense layer after Flatten, a mean, a maximum and a profile."""

        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv1d(4, 6, 5, padding=2)
            self.dense = torch.nn.Linear(6 * LENGTH, 5)
            self.last = torch.nn.Linear(5 + 6 + 6, 2)

        def forward(self, x):
            y = torch.relu(self.conv(x))
            read = [torch.tanh(self.dense(y.flatten(1))), y.mean(2), y.amax(2)]
            return self.last(torch.cat(read, 1)), y[:, 0]

    torch.manual_seed(0)
    return Heads().double().eval()


def sequences(count: int) -> np.ndarray:
    letters = np.random.default_rng(2).integers(4, size=(count, LENGTH))
    return np.ascontiguousarray(np.eye(4)[letters].transpose(0, 2, 1))


@pytest.mark.torch
def test_only_substitutions_near_a_change_run_again(made, monkeypatch):
    seen, run = [], Engine.run

    def counted(self, inputs, mutants, select=None):
        seen.append(sorted(set(mutants.start.tolist())))
        return run(self, inputs, mutants, select)

    monkeypatch.setattr(Engine, "run", counted)
    ism = FastISM(made, input_shape=(4, LENGTH), test_correctness=False, naive_below=0)
    # Five letters reach a position of the convolution, and it reaches five letters.
    assert ism.edit_plan().distance == 5
    again, x = ism.saturate_changing(1), sequences(1)
    again(x, [0])
    x[0, :, 20] = np.roll(x[0, :, 20], 1)
    again(x, [0])
    again(x, [0])
    assert seen == [list(range(LENGTH)), list(range(16, 25)), []]


@pytest.mark.torch
@pytest.mark.parametrize("edits", [1, 3])
def test_designs_are_those_of_naive_ism(made, edits):
    given, x = {"input_shape": (4, LENGTH), "test_correctness": False}, sequences(2)

    def objective(outputs):
        return outputs[0][:, 0] + 0.1 * outputs[1].sum(1)

    fast, slow = (
        evolve(ism, x, 5, objective, edits=edits, positions=range(5, 50))
        for ism in (FastISM(made, naive_below=0, **given), NaiveISM(made, **given))
    )
    np.testing.assert_array_equal(fast.sequences, slow.sequences)
    np.testing.assert_allclose(fast.end, slow.end, atol=1e-9)
    assert [s.position for s in fast.substitutions] == [s.position for s in slow.substitutions]
    assert len(fast.substitutions) >= 10


@pytest.mark.torch
@pytest.mark.parametrize("why", ["near", "memory", "naive"])
def test_where_nothing_is_to_be_gained_steps_are_computed_anew(made, monkeypatch, why):
    settings = {"memory": 1 << 20} if why == "memory" else {}
    count = 100 if why == "memory" else 1  # 60 times 4 times 77 numbers each
    least = 1e9 if why == "naive" else 0
    if why == "near":
        monkeypatch.setattr(fastism.propagated, "FAR", LENGTH)
    ism = FastISM(
        made, input_shape=(4, LENGTH), test_correctness=False, naive_below=least, **settings
    )
    x, asked = sequences(1), []
    monkeypatch.setattr(ism, "saturate", lambda x, positions=None: asked.append(positions))
    ism.saturate_changing(count, [3, 4])(x, [0])
    assert asked == [[3, 4]]

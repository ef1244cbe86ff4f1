"""`perturb`: a list of perturbations, each at its own place, with one reference pass a sequence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

keras = pytest.importorskip("keras", reason="the models are Keras models")

from keras import layers  # noqa: E402
from random_models import randomise  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.backends import available_backends  # noqa: E402
from fastism.running.engine import Engine  # noqa: E402

pytestmark = pytest.mark.keras

LENGTH = 40
NEAR = {"rtol": 1e-4, "atol": 1e-5}
RNG = np.random.default_rng(5)


def make_model() -> keras.Model:
    r"""
    sequence -- conv -- max pool -- conv -- flatten -- dense(3)     output 0
                               \--- global max -- dense(2)          output 1
    """
    inputs = keras.Input((LENGTH, 4))
    x = layers.Conv1D(6, 5, padding="same", activation="relu")(inputs)
    x = layers.MaxPooling1D(2)(x)
    y = layers.Conv1D(5, 3, activation="relu")(x)
    y = layers.Dense(3)(layers.Flatten()(y))
    model = keras.Model(inputs, [y, layers.Dense(2)(layers.GlobalMaxPooling1D()(x))])
    randomise(model, 4)
    return model


def random_list(count: int, width: int, sequences: int) -> tuple[np.ndarray, ...]:
    """Perturbations in any order, several at one place, and both ends of the sequence."""
    sequence = RNG.integers(sequences, size=count)
    start = RNG.integers(LENGTH - width + 1, size=count)
    start[:3] = 0, LENGTH - width, LENGTH - width
    sequence[3:6], start[3:6] = sequence[2], start[2]
    return sequence, start, np.eye(4)[RNG.integers(4, size=(count, width))]


X = np.eye(4, dtype=np.float32)[RNG.integers(4, size=(5, LENGTH))]
X[1, 3] = 0
MODEL = make_model()


@pytest.fixture(scope="module", params=["own", "torch", "naive"])
def ism(request) -> FastISM | NaiveISM:
    if request.param == "naive":
        return NaiveISM(MODEL, batch_size=16)
    if request.param == "torch" and "torch" not in available_backends():
        pytest.skip("PyTorch is not installed")
    backend = None if request.param == "own" else "torch"
    return FastISM(MODEL, test_correctness=False, backend=backend)


def predict(x: np.ndarray) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(y) for y in MODEL(x, training=False)]


def mutated(sequence, start, replacement) -> np.ndarray:
    x = X[sequence].copy()
    for row, (first, new) in enumerate(zip(start, replacement, strict=True)):
        x[row, first : first + len(new)] = new
    return x


@pytest.mark.parametrize("width", [1, 3, LENGTH])
def test_every_perturbation_is_what_the_model_says(ism, width):
    given = random_list(30, width, len(X))
    made = ism.perturb(X, *given)
    np.testing.assert_array_equal(made.sequence, given[0])
    for reference, mutants, delta, base, expected in zip(
        made.reference,
        made.mutants,
        made.delta(),
        predict(X),
        predict(mutated(*given)),
        strict=True,
    ):
        np.testing.assert_allclose(reference, base, **NEAR)
        np.testing.assert_allclose(mutants, expected, **NEAR)
        np.testing.assert_array_equal(delta, mutants - reference[given[0]])


def test_a_wider_perturbation_that_repeats_what_is_there_is_the_same(ism):
    sequence, start, replacement = random_list(20, 1, len(X))
    begin = np.clip(start - 1, 0, LENGTH - 4)
    wide = X[sequence[:, None], begin[:, None] + np.arange(4)]
    wide[np.arange(20), start - begin] = replacement[:, 0]
    narrow, same = (
        ism.perturb(X, sequence, start, replacement),
        ism.perturb(X, sequence, begin, wide),
    )
    for a, b in zip(narrow.mutants, same.mutants, strict=True):
        np.testing.assert_allclose(a, b, **NEAR)


def test_nothing_changed_is_the_reference(ism):
    sequence, start, replacement = random_list(12, 2, len(X))
    replacement[::2] = X[sequence[:, None], start[:, None] + np.arange(2)][::2]
    made = ism.perturb(X, sequence, start, replacement)
    for reference, mutants in zip(made.reference, made.mutants, strict=True):
        np.testing.assert_array_equal(mutants[::2], reference[sequence[::2]])


def test_no_perturbation_gives_references_only(ism):
    made = ism.perturb(X, [], [], np.empty((0, 1, 4)))
    assert [y.shape for y in made.mutants] == [(0, 3), (0, 2)]
    for reference, base in zip(made.reference, predict(X), strict=True):
        np.testing.assert_allclose(reference, base, **NEAR)


def test_outputs_are_chosen_as_in_saturate(ism):
    given = random_list(10, 2, len(X))
    every, some = ism.perturb(X, *given), ism.perturb(X, *given, outputs={0: [2, 0], 1: None})
    np.testing.assert_allclose(some.mutants[0], every.mutants[0][:, [2, 0]], **NEAR)
    np.testing.assert_allclose(some.reference[0], every.reference[0][:, [2, 0]], **NEAR)
    np.testing.assert_allclose(some.mutants[1], every.mutants[1], **NEAR)


@pytest.fixture
def passes(monkeypatch) -> Iterator[list[int]]:
    """How many sequences each reference pass had."""
    counted: list[int] = []
    reference = Engine.reference

    def count(self, inputs):
        counted.append(len(inputs[0]))
        return reference(self, inputs)

    monkeypatch.setattr(Engine, "reference", count)
    yield counted


def test_a_sequence_has_one_reference_pass_however_many_perturbations(passes):
    ism = FastISM(MODEL, test_correctness=False)
    ism.perturb(X, *random_list(200, 1, len(X)))
    assert passes == [5]
    passes.clear()
    many = np.concatenate([X] * 10)
    ism.perturb(many, *random_list(20, 2, len(many)))
    assert sum(passes) == 50


def test_groups_of_sequences_do_not_matter(monkeypatch):
    ism = FastISM(MODEL, test_correctness=False)
    given = random_list(30, 2, len(X))
    whole = ism.perturb(X, *given)
    monkeypatch.setattr(FastISM, "_sequences_per_run", lambda *_: 2)
    pieces = ism.perturb(X, *given)
    for a, b in zip(
        [*whole.mutants, *whole.reference], [*pieces.mutants, *pieces.reference], strict=True
    ):
        np.testing.assert_allclose(a, b, **NEAR)


@pytest.mark.parametrize(
    ("sequence", "start", "replacement", "message"),
    [
        ([0], [0], np.zeros((1, 4)), r"expected \('perturbations', 'width', 4\)"),
        ([0], [0], np.zeros((1, 2, 3)), "expected"),
        ([0], [0], np.zeros((1, 0, 4)), "a width from 1 to 40"),
        ([0], [0], np.zeros((1, 41, 4)), "a width from 1 to 40"),
        ([0], [0], np.full((1, 1, 4), np.nan), "NaN"),
        ([5], [0], np.zeros((1, 1, 4)), "sequence reaches from 5 to 5; expected 0 to 4"),
        ([-1], [0], np.zeros((1, 1, 4)), "sequence reaches from -1"),
        ([0], [39], np.zeros((1, 2, 4)), "start reaches from 39 to 39; expected 0 to 38"),
        ([0, 1], [0], np.zeros((1, 1, 4)), "sequence must be 1 integers"),
        ([0], [0.5], np.zeros((1, 1, 4)), "start must be 1 integers"),
    ],
    ids=[
        "two axes",
        "three characters",
        "width 0",
        "too wide",
        "NaN",
        "sequence 5",
        "sequence -1",
        "start too late",
        "two sequences",
        "half a start",
    ],
)
def test_perturbations_that_do_not_fit(ism, sequence, start, replacement, message):
    with pytest.raises(FastISMError, match=message):
        ism.perturb(X, sequence, start, replacement)


@pytest.mark.torch
@pytest.mark.parametrize("fast", [True, False])
def test_a_torch_module_takes_characters_first(fast):
    torch = pytest.importorskip("torch", reason="the module is one of PyTorch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 5, 5, padding=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(200, 3),
    ).eval()
    ism = FastISM(module, seqlen=LENGTH) if fast else NaiveISM(module, seqlen=LENGTH)
    sequence, start, replacement = random_list(15, 3, len(X))
    made = ism.perturb(X.swapaxes(1, 2), sequence, start, replacement.swapaxes(1, 2))
    with torch.no_grad():
        given = torch.from_numpy(mutated(sequence, start, replacement).swapaxes(1, 2).copy())
        expected = module(given).numpy()
    np.testing.assert_allclose(made.mutants, expected, **NEAR)


def test_several_edits_of_a_mutant_are_what_the_model_says(ism):
    """Far ones and near ones, of several widths, none, and some that change nothing."""
    rng = np.random.default_rng(2)
    starts = [[], [0, 36], [3, 6, 30], [17], [2, 12, 22, 32], [36, 0]]
    sequence = np.array([0, 1, 4, 2, 1, 3])
    news = [[np.eye(4)[rng.integers(4, size=1 + i % 3)] for i in each] for each in starts]
    news[5][0] = X[3, 36:37]
    made = ism.perturb(X, sequence, starts, news)
    mutants = X[sequence].copy()
    for row, (places, rows) in enumerate(zip(starts, news, strict=True)):
        for place, new in zip(places, rows, strict=True):
            mutants[row, place : place + len(new)] = new
    for y, expected in zip(made.mutants, predict(mutants), strict=True):
        np.testing.assert_allclose(y, expected, **NEAR)
    for y, reference in zip(made.mutants, made.reference, strict=True):
        np.testing.assert_array_equal(y[0], reference[0])
    (kept,) = ism.perturb(X, sequence, starts, news, outputs={0: [2, 0]}).mutants[:1]
    np.testing.assert_allclose(kept, made.mutants[0][:, [2, 0]], **NEAR)

"""Deletions, insertions and chimeras at every position, against the model on every sequence."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile
from scanned import chimeras, deleted, inserted

from fastism import FastISM, FastISMError, NaiveISM
from fastism.intervals import Interval
from fastism.rules import Convolution
from fastism.scans.splices import deletions, insertions, switched

torch = pytest.importorskip("torch")

from random_modules import modules  # noqa: E402
from test_random_modules import predictions as module_predictions  # noqa: E402

pytestmark = pytest.mark.torch
SEEDS = st.integers(0, 2**20)
FORWARD = Callable[[list[np.ndarray]], list[np.ndarray]]


def listed(x: Any) -> list[np.ndarray]:
    return x if isinstance(x, list) else [x]


def check_scans(
    ism: Any,
    inputs: Sequence[np.ndarray],
    sequence: int,
    last: bool,
    forward: FORWARD,
    seed: int,
    tolerance: float = 1e-9,
) -> None:
    """One scan, drawn from `seed`, against the model on sequences made by hand.

    `inputs` are in the model's layout; `last` says whether characters come last.
    """
    rng = np.random.default_rng(seed)
    x = inputs[sequence] if last else inputs[sequence].swapaxes(1, 2)
    count, length, characters = x.shape
    width = int(rng.integers(1, min(length, 6) + 1))
    rows = rng.normal(size=(width, characters))
    given, anchor = rows if last else rows.T, str(rng.choice(["left", "right"]))
    packed = list(inputs) if len(inputs) > 1 else inputs[0]
    what = rng.choice(["delete", "insert", "splice"])
    if what == "delete":
        scan = ism.deletions(packed, width, fill=given, anchor=anchor)
        mutants = [deleted(y, width, rows, rows, anchor) for y in x]
    elif what == "insert":
        scan = ism.insertions(packed, [given], anchor=anchor)
        mutants = [inserted(y, rows, anchor) for y in x]
    else:
        others = list(inputs)
        others[sequence] = inputs[sequence][::-1].copy()
        scan = ism.splices(packed, others if len(inputs) > 1 else others[0])
        mutants = [chimeras(a, b) for a, b in zip(x, x[::-1], strict=True)]
    for i in range(count):
        batch = [np.repeat(y[i : i + 1], len(mutants[i]), 0) for y in inputs]
        batch[sequence] = mutants[i] if last else mutants[i].swapaxes(1, 2)
        truth = forward(batch)
        reference = forward([y[: max(2, i + 1)] for y in inputs])
        for made, y, r, mine in zip(
            listed(scan.mutants), truth, reference, listed(scan.reference), strict=True
        ):
            assert made.shape == (count, 1, len(mutants[i]), *y.shape[1:])
            allowed = tolerance * (1 + np.abs(y).max(initial=0))
            worst = np.abs(made[i, 0] - y).max(initial=0)
            assert worst <= allowed, f"{what}, {anchor}, {width} wide: off by {worst:.3g}"
            np.testing.assert_allclose(mine[i], r[i], rtol=tolerance, atol=tolerance)


def module_inputs(example: Any, rng: np.random.Generator) -> list[np.ndarray]:
    return [rng.normal(size=(2, *shape)) for shape in example.shapes]


def module_ism(example: Any, kind: type, **settings: Any) -> Any:
    return kind(
        example.module,
        example.sequence,
        input_shape=example.shapes,
        channels_last=example.channels_last,
        **settings,
    )


@profile(12)
@given(modules("float64"), SEEDS)
def test_scans_of_random_modules(example, seed):
    ism = module_ism(example, FastISM, test_correctness=False, early_stop_layers=example.stops)
    inputs = module_inputs(example, np.random.default_rng(seed))
    check_scans(
        ism,
        inputs,
        example.sequence,
        example.channels_last,
        lambda batch: module_predictions(example, batch),
        seed,
    )


@profile(3)
@given(modules("float64"), SEEDS)
def test_naive_scans_of_random_modules(example, seed):
    ism = module_ism(example, NaiveISM, batch_size=4)
    inputs = module_inputs(example, np.random.default_rng(seed))
    check_scans(
        ism,
        inputs,
        example.sequence,
        example.channels_last,
        lambda batch: module_predictions(example, batch),
        seed,
    )


KERAS = os.environ["KERAS_BACKEND"]
#: Keras computes some layers in single precision on PyTorch, and JAX all of them as it is set up.
PRECISE = KERAS == "tensorflow"
#: Each is a model of its own that TensorFlow and JAX compile, and Keras runs layer by layer on JAX.
EXAMPLES = {"tensorflow": 5, "jax": 2, "torch": 4}[KERAS]


@pytest.mark.keras
@profile(EXAMPLES)
@given(st.data(), SEEDS)
def test_scans_of_random_keras_models(data, seed):
    pytest.importorskip("keras", reason="Keras is not installed.")
    from random_models import examples
    from test_random_models import predictions

    example = data.draw(examples("float64" if PRECISE else "float32"))
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=(2, *shape)) for shape in example.shapes]
    ism = FastISM(example.model, example.sequence, test_correctness=False)
    forward = partial(predictions, example)
    tolerance = 1e-9 if PRECISE else 1e-4
    check_scans(ism, inputs, example.sequence, True, forward, seed, tolerance)


def small_module() -> Any:
    torch.manual_seed(0)
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 6, 5, padding=2),
        torch.nn.ReLU(),
        torch.nn.MaxPool1d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 10, 3),
    )
    return module.double().eval()


def letters(*texts: str) -> np.ndarray:
    rows = np.array([[["ACGT".index(c) for c in text] for text in texts]])[0]
    return np.eye(4)[rows].transpose(0, 2, 1)


X = letters("ACGTACGTTGCAACGTTGCA", "TTTTTCCCCCGGGGGAAAAA")


def test_a_wrong_junction_is_found(monkeypatch):
    ism = FastISM(small_module(), input_shape=(4, 20), test_correctness=False)
    right = Convolution.affected

    def narrow(self: Convolution, inputs: Any, length: int) -> Interval:
        found = right(self, inputs, length)
        return Interval(found.start, np.maximum(found.stop - 2, found.start + 1))

    def forward(batch: list[np.ndarray]) -> list[np.ndarray]:
        with torch.no_grad():
            return [ism.model(torch.tensor(batch[0])).numpy()]

    check_scans(ism, [X], 0, False, forward, 1)
    monkeypatch.setattr(Convolution, "affected", narrow)
    with pytest.raises(AssertionError, match="off by"):
        for seed in range(5):
            check_scans(ism, [X], 0, False, forward, seed)


def test_several_widths_words_and_letters():
    ism = FastISM(small_module(), input_shape=(4, 20))
    scan = ism.deletions(X, [1, 3], fill=["ACG", "TTT"], positions=[0, 7])
    assert scan.names == ("-1", "-3")
    assert listed(scan.mutants)[0].shape == (2, 2, 2, 3)
    one = ism.deletions(X, 3, fill=letters("ACG", "TTT"), positions=[7])
    np.testing.assert_array_equal(scan.mutants[:, 1, 1], one.mutants[:, 0, 0])
    words = ism.insertions(X, ["gata", "C"], outputs=[2])
    assert words.names == ("GATA", "C")
    assert words.mutants.shape == (2, 2, 20, 1)
    np.testing.assert_array_equal(words.positions, np.arange(20))


def test_deleting_from_a_run_of_one_letter_changes_nothing_but_the_end():
    ism = FastISM(small_module(), input_shape=(4, 20))
    x = letters("A" * 20)
    scan = ism.deletions(x, 2, fill="AA")
    np.testing.assert_allclose(scan.delta(), 0, atol=1e-12)
    assert np.abs(ism.deletions(x, 2, fill="N").delta()).min() > 0


@pytest.mark.parametrize("anchor", ["left", "right"])
def test_runs_of_equal_mutants_are_found_and_computed_once(anchor):
    where, fill = np.arange(20), letters("AC")[0].T
    repeats, other = letters("AAACACACGTTTTTGGCACA", "AACCACACGTATTTGGCACG").transpose(0, 2, 1)
    made = [
        switched(repeats, other, np.arange(21)),
        deletions(repeats, 2, fill, where, anchor),
        *(insertions(repeats, letters(word)[0].T, where, anchor) for word in ("A", "AA")),
    ]
    for splices in made:
        whole = splices.sequences(np.arange(len(splices)))
        new = [True, *(np.diff(whole, axis=0) != 0).any((1, 2))]
        np.testing.assert_array_equal(splices.firsts(), np.flatnonzero(new))
        assert len(splices.firsts()) < len(splices) - 1
    ism = FastISM(small_module(), input_shape=(4, 20))
    x = repeats.T[None]
    fast, slow = (i.deletions(x, [1, 2], fill="AC", anchor=anchor) for i in (ism, ism.naive()))
    np.testing.assert_allclose(fast.mutants, slow.mutants, atol=1e-12)


def test_both_ends_of_chimeras_are_the_two_sequences():
    ism = FastISM(small_module(), input_shape=(4, 20))
    scan = ism.splices(X[:1], X[1:])
    alone = ism.saturate(X).reference
    np.testing.assert_allclose(scan.mutants[0, 0, 0], alone[1], atol=1e-12)
    np.testing.assert_allclose(scan.mutants[0, 0, 20], alone[0], atol=1e-12)


MISTAKES = {
    "anchor": (lambda ism: ism.deletions(X, anchor="middle"), "anchor='middle' is not known"),
    "no letters": (lambda ism: ism.deletions(X, 0), "1 to 20 letters"),
    "too wide": (lambda ism: ism.deletions(X, 21), "1 to 20 letters"),
    "half a letter": (lambda ism: ism.deletions(X, 1.5), "whole number of letters"),
    "no width": (lambda ism: ism.deletions(X, []), "at least one"),
    "short fill": (lambda ism: ism.deletions(X, 3, fill="AC"), "at least 3 positions"),
    "fills": (lambda ism: ism.deletions(X, 1, fill=["A"] * 3), "for all of the 2 sequences"),
    "empty word": (lambda ism: ism.insertions(X, ["A", ""]), "Word 1 is empty; expected 1 to 20"),
    "a mask": (
        lambda ism: ism.deletions(X, positions=np.zeros(20, bool)),
        r"shape \(20,\) and type bool. Of a mask give np.flatnonzero\(mask\)",
    ),
    "no word": (lambda ism: ism.insertions(X, []), "at least one"),
    "long word": (lambda ism: ism.insertions(X, "A" * 21), "1 to 20 positions"),
    "shapes": (lambda ism: ism.splices(X, X[:1]), "equal shapes"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(case):
    call, message = MISTAKES[case]
    ism = FastISM(small_module(), input_shape=(4, 20), test_correctness=False)
    with pytest.raises(FastISMError, match=message):
        call(ism)

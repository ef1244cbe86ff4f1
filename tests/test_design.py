"""Directed evolution, against greedy search by brute force."""

from __future__ import annotations

import numpy as np
import pytest

from fastism import FastISM, FastISMError, NaiveISM
from fastism.design import Goal, evolve

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch
LENGTH = 24


def module(outputs: int = 1) -> torch.nn.Module:
    torch.manual_seed(3)

    class Heads(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv1d(4, 8, 5, padding=2)
            self.more = torch.nn.Conv1d(8, 6, 3, padding=1)
            self.dense = torch.nn.Linear(6 * LENGTH, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor | tuple:
            y = torch.relu(self.more(torch.relu(self.conv(x))))
            made = torch.tanh(self.dense(y.flatten(1)))
            return made if outputs == 1 else (made, y.mean(2))

    return Heads().double().eval()


class Single(torch.nn.Module):
    """One number a sequence, without an axis for it."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = module()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.heads(x)[:, :1].squeeze(-1)


def sequences(count: int) -> np.ndarray:
    letters = np.random.default_rng(1).integers(4, size=(count, LENGTH))
    return np.ascontiguousarray(np.eye(4)[letters].transpose(0, 2, 1))


def greedy(score, x, steps, positions=range(LENGTH)):
    """All substitutions at every step, one by one; `score` of one sequence is to grow."""
    x, trace = x.copy(), []
    for _ in range(steps):
        best, found = score(x), None
        for p in positions:
            for c in range(4):
                y = x.copy()
                y[:, p] = 0
                y[c, p] = 1
                if score(y) > best + 1e-12:
                    best, found = score(y), (p, c)
        if found is None:
            break
        x[:, found[0]] = 0
        x[found[1], found[0]] = 1
        trace.append((*found, best))
    return x, trace


def number(made, entry):
    with torch.no_grad():
        return lambda x: float(made(torch.tensor(x[None]))[0, entry])


@pytest.mark.parametrize("kind", [FastISM, NaiveISM])
@pytest.mark.parametrize("minimise", [False, True], ids=["maximise", "minimise"])
def test_evolution_is_greedy_search(kind, minimise):
    made, x = module(), sequences(2)
    found = evolve(kind(made, input_shape=(4, LENGTH)), x, 5, 1, minimise=minimise)
    value = number(made, 1)
    for i in range(2):
        design, trace = greedy(lambda y: -value(y) if minimise else value(y), x[i], 5)
        np.testing.assert_array_equal(found.sequences[i], design)
        steps = [s for s in found.substitutions if s.sequence == i]
        assert [(s.position, s.after) for s in steps] == [(p, c) for p, c, _ in trace]
        reached = [-t if minimise else t for _, _, t in trace]
        np.testing.assert_allclose([s.objective for s in steps], reached, atol=1e-9)
        assert found.start[i] == pytest.approx(value(x[i]))
        assert found.end[i] == pytest.approx(value(design))
        assert steps[0].before == x[i][:, steps[0].position].argmax()


def test_only_chosen_positions_change():
    made, x = module(), sequences(1)
    allowed = [2, 3, 11]
    found = evolve(FastISM(made, input_shape=(4, LENGTH)), x, 9, 0, positions=allowed)
    design, _ = greedy(number(made, 0), x[0], 9, allowed)
    np.testing.assert_array_equal(found.sequences[0], design)
    changed = np.flatnonzero((found.sequences[0] != x[0]).any(0))
    assert set(changed) <= set(allowed)


def test_it_stops_when_nothing_improves_and_leaves_the_input_alone():
    made, x = module(), sequences(1)
    ism, given, seen = FastISM(made, input_shape=(4, LENGTH)), x.copy(), []
    found = evolve(ism, x, 500, 2, progress=lambda step, left: seen.append((step, left)))
    assert seen[-1][1] == 0 and seen[-1][0] < 500
    np.testing.assert_array_equal(x, given)
    last = ism.saturate(found.sequences).mutants[0, :, :, 2]
    assert last.max() <= found.end[0] + 1e-12


def test_several_edits_never_do_less_than_the_best_alone():
    made, x = module(), sequences(3)
    ism = FastISM(made, input_shape=(4, LENGTH))
    found = evolve(ism, x, 4, 0, edits=5)
    single = ism.saturate(x).mutants[..., 0].reshape(3, -1).max(1)
    for i in range(3):
        steps = [s for s in found.substitutions if s.sequence == i]
        first = [s for s in steps if s.step == 1]
        assert 1 <= len(first) <= 5 and len({s.position for s in first}) == len(first)
        assert first[0].objective >= single[i] - 1e-12
        assert sorted(s.objective for s in steps) == [s.objective for s in steps]
        assert found.end[i] == pytest.approx(number(made, 0)(found.sequences[i]))


def test_goals_are_weighted_and_added_up():
    made, x = module(outputs=2), sequences(1)
    goals = [Goal(1), Goal((), output=1, weight=-0.5)]
    found = evolve(FastISM(made, input_shape=(4, LENGTH)), x, 3, goals)

    def value(y):
        with torch.no_grad():
            a, b = made(torch.tensor(y[None]))
        return float(a[0, 1] - 0.5 * b[0].sum())

    design, trace = greedy(value, x[0], 3)
    np.testing.assert_array_equal(found.sequences[0], design)
    assert found.end[0] == pytest.approx(trace[-1][2])


def test_an_objective_may_be_a_function():
    made, x = module(), sequences(1)
    found = evolve(
        FastISM(made, input_shape=(4, LENGTH)), x, 2, lambda y: y[:, 0] - np.abs(y[:, 1])
    )
    with torch.no_grad():
        design, _ = greedy(
            lambda y: float((m := made(torch.tensor(y[None]))[0])[0] - m[1].abs()), x[0], 2
        )
    np.testing.assert_array_equal(found.sequences[0], design)


def test_entry_0_of_a_single_number_is_that_number():
    x = sequences(1)
    ism = FastISM(Single(), input_shape=(4, LENGTH))
    right = evolve(FastISM(module(), input_shape=(4, LENGTH)), x, 3, 0)
    for objective in (0, Goal(0), Goal((0,)), Goal()):
        found = evolve(ism, x, 3, objective)
        np.testing.assert_array_equal(found.sequences, right.sequences)
        assert found.end[0] == pytest.approx(right.end[0])
    with pytest.raises(FastISMError, match="Output 0 has a single number, entry 0; no entry 1"):
        evolve(ism, x, 1, 1)


MISTAKES = {
    "steps": ({"steps": 0}, "steps is a whole number"),
    "edits": ({"steps": 1, "edits": 1.5}, "edits is a whole number"),
    "entry": ({"steps": 1, "objective": 3}, "no entry 3"),
    "output": ({"steps": 1, "objective": Goal(0, output=1)}, "outputs 0 to 0"),
    "nothing": ({"steps": 1, "objective": []}, "No objective"),
    "shape": ({"steps": 1, "objective": lambda y: y}, "one number for each"),
    "not finite": ({"steps": 1, "objective": lambda y: y[:, 0] * np.nan}, "not finite"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_named(case):
    given, message = MISTAKES[case]
    ism = FastISM(module(), input_shape=(4, LENGTH), test_correctness=False)
    with pytest.raises(FastISMError, match=message):
        evolve(ism, sequences(1), **given)

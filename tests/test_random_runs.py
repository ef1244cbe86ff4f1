"""The command that runs many random models."""

from __future__ import annotations

import pytest

pytest.importorskip("torch", reason="the models are torch modules")

import random_runs
from hypothesis import strategies as st

pytestmark = pytest.mark.torch


def test_a_seed_draws_the_same_again_within_its_bounds():
    wanted = (
        st.integers(2, 5),
        st.sampled_from(["a", "b", "c"]),
        st.booleans(),
        st.permutations(range(4)),
        st.just(7),
    )
    first, again = ([draw(s) for s in wanted] for draw in map(random_runs.Seeded, (3, 3)))
    assert first == again
    number, letter, either, order, fixed = first
    assert 2 <= number <= 5
    assert letter in "abc"
    assert isinstance(either, bool)
    assert sorted(order) == [0, 1, 2, 3]
    assert fixed == 7
    with pytest.raises(NotImplementedError, match="Text"):
        random_runs.Seeded(0)(st.text())


def test_it_says_how_many_ran_from_which_seeds(capsys):
    assert random_runs.main(["--framework", "torch", "--count", "2", "--seed", "6"]) == 0
    told = capsys.readouterr().out
    assert "torch: 2 random models, seeds 6 to 7" in told
    assert "0 mismatches" in told


def test_it_says_how_far_it_is_while_it_runs(capsys, monkeypatch):
    monkeypatch.setitem(random_runs.RUNS, "torch", lambda seed: lambda: None)
    assert random_runs.main(["--framework", "torch", "--count", "250"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[:2] == ["torch: 100 of 250, 0 mismatches", "torch: 200 of 250, 0 mismatches"]


def test_what_differs_is_named_by_its_seed(capsys, monkeypatch):
    def wrong(seed):
        def run():
            assert seed != 4, "off by 1"

        return run

    monkeypatch.setitem(random_runs.RUNS, "torch", wrong)
    assert random_runs.main(["--framework", "torch", "--count", "3", "--seed", "3"]) == 1
    told = capsys.readouterr().out
    assert "torch, seed 4: AssertionError: off by 1" in told
    assert "1 mismatches" in told

"""Double mutants through the public class, against the models themselves."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile

torch = pytest.importorskip("torch", reason="the models are torch modules")

from random_modules import Example, modules, randomise  # noqa: E402
from test_random_modules import assert_close, listed, packed, predictions  # noqa: E402

from fastism import FastISM, FastISMError, NaiveISM  # noqa: E402
from fastism.pairs.plan import PairStrategy  # noqa: E402
from fastism.pairs.windows import find_roles  # noqa: E402

pytestmark = pytest.mark.torch

SEEDS = st.integers(0, 2**32 - 1)


def one_hot(rng: np.random.Generator, count: int, length: int, characters: int = 4) -> np.ndarray:
    """Sequences ``(N, C, L)`` with a position that is none of the characters."""
    x = np.eye(characters)[rng.integers(characters, size=(count, length))]
    x[:, length // 2] = 0
    return x.transpose(0, 2, 1)


def doubled(example: Example, inputs: list[np.ndarray], positions: list[int]) -> list[np.ndarray]:
    """Every double mutant, ``(N, P, C, P, C, *output)``; at one position the later edit wins."""
    x = inputs[example.sequence]
    x = x if example.channels_last else x.transpose(0, 2, 1)
    count, _, characters = x.shape
    grid = np.stack(
        np.meshgrid(
            *(range(n) for n in (count, len(positions), characters, len(positions), characters)),
            indexing="ij",
        ),
        -1,
    ).reshape(-1, 5)
    batch = [y[grid[:, 0]].copy() for y in inputs]
    edited = batch[example.sequence]
    edited = edited if example.channels_last else edited.transpose(0, 2, 1)
    rows, where = np.arange(len(grid)), np.asarray(positions)
    for p, c in ((1, 2), (3, 4)):
        edited[rows, where[grid[:, p]]] = np.eye(characters)[grid[:, c]]
    shape = (count, len(positions), characters, len(positions), characters)
    return [y.reshape(*shape, *y.shape[1:]) for y in predictions(example, batch)]


def by_position(example: Example, doubles: np.ndarray) -> np.ndarray:
    """Axes (N, P, C, P, C, ...) whatever the layout of the module."""
    return doubles if example.channels_last else doubles.swapaxes(1, 2).swapaxes(3, 4)


def settings_of(example: Example) -> dict[str, Any]:
    return {
        "seq_input_idx": example.sequence,
        "input_shape": example.shapes,
        "channels_last": example.channels_last,
        "test_correctness": False,
    }


def check(example: Example, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs = [rng.normal(size=(2, *shape)) for shape in example.shapes]
    shape = example.shapes[example.sequence]
    channels, length = shape[::-1] if example.channels_last else shape
    if rng.random() < 0.6:
        x = one_hot(rng, 2, length, channels)
        inputs[example.sequence] = x.transpose(0, 2, 1) if example.channels_last else x
    positions = [int(p) for p in rng.permutation(sorted({0, length - 1, length // 2}))]
    ism = FastISM(example.module, early_stop_layers=example.stops, **settings_of(example))
    result = ism.pairs(packed(inputs), positions=positions)
    expected = doubled(example, inputs, positions)
    reference = predictions(example, inputs)
    apart = ~np.eye(len(positions), dtype=bool)
    made = [by_position(example, y) for y in listed(result.doubles)]
    # (pairs of positions, N, C, C, *output)
    made, expected = ([y.swapaxes(2, 3)[:, apart] for y in ys] for ys in (made, expected))
    assert_close(made, expected, reference, example.dtype)


@pytest.mark.slow
@profile(8)
@given(modules("float64"), SEEDS)
def test_random_modules(example, seed):
    check(example, seed)


@pytest.mark.slow
@profile(4)
@given(modules("float32"), SEEDS)
def test_random_modules_in_single_precision(example, seed):
    check(example, seed)


# ---- a module that is known ---------------------------------------------------------------


class Small(torch.nn.Module):
    """Two outputs: a profile, and a number from a global maximum and a mean."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 6, 5, padding=2)
        self.body = torch.nn.Conv1d(6, 6, 3, padding=2, dilation=2)
        self.profile = torch.nn.Conv1d(6, 2, 3, padding=1)
        self.head = torch.nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = torch.relu(self.conv(x))
        x = x + torch.relu(self.body(x))
        both = torch.cat([x.amax(2), x.mean(2)], 1)
        return self.profile(x), self.head(both)


@pytest.fixture(scope="module")
def small() -> Example:
    module = Small().double().eval()
    randomise(module, 1)
    return Example(module, [(4, 40)], 0, False, [], "float64", [])


@pytest.fixture(scope="module")
def ism(small) -> FastISM:
    return FastISM(small.module, **settings_of(small))


POSITIONS = [3, 4, 20, 39, 0, 9]


def test_doubles_are_those_of_the_module(small, ism):
    x = one_hot(np.random.default_rng(0), 2, 40)
    result = ism.pairs(x, positions=POSITIONS)
    assert result.axes == (
        "sequence",
        "character",
        "position",
        "character",
        "position",
        "output...",
    )
    assert result.positions.tolist() == POSITIONS
    apart = ~np.eye(len(POSITIONS), dtype=bool)
    expected = doubled(small, [x], POSITIONS)
    for made, right in zip(result.doubles, expected, strict=True):
        made = by_position(small, made).swapaxes(2, 3)[:, apart]
        np.testing.assert_allclose(made, right.swapaxes(2, 3)[:, apart], rtol=1e-9, atol=1e-10)
    single = ism.saturate(x, positions=POSITIONS)
    for made, right in zip(result.singles, single.mutants, strict=True):
        np.testing.assert_allclose(made, right, rtol=1e-12, atol=1e-14)


def test_epistasis_is_symmetric_and_zero_where_an_edit_is_none(small, ism):
    x = one_hot(np.random.default_rng(1), 1, 40)
    result = ism.pairs(x, positions=POSITIONS, outputs=[1])
    made = result.epistasis()[0]
    assert made.shape == (1, 4, 6, 4, 6, 1)
    np.testing.assert_array_equal(made, made.transpose(0, 3, 4, 1, 2, 5))
    f0, single, double = (y[0] for y in (result.reference, result.singles, result.doubles))
    right = (
        double - single[:, :, :, None, None] - single[:, None, None] + f0[:, None, None, None, None]
    )
    same = np.eye(6, dtype=bool)
    made, right = (y.transpose(0, 2, 4, 1, 3, 5) for y in (made, right))
    np.testing.assert_allclose(made[:, ~same], right[:, ~same], atol=1e-12)
    assert (made[:, same] == 0).all()
    letters = x[0].argmax(0)
    for row, position in enumerate(POSITIONS):
        if x[0, :, position].any():
            assert (made[0, row, :, letters[position]] == 0).all()
    assert np.abs(made).max() > 1e-3
    dependency = result.dependency()[0]
    np.testing.assert_array_equal(dependency, np.abs(made).max((3, 4)))


class Counting(torch.nn.Module):
    """A mean over positions behind a residual, enough channels for the compiled kernels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = torch.nn.Conv1d(4, 32, 5, padding=2)
        self.body = torch.nn.Conv1d(32, 32, 3, padding=2, dilation=2)
        self.head = torch.nn.Linear(32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.conv(x))
        return self.head((x + torch.relu(self.body(x))).mean(2))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_what_only_a_mean_reads_is_added_up_where_it_is_made(dtype, monkeypatch):
    module = Counting().to(getattr(torch, dtype)).eval()
    randomise(module, 2)
    example = Example(module, [(4, 40)], 0, False, [], dtype, [])
    fast = FastISM(module, **settings_of(example))
    totals = []
    made = type(fast.engine.b).joint_overlap_add

    def watched(self, *given):
        totals.append(given[-1].total)
        return made(self, *given)

    monkeypatch.setattr(type(fast.engine.b), "joint_overlap_add", watched)
    x = one_hot(np.random.default_rng(5), 1, 40).astype(dtype)
    doubles = fast.pairs(x, positions=POSITIONS).doubles
    assert any(totals)
    assert not all(totals)
    apart = ~np.eye(len(POSITIONS), dtype=bool)
    (expected,) = doubled(example, [x], POSITIONS)
    made, expected = (y.swapaxes(2, 3)[:, apart] for y in (by_position(example, doubles), expected))
    assert_close([made], [expected], predictions(example, [x]), dtype)


def test_what_something_else_reads_stays_a_window(ism):
    assert not find_roles(ism.engine.plan).totals


def test_naive_pairs_agree(small, ism):
    x = one_hot(np.random.default_rng(2), 1, 40)
    naive = NaiveISM(small.module, input_shape=(4, 40), batch_size=32, test_correctness=False)
    seen = []
    fast = ism.pairs(x, positions=[5, 6, 30])
    slow = naive.pairs(x, positions=[5, 6, 30], progress=lambda *given: seen.append(given))
    for a, b in zip(fast.doubles, slow.doubles, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-10)
    assert seen[-1] == (27, 27)


@pytest.mark.parametrize("memory", [1 << 20, 1 << 28], ids=["little memory", "enough"])
def test_entries_reductions_and_types(small, memory):
    fast = FastISM(small.module, memory=memory, **settings_of(small))
    x = one_hot(np.random.default_rng(3), 2, 40)
    whole = fast.pairs(x, positions=slice(10, 16))
    some = fast.pairs(x, slice(10, 16), {0: [1]}, "mean", np.float32)
    assert some.doubles[0].dtype == np.float32
    assert some.doubles[0].shape == (2, 4, 6, 4, 6)
    right = whole.doubles[0][..., [1], :].mean((-2, -1))
    np.testing.assert_allclose(some.doubles[0], right, rtol=1e-5, atol=1e-6)
    strongest = fast.pairs(x, slice(10, 16), [0], lambda y: y.max(2))
    apart = ~np.eye(6, dtype=bool)
    made, right = (
        y.transpose(0, 2, 4, 1, 3, 5)[:, apart]
        for y in (strongest.doubles[0], whole.doubles[0].max(-1))
    )
    np.testing.assert_allclose(made, right, atol=1e-12)


@pytest.mark.parametrize("rows", [None, 1, 4])
def test_rows_are_those_of_the_whole(small, ism, rows):
    x = one_hot(np.random.default_rng(7), 1, 40)
    chosen = [3, 4, 8, 20, 21, 39]
    whole = ism.pairs(x, positions=chosen)
    dependency, seen = whole.dependency(), []
    for block in ism.pair_rows(x, positions=chosen[::-1], rows=rows):
        for number in (0, 1):
            right = by_position(small, whole.doubles[number])[0]
            right = right[block.first : block.last, :, block.first :]
            np.testing.assert_allclose(block.doubles[number], right, rtol=1e-12, atol=1e-13)
            right = dependency[number][0, block.first : block.last, block.first :]
            np.testing.assert_allclose(block.dependency()[number], right, atol=1e-12)
        seen.extend(range(block.first, block.last))
    assert seen == list(range(6))
    late = next(ism.pair_rows(x, positions=chosen, rows=2, first=4))
    assert (late.first, late.last) == (4, 6)
    with pytest.raises(FastISMError, match="one sequence at a time; got 2"):
        ism.pair_rows(np.repeat(x, 2, 0))


def test_one_position_and_positions_twice(ism):
    x = one_hot(np.random.default_rng(4), 1, 40)
    assert (ism.pairs(x, positions=[7]).epistasis()[1] == 0).all()
    twice = ism.pairs(x, positions=[7, 12, 7]).epistasis()[1]
    np.testing.assert_array_equal(twice[:, :, 0], twice[:, :, 2])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"reduce": "median"}, "expected None, one of mean"),
        ({"reduce": lambda y: y.sum()}, "the first axis, the mutants, must stay"),
        ({"positions": [40]}, "positions reach from 40"),
    ],
    ids=["unknown name", "no axis left", "outside"],
)
def test_what_does_not_fit(ism, given, message):
    x = one_hot(np.random.default_rng(5), 1, 40)
    with pytest.raises(FastISMError, match=message):
        ism.pairs(x, **{"positions": [1, 2], **given})


def test_the_plan_says_how_pairs_run(ism):
    plan = ism.pair_plan(slice(10, 30), [1])
    assert plan.strategy is PairStrategy.INTERACTIONS
    assert plan.speedup > ism.plan.speedup
    assert "Strategy: interactions: effects of single edits add up" in str(plan)
    far = ism.pair_plan([0, 39])
    assert far.near == 0
    assert far.fast_macs < 100
    assert ism.pair_plan([0, 1]).near == 1


class Mixing(torch.nn.Module):
    """Something global comes first."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.rfft(x, dim=2).abs().sum(1)


def test_where_something_global_comes_first_pairs_are_naive():
    ism = FastISM(Mixing().eval(), input_shape=(4, 12), test_correctness=False)
    assert ism.pair_plan().strategy is PairStrategy.NAIVE
    assert "Strategy: naive: steps on whole tensors come so early" in str(ism.pair_plan())
    x = one_hot(np.random.default_rng(6), 1, 12).astype(np.float32)
    example = Example(ism.model, [(4, 12)], 0, False, [], "float32", [])
    made = by_position(example, ism.pairs(x, positions=[0, 5]).doubles)
    np.testing.assert_allclose(
        made[:, 0, :, 1], doubled(example, [x], [0, 5])[0][:, 0, :, 1], atol=1e-5
    )

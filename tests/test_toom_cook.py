"""Four products of every two inputs and three taps in place of six: right and precise."""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from profiles import profile
from test_choices import Clock
from test_compiled import every_instruction_set, library

pytestmark = [pytest.mark.torch, pytest.mark.processor]
torch = pytest.importorskip("torch")

from fastism.backends import compiled  # noqa: E402
from fastism.backends.choices import Choices  # noqa: E402
from fastism.backends.epilogue import Epilogue, JointEpilogue  # noqa: E402
from fastism.backends.torch import TorchBackend  # noqa: E402
from fastism.backends.torch_kernels import (  # noqa: E402
    CompiledColumns,
    CompiledToomCook,
    Problem,
    ProductPerTap,
    is_precise,
)

#: A problem that the kernel accepts with every set of instructions.
PROBLEM = Problem("float32", "cpu", 3, 20, 32, 1)


@pytest.fixture(autouse=True)
def turned_on(monkeypatch):
    """The kernels are tested also where the environment turns them off."""
    monkeypatch.delenv("FASTISM_COMPILED", raising=False)


@pytest.fixture
def offered() -> None:
    """Needs the kernel of this processor."""
    library(torch.backends.cpu.get_cpu_capability())


def numbers(rng: np.random.Generator, *shape: int) -> Any:
    return torch.from_numpy(rng.standard_normal(shape, np.float32))


def exactly(x: Any, taps: np.ndarray, dilation: int, offset: int, width: int) -> Any:
    """The convolution in double precision, one tap after the other."""
    plain = ProductPerTap(taps.astype(np.float64), dilation, torch.device("cpu"))
    return plain.run(x.double(), offset, width, None)


def assert_near(made: Any, exact: Any, count: int) -> None:
    allowed = 8 * count * torch.finfo(torch.float32).eps * exact.abs().max().clamp(min=1)
    torch.testing.assert_close(made.double(), exact, rtol=0, atol=float(allowed))


def residual_of(rng: np.random.Generator, case: dict[str, int], expected: Any) -> tuple[Any, Any]:
    """A residual, and what is expected with it; None where the case has none."""
    if not case["residual"]:
        return None, expected
    residual = numbers(rng, case["residual"], *expected.shape[1:])
    begin, with_it = case["residual_offset"], expected.clone()
    for p in range(max(begin, 0), min(begin + len(residual), len(expected))):
        with_it[p] += residual[p - begin]
    return residual, with_it


@st.composite
def windows(draw: st.DrawFn) -> dict[str, int]:
    """Chains of any length, inside and outside of the window, and rows that fill no tile."""
    return {
        "taps": draw(st.integers(1, 12)),
        "size": draw(st.integers(1, 12)),
        "width": draw(st.integers(1, 30)),
        "dilation": draw(st.integers(1, 7)),
        "offset": draw(st.integers(-12, 9)),
        "blocks": draw(st.integers(1, 3)),
        "mutants": draw(st.integers(1, 14)),
        "channels": draw(st.integers(1, 9)),
        "features": draw(st.integers(32, 70)),
        "residual": draw(st.integers(0, 8)),
        "residual_offset": draw(st.integers(-5, 9)),
        "seed": draw(st.integers(0, 99)),
    }


@every_instruction_set
@profile(60)
@given(case=windows())
def test_windows_are_those_of_the_definition(instructions, case):
    rng, size, width = np.random.default_rng(case["seed"]), case["size"], case["width"]
    rows, features = (case["blocks"], case["mutants"]), case["features"]
    taps = rng.standard_normal((case["taps"], case["channels"], features), np.float32)
    packed = compiled.PackedToomCook(taps, library(instructions))
    x = numbers(rng, size, *rows, case["channels"])
    z = numbers(rng, width, rows[0], 1, features)
    where = case["dilation"], case["offset"], width
    exact = exactly(x, taps, *where)
    assert_near(packed.overlap_add(x, *where, None), exact, 9)
    assert_near(packed.overlap_add(x, *where, z), exact + z.double(), 9)
    expected = (z.double() + exact).relu() - z.double().relu()
    assert_near(packed.rectified_overlap_add(x, *where, z), expected, 9)
    residual, expected = residual_of(rng, case, expected)
    made = packed.rectified_overlap_add(x, *where, z, residual, case["residual_offset"])
    assert_near(made, expected, 9)


@every_instruction_set
@profile(60)
@given(case=windows())
def test_interactions_are_those_of_the_definition(instructions, case):
    rng, width = np.random.default_rng(case["seed"]), case["width"]
    firsts, seconds, features = case["blocks"], case["mutants"], case["features"]
    taps = rng.standard_normal((case["taps"], case["channels"], features), np.float32)
    packed = compiled.PackedToomCook(taps, library(instructions))
    x = numbers(rng, case["size"], firsts, seconds, case["channels"])
    z, a = numbers(rng, width, 1, 1, features), numbers(rng, width, firsts, 1, features)
    b = numbers(rng, width, 1, seconds, features)
    where = case["dilation"], case["offset"], width
    terms = [y.double() for y in (z, a, b)]
    sums = terms[0] + terms[1] + terms[2] + exactly(x, taps, *where)
    alone = (terms[0] + terms[1]).relu(), (terms[0] + terms[2]).relu()
    expected = sums.relu() - alone[0] - alone[1] + terms[0].relu()
    residual, expected = residual_of(rng, case, expected)
    epilogue = JointEpilogue(z, a, b, residual, case["residual_offset"])
    assert_near(packed.joint_overlap_add(x, *where, epilogue), expected, 9)
    if packed.joins(total := replace(epilogue, total=True)):
        made = packed.joint_overlap_add(x, *where, total)
        assert_near(made, expected.sum(0, keepdim=True), 9 * width)
    nothing = packed.joint_overlap_add(None, *where, JointEpilogue(z, a, b))
    sums = (terms[0] + terms[1] + terms[2]).relu()
    assert_near(nothing, sums - alone[0] - alone[1] + terms[0].relu(), 9)


@every_instruction_set
def test_what_is_not_a_number_stays_with_its_mutant(instructions):
    rng = np.random.default_rng(0)
    taps = rng.standard_normal((3, 4, 32), np.float32)
    x = numbers(rng, 9, 1, 5, 4)
    x[4, 0, 2, 1] = np.nan
    made = compiled.PackedToomCook(taps, library(instructions)).overlap_add(x, 1, 0, 11, None)
    reached = torch.isnan(made).any(-1)[:, 0]
    assert reached[4:7, 2].all()
    assert not reached[:, [0, 1, 3, 4]].any()
    # An input shares products with one other: what they share reaches the outputs of both.
    assert not reached[:4, 2].any()
    assert not reached[8:, 2].any()


@every_instruction_set
def test_what_no_mutation_reaches_stays_exactly_zero(instructions):
    rng = np.random.default_rng(1)
    taps = rng.standard_normal((3, 6, 40), np.float32)
    x = torch.zeros(8, 1, 3, 6)
    x[2:4] = numbers(rng, 2, 1, 3, 6)
    made = compiled.PackedToomCook(taps, library(instructions)).overlap_add(x, 2, 0, 12, None)
    assert not made[[0, 1, 8, 9, 10, 11]].any()
    assert made[2:8].any()


def test_it_takes_any_number_of_taps_but_one_of_enough_channels(offered):
    taken = [
        count
        for count in range(1, 8)
        if CompiledToomCook.accepts(Problem("float32", "cpu", count, 20, 64, 2))
    ]
    assert taken == [2, 3, 4, 5, 6, 7]
    assert not CompiledToomCook.accepts(Problem("float64", "cpu", 3, 20, 64, 2))
    assert not CompiledToomCook.accepts(Problem("float32", "cpu", 3, 20, 2, 2))
    assert not CompiledToomCook.accepts(Problem("float32", "cpu", 3, 4, 64, 2))


def test_a_library_from_before_does_not_offer_it(monkeypatch):
    class Old:
        """Has only what all libraries had."""

        columns = staticmethod(lambda: 32)

    monkeypatch.setattr(compiled, "load", Old)
    assert CompiledColumns.accepts(PROBLEM)
    assert not CompiledToomCook.accepts(PROBLEM)
    library = ctypes.CDLL(None)
    compiled._declare(library, "toom_cook_overlap_add", (ctypes.c_int64,))
    assert not hasattr(library, "toom_cook_overlap_add")


#: Taps, channels in and out, dilation.
LAYERS = {
    "BPNet": (3, 64, 64, 16),
    "Basset": (11, 300, 200, 1),
    "DeepSEA": (8, 320, 480, 1),
    "Factorized Basset": (5, 64, 100, 1),
}


@pytest.mark.parametrize("layer", LAYERS)
def test_it_is_as_near_to_float64_as_one_sum_is(offered, layer):
    count, channels, features, dilation = LAYERS[layer]
    rng = np.random.default_rng(count)
    taps = (rng.standard_normal((count, channels, features)) / 14).astype(np.float32)
    x = numbers(rng, 2 * dilation + 9, 1, 24, channels)
    given = taps, dilation, torch.device("cpu")
    assert is_precise(CompiledToomCook(*given), x, taps)


def backend_in_which_it_is_the_fastest() -> TorchBackend:
    clock = Clock()

    class Timed(TorchBackend):
        def _run(self, kernel: Any, *rest: Any) -> Any:
            clock.now += 1.0 if kernel.approximates else 2.0
            return super()._run(kernel, *rest)

        def _run_joint(self, kernel: Any, *rest: Any) -> Any:
            clock.now += 1.0 if kernel.approximates else 2.0
            return super()._run_joint(kernel, *rest)

    return Timed("float32", "cpu", (ProductPerTap, CompiledToomCook), Choices(clock))


#: Taps of about one size, and of which one is so much larger that its rounding hides another one.
SIZES = {"alike": (1.0, 1.0, 1.0), "one far larger": (1e4, 1.0, 1.0)}


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("what", ["plain", "rectified", "joint"])
def test_it_runs_only_with_taps_that_it_is_precise_for(offered, monkeypatch, sizes, what):
    """Layers of a shape share their times, but each is asked whether its taps suit the kernel."""
    monkeypatch.delenv("FASTISM_MEASURE", raising=False)
    b = backend_in_which_it_is_the_fastest()
    b.expect(1e9)
    rng = np.random.default_rng(3)
    x, z = numbers(rng, 6, 1, 20, 20), torch.zeros(8, 1, 1, 32)
    plain = rng.standard_normal((3, 20, 32)).astype(np.float32)

    def run(taps: np.ndarray) -> tuple[tuple[str, ...], Any]:
        prepared = b.prepare_taps(taps)
        if what == "joint":
            rows = torch.zeros(8, 1, 20, 32)
            made = b.joint_overlap_add(x, prepared, 1, 0, 8, JointEpilogue(z, z, rows))
        else:
            epilogue = Epilogue(z) if what == "rectified" else None
            made = b.overlap_add(x, prepared, 1, 0, 8, epilogue=epilogue)
        return prepared.names, made

    assert run(plain)[0] == (CompiledToomCook.name,)
    taps = plain * np.array(SIZES[sizes], np.float32)[:, None, None]
    names, made = run(taps)
    assert names == (CompiledToomCook.name if sizes == "alike" else ProductPerTap.name,)
    exact = exactly(x, taps, 1, 0, 8)
    expected = exact if what == "plain" else exact.relu()
    assert_near(made, expected, 20)


@pytest.mark.parametrize("sizes", SIZES)
def test_a_window_of_zeros_says_nothing_about_precision(offered, monkeypatch, sizes):
    monkeypatch.delenv("FASTISM_MEASURE", raising=False)
    b = backend_in_which_it_is_the_fastest()
    b.expect(1e9)
    taps = np.random.default_rng(0).standard_normal((3, 20, 32)).astype(np.float32)
    prepared = b.prepare_taps(taps * np.array(SIZES[sizes], np.float32)[:, None, None])
    x = torch.zeros(6, 1, 20, 20)
    assert not b.overlap_add(x, prepared, 1, 0, 8).any()
    assert (prepared.names == (CompiledToomCook.name,)) == (sizes == "alike")
    assert not x.any()

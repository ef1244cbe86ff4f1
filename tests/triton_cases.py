"""The kernels in Triton against loops in NumPy; `tests/test_triton.py` runs this file.

It runs in a process of its own with ``TRITON_INTERPRET=1``, set before Triton is imported, so that
the programs run on the CPU and other tests see PyTorch as it is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from backend_case import Case, check, numbers
from backend_cases import CASES
from oracle import full_pass
from test_engine_backends import all_mutants, brute_force, inputs_of, run_engine, small_graph, worst

from fastism.backends import torch_triton, triton_runtime
from fastism.backends.base import Backend
from fastism.backends.choices import Choices
from fastism.backends.epilogue import Epilogue, Pooling
from fastism.backends.precision import products_in
from fastism.backends.torch_kernels import Problem
from fastism.backends.torch_uniform import UniformTorchBackend

#: One of so many of the cases of all backends, which are many.
SHARE = 12
#: How many random convolutions are so small that one program makes a position.
CASES_OF_A_TILE = 20
KERNELS = torch_triton.kernels()
#: Those that differ from others in what they multiply only, for which a few cases suffice. The
#: interpreter multiplies in single precision whatever it is asked for.
HALVES = [kernel for kernel in KERNELS if kernel.approximates]


def backend(kernel: Any) -> UniformTorchBackend:
    """With one kernel and nothing else."""
    return UniformTorchBackend("float32", "cpu", (kernel,))


def each_kernel() -> Any:
    chosen = [kernel for kernel in KERNELS if not kernel.approximates]
    return pytest.mark.parametrize("kernel", chosen, ids=[k.name for k in chosen])


@each_kernel()
@pytest.mark.parametrize("what", ["per block", "the same for all"])
def test_cases_of_all_backends(kernel, what):
    b = backend(kernel)
    chosen = [c for c in CASES["overlap_add"] if c.per_block == (what == "per block")]
    chosen = [c for c in chosen if c.weights[1].shape[0] > 1]
    check(chosen[:: SHARE if what == "per block" else 3 * SHARE], b)


def random_case(rng: np.random.Generator, number: int) -> Case:
    """A convolution of random shape with a random epilogue, its offsets far beyond both ends.

    The last ones have more rows and features than one program makes.
    """
    count, dilation = int(rng.integers(2, 6)), int(rng.integers(1, 4))
    channels, features = int(rng.integers(1, 40)), int(rng.integers(1, 20))
    size, blocks, mutants = (
        int(rng.integers(1, 6)),
        int(rng.integers(1, 5)),
        int(rng.integers(1, 4)),
    )
    width = int(rng.integers(1, 8))
    if number >= CASES_OF_A_TILE:
        blocks, features = blocks + 70, features + 130

    def offsets(length: int) -> np.ndarray:
        return rng.integers(-length, width + 1, blocks)

    x = numbers(size, blocks, mutants, channels)
    taps = numbers(count, channels, features)
    reached = size + (count - 1) * dilation
    what = ("nothing", "ReLU", "residual", "pool")[number % 4]
    arrays, placed = [x, numbers(width, blocks, 1, features)], [offsets(reached)]
    made = width
    if what == "residual":
        rows = int(rng.integers(1, 6))
        arrays.append(numbers(rows, blocks, mutants, features))
        placed.append(offsets(rows))
    pool = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    if what == "pool":
        made = int(rng.integers(1, 4))
        arrays.append(numbers(made, blocks, 1, features))
        # At least one position of each pool is in the window: others would be minus infinity.
        read = (made - 1) * pool[1] + pool[0]
        width = read + int(rng.integers(0, 3))
        arrays[1] = numbers(width, blocks, 1, features)
        placed.append(-rng.integers(0, width - read + 1, blocks))
        arrays.append(np.where(rng.random(features) < 0.5, -1.0, 1.0))

    def call(b: Backend, t: Any, g: Any, x: Any, z: Any, *more: Any) -> Any:
        given = (x, t, dilation, g.offsets[0], width)
        if what == "nothing":
            return b.overlap_add(*given, z)
        if what == "pool":
            pooling = Pooling(*pool, more[1], g.offsets[1], made, more[0])
            return b.overlap_add(*given, epilogue=Epilogue(z, pooling=pooling))
        residual = (more[0], g.offsets[1]) if what == "residual" else ()
        return b.overlap_add(*given, epilogue=Epilogue(z, *residual))

    return Case(
        f"overlap_add {number}, {what}, {count} taps {channels} to {features}, {x.shape}",
        call,
        arrays,
        ("prepare_taps", taps),
        width=width,
        offsets=placed,
        sequence=(0,) * blocks,
        starts=(0,) * blocks,
    )


@each_kernel()
def test_random_shapes_epilogues_and_offsets(kernel):
    rng = np.random.default_rng(20220306)
    for number in range(CASES_OF_A_TILE + 4):
        check([random_case(rng, number)], backend(kernel))


@pytest.mark.parametrize("kernel", HALVES, ids=[kernel.name for kernel in HALVES])
def test_halves(kernel):
    rng = np.random.default_rng(2)
    for number in range(4):
        check([random_case(rng, number)], backend(kernel))


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k not in HALVES], ids=lambda k: k.name)
def test_in_tf32_taps_are_read_in_another_order(kernel):
    rng = np.random.default_rng(3)
    with products_in("torch", "tf32"):
        for number in range(8):
            check([random_case(rng, number)], backend(kernel))


def test_what_a_kernel_is_measured_on_has_a_pool_where_its_problem_has_one():
    """Kernels that take a pool are chosen with it; with a sample too short for one, without."""
    b = UniformTorchBackend("float32", "cpu", (KERNELS[0],))
    ran: list[Epilogue | None] = []
    problem = Problem("float32", "cpu", 3, 4, 8, 1)
    x, reference = b.asarray(numbers(6, 1, 2, 4)), b.asarray(numbers(8, 1, 1, 8))
    sign = b.asarray(np.ones(8))
    kernel = KERNELS[0](numbers(3, 4, 8).astype("float32"), 1, b.device)
    run = kernel.run
    kernel.run = lambda *given: (ran.append(given[-1]), run(*given))[1]
    for size in (2, 9):
        pooling = Pooling(size, 2, sign, 0, 1, reference[:1])
        b._trial(x, problem, Epilogue(reference, pooling=pooling))(kernel)
    assert (ran[0].pooling.size, ran[0].pooling.width) == (2, 4)
    assert ran[1] is None


def test_products_that_do_not_fit_are_made_in_pieces(monkeypatch):
    kernel = next(k for k in KERNELS if k.form.stacked)
    monkeypatch.setattr(torch_triton, "MOST_BYTES", 1)
    rng = np.random.default_rng(1)
    for number in range(4):
        check([random_case(rng, number)], backend(kernel))


@pytest.mark.parametrize(
    "primitive", ["lookup", "place", "add_windows", "rebuild", "flatten_dense", "add_rows"]
)
def test_what_lies_between_products(primitive):
    b = UniformTorchBackend("float32", "cpu")
    check(CASES[primitive], b)


def test_changed_rows_in_triton():
    """Also where windows of several widths come, and where one mutant is at the far end."""
    choices = Choices()
    b = UniformTorchBackend("float32", "cpu", choices=choices)
    kernel = b.prepare_rows(numbers(10, 4, 20).astype("float32"))
    (name,) = [n for n in kernel.chosen._names if "Triton" in n]
    way = kernel.chosen.named(name)
    windows = [numbers(3, 2, 2, 4), numbers(1, 3, 2, 4)]
    starts = [np.array([0, 7]), np.array([9, 0, 4])]
    made = way([b.asarray(x) for x in windows], starts).numpy()
    weights = kernel.kernel.numpy().astype(np.float64)
    expected = [
        np.einsum("pmc,pcf->mf", x[:, i], weights[s : s + len(x)])
        for x, first in zip(windows, starts, strict=True)
        for i, s in enumerate(first)
    ]
    np.testing.assert_allclose(made, np.concatenate(expected), atol=1e-5)


@pytest.mark.parametrize(("width", "sequences"), [(1, 2), (4, 1)])
def test_a_model_on_the_kernels(width, sequences):
    graph = small_graph("float32")
    inputs = inputs_of(graph, sequences)
    mutants = all_mutants(inputs[0], width)
    b = UniformTorchBackend("float32", "cpu")
    reference, outputs = run_engine(b, graph, inputs, mutants)
    assert worst(reference, full_pass(graph, inputs)) < 2e-6
    assert worst(outputs, brute_force(graph, inputs, mutants)) < 2e-6


def test_double_precision_runs_on_the_operators_of_pytorch():
    problem = Problem("float64", "cpu", 3, 4, 40, 1)
    assert not any(kernel.accepts(problem) for kernel in KERNELS)
    assert not UniformTorchBackend("float64", "cpu")._triton


def test_tiles_are_no_wider_than_the_window_has_channels(monkeypatch):
    monkeypatch.setattr(triton_runtime, "interpreted", lambda: False)
    monkeypatch.setattr(triton_runtime, "usable", lambda *_: True)
    narrow, wide = (Problem("float32", "cuda", 3, 4, features, 1) for features in (8, 300))
    plain = [k for k in torch_triton.kernels() if not k.approximates]
    accepted = [{k.name for k in plain if k.accepts(p)} for p in (narrow, wide)]
    assert accepted[0] == {"Triton 128x16x16", "product, Triton"}
    tiles = ("64x128x32", "128x128x32", "128x64x32", "64x64x32")
    assert accepted[1] == {f"Triton {tile}" for tile in tiles} | {"product, Triton"}
    for features in range(1, 300, 7):
        problem = Problem("float32", "cuda", 3, 4, features, 1)
        assert any(k.accepts(problem) for k in torch_triton.kernels() if not k.form.stacked)

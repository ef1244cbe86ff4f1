"""With TF32, factors of products of deltas are rounded and no others; imitated on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from test_engine_backends import all_mutants, brute_force, inputs_of, small_graph

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from fastism.backends.precision import products_in, torch_rounds_to_tf32  # noqa: E402
from fastism.backends.torch_kernels import ProductPerTap  # noqa: E402
from fastism.backends.torch_uniform import UniformTorchBackend  # noqa: E402
from fastism.graph.simplify import simplify  # noqa: E402
from fastism.planning.plan import make_plan  # noqa: E402
from fastism.running.engine import Engine, prepare_weights, whole_tensors  # noqa: E402


def rounded(x: torch.Tensor) -> torch.Tensor:
    """To the ten bits of TF32, if products round at the moment."""
    if not torch_rounds_to_tf32():
        return x
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


class RoundedProduct(ProductPerTap):
    def run(self, x: torch.Tensor, *given: Any) -> torch.Tensor:
        exact, self._matrices = self._matrices, [rounded(tap) for tap in self._matrices]
        try:
            return super().run(rounded(x), *given)
        finally:
            self._matrices = exact


class Imitation(UniformTorchBackend):
    """A CPU that rounds as a GPU does."""

    def __init__(self) -> None:
        super().__init__("float32", "cpu", (RoundedProduct,))

    def prepare_matrix(self, matrix: np.ndarray) -> torch.Tensor:
        return self.constant(matrix)

    def conv1d(self, x: torch.Tensor, kernel: torch.Tensor, *given: Any) -> torch.Tensor:
        return super().conv1d(rounded(x), rounded(kernel), *given)

    def matmul(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return super().matmul(rounded(x), rounded(y))

    def _changed_rows(self, windows: Any, starts: Any, kernel: Any) -> torch.Tensor:
        exact = kernel.kernel
        kernel.kernel = rounded(exact)
        try:
            return super()._changed_rows([rounded(x) for x in windows], starts, kernel)
        finally:
            kernel.kernel = exact


def run_fast(precision: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    graph = simplify(small_graph("float32"))
    inputs = inputs_of(graph, 2)
    mutants = all_mutants(inputs[0], 1)
    plan = make_plan(graph, 1, 3, uniform=True)
    engine = Engine(plan, Imitation(), 1 << 24, precision=precision)
    reference, parts = engine.run(inputs, mutants)
    made = [np.full((len(mutants), *y.shape[1:]), np.nan) for y in reference]
    for part in parts:
        for y, some in zip(made, part.outputs, strict=True):
            y[part.index] = some
    return reference, [
        y - r[mutants.sequence].astype(float) for y, r in zip(made, reference, strict=True)
    ]


def run_naive(precision: str) -> list[np.ndarray]:
    """Every mutant through the whole model on the same backend."""
    graph = simplify(small_graph("float32"))
    inputs, b = inputs_of(graph, 2), Imitation()
    mutants = all_mutants(inputs[0], 1)
    x = inputs[0][mutants.sequence].copy()
    x[np.arange(len(x)), mutants.start] = mutants.replacement[:, 0]
    weights = prepare_weights(graph, b)

    def outputs(*given: np.ndarray) -> list[np.ndarray]:
        with products_in("torch", precision):
            arrays = [b.asarray(y) for y in given]
            values = whole_tensors(graph, b, weights, arrays, graph.outputs)
        return [values[i].numpy().astype(float) for i in graph.outputs]

    pairs = zip(outputs(x, inputs[1][mutants.sequence]), outputs(*inputs), strict=True)
    return [y - r[mutants.sequence] for y, r in pairs]


def exact_effects() -> list[np.ndarray]:
    graph = small_graph("float32")
    inputs = inputs_of(graph, 2)
    mutants, same = all_mutants(inputs[0], 1), all_mutants(inputs[0], 1)
    same.replacement[:] -= same.delta
    pairs = zip(brute_force(graph, inputs, mutants), brute_force(graph, inputs, same), strict=True)
    return [a - b for a, b in pairs]


def errors(made: list[np.ndarray]) -> list[float]:
    """Root mean square error of the effects on each output, in their standard deviations."""
    pairs = zip(made, exact_effects(), strict=True)
    return [float(np.sqrt(np.mean((a - e) ** 2)) / e.std()) for a, e in pairs]


def test_effects_keep_their_digits_where_naive_ism_loses_those_of_the_outputs():
    reference, fast = run_fast("tf32")
    exact_reference, exact = run_fast("float32")
    for a, b in zip(reference, exact_reference, strict=True):
        np.testing.assert_array_equal(a, b)
    naive = errors(run_naive("tf32"))
    assert max(errors(exact) + errors(run_naive("float32"))) < 1e-5
    assert all(1e-5 < error < 2e-3 for error in errors(fast)), "deltas were not rounded"
    # Fewer digits are lost, at every output and by the more the less of a sequence changes.
    assert all(2 * a < b for a, b in zip(errors(fast), naive, strict=True)), (errors(fast), naive)


def test_what_the_process_rounds_to_is_left_alone():
    before = torch_rounds_to_tf32()
    run_fast("tf32")
    assert torch_rounds_to_tf32() == before

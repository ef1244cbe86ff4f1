"""What a device with its own memory changes: chunks that do not fit, transfers, and precision.

No GPU is needed: backends of the CPU play one, which raise its errors and count what moves.
"""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from backends_here import backends
from numpy_backend import NumpyBackend
from test_engine_backends import all_mutants, inputs_of, small_graph

from fastism import FastISMError
from fastism.backends import get_backend, precision
from fastism.backends.precision import check_precision, each_in, products_in
from fastism.calls.inputs import saturating_mutants
from fastism.calls.mutants import Mutants
from fastism.errors import no_memory
from fastism.planning.plan import make_plan
from fastism.running.engine import Engine

MEMORY = 1 << 26


class OutOfMemoryError(RuntimeError):
    """Named and worded as that of torch."""


class Resource(RuntimeError):
    """Worded as that of JAX and XLA: only the text tells."""


class Crowded(NumpyBackend):
    """A device without room for chunks of more than some mutants."""

    def __init__(self, most: int, uniform: bool = False, error: type = OutOfMemoryError) -> None:
        super().__init__("float64", uniform, chunk_bytes=1 << 24)
        self.most, self.error, self.sizes = most, error, []

    def compile_chunk(self, function: Any) -> Any:
        def run(tables: Any, geometry: Any, delta: Any) -> Any:
            self.sizes.append(delta.shape[1] * delta.shape[2])
            if self.sizes[-1] > self.most:
                raise self.error("RESOURCE_EXHAUSTED: no room.")
            return function(tables, geometry, delta)

        return run


def engine_on(backend: Any, memory: int = MEMORY) -> tuple[Engine, list[np.ndarray], Mutants]:
    graph = small_graph(backend.dtype)
    inputs = inputs_of(graph, 12)
    plan = make_plan(graph, 1, 3, backend.uniform)
    return Engine(plan, backend, memory), inputs, all_mutants(inputs[0], 1)


def outputs_of(engine: Engine, inputs: list[np.ndarray], mutants: Mutants) -> list[np.ndarray]:
    """Outputs of all mutants in their order; every mutant must come exactly once."""
    reference, parts = engine.run(inputs, mutants)
    whole = [np.full((len(mutants), *y.shape[1:]), np.nan) for y in reference]
    seen = np.zeros(len(mutants), dtype=int)
    for part in parts:
        seen[part.index] += 1
        for y, made in zip(whole, part.outputs, strict=True):
            y[part.index] = made
    assert (seen == 1).all()
    return whole


def closest(found: list[np.ndarray], expected: list[np.ndarray], tolerance: float) -> None:
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=tolerance * np.abs(b).max())


# ---- memory ----------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [OutOfMemoryError, Resource, MemoryError])
@pytest.mark.parametrize("uniform", [False, True])
def test_chunks_are_halved_until_they_fit(uniform, error, caplog):
    roomy = engine_on(NumpyBackend("float64", uniform))
    expected = outputs_of(*roomy)
    crowded = Crowded(120, uniform, error)
    with caplog.at_level(logging.WARNING, "fastism.running.budget"):
        given = engine_on(crowded)
        closest(outputs_of(*given), expected, 1e-12)
    failed = [size for size in crowded.sizes if size > 120]
    assert failed and len(caplog.records) == len(failed)
    assert error.__name__ in caplog.text
    # What was learnt is kept for the next call.
    before = len(crowded.sizes)
    closest(outputs_of(*given), expected, 1e-12)
    assert max(crowded.sizes[before:]) <= 120


def test_what_was_finished_is_not_run_again():
    crowded = Crowded(10**9)
    engine, inputs, mutants = engine_on(crowded, memory=1 << 18)
    _, parts = engine.run(inputs, mutants)
    first = next(parts)
    crowded.most = 120
    rest = np.concatenate([part.index for part in parts])
    assert sorted([*first.index, *rest]) == list(range(len(mutants)))


def test_halving_ends_at_a_block():
    with pytest.raises(FastISMError, match="even for the smallest chunk") as caught:
        outputs_of(*engine_on(Crowded(0)))
    assert isinstance(caught.value.__cause__, OutOfMemoryError)


def test_other_errors_are_not_taken_for_a_lack_of_memory():
    class Broken(Crowded):
        def compile_chunk(self, function: Any) -> Any:
            def run(*_: Any) -> Any:
                self.sizes.append(0)
                raise RuntimeError("illegal instruction")

            return run

    broken = Broken(0)
    with pytest.raises(RuntimeError, match="illegal instruction"):
        outputs_of(*engine_on(broken))
    assert broken.sizes == [0]


def test_errors_of_memory_are_known_by_name_or_text():
    assert no_memory(OutOfMemoryError("x")) and no_memory(MemoryError())
    assert no_memory(RuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 8 bytes."))
    assert not no_memory(ValueError("a shape of another kind"))


# ---- transfers -------------------------------------------------------------------------------


class Counting(NumpyBackend):
    """A device that counts what moves; copies to the host are made when they are waited for."""

    accelerated = True

    def __init__(self, chunk_bytes: int) -> None:
        super().__init__("float64", chunk_bytes=chunk_bytes)
        self.chunks = self.uploads = self.begun = self.behind = self.fetched = 0
        self.bytes, self.floats = 0, []

    def compile_chunk(self, function: Any) -> Any:
        def run(*arguments: Any) -> Any:
            self.chunks += 1
            return function(*arguments)

        return run

    def upload(self, arrays: Any) -> Any:
        self.uploads += 1
        self.bytes += sum(x.nbytes for x in arrays)
        return super().upload(arrays)

    def asarray(self, x: Any) -> Any:
        if np.asarray(x).dtype.kind == "f":
            self.floats.append(x.shape)
        return super().asarray(x)

    def start_copy(self, x: Any) -> Any:
        self.begun += 1
        wait = super().start_copy(x)

        def waited() -> np.ndarray:
            self.fetched += 1
            self.behind = max(self.behind, self.begun - self.fetched)
            return wait()

        return waited


def moved(chunk_bytes: int, memory: int = 1 << 26) -> Counting:
    backend = Counting(chunk_bytes)
    given = engine_on(backend, memory)
    expected = outputs_of(*engine_on(NumpyBackend("float64")))
    closest(outputs_of(*given), expected, 1e-12)
    return backend


def test_transfers_do_not_grow_with_the_number_of_chunks():
    few, many = moved(1 << 24), moved(1 << 12)
    assert many.chunks > 4 * few.chunks
    # One batch: its inputs go over in one piece, each of its four outputs comes back in one.
    assert (few.uploads, few.begun) == (many.uploads, many.begun) == (1, 4)


@pytest.mark.parametrize("width", [1, 4, 9])
def test_only_indices_go_to_the_device_whatever_the_width_of_windows(width):
    backend = Counting(1 << 12)
    graph = small_graph("float64")
    inputs, plan = inputs_of(graph, 12), make_plan(graph, width, 3, False)
    mutants = all_mutants(inputs[0], width)
    engine = Engine(plan, backend, MEMORY)
    weights = len(backend.floats)
    made = outputs_of(engine, inputs, mutants)
    exact = outputs_of(Engine(plan, NumpyBackend("float64"), MEMORY), inputs, mutants)
    closest(made, exact, 1e-12)
    # The sequences and, once for many chunks, what edits add; then two integers for each mutant.
    kinds, edited = mutants.kinds[0].shape[:2]
    assert backend.chunks > 4
    shapes = [x.shape for x in inputs]
    assert backend.floats[weights:] == [*shapes, (kinds, edited + 2, inputs[0].shape[2])]
    assert backend.bytes == 8 * len(mutants)


def test_substitutions_are_of_few_kinds_and_their_rows_are_made_on_demand():
    x = np.eye(4, dtype="float32")[np.random.default_rng(0).integers(0, 4, (3, 20))]
    x[1, 4:6], x[2, 8] = 0.25, 0
    mutants, (sequence, position, character) = saturating_mutants(x, np.arange(2, 20, 3))
    kinds, kind = mutants.kinds
    assert len(kinds) == (4 + 2) * 4 and mutants.width == 1
    assert not {"replacement", "delta"} & set(vars(mutants))
    np.testing.assert_array_equal(mutants.start, np.arange(2, 20, 3)[position])
    np.testing.assert_array_equal(mutants.replacement[:, 0], np.eye(4)[character])
    expected = np.eye(4)[character] - x[sequence, mutants.start]
    np.testing.assert_array_equal(mutants.delta[:, 0], expected)
    np.testing.assert_array_equal(kinds[kind], mutants.delta)
    some = mutants.some(np.array([5, 2]))
    np.testing.assert_array_equal(some.delta, mutants.delta[[5, 2]])
    assert some.kinds[0] is kinds and some.sequence.tolist() == sequence[[5, 2]].tolist()
    # A sequence of three characters each, and four at each of those that are none.
    assert np.bincount(sequence).tolist() == [18, 19, 19]


def test_the_host_waits_for_a_batch_when_the_next_one_is_running():
    several = moved(1 << 14, memory=1 << 17)
    assert several.uploads > 2
    assert several.fetched == several.begun
    # While the four outputs of a batch are waited for, those of the next one are on their way.
    assert several.behind == 7


@pytest.mark.parametrize("framework", backends())
def test_every_backend_uploads_several_arrays(framework):
    b = get_backend(framework, "float32")
    rng = np.random.default_rng(0)
    given = [rng.random(shape).astype("float32") for shape in ((2, 3), (1,), (4, 1, 2))]
    for x, y in zip(given, b.upload(given), strict=True):
        np.testing.assert_array_equal(b.start_copy(y)(), x)
    assert not b.accelerated and b.available_memory() is None


# ---- precision -------------------------------------------------------------------------------


def state(framework: str) -> Any:
    """What products of a framework round to in this process, as the framework says it."""
    if framework == "torch":
        import torch

        if not hasattr(torch.backends, "fp32_precision"):  # before PyTorch 2.9
            rounds = (
                torch.get_float32_matmul_precision() != "highest",
                torch.backends.cudnn.allow_tf32,
            )
            return [*("tf32" if each else "ieee" for each in rounds), "ieee"]
        return [
            torch.backends.cuda.matmul.fp32_precision,
            torch.backends.cudnn.conv.fp32_precision,
            torch.backends.mkldnn.matmul.fp32_precision,
        ]
    if framework == "jax":
        import jax

        return jax.config.jax_default_matmul_precision
    import tensorflow as tf

    return tf.config.experimental.tensor_float_32_execution_enabled()


EXACT = {"torch": ["ieee"] * 3, "jax": "highest", "tensorflow": False}
TF32 = {"torch": ["tf32", "tf32", "ieee"], "jax": "tensorfloat32", "tensorflow": True}


@pytest.mark.parametrize("framework", backends())
@pytest.mark.parametrize("outside", ["float32", "tf32"])
def test_rounding_holds_inside_only(framework, outside):
    with products_in(framework, outside):
        before = state(framework)
        with products_in(framework, "float32"):
            assert state(framework) == EXACT[framework]
        with products_in(framework, "tf32"):
            assert state(framework) == TF32[framework]
        with pytest.raises(KeyError), products_in(framework, "float32"):
            raise KeyError
        for _ in each_in(iter(range(2)), lambda: products_in(framework, "float32")):
            assert state(framework) == before
        assert state(framework) == before


@pytest.mark.parametrize("framework", backends())
def test_tf32_is_refused_on_a_cpu_and_taken_on_a_gpu_that_has_it(framework, monkeypatch):
    with pytest.raises(FastISMError, match=r"compute capability 8\.0"):
        check_precision("tf32", framework, None, "float32")
    monkeypatch.setattr(precision, "_capability", lambda *_: (9, 0))
    assert check_precision("tf32", framework, None, "float32") == "tf32"
    with pytest.raises(FastISMError, match="float64"):
        check_precision("tf32", framework, None, "float64")
    monkeypatch.setattr(precision, "_capability", lambda *_: (7, 5))
    with pytest.raises(FastISMError, match=r"compute capability 8\.0"):
        check_precision("tf32", framework, None, "float32")


@pytest.mark.parametrize("name", ["bfloat16", "half"])
def test_other_precisions_are_refused(name):
    with pytest.raises(FastISMError, match=f"precision='{name}'"):
        check_precision(name, "torch", "cpu", "float32")


@pytest.mark.jax
def test_products_of_jax_are_traced_as_exact_unless_tf32_is_asked_for():
    jax = pytest.importorskip("jax")
    b = get_backend("jax", "float32")
    x = np.ones((2, 2), "float32")
    assert "HIGHEST" in str(jax.make_jaxpr(b.matmul)(x, x))
    with products_in("jax", "tf32"):
        assert "HIGHEST" not in str(jax.make_jaxpr(lambda x, y: b.matmul(x, y))(x, x))


@pytest.mark.torch
def test_calls_are_exact_whatever_the_process_allows():
    torch = pytest.importorskip("torch")
    from fastism import FastISM

    seen = []

    class Watched(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv1d(4, 3, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if not torch.compiler.is_compiling():
                seen.append(state("torch"))
            return self.conv(x).sum((1, 2))[:, None]

    x = torch.eye(4)[torch.randint(0, 4, (1, 20))].transpose(1, 2)
    with products_in("torch", "tf32"):
        ism = FastISM(Watched(), input_shape=(4, 20), test_correctness=False)
        seen.clear()
        ism.verify(x.numpy())
        assert seen and all(s == EXACT["torch"] for s in seen)
        assert state("torch") == TF32["torch"]
    with pytest.raises(FastISMError, match="tf32"):
        FastISM(Watched(), input_shape=(4, 20), precision="tf32")
    with pytest.raises(FastISMError, match="tf32"):
        ism.naive().__class__(Watched(), input_shape=(4, 20), precision="tf32")


def test_the_budget_follows_the_free_memory():
    from fastism.ism import DEFAULT_MEMORY, DEVICE_MEMORY, _default_memory

    class Device(NumpyBackend):
        free: int | None = 64 << 30

        def available_memory(self) -> int | None:
            return self.free

    assert _default_memory(NumpyBackend()) == DEFAULT_MEMORY
    assert _default_memory(Device()) == DEVICE_MEMORY
    Device.free = 80 << 20
    assert _default_memory(Device()) == 20 << 20


@pytest.mark.torch
def test_torch_copies_through_pinned_memory_and_waits_for_its_event(monkeypatch):
    torch = pytest.importorskip("torch")
    b = get_backend("torch", "float32", "cpu")
    happened = []

    class Event:
        def record(self, stream: Any) -> None:
            happened.append("record")

        def synchronize(self) -> None:
            happened.append("wait")

    empty = torch.empty

    def pinned(*shape: Any, pin_memory: bool = False, **given: Any) -> Any:
        happened.append("pinned" if pin_memory else "pageable")
        return empty(*shape, **given)

    monkeypatch.setattr(type(b), "accelerated", True)
    monkeypatch.setattr(torch, "empty", pinned)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: None)
    wait = b.start_copy(torch.arange(3.0))
    assert happened == ["pinned", "record"]
    np.testing.assert_array_equal(wait(), [0, 1, 2])
    assert happened == ["pinned", "record", "wait"]


def test_mutants_at_the_same_places_are_gathered_once():
    engine, _, mutants = engine_on(NumpyBackend("float64"))
    first = list(engine.batches(mutants))
    again = Mutants(*(x.copy() for x in (mutants.sequence, mutants.start)), None, mutants.delta)
    assert all(a is b for a, b in zip(first, engine.batches(again), strict=True))
    some = mutants.some(np.arange(7))
    (batch,) = engine.batches(some)
    assert sorted(np.concatenate([c.slots[c.slots >= 0] for c in batch])) == list(range(7))

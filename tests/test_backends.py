"""One conformance suite over every backend: each primitive against plain numpy loops.

A case is one call of a primitive. It runs as the engine would run it: compiled as a chunk where
it works on windows, compiled as a function of arrays where it works on full tensors, and directly
where the engine calls it between the two. `test_every_primitive_has_a_case` keeps the list whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from backend_case import DTYPES, check, computed, full, numbers
from backend_cases import CASES
from backends_here import backends_and_variants, made_backend
from oracle import Oracle
from plain_numpy import FUNCTIONS, PlainNumpy

from fastism.backends import available_backends, get_backend
from fastism.backends.base import Backend, Geometry
from fastism.backends.transfer import Transfer
from fastism.errors import FastISMError
from fastism.rules.pointwise import CHANNELWISE, ELEMENTWISE

#: Members of the protocol that are no function of arrays, and the tests that cover them. The
#: layouts that `prepare_...` make are the backend's own: the cases above read them.
APART = {
    "asarray": "test_arrays_go_to_the_device_and_back",
    "constant": "test_arrays_go_to_the_device_and_back",
    "to_numpy": "test_arrays_go_to_the_device_and_back",
    "prepare_kernel": "conv1d",
    "prepare_matrix": "matmul",
    "prepare_rows": "flatten_dense",
    "prepare_taps": "overlap_add",
    "compile": "test_compiled_functions_keep_their_lists",
    "compile_chunk": "test_nothing_is_traced_again",
    "expect": "test_a_call_is_announced_and_kernels_have_names",
    "kernels_of": "test_a_call_is_announced_and_kernels_have_names",
    "available_memory": "test_memory_is_told_in_bytes",
    "chunk_bytes": "test_memory_is_told_in_bytes",
    "accelerated": "test_memory_is_told_in_bytes",
    "resident": "test_memory_is_told_in_bytes",
    "upload": "test_arrays_go_to_the_device_and_back",
    "start_copy": "test_arrays_go_to_the_device_and_back",
    "write": "test_what_has_come_to_the_host_is_written_into_any_layout_and_type",
    # `overlap_add` is these two.
    "add_taps": "overlap_add",
    "composed": "overlap_add",
}


def uncovered(protocol: type) -> set[str]:
    """Public members of the protocol that neither a case nor a test of this file names."""
    parts = [part for part in protocol.__mro__ if issubclass(part, Transfer)]
    members = {name for part in parts for name in vars(part) if not name.startswith("_")}
    data = {"name", "uniform", "xp"}
    tested = {name for name, test in APART.items() if test in globals() or test in CASES}
    return members - data - tested - set(CASES)


pytestmark = pytest.mark.processor


@pytest.fixture(params=backends_and_variants(), scope="module")
def framework(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(params=DTYPES, scope="module")
def b(framework: str, request: pytest.FixtureRequest) -> Backend:
    return made_backend(framework, request.param)


def test_every_primitive_has_a_case():
    assert not uncovered(Backend)


@pytest.mark.parametrize("primitive", sorted(CASES))
def test_what_follows_from_other_primitives(primitive: str):
    """The protocol's own definitions, on a backend that implements nothing but what it must."""
    for uniform in (False, True):
        plain = PlainNumpy("float64", uniform)
        check([case for case in CASES[primitive] if uniform or not case.per_block], plain)


def test_a_backend_must_implement_few_primitives():
    assert {*PlainNumpy.__dict__} >= {*Backend.__abstractmethods__}
    assert len(Backend.__abstractmethods__) <= 10


def test_a_primitive_without_a_case_is_found():
    class Extended(Backend):
        def shear(self, x):
            return x

    assert uncovered(Extended) == {"shear"}
    assert {"lookup", "take", "asarray"} <= {*dir(Extended)}


def test_every_function_has_a_formula_and_a_case():
    names = {*ELEMENTWISE, *CHANNELWISE}
    assert names == set(FUNCTIONS)
    assert names == {case.name.split(" ")[1].rstrip(",") for case in CASES["function"]}


@pytest.mark.parametrize("primitive", sorted(CASES))
def test_primitive(b: Backend, primitive: str):
    cases = [case for case in CASES[primitive] if b.uniform or not case.per_block]
    if b.name != "torch" and primitive == "overlap_add":
        # The many shapes of convolutions are there for the kernels that PyTorch has to choose from.
        cases = cases[::7]
    assert cases
    check(cases, b)


@pytest.mark.parametrize("wrong", ["values", "type", "shape", "input"])
def test_the_check_can_fail(wrong: str):
    class Wrong(Oracle):
        def square(self, x):
            y = x * x
            if wrong == "input":
                x += 1
            changed = {"values": y + 1e-3, "type": y.astype("float32"), "shape": y[:1]}
            return changed.get(wrong, y)

    case = full("square", lambda b, x: b.square(x) if b.dtype == "wrong" else x * x, numbers(2, 3))
    broken = Wrong("float64")
    check([case], broken)
    strict = replace(case, call=lambda b, _p, _g, x: b.square(x) if b is broken else x * x)
    with pytest.raises(AssertionError):
        check([strict], broken)


def test_arrays_go_to_the_device_and_back(b: Backend):
    x = np.arange(12.0).reshape(3, 4)[:, ::-1]
    for put in (b.asarray, b.constant):
        given = x.copy()
        y = put(given)
        given[:] = 0
        back = b.to_numpy(y)
        assert back.dtype == b.dtype
        if put == b.constant:
            np.testing.assert_array_equal(back, x)
        np.testing.assert_array_equal(b.start_copy(y)(), back)
    several = [np.arange(6.0).reshape(2, 3), np.arange(3.0)]
    for array, y in zip(several, b.upload(several), strict=True):
        np.testing.assert_array_equal(b.to_numpy(y), array)
    (indices,) = b.upload([np.array([[3, -1]], np.int32)])
    assert b.to_numpy(indices).tolist() == [[3, -1]]
    integers = b.to_numpy(b.asarray(np.array([3, -1])))
    assert np.issubdtype(integers.dtype, np.integer)
    assert integers.tolist() == [3, -1]


def test_compiled_functions_keep_their_lists(b: Backend):
    weight = b.constant(np.array([2.0]))
    function = b.compile(lambda xs, ys: [xs[0] * weight, ys[0] - ys[1]])
    for rows in (1, 3, 1):
        x, y = np.ones((rows, 2)), np.full((rows, 2), 5.0)
        made = function([b.asarray(x)], [b.asarray(y), b.asarray(x)])
        assert len(made) == 2
        assert b.to_numpy(made[0]).tolist() == (2 * x).tolist()
        assert b.to_numpy(made[1]).tolist() == (y - x).tolist()


def test_nothing_is_traced_again(b: Backend):
    calls = []

    def function(tables: Sequence[Any], geometry: Geometry, delta: Any) -> list[Any]:
        calls.append(1)
        placed = b.place(delta, geometry.offsets[0], geometry.widths[0])
        rows = (geometry.sequence, geometry.starts[0], geometry.widths[0])
        return [b.add_reference(placed, b.lookup(tables[0], *rows), True)]

    chunk = b.compile_chunk(function)
    numpy = Oracle(uniform=b.uniform)
    table = np.arange(40.0).reshape(2, 10, 2)
    for start, offset, width in [(0, 0, 5), (2, 1, 5), (4, -2, 5), *[(1, 1, 4)] * (not b.uniform)]:
        delta = np.ones((3, 2, 2, 2))
        offsets = [np.full(2, offset) if b.uniform else offset]
        geometry = Geometry(np.array([1, 0]), np.array([[start, 0]]), [width], offsets)
        made = chunk([b.asarray(table)], geometry, b.asarray(delta))
        placed = numpy.place(delta, offset, width)
        reference = numpy.lookup(table, geometry.sequence, geometry.starts[0], width)
        assert b.to_numpy(made[0]).tolist() == (placed + reference).tolist()
    assert len(calls) == (1 if b.name != "torch" else 3 if b.uniform else 4)


def test_any_number_of_sequences_takes_one_trace(b: Backend):
    calls = []

    def function(xs: Sequence[Any]) -> list[Any]:
        calls.append(1)
        return [b.function("relu", x) for x in xs]

    compiled = b.compile(function)
    lengths = (1, 2, 7)
    for rows in lengths:
        (made,) = compiled([b.asarray(np.full((rows, 3), -1.0))])
        assert b.to_numpy(made).tolist() == [[0.0] * 3] * rows
    # PyTorch is called, and JAX compiles anew for every shape.
    assert len(calls) == (1 if b.name == "tensorflow" else len(lengths))


@pytest.mark.parametrize("kind", ["float16", "float32", "float64"])
def test_what_has_come_to_the_host_is_written_into_any_layout_and_type(b: Backend, kind: str):
    made = numbers(2, 3, 4, 5).astype(b.dtype)
    whole = np.full((6, 5, 3, 4), np.nan, kind)
    b.write(np.moveaxis(whole, 1, 3)[2:4], made)
    np.testing.assert_array_equal(whole[2:4], np.moveaxis(made.astype(kind), 3, 1))
    assert np.isnan(whole[:2]).all() and np.isnan(whole[4:]).all()
    b.write(whole[:0], made.transpose(0, 3, 1, 2)[:0])


def test_memory_is_told_in_bytes(b: Backend):
    free = b.available_memory()
    assert b.accelerated == (free is not None)
    assert b.accelerated or not b.resident
    assert free is None or free >= 1 << 20
    assert b.chunk_bytes >= 1 << 20


def test_a_call_is_announced_and_kernels_have_names(b: Backend):
    b.expect(0.0)
    taps = b.prepare_taps(numbers(3, 4, 40))
    assert b.kernels_of((None, taps)) == ()
    case = next(case for case in CASES["overlap_add"] if not case.per_block)
    computed([case], b)
    assert all(isinstance(name, str) for name in b.kernels_of((taps,)))


@pytest.mark.jax
@pytest.mark.skipif("jax" not in available_backends(), reason="jax is not installed")
def test_jax_keeps_the_users_setting_of_64_bits():
    import jax
    import jax.numpy as jnp

    before = jax.config.jax_enable_x64
    b = get_backend("jax", "float64")
    x = np.full((2, 3), 1 / 3)
    y = b.take(b.compile(lambda xs: [xs[0] + 1])([b.asarray(x)])[0], np.array([0]), 0)
    assert b.to_numpy(y).tolist() == (x[:1] + 1).tolist()
    assert jax.config.jax_enable_x64 == before
    assert jnp.asarray(x).dtype == ("float64" if before else "float32")


def test_unknown_backends_are_refused():
    with pytest.raises(FastISMError, match="tensorflow, torch, jax"):
        get_backend("theano", "float32")

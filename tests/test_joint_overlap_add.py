"""The kernel for what two edits do to each other behind a convolution, against its definition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the kernel belongs to the PyTorch backend")

from numpy_backend import NumpyBackend  # noqa: E402

from fastism.backends import compiled, get_backend  # noqa: E402
from fastism.backends.epilogue import JointEpilogue  # noqa: E402
from fastism.backends.torch_kernels import JOINING  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.processor]


def by_definition(x, taps, dilation, offset, width, z, a, b, residual, residual_offset):
    """Loops over positions and taps, in double precision."""
    e = np.zeros((width, a.shape[1], b.shape[2], taps.shape[2]))
    for p in range(0 if x is None else len(x)):
        for j in range(len(taps)):
            q = p + j * dilation + offset
            if 0 <= q < width:
                e[q] += x[p] @ taps[j]
    made = np.maximum(z + a + b + e, 0) - np.maximum(z + a, 0)
    made += np.maximum(z, 0) - np.maximum(z + b, 0)
    for p in range(0 if residual is None else len(residual)):
        if 0 <= p + residual_offset < width:
            made[p + residual_offset] += residual[p]
    return made


#: Width of the input and of the output, first and second edits, channels in and out, taps,
#: dilation, offset, width of the residual and its offset.
CASES = {
    "one layer of BPNet": (21, 23, 3, 3, 64, 64, 3, 1, 0, 21, 1),
    "cut on both sides": (9, 7, 2, 5, 8, 40, 3, 2, -3, 12, -2),
    "no interaction yet": (0, 5, 4, 3, 8, 32, 3, 1, 0, 0, 0),
    "taps that reach nothing": (4, 30, 3, 2, 16, 33, 2, 16, 3, 0, 0),
    "more rows than a tile": (5, 6, 7, 9, 4, 35, 4, 1, -1, 3, 2),
    "more positions than pieces": (90, 97, 3, 3, 16, 64, 3, 4, 0, 90, 5),
}


@pytest.mark.parametrize("kernel", ["1", "0"], ids=["compiled", "composed"])
@pytest.mark.parametrize("case", CASES)
def test_joint_overlap_add(monkeypatch, case, kernel):
    monkeypatch.setenv("FASTISM_COMPILED", kernel)
    size, width, firsts, seconds, channels, features, count, dilation, offset, *beside = CASES[case]
    rng = np.random.default_rng(len(case))
    taps = rng.normal(size=(count, channels, features)).astype(np.float32)
    x = rng.normal(size=(size, firsts, seconds, channels)) if size else None
    z = rng.normal(size=(width, 1, 1, features))
    a = rng.normal(size=(width, firsts, 1, features))
    b = rng.normal(size=(width, 1, seconds, features))
    residual = rng.normal(size=(beside[0], firsts, seconds, features)) if beside[0] else None
    expected = by_definition(x, taps, dilation, offset, width, z, a, b, residual, beside[1])
    for backend, atol in ((get_backend("torch", "float32", "cpu"), 2e-4), (NumpyBackend(), 1e-10)):
        arrays = (y if y is None else backend.asarray(y) for y in (x, z, a, b, residual))
        given, *terms, rest = arrays
        packed = backend.prepare_taps(taps)
        if backend.name == "torch" and kernel == "1" and compiled.load() is not None:
            assert packed.chosen(dilation).named(JOINING).joins(JointEpilogue(*terms))
        epilogue = JointEpilogue(*terms, rest, beside[1])
        made = backend.joint_overlap_add(given, packed, dilation, offset, width, epilogue)
        np.testing.assert_allclose(backend.to_numpy(made), expected, atol=atol)
        total = replace(epilogue, total=True)
        made = backend.joint_overlap_add(given, packed, dilation, offset, width, total)
        whole = expected.sum(0, keepdims=True)
        np.testing.assert_allclose(backend.to_numpy(made), whole, atol=atol * width)


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("packs", [compiled.PackedColumns, compiled.PackedToomCook])
def test_a_total_is_the_same_whenever_it_is_made(packs, threads):
    library = compiled.load()
    if library is None:
        pytest.skip("the kernels in C++ were not built")
    rng = np.random.default_rng(threads)

    def numbers(*shape):
        return torch.from_numpy(rng.standard_normal(shape, np.float32))

    packed = packs(rng.standard_normal((3, 16, 64), np.float32), library)
    terms = numbers(90, 1, 1, 64), numbers(90, 9, 1, 64), numbers(90, 1, 9, 64)
    epilogue, x = JointEpilogue(*terms, total=True), numbers(90, 9, 9, 16)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        first, *others = (packed.joint_overlap_add(x, 2, -2, 90, epilogue) for _ in range(5))
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(first, other) for other in others)


def test_a_kernel_takes_totals_only_where_columns_do_not_overlap():
    library = compiled.load()
    if library is None:
        pytest.skip("the kernels in C++ were not built")
    whole, columns = torch.zeros(1, 1, 1, 1), library.columns()
    for features, joins in ((2 * columns, True), (2 * columns + 3, False)):
        packed = compiled.PackedColumns(np.zeros((3, 4, features), np.float32), library)
        assert packed.joins(JointEpilogue(whole, whole, whole))
        assert packed.joins(JointEpilogue(whole, whole, whole, total=True)) is joins

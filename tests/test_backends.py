"""One conformance suite over every backend: each primitive against plain numpy loops.

A case is one call of a primitive. It runs as the engine would run it: compiled as a chunk where
it works on windows, compiled as a function of arrays where it works on full tensors, and directly
where the engine calls it between the two. `test_every_primitive_has_a_case` keeps the list whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from oracle import Oracle
from plain_numpy import FUNCTIONS, PlainNumpy

from fastism.backends import _CLASSES, available_backends, get_backend
from fastism.backends.base import Backend, Geometry
from fastism.backends.epilogue import Epilogue, JointEpilogue, Pooling
from fastism.backends.transfer import Transfer
from fastism.errors import FastISMError
from fastism.rules.pointwise import CHANNELWISE, ELEMENTWISE

SEED = 20220306
DTYPES = ("float32", "float64")
#: Largest error as a multiple of the type's resolution and of the largest number expected.
TOLERANCE = 100


@dataclass(frozen=True)
class Case:
    """One call of a primitive.

    Parameters
    ----------
    name : str
        The primitive, and what is special about the case.
    call : callable
        ``call(b, prepared, geometry, *arrays)``.
    arrays : sequence of ndarray
    weights : tuple of (str, ndarray) or None
        Weights, and the method that brings them into the backend's own layout.
    form : {"window", "full", "direct"}
        How the engine runs it.
    width : int
        Width of the window to make.
    offsets : sequence
        Integers, one per block, or None: see `Geometry`.
    sequence, starts : sequence of int, one per block
    changes : tuple of int
        Which of `arrays` may be overwritten.
    slack : float
        Error to allow beside rounding, as a part of the largest number expected.
    """

    name: str
    call: Callable[..., Any]
    arrays: Sequence[np.ndarray]
    weights: tuple[str, np.ndarray] | None = None
    form: str = "window"
    width: int = 0
    offsets: Sequence[Any] = ()
    sequence: Sequence[int] = (0,)
    starts: Sequence[int] = (0,)
    changes: tuple[int, ...] = ()
    slack: float = 0.0

    @property
    def primitive(self) -> str:
        return self.name.split(" ", maxsplit=1)[0]

    @property
    def per_block(self) -> bool:
        """Whether blocks differ in an offset, which only uniform backends are asked for."""
        return any(np.ndim(offset) for offset in self.offsets)

    def prepared(self, b: Backend, dtype: str) -> Any:
        """The weights in the backend's own layout; they come in the type of the model."""
        return self.weights and getattr(b, self.weights[0])(self.weights[1].astype(dtype))

    def geometry(self) -> Geometry:
        """Where the windows lie, as numbers of the host."""
        sequence, starts = np.array(self.sequence), np.array([self.starts])
        return Geometry(sequence, starts, [self.width], list(self.offsets))


#: What a case gives, and what its inputs hold afterwards.
Outcome = tuple[np.ndarray, list[np.ndarray]]


def expected(case: Case, dtype: str) -> np.ndarray:
    """The case on numpy, in float64 with inputs rounded to `dtype`."""
    b = Oracle()
    arrays = [x.astype(dtype).astype(np.float64) for x in case.arrays]
    return case.call(b, case.prepared(b, dtype), case.geometry(), *arrays)


def computed(cases: Sequence[Case], b: Backend) -> list[Outcome]:
    """The cases on a backend. Those that can are compiled together, which saves much time."""
    groups: dict[Any, list[int]] = {}
    for i, case in enumerate(cases):
        alone = i if case.form == "direct" else None
        groups.setdefault((case.form, tuple(case.sequence), alone), []).append(i)
    outcomes: dict[int, Outcome] = {}
    for (form, *_), members in groups.items():
        group = [cases[i] for i in members]
        # Copies, for a backend may work in the memory that it is given.
        arrays = [[b.asarray(x.copy()) for x in case.arrays] for case in group]
        made = {"window": _as_chunk, "full": _as_function, "direct": _directly}[form](
            group, b, arrays
        )
        for i, y, xs in zip(members, made, arrays, strict=True):
            outcomes[i] = b.to_numpy(y), [b.to_numpy(x) for x in xs]
    return [outcomes[i] for i in range(len(cases))]


def _directly(group: Sequence[Case], b: Backend, arrays: Sequence[Sequence[Any]]) -> list[Any]:
    (case,), (xs,) = group, arrays
    return [case.call(b, case.prepared(b, b.dtype), case.geometry(), *xs)]


def _as_function(group: Sequence[Case], b: Backend, arrays: Sequence[Sequence[Any]]) -> list[Any]:
    weights = [case.prepared(b, b.dtype) for case in group]

    def function(flat: Sequence[Any]) -> list[Any]:
        rows = _split(flat, group)
        return [c.call(b, w, None, *xs) for c, w, xs in zip(group, weights, rows, strict=True)]

    return b.compile(function)([x for xs in arrays for x in xs])


def _as_chunk(group: Sequence[Case], b: Backend, arrays: Sequence[Sequence[Any]]) -> list[Any]:
    """One chunk of the blocks that the cases have in common, with a window for each of them."""
    weights = [case.prepared(b, b.dtype) for case in group]
    blocks = len(group[0].sequence)
    all_offsets = [offset for case in group for offset in case.offsets]
    given = [offset for offset in all_offsets if offset is not None]
    packed = Geometry(
        np.array(group[0].sequence),
        np.array([case.starts for case in group]),
        [case.width for case in group],
        [np.broadcast_to(offset, blocks) for offset in given] if b.uniform else given,
    )

    def function(tables: Sequence[Any], geometry: Geometry, delta: Any) -> list[Any]:
        moved = iter(geometry.offsets)
        offsets = [None if offset is None else next(moved) for offset in all_offsets]
        made, done = [], 0
        for i, (case, xs) in enumerate(zip(group, _split(tables, group), strict=True)):
            own = offsets[done : done + len(case.offsets)]
            done += len(case.offsets)
            starts, widths = geometry.starts[i : i + 1], geometry.widths[i : i + 1]
            unpacked = Geometry(geometry.sequence, starts, widths, own)
            made.append(case.call(b, weights[i], unpacked, *xs))
        return made

    # The deltas of the input come apart from the tables; here all arrays are tables.
    delta = b.asarray(np.zeros((1, blocks, 1, 1)))
    return b.compile_chunk(function)([x for xs in arrays for x in xs], packed, delta)


def _split(flat: Sequence[Any], group: Sequence[Case]) -> list[Sequence[Any]]:
    ends = np.cumsum([0, *(len(case.arrays) for case in group)])
    return [flat[a:z] for a, z in pairwise(ends)]


def check(cases: Sequence[Case], b: Backend) -> None:
    """Values, type and shape of results; inputs unchanged unless they may be overwritten."""
    for case, (y, after) in zip(cases, computed(cases, b), strict=True):
        want = expected(case, b.dtype)
        assert y.dtype == b.dtype, case.name
        assert y.shape == want.shape, case.name
        scale = np.abs(want[np.isfinite(want)]).max(initial=1.0)
        atol = max(np.finfo(b.dtype).eps * TOLERANCE, case.slack) * scale
        np.testing.assert_allclose(y, want, rtol=0, atol=atol, err_msg=case.name)
        for i, (x, now) in enumerate(zip(case.arrays, after, strict=True)):
            if i not in case.changes:
                np.testing.assert_array_equal(now, x.astype(b.dtype), f"{case.name}: input {i}")


# ---- the cases --------------------------------------------------------------------------


class Numbers:
    """Normal random arrays, the same in every run."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(SEED)

    def __call__(self, *shape: int) -> np.ndarray:
        return self._rng.normal(size=shape)


numbers = Numbers()


def full(name: str, call: Callable[..., Any], *arrays: np.ndarray, **more: Any) -> Case:
    """A case on full tensors; `call` takes the backend and the arrays."""
    return Case(name, lambda b, _p, _g, *xs: call(b, *xs), arrays, form="full", **more)


def conv1d_cases() -> Iterator[Case]:
    for taps, channels, features, stride, dilation, groups, pad in [
        (1, 3, 4, 1, 1, 1, (0, 0)),
        (3, 4, 5, 1, 1, 1, (1, 1)),
        (4, 3, 2, 2, 1, 1, (1, 2)),
        (3, 2, 3, 1, 3, 1, (0, 4)),
        (3, 4, 6, 1, 2, 2, (2, 0)),
        (2, 3, 3, 1, 1, 3, (1, 0)),
        (2, 3, 6, 3, 1, 3, (0, 0)),
    ]:
        kernel = numbers(taps, channels // groups, features)
        yield Case(
            f"conv1d {taps} taps, stride {stride}, dilation {dilation}, groups {groups}, {pad}",
            lambda b, k, _g, x, s=stride, d=dilation, n=groups, p=pad: b.conv1d(x, k, s, d, n, p),
            [numbers(2, 11, channels)],
            ("prepare_kernel", kernel),
            form="full",
        )


def conv_rows_cases() -> Iterator[Case]:
    for taps, channels, features, stride, dilation, groups in [
        (1, 3, 4, 1, 1, 1),
        (3, 4, 5, 1, 3, 1),
        (4, 1, 2, 2, 1, 1),
        (3, 4, 6, 1, 2, 2),
        (2, 3, 6, 3, 1, 3),
    ]:
        yield Case(
            f"conv_rows {taps} taps, stride {stride}, dilation {dilation}, groups {groups}",
            lambda b, k, _g, x, s=stride, d=dilation, n=groups: b.conv_rows(x, k, s, d, n),
            [numbers(2, 11, channels)],
            ("prepare_kernel", numbers(taps, channels // groups, features)),
            form="full",
        )


def conv_window_cases() -> Iterator[Case]:
    for taps, channels, features, stride, dilation, groups, blocks in [
        (3, 4, 5, 2, 1, 1, 1),
        (3, 4, 6, 1, 2, 2, 3),
        (2, 3, 6, 1, 1, 3, 2),
        (1, 2, 2, 3, 1, 1, 2),
    ]:
        kernel = numbers(taps, channels // groups, features)
        yield Case(
            f"conv_window {taps} taps, stride {stride}, dilation {dilation}, groups {groups}",
            lambda b, k, _g, x, s=stride, d=dilation, n=groups: b.conv_window(x, k, s, d, n),
            [numbers(9, blocks, 2, channels)],
            ("prepare_kernel", kernel),
            sequence=(0,) * blocks,
            starts=(0,) * blocks,
        )


def max_pool_cases() -> Iterator[Case]:
    for size, stride, pad in [(2, 2, (0, 0)), (3, 2, (1, 1)), (4, 1, (1, 2)), (1, 1, (0, 0))]:
        yield full(
            f"max_pool {size}, stride {stride}, {pad}",
            lambda b, x, a=size, s=stride, p=pad: b.max_pool(x, a, s, p),
            numbers(2, 9, 3) - 3,
        )


def sum_pool_cases() -> Iterator[Case]:
    for size, stride, pad in [(2, 2, (0, 0)), (3, 2, (1, 1)), (4, 1, (1, 2)), (1, 1, (0, 0))]:
        yield full(
            f"sum_pool {size}, stride {stride}, {pad}",
            lambda b, x, a=size, s=stride, p=pad: b.sum_pool(x, a, s, p),
            numbers(2, 9, 3),
        )


#: Values for the parameters that functions take, beside their defaults.
PARAMETERS = {
    "alpha": (0.5, 2.0),
    "approximate": (False, True),
    "negative_slope": (0.0, 0.3),
    "low": (-0.3,),
    "high": (0.4,),
}


def function_cases() -> Iterator[Case]:
    for name, known in {**ELEMENTWISE, **CHANNELWISE}.items():
        x = np.concatenate([numbers(4, 2, 3, 6), np.zeros((1, 2, 3, 6)), 8 * numbers(2, 2, 3, 6)])
        x = np.abs(x) + (name == "log") if name in ("log", "sqrt") else x
        for parameters in [{}, *({p: v} for p in known for v in PARAMETERS[p])]:
            for reuse in (False, True):
                yield Case(
                    f"function {name}, {parameters}, reuse={reuse}",
                    lambda b, _p, _g, x, n=name, r=reuse, p=parameters: b.function(n, x, r, **p),
                    [x],
                    changes=(0,) if reuse else (),
                    # TensorFlow rounds a coefficient of GELU to float32, in its models as well.
                    slack=1e-9 if name == "gelu" else 0.0,
                )


def layer_norm_cases() -> Iterator[Case]:
    for centre in (True, False):
        for shape in [(2, 5, 4), (3, 2, 2, 6)]:
            yield full(
                f"layer_norm centre={centre}, {len(shape)} axes",
                lambda b, x, c=centre: b.layer_norm(x, 1e-3, c),
                numbers(*shape) + 0.5,
            )


def plain_cases() -> Iterator[Case]:
    x, y = numbers(2, 5, 3), numbers(2, 5, 3)
    for what, rows in [("vectors", numbers(4, 3)), ("sequences", x)]:
        matrix = numbers(3, 6)
        yield Case(
            f"matmul of {what}",
            lambda b, y, _g, x: b.matmul(x, y),
            [rows],
            ("prepare_matrix", matrix),
            form="full",
        )
    for name in ("maximum", "minimum", "log_add_exp"):
        for other in (y, numbers(2, 1, 3)):
            call = lambda b, x, y, n=name: getattr(b, n)(x, y)  # noqa: E731
            yield full(f"{name} with {other.shape}", call, x, other)
    for name in ("max", "sum", "running_max", "log_sum_exp", "running_log_sum_exp", "flip"):
        for axis in range(3):
            yield full(f"{name} axis {axis}", lambda b, x, n=name, a=axis: getattr(b, n)(x, a), x)
    for shape in [(2, 15), (-1, 3), (5, 2, -1)]:
        yield full(f"reshape {shape}", lambda b, x, s=shape: b.reshape(x, s), x)
    for axes in [(1, 0, 2), (2, 0, 1)]:
        yield full(f"transpose {axes}", lambda b, x, a=axes: b.transpose(x, a), x)
    for axis, shape in enumerate([(3, 5, 3), (2, 1, 3), (2, 5, 4)]):
        call = lambda b, *xs, a=axis: b.concatenate(list(xs), a)  # noqa: E731
        yield full(f"concatenate axis {axis}", call, x, numbers(*shape), x)
        yield replace(full(f"concatenate one, axis {axis}", call, x), form="direct")
    for axis in range(3):
        yield full(f"repeat axis {axis}", lambda b, x, a=axis: b.repeat(x, 3, a), x)
        yield full(f"insert_zeros axis {axis}", lambda b, x, a=axis: b.insert_zeros(x, 3, a), x)
    for left, right, value in [(1, 2, 0.0), (0, 3, -np.inf), (0, 0, 1.0), (2, 0, 7.5)]:
        call = lambda b, x, a=left, z=right, v=value: b.pad(x, a, z, v)  # noqa: E731
        yield full(f"pad {left}, {right} with {value}", call, x)
    yield full("broadcast", lambda b, x: b.broadcast(x, (2, 5, 3)), numbers(2, 1, 3))
    yield full(
        "contiguous after transpose", lambda b, x: b.contiguous(b.transpose(x, (2, 0, 1))), x
    )
    for axis, index in enumerate([[1, 0, 0, 1], [4], [2, 1]]):
        call = lambda b, x, i=index, a=axis: b.take(x, np.array(i), a)  # noqa: E731
        yield full(f"take axis {axis}", call, x)
        yield replace(full(f"take outside, axis {axis}", call, x), form="direct")
    for index in ([[0, 4], [2, 2]], [3, 1, 0]):
        call = lambda b, x, i=index: b.rows(x, np.array(i))  # noqa: E731
        yield replace(full(f"rows {index}", call, numbers(5, 3)), form="direct")
    yield Case(
        "take sequences of a chunk",
        lambda b, _p, g, x: b.take(x, g.sequence, 0),
        [x],
        sequence=(1, 0, 1, 1),
        starts=(0,) * 4,
    )
    yield full("shape", lambda b, x: b.reshape(x, (b.shape(x)[0], b.shape(x)[1] * 3)), x)


def edit_windows_cases() -> Iterator[Case]:
    """Edits inside, over both ends, and behind the window (which is an empty slot)."""
    for changed, width in [(1, 3), (3, 5), (4, 2)]:
        begin = np.array([[0, 1, width], [width - 1, 2, -1]])
        kind = np.array([[0, 2, 0], [1, 1, 2]])
        edits = np.stack([begin, kind]).astype(np.int32)
        yield Case(
            f"edit_windows of {changed} in {width}",
            lambda b, _p, _g, x, edits=edits, width=width: b.edit_windows(
                b.pad(x, 1, 1), b.asarray(edits), width
            ),
            [numbers(3, changed, 4)],
            form="direct",
        )


def lookup_cases() -> Iterator[Case]:
    for sequence, starts, width in [
        ((0,), (2,), 3),
        ((1, 0, 1), (0, 4, 6), 4),
        ((2, 2), (9, 0), 1),
    ]:
        yield Case(
            f"lookup of {width} at {starts}",
            lambda b, _p, g, x: b.lookup(x, g.sequence, g.starts[0], g.widths[0]),
            [numbers(3, 10, 2)],
            width=width,
            sequence=sequence,
            starts=starts,
        )


#: Offsets of a window of 5 in frames of 3 to 9: inside, over both edges, outside, per block.
OFFSETS = [
    (None, 5),
    (0, 5),
    (0, 9),
    (2, 9),
    (7, 9),
    (9, 9),
    (-2, 9),
    (-2, 3),
    (0, 3),
    (-5, 4),
    (-9, 4),
    ((0, 2, -3), 6),
    ((-6, 9, 1), 6),
]


def on_blocks(offset: Any) -> dict[str, Any]:
    """Three blocks whose windows have this offset."""
    blocks = offset if offset is None or isinstance(offset, int) else np.array(offset)
    return {"offsets": [blocks], "sequence": (0,) * 3, "starts": (0,) * 3}


def place_cases() -> Iterator[Case]:
    for offset, width in OFFSETS:
        for fill in (0.0, -np.inf):
            yield Case(
                f"place at {offset} in {width}, filled with {fill}",
                lambda b, _p, g, x, f=fill: b.place(x, g.offsets[0], g.widths[0], f),
                [numbers(5, 3, 2, 4)],
                width=width,
                **on_blocks(offset),
            )


def overlap_add_cases() -> Iterator[Case]:
    # Few and many channels in and out: backends choose their algorithm by these numbers.
    sizes = [(2, 40), (4, 3), (5, 1), (20, 18)]
    kernels = [(1, 1), (3, 1), (3, 4), (8, 1)]
    # Taps and features that fill several groups of registers, and mutants that leave a part of a
    # tile over, for the compiled kernel of few channels out; for that of few channels in likewise.
    large = [(3, 1, 25, 1, 11), (2, 2, 60, 1, 5), (4, 45, 19, 1, 9), (4, 32, 3, 8, 1)]
    for number, (channels, features, count, dilation, mutants) in enumerate(
        [*((*size, *kernel, 2) for size in sizes for kernel in kernels), *large]
    ):
        # All offsets for one kernel of the two largest sizes, some of them for the others.
        whole = count * dilation == 3 and features > 10
        some = OFFSETS if whole else OFFSETS[number % 4 :: 4]
        for offset, width in some:
            width = 5 + (count - 1) * dilation if offset is None else width
            case = Case(
                f"overlap_add {count} taps {channels} to {features}, dilation {dilation}, "
                f"at {offset} in {width}",
                lambda b, t, g, x, *base, d=dilation: b.overlap_add(
                    x, t, d, g.offsets[0], g.widths[0], base[0] if base else None
                ),
                [numbers(5, 3, mutants, channels)],
                ("prepare_taps", numbers(count, channels, features)),
                width=width,
                **on_blocks(offset),
            )
            yield case
            with_base = [*case.arrays, numbers(width, 3, 1, features)]
            yield replace(case, name=f"{case.name}, with base", arrays=with_base)


def rectified_cases() -> Iterator[Case]:
    """Convolutions with a ReLU, with and without a residual."""
    # Features that fill whole registers of a compiled kernel, and such that do not; rows that
    # leave a part of a tile over; taps so far apart that nothing reaches some outputs.
    for channels, features, count, dilation, mutants in [
        (4, 3, 3, 1, 2),
        (5, 32, 1, 1, 2),
        (20, 64, 3, 1, 5),
        (7, 45, 3, 2, 13),
        (6, 32, 3, 8, 1),
        (3, 96, 4, 4, 4),
    ]:
        for offset, width in OFFSETS:
            width = 5 + (count - 1) * dilation if offset is None else width
            case = Case(
                f"overlap_add and ReLU, {count} taps {channels} to {features}, "
                f"dilation {dilation}, {mutants} mutants, at {offset} in {width}",
                lambda b, t, g, x, z, *residual, d=dilation: b.overlap_add(
                    x,
                    t,
                    d,
                    g.offsets[0],
                    g.widths[0],
                    epilogue=Epilogue(z, *residual, *residual and g.offsets),
                ),
                [numbers(5, 3, mutants, channels), numbers(width, 3, 1, features)],
                ("prepare_taps", numbers(count, channels, features)),
                width=width,
                **on_blocks(offset),
            )
            yield case
            size = width if offset is None else 4
            residual = [*case.arrays, numbers(size, 3, mutants, features)]
            yield replace(case, name=f"{case.name}, with a residual", arrays=residual)


def pooled_cases() -> Iterator[Case]:
    """Convolutions with a max pool and a ReLU."""
    # Few and many channels in; features that fill registers of a compiled kernel and such that do
    # not; mutants that leave a part of a tile over; pools that overlap, that leave positions out,
    # that reach beyond the convolution's window on either side, and that see a part of it.
    for channels, features, count, dilation, mutants in [
        (4, 3, 3, 1, 2),
        (4, 32, 1, 1, 1),
        (4, 45, 7, 1, 7),
        (2, 64, 3, 2, 5),
        (20, 40, 2, 1, 3),
    ]:
        for size, stride, placed, width in [
            (2, 2, 0, 4),
            (3, 3, 1, 3),
            (3, 2, -1, 3),
            (3, 1, 0, 6),
            (2, 3, -2, 2),
        ]:
            for offset, before in [(0, 8), (-1, 8), (2, 9)]:
                sign = np.where(np.arange(features) % 3, 1.0, -1.0)
                case = Case(
                    f"overlap_add and pool, {count} taps {channels} to {features}, at {offset} in "
                    f"{before}, {mutants} mutants; pool of {size}, stride {stride}, at {placed}",
                    lambda b, t, g, x, base, z, *sign, d=dilation, w=before, a=size, s=stride: (
                        b.overlap_add(
                            x,
                            t,
                            d,
                            g.offsets[0],
                            w,
                            epilogue=Epilogue(
                                base,
                                pooling=Pooling(
                                    a, s, sign[0] if sign else None, g.offsets[1], g.widths[0], z
                                ),
                            ),
                        )
                    ),
                    [
                        numbers(5, 3, mutants, channels),
                        numbers(before, 3, 1, features),
                        numbers(width, 3, 1, features),
                    ],
                    ("prepare_taps", numbers(count, channels, features)),
                    width=width,
                    offsets=[offset, placed],
                    sequence=(0,) * 3,
                    starts=(0,) * 3,
                )
                yield case
                yield replace(case, name=f"{case.name}, signed", arrays=[*case.arrays, sign])


def joint_cases() -> Iterator[Case]:
    """What two edits do to each other: second axis first edits, third axis second edits."""
    for channels, features, count, dilation in [(4, 3, 3, 1), (6, 32, 3, 2)]:
        for offset, width in OFFSETS[1:5]:
            case = Case(
                f"joint_overlap_add {count} taps {channels} to {features}, dilation {dilation}, "
                f"at {offset} in {width}",
                lambda b, t, g, x, *terms, d=dilation: b.joint_overlap_add(
                    x, t, d, g.offsets[0], g.widths[0], JointEpilogue(*terms)
                ),
                [
                    numbers(5, 3, 2, channels),
                    numbers(width, 1, 1, features),
                    numbers(width, 3, 1, features),
                    numbers(width, 1, 2, features),
                ],
                ("prepare_taps", numbers(count, channels, features)),
                width=width,
                **on_blocks(offset),
            )
            yield case
            yield replace(
                case,
                name=f"{case.name}, total",
                call=lambda b, t, g, x, *terms, d=dilation: b.joint_overlap_add(
                    x, t, d, g.offsets[0], g.widths[0], JointEpilogue(*terms, total=True)
                ),
            )


def pool_window_cases() -> Iterator[Case]:
    for mode in ("max", "sum"):
        for size, stride, width in [(2, 2, 3), (3, 1, 4), (3, 2, 2), (2, 3, 2), (1, 1, 4)]:
            yield Case(
                f"pool_window {mode} of {size}, stride {stride}",
                lambda b, _p, g, x, a=size, s=stride, m=mode: b.pool_window(
                    x, a, s, g.widths[0], m
                ),
                [numbers((width - 1) * stride + size, 2, 3, 4)],
                width=width,
                sequence=(0, 0),
                starts=(0, 0),
            )


def add_windows_cases() -> Iterator[Case]:
    shapes = {"plain": (3, 2, 4), "one mutant": (3, 1, 4), "one channel": (3, 2, 1)}
    weights = (1.0, -0.5, 1.0)
    for what, shape in shapes.items():
        for with_base in (False, True):
            for absent in (None, 0, 2):
                for reuse in (False, True):
                    yield _add_windows(what, shape, weights, with_base, absent, reuse)
    for offset, width in OFFSETS[1:]:
        for with_base in (False, True):
            moved = on_blocks(offset)
            moved["offsets"] = [None if width == 5 else moved["offsets"][0], moved["offsets"][0]]
            arrays = [numbers(5, 3, 2, 4), numbers(5, 3, 2, 4)]
            arrays += [numbers(width, 3, 1, 4)] * with_base
            yield Case(
                f"add_windows at {offset} in {width}, base={with_base}",
                lambda b, _p, g, x, y, *base: b.add_windows(
                    [x, y],
                    (1.0, 2.0),
                    g.offsets,
                    g.widths[0],
                    base[0] if base else None,
                    (False, False),
                ),
                arrays,
                width=width,
                **moved,
            )


def _add_windows(
    what: str,
    shape: tuple[int, ...],
    weights: tuple[float, ...],
    with_base: bool,
    absent: int | None,
    reuse: bool,
) -> Case:
    """Three terms, the second of a special shape, one of them perhaps absent."""
    arrays = [numbers(5, 3, 2, 4), numbers(5, *shape), numbers(5, 3, 2, 4)]
    terms = [i for i in range(3) if i != absent]
    arrays = [arrays[i] for i in terms] + [numbers(5, 3, 1, 4)] * with_base

    def call(b: Any, _p: Any, g: Geometry, *xs: Any) -> Any:
        given = [xs[terms.index(i)] if i in terms else None for i in range(3)]
        base = xs[-1] if with_base else None
        return b.add_windows(given, weights, g.offsets, g.widths[0], base, (reuse,) * 3)

    return Case(
        f"add_windows {what}, base={with_base}, without {absent}, reuse={reuse}",
        call,
        arrays,
        width=5,
        offsets=[None, None, 0],
        sequence=(0,) * 3,
        starts=(0,) * 3,
        changes=tuple(range(len(terms))) if reuse else (),
    )


def reference_cases() -> Iterator[Case]:
    for name in ("add_reference", "rectify"):
        for blocks in (1, 3):
            for reuse in (False, True):
                yield Case(
                    f"{name} of {blocks} blocks, reuse={reuse}",
                    lambda b, _p, _g, x, y, n=name, r=reuse: getattr(b, n)(x, y, r),
                    [numbers(4, blocks, 2, 3), numbers(4, blocks, 1, 3)],
                    sequence=(0,) * blocks,
                    starts=(0,) * blocks,
                    changes=(0,) if reuse else (),
                )


def join_channels_cases() -> Iterator[Case]:
    for absent in (None, 0, 1):
        for mutants in (1, 2):
            arrays = [numbers(4, 3, 2, 2), numbers(4, 3, mutants, 5), numbers(4, 3, 2, 1)]
            there = [i for i in range(3) if i != absent]
            yield Case(
                f"join_channels without {absent}, {mutants} mutants in the second",
                lambda b, _p, _g, *xs, there=there: b.join_channels(
                    [xs[there.index(i)] if i in there else None for i in range(3)], (2, 5, 1)
                ),
                [arrays[i] for i in there],
                sequence=(0,) * 3,
                starts=(0,) * 3,
            )


def rebuild_cases() -> Iterator[Case]:
    for sequence, starts, width in [
        ((0,), (3,), 4),
        ((1, 0, 1), (0, 7, 2), 3),
        ((2, 2), (0, 0), 10),
    ]:
        for delta in (False, True):
            yield Case(
                f"rebuild {width} of 10 at {starts}, delta={delta}",
                lambda b, _p, g, table, x, d=delta: b.rebuild(
                    table, np.array(g.sequence), g.starts[0], x, d
                ),
                [numbers(3, 10, 2), numbers(width, len(starts), 3, 2)],
                form="direct",
                sequence=sequence,
                starts=starts,
            )


def flatten_dense_cases() -> Iterator[Case]:
    for name, windows, starts in [
        ("one block", [(3, 1, 2)], [(4,)]),
        ("shared starts", [(3, 4, 2), (3, 4, 2)], [(0, 4, 4, 7), (7, 7, 0, 1)]),
        ("many rows", [(2, 30, 3), (2, 30, 3)], [tuple(range(8)) * 3 + (8,) * 6, (8,) * 30]),
        ("several widths", [(3, 2, 2), (1, 1, 3), (3, 1, 2)], [(0, 5), (9,), (5,)]),
        ("all positions", [(10, 2, 2)], [(0, 0)]),
        ("windows inside others", [(5, 1, 2), (1, 1, 2), (5, 1, 2)], [(2,), (3,), (4,)]),
    ]:
        for features in (5, 20):
            yield Case(
                f"flatten_dense {name} to {features}",
                lambda b, k, _g, table, *xs, s=starts: b.flatten_dense(
                    xs,
                    [np.array(v) for v in s],
                    k,
                    table,
                    # Blocks of three sequences in turns.
                    [np.arange(len(v)) % 3 for v in s],
                ),
                [numbers(3, features), *(numbers(*shape, 4) for shape in windows)],
                ("prepare_rows", numbers(10, 4, features)),
                form="direct",
            )


def add_rows_cases() -> Iterator[Case]:
    for features in (5, 20):
        for width, start in [(3, 0), (1, 9), (10, 0), (4, 5)]:
            yield Case(
                f"add_rows {width} at {start} to {features}",
                lambda b, k, _g, x, s=start: b.add_rows(b.transpose(x, (1, 0, 2)), k, s),
                [numbers(6, width, 4)],
                ("prepare_rows", numbers(10, 4, features)),
                form="full",
            )


GENERATORS = (
    conv1d_cases,
    conv_rows_cases,
    conv_window_cases,
    max_pool_cases,
    sum_pool_cases,
    function_cases,
    layer_norm_cases,
    plain_cases,
    edit_windows_cases,
    lookup_cases,
    place_cases,
    overlap_add_cases,
    rectified_cases,
    pooled_cases,
    joint_cases,
    pool_window_cases,
    add_windows_cases,
    reference_cases,
    join_channels_cases,
    rebuild_cases,
    flatten_dense_cases,
    add_rows_cases,
)
CASES: dict[str, list[Case]] = {}
for _generator in GENERATORS:
    for _case in _generator():
        CASES.setdefault(_case.primitive, []).append(_case)

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


# ---- the tests --------------------------------------------------------------------------

pytestmark = pytest.mark.processor


def backends() -> list[Any]:
    """Every backend there is; those that are not installed are skipped, with the reason."""
    installed = available_backends()
    return [
        pytest.param(
            name,
            marks=[
                getattr(pytest.mark, name),
                pytest.mark.skipif(name not in installed, reason=f"{name} is not installed"),
            ],
        )
        for name in _CLASSES
    ]


#: What runs on PyTorch on a GPU, tested on the CPU.
UNIFORM_TORCH = "uniform torch"


def backends_and_variants() -> list[Any]:
    """`backends` and those that a backend gives on other devices."""
    missing = "torch" not in available_backends()
    marks = [pytest.mark.torch, pytest.mark.skipif(missing, reason="torch is not installed")]
    return [*backends(), pytest.param(UNIFORM_TORCH, marks=marks)]


def made_backend(name: str, dtype: str) -> Backend:
    """A backend by its name in `backends_and_variants`."""
    if name != UNIFORM_TORCH:
        return get_backend(name, dtype)
    from fastism.backends.torch_uniform import UniformTorchBackend

    return UniformTorchBackend(dtype, "cpu")


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

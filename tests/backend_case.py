"""One call of a primitive, as the engine would make it, against plain numpy loops."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from oracle import Oracle

from fastism.backends.base import Backend, Geometry

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

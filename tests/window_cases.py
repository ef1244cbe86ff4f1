"""Cases of the primitives on windows of mutants."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from backend_case import Case, numbers

from fastism.backends.base import Geometry
from fastism.backends.epilogue import Epilogue, JointEpilogue, Pooling


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


WINDOW_CASES = (
    conv_window_cases,
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

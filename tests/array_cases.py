"""Cases of the primitives on whole tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from backend_case import Case, full, numbers

from fastism.rules.pointwise import CHANNELWISE, ELEMENTWISE


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


ARRAY_CASES = (
    conv1d_cases,
    conv_rows_cases,
    max_pool_cases,
    sum_pool_cases,
    function_cases,
    layer_norm_cases,
    plain_cases,
)

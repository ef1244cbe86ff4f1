"""The rate of plain matrix products of the shapes that a plan multiplies: the floor of its time.

What it is: products of dense random matrices in single precision, or in TF32 where that is asked
for, ``(rows, inner) @ (inner,
columns)``, one shape per layer (`benchmarks.floor.products`), called by the framework of the
backend that is timed, on its device, over and over on the same operands. These stay in the caches
as far as they fit, and nothing else is done in between. Where a framework has several ways to
multiply, the one that is fastest for a shape counts. The rate of a model is the arithmetic of all
its layers, divided by the time that they take when each runs at its own rate.

What it is not: the peak of the processor, nor a bound that cannot be passed. A step that has to
read its operands from memory, where the products here find them in the caches, is slower. A step
can be faster where it multiplies matrices of another shape, or where it leaves out multiplications
by zero that the plan has counted.

Requirements: numpy; the backend's framework.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

import numpy as np

from benchmarks.clock import Clock
from benchmarks.floor.products import Product, Shape
from fastism.backends.precision import products_in

#: Does a number of products of fixed operands and returns when all are done.
Multiply = Callable[[int], object]
#: Makes one for ``(rows, inner, columns)``.
Maker = Callable[[int, int, int], Multiply]


class RateProbe:
    """Times the products of a plan once per round, in about `seconds`.

    Parameters
    ----------
    products : sequence of Product
        At least one.
    makers : mapping from str to Maker
        The ways to multiply, by name; see `makers`.
    seconds : float
        What a round may take, roughly.
    clock : callable
        Seconds.

    Attributes
    ----------
    rates : list of float
        FLOP/s, one entry per call of `run`.
    chosen : list of (Shape, str)
        The shape and the way that are the fastest, per product.
    """

    def __init__(
        self,
        products: Sequence[Product],
        makers: Mapping[str, Maker],
        seconds: float = 0.3,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._products, self._clock = tuple(products), clock
        self.rates: list[float] = []
        self.chosen: list[tuple[Shape, str]] = []
        self._ways: list[tuple[Multiply, int]] = []
        for product in products:
            self._settle(product, makers, seconds / len(products))

    def _settle(self, product: Product, makers: Mapping[str, Maker], seconds: float) -> None:
        """Choose the fastest way for a product, and how often to multiply per round."""
        best, chosen = float("inf"), None
        for shape in product.shapes:
            for name, maker in makers.items():
                multiply = maker(*shape)
                multiply(1)
                calls = _calls(seconds / 4, self._timed(multiply, 1))
                each = min(self._timed(multiply, calls) / calls for _ in range(2))
                if each < best:
                    best, chosen = each, (shape, name, multiply)
        shape, name, multiply = chosen
        self.chosen.append((shape, name))
        self._ways.append((multiply, _calls(seconds, best)))

    def _timed(self, multiply: Multiply, calls: int) -> float:
        begin = self._clock()
        multiply(calls)
        return self._clock() - begin

    def each(self) -> list[float]:
        """Time all products now: the rate of each in FLOP/s, in their order."""
        rates = []
        for product, (multiply, calls) in zip(self._products, self._ways, strict=True):
            rates.append(product.flops * calls / self._timed(multiply, calls))
        return rates

    def run(self) -> float:
        """Time all products, and note and return the rate of the whole in FLOP/s."""
        self.rates.append(mean_rate([p.macs for p in self._products], self.each()))
        return self.rates[-1]


def _calls(seconds: float, each: float) -> int:
    """How many calls fill a time; a call takes 0.1 microseconds at least, for coarse clocks."""
    return max(round(seconds / max(each, 1e-7)), 1)


def mean_rate(macs: Sequence[float], rates: Sequence[float]) -> float:
    """All the work over all its time: the harmonic mean of rates, weighted by multiply-adds.

    Examples
    --------
    >>> mean_rate([1.0, 1.0], [2.0, 6.0])
    3.0
    """
    return sum(macs) / sum(m / rate for m, rate in zip(macs, rates, strict=True))


def makers(backend: str, precision: str = "float32") -> dict[str, Maker]:
    """The ways that a framework multiplies single-precision matrices, on its default device.

    Parameters
    ----------
    backend : {"tensorflow", "torch", "jax"}
    precision : {"float32", "tf32"}
        What factors are rounded to on an NVIDIA GPU; elsewhere nothing is.
    """
    return {
        name: partial(_in_precision, maker, partial(products_in, backend, precision))
        for name, maker in _MAKERS[backend]().items()
    }


def _in_precision(
    maker: Maker, context: Callable[[], AbstractContextManager[None]], *shape: int
) -> Multiply:
    """A product of some shape, made and done in a precision."""
    with context():
        multiply = maker(*shape)

    def run(calls: int) -> None:
        with context():
            multiply(calls)

    return run


def _operands(rows: int, inner: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, inner), dtype=np.float32)
    return x, rng.standard_normal((inner, columns), dtype=np.float32)


def _torch() -> dict[str, Maker]:
    import torch

    from fastism.backends import get_backend, onednn

    device = get_backend("torch", "float32").device
    generator = torch.Generator(device)

    def random(*sides: int) -> torch.Tensor:
        return torch.empty(sides, device=device).normal_(generator=generator)

    def plain(*shape: int) -> Multiply:
        x, y = (random(*sides) for sides in (shape[:2], shape[1:]))
        out = x.new_empty((shape[0], shape[2]))

        @torch.inference_mode()
        def multiply(calls: int) -> None:
            for _ in range(calls):
                torch.mm(x, y, out=out)
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return multiply

    def packed(*shape: int) -> Multiply:
        x, y = _operands(*shape)
        given, matrix = torch.from_numpy(x), onednn.PackedMatrix(y)

        @torch.inference_mode()
        def multiply(calls: int) -> None:
            for _ in range(calls):
                given @ matrix

        return multiply

    found = {"torch.mm": plain}
    if device.type == "cpu" and onednn.usable():
        found["oneDNN, packed"] = packed
    return found


def _tensorflow() -> dict[str, Maker]:
    import tensorflow as tf

    def plain(*shape: int) -> Multiply:
        x, y = map(tf.constant, _operands(*shape))

        def multiply(calls: int) -> None:
            for _ in range(calls):
                last = tf.matmul(x, y)
            last[:1, :1].numpy()

        return multiply

    return {"tf.matmul": plain}


def _jax() -> dict[str, Maker]:
    import jax
    import jax.numpy as jnp

    product = jax.jit(jnp.matmul)

    def plain(*shape: int) -> Multiply:
        x, y = map(jnp.asarray, _operands(*shape))

        def multiply(calls: int) -> None:
            for _ in range(calls):
                # Wait for each product: JAX would otherwise run several of them at the same time.
                product(x, y).block_until_ready()

        return multiply

    return {"jnp.matmul, compiled": plain}


_MAKERS: dict[str, Callable[[], dict[str, Maker]]] = {
    "torch": _torch,
    "tensorflow": _tensorflow,
    "jax": _jax,
}

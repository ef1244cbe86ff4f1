"""The rate of plain matrix products, and the fraction of the floor that follows from it."""

import dataclasses
import json
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from benchmark_fakes import (
    FakeClock,
    FakeMethod,
    make_job,
    make_progress,
    make_record,
    make_subject,
)
from numpy_backend import NumpyBackend

from benchmarks.floor.fraction import (
    fraction_of_floor,
    ideal_seconds,
    mutants_of,
    recorded_fraction,
)
from benchmarks.floor.products import Product, plan_products, saturating_products
from benchmarks.floor.rate import RateProbe, makers, mean_rate
from benchmarks.methods.fast_ism import FastMethod
from benchmarks.records import Record, Result, read
from benchmarks.timing.measure import measure
from fastism.calls.inputs import saturating_mutants
from fastism.graph.nodes import Graph, GraphBuilder
from fastism.graph.simplify import simplify
from fastism.planning.plan import make_plan
from fastism.rules import Convolution, Dense, FlattenDense, MaxPool, Pointwise, Source
from fastism.running.engine import Engine

RECORDS = Path(__file__).parents[1] / "benchmarks" / "records"


def small_graph(length: int = 60) -> Graph:
    """x -> conv (5 taps, 4 to 8) -> relu -> pool by 2 -> flatten, dense 6 -> relu -> dense 3."""
    rng = np.random.default_rng(1)
    g = GraphBuilder()
    x = g.add("x", "Input", Source((length, 4)))
    conv = Convolution(rng.standard_normal((5, 4, 8)).astype(np.float32), None, 1, 1, 1, (2, 2))
    y = g.add("conv", "Conv1D", conv, [x])
    y = g.add("relu", "Activation", Pointwise("relu"), [y])
    y = g.add("pool", "MaxPooling1D", MaxPool(2, 2), [y])
    kernel = rng.standard_normal((length // 2, 8, 6)).astype(np.float32)
    y = g.add("dense", "Dense", FlattenDense(kernel), [y])
    y = g.add("relu2", "Activation", Pointwise("relu"), [y])
    y = g.add("head", "Dense", Dense(rng.standard_normal((6, 3)).astype(np.float32)), [y])
    return simplify(g.build([x], [y], 0, "float32"))


def products_of(uniform: bool, memory: int = 1 << 24) -> tuple[tuple[Product, ...], float]:
    graph = small_graph()
    plan = make_plan(graph, uniform=uniform)
    x = np.eye(4)[np.random.default_rng(2).integers(4, size=(2, 60))]
    mutants, _ = saturating_mutants(x, np.arange(60))
    engine = Engine(plan, NumpyBackend("float32", uniform, chunk_bytes=1 << 20), memory)
    return plan_products(plan, list(engine.batches(mutants))), plan.fast_macs


@pytest.mark.parametrize("uniform", [False, True])
def test_products_hold_all_multiply_adds_of_the_plan(uniform):
    products, macs = products_of(uniform)
    assert [p.layer for p in products] == ["conv", "dense", "head"]
    assert sum(p.macs for p in products) == pytest.approx(macs)


def test_shapes_are_those_of_the_layers():
    conv, dense, head = products_of(uniform=False)[0]
    assert (conv.inner, conv.columns) == (5 * 4, 8)
    assert conv.shapes == ((conv.rows, 20, 8), (conv.rows, 4, 40))
    assert dense.columns == 6 and dense.inner % 8 == 0 and dense.inner > 0
    # Whole windows, or a position at a time of all windows that cover it.
    width = dense.inner // 8
    assert dense.shapes == ((dense.rows, dense.inner, 6), (dense.rows * width, 8, 6))
    # 180 mutants of each of two sequences share a batch, and the last layer sees all of them.
    assert (head.rows, head.inner, head.columns) == (360, 6, 3)
    assert head.shapes == ((360, 6, 3),)


def test_a_smaller_memory_makes_smaller_products():
    large = products_of(uniform=False)[0][-1].rows
    assert products_of(uniform=False, memory=1 << 15)[0][-1].rows < large


@pytest.mark.parametrize("product", products_of(uniform=False)[0], ids=lambda p: p.layer)
def test_all_ways_to_write_a_product_are_the_same_work(product):
    assert {2.0 * np.prod(shape) for shape in product.shapes} == {product.flops}


def fake_maker(clock: FakeClock, flops_per_second: float):
    def maker(*shape: int):
        def multiply(calls: int) -> None:
            clock.now += calls * 2.0 * np.prod(shape) / flops_per_second

        return multiply

    return maker


def slow_for_one_column(clock: FakeClock, slow: float, fast: float):
    def maker(*shape: int):
        return fake_maker(clock, slow if shape[2] == 1 else fast)(*shape)

    return maker


def test_the_fastest_way_and_shape_count():
    clock = FakeClock()
    narrow = Product("narrow", 100, 50, 1, macs=1.0, taps=5)
    found = {"one": slow_for_one_column(clock, 1e6, 1e9), "two": fake_maker(clock, 1e8)}
    probe = RateProbe([narrow], found, clock=clock)
    assert probe.chosen == [((100, 10, 5), "one")]
    assert probe.run() == pytest.approx(1e9)


def test_rate_of_a_case_is_all_work_over_all_time():
    clock = FakeClock()
    products = [Product("a", 10, 10, 1, macs=3.0), Product("b", 10, 10, 10, macs=1.0)]
    probe = RateProbe(products, {"": slow_for_one_column(clock, 1e6, 4e6)}, clock=clock)
    expected = 4.0 / (3.0 / 1e6 + 1.0 / 4e6)
    assert [probe.run(), probe.run()] == pytest.approx([expected, expected])
    assert probe.rates == pytest.approx([expected, expected])
    assert mean_rate([3.0, 1.0], [1e6, 4e6]) == pytest.approx(expected)


def test_a_round_takes_about_the_given_time():
    clock = FakeClock()
    products = [Product(name, 100, 10, 10, macs=1.0) for name in "abc"]
    probe = RateProbe(products, {"": fake_maker(clock, 1e7)}, seconds=0.6, clock=clock)
    begin = clock.now
    probe.run()
    assert clock.now - begin == pytest.approx(0.6, rel=0.1)


@pytest.mark.parametrize("backend", ["tensorflow", "torch", "jax"])
def test_frameworks_multiply_and_return_when_done(backend):
    pytest.importorskip(backend)
    product = Product("a", 64, 32, 16, macs=1.0)
    probe = RateProbe([product], makers(backend), seconds=0.01)
    assert probe.chosen[0][1] in makers(backend)
    assert np.isfinite(probe.run())
    assert probe.rates[0] > 0


def test_fraction_times_seconds_times_rate_is_two_operations_per_multiply_add():
    macs, mutants, rate, seconds = 7.8e6, 3000, 3e11, 0.27
    fraction = fraction_of_floor(macs, mutants, rate, seconds)
    assert fraction * seconds * rate == pytest.approx(2 * macs * mutants)
    assert fraction_of_floor(macs, mutants, rate, ideal_seconds(macs, mutants, rate)) == 1.0


def test_recorded_fractions_pair_rates_and_seconds_by_round():
    result = Result(seconds=(1.0, 2.0, 4.0), macs=50.0, rates=(6e5, 6e5, 3e5))
    record = make_record(result=result, sequences=2)
    assert mutants_of(record) == 2 * 1000 * 3
    fraction = recorded_fraction(record)
    assert (fraction.median, fraction.least, fraction.most) == pytest.approx((0.5, 0.5, 1.0))
    assert fraction.pairs == 3


def test_records_without_rates_are_read_and_have_no_fraction():
    record = make_record()
    old = dataclasses.asdict(record)
    del old["result"]["rates"]
    read_back = Record.from_json(json.dumps(old))
    assert read_back == record
    assert recorded_fraction(read_back) is None
    with_rates = make_record(result=Result(seconds=(1.0,), macs=1.0, rates=(2.0,)))
    assert Record.from_json(with_rates.to_json()) == with_rates


@dataclasses.dataclass
class ProbedMethod(FakeMethod):
    """Fast ISM whose products take 0.3 s a round at a rate that doubles with every round."""

    order: list[str] = dataclasses.field(default_factory=list)

    def run(self):
        self.order.append("run")
        return super().run()

    def rate_probe(self, clock):
        outer = self

        class Probe:
            def __init__(self):
                self.rates = []

            def run(self):
                outer.order.append("products")
                outer.clock.now += 0.3
                self.rates.append(1e3 * 2 ** len(self.rates))

        return Probe()


def test_a_job_measures_rates_in_turns_with_the_runs_and_records_them():
    clock, (progress, _) = FakeClock(), make_progress()
    values = np.random.default_rng(0).standard_normal((1, 10, 4, 1))
    naive = FakeMethod("naive_ism", "tensorflow", clock, [10.0], values)
    fast = ProbedMethod("fast_ism", "torch", clock, [2.0, 1.0, 4.0], values)
    job = make_job(sequences=(1,), backends=("torch",))
    slow, quick = measure(job, make_subject(1), [naive, fast], progress, clock)
    assert fast.order == ["run", *["run", "products"] * 3]  # the first is the warm-up
    assert slow.result.rates == ()
    assert quick.result.seconds == (2.0, 1.0, 4.0)
    assert quick.result.rates == (1e3, 2e3, 4e3)
    # 5 multiply-adds for each of 30 mutants.
    pairs = zip((1e3, 2e3, 4e3), (2.0, 1.0, 4.0), strict=True)
    expected = sorted(2 * 5 * 30 / rate / seconds for rate, seconds in pairs)
    fraction = recorded_fraction(quick)
    assert [fraction.least, fraction.median, fraction.most] == pytest.approx(expected)


def test_fast_ism_probes_the_products_of_its_own_plan():
    keras = pytest.importorskip("keras")
    inputs = keras.Input((40, 4))
    x = keras.layers.Conv1D(8, 3, activation="relu", padding="same")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    method = FastMethod(keras.backend.backend())
    x = np.eye(4, dtype=np.float32)[np.zeros((1, 40), dtype=int)]
    method.set_up(model, x)
    # A clock that stands still would ask for hundreds of thousands of products.
    probe = method.rate_probe(time.perf_counter)
    assert len(probe.chosen) == 2


def test_products_have_the_chunks_of_the_device():
    """What a backend likes as a chunk, and the memory that it has, decide the rows."""
    graph = small_graph()
    x = np.eye(4)[np.random.default_rng(2).integers(4, size=(2, 60))]

    def rows(chunk_bytes: int, memory: int, sequences: int = 2) -> list[int]:
        backend = NumpyBackend("float32", chunk_bytes=chunk_bytes)
        engine = Engine(make_plan(graph), backend, memory)
        made = saturating_products(SimpleNamespace(engine=engine, sequences_per_run=sequences), x)
        return [product.rows for product in made]

    large = rows(1 << 24, 1 << 26)
    conv, _, head = rows(1 << 13, 1 << 26)
    assert conv < large[0] and head == large[2]  # smaller chunks share their readouts
    # The budget bounds chunks and batches, whatever the backend would like.
    bounded = rows(1 << 24, 1 << 15)
    assert bounded[0] < large[0] and bounded[2] < large[2]
    assert rows(1 << 24, 1 << 26, sequences=1)[2] == large[2] // 2


@pytest.mark.parametrize("path", sorted(RECORDS.glob("*.jsonl")), ids=lambda path: path.name)
def test_committed_records_are_read(path):
    assert read(path)

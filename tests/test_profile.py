"""Profiles: each second is entered once, layers and what is around them add up to the run."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from benchmark_fakes import WHERE, FakeClock
from numpy_backend import NumpyBackend
from test_rate import fake_maker, small_graph

from benchmarks.floor import profile as profile_floor
from benchmarks.floor import profiled
from benchmarks.floor.ledger import Ledger
from benchmarks.floor.profile import (
    AROUND,
    HEADER,
    Profile,
    Row,
    kind_of,
    layer_rows,
    main,
    markdown,
    profile,
    refuse_compiled,
    shown,
)
from benchmarks.floor.profiled import ProfiledEngine
from benchmarks.records.tables import markdown_table
from fastism.calls.inputs import saturating_mutants
from fastism.errors import FastISMError
from fastism.graph.nodes import GraphBuilder
from fastism.planning.plan import make_plan
from fastism.rules import Convolution, GlobalPool, MaxPool, Pointwise, Source
from fastism.running.engine import Engine


class Ticking:
    """A clock that is a second later at every look."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self) -> float:
        self.looks += 1
        return float(self.looks)


def test_a_ledger_enters_every_second_once():
    clock = FakeClock()
    ledger = Ledger(clock)
    with ledger.span("run"):
        clock.now += 1
        for entry, seconds in (("conv", 2), ("pool", 4), ("conv", 8)):
            with ledger.span(entry):
                clock.now += seconds
            clock.now += 16
    clock.now += 32  # after the run
    assert ledger.seconds == {"run": 49.0, "conv": 10.0, "pool": 4.0}
    with pytest.raises(RuntimeError), ledger.span("run"), ledger.span("pool"):
        clock.now += 64
        raise RuntimeError
    assert ledger.seconds["pool"] == 68.0
    with ledger.span("run"):
        clock.now += 1
    assert ledger.seconds["run"] == 50.0


def test_making_items_is_entered_and_using_them_is_not():
    clock = FakeClock()
    ledger = Ledger(clock)

    def items():
        for i in range(3):
            clock.now += 1
            yield i
        clock.now += 10

    with ledger.span("run"):
        for _ in ledger.each("made", items()):
            clock.now += 100
    assert ledger.seconds == {"run": 300.0, "made": 13.0}


def run_both(uniform: bool):
    """Outputs of an engine and of a profiled one, the plan, the ledger and its clock."""
    graph = small_graph()
    plan = make_plan(graph, uniform=uniform)
    x = np.eye(4)[np.random.default_rng(2).integers(4, size=(2, 60))]
    mutants, _ = saturating_mutants(x, np.arange(60))
    clock = Ticking()
    ledger = Ledger(clock)
    given = plan, NumpyBackend("float32", uniform), 1 << 20

    def outputs(engine):
        reference, parts = engine.run([x], mutants)
        made = {i: y for part in parts for i, y in zip(part.index, part.outputs[0], strict=True)}
        return reference, [made[i] for i in range(len(mutants))]

    expected = outputs(Engine(*given))
    with ledger.span(profiled.RESULT):
        got = outputs(ProfiledEngine(ledger, *given))
    return expected, got, plan, ledger, clock


@pytest.mark.parametrize("uniform", [False, True])
def test_a_profiled_engine_gives_the_same_and_its_entries_add_up(uniform):
    (reference, mutants), (y, made), plan, ledger, clock = run_both(uniform)
    np.testing.assert_array_equal(y, reference)
    np.testing.assert_array_equal(made, mutants)
    # The clock was first looked at when the outermost span began.
    assert sum(ledger.seconds.values()) == clock.looks - 1
    steps = {*plan.window_steps, *plan.readouts, *plan.full_steps}
    assert {entry for entry in ledger.seconds if isinstance(entry, int)} == steps
    around = {entry for entry in ledger.seconds if isinstance(entry, str)}
    assert around == set(profiled.AROUND)


def test_rows_are_the_layers_and_what_is_around_them():
    _, _, plan, ledger, _ = run_both(uniform=False)
    rates = [1e6, 2e6, 4e6]
    rows = layer_rows(plan, ledger.seconds, rates, mutants=360)
    layers = [row for row in rows if row.kind != AROUND]
    assert [(row.name, row.kind) for row in layers] == [
        ("conv + pool + relu", "convolution"),
        ("dense", "readout"),
        ("relu2", "element-wise"),
        ("head", "dense"),
    ]
    assert sum(row.macs for row in rows) == pytest.approx(plan.fast_macs)
    assert sum(row.seconds for row in rows) == pytest.approx(sum(ledger.seconds.values()))
    ideal = [row.ideal for row in layers if row.macs]
    macs = [row.macs for row in layers if row.macs]
    expected = [2 * m * 360 / rate for m, rate in zip(macs, rates, strict=True)]
    assert ideal == pytest.approx(expected)


def test_a_pool_that_a_convolution_does_not_take_has_a_row_of_its_own():
    g = GraphBuilder()
    y = g.add("x", "Input", Source((30, 4)))
    y = first = g.add("conv", "Conv1D", Convolution(np.ones((3, 4, 8), np.float32)), [y])
    y = g.add("pool", "MaxPooling1D", MaxPool(2, 2), [y])
    y = g.add("relu", "ReLU", Pointwise("relu"), [y])
    means = [g.add(f"mean{i}", "Mean", GlobalPool("mean"), [i]) for i in (first, y)]
    plan = make_plan(g.build([0], means, 0, "float32"))
    rows = [(shown(plan, i), kind_of(plan, i)) for i in plan.window_steps]
    assert rows == [("conv", "convolution"), ("pool", "pooling"), ("relu", "element-wise")]


def test_a_relu_in_the_pass_of_a_convolution_is_named_with_it():
    g = GraphBuilder()
    y = g.add("x", "Input", Source((30, 4)))
    for name, channels in (("first", 4), ("second", 8)):
        y = g.add(name, "Conv1D", Convolution(np.ones((3, channels, 8), np.float32)), [y])
        y = g.add(f"{name}_relu", "ReLU", Pointwise("relu"), [y])
    y = g.add("mean", "GlobalAveragePooling1D", GlobalPool("mean"), [y])
    plan = make_plan(g.build([0], [y], 0, "float32"))
    names = [shown(plan, i) for i in (*plan.window_steps, *plan.readouts)]
    assert names == ["first + first_relu", "second + second_relu", "mean"]
    assert kind_of(plan, plan.readouts[0]) == "readout"


def some_profile() -> Profile:
    rows = (
        Row("conv + relu", "convolution", 1e6, 0.2, 0.4),
        Row("conv2", "convolution", 1e6, 0.1, 0.4),
        Row("pool", "pooling", 0.0, 0.0, 0.1),
        Row(profiled.RESULT, AROUND, 0.0, 0.0, 0.1),
    )
    return Profile("A model, 1000 bp", 3000, rows, (0.9, 1.0, 0.8))


def test_sums_of_kinds_and_the_total():
    made = some_profile()
    sums = {row.name: row for row in made.by_kind()}
    assert sums["all: convolution"].seconds == pytest.approx(0.8)
    assert sums["total"].seconds == pytest.approx(made.seconds) == pytest.approx(1.0)
    cells = {row[0]: row for row in made.cells()}
    assert cells["conv2"][2:] == ["1,000,000", "100.0", "400.0", "0.25", "40.0%"]
    assert cells["pool"][2:] == ["", "", "100.0", "", "10.0%"]
    assert cells["total"][2:] == ["2,000,000", "300.0", "1000.0", "0.30", "100.0%"]
    shares = [float(cells[row.name][-1].rstrip("%")) for row in made.rows]
    assert sum(shares) == pytest.approx(100.0)


def test_markdown_has_hardware_date_and_every_row():
    where = dataclasses.replace(WHERE, date="2026-01-02T03:04:05+00:00")
    text = markdown([some_profile()], "torch", where)
    assert "A processor, 2 threads" in text and "Measured 2026-01-02 at commit 0123456789ab" in text
    assert "python 3.11.7" in text
    assert "#### A model, 1000 bp" in text
    assert markdown_table(HEADER, some_profile().cells(), (0, 1)) in text
    assert "3,000 mutants" in text and "0.9 s (0.8–1, 3 runs" in text


def test_compiled_plans_are_refused(capsys):
    for backend in ("tensorflow", "jax"):
        with pytest.raises(FastISMError, match=f"compiled as a whole on {backend}"):
            refuse_compiled(backend)
    assert main(["basset", "--length", "100", "--backend", "jax"]) == 1
    assert "Profile on torch" in capsys.readouterr().err


def test_a_model_is_profiled_and_the_run_of_median_length_is_shown(monkeypatch, capsys):
    pytest.importorskip("torch")
    keras = pytest.importorskip("keras")
    inputs = keras.Input((40, 4))
    x = keras.layers.Conv1D(16, 3, activation="relu", padding="same")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(x)))
    one_hot = np.eye(4, dtype=np.float32)[np.zeros((1, 40), dtype=int)]
    clock = Ticking()
    entries = []

    def noted(plan, middle, rates, mutants):
        entries.append(middle)
        return layer_rows(plan, middle, rates, mutants)

    monkeypatch.setattr(profile_floor, "layer_rows", noted)
    ways = {"": fake_maker(FakeClock(), 1e9)}
    made = profile(model, one_hot, "small", "torch", rounds=3, clock=clock, ways=ways)
    assert made.mutants == 120
    assert [row.kind for row in made.rows if row.macs] == ["convolution", "readout"]
    assert made.seconds == pytest.approx(sum(entries[0].values()))
    assert len(made.plain) == 3
    profile_floor.show(made)
    printed = capsys.readouterr().out
    assert "small" in printed
    # No cell is folded where there is no terminal.
    assert all(any(row.name in line for line in printed.splitlines()) for row in made.rows)

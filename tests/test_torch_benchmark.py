"""The benchmark on PyTorch modules: methods, naive ISM in two modes, comparison, table, config."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import yaml
from benchmark_fakes import (
    FakeClock,
    FakeMethod,
    make_job,
    make_progress,
    make_record,
    make_subject,
)

from benchmarks import records
from benchmarks.attribution.input_shapes import input_shape
from benchmarks.errors import BenchmarkError
from benchmarks.jobs.document import write_job
from benchmarks.methods import naive_ism
from benchmarks.methods.fast_ism import FastMethod
from benchmarks.methods.naive_ism import NaiveMethod, not_compiling
from benchmarks.records import Record, Result, environment
from benchmarks.records.compare import compare, main_cases
from benchmarks.timing import limits
from benchmarks.timing.measure import main, measure, variants
from benchmarks.workflow.config import load_config, parse_config
from benchmarks.workflow.failed_job import missing_records
from fastism.calls.naive import USUAL_BATCH_SIZE
from fastism.errors import FastISMError
from figures import readme, speedup_table

ROOT = Path(__file__).resolve().parents[1]
CONFIG = ROOT / "workflows" / "config" / "torch_modules.yaml"
MODULES = {"model": "torch", "keras_backend": "torch", "backends": ("torch",)}


def content(**changes):
    return {**yaml.safe_load(CONFIG.read_text()), **changes}


def module_record(mode="", method="fast_ism", **given):
    record = make_record(method, "torch", keras_backend="torch", **given)
    return dataclasses.replace(
        record, how=dataclasses.replace(record.how, model="torch", mode=mode)
    )


# ---- config and jobs -------------------------------------------------------------------------


def test_the_config_gives_modules_to_naive_and_fast_ism():
    config = load_config(CONFIG)
    assert {(job.model, job.keras_backend, job.methods) for job in config.jobs.values()} == {
        ("torch", "torch", ("naive_ism", "fast_ism"))
    }
    assert "basset_1000_cpu_torch_module" in config.jobs
    assert config.jobs["beluga_2000_cpu_torch_module"].naive_mutants < 384


def test_a_keras_model_on_torch_and_its_twin_are_two_cases():
    cases = [
        {"architecture": "basset", "length": 1000, "model": model} for model in ("keras", "torch")
    ]
    config = parse_config(content(cases=cases, first_call=True), "a test")
    assert list(config.jobs) == ["basset_1000_cpu_torch", "basset_1000_cpu_torch_module"]
    # Builds Keras models only.
    assert {case.split("_first_call_")[0] for case in config.first_calls} == {
        "basset_1000_cpu_torch"
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"keras_backend": "jax"}, r"needs keras_backend: torch.*got\s+jax"),
        ({"methods": ["naive_ism", "deepshap"]}, r"cannot be given to deepshap; expected some of"),
        ({"model": "flax"}, r"'flax' is not one of \['keras', 'torch'\]"),
    ],
)
def test_what_cannot_be_done_with_a_module_is_refused(changes, message):
    with pytest.raises(FastISMError, match=message):
        parse_config(content(**changes), "a test")


def test_records_from_before_there_were_modules_can_be_read():
    line = json.loads(make_record().to_json())
    del line["how"]["model"], line["how"]["mode"]
    assert Record.from_json(json.dumps(line)) == make_record()


# ---- methods ---------------------------------------------------------------------------------


def test_naive_ism_of_a_module_has_two_modes():
    made = variants(make_job(**MODULES))
    assert [(m.name, m.backend, m.mode) for m in made] == [
        ("naive_ism", "torch", "eager"),
        ("naive_ism", "torch", "compiled"),
        ("fast_ism", "torch", ""),
    ]


def test_a_module_is_told_the_shape_of_its_input():
    sequences = np.zeros((2, 3, 4))
    assert input_shape("keras", sequences) is None
    assert input_shape("torch", sequences) == (4, 3)


@pytest.fixture(scope="module")
def models():
    """A small BPNet as a Keras model and as a module with its weights."""
    pytest.importorskip("torch", reason="the twin is a PyTorch module")
    keras = pytest.importorskip("keras", reason="its weights are those of a Keras model")
    from benchmarks.attribution.twins import make_twin
    from fastism.models.bpnet import bpnet_model

    keras.utils.set_random_seed(3)
    model = bpnet_model(seqlen=60, num_dilated_convs=2)
    return model, make_twin(model)


@pytest.fixture
def _untuned(monkeypatch):
    monkeypatch.setenv("FASTISM_MEASURE", "0")


@pytest.mark.torch
@pytest.mark.usefixtures("_untuned")
def test_methods_give_for_a_module_what_they_give_for_its_keras_model(models):
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(4, size=(2, 60))]
    keras_model, module = models
    import keras

    own = keras.backend.backend()
    results = []
    for model, kind, backend, mode in (
        (keras_model, "keras", own, ""),
        (module, "torch", "torch", "eager"),
    ):
        fast, naive = FastMethod(backend, kind), NaiveMethod(backend, 96, kind, mode)
        for method in (fast, naive):
            assert method.refuse() is None
            method.set_up(model, x)
        results.append((fast.run(), naive.run(), naive.macs, naive.scale))
        assert 0 < fast.macs < naive.macs
        assert naive.batch_size == USUAL_BATCH_SIZE
    (fast_a, naive_a, *rest_a), (fast_b, naive_b, *rest_b) = results
    assert rest_a == rest_b
    assert [v.shape for v in fast_b.values] == [(2, 60, 4, 60), (2, 60, 4, 1)]
    np.testing.assert_array_equal(naive_a.positions, naive_b.positions)
    for a, b in ((fast_a, fast_b), (naive_a, naive_b)):
        for one, other in zip(a.values, b.values, strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.torch
def test_results_of_modules_are_counted_before_they_are_made(models, monkeypatch):
    sequences = np.zeros((1000, 60, 4), np.float32)
    keras_model, module = models
    monkeypatch.setattr(
        limits.psutil, "virtual_memory", lambda: type("Memory", (), {"available": 2**20})
    )
    reasons = [limits.too_large(FastMethod("torch"), m, sequences) for m in (keras_model, module)]
    assert reasons[0] == reasons[1]
    assert "of 1000 sequences take 0.1 GiB" in reasons[0]


@pytest.mark.torch
def test_a_compiler_that_is_missing_is_a_reason(monkeypatch):
    torch = pytest.importorskip("torch", reason="it is torch that compiles")

    def broken(*arguments, **settings):
        raise RuntimeError("No working C++ compiler\nfound")

    monkeypatch.setattr(torch, "compile", broken)
    not_compiling.cache_clear()
    try:
        reason = NaiveMethod("torch", 8, "torch", "compiled").refuse()
        assert NaiveMethod("torch", 8, "torch", "eager").refuse() is None
    finally:
        not_compiling.cache_clear()
    assert reason == (
        "torch.compile does not work here. RuntimeError: No working C++ compiler found"
    )


# ---- a job -----------------------------------------------------------------------------------


def run_job(eager_seconds=10.0, **changes):
    """Both modes of naive ISM sample other positions; changes are those of the fakes by name."""
    clock, (progress, written) = FakeClock(), make_progress()
    values = np.random.default_rng(0).normal(size=(2, 10, 4, 1)).astype(np.float32)
    methods = {
        "eager": FakeMethod("naive_ism", "torch", clock, [eager_seconds], values, [0, 9]),
        "compiled": FakeMethod("naive_ism", "torch", clock, [6.0], values, [0, 3, 5, 7, 9]),
        "fast": FakeMethod("fast_ism", "torch", clock, [2.0], values),
    }
    for name, method in methods.items():
        for key, value in changes.get(name, {}).items():
            setattr(method, key, value)
        method.mode = name if name != "fast" else ""
    job = make_job(**MODULES, sequences=(1,))
    return list(measure(job, make_subject(), list(methods.values()), progress, clock)), written


def test_both_modes_are_recorded_and_the_faster_is_the_baseline():
    done, written = run_job()
    assert [(r.what.method, r.how.mode, r.how.model) for r in done] == [
        ("naive_ism", "eager", "torch"),
        ("naive_ism", "compiled", "torch"),
        ("fast_ism", "", "torch"),
    ]
    (comparison,) = compare(done)
    assert comparison.naive.how.mode == "compiled"  # 6 s of half the positions against 10 of 1/5
    assert comparison.own is comparison.best
    assert comparison.speedup(comparison.best).median == 6.0
    assert "fake on torch, compiled, 1 sequence: 12 s per sequence" in written.getvalue()
    (other,) = compare(run_job(eager_seconds=2.0)[0])
    assert (other.naive.how.mode, other.speedup(other.best).median) == ("eager", 5.0)


@pytest.mark.parametrize(("mode", "position"), [("eager", 9), ("compiled", 3)])
def test_either_mode_that_disagrees_fails_the_job(mode, position):
    wrong = np.random.default_rng(0).normal(size=(2, 10, 4, 1)).astype(np.float32)
    wrong[0, position, 0] += 0.5
    with pytest.raises(BenchmarkError, match="naive ISM disagree"):
        run_job(**{mode: {"values": wrong}})


def test_one_mode_is_enough_and_the_other_says_why_not():
    done, _ = run_job(compiled={"reason": "No compiler."})
    (comparison,) = compare(done)
    assert comparison.naive.how.mode == "eager"
    assert [r.result.status for r in comparison.missing] == ["refused"]
    text = speedup_table.markdown(done)
    assert "naive ISM (compiled) of Basset at 10 on PyTorch: refused. No compiler." in text
    with pytest.raises(BenchmarkError, match=r"eager: No\. .*compiled: No compiler\."):
        run_job(compiled={"reason": "No compiler."}, eager={"reason": "No."})


def test_a_failed_job_leaves_records_of_both_modes(monkeypatch):
    monkeypatch.setattr(environment, "describe", lambda device: make_record().where)
    job = make_job(**MODULES, sequences=(1,))
    done = [r for r in run_job()[0] if r.how.mode == "eager"]
    left = list(missing_records(job, done, "Killed."))
    assert [(r.what.method, r.how.mode, r.how.model) for r in left] == [
        ("naive_ism", "compiled", "torch"),
        ("fast_ism", "", "torch"),
    ]


@pytest.mark.torch
@pytest.mark.usefixtures("_untuned")
def test_the_command_times_a_module(tmp_path, monkeypatch, capsys):
    """From the builder to records; without a compiler, which takes long and is tested below."""
    pytest.importorskip("torch", reason="the twin is a PyTorch module")
    pytest.importorskip("keras", reason="its weights are those of a Keras model")
    monkeypatch.setattr(naive_ism, "not_compiling", lambda: "Not here.")
    fasta, out = tmp_path / "some.fa", tmp_path / "records.jsonl"
    letters = np.random.default_rng(0).choice(list("ACGT"), size=(2, 200))
    fasta.write_text("".join(f">{i}\n{''.join(row)}\n" for i, row in enumerate(letters)))
    where = ["--fasta", str(fasta), "--output", str(out), "--partial", str(tmp_path / "partial")]
    job = make_job(**MODULES, length=200, least=1, most=1, naive_mutants=32)
    assert main(["--job", write_job(job), *where]) == 0, capsys.readouterr().out
    done = records.read(out)
    statuses = {(r.what.method, r.how.mode, r.what.sequences): r.result.status for r in done}
    assert statuses == {
        ("naive_ism", mode, number): status
        for mode, status in (("eager", "ok"), ("compiled", "refused"))
        for number in (1, 2)
    } | {("fast_ism", "", number): "ok" for number in (1, 2)}
    fast = next(r for r in done if r.what.method == "fast_ism")
    assert fast.result.difference < 0.01 * fast.result.spread
    assert fast.how.settings["block"] >= 1


# ---- naive ISM, compiled ---------------------------------------------------------------------


def compiling():
    pytest.importorskip("torch", reason="it is torch that compiles")
    if not_compiling():
        pytest.skip(f"there is no C++ compiler that torch can use: {not_compiling()}")


@pytest.mark.torch
def test_compiled_naive_ism_runs_compiled_and_leaves_the_module_alone():
    compiling()
    import torch
    from torch import nn

    from fastism import NaiveISM

    class Telling(nn.Module):
        """Says in its second output whether it is compiled."""

        def __init__(self):
            super().__init__()
            self.conv, self.norm = nn.Conv1d(4, 5, 3, padding=1), nn.BatchNorm1d(5)

        def forward(self, x):
            told = torch.ones_like(x[:, :1, 0]) * (2.0 if torch.compiler.is_compiling() else 1.0)
            return torch.relu(self.norm(self.conv(x))).mean(2), told

    torch.manual_seed(0)
    module = Telling().train()
    before = {name: x.clone() for name, x in module.state_dict().items()}
    x = np.eye(4, dtype=np.float32)[np.random.default_rng(0).integers(4, size=(2, 20))]
    x = x.transpose(0, 2, 1).copy()
    given = {"input_shape": (4, 20), "batch_size": 16}
    eager = NaiveISM(module, **given).saturate(x)
    made = NaiveISM(module, compiled=True, **given).saturate(x)
    np.testing.assert_allclose(made.mutants[0], eager.mutants[0], atol=1e-6)
    mutated = ~x.astype(bool)
    assert set(made.mutants[1][mutated].ravel()) == {2.0}
    assert set(eager.mutants[1][mutated].ravel()) == {1.0}
    assert all(m.training for m in module.modules())
    assert all(torch.equal(x, before[name]) for name, x in module.state_dict().items())
    assert type(module) is Telling
    assert all(p.requires_grad and p.grad is None for p in module.parameters())


@pytest.mark.torch
def test_a_module_that_cannot_be_compiled_as_one_is_refused_and_not_run_eagerly():
    compiling()
    import torch
    from torch import nn

    from fastism import NaiveISM

    class Breaking(nn.Module):
        def forward(self, x):
            print(end="")
            torch._dynamo.graph_break()
            return x.sum((1, 2))[:, None]

    naive = NaiveISM(Breaking(), input_shape=(4, 8), batch_size=8, compiled=True)
    x = np.zeros((1, 4, 8), np.float32)
    with pytest.raises(FastISMError, match=r"torch.compile cannot run Breaking here.*compiled=F"):
        naive.saturate(x)


# ---- the table -------------------------------------------------------------------------------


def some_records():
    return [
        module_record("eager", "naive_ism", seconds=(20.0, 40.0, 60.0), macs=100.0),
        module_record("compiled", "naive_ism", seconds=(30.0, 40.0, 50.0), macs=100.0),
        module_record(seconds=(1.0, 2.0, 4.0)),
        module_record("eager", "naive_ism", seconds=(9.0,), length=2000, job="b", macs=100.0),
        module_record("compiled", "naive_ism", seconds=(8.0,), length=2000, job="b", macs=100.0),
        module_record(seconds=(1.0,), length=2000, job="b"),
    ]


def test_the_table_says_how_naive_ism_ran_and_has_no_column_for_one_backend():
    text = speedup_table.markdown(some_records())
    header, _, first, second = text.splitlines()[:4]
    assert [cell.strip() for cell in header.strip("|").split("|")] == [
        "model",
        "bp",
        "sequences",
        "naive ISM, s",
        "runs",
        "fastISM, s",
        "speedup",
        "multiply-adds",
        "fraction of floor",
        "difference",
    ]
    assert "| 40 | eager | 2 | **20** (15–20) |" in first  # of equal medians, the first
    assert "| 8 | compiled | 1 | **8.0** (8.0–8.0) |" in second
    assert "PyTorch, compiled or eager, whichever is faster, at its best batch size" in text
    assert "Fast on:" not in text


def test_rows_of_the_csv_say_what_kind_of_model_and_mode():
    made = speedup_table.rows(main_cases(compare(some_records())))
    assert [(row["model"], row["naive_mode"]) for row in made] == [
        ("torch", "eager"),
        ("torch", "compiled"),
    ]


def test_modules_are_not_compared_with_keras_models():
    both = [
        *some_records()[:3],
        make_record("naive_ism", "torch", (100.0,), keras_backend="torch", job="k"),
        make_record("fast_ism", "torch", (2.0,), keras_backend="torch", job="k"),
    ]
    made = main_cases(compare(both))
    assert [(c.naive.how.model, c.speedup(c.best).median) for c in made] == [
        ("keras", 50.0),
        ("torch", 20.0),
    ]


def test_the_page_of_results_shows_modules_below_where_there_are_any():
    library = [make_record("naive_ism", "tensorflow", (100.0,)), make_record(seconds=(2.0,))]
    modules = next(s for s in readme.SOURCES if s.file.startswith("torch-modules"))
    records = {readme.LIBRARY[0]: library}
    without = readme.long(records, "")
    both = readme.long(records | {modules.file: some_records()}, "")
    assert both.startswith(without)
    assert both.index("**50**") < both.index(modules.about) < both.index("**8.0**")


def test_a_skipped_mode_is_said_below_the_table():
    reason = Result(status="skipped", reason="Too long.")
    found = [*some_records()[:3], module_record("compiled", "naive_ism", result=reason, job="a")]
    assert "naive ISM (compiled) of Basset at 1000" in speedup_table.markdown(found)

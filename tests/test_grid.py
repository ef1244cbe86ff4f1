"""What the grid adds to a job: sweeps, devices, budgets, and records of what failed as a whole."""

import dataclasses
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from benchmark_fakes import FakeClock, FakeMethod, make_job, make_progress, make_subject

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES, build
from benchmarks.attribution.per_output import PerOutputMethod
from benchmarks.errors import BenchmarkError
from benchmarks.jobs.document import write_job
from benchmarks.jobs.partial import Partial
from benchmarks.jobs.select_sequences import encoded
from benchmarks.methods import WouldExceed
from benchmarks.records import Record, environment
from benchmarks.timing import limits
from benchmarks.timing.limits import Limits, too_large
from benchmarks.timing.measure import main, measure, measure_each
from benchmarks.workflow import failed_job
from benchmarks.workflow.config import load_config, parse_config
from fastism.errors import FastISMError
from figures.paper import read_paper

ROOT = Path(__file__).resolve().parents[1]
PAPER = ROOT / "workflows" / "config" / "paper.yaml"


@pytest.fixture
def content():
    return yaml.safe_load((ROOT / "workflows" / "config" / "quick.yaml").read_text())


# ---- config ----------------------------------------------------------------------------------


def test_the_papers_config_has_the_whole_grid():
    config = load_config(PAPER)
    own = [j for j in config.jobs.values() if j.keras_backend == "tensorflow" and not j.parameter]
    assert {(j.architecture, j.length, j.device) for j in own} == {
        (name, length, device)
        for name, architecture in ARCHITECTURES.items()
        if name != "sweep_base"
        for length in architecture.lengths
        for device in ("cpu", "gpu")
    }
    assert {j.sequences for j in own} == {(1, 8, 64, 512)}
    others = {j.keras_backend for j in config.jobs.values()}
    assert others == {"tensorflow", "torch", "jax"}
    assert {p.peer for p in config.peers.values()} == {"fastism05", "yuzu", "tangermeme"}
    assert config.report
    assert config.most_sequences == 512


def test_the_papers_config_sweeps_what_the_paper_did():
    jobs = load_config(PAPER).jobs.values()
    ours = {(j.parameter, j.value) for j in jobs if j.parameter and j.device == "cpu"}
    paper = read_paper(ROOT / "data" / "paper_p100_timings.csv")
    assert ours == {(t.parameter, t.value) for t in paper if t.study == "sweep"}
    assert all(j.length == j.value for j in jobs if j.parameter == "sequence_length")


def test_a_case_may_have_its_own_framework_and_methods(content):
    other = {"architecture": "basset", "length": 1000, "keras_backend": "torch"}
    content["cases"].append({**other, "methods": ["naive_ism"], "backends": ["torch"]})
    jobs = parse_config(content, "mine.yaml").jobs
    assert "basset_1000_cpu_tensorflow" in jobs
    job = jobs["basset_1000_cpu_torch"]
    assert (job.methods, job.backends) == (("naive_ism",), ("torch",))


def sweep(values):
    return {"architecture": "sweep_base", "length": 500, "values": values}


def test_a_sweep_makes_a_job_per_value_and_device(content):
    content.update(devices=["cpu", "gpu"], sweeps=sweep({"channels": [32], "conv_layers": [1, 2]}))
    jobs = [j for j in parse_config(content, "mine.yaml").jobs.values() if j.parameter]
    assert [(j.case, j.variant, j.parameters) for j in jobs][:3] == [
        ("sweep_base_500_channels_32_cpu_tensorflow", "channels=32", {"channels": 32}),
        ("sweep_base_500_channels_32_gpu_tensorflow", "channels=32", {"channels": 32}),
        ("sweep_base_500_conv_layers_1_cpu_tensorflow", "conv_layers=1", {"conv_layers": 1}),
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sweeps": sweep({"colour": [1]})}, "sweep_base has no parameter 'colour'; expected some"),
        ({"sweeps": sweep({})}, "sweeps.values: "),
        ({"sweeps": {**sweep({"channels": [1]}), "speed": 1}}, "sweeps: unknown key 'speed'"),
        ({"peers": {"names": ["magic"]}}, "peers: 'sequences' is a required property"),
        ({"name": "regression"}, "'regression' is another target"),
        ({"job_seconds": 0}, "job_seconds: 0 is less than or equal to the minimum of 0"),
        ({"failures": "ignore"}, "failures: 'ignore' is not one of"),
    ],
    ids=[
        "parameter",
        "no values",
        "key of sweeps",
        "no sequences",
        "name",
        "job_seconds",
        "failures",
    ],
)
def test_what_the_grid_does_not_know_is_named(content, change, message):
    content.update(change)
    with pytest.raises(FastISMError) as error:
        parse_config(content, "mine.yaml")
    assert message in str(error.value)


def test_unknown_names_of_the_other_parts_are_named(content):
    paper = yaml.safe_load(PAPER.read_text())
    paper["peers"]["names"] = ["magic"]
    paper["agreement"]["methods"] = ["tea_leaves"]
    paper["breakdown"]["cases"][0]["architecture"] = "enformer"
    with pytest.raises(FastISMError) as error:
        parse_config(paper, "mine.yaml")
    text = str(error.value)
    assert "peers.names: unknown peer 'magic'; expected one of fastism05" in text
    assert "agreement.methods: unknown method 'tea_leaves'" in text
    assert "breakdown.cases.0: unknown architecture 'enformer'" in text


# ---- budget ----------------------------------------------------------------------------------


def run(job, **durations):
    """Records of a job of ten positions; naive ISM at two of them."""
    clock, (progress, written) = FakeClock(), make_progress()
    values = np.random.default_rng(0).normal(size=(64, 10, 4, 1)).astype(np.float32)
    naive = FakeMethod("naive_ism", "tensorflow", clock, [1.0], values, [0, 9])
    fast = [
        FakeMethod("fast_ism", backend, clock, [seconds], values)
        for backend, seconds in durations.items()
    ]
    done = list(measure(job, make_subject(64), [naive, *fast], progress, clock))
    return done, written.getvalue()


def statuses(done, method):
    return {r.what.sequences: r.result.status for r in done if r.what.method == method}


def test_what_would_exceed_the_budget_is_left_out_and_says_so():
    job = make_job(sequences=(1, 4, 64), budget=100.0, every_backend_up_to=64)
    done, written = run(job, torch=0.25)
    # One sequence takes 4 runs of 1.25 s, four take 20 s: 64 would take 256 s of naive ISM alone.
    assert statuses(done, "naive_ism") == {1: "ok", 4: "ok", 64: "skipped"}
    assert statuses(done, "fast_ism") == {1: "ok", 4: "ok", 64: "ok"}
    (skipped,) = [r for r in done if r.result.status == "skipped"]
    assert "4 runs of 64 sequences are expected to take 256 s; 75 s are left" in (
        skipped.result.reason
    )
    assert skipped.result.seconds == ()
    assert skipped.result.reason in written
    fast = [r for r in done if r.what.sequences == 64 and r.result.status == "ok"]
    assert fast[0].result.difference is None  # nothing to compare with


def test_a_slow_warm_up_is_not_repeated():
    done, _ = run(make_job(sequences=(1,), budget=100.0), torch=0.5, jax=50.0)
    found = {r.how.backend: r.result for r in done if r.what.method == "fast_ism"}
    assert found["torch"].status == "ok"
    assert found["jax"].status == "skipped"
    assert "3 runs more are expected to take 150 s" in found["jax"].reason


def test_rounds_to_come_are_reserved_for_those_that_are_warm():
    # Naive ISM takes 1 s, torch 20 s a run: 60 s of rounds. What is left of 110 s does not do for
    # a second method as slow, although there were 89 s when it began.
    done, _ = run(make_job(sequences=(1,), budget=110.0), torch=2.0, jax=2.0)
    assert [r.result.status for r in done] == ["ok", "ok", "ok"]
    done, _ = run(make_job(sequences=(1,), budget=15.0), torch=2.0, jax=2.0)
    found = {r.how.backend: r.result for r in done if r.what.method == "fast_ism"}
    assert (found["torch"].status, found["jax"].status) == ("ok", "skipped")
    assert "3 runs more are expected to take 6 s" in found["jax"].reason


def test_many_sequences_are_not_begun_before_one_was_tried():
    clock, (progress, _) = FakeClock(), make_progress()
    values = np.random.default_rng(0).normal(size=(64, 10, 4, 1)).astype(np.float32)
    naive = FakeMethod("naive_ism", "tensorflow", clock, [0.01], values, [0, 9])
    fast = FakeMethod("fast_ism", "torch", clock, [10.0], values)
    job = make_job(sequences=(64,), budget=100.0)
    done = list(measure(job, make_subject(64), [naive, fast], progress, clock))
    assert [r.result.status for r in done] == ["ok", "skipped"]
    assert "4 runs of 64 sequences are expected to take 2560 s" in done[1].result.reason
    assert clock.now < 30


class FakeGradient(PerOutputMethod):
    """Explains outputs of a model with 2,002 of them, a second per output and sequence."""

    name, label = "gradient", "gradient"

    def __init__(self, clock, seconds=1.0, check_runs=0.0, passes=0):
        super().__init__("tensorflow")
        self.clock, self.seconds, self._check_runs = clock, seconds, check_runs
        self._passes = passes
        self.asked = []

    def refuse(self):
        return None

    def prepare(self, model, sequences):
        if self._passes:
            self.tune(self._pass_on, sequences, 1)

    def _pass_on(self, batch):
        self.clock.now += self.seconds * len(batch)

    @property
    def passes(self):
        return self._passes

    def explain(self, target):
        self.clock.now += self.seconds * len(self._sequences)
        self.asked.append(target.element)
        return np.zeros((len(self._sequences), 10, 4), np.float32)

    @property
    def check_runs(self):
        return self._check_runs


def many_outputs():
    """What methods look at of a model with 2,002 outputs."""
    output = type("Output", (), {"shape": (None, 2002)})()
    return type("Model", (), {"outputs": [output]})()


def explain(budget, sequences=(1,), **changes):
    """Records of that method, and which outputs it explained, in a job with naive ISM."""
    clock, (progress, _) = FakeClock(), make_progress()
    values = np.random.default_rng(0).normal(size=(64, 10, 4, 1)).astype(np.float32)
    naive = FakeMethod("naive_ism", "tensorflow", clock, [0.01], values, [0, 9])
    gradient = FakeGradient(clock, **changes)
    subject = dataclasses.replace(make_subject(64), model=many_outputs())
    job = make_job(sequences=sequences, budget=budget)
    done = list(measure(job, subject, [naive, gradient], progress, clock))
    return [r for r in done if r.what.method == "gradient"], gradient.asked, clock.now


@pytest.mark.parametrize(
    ("budget", "outputs"),
    # One output takes 4 runs of a second; half of what is left may be for more than one.
    [(6.0, 1), (19.0, 2), (27.0, 3), (36.0, 4), (1000.0, 4)],
)
def test_as_many_outputs_are_explained_as_there_is_time_for(budget, outputs):
    (record,), explained, spent = explain(budget)
    assert record.result.status == "ok"
    assert record.how.settings["outputs_timed"] == outputs
    assert record.how.scale == 2002 / outputs
    assert record.result.seconds == (outputs,) * 3
    assert len(set(explained)) == outputs
    assert spent <= budget


def test_where_there_is_no_time_for_one_output_it_says_how_long_it_would_take():
    (record,), explained, spent = explain(40.0, seconds=15.0)
    assert record.result.status == "skipped"
    expected = "4 runs of 1 sequence and the check, for one of 2002 outputs, are expected to take"
    assert f"{expected} 60 s; 25 s are left of the 40 s" in record.result.reason
    assert explained == [0]  # the trial
    assert spent < 40.0


def test_more_sequences_are_left_out_without_another_trial():
    done, _, spent = explain(100.0, sequences=(1, 8, 64))
    assert [r.result.status for r in done] == ["ok", "ok", "skipped"]
    assert [r.how.settings.get("outputs_timed") for r in done] == [4, 1, None]
    assert "4 runs of 64 sequences and the check, for one of 2002 outputs" in done[2].result.reason
    assert spent <= 100.0


def test_when_the_time_is_over_nothing_is_set_up():
    clock, (progress, _) = FakeClock(), make_progress()
    values = np.random.default_rng(0).normal(size=(1, 10, 4, 1)).astype(np.float32)
    naive = FakeMethod("naive_ism", "tensorflow", clock, [50.0], values, [0, 9])
    fast = FakeMethod("fast_ism", "torch", clock, [1.0], values, error=AssertionError("set up"))
    job = make_job(sequences=(1, 2), budget=40.0)
    done = list(measure(job, make_subject(2), [naive, fast], progress, clock))
    assert [r.result.status for r in done] == ["skipped"] * 4
    assert "The 40 s of this job were spent" in done[1].result.reason
    assert clock.now == 50.0


def test_a_first_pass_that_is_too_slow_is_not_followed_by_a_trial():
    clock = FakeClock()
    method = FakeGradient(clock, passes=50)
    method.allowance = Limits(100.0, 4, clock)
    for _ in range(2):  # and remembered
        with pytest.raises(
            WouldExceed, match="for one of 2002 outputs, are expected to take 200 s"
        ):
            method.set_up(many_outputs(), np.zeros((1, 10, 4), np.float32))
    assert clock.now == 2.0  # two passes
    assert method.asked == []


def test_the_check_is_counted():
    (record,), _, _ = explain(30.0, check_runs=20.0)
    assert record.how.settings["outputs_timed"] == 1
    (record,), _, _ = explain(20.0, check_runs=20.0)
    assert record.result.status == "skipped"


def test_batch_sizes_are_tried_as_long_as_there_is_time_for():
    clock = FakeClock()
    method, tried = FakeGradient(clock), []

    def run(batch):
        tried.append(len(batch))
        clock.now += 0.01 * len(batch)

    method.allowance = Limits(20.0, 4, clock)
    # A tenth of 20 s is enough for three runs of 16 and of 32, not of 64.
    assert method.tune(run, np.zeros((1, 10, 4), np.float32), 512) in (16, 32)
    assert set(tried) == {1, 16, 32}


def test_when_everything_is_skipped_the_job_does_not_fail():
    done, _ = run(make_job(sequences=(1, 64), budget=8.0), torch=1.0)
    assert [r.result.status for r in done if r.what.sequences == 64] == ["skipped"] * 2


def test_the_budget_counts_from_the_beginning():
    clock = FakeClock()
    limit = Limits(10.0, 2, clock)
    assert limit.exceeded(9.0, "Two runs") is None
    clock.now = 4.0
    assert "6 s are left of the 10 s" in limit.exceeded(9.0, "Two runs")


def test_results_that_do_not_fit_into_memory_are_not_begun(monkeypatch):
    clock, values = FakeClock(), np.zeros((2, 1000, 4, 1), np.float32)
    method = FakeMethod("fast_ism", "torch", clock, [1.0], values)
    output = type("Output", (), {"shape": (None, 1000)})()
    model = type("Model", (), {"outputs": [output]})()
    sequences = np.broadcast_to(np.float32(0), (512, 1000, 4))

    class Memory:
        available = 2**33

    monkeypatch.setattr(limits.psutil, "virtual_memory", lambda: Memory)
    reason = too_large(method, model, sequences)
    assert "of 512 sequences take 7.6 GiB, more than 50% of the 8.0 GiB" in reason
    assert too_large(method, model, sequences[:64]) is None
    method.exact = False
    assert too_large(method, model, sequences) is None


# ---- failures --------------------------------------------------------------------------------


def test_a_gpu_that_is_not_there_is_said(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(environment, "_gpu", lambda: "")
    out = tmp_path / "records.jsonl"
    where = ["--fasta", "none.fa", "--output", str(out), "--partial", str(tmp_path)]
    assert main(["--job", write_job(make_job(device="gpu")), *where]) == 1
    assert "No GPU is visible" in capsys.readouterr().out


def fail(job, folder, status=1, log="first line\nthe reason\n"):
    out = folder / "records.jsonl"
    (folder / "log").write_text(log)
    where = ["--log", str(folder / "log"), "--output", str(out)]
    where += ["--partial", str(folder / "partial")]
    returned = failed_job.main(["--status", str(status), *where, "--job", write_job(job)])
    return returned, records.read(out) if out.is_file() else []


def test_a_job_that_fails_leaves_records_where_the_config_says_so(tmp_path):
    job = make_job(failures="record", parameter="channels", value=8, sequences=(1, 2))
    returned, done = fail(job, tmp_path)
    assert returned == 0
    assert {(r.what.method, r.how.backend, r.what.sequences) for r in done} == {
        (method, backend, number)
        for method, backend in (
            ("naive_ism", "tensorflow"),
            ("fast_ism", "tensorflow"),
            ("fast_ism", "torch"),
            ("fast_ism", "jax"),
        )
        for number in (1, 2)
    }
    assert {(r.result.status, r.result.reason) for r in done} == {("failed", "the reason")}
    assert {r.what.variant for r in done} == {"channels=8"}


def test_what_a_failed_job_has_recorded_is_kept(tmp_path):
    job = make_job(failures="record", sequences=(1, 64))
    done, _ = run(make_job(sequences=(1,)), torch=0.5)
    partial = Partial(tmp_path / "partial", job)
    partial.append(done)
    for _ in range(2):  # and once only, however often it is tried
        _, after = fail(job, tmp_path, status=137)
    assert after[: len(done)] == done
    added = after[len(done) :]
    assert ("fast_ism", "torch", 1) not in [
        (r.what.method, r.how.backend, r.what.sequences) for r in added
    ]
    assert {r.how.job for r in added} == {done[0].how.job}
    assert "signal 9. The system may have run out of memory" in added[0].result.reason


def test_an_interrupted_job_goes_on_and_counts_nothing_twice(tmp_path):
    job = make_job(sequences=(1, 2, 4))
    partial = Partial(tmp_path, job)

    def begin(number_of_groups=9):
        clock, (progress, _) = FakeClock(), make_progress()
        values = np.random.default_rng(0).normal(size=(4, 10, 4, 1)).astype(np.float32)
        methods = [
            FakeMethod("naive_ism", "tensorflow", clock, [1.0], values, [0, 9]),
            FakeMethod("fast_ism", "torch", clock, [0.5], values),
            FakeMethod("fast_ism", "jax", clock, [0.7], values),
        ]
        groups = measure_each(job, make_subject(4), methods, progress, clock, partial.read())
        for group, _ in zip(groups, range(number_of_groups), strict=False):
            partial.append(group)

    begin(1)  # and then it is killed
    first = partial.read()
    assert {r.what.sequences for r in first} == {1}
    begin()
    partial.finish(tmp_path / "out" / "records.jsonl")
    after = records.read(tmp_path / "out" / "records.jsonl")
    assert after[: len(first)] == first
    found = Counter((r.what.method, r.how.backend, r.what.sequences) for r in after)
    assert set(found.values()) == {1}
    # The fastest backend with one sequence is known from the records.
    assert {n for m, b, n in found if b == "jax"} == {1}
    assert {n for m, b, n in found if b == "torch"} == {1, 2, 4}
    assert not partial.path.exists()


def test_jobs_with_other_settings_or_data_are_not_mixed_up(tmp_path):
    paths = {
        Partial(tmp_path, make_job(budget=budget, data=data)).path
        for budget in (1e9, 5.0)
        for data in ("seed 1", "seed 2")
    }
    assert len(paths) == 4


def test_a_failure_stands_where_the_config_says_so(tmp_path):
    assert fail(make_job(), tmp_path, status=3) == (3, [])


def test_nothing_is_compared_with_a_naive_ism_that_failed():
    clock, (progress, _) = FakeClock(), make_progress()
    values = np.zeros((1, 10, 4, 1), np.float32)
    naive = FakeMethod("naive_ism", "torch", clock, [1.0], values, reason="No.")
    fast = FakeMethod("fast_ism", "torch", clock, [1.0], values)
    with pytest.raises(BenchmarkError, match=r"Nothing can be compared.*No\."):
        list(measure(make_job(sequences=(1,)), make_subject(1), [naive, fast], progress, clock))


# ---- sequences, models and records -----------------------------------------------------------


def test_sequences_may_be_joined_where_they_are_short(tmp_path):
    path = tmp_path / "some.fa"
    path.write_text(">a\nAAC\n>b\nGGT\n")
    letters = ["".join("ACGT"[i] for i in x.argmax(1)) for x in encoded(path, 8, joined=True)]
    assert letters == ["ACGGTAAC", "GTAACGGT"]
    with pytest.raises(FastISMError, match="'a' has 3 characters"):
        encoded(path, 8)


def test_records_that_lack_a_field_with_a_default_are_read():
    record = next(iter(records.read(ROOT / "benchmarks" / "records" / "library-cpu.jsonl")))
    assert record.what.variant == ""
    changed = dataclasses.replace(record, what=dataclasses.replace(record.what, variant="a=1"))
    assert Record.from_json(changed.to_json()) == changed


@pytest.mark.keras
def test_the_base_of_the_sweeps_takes_its_parameters():
    pytest.importorskip("keras")
    model = build("sweep_base", 64, conv_width=3, channels=8, conv_layers=2)
    kernels = [w.shape for w in model.get_weights() if w.ndim == 3]
    assert kernels == [(3, 4, 8), (3, 8, 8)]
    assert model.get_layer("fc1").kernel.shape == (16 * 8, 1000)
    with pytest.raises(FastISMError, match="sweep_base has no parameter colour; expected some of"):
        build("sweep_base", 64, colour=1)
    with pytest.raises(FastISMError, match=r"basset has no parameter channels; expected .*none"):
        build("basset", 64, channels=1)
    with pytest.raises(FastISMError, match="too short for 4 pools; expected at least 16"):
        build("sweep_base", 15)
    with pytest.raises(FastISMError, match="channels=0; expected at least 1"):
        build("sweep_base", 64, channels=0)

"""The benchmark without frameworks: timing, records, configs, agreement, tables."""

import dataclasses
import doctest
import importlib
import json
from pathlib import Path

import numpy as np
import pandas
import pytest
import yaml
from benchmark_fakes import (
    WHERE,
    FakeClock,
    FakeMethod,
    make_job,
    make_progress,
    make_record,
    make_subject,
)

from benchmarks import records
from benchmarks.architectures import ARCHITECTURES
from benchmarks.attribution.agreement import agreement
from benchmarks.clock import PeakMemory, Repeats, alternate, paired_ratio
from benchmarks.errors import BenchmarkError
from benchmarks.jobs.document import write_job
from benchmarks.jobs.select_sequences import encoded, select
from benchmarks.methods import Attribution, Method, discover
from benchmarks.methods.naive_ism import sample_size
from benchmarks.records import Result, compare
from benchmarks.records.record import main as tabulate_records
from benchmarks.timing.measure import main, measure, variants
from benchmarks.workflow.config import load_config, parse_config
from fastism.errors import FastISMError
from figures import speedup, speedup_table, style

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "workflows" / "config").glob("*.yaml"))


# ---- timing ----------------------------------------------------------------------------------


def test_runs_take_turns_and_only_they_are_timed():
    clock, order = FakeClock(), []

    def run(name, seconds):
        order.append(name)
        clock.now += seconds

    def announce(name, repeat):
        clock.now += 1000.0  # outside of what is timed

    runs = {"a": lambda: run("a", 3.0), "b": lambda: run("b", 0.5)}
    seconds = alternate(runs, Repeats(2, 2, 0.0), clock, announce)
    assert order == ["a", "b", "a", "b"]
    assert seconds == {"a": [3.0, 3.0], "b": [0.5, 0.5]}


@pytest.mark.parametrize(
    ("repeats", "expected"),
    [
        (Repeats(least=3, most=9, seconds=0.0), 3),
        (Repeats(least=1, most=9, seconds=9.5), 5),  # the fifth begins at 8 seconds
        (Repeats(least=1, most=4, seconds=1000.0), 4),
    ],
    ids=["least", "seconds", "most"],
)
def test_rounds_end_by_number_or_time(repeats, expected):
    clock = FakeClock()

    def run():
        clock.now += 2.0

    assert len(alternate({"a": run}, repeats, clock)["a"]) == expected


def test_ratio_is_paired_by_round():
    # The machine was slow by two in the last round, for both: the ratio does not see it.
    ratio = paired_ratio([10.0, 12.0, 20.0], [1.0, 1.0, 2.0])
    assert (ratio.median, ratio.least, ratio.most, ratio.pairs) == (10.0, 10.0, 12.0, 3)


@pytest.mark.parametrize(("slow", "fast"), [([], []), ([1.0, 2.0], [1.0])])
def test_ratio_refuses_what_is_not_paired(slow, fast):
    with pytest.raises(ValueError, match="expected as many of both"):
        paired_ratio(slow, fast)


@pytest.mark.parametrize("exact", [True, False])
def test_peak_memory_sees_what_is_freed_again(monkeypatch, exact):
    if not exact:
        monkeypatch.setattr("benchmarks.clock._reset_high_water", lambda: False)
    with PeakMemory() as memory:
        for _ in range(10):
            block = np.ones(2**24)  # 128 MiB
            block += 1
            del block
    assert memory.above == pytest.approx(2**27, rel=0.3)


# ---- records ---------------------------------------------------------------------------------


def test_records_come_back_as_they_were(tmp_path):
    path = tmp_path / "new" / "records.jsonl"
    first, second = make_record(), make_record(result=Result(status="refused", reason="ü"))
    records.append(path, [first])
    records.append(path, [second])
    assert records.read(path) == [first, second]
    assert len(path.read_text().splitlines()) == 2


def test_a_record_keeps_every_repeat_and_nothing_derived():
    content = json.loads(make_record().to_json())
    assert content["result"]["seconds"] == [1.0, 2.0, 4.0]
    assert "median" not in content["result"]
    assert set(content) == {"what", "how", "result", "where", "version"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["what"].pop("length"), "record.what: missing or unknown: length"),
        (lambda c: c["how"].update(colour="red"), "record.how: missing or unknown: colour"),
        (lambda c: c.update(version=99), "version 99; expected 1"),
    ],
    ids=["missing", "unknown", "version"],
)
def test_a_strange_record_is_refused_with_its_line(tmp_path, change, message):
    content = json.loads(make_record().to_json())
    change(content)
    path = tmp_path / "records.jsonl"
    path.write_text(f"{make_record().to_json()}\n{json.dumps(content)}\n")
    with pytest.raises(FastISMError, match=f"records.jsonl, line 2: .*{message}"):
        records.read(path)


def test_missing_and_torn_files_are_refused(tmp_path):
    with pytest.raises(FastISMError, match="There is no file"):
        records.read(tmp_path / "none.jsonl")
    (tmp_path / "torn.jsonl").write_text(make_record().to_json()[:50])
    with pytest.raises(FastISMError, match="not JSON"):
        records.read(tmp_path / "torn.jsonl")


def test_records_are_gathered_and_tabulated(tmp_path):
    for name, backend in (("a", "torch"), ("b", "jax")):
        records.append(tmp_path / f"{name}.jsonl", [make_record(backend=backend)])
    out, csv = tmp_path / "all.jsonl", tmp_path / "all.csv"
    files = [str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl")]
    for _ in range(2):  # the second time replaces, and does not append to, the first
        tabulate_records([*files, "--output", str(out), "--csv", str(csv)])
    table = pandas.read_csv(csv)
    assert list(table["how.backend"]) == ["torch", "jax"]
    assert list(table["result.median"]) == [2.0, 2.0]
    assert table["result.seconds"][0] == "[1.0, 2.0, 4.0]"


# ---- methods ---------------------------------------------------------------------------------


def test_every_file_of_the_folder_is_a_method():
    files = {path.stem for path in (ROOT / "benchmarks" / "methods").glob("*.py")}
    found = discover()
    assert {cls.__module__.rpartition(".")[2] for cls in found.values()} == files - {
        "__init__",
        "base",
    }
    assert {"naive_ism", "fast_ism"} <= set(found)
    assert all(issubclass(cls, Method) and cls.label for cls in found.values())


def test_fast_ism_has_a_variant_per_backend_and_naive_ism_one():
    made = variants(make_job())
    assert [(m.name, m.backend) for m in made] == [
        ("naive_ism", "tensorflow"),
        ("fast_ism", "tensorflow"),
        ("fast_ism", "torch"),
        ("fast_ism", "jax"),
    ]


def test_fast_ism_refuses_what_is_not_installed(monkeypatch):
    monkeypatch.setattr("benchmarks.methods.fast_ism.available_backends", lambda: ["torch"])
    reasons = {m.backend: m.refuse() for m in variants(make_job()) if m.name == "fast_ism"}
    assert reasons["torch"] is None
    assert "jax is not installed" in reasons["jax"]


@pytest.mark.parametrize("batch", [16, 32, 64, 128, 256, 512])
@pytest.mark.parametrize("sequences", [1, 4, 32])
@pytest.mark.parametrize("length", [1000, 2000])
def test_the_sample_of_naive_ism_fills_its_batches(batch, sequences, length):
    positions = sample_size(batch, 3 * sequences, length, 256)
    inputs = positions * 3 * sequences
    assert 1 <= positions <= length
    assert inputs / (-(-inputs // batch) * batch) >= 0.99
    assert inputs > 256 - 3 * sequences


def test_the_sample_is_at_most_everything():
    assert sample_size(512, 3, 20, 2000) == 20
    assert sample_size(512, 3, 200, 512) == 170


# ---- agreement -------------------------------------------------------------------------------


def attribution(values, positions=None):
    values = np.asarray(values, dtype=np.float32)
    return Attribution.of(values, np.arange(values.shape[1]) if positions is None else positions)


def effects(seed=0, shape=(2, 10, 4, 3)):
    return np.random.default_rng(seed).normal(5.0, 0.1, shape).astype(np.float32)


def test_agreement_is_in_units_of_the_effects():
    values = effects()
    other = values.copy()
    other[1, 4, 2, 0] += 0.003
    found = agreement(attribution(values), attribution(other))
    assert found.difference == pytest.approx(0.003, rel=1e-3)
    assert found.spread == pytest.approx(0.1, rel=0.1)
    assert found.within(0.05)
    assert not found.within(0.01)


def test_agreement_looks_at_the_positions_that_were_sampled():
    values = effects()
    other = values.copy()
    other[:, 3] = 0.0
    sampled = np.array([0, 5, 9])
    part = attribution(values[:, sampled], sampled)
    assert agreement(part, attribution(other)).difference == 0.0
    with pytest.raises(ValueError, match="lacks positions"):
        agreement(attribution(values), attribution(other[:, sampled], sampled))


def test_the_worst_output_counts():
    first, second = effects(0), effects(1)
    wrong = second + np.float32(0.05)
    every = np.arange(10)
    found = agreement(Attribution.of([first, second], every), Attribution.of([first, wrong], every))
    assert found.difference == pytest.approx(0.05, rel=1e-3)


def test_an_output_without_effects_may_differ_by_rounding_only():
    flat = np.full((1, 10, 4, 1), 3.0, dtype=np.float32)
    assert agreement(attribution(flat), attribution(np.nextafter(flat, 4))).within(0.01)
    assert not agreement(attribution(flat), attribution(flat + 1e-3)).within(0.01)
    assert not agreement(attribution(flat), attribution(flat * np.nan)).within(0.01)


# ---- a job -----------------------------------------------------------------------------------


def fake_methods(clock, values, **changes):
    naive = FakeMethod("naive_ism", "tensorflow", clock, [10.0, 30.0, 20.0], values, [0, 9])
    fast = {
        backend: FakeMethod("fast_ism", backend, clock, seconds, values)
        for backend, seconds in {
            "tensorflow": [4.0, 8.0, 6.0],
            "torch": [2.0, 3.0, 2.0],
            "jax": [5.0],
        }.items()
    }
    for backend, settings in changes.items():
        fast[backend] = dataclasses.replace(fast[backend], **settings)
    return [naive, *fast.values()]


def run_job(job=None, **changes):
    clock, (progress, written) = FakeClock(), make_progress()
    values = effects(shape=(2, 10, 4, 1))
    methods = fake_methods(clock, values, **changes)
    job = job or make_job()
    return list(measure(job, make_subject(), methods, progress, clock)), written.getvalue()


def test_a_job_records_every_method_and_how_they_compare():
    done, written = run_job()
    one = [r for r in done if r.what.sequences == 1]
    assert [(r.what.method, r.how.backend) for r in one] == [
        ("naive_ism", "tensorflow"),
        ("fast_ism", "tensorflow"),
        ("fast_ism", "torch"),
        ("fast_ism", "jax"),
    ]
    naive = one[0]
    assert naive.result.seconds == (10.0, 30.0, 20.0)
    assert (naive.what.positions, naive.how.extrapolated, naive.how.scale) == (2, True, 5.0)
    assert len({r.how.job for r in done}) == 1
    assert all(r.result.difference == 0.0 for r in one[1:])

    comparison = compare.compare(done)[0]
    assert comparison.best.how.backend == "torch"
    assert comparison.own.how.backend == "tensorflow"
    # Scaled by 5 and paired: 50 / 2, 150 / 3, 100 / 2.
    ratio = comparison.speedup(comparison.best)
    assert (ratio.median, ratio.least, ratio.most) == (50.0, 25.0, 50.0)
    assert comparison.floor(comparison.best) == 20.0
    assert "fake on torch, 1 sequence: 2 s per sequence (3 repeats)" in written


def test_many_sequences_are_given_to_the_models_framework_and_the_fastest():
    done, _ = run_job()
    assert [r.how.backend for r in done if r.what.sequences == 2][1:] == ["tensorflow", "torch"]
    done, _ = run_job(make_job(every_backend_up_to=2))
    assert len([r for r in done if r.what.sequences == 2]) == 4


def test_a_long_first_run_counts_where_one_round_is_enough():
    job = make_job(least=1, most=5, seconds=100.0, sequences=(2,))
    done, _ = run_job(job, torch={"durations": [200.0, 1.0]}, jax={"durations": [25.0]})
    found = {(r.what.method, r.how.backend): r for r in done}
    # Two sequences at 200 s each; no run follows, although the next ones would be short.
    long = found["fast_ism", "torch"]
    assert (long.result.seconds, long.how.warm_up) == ((400.0,), 0)
    assert found["naive_ism", "tensorflow"].result.seconds == (20.0,)
    short = found["fast_ism", "jax"]
    assert (short.result.seconds, short.how.warm_up) == ((50.0,), 1)
    assert compare.compare(done)[0].speedup(long).pairs == 1


def test_a_long_first_run_is_a_warm_up_where_several_rounds_are_wanted():
    done, _ = run_job(make_job(sequences=(1,)), torch={"durations": [200.0, 100.0, 300.0]})
    (found,) = (r for r in done if r.how.backend == "torch")
    assert (found.result.seconds, found.how.warm_up) == ((200.0, 100.0, 300.0), 1)


def test_what_cannot_run_says_why_and_does_not_stop_the_others():
    done, written = run_job(
        torch={"reason": "It is Sunday."}, jax={"error": MemoryError("too large")}
    )
    found = {r.how.backend: r.result for r in done if r.what.method == "fast_ism"}
    assert found["tensorflow"].status == "ok"
    assert (found["torch"].status, found["torch"].reason) == ("refused", "It is Sunday.")
    assert (found["jax"].status, found["jax"].reason) == ("failed", "MemoryError: too large")
    assert "It is Sunday." in written
    assert "MemoryError" in written


def test_a_job_that_can_compare_nothing_fails_with_the_reasons():
    reasons = {name: {"reason": f"No {name}."} for name in ("tensorflow", "torch", "jax")}
    with pytest.raises(BenchmarkError, match=r"Nothing can be compared.*No torch\."):
        run_job(**reasons)


def test_disagreement_fails_the_job():
    wrong = effects(shape=(2, 10, 4, 1))
    wrong[0, 9, 0] += 0.5
    with pytest.raises(BenchmarkError, match=r"fake on torch and naive ISM disagree on basset"):
        run_job(torch={"values": wrong})


def test_the_command_fails_with_a_message_and_leaves_no_records(tmp_path, capsys):
    short, out = tmp_path / "short.fa", tmp_path / "records.jsonl"
    short.write_text(">a\nACGT\n")
    where = ["--fasta", str(short), "--output", str(out), "--partial", str(tmp_path / "partial")]
    assert main(["--job", write_job(make_job()), *where]) == 1
    assert "'a' has 4 characters" in capsys.readouterr().out
    assert not out.exists()


# ---- configs ---------------------------------------------------------------------------------


@pytest.fixture
def quick():
    return yaml.safe_load((ROOT / "workflows" / "config" / "quick.yaml").read_text())


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_committed_configs_are_valid(path):
    config = load_config(path)
    assert config.name == path.stem
    assert (ROOT / config.fasta).is_file()
    assert all(
        job.length in ARCHITECTURES[job.architecture].lengths
        for job in config.jobs.values()
        if job.parameter != "sequence_length"
    )


def change(path, value):
    def apply(content):
        *parents, last = path
        for key in parents:
            content = content[key]
        content[last] = value

    return apply


@pytest.mark.parametrize(
    ("apply", "messages"),
    [
        (change(["colour"], "red"), ["top level: unknown key 'colour'"]),
        (change(["repeats", "mots"], 3), ["repeats: unknown key 'mots'; expected some of least"]),
        (change(["cases", 1, "size"], 3), ["cases.1: unknown key 'size'"]),
        (change(["data", "url"], "x"), ["data: unknown key 'url'"]),
        (change(["devices"], ["abacus"]), ["devices.0: 'abacus' is not one of ['cpu', 'gpu']"]),
        (change(["backends"], "fast"), ["backends: 'fast'"]),
        (change(["sequences"], [0]), ["sequences.0: 0 is less than the minimum"]),
        (change(["cases", 0, "architecture"], "enformer"), ["unknown architecture 'enformer'"]),
        (change(["methods"], ["magic"]), ["unknown method 'magic'; expected one of"]),
        (change(["repeats", "least"], 100), ["least=100 exceeds most"]),
        (lambda c: c.pop("tolerance"), ["'tolerance' is a required property"]),
        (
            lambda c: (c.update(colour="red"), c.update(seeds=1), c.update(warm_up="no")),
            ["unknown key 'colour', 'seeds'", "warm_up: 'no' is not of type 'integer'"],
        ),
    ],
    ids=[
        "key",
        "key of repeats",
        "key of a case",
        "key of data",
        "device",
        "backends",
        "sequences",
        "architecture",
        "method",
        "least above most",
        "nothing for a key",
        "several",
    ],
)
def test_a_wrong_config_is_refused_by_name(quick, apply, messages):
    apply(quick)
    with pytest.raises(FastISMError) as error:
        parse_config(quick, "mine.yaml")
    assert "mine.yaml" in str(error.value)
    for message in messages:
        assert message in str(error.value)


def test_a_case_cannot_be_listed_twice(quick):
    quick["cases"].append(quick["cases"][0])
    with pytest.raises(FastISMError, match="lists basset at 1000 twice"):
        parse_config(quick, "mine.yaml")


def test_a_case_may_have_its_own_sequences(quick):
    quick["cases"][0]["sequences"] = [8, 2]
    jobs = list(parse_config(quick, "mine.yaml").jobs.values())
    assert jobs[0].sequences == (2, 8)
    assert jobs[1].sequences == tuple(quick["sequences"])


def test_a_missing_config_is_refused(tmp_path):
    with pytest.raises(FastISMError, match="cannot be read"):
        load_config(tmp_path / "none.yaml")
    (tmp_path / "bad.yaml").write_text("a: [")
    with pytest.raises(FastISMError, match="not YAML"):
        load_config(tmp_path / "bad.yaml")


# ---- sequences -------------------------------------------------------------------------------


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "some.fa"
    path.write_text("".join(f">s{i}\n{'ACGT'[i] * 4}ACGT\n" for i in range(4)))
    return path


def test_more_sequences_begin_with_those_of_fewer(fasta):
    few, many = select(fasta, 2, 7), select(fasta, 4, 7)
    assert many[:2] == few
    assert {r.name for r in many} == {"s0", "s1", "s2", "s3"}
    with pytest.raises(FastISMError, match="has 4 sequences; cannot draw 5"):
        select(fasta, 5, 7)


def test_models_get_the_end_of_a_sequence(fasta):
    x = encoded(fasta, 5)
    assert x.shape == (4, 5, 4)
    assert x[2, :, :].argmax(1).tolist() == [2, 0, 1, 2, 3]
    with pytest.raises(FastISMError, match="'s0' has 8 characters"):
        encoded(fasta, 9)


def test_a_file_with_fewer_sequences_than_asked_for_is_an_error(fasta):
    assert (encoded(fasta, 5, count=3) == encoded(fasta, 5)[:3]).all()
    with pytest.raises(FastISMError, match="holds 4 sequences; 5 are asked for"):
        encoded(fasta, 5, count=5)


# ---- tables and figures ----------------------------------------------------------------------


def some_records():
    return [
        make_record("naive_ism", "tensorflow", (10.0, 30.0, 20.0), scale=5.0, macs=100.0),
        make_record("fast_ism", "tensorflow", (4.0, 8.0, 6.0)),
        make_record("fast_ism", "torch", (2.0, 3.0, 2.0)),
        make_record("fast_ism", "jax", result=Result(status="failed", reason="No\nmemory")),
    ]


def test_the_table_has_what_follows_from_the_records():
    rows = speedup_table.rows(compare.compare(some_records()))
    assert [(r["backend"], r["status"], r["best"]) for r in rows] == [
        ("torch", "ok", True),
        ("tensorflow", "ok", False),
        ("jax", "failed", False),
    ]
    best = rows[0]
    assert (best["naive_seconds"], best["naive_seconds_least"]) == (100.0, 50.0)
    assert (best["fast_seconds"], best["speedup"], best["macs_ratio"]) == (2.0, 50.0, 20.0)
    assert best["ratio_of_medians"] == 50.0
    text = speedup_table.markdown(some_records())
    cells = (
        "| Basset | 1000 | 1 | 100 | TensorFlow | 2 | PyTorch | TensorFlow 6 | **50** (25–50) "
        "| 17 (12–19) | 20.0 | – | 0.0001 |"
    )
    assert cells in text
    assert "A processor, 2 threads" in text
    assert "2026-01-02" in text
    assert "best batch size (128), timed at 200 evenly spaced positions" in text
    assert "- Basset at 1000 on JAX: failed. No memory" in text


def test_the_latest_job_of_a_case_counts():
    later = dataclasses.replace(WHERE, date="2026-01-03T00:00:00+00:00")
    again = [
        make_record("naive_ism", "tensorflow", (7.0,), job="b", where=later),
        make_record("fast_ism", "torch", (1.0,), job="b", where=later),
    ]
    for order in (some_records() + again, again + some_records()):
        (comparison,) = compare.compare(order)
        assert comparison.naive.result.seconds == (7.0,)


def test_a_later_job_that_did_not_run_hides_no_earlier_one():
    later = dataclasses.replace(WHERE, date="2026-01-03T00:00:00+00:00")
    skipped = Result(status="skipped", reason="No time")
    names = (("naive_ism", "tensorflow"), ("fast_ism", "torch"))
    again = [make_record(*name, result=skipped, job="b", where=later) for name in names]
    for order in (some_records() + again, again + some_records()):
        assert compare.compare(order) == compare.compare(some_records())
    assert compare.compare(again) == []


def test_first_calls_stand_in_a_table_of_their_own():
    call = make_record(
        result=Result(seconds=(3.25,), build_seconds=1.5, peak_bytes=2**29, macs=5.0)
    )
    call = dataclasses.replace(call, what=dataclasses.replace(call.what, kind="first_call"))
    text = speedup_table.markdown([*some_records(), call])
    assert "| Basset | 1000 | 1 | PyTorch | 1.5 | 3.2 | 512 |" in text


def test_no_records_give_a_sentence():
    assert speedup_table.markdown([]) == "Not measured yet.\n"


def test_the_figure_is_written_and_the_same_each_time(tmp_path):
    many = [
        *some_records(),
        make_record("naive_ism", "tensorflow", (100.0,), sequences=8, job="c"),
        make_record("fast_ism", "torch", (2.0,), sequences=8, job="c"),
    ]
    contents = []
    for name in ("one", "two"):
        paths = [tmp_path / f"{name}.svg", tmp_path / f"{name}.png"]
        with style.styled():
            style.write(speedup.plot(compare.compare(many)), paths)
        assert paths[1].stat().st_size > 10_000
        contents.append(paths[0].read_text())
    assert contents[0] == contents[1]


def test_committed_records_can_be_read():
    for path in (ROOT / "benchmarks" / "records").glob("*.jsonl"):
        assert records.read(path), f"{path.name} is empty"


@pytest.mark.parametrize(
    "name", ["benchmarks.clock", "benchmarks.methods.naive_ism"], ids=lambda n: n
)
def test_examples_run(name):
    done = doctest.testmod(importlib.import_module(name))
    assert done.attempted > 0
    assert done.failed == 0

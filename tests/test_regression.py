"""The regression check: what passes, what fails, what is measured again, and what is committed."""

import dataclasses
import io
import subprocess
import sys

import numpy as np
import pytest
from benchmark_fakes import WHERE, FakeClock, FakeMethod, make_progress, make_subject
from rich.console import Console

from benchmarks.regression import check as regression
from benchmarks.regression.baseline import (
    BEST,
    Baseline,
    Speedup,
    speedups_of,
    summarise,
    unjustified,
)
from benchmarks.regression.bounds import promised_bounds
from benchmarks.regression.counting import Count
from benchmarks.timing.measure import measure
from fastism.errors import FastISMError

CASE = ("basset", 10)
COUNTS = (Count("basset", 10, True, 100.0, 5.0), Count("basset", 10, False, 100.0, 4.0))
SPEEDUPS = (
    Speedup("basset", 10, "best", (20.0, 21.0, 19.0)),
    Speedup("basset", 10, "tensorflow", (10.0,)),
)


def make_baseline(**changes):
    values = {"fraction": 0.7, "counts": COUNTS, "speedups": SPEEDUPS, "where": WHERE}
    return Baseline(**{**values, **changes})


def records_of(tensorflow=1.0, torch=0.5):
    """What a job records in which naive ISM takes ten seconds and fast ISM as given."""
    clock, (progress, _) = FakeClock(), make_progress()
    values = np.random.default_rng(0).normal(size=(1, 10, 4, 1)).astype(np.float32)
    methods = [
        FakeMethod("naive_ism", "tensorflow", clock, [10.0], values),
        FakeMethod("fast_ism", "tensorflow", clock, [tensorflow], values),
        FakeMethod("fast_ism", "torch", clock, [torch], values),
    ]
    job = dataclasses.replace(regression.job_of(CASE), least=3, most=3)
    return list(measure(job, make_subject(1), methods, progress, clock))


def worse(findings):
    return [(finding.name, finding.kind) for finding in findings if not finding.passed]


def test_what_is_as_fast_as_before_passes_and_is_measured_once():
    calls = []

    def measure_cases(cases):
        calls.append(list(cases))
        return records_of()

    findings = regression.check(make_baseline(), COUNTS, measure_cases, WHERE)
    assert worse(findings) == []
    assert [f.found for f in findings] == [20.0, 25.0, 20.0, 10.0]
    assert calls == [[CASE]]


def test_a_slow_fast_method_fails_after_a_second_chance():
    calls = []

    def measure_cases(cases):
        calls.append(list(cases))
        return records_of(tensorflow=2.0, torch=1.0)

    findings = regression.check(make_baseline(), COUNTS, measure_cases, WHERE)
    assert worse(findings) == [
        ("basset 10, best", "measured"),
        ("basset 10, tensorflow", "measured"),
    ]
    assert calls == [[CASE], [CASE]]


def test_one_slow_run_is_forgiven():
    runs = iter([records_of(torch=2.0), records_of()])
    findings = regression.check(make_baseline(), COUNTS, lambda cases: next(runs), WHERE)
    assert worse(findings) == []


def test_only_the_framework_that_lost_its_speed_is_named():
    findings = regression.check(
        make_baseline(), COUNTS, lambda cases: records_of(tensorflow=2.0), WHERE
    )
    assert worse(findings) == [("basset 10, tensorflow", "measured")]


def test_a_worse_ratio_of_multiply_adds_fails_however_small_and_better_passes():
    slightly = [dataclasses.replace(COUNTS[0], fast=5.0001), COUNTS[1]]
    findings = regression.check(make_baseline(), slightly, lambda cases: records_of(), WHERE)
    assert worse(findings) == [("basset 10, equal widths", "counted")]
    better = [dataclasses.replace(count, fast=3.0) for count in COUNTS]
    assert worse(regression.check(make_baseline(), better, lambda cases: records_of(), WHERE)) == []


def test_what_can_no_longer_be_measured_or_counted_fails():
    findings = regression.check(make_baseline(), COUNTS[:1], lambda cases: [], WHERE)
    assert len(worse(findings)) == 3


@pytest.fixture
def command(monkeypatch, tmp_path):
    """Run the command on fakes; returns its exit status and what it printed."""
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")  # restored afterwards
    monkeypatch.setattr(regression.environment, "describe", lambda: WHERE)

    def run(*arguments, records=None, counts=COUNTS, baseline=None, measure=None):
        path = tmp_path / "baseline.json"
        if baseline:
            baseline.write(path)
        fake = measure or (lambda cases=(), times=1: records or records_of())
        monkeypatch.setattr(regression, "measured", fake)
        monkeypatch.setattr(regression, "counted", lambda: iter(counts))
        return regression.main(["--baseline", str(path), *map(str, arguments)])

    return run


def test_the_command_prints_a_table_and_names_what_regressed(command, capsys, tmp_path):
    records = tmp_path / "records.jsonl"
    assert command("--records", records, baseline=make_baseline()) == 0
    assert "Regressed" not in capsys.readouterr().out
    assert len(records.read_text().splitlines()) == 3

    slow = records_of(tensorflow=4.0, torch=4.0)
    assert command(baseline=make_baseline(), records=slow) == 1
    printed = capsys.readouterr().out
    assert "Regressed: basset 10, best (measured): 2.5×, expected at least 14×" in printed
    assert "Regressed: basset 10, tensorflow" in printed


# ---- another kind of processor -------------------------------------------------------------

#: Where the committed baseline is of. The plans promise 25 times (`COUNTS`).
ELSEWHERE = [
    pytest.param({"cpu": "Another processor"}, id="another processor"),
    pytest.param({"threads": 64}, id="more threads"),
]


@pytest.mark.parametrize("change", ELSEWHERE)
def test_elsewhere_the_command_says_so_and_compares_with_what_the_plan_promises(
    command, capsys, change
):
    there = dataclasses.replace(WHERE, **change)
    baseline = make_baseline(where=there)
    # 14 times: less than 0.7 of the baseline's 21 and more than half of 25.
    assert command(baseline=baseline, records=records_of(tensorflow=9.0, torch=10 / 14)) == 0
    printed = " ".join(capsys.readouterr().out.split())
    taken = f"it was taken on {there.cpu}, {there.threads} threads"
    assert f"There is no baseline of this kind of processor: {taken}" in printed
    assert "promised" in printed and "measured │" not in printed

    assert command(baseline=baseline, records=records_of(tensorflow=9.0, torch=10 / 12)) == 1
    printed = capsys.readouterr().out
    assert "Regressed: basset 10, best (promised): 12×, expected at least 12.5×." in printed
    assert "tensorflow" not in printed


def test_elsewhere_the_best_framework_counts_and_has_a_second_chance():
    there = dataclasses.replace(WHERE, cpu="Another processor")
    baseline = make_baseline(where=there)

    def check(*runs):
        left = iter(runs)
        return worse(regression.check(baseline, COUNTS, lambda cases: next(left), WHERE))

    assert check(records_of(tensorflow=0.5, torch=9.0)) == []
    slow = records_of(tensorflow=2.0, torch=2.0)
    assert check(slow, records_of()) == []
    assert check(slow, slow) == [("basset 10, best", "promised")]
    assert check([], []) == [("basset 10, best", "promised")]


def test_elsewhere_what_was_measured_before_of_this_commit_is_measured_again_only_if_it_fails(
    command, capsys, monkeypatch, tmp_path
):
    monkeypatch.setattr(regression, "CASES", (CASE,))
    baseline = make_baseline(where=dataclasses.replace(WHERE, cpu="Another processor"))
    for name, found in (("fast", records_of()), ("slow", records_of(torch=2.0, tensorflow=2.0))):
        regression.records.append(tmp_path / name, found)
    asked = []

    def measured(cases=(), times=1):
        asked.append(list(cases))
        return records_of() if cases else []

    def run(name):
        asked.clear()
        status = command("--earlier", tmp_path / name, baseline=baseline, measure=measured)
        return status, asked, "Measured before" in capsys.readouterr().out

    assert run("fast") == (0, [[]], True)
    assert run("slow") == (0, [[], [CASE]], True)
    assert run("missing") == (0, [[CASE]], False)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"commit": "another"}, id="commit"),
        pytest.param({"cpu": "Another processor"}, id="processor"),
        pytest.param({"threads": 64}, id="threads"),
    ],
)
def test_what_was_measured_of_something_else_does_not_count(change):
    there = make_baseline(where=dataclasses.replace(WHERE, cpu="A third processor"))
    earlier, records = regression.of_this_state, records_of()
    assert earlier(records, WHERE, there, [CASE]) == {CASE: records}
    changed = dataclasses.replace(WHERE, **change)
    assert earlier(records, changed, there, [CASE]) == {}


def test_what_was_measured_before_does_not_count_where_that_would_say_too_little():
    records, earlier = records_of(), regression.of_this_state
    there = make_baseline(where=dataclasses.replace(WHERE, cpu="Another processor"))
    assert earlier(records, WHERE, make_baseline(), [CASE]) == {}  # a baseline of this processor
    assert earlier(records[1:], WHERE, there, [CASE]) == {}  # naive ISM is missing
    assert earlier(records, WHERE, there, [("basset", 11)]) == {}
    for commit in ("", "abc+"):
        here = dataclasses.replace(WHERE, commit=commit)
        changed = [dataclasses.replace(record, where=here) for record in records]
        assert earlier(changed, here, there, [CASE]) == {}


def test_elsewhere_a_worse_plan_fails_and_does_not_lower_the_bound_of_the_baseline():
    there = dataclasses.replace(WHERE, cpu="Another processor")
    half_as_good = [dataclasses.replace(count, fast=2 * count.fast) for count in COUNTS]
    findings = regression.check(
        make_baseline(where=there), half_as_good, lambda cases: records_of(torch=1.0), WHERE
    )
    assert worse(findings) == [
        ("basset 10, equal widths", "counted"),
        ("basset 10, own widths", "counted"),
    ]


def test_the_committed_baseline_fits_the_bound_for_other_processors():
    """On the processor of the baseline, each run of each case reached half of the promise."""
    baseline = Baseline.read(regression.COMMITTED)
    bounds = promised_bounds(baseline, baseline.counts)
    assert [bound.key for bound in bounds] == [(*case, BEST) for case in regression.CASES]
    for bound in bounds:
        (speedup,) = (each for each in baseline.speedups if each.key == bound.key)
        assert min(*speedup.runs, *speedup.busy) >= bound.least


def test_the_exit_status_of_the_module_is_that_of_the_check(tmp_path):
    """What `make regression` depends on."""
    absent = ["--baseline", tmp_path / "absent.json"]
    command = [sys.executable, "-m", "benchmarks.regression", *absent]
    done = subprocess.run(command, cwd=regression.ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, "There is no baseline" in done.stdout) == (1, True)


def test_without_a_baseline_the_command_says_how_to_write_one(command, capsys):
    assert command() == 1
    assert "--update" in capsys.readouterr().out


def test_update_writes_the_runs_with_their_provenance(command, monkeypatch, tmp_path):
    monkeypatch.setattr(regression, "CASES", (CASE,))
    runs, busy = tmp_path / "runs.jsonl", tmp_path / "busy.jsonl"
    for path, count in ((runs, 3), (busy, 1)):
        for _ in range(count):
            regression.records.append(path, records_of())
    given = ["--update", "--runs", runs, "--busy-runs", busy, "--least-runs", 4]
    assert command(*given) == 0
    assert regression.os.environ["OMP_WAIT_POLICY"] == "PASSIVE"
    written = Baseline.read(tmp_path / "baseline.json")
    assert written.counts == COUNTS
    assert written.where == WHERE
    best = written.speedups[0]
    assert (best.name, best.runs, best.busy) == ("basset 10, best", (20.0,) * 3, (20.0,))


def test_update_adds_the_missing_runs_in_processes_of_their_own(command, monkeypatch, tmp_path):
    monkeypatch.setattr(regression, "CASES", (CASE,))
    runs, commands = tmp_path / "runs.jsonl", []

    def run(arguments, check):
        commands.append(arguments)
        regression.records.append(runs, records_of())
        return regression.subprocess.CompletedProcess(arguments, 0)

    monkeypatch.setattr(regression.subprocess, "run", run)
    assert command("--update", "--runs", runs, "--least-runs", 2) == 0
    assert [c[3:5] for c in commands] == [["--measure", str(runs)]] * 2


def test_update_refuses_a_spread_that_the_fraction_does_not_fit(command, monkeypatch, tmp_path):
    monkeypatch.setattr(regression, "CASES", (CASE,))
    runs = tmp_path / "runs.jsonl"
    for torch in (0.5, 0.5, 2.0):
        regression.records.append(runs, records_of(torch=torch))
    assert command("--update", "--runs", runs, "--least-runs", 3) == 1
    assert not (tmp_path / "baseline.json").exists()


def test_a_fraction_must_tell_chance_from_a_loss_of_half():
    steady = Speedup("basset", 10, "best", (10.0, 9.0, 11.0), busy=(12.0,))
    assert unjustified([steady], 0.7) == []
    assert "false alarm" in unjustified([steady], 0.95)[0]
    assert "would have passed" in unjustified([steady], 0.55)[0]


def test_every_run_counts_by_itself():
    (best, own) = summarise([*records_of(), *records_of(torch=0.4)])
    assert best.runs == (20.0, 25.0)
    assert own.runs == (10.0, 10.0)
    assert speedups_of([]) == {}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"version": 1', '"version": 9', "version 9; expected 1"),
        ('"fraction"', '"portion"', "missing or unknown fields"),
        ('"naive"', '"dear"', "missing or unknown fields"),
        ("{", "", "not JSON"),
    ],
)
def test_a_strange_baseline_is_refused(tmp_path, old, new, message):
    path = tmp_path / "baseline.json"
    make_baseline().write(path)
    assert Baseline.read(path) == make_baseline()
    path.write_text(path.read_text().replace(old, new, 1))
    with pytest.raises(FastISMError, match=message):
        Baseline.read(path)


def test_the_table_has_a_row_per_finding():
    findings = regression.check(make_baseline(), COUNTS, lambda cases: records_of(torch=5.0), WHERE)
    console = Console(record=True, width=120, file=io.StringIO())
    console.print(regression.table(findings, make_baseline()))
    text = console.export_text()
    assert all(finding.name in text for finding in findings)
    assert text.count("worse") == 1

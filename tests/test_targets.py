"""Targets: verdicts follow from the records."""

import dataclasses

import pytest
from benchmark_fakes import WHERE, make_record

from benchmarks.records import Result
from benchmarks.records.compare import first_calls
from figures.speedup_table import above_result, fractions, shown_fraction
from figures.targets import Target, main, targets


def found(records):
    return {t.name: t for t in targets(records)}


@pytest.mark.parametrize(
    ("at_least", "measured", "verdict"),
    [
        (True, 2.0, "met"),
        (True, 1.9, "not met"),
        (False, 2.0, "met"),
        (False, 2.1, "not met"),
        (True, None, "not run"),
    ],
)
def test_verdicts(at_least, measured, verdict):
    assert Target("", 2.0, at_least, measured).verdict == verdict


def test_nothing_measured_is_nothing_met():
    assert {t.verdict for t in targets([])} == {"not run"}


def test_speedup_and_fraction_are_of_one_sequence_and_the_named_backends():
    # 5 multiply-adds for 3000 mutants: 30,000 operations.
    half = Result(seconds=(1.0,), macs=5.0, rates=(6e4,))
    quick = Result(seconds=(0.1,), macs=5.0, rates=(3e5,))
    records = [
        make_record("naive_ism", "tensorflow", [31.0]),
        make_record("fast_ism", "torch", result=half),
        make_record("fast_ism", "jax", result=quick),
    ]
    now = found(records)
    speedup, fraction = (
        now["Basset 1000: speedup over naive ISM"],
        now["Basset 1000: fraction of floor"],
    )
    assert (speedup.measured, speedup.verdict) == (31.0, "met")
    assert (fraction.measured, fraction.verdict) == (0.5, "not met")
    assert shown_fraction(records[1]) == "0.50 (0.50–0.50)"
    assert fractions(records[1])["flops_per_second"] == 6e4
    assert shown_fraction(records[0]) == "–"


def test_other_methods_are_compared_by_sequences():
    now = found(
        [
            make_record("fast_ism", "torch", [0.5]),
            make_record("integrated_gradients", "tensorflow", [0.25]),
            make_record("fastism05", "tensorflow", [60.0]),
            make_record("fastism05", "tensorflow", [32.0], sequences=32),
        ]
    )
    one = now["Basset 1000: over fastISM 0.5.1, one sequence"]
    best = now["Basset 1000: over fastISM 0.5.1, each at its best number of sequences"]
    gradients = now["Basset 1000: seconds over those of integrated gradients, one sequence"]
    assert (one.measured, best.measured, gradients.measured) == (120.0, 2.0, 2.0)
    alone = found([make_record("fast_ism"), make_record("fastism05", "tensorflow", [60.0])])
    assert alone[best.name].verdict == "not run"
    assert (one.verdict, best.verdict, gradients.verdict) == ("met", "not met", "not met")


def test_other_jobs_and_machines_are_not_compared():
    other = dataclasses.replace(WHERE, cpu="Another")
    now = found(
        [
            make_record("fast_ism", "torch", [0.5]),
            make_record("integrated_gradients", "tensorflow", [0.25], job="b"),
            make_record("fastism05", "tensorflow", [60.0], where=other),
        ]
    )
    assert now["Basset 1000: over fastISM 0.5.1, one sequence"].measured is None
    name = "Basset 1000: seconds over those of integrated gradients, one sequence"
    assert now[name].measured is None


def test_modules_have_rows_of_their_own_where_they_were_timed():
    def pair(model, naive, fast):
        methods = (("naive_ism", [naive]), ("fast_ism", [fast]))
        made = [
            make_record(name, "torch", seconds, keras_backend="torch", job=model)
            for name, seconds in methods
        ]
        return [dataclasses.replace(r, how=dataclasses.replace(r.how, model=model)) for r in made]

    keras = pair("keras", 40.0, 1.0)
    peer = [make_record("fastism05", "tensorflow", [60.0])]
    both = found([*keras, *pair("torch", 10.0, 0.5), *peer])
    assert both["Basset 1000: speedup over naive ISM"].measured == 40.0
    assert both["Basset 1000, PyTorch module: speedup over naive ISM"].measured == 20.0
    # Other implementations are held against the Keras model, which they ran.
    assert both["Basset 1000: over fastISM 0.5.1, one sequence"].measured == 60.0
    assert not any("module" in name for name in found(keras))


def test_memory_is_counted_without_the_result_and_by_sequences():
    def call(number, peak, result):
        made = Result(seconds=(1.0,), peak_bytes=peak, result_bytes=result, build_seconds=1.0)
        return make_record(kind="first_call", sequences=number, result=made)

    records = [call(1, 1 << 30, None), call(32, 3 << 30, 1 << 30)]
    assert len(first_calls(records)) == 2
    assert above_result(records[1]) == 2 << 30
    now = found(records)
    name = "Basset 1000: peak memory above the model, GiB, "
    assert now[name + "one sequence"].verdict == "met"
    assert now[name + "32 sequences"].measured == 2.0


def test_files_are_written(tmp_path):
    records = tmp_path / "r.jsonl"
    records.write_text(make_record("fast_ism", "torch", [0.5]).to_json() + "\n")
    csv, text = tmp_path / "a" / "t.csv", tmp_path / "a" / "t.md"
    main(["--records", str(records), "--csv", str(csv), "--markdown", str(text)])
    assert len(csv.read_text().splitlines()) == 1 + len(targets([]))
    assert "not run" in text.read_text()


def test_what_is_shown_is_on_the_same_side_of_the_bound_as_what_was_measured():
    shown = [Target("x", 55.0, True, measured).shown for measured in (54.9712, 55.0, 61.44, None)]
    assert shown == ["54.97", "55", "61.4", "–"]
    assert Target("x", 1.5, False, 1.50004).shown == "1.50004"

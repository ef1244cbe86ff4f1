"""What a job does with the identity checks of its methods, and tables with their records."""

from dataclasses import dataclass, replace

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

from benchmarks import records
from benchmarks.attribution.agreement import Agreement
from benchmarks.methods import Check
from benchmarks.records import Record, Result, compare
from benchmarks.timing.measure import measure
from figures import speedup_table, summary


@dataclass
class FakeAttribution(FakeMethod):
    """A method with an identity."""

    exact = False
    residual: float | Exception = 0.25
    distance: Agreement | None = None

    def check(self, result):
        if isinstance(self.residual, Exception):
            raise self.residual
        return Check("the sum is right", self.residual, 0.5)

    def ism_error(self, result, exact):
        return self.distance

    @property
    def scale(self):
        return 7.0


def run_job(**changes):
    values = np.random.default_rng(0).normal(size=(2, 10, 4, 1)).astype(np.float32)
    clock, (progress, written) = FakeClock(), make_progress()
    naive = FakeMethod("naive_ism", "tensorflow", clock, [10.0], values, [0, 9])
    fast = FakeMethod("fast_ism", "tensorflow", clock, [4.0], values)
    other = FakeAttribution("gradient", "tensorflow", clock, [1.0], values, **changes)
    job = make_job(sequences=(1,), methods=("naive_ism", "fast_ism", "gradient"))
    done = list(measure(job, make_subject(), [naive, fast, other], progress, clock))
    return {record.what.method: record for record in done}, written.getvalue()


def test_an_identity_that_holds_is_recorded_with_its_residual():
    done, written = run_job()
    record = done["gradient"]
    assert record.result.status == "ok"
    assert (record.result.identity, record.result.residual) == ("the sum is right", 0.25)
    assert (record.how.extrapolated, record.how.scale) == (True, 7.0)
    assert record.result.difference is None
    assert "the sum is right: residual 0.25" in written
    # Exact methods have none: they are compared with naive ISM.
    assert (done["fast_ism"].result.identity, done["fast_ism"].result.residual) == ("", None)
    assert Record.from_json(record.to_json()) == record


@pytest.mark.parametrize("residual", [0.6, float("nan"), float("inf")])
def test_an_identity_that_does_not_hold_fails_the_method_and_no_other(residual):
    done, written = run_job(residual=residual)
    record = done["gradient"]
    assert record.result.status == "failed"
    assert "the sum is right: residual" in record.result.reason
    assert "expected at most 0.5" in record.result.reason
    assert record.result.seconds == ()
    assert done["fast_ism"].result.status == "ok"
    assert "the sum is right" in written
    assert Record.from_json(record.to_json()) == record


def test_a_check_that_breaks_fails_the_method():
    done, _ = run_job(residual=ValueError("no such thing"))
    assert done["gradient"].result.status == "failed"
    assert "The check failed. ValueError: no such thing" in done["gradient"].result.reason
    assert done["naive_ism"].result.status == "ok"


def test_an_approximation_is_recorded_with_its_distance_and_never_fails_for_it():
    done, written = run_job(distance=Agreement(difference=3.0, spread=1.0, rounding=0.0))
    assert done["gradient"].result.status == "ok"
    assert (done["gradient"].result.difference, done["gradient"].result.spread) == (3.0, 1.0)
    assert "approximates naive ISM to 3 at most" in written


def test_records_from_before_identities_can_still_be_read(tmp_path):
    path = tmp_path / "old.jsonl"
    line = make_record().to_json()
    old = line.replace(', "identity": "", "residual": null', "")
    assert old != line
    path.write_text(old + "\n")
    assert records.read(path) == [make_record()]


def test_the_summary_names_frameworks_that_are_much_slower():
    times = {"torch": (2.0,), "jax": (3.9,), "tensorflow": (9.0,)}
    (comparison,) = compare.compare(
        [
            make_record("naive_ism", "tensorflow", (10.0,)),
            *(make_record("fast_ism", name, seconds) for name, seconds in times.items()),
        ]
    )
    assert summary.slow_backends([comparison]) == [
        "Basset, 1000 bp: TensorFlow takes 4.5 times as long as PyTorch."
    ]


def test_a_speedup_over_naive_ism_that_is_known_to_be_faster_elsewhere_is_marked():
    def job(number, sequences, backend, seconds):
        made = [
            make_record("naive_ism", backend, (sequences * seconds,)),
            make_record("fast_ism", "torch", (sequences * 1.0,)),
        ]
        return [
            replace(
                r,
                what=replace(r.what, sequences=sequences),
                how=replace(r.how, job=f"{number}", keras_backend=backend),
            )
            for r in made
        ]

    def last(rows):
        cells = [line for line in speedup_table.markdown(rows).splitlines() if "| Basset" in line]
        return cells[-1]

    one, eight = job(1, 1, "jax", 8.0), job(2, 8, "tensorflow", 12.0)
    assert "| 12 (12–12) † |" in last([*one, *eight])
    assert "without naive ISM on JAX" in speedup_table.markdown([*one, *eight])
    # With that framework beside it, or hardly faster: as ever.
    assert "**8.0** (8.0–8.0) |" in last([*one, *eight, *job(3, 8, "jax", 8.0)])
    assert "**12** (12–12) |" in last([*job(1, 1, "jax", 11.5), *eight])


def test_tables_of_speedups_pass_over_other_methods():
    speedups = [
        make_record("naive_ism", "tensorflow", (10.0, 30.0, 20.0), scale=5.0, macs=100.0),
        make_record("fast_ism", "torch", (2.0, 3.0, 2.0)),
    ]
    settings = {"outputs": 919, "outputs_timed": 4}
    others = [make_record("gradient_x_input", "tensorflow"), make_record("deepshap", "tensorflow")]
    others = [replace(r, how=replace(r.how, settings=settings, scale=229.75)) for r in others]
    others.append(make_record("captum_deeplift_shap", result=Result(status="failed", reason="no")))
    every = [others[0], *speedups, *others[1:]]
    assert compare.compare(every) == compare.compare(speedups)
    assert speedup_table.markdown(every) == speedup_table.markdown(speedups)
    assert summary.table(compare.compare(every)).row_count == 1

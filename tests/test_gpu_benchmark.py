"""The table of GPUs: its order, its time, its records; one row run on the CPU."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")

from typer.testing import CliRunner  # noqa: E402

from benchmarks import records  # noqa: E402
from benchmarks.floor.products import Product  # noqa: E402
from benchmarks.floor.rate import makers  # noqa: E402
from benchmarks.gpu import measure, scoring  # noqa: E402
from benchmarks.gpu.__main__ import FILES, Table, main  # noqa: E402
from benchmarks.gpu.profiled import kernels_of, summed  # noqa: E402
from benchmarks.gpu.rows import ROWS, Row, quick  # noqa: E402
from benchmarks.records import environment  # noqa: E402
from benchmarks.records.compare import compare  # noqa: E402
from fastism import FastISM  # noqa: E402
from fastism.cli.app import application  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
#: Architecture, length and precision of the rows of the table that the issue asks for.
ASKED = {
    (name, length, precision)
    for name, lengths in {
        "basset": (1000, 2000),
        "factorized_basset": (1000,),
        "bpnet": (1000, 2000),
        "deepsea": (1000,),
        "beluga": (2000,),
    }.items()
    for length in lengths
    for precision in ("float32", "tf32")
}


def test_the_table_has_all_rows_and_fits_in_its_time():
    timed = [row for row in ROWS if row.kind == "throughput" and {1, 32} <= {*row.sequences}]
    assert {(r.architecture, r.length, r.precision) for r in timed} == ASKED
    assert len(timed) == len(ASKED)
    errors = {r.architecture for r in ROWS if r.kind == "errors"}
    assert errors == {name for name, _, _ in ASKED}
    # What users run with all its reading and writing comes last, where there is time for it.
    *table, last = ROWS
    assert sum(row.seconds for row in table) <= 480
    assert last.kind == "scoring" and last.length == 2000 and last.sequences == (2000,)
    assert all((row.kind, row.precision) in FILES for row in ROWS)


def test_what_does_not_fit_or_fails_is_said_and_the_rest_is_measured(capsys):
    now, kept = [0.0], []
    rows = [
        Row("throughput", name, 1000, seconds=s)
        for name, s in zip("abcd", (5, 5, 50, 5), strict=True)
    ]

    def measure(row: Row) -> Iterator[str]:
        now[0] += 6
        if row.architecture == "b":
            raise RuntimeError("no room")
        yield row.architecture

    def keep(row: Row, made: list[str]) -> None:
        kept.extend(made)

    table = Table(rows, 20.0, measure, keep, lambda: now[0])
    table.run()
    assert kept == ["a", "d"]
    assert [row.architecture for row, _ in table.left] == ["b", "c"]
    said = capsys.readouterr().out
    assert "RuntimeError: no room" in said and "needs about 50 s, 8 were left" in said


def test_a_quick_row_on_the_cpu_leaves_records(tmp_path, capsys):
    assert (
        main(
            [
                "--device",
                "cpu",
                "--quick",
                "--only",
                "throughput of factorized",
                "--output",
                str(tmp_path),
            ]
        )
        == 0
    )
    (path,) = tmp_path.iterdir()
    assert path.name == "torch-modules-cpu-quick.jsonl"
    naive, many, *fast = records.read(path)
    # Of naive ISM for each number of sequences, so that tables show both.
    assert [r.what.sequences for r in (naive, many)] == [1, 2]
    assert many.how.scale == 2 * naive.how.scale
    pairs = compare((naive, many, *fast))
    assert [c.naive.what.sequences for c in pairs] == [1, 2]
    assert naive.what.method == "naive_ism" and naive.how.batch_size == 32
    assert [r.what.sequences for r in fast] == [1, 2]
    assert {r.how.job for r in (naive, *fast)} == {naive.how.job}
    assert all(len(r.result.seconds) == len(naive.result.seconds) for r in fast)
    assert all(r.result.difference < 0.1 * r.result.spread for r in fast)
    assert "times naive" in capsys.readouterr().out


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_rates_of_products_are_taken_in_the_precision_of_the_row(monkeypatch, precision):
    asked = []
    product = Product("layer", 16, 16, 16, 32.0)
    monkeypatch.setattr(measure, "saturating_products", lambda *given: [product])
    monkeypatch.setattr(measure, "RATE_SECONDS", 1e-4)

    def ways(backend: str, rounded: str) -> dict:
        asked.append((backend, rounded))
        return makers(backend, rounded)

    monkeypatch.setattr(measure, "makers", ways)
    row = Row("throughput", "basset", 1000, precision)
    subject = SimpleNamespace(sequences=[0])
    rates = measure._rates(None, row, subject, 3)
    assert len(rates) == 3 and min(rates) > 0
    assert asked == [("torch", precision)]


def test_quick_rows_are_small():
    rows = quick(ROWS)
    assert len(rows) == len(set(rows)) and {row.kind for row in rows} >= {"errors", "attribution"}
    assert all(row.length <= 200 and max(row.sequences) <= 4 for row in rows)


def test_it_needs_neither_psutil_nor_keras():
    code = (
        "import sys; blocked = ('psutil', 'keras', 'pandas', 'snakemake', 'captum', 'tensorflow')\n"
        "for name in blocked: sys.modules[name] = None\n"
        "import benchmarks.gpu.__main__, benchmarks.gpu.measure, benchmarks.gpu.attribution\n"
        "print(benchmarks.gpu.measure.Setting.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stdout.strip() == "Setting", done.stderr


# ---- what users run ---------------------------------------------------------------------


#: A small model in place of the one of the row.
SMALL = """
import torch

def model():
    layers = torch.nn.Conv1d(4, 5, 7), torch.nn.ReLU(), torch.nn.Flatten()
    return torch.nn.Sequential(*layers, torch.nn.Linear(5 * ({length} - 6), 1)), (4, {length})
"""


def test_scoring_reads_windows_and_writes_both_files(tmp_path, monkeypatch, capsys):
    runner, made = CliRunner(), []

    def run(words: list[str]) -> None:
        made.append(words[0])
        words = [word for word in words if word not in ("--device", "cpu")]
        done = runner.invoke(application(), words)
        assert done.exit_code == 0, done.output
        if words[0] == "export":
            sizes.append([Path(words[i]).stat().st_size for i in (1, 3)])

    sizes: list[list[int]] = []
    assert "{architecture" in scoring.MODEL
    monkeypatch.setattr(scoring, "MODEL", SMALL)
    row = quick([row for row in ROWS if row.kind == "scoring"])[0]
    where = environment.describe("cpu")
    (record,) = scoring.measure(row, "cpu", where, run)
    assert made == ["score", "export"] * 3 and min(sizes[-1]) > 1000
    assert record.what.sequences == 4 and record.how.settings["few_sequences"] == 2
    assert "gpu_busy" not in record.how.settings and record.result.seconds[0] > 0
    assert records.Record.from_json(record.to_json()).what == record.what
    assert "4 sequences: " in capsys.readouterr().out


def test_what_all_sequences_take_and_how_busy_a_gpu_was():
    few, many = scoring.Run(10, 4.0, 1.0), scoring.Run(110, 12.0, 3.0, 0.81)
    assert scoring.projected(few, many, 1010) == 105.0
    assert scoring.projected(many, scoring.Run(200, 4.0, 1.0)) is None
    lines = scoring.told(many, 1234.0)
    assert "20.6 minutes (15 wanted" in lines[1] and "busy 81%" in lines[2]
    assert "starting prevails" in scoring.told(few, None)[1]
    assert scoring.busy_share("0, 90\n1, 0\n0, 70\n1, 10\nfailed\n") == pytest.approx(0.8)
    assert scoring.busy_share("") is None


def test_a_gpu_is_watched_while_something_runs(tmp_path, monkeypatch):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 0, 75\necho 0, 25\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    log = tmp_path / "busy.txt"
    with scoring.watched(log) as busy:
        while "25" not in log.read_text():
            time.sleep(0.01)
    assert busy() == 0.5
    monkeypatch.setenv("PATH", "")
    with scoring.watched(log) as busy:
        pass
    assert busy() is None


def test_without_a_gpu_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == 1
    assert "--device cpu --quick" in capsys.readouterr().out


def test_a_profile_says_what_takes_the_device_and_how_much_of_the_call_that_is():
    kinds = torch.autograd.DeviceType
    events = [
        SimpleNamespace(key="cudaLaunchKernel", device_type=kinds.CPU, count=7),
        SimpleNamespace(key="cuLaunchKernelEx", device_type=kinds.CPU, count=3),
        SimpleNamespace(key="aten::add", device_type=kinds.CPU, count=5),
        *(
            SimpleNamespace(key=key, device_type=kinds.CUDA, count=2, self_device_time_total=taken)
            for key, taken in (("b", 500.0), ("window" + "x" * 80, 3000.0), ("c", 500.0))
        ),
    ]
    made = summed(events)
    assert (made.launches, made.seconds) == (10, pytest.approx(4e-3))
    (name, seconds, count), *others = made.longest
    assert name.startswith("windowxx") and len(name) == 40 and (seconds, count) == (3e-3, 2)
    assert [each[0] for each in others] == ["b", "c"]
    line = made.shown(2, 0.01)
    assert line.startswith("on the device 2 of 5 ms a sequence, 10 launches; window")
    assert line.endswith("b 0.25 (2), c 0.25 (2)")


def test_the_kernels_of_a_model_are_named_by_layer():
    module = torch.nn.Sequential(torch.nn.Conv1d(4, 40, 3), torch.nn.ReLU(), torch.nn.Flatten())
    fast = FastISM(module.eval(), input_shape=(4, 30), test_correctness=False)
    x = torch.eye(4)[torch.arange(30) % 4].T[None].numpy()
    fast.saturate(x)
    names = kernels_of(fast)
    assert names and all(": " in part for part in names.split("; "))

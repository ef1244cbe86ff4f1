"""Records of a GPU stand beside those of a CPU in every figure and table; these are made up."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from benchmark_fakes import WHERE, make_record

from benchmarks.floor.products import Product
from benchmarks.floor.rate import RateProbe, makers
from benchmarks.records import append
from benchmarks.records.record import Record, dataclasses
from fastism.backends.precision import torch_rounds_to_tf32
from figures import floor, readme, style, sweeps, table1, table2, throughput
from figures.paper import read_paper

ROOT = Path(__file__).resolve().parents[1]
PAPER = read_paper(ROOT / "data" / "paper_p100_timings.csv")
NUMBERS = (1, 2, 8, 32, 128, 512)


def on(device: str, faster: float) -> list[Record]:
    """Basset and BPNet with several numbers of sequences, rates of products, a sweep."""
    where = dataclasses.replace(WHERE, gpu="A GPU" if device == "gpu" else "")
    made = []
    for name, length in (("basset", 1000), ("bpnet", 1000)):
        for number in NUMBERS:
            given = {"architecture": name, "length": length, "sequences": number, "where": where}
            given |= {"device": device, "job": f"{name} {number} {device}"}
            naive = [10.0 * number / faster] * 3
            fast = make_record("fast_ism", "torch", [0.5 * number / faster] * 3, **given)
            rates = dataclasses.replace(fast.result, rates=(1e9 * faster,) * 3)
            made += [
                make_record("naive_ism", "torch", naive, macs=100.0, **given),
                dataclasses.replace(fast, result=rates),
            ]
        given = {"architecture": name, "length": length, "device": device, "where": where}
        made.append(make_record("gradient_x_input", "torch", [0.01 / faster], **given))
    given = {"architecture": "sweep_base", "variant": "channels=256", "job": f"sweep {device}"}
    given |= {"device": device, "where": where}
    made += [
        make_record("naive_ism", "torch", [4.0 / faster], macs=100.0, **given),
        make_record("fast_ism", "torch", [0.5 / faster], **given),
    ]
    return made


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [*on("cpu", 1.0), *on("gpu", 40.0)]


def drawn(module, records):
    with style.styled():
        drawing = module.draw(records, PAPER)
        style.write(drawing.figure, [])
    return drawing


@pytest.mark.parametrize("module", [table1, table2], ids=["table 1", "table 2"])
def test_tables_have_rows_of_both_devices_beside_the_paper(records, module):
    drawing = drawn(module, records)
    rows = {row[0]: dict(zip(drawing.header, row, strict=True)) for row in drawing.body}
    cpu, gpu = rows["Basset, 1000 bp"], rows["Basset, 1000 bp (GPU)"]
    assert (cpu["fastISM"], gpu["fastISM"]) == ("50", "1.25")
    paper = {name: value for name, value in gpu.items() if name.startswith("paper: ")}
    assert paper == {name: cpu[name] for name in paper} and "–" not in paper.values()
    devices = {row["device"] for row in drawing.rows if row["fast_ism_seconds_per_100"]}
    assert devices == {"cpu", "gpu"}
    assert "A GPU" in drawing.caption


def test_sweeps_have_both_devices(records):
    drawing = drawn(sweeps, records)
    found = [row for row in drawing.rows if row.get("speedup")]
    assert [(row["device"], row["speedup"]) for row in found] == [("cpu", 8.0), ("gpu", 8.0)]
    assert all(row["paper_speedup"] for row in found)


def test_the_floor_has_both_devices_each_by_its_own_rate(records):
    drawing = drawn(floor, records)
    assert {row[0] for row in drawing.body} == {"Basset", "Basset (GPU)", "BPNet", "BPNet (GPU)"}
    rates = {row["device"]: row["flops_per_second"] for row in drawing.rows}
    assert rates == {"cpu": 1e9, "gpu": 4e10}
    assert len({round(row["fraction_of_floor"], 9) for row in drawing.rows}) == 1
    labels = [text.get_text() for text in drawing.figure.legends[0].get_texts()]
    assert "on a GPU: black edge" in labels
    only = drawn(floor, on("cpu", 1.0))
    assert "on a GPU: black edge" not in [t.get_text() for t in only.figure.legends[0].get_texts()]


def test_throughput_has_both_devices_from_1_to_512_sequences(records):
    drawing = drawn(throughput, records)
    of_gpu = [row for row in drawing.body if row[0] == "Basset, 1000 bp (GPU)"]
    assert [int(row[1]) for row in of_gpu] == list(NUMBERS)
    rates = {
        (row["device"], row["sequences"]): row["sequences_per_minute"]
        for row in drawing.rows
        if row["method"] == "fast_ism" and row["architecture"] == "basset"
    }
    assert rates["gpu", 512] == 40 * rates["cpu", 512] == 4800
    assert [row for row in drawing.body if row[0] == "Basset, 1000 bp"]


def test_the_readme_and_the_page_show_a_gpu(records, tmp_path):
    for name, device in (("library-cpu", "cpu"), ("library-gpu", "gpu")):
        append(tmp_path / f"{name}.jsonl", [r for r in records if r.how.device == device])
    for name in ("torch-modules-gpu", "torch-modules-tf32-gpu"):
        append(tmp_path / f"{name}.jsonl", on("gpu", 80.0))
    found = readme.committed(tmp_path)
    short = readme.short(found)
    assert "speedup (GPU)" in short and "no record" not in short.lower()
    assert "0.0125, PyTorch" in short
    page = readme.long(found, "../")
    assert page.count("Basset (GPU)") >= 3
    assert 'with `precision="tf32"`' in page and re.search(r"on a GPU, in single precision", page)


@pytest.mark.torch
@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_rates_are_measured_in_the_precision_asked_for(monkeypatch, precision):
    torch = pytest.importorskip("torch")
    seen = []
    real = torch.mm

    def multiplied(*given, **more):
        seen.append(torch_rounds_to_tf32())
        return real(*given, **more)

    monkeypatch.setattr(torch, "mm", multiplied)
    before = torch_rounds_to_tf32()
    ways = {"torch.mm": makers("torch", precision)["torch.mm"]}
    probe = RateProbe([Product("layer", 16, 16, 16, 32.0)], ways, seconds=0.001)
    assert probe.run() > 0
    assert set(seen) == {precision == "tf32"}
    assert torch_rounds_to_tf32() == before

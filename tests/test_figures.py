"""Tables and figures on a few fake records: what they show, and that what is missing is said."""

import base64
import csv
import dataclasses
import io
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pandas
import pytest
from benchmark_fakes import WHERE, make_record
from rich.console import Console

from benchmarks import records
from benchmarks.records import Result
from benchmarks.records.compare import compare, main_cases
from fastism.errors import FastISMError
from figures import (
    agreement,
    breakdown,
    choices,
    drawings,
    floor,
    opening,
    provenance,
    report,
    speedup,
    speedup_table,
    style,
    summary,
    sweeps,
    table1,
    table2,
    throughput,
)
from figures.drawings import DRAWINGS, SUFFIXES
from figures.paper import paper_seconds, read_paper

ROOT = Path(__file__).resolve().parents[1]
PAPER = read_paper(ROOT / "data" / "paper_p100_timings.csv")


def some_records():
    """Basset and BPNet, naive, fast and with gradients; a sweep, a peer, parts, correlations."""
    made = []
    for name, length, outputs in (("basset", 1000, 1), ("bpnet", 1000, 1001)):
        for number in (1, 8):
            given = {"architecture": name, "length": length, "sequences": number, "job": name}
            naive = [10.0 * number, 12.0 * number, 14.0 * number]
            made += [
                make_record("naive_ism", "tensorflow", naive, macs=100.0, **given),
                make_record("fast_ism", "torch", [0.5 * number] * 3, **given),
                make_record("fast_ism", "tensorflow", [0.6 * number] * 3, **given),
                make_record("deepshap", "tensorflow", [0.2 * outputs], **given),
            ]
    parts = {("naive_ism", "whole"): 9.0, ("naive_ism", "convolutions"): 6.0}
    parts |= {("fast_ism", "whole"): 0.5, ("fast_ism", "convolutions"): 0.4}
    for (method, part), seconds in parts.items():
        setting = {"kind": "breakdown", "settings": {"part": part}, "macs": seconds * 1e6}
        made.append(make_record(method, "tensorflow", [seconds, seconds + 1], **setting))
    for value, seconds in ((32, 4.0), (64, 9.0)):
        given = {"architecture": "sweep_base", "variant": f"channels={value}", "job": str(value)}
        made += [
            make_record("naive_ism", "tensorflow", [seconds], macs=100.0, **given),
            make_record("fast_ism", "torch", [0.5], **given),
        ]
    correlated = Result(correlations=(0.9, 0.8, 0.95))
    made.append(make_record("taylor_ism", "tensorflow", kind="agreement", result=correlated))
    made += [
        make_record("fastism05", "tensorflow", [2.0], settings={}),
        make_record("yuzu", result=Result(status="failed", reason="A singular\nmatrix")),
        make_record("naive_ism", result=Result(status="skipped", reason="Too long."), sequences=64),
    ]
    return made


MODULES = {
    "table1": table1,
    "table2": table2,
    "sweeps": sweeps,
    "floor": floor,
    "throughput": throughput,
    "breakdown": breakdown,
    "agreement": agreement,
}


@pytest.fixture(scope="module")
def drawn():
    with style.styled():
        found = {name: module.draw(some_records(), PAPER) for name, module in MODULES.items()}
    yield found
    for drawing in found.values():
        style.write(drawing.figure, [])


def table_of(drawing, *first):
    """The cells of the row of the Markdown table that begins with these cells."""
    rows = [list(row) for row in drawing.body if list(row[: len(first)]) == list(first)]
    assert len(rows) == 1, drawing.body
    return dict(zip(drawing.header, rows[0], strict=True))


def row_of(drawing, **wanted):
    rows = [row for row in drawing.rows if wanted.items() <= row.items()]
    assert len(rows) == 1, drawing.rows
    return rows[0]


def test_every_drawing_has_a_module_and_is_tested():
    assert list(DRAWINGS) == list(MODULES)


@pytest.mark.parametrize("name", DRAWINGS)
def test_every_drawing_is_written_in_every_format(drawn, name, tmp_path):
    drawing = drawn[name]
    paths = [tmp_path / f"{name}.{suffix}" for suffix in SUFFIXES]
    drawing.write(paths)
    assert paths[0].read_text().startswith("<?xml")
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    assert len(pandas.read_csv(paths[2])) == len(drawing.rows) > 0
    text = paths[3].read_text()
    assert "A processor, 2 threads" in text
    assert "2026-01-02" in text
    assert all(len(row) == len(drawing.header) for row in drawing.body)


@pytest.mark.parametrize("name", DRAWINGS)
def test_without_records_every_drawing_says_not_run(name, tmp_path):
    with style.styled():
        drawing = MODULES[name].draw([], PAPER)
        drawing.write([tmp_path / "x.svg", tmp_path / "x.csv"])
    assert "not run" in drawing.markdown() or not drawing.body
    assert "Nothing was measured." in drawing.caption


def test_an_unknown_format_is_refused(drawn, tmp_path):
    with pytest.raises(FastISMError, match=r"x\.xls; expected one of svg, png, csv, md"):
        drawn["floor"].write([tmp_path / "x.xls"])


def test_table1_stands_beside_the_paper_and_the_peers(drawn):
    cells = table_of(drawn["table1"], "Basset, 1000 bp")
    assert (cells["naive ISM"], cells["fastISM"], cells["speedup"]) == ("1200", "50", "24×")
    assert (cells["paper: naive ISM"], cells["paper: speedup"]) == ("27.4", "10.1×")
    assert (cells["fastISM 0.5.1"], cells["Yuzu 0.0.1"]) == ("200", "not run")
    assert any(
        "Yuzu 0.0.1" in note and "A singular matrix" in note for note in drawn["table1"].notes
    )
    row = row_of(drawn["table1"], architecture="basset", length=1000)
    assert row["fast_backend"] == "torch"
    assert row["paper_speedup"] == pytest.approx(27.36 / 2.7)


def test_table2_has_single_and_many_outputs(drawn):
    cells = table_of(drawn["table2"], "BPNet, 1000 bp")
    assert cells["outputs"] == "1001"
    assert (cells["DeepSHAP"], cells["paper: DeepSHAP"]) == ("2502", "1743")
    assert cells["integrated gradients"] == "not run"
    assert [row[1] for row in drawn["table2"].body][:4] == ["1"] * 4


def test_sweeps_have_our_values_and_those_of_the_paper(drawn):
    row = row_of(drawn["sweeps"], parameter="channels", value=64)
    assert (row["speedup"], row["macs_ratio"]) == (18.0, 20.0)
    assert row["paper_speedup"] == pytest.approx(10.71 / 1.85)
    missing = row_of(drawn["sweeps"], parameter="conv_width", value=5)
    assert "speedup" not in missing
    assert table_of(drawn["sweeps"], "width of the convolutions", "5")["speedup"] == "not run"


def test_the_floor_is_of_one_sequence_and_every_backend(drawn):
    rows = drawn["floor"].rows
    assert {(row["architecture"], row["backend"]) for row in rows} == {
        ("basset", "torch"),
        ("basset", "tensorflow"),
        ("bpnet", "torch"),
        ("bpnet", "tensorflow"),
    }
    row = row_of(drawn["floor"], architecture="basset", backend="torch")
    assert (row["speedup"], row["macs_ratio"], row["share"]) == (24.0, 20.0, 1.2)


def test_throughput_is_per_minute_and_by_number_of_sequences(drawn):
    fast = row_of(drawn["throughput"], architecture="basset", method="fast_ism", sequences=8)
    assert fast["sequences_per_minute"] == pytest.approx(120.0)
    assert fast["backend"] == "PyTorch"
    cells = table_of(drawn["throughput"], "Basset, 1000 bp", "1")
    assert (cells["naive ISM"], cells["fastISM 0.5.1"], cells["Yuzu 0.0.1"]) == ("5", "30", "–")


def test_the_dense_part_is_what_the_convolutions_leave(drawn):
    fast = row_of(drawn["breakdown"], method="fast_ism")
    assert fast["convolution_seconds_per_sequence"] == pytest.approx(0.9)
    assert fast["dense_seconds_per_sequence"] == pytest.approx(0.1)
    assert fast["dense_macs_per_mutant"] == pytest.approx(1e5)


def test_agreement_shows_every_sequence_and_names_what_is_missing(drawn):
    assert [row["spearman"] for row in drawn["agreement"].rows] == [0.9, 0.8, 0.95]
    assert table_of(drawn["agreement"], "Basset, 1000 bp", "Taylor ISM")["median"] == "0.900"
    assert table_of(drawn["agreement"], "Basset, 1000 bp", "DeepSHAP")["sequences"] == "not run"


# ---- choices ---------------------------------------------------------------------------------


def test_the_best_run_counts_whatever_its_backend_and_number_of_sequences():
    made = [
        make_record(backend="torch", seconds=[1.0], sequences=1),
        make_record(backend="jax", seconds=[4.0], sequences=8),
        make_record(backend="jax", seconds=[0.1], device="gpu"),
    ]
    assert choices.best(made, "fast_ism", ("basset", 1000), "cpu") is made[1]
    assert choices.best(made, "fast_ism", ("basset", 1000), "gpu") is made[2]
    assert choices.best(made, "deepshap", ("basset", 1000), "cpu") is None
    assert choices.devices(made) == ["cpu", "gpu"]
    assert choices.devices([]) == ["cpu"]


def on_two_frameworks():
    """BPNet: naive ISM is faster on JAX, fast ISM on PyTorch; Basset on TensorFlow only."""
    made = []
    for framework, seconds in (("tensorflow", 12.0), ("jax", 8.0)):
        given = {"keras_backend": framework, "job": framework, "architecture": "bpnet"}
        made += [
            make_record("naive_ism", framework, [seconds], **given),
            make_record("fast_ism", "torch", [1.0], **given),
        ]
    made.append(
        make_record("fast_ism", "tensorflow", [2.0], job="tensorflow", architecture="bpnet")
    )
    return [*made, make_record("naive_ism", "tensorflow", [20.0]), make_record(seconds=[1.0])]


def test_of_several_frameworks_the_fastest_naive_ism_is_the_baseline():
    assert len(compare(on_two_frameworks())) == 3
    bpnet, basset = main_cases(compare(on_two_frameworks()))
    assert bpnet.frameworks == ("jax", "tensorflow")
    assert bpnet.speedup(bpnet.best).median == 8.0
    other = bpnet.on("tensorflow")
    assert other.speedup(other.own).median == 6.0
    assert basset.frameworks == ("tensorflow",)
    assert basset.on("jax") is None


def test_the_table_names_the_framework_of_the_baseline():
    text = speedup_table.markdown(on_two_frameworks())
    columns = (
        "naive ISM, s | naive on | fastISM, s | fast on | on others, s | speedup | both on Ten"
    )
    assert columns in text
    row = "1000 | 1 | 8 | JAX | 1 | PyTorch | TensorFlow 2 | **8.0** (8.0–8.0) | 6.0 (6.0–6.0) |"
    assert f"| BPNet | {row}" in text
    assert "| Basset | 1000 | 1 | 20 | TensorFlow | 1 | PyTorch |  | **20** (20–20) | – |" in text
    assert "Naive ISM: on JAX or TensorFlow, whichever is fastest, compiled" in text
    assert "Speedups are of runs in turns within one job." in text
    assert speedup_table.APART not in text
    one = speedup_table.markdown(on_two_frameworks()[-2:])
    assert "Naive ISM: TensorFlow, compiled" in one
    assert "jobs of their own" not in one


def test_rows_of_the_csv_have_every_framework_and_mark_the_baseline():
    rows = speedup_table.rows(main_cases(compare(on_two_frameworks())))
    assert [(r["naive_backend"], r["fastest_naive"], r["backend"], r["best"]) for r in rows] == [
        ("jax", True, "torch", True),
        ("jax", True, "tensorflow", False),
        ("tensorflow", False, "torch", False),
        ("tensorflow", False, "tensorflow", False),
        ("tensorflow", True, "torch", True),
    ]


def test_a_backend_that_was_timed_beside_a_slower_baseline_only_is_compared_by_medians():
    made = [
        make_record("naive_ism", "jax", [6.0, 8.0, 9.0], keras_backend="jax", job="j"),
        make_record("fast_ism", "jax", [4.0, 4.0, 4.0], keras_backend="jax", job="j"),
        make_record("naive_ism", "tensorflow", [12.0, 12.0, 12.0], job="t"),
        make_record("fast_ism", "torch", [1.0, 2.0, 3.0], job="t"),
        make_record("fast_ism", "jax", [1.0, 1.0, 1.0], job="t"),  # timed beside the baseline too
    ]
    (main,) = main_cases(compare(made))
    assert [(r.how.backend, main.paired(r)) for r in main.fast] == [("torch", False), ("jax", True)]
    ratio = main.speedup(main.best)
    assert (ratio.median, ratio.least, ratio.most, ratio.pairs) == (4.0, 2.0, 9.0, 0)
    assert main.speedup(main.own).median == 2.0
    text = speedup_table.markdown(made)
    assert "| 8 | JAX | 2 | PyTorch | JAX 4 | **4.0** (apart) |" in text
    assert "(apart): naive and fast ISM were timed in two jobs" in text
    shown = [t.get_text() for panel in speedup.plot([main]).axes for t in panel.texts]
    assert "4.0×, two jobs" in shown


def test_a_panel_shows_the_most_sequences_of_every_case():
    made = []
    for number, architecture in ((1, "basset"), (8, "basset"), (32, "basset"), (8, "bpnet")):
        given = {"sequences": number, "architecture": architecture, "job": f"{number}"}
        made += [make_record("naive_ism", "tensorflow", **given), make_record(**given)]
    few, many = speedup.plot(main_cases(compare(made))).axes
    assert (few.get_title(), many.get_title()) == ("one sequence", "8 or 32 sequences in one call")
    assert [t.get_text() for t in many.texts if "seq." in t.get_text()] == [
        "1.0× (32 seq.)",
        "1.0× (8 seq.)",
    ]


def test_the_figure_and_the_summary_name_both_frameworks():
    comparisons = main_cases(compare(on_two_frameworks()))
    figure = speedup.plot(comparisons)
    shown = [text.get_text() for panel in figure.axes for text in panel.texts]
    assert shown == ["PyTorch", "JAX", "8.0×", "PyTorch", "TensorFlow", "20×"]
    columns = {c.header: list(c.cells) for c in summary.table(comparisons).columns}
    assert columns["naive on"] == ["JAX", "TensorFlow"]
    assert columns["fast on"] == ["PyTorch", "PyTorch"]


def test_devices_and_variants_are_cases_of_their_own():
    made = []
    for device, variant in (("cpu", ""), ("gpu", ""), ("cpu", "channels=32")):
        given = {"device": device, "variant": variant, "job": device + variant}
        made += [make_record("naive_ism", **given), make_record(**given)]
    assert len(compare(made)) == 3
    assert len(main_cases(compare(made))) == 2


def test_reasons_are_given_once():
    skipped = Result(status="skipped", reason="Too\nlong.")
    made = [make_record("deepshap", result=skipped, sequences=n) for n in (512, 64)]
    (reason,) = choices.reasons(made, ["deepshap"])
    assert reason == "DeepSHAP: Basset, 1000 bp on PyTorch from 64 sequences on: skipped. Too long."


def test_what_another_job_ran_is_not_missing():
    skipped = Result(status="skipped", reason="Too long.")
    failed = Result(status="failed", reason="NotImplementedError: attention")
    for result, told in ((skipped, []), (failed, ["Basset, 1000 bp on TensorFlow from 8"])):
        made = [
            make_record("deepshap", "tensorflow", result=result, sequences=8),
            make_record("deepshap", "torch", sequences=8),
        ]
        found = choices.reasons(made, ["deepshap"], by_number=True)
        assert [text in line for text, line in zip(told, found, strict=True)] == [True] * len(told)
    alone = [make_record("deepshap", result=skipped, sequences=n) for n in (8, 64)]
    ran = make_record("deepshap", "tensorflow", sequences=8)
    (reason,) = choices.reasons([*alone, ran], ["deepshap"], by_number=True)
    assert "from 64 sequences on" in reason
    assert choices.reasons([*alone, ran], ["deepshap"]) == []


def test_the_papers_timings_are_read():
    assert paper_seconds(PAPER, "naive_ism", "basset", 2000) == 100.44
    assert paper_seconds(PAPER, "naive_ism", "beluga", 2000) is None
    with (ROOT / "data" / "paper_p100_timings.csv").open() as file:
        lines = list(csv.reader(line for line in file if not line.startswith("#")))
    assert len(PAPER) == len(lines) - 1


# ---- report ----------------------------------------------------------------------------------


def test_the_report_gathers_everything_with_its_environment(tmp_path):
    made = some_records()
    elsewhere = dataclasses.replace(WHERE, cpu="A <second> processor")
    made.append(make_record(where=elsewhere))
    path = tmp_path / "records.jsonl"
    records.append(path, made)
    for name in DRAWINGS:
        (tmp_path / f"{name}.svg").write_text("<svg></svg>")
        table = "| a | b |\n| :-- | --: |\n| x < y | 1 |"
        notes = "Not run:\n\n- one\n- two\n"
        (tmp_path / f"{name}.md").write_text(
            f"### Title of {name}\n\n{table}\n\nCaption.\n\n{notes}"
        )
    (tmp_path / "targets.md").write_text("| target |  |\n| :-- | --: |\n| x | not met |\n\nNote.\n")
    (tmp_path / "speedup.svg").write_text("<svg>speedups</svg>")
    (tmp_path / "speedup.md").write_text("| model |\n| :-- |\n| **21** (apart) |\n\nLegend.\n")
    out = tmp_path / "report.html"
    given = ["--records", str(path), "--folder", str(tmp_path), "--output", str(out)]
    report.main(given)
    text = out.read_text()
    assert all(f'id="{name}"' in text and f"Title of {name}" in text for name in DRAWINGS)
    assert "<td class=left>x &lt; y</td><td>1</td>" in text
    assert "A &lt;second&gt; processor" in text
    assert text.count("</table></div>\n<details><summary>Not run, and why</summary>") == len(
        DRAWINGS
    )
    assert "<li>two</li>" in text
    assert "Caption." not in text  # the figure has it
    assert '<h2 id="targets">' in text and "<td>not met</td>" in text and "<p>Note.</p>" in text
    begin = text.partition("<nav>")[0]
    count = len(made)
    assert f"{count - 2} of {count} records ran; of the others, 1 failed, 1 skipped." in begin
    assert '<a href="#missing">Why</a>' in begin
    assert '<h2 id="missing">' in text

    assert '<h2 id="speedup">' in text and "<b>21</b> (apart)" in text and "<p>Legend.</p>" in text
    first = re.search(r"image/svg\+xml;base64,([^\"]+)", text).group(1)
    assert "speedups" in base64.b64decode(first).decode()

    (tmp_path / "targets.md").unlink()
    with pytest.raises(FastISMError, match=r"figures\.targets"):
        report.main(given)
    (tmp_path / "table2.svg").unlink()
    with pytest.raises(FastISMError, match=r"figures\.drawings table2"):
        report.main(given)
    (tmp_path / "speedup.md").unlink()
    with pytest.raises(FastISMError, match=r"speedup\.md.*figures\.speedup_table"):
        report.main(given)


def test_reasons_that_differ_in_numbers_only_are_one():
    def skipped(reason, **what):
        return make_record(result=Result(status="skipped", reason=reason), **what)

    made = [
        make_record(),
        skipped("2 runs take 13.5 s; 1,000 s\nare left."),
        skipped("4 runs take 7 s; 20 s are left.", method="naive_ism"),
        skipped("No memory."),
    ]
    assert opening.missing(made) == [
        ("2", "fast_ism, naive_ism", "… runs take … s; … s are left."),
        ("1", "fast_ism", "No memory."),
    ]
    assert opening.ran(made) == "1 of 4 records ran; of the others, 3 skipped."
    assert opening.ran(made[:1]) == "All records ran (1)."
    assert opening.ran([]) == "No records."
    commit = (WHERE.commit or "unknown")[: opening.SHORT]
    assert f"at commit {commit} (1)." in opening.commits(made)
    assert opening.commits(made[1:]) == ""


@pytest.mark.parametrize("name", [*DRAWINGS, "speedup"])
def test_the_report_hides_titles_that_its_headings_repeat(drawn, name, tmp_path):
    path = tmp_path / "x.svg"
    with style.styled():
        comparisons = main_cases(compare(some_records()))
        figure = speedup.plot(comparisons) if name == "speedup" else drawn[name].figure
        figure.savefig(path)
    markdown = f"### {name}\n\n| a |\n| :-- |\n| b |\n"
    text = report.page("study", some_records(), [(name, path.read_text(), markdown)], "")
    image = base64.b64decode(re.search(r"base64,([^\"]+)", text).group(1))
    root = ElementTree.fromstring(image)
    titles = [element for element in root.iter() if element.get("id") == style.TITLE_ID]
    assert len(titles) == 1
    rules = [e.text for e in root if e.tag.endswith("}style")]
    assert rules == [f"#{style.TITLE_ID}{{display:none}}"]
    assert text.count(f"{name}</h2>") == 1


def test_names_of_drawings_need_no_plotting_library():
    code = "import figures.drawings, sys; print('matplotlib' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


def test_the_command_draws_from_files(tmp_path):
    path, out = tmp_path / "records.jsonl", tmp_path / "new" / "floor.md"
    records.append(path, some_records())
    paper = ROOT / "data" / "paper_p100_timings.csv"
    drawings.main(["floor", "--records", str(path), "--paper", str(paper), "--output", str(out)])
    assert "| Basset | 1000 | PyTorch | 20.0 | 24.0 | 120% |" in out.read_text()


def test_a_caption_names_every_version_of_a_package_once():
    newer = dataclasses.replace(WHERE, versions={"numpy": "2.5.0", "shap": "0.51.0"})
    made = provenance.caption_of_systems([WHERE, newer, WHERE])
    assert made.endswith("with python 3.11.7, numpy 2.4.6 or 2.5.0, shap 0.51.0.")


def test_the_summary_fits_a_log():
    names = ("basset", "factorized_basset", "bpnet")
    records = [
        make_record(method, "tensorflow", seconds, architecture=name, job=name)
        for name in names
        for method, seconds in (("naive_ism", [19.23, 21.0]), ("fast_ism", [0.5592, 0.61]))
    ]
    stream = io.StringIO()
    table = summary.table(main_cases(compare(records)))
    Console(file=stream, width=80).print(table)
    printed = stream.getvalue()
    assert "…" not in printed
    assert printed.count("TensorFlow") == 2 * len(names)

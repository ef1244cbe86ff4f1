"""What README.md and docs/results.md show of committed records."""

import re
from pathlib import Path

import pytest
from benchmark_fakes import make_record

from benchmarks import records
from fastism.errors import FastISMError
from figures import readme

ROOT = Path(__file__).resolve().parents[1]


def library_records():
    """Basset: fastest on PyTorch, 50 times."""
    return [
        make_record("naive_ism", "tensorflow", (10.0, 30.0, 20.0), scale=5.0, macs=100.0),
        make_record("fast_ism", "tensorflow", (4.0, 8.0, 6.0)),
        make_record("fast_ism", "torch", (2.0, 3.0, 2.0)),
    ]


def test_a_text_is_renewed_between_its_markers():
    text = f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n"
    once = readme.filled(text, "new\n")
    assert once == f"before\n{readme.BEGIN}\n\nnew\n\n{readme.END}\nafter\n"
    assert readme.filled(once, "new") == once
    with pytest.raises(FastISMError, match="needs one line"):
        readme.filled("nothing\n", "new")


def cells(table):
    """Rows of a Markdown table by their first cell; the header is that of `model`."""
    rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line[:1] == "|"]
    return {row[0]: row[1:] for row in rows}


def test_the_readme_has_a_row_for_each_architecture_and_says_what_was_not_measured():
    library, on_gpu = readme.LIBRARY
    longer = [
        make_record("naive_ism", "tensorflow", (900.0,), sequences=8, job="c"),
        make_record("fast_ism", "torch", (2.0,), sequences=8, job="c"),
        make_record("naive_ism", "tensorflow", (400.0,), architecture="bpnet", job="d"),
        make_record("fast_ism", "torch", (40.0,), architecture="bpnet", job="d"),
    ]
    shown = readme.short({library: [*library_records(), *longer]})
    rows = cells(shown)
    assert list(rows) == ["model", ":--", "Basset", "BPNet"]
    assert "**50** (25–50)" in rows["Basset"]
    assert "**10** (10–10)" in rows["BPNet"]
    assert rows["model"][-1] == "GPU"
    assert rows["Basset"][-1] == rows["BPNet"][-1] == readme.NO_RECORD
    assert "No record of a GPU" in shown

    gpu = [
        make_record("naive_ism", "torch", (6.0,), device="gpu", job="g"),
        make_record("fast_ism", "torch", (2.0,), device="gpu", job="g"),
    ]
    shown = readme.short({library: library_records() + longer, on_gpu: gpu})
    rows = cells(shown)
    assert rows["model"][-1] == "speedup (GPU)"
    assert rows["Basset"][-1] == "**3.0** (3.0–3.0)"
    assert rows["BPNet"][-1] == readme.NO_RECORD
    assert "No record of a" not in shown
    assert readme.short({}) == readme.long({}, "") == "Not measured yet."


def test_the_page_of_results_has_the_tables_of_each_file():
    made = readme.long({readme.LIBRARY[0]: library_records(), "elsewhere.jsonl": []}, "../")
    assert f"(../{readme.FIGURE.as_posix()}.svg)" in made
    assert "**50** (25–50)" in made
    assert all(source.about not in made for source in readme.SOURCES if source.about)
    both = readme.long({source.file: library_records() for source in readme.SOURCES}, "../")
    assert both.startswith(made)
    assert [both.count(source.about) for source in readme.SOURCES if source.about] == [1] * 6


def test_readme_and_page_show_the_committed_records():
    """Renew them with `snakemake --cores all write_readme_table`."""
    records = readme.committed(ROOT / readme.FOLDER)
    text, page = ((ROOT / name).read_text() for name in ("README.md", "docs/results.md"))
    assert text == readme.filled(text, readme.short(records))
    assert page == readme.filled(page, readme.long(records, "../"))


def test_readme_page_and_figure_are_written_together(tmp_path):
    folder = tmp_path / "records"
    folder.mkdir()
    records.append(folder / readme.LIBRARY[0], library_records())
    texts = [tmp_path / "README.md", tmp_path / "docs" / "results.md"]
    for text in texts:
        text.parent.mkdir(exist_ok=True)
        text.write_text(f"{readme.BEGIN}\n{readme.END}\n")
    flags = [f for pair in zip(("--readme", "--page"), map(str, texts), strict=True) for f in pair]
    readme.main(["--records", str(folder), *flags])
    assert all("**50** (25–50)" in text.read_text() for text in texts)
    assert (tmp_path / readme.FIGURE).with_suffix(".svg").is_file()


def test_the_workflow_and_the_readme_mean_the_same_records():
    rule = (ROOT / "workflows" / "rules" / "readme.smk").read_text()
    first = rule.partition("rule write_targets_table")[0]
    named = re.findall(r'"([\w-]+)"', first.partition("input:")[2].partition("params:")[0])
    assert [f"{name}.jsonl" for name in named] == [source.file for source in readme.SOURCES]

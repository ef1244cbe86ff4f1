"""The page of a run: its numbers, its figures, and that it loads nothing and trusts no name."""

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

for needed in ("typer", "h5py", "logomaker"):
    pytest.importorskip(needed, reason="the command line needs it")

from cli_cases import invoke, succeed  # noqa: E402
from score_files import AMBIGUOUS, HEADER, batch, shards, store  # noqa: E402

from fastism.cli.exit_codes import Exit  # noqa: E402
from fastism.report.summary import of_outputs, of_sequences  # noqa: E402
from fastism.store import OutputHeader, Store, StoreWriter  # noqa: E402
from fastism.store.selection import Selected  # noqa: E402

VOID = {"meta", "input", "br", "img", "link"}


class Page(HTMLParser):
    """Elements that are open, cells of tables by id, ids, and what would be loaded."""

    def __init__(self, text):
        super().__init__()
        self.open, self.rows, self.ids, self.loads = [], {}, [], []
        self.table = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        if tag == "table":
            self.table = self.rows.setdefault(given.get("id"), [])
        if tag == "tr" and self.table is not None:
            self.table.append([])
        if tag in ("td", "th"):
            self.table[-1].append("")
        self.ids += [given["id"]] if "id" in given else []
        names = ("src", "href", "xlink:href", "action", "data")
        found = [given[n] for n in names if n in given and not given[n].startswith(("#", "data:"))]
        self.loads += found + re.findall(r"url\((?!['\"]?#)[^)]*\)", given.get("style", "") or "")
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag
        self.table = None if tag == "table" else self.table

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th", "button") and self.table:
            self.table[-1][-1] += data


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """Row 2 has a name that is HTML; row 3 was skipped; one number of row 5 is NaN."""
    path = tmp_path_factory.mktemp("report") / "scores.h5"
    header = replace(HEADER, not_finite="keep", model="<b>model</b>.keras")
    with StoreWriter.create(path, header) as writer:
        for start in range(0, header.expected, header.batch):
            rows = range(start, min(start + header.batch, header.expected))
            regions, one_hot, references, deltas = batch(header, [n for n in rows if n != 3])[:4]
            regions = [
                replace(r, name="<script>alert(1)</script>") if r.name.startswith("peak2") else r
                for r in regions
            ]
            for number, region in enumerate(regions):
                if region.name.startswith("peak5"):
                    deltas[0][number, 2, 1, 0] = np.nan
            skipped = [("peak3", "ambiguous letter: N at 3")] if 3 in rows else []
            writer.append(regions, one_hot, references, deltas, skipped)
        writer.complete()
    return path


def test_the_page_has_every_sequence_and_loads_nothing(tmp_path, scores):
    out = tmp_path / "page.html"
    assert succeed("report", scores, "-o", out, "--first", 2).stdout == f"{out}\n"
    text = out.read_text()
    page = Page(text)
    assert page.open == [] and page.loads == []
    assert len(set(page.ids)) == len(page.ids)
    assert "default-src 'none'" in text
    head, *rows = page.rows["sequences"]
    assert head[0] == "sequence" and len(rows) == 10
    assert {row[0] for row in rows} >= {"peak0 é", "<script>alert(1)</script>"}
    assert [row[3] for row in rows if row[0] == "peak5 é"] == ["–"]
    assert "<script>alert" not in text and "<b>model" not in text
    assert page.rows["skipped"][1] == [
        "ambiguous letter",
        "1",
        "peak3: ambiguous letter: N at 3",
    ]
    about = dict(page.rows[None])
    assert about["model"].startswith("<b>model</b>.keras (SHA-256 ab12)")
    assert about["versions"] == "fastism-suite 0.6.0, numpy 2.0.0"
    assert [row[0] for row in page.rows["outputs"][1:]] == [
        "signal:0",
        "signal:4",
        "signal:5",
        "counts",
    ]
    assert text.count("<svg ") == 1 + 2  # along the sequence, and the first two
    assert "Effects on peak1 é" in text


def test_the_same_scores_give_the_same_bytes_and_shards_the_same_table(tmp_path):
    pages = []
    for name in "ab":
        whole = store(tmp_path / "scores.h5" if name == "a" else tmp_path / "again" / "scores.h5")
        succeed("report", whole, "-o", tmp_path / f"{name}.html", "--strongest", 1)
        pages.append((tmp_path / f"{name}.html").read_text())
        (tmp_path / "again").mkdir(exist_ok=True)
    assert pages[0] == pages[1]
    succeed("report", *shards(tmp_path), "-o", tmp_path / "c.html", "--strongest", 0)
    joined = Page((tmp_path / "c.html").read_text())
    assert joined.rows["sequences"] == Page(pages[0]).rows["sequences"]


def test_numbers_are_those_of_the_scores(scores):
    with Store(scores) as opened:
        found, mean = of_sequences(Selected(opened, "0:4"))
        deltas = opened.deltas(0, slice(0, 10))[..., 1]
        one_hot = opened.one_hot(slice(0, 10))[:, 5:25]
        names = opened.column("names")
        outputs = of_outputs(opened)
        unknown = of_sequences(Selected(opened, "0:0"))[0]
    for number in range(10):
        low = found[number].lowering
        assert low.effect == deltas[number].min()
        row = low.position - 5
        assert deltas[number, row, "ACGT".index(low.after)] == low.effect
        letter = "ACGT"[one_hot[number, row].argmax()] if one_hot[number, row].any() else "N"
        assert low.before == letter
        place = found[number].place
        base = place.first + place.step * low.position
        assert low.where == f"{place.chrom}:{base}-{base + 1}"
    alternatives = 4 - one_hot.any(2)
    along = np.abs(deltas).sum(2) / alternatives
    np.testing.assert_allclose(mean, along.mean(0), rtol=1e-5)
    assert not one_hot[names.index(f"peak{AMBIGUOUS} é")].any(1).all()
    assert all(each.finite for each in found)
    assert [each.place.name for each in unknown if not each.finite] == ["peak5 é"]
    counts = outputs[-1]
    assert counts.name == "counts" and counts.references[0] <= counts.references[1]


def test_long_sequences_are_drawn_around_the_strongest_effect(tmp_path):
    outputs = (OutputHeader("counts", ()),)
    header = replace(HEADER, length=260, positions=(5, 255), outputs=outputs, expected=1)
    path = store(tmp_path / "long.h5", header)
    succeed("report", path, "-o", tmp_path / "long.html", "--highlight", "5:255")
    text = (tmp_path / "long.html").read_text()
    first, last = map(int, re.search(r"Positions (\d+) to (\d+) of peak0", text).groups())
    assert last - first == 200 and first >= 5 and last <= 255
    position = int(re.search(r"at position (\d+)", text)[1])
    assert first <= position < last


def test_a_run_that_scored_nothing_says_why(tmp_path):
    path = store(tmp_path / "none.h5", replace(HEADER, expected=2), skip=(0, 1))
    succeed("report", path, "-o", tmp_path / "none.html")
    page = Page((tmp_path / "none.html").read_text())
    assert page.rows["skipped"][1] == ["other", "2", "peak0: N at 3"]
    assert "sequences" not in page.rows


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["-o", "x.pdf"], Exit.USAGE, "must end in one of .html"),
        (["-o", "x.html", "--sequence", "none"], Exit.USAGE, "no sequence 'none'"),
        (["-o", "x.html", "--output", "7"], Exit.USAGE, "no output 7"),
        (["-o", "x.html", "--strongest", "500"], Exit.USAGE, "at most 100 figures"),
        (["-o", "x.html", "--annotate", "no.bed"], Exit.INPUT, "no.bed"),
    ],
)
def test_what_is_refused_is_one_line(tmp_path, monkeypatch, scores, arguments, code, message):
    monkeypatch.chdir(tmp_path)
    ended = invoke("report", scores, *arguments)
    assert (ended.exit_code, message in ended.stderr) == (code, True), ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []

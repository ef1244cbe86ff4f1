"""Figures of scans, haplotypes, designs and several models, and the files they are drawn from."""

import numpy as np
import pytest
from cli_cases import invoke, succeed
from matplotlib.patches import Rectangle
from score_files import store

from fastism import plot
from fastism.batch.design_files import read_steps, write_steps
from fastism.batch.haplotype_files import COLUMNS as HAPLOTYPES
from fastism.batch.scan_files import ScanHeader, scan_writer
from fastism.batch.scan_reader import ScanFile
from fastism.cli.exit_codes import Exit
from fastism.design import Evolution, Substitution
from fastism.errors import FastISMError
from fastism.genomics.named import interval_of
from fastism.genomics.regions import Region
from fastism.plots import haplotypes
from fastism.plots import scans as scan_figures
from fastism.scans.result import Scan

LENGTH, POSITIONS = 30, np.arange(5, 25)
NAMES = ("peak", "chr2:100-130(-)")
STEPS = (
    Substitution(0, 1, 7, 0, 2, 1.5),
    Substitution(0, 2, 3, -1, 3, 2.5),
    Substitution(0, 2, 9, 1, 0, 2.5),
    Substitution(1, 1, 4, 2, 1, -3.0),
)


def lines_of(panel):
    return {line.get_label(): line.get_ydata() for line in panel.lines}


def test_haplotypes_lie_on_the_diagonal_unless_they_are_not_additive():
    summed = np.array([0.5, -1.0, 2.0, 0.0])
    joint = np.array([0.5, -1.0, 1.0, 0.2])
    figure = plot.plot_haplotypes(joint, summed, names=list("abcd"), output="signal")
    (panel,) = figure.axes
    shown = {line.get_label(): line.get_xydata() for line in panel.lines}
    np.testing.assert_array_equal(shown["additive (2)"], [[0.5, 0.5], [-1, -1]])
    np.testing.assert_array_equal(shown["not additive (2)"], [[2, 1], [0, 0.2]])
    assert [text.get_text() for text in panel.texts] == ["c", "d"]  # the furthest first
    assert panel.get_ylabel() == "joint effect on signal"
    told = plot.plot_haplotypes(joint, summed, additive=[True] * 4, look=plot.Look(limit=3.0))
    assert "additive (4)" in lines_of(told.axes[0])
    assert told.axes[0].get_xlim() == told.axes[0].get_ylim() == (-3.0, 3.0)


@pytest.mark.parametrize(
    ("joint", "names", "message"),
    [
        ([1.0, 2.0, 3.0], "", "expected \\(haplotypes,\\)"),
        ([1.0, np.nan], "", "NaN or infinite"),
        ([1.0, 2.0], "abc", "2 haplotypes and 3 names"),
    ],
    ids=["shape", "nan", "names"],
)
def test_haplotypes_that_cannot_be_drawn_are_refused(joint, names, message):
    with pytest.raises(FastISMError, match=message):
        plot.plot_haplotypes(joint, [1.0, 2.0], names=names)


def test_models_have_a_band_around_the_strongest_mean_effect():
    deltas = np.array([[0.0, 1.0, -3.0], [0.5, -0.25, 0.0]])
    sd = np.array([[9.0, 9.0, 0.5], [0.25, 9.0, 9.0]])
    (panel,) = plot.plot_folds(deltas, sd, start=10, highlights=[(1, 2)]).axes
    np.testing.assert_array_equal(lines_of(panel)["mean"], [-3.0, 0.5])
    (band,) = panel.collections
    corners = {tuple(point) for point in band.get_paths()[0].vertices}
    assert {(0, -3.5), (0, -2.5), (1, 0.25), (1, 0.75)} <= corners
    with pytest.raises(FastISMError, match="expected \\(positions, characters\\) of both"):
        plot.plot_folds(deltas, sd[:1])
    with pytest.raises(FastISMError, match="NaN or infinite"):
        plot.plot_folds(deltas, sd * np.inf)


def test_a_design_has_a_dot_for_each_step_and_marks_what_changed():
    one_hot = np.eye(4)[np.arange(8) % 4]
    effects = plot.Effects((1 - one_hot) * 0.5, one_hot, "before", start=2)
    figure = plot.plot_design(STEPS[:3], 1.0, logos=[effects], output="logit")
    steps, logo = figure.axes
    np.testing.assert_array_equal(steps.lines[0].get_xydata(), [[0, 1.0], [1, 1.5], [2, 2.5]])
    assert [text.get_text() for text in steps.texts] == ["A7G", "N3T C9A"]
    frames = [p for p in logo.patches if isinstance(p, Rectangle) and not p.get_fill()]
    assert [(p.get_x(), p.get_width()) for p in frames] == [(0.5, 1), (4.5, 1), (6.5, 1)]
    assert logo.get_xlabel() == effects.axis
    assert len(plot.plot_design(STEPS[3:]).axes) == 1
    for wrong in ((), STEPS):
        with pytest.raises(FastISMError, match="expected those of one"):
            plot.plot_design(wrong)


@pytest.fixture
def drawn(monkeypatch):
    """Keeps what a function that draws is given, in a list of arguments and options."""

    def watch(module, name):
        given, real = [], getattr(module, name)

        def kept(*args, **options):
            given.append((args, options))
            return real(*args, **options)

        monkeypatch.setattr(module, name, kept)
        return given

    return watch


def scan_file(path, names=NAMES):
    """A scan of two changes with effects that are easy to tell apart."""
    header = ScanHeader(len(names), LENGTH, ["a_0", "a_1", "b"], ["a", "b"], {"model": "m"})
    deltas = []
    with scan_writer(path, header) as writer:
        for number, name in enumerate(names):
            first = np.arange(80.0).reshape(1, 2, 20, 2) + 100 * number
            deltas.append(first[0])
            outputs = [first, first[..., 0]]
            references = [np.zeros((1, 2)), np.zeros(1)]
            scan = Scan(references, outputs, POSITIONS, ("-1", "GATA"))
            place = interval_of(name, LENGTH) or ("", 0, 0, "")
            writer.write(Region(name, "A" * LENGTH, *place), scan)
    return deltas


@pytest.fixture(scope="module")
def scans(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scans")
    deltas = scan_file(folder / "scan.h5")
    scan_file(folder / "scan.tsv")
    return folder, deltas


def test_a_file_of_scans_is_read_as_it_was_written(scans):
    folder, deltas = scans
    with ScanFile(folder / "scan.h5") as file:
        assert file.names == list(NAMES) and file.changes == ["-1", "+GATA"]
        assert [(o.name, o.shape) for o in file.outputs] == [("a", (2,)), ("b", ())]
        np.testing.assert_array_equal(file.deltas(0, 1), deltas[1])
        assert file.interval(1) == ("chr2", 100, 130, "-")
    (folder / "x.h5").write_text("no")
    with pytest.raises(FastISMError, match="cannot be opened"):
        ScanFile(folder / "x.h5")


@pytest.mark.parametrize(
    ("name", "output"), [("scan.h5", "0:1"), ("scan.tsv", "a_1")], ids=["arrays", "table"]
)
def test_the_command_draws_scans(scans, tmp_path, drawn, name, output):
    folder, deltas = scans
    given = drawn(scan_figures, "plot_scan")
    command = ("plot", folder / name, "--output", output, "-o", tmp_path / "x.svg", "--force")
    region = ("--region", "chr2:110-115", "--highlight", "chr2:112-113")
    succeed(*command, "--sequence", NAMES[1], *region)
    (shown, changes), how = given.pop()
    # Position 5 of the sequence is 124 on the genome: 115 to 111 are rows 10 to 14.
    np.testing.assert_allclose(shown, deltas[1][:, 10:15, 1])
    assert changes == ["-1", "+GATA"]
    assert (how["start"], how["step"], how["highlights"]) == (114, -1, [(2, 3)])
    succeed(*command, "--sequence", "peak", "--region", "6:9", "--title", "lost")
    (shown, _), how = given.pop()
    np.testing.assert_allclose(shown, deltas[0][:, 1:4, 1])
    assert (how["start"], how["step"]) == (6, 1)
    assert ">lost</text>" in (tmp_path / "x.svg").read_text()


def haplotype_table(path):
    columns = [*HAPLOTYPES, "joint_0", "sum_0", "difference_0", "joint_1", "sum_1", "difference_1"]
    made = []
    for number, additive in enumerate(("yes", "no", "NA")):
        given = ["chr1", "0", "60", "+", f"H{number}", "v", "1", "A|1", "fast"]
        values = [number, number + 0.5, -0.5, 7, 7, 0] if additive != "NA" else ["NA"] * 6
        status = "scored" if additive != "NA" else "overlapping_variants"
        made.append([*given, status, additive, *values])
    path.write_text("".join("\t".join(map(str, row)) + "\n" for row in (columns, *made)))
    return path


def test_the_command_draws_haplotypes_that_were_scored(tmp_path, drawn):
    given = drawn(haplotypes, "plot_haplotypes")
    table = haplotype_table(tmp_path / "effects.haplotypes.tsv")
    succeed("plot", table, "--output", "0", "-o", tmp_path / "x.svg")
    ((values, how),) = given
    np.testing.assert_array_equal(values, [[0, 1], [0.5, 1.5]])
    assert how["additive"].tolist() == [True, False] and how["names"] == ["H0", "H1"]
    assert ">not additive (1)</text>" in (tmp_path / "x.svg").read_text()


def test_the_command_draws_the_steps_of_a_design(tmp_path):
    table = tmp_path / "steps.tsv"
    found = Evolution(np.zeros((2, 9, 4)), np.zeros(2), np.zeros(2), STEPS)
    write_steps(table, ["first one", "second"], "ACGT", found)
    steps, letters = read_steps(table)
    assert letters == "ACGT"
    assert [s for each in steps.values() for s in each] == list(STEPS)
    succeed("plot", table, "--sequence", "first", "-o", tmp_path / "x.svg")
    text = (tmp_path / "x.svg").read_text()
    assert ">A7G</text>" in text and ">N3T C9A</text>" in text


@pytest.mark.parametrize(
    ("name", "more", "code", "message"),
    [
        ("scan.h5", [], Exit.USAGE, "has 2 sequences: choose one with --sequence"),
        ("scan.h5", ["--sequence", "none"], Exit.USAGE, "has no sequence 'none'"),
        ("scan.h5", ["--sequence", "peak"], Exit.USAGE, "name one of them as I"),
        ("scan.h5", ["--sequence", "peak", "--output", "0:sum"], Exit.USAGE, "not of a mean"),
        ("scan.h5", ["--per-row", 9], Exit.USAGE, "--per-row is not for a scan; it can have"),
        ("scan.h5", ["--sd"], Exit.USAGE, "--sd is not for a scan"),
        ("scan.h5", ["--sequence", "a", "--sequence", "b"], Exit.USAGE, "shows one sequence"),
        ("scan.tsv", ["--sequence", "peak"], Exit.USAGE, "has the outputs 'a_0', 'a_1', 'b'"),
        (
            "scan.tsv",
            ["--sequence", NAMES[1], "--output", "b", "--region", "5:9"],
            Exit.USAGE,
            "this table has positions of the genome, chr2:105-125; expected CHROM:A-B",
        ),
        ("half.tsv", ["--sequence", "peak", "--output", "b"], Exit.INPUT, "no whole table"),
        ("other.tsv", [], Exit.INPUT, "begins with the columns gene, count; expected a table"),
        ("haplotypes.tsv", ["--region", "1:2", "--output", "0"], Exit.USAGE, "not for haplotypes"),
        ("steps.tsv", [], Exit.INPUT, "has no step"),
        ("scores.h5", ["--sequence", "peak1", "--output", "1", "--sd"], Exit.INPUT, "--sd"),
    ],
    ids=[
        *("several sequences", "no sequence", "several outputs", "sum", "rows", "spread of a scan"),
        *("two sequences", "several columns", "within a sequence", "half a table", "other table"),
        *("region of haplotypes", "no steps", "no spread"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(scans, tmp_path, name, more, code, message):
    folder, _ = scans
    for file in ("scan.h5", "scan.tsv"):
        (tmp_path / file).write_bytes((folder / file).read_bytes())
    lines = (folder / "scan.tsv").read_text().splitlines()
    (tmp_path / "half.tsv").write_text("\n".join(lines[:28]) + "\n")
    (tmp_path / "other.tsv").write_text("gene\tcount\nx\t1\n")
    haplotype_table(tmp_path / "haplotypes.tsv")
    write_steps(tmp_path / "steps.tsv", [], "ACGT", Evolution(*[np.zeros(0)] * 3, ()))
    if name == "scores.h5":
        store(tmp_path / name)
    ended = invoke("plot", tmp_path / name, *more, "-o", tmp_path / "x.svg")
    assert message in ended.stderr and len(ended.stderr.strip().splitlines()) == 1
    assert ended.exit_code == code
    assert not (tmp_path / "x.svg").exists()

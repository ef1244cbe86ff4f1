"""Plots show the numbers they are given, and `fastism plot` finds the right part of a store."""

import numpy as np
import pytest
from cli_cases import invoke, succeed
from score_files import HEADER, store

from fastism import plot
from fastism.cli.exit_codes import Exit
from fastism.errors import FastISMError
from fastism.plots.place import places
from fastism.store import Store

P, C = 12, 4


@pytest.fixture
def made():
    rng = np.random.default_rng(0)
    one_hot = np.eye(C)[rng.integers(0, C, P)]
    return rng.normal(size=(P, C)) * (1 - one_hot), one_hot


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    return store(tmp_path_factory.mktemp("plots") / "scores.h5")


def heat_of(figure):
    """The axes of the heatmap and the numbers in it."""
    (axes,) = [ax for ax in figure.axes if ax.get_ylabel() == "changed to"]
    (image,) = [*axes.images, *axes.collections][:1]
    return axes, np.asarray(image.get_array()).reshape(C, P)


def test_the_heatmap_shows_the_effects_around_zero_and_dots_the_sequence(made):
    deltas, one_hot = made
    axes, shown = heat_of(plot.plot_sequence(deltas, one_hot, output="signal"))
    np.testing.assert_allclose(shown, deltas.T)
    image = [*axes.images, *axes.collections][0]
    assert image.norm.vmin == -image.norm.vmax
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    assert list(dots.get_ydata()) == list(one_hot.argmax(1))
    assert [label.get_text() for label in axes.get_yticklabels()] == list("ACGT")


def test_positions_run_backwards_on_the_minus_strand(made):
    axes, _ = heat_of(plot.plot_sequence(*made, start=1011, step=-1, axis="position on chr1 (bp)"))
    ticks = dict(zip(axes.get_xticks(), axes.get_xticklabels(), strict=True))
    texts = {x: label.get_text().replace(",", "") for x, label in ticks.items()}
    assert {int(text) + int(x) for x, text in texts.items() if text} == {1011}
    assert axes.get_xlabel() == "position on chr1 (bp)"


def texts(figure):
    """All words of a figure's own texts and of its key."""
    found = [t.get_text() for t in figure.texts]
    return found + [t.get_text() for legend in figure.legends for t in legend.get_texts()]


def test_long_sequences_take_rows_of_equal_cells_and_one_scale():
    rng = np.random.default_rng(1)
    one_hot = np.eye(C)[rng.integers(0, C, 25)]
    deltas = rng.normal(size=(25, C)) * (1 - one_hot)
    figure = plot.plot_sequence(deltas, one_hot, title="long", look=plot.Look(per_row=10, limit=2))
    heats = [ax for ax in figure.axes if ax.get_ylabel() == "changed to"]
    shown = [np.asarray(ax.collections[0].get_array()).reshape(C, -1) for ax in heats]
    np.testing.assert_allclose(np.concatenate(shown, axis=1), deltas.T)
    widths = [ax.get_position().width for ax in heats]
    np.testing.assert_allclose(widths, [widths[0], widths[0], widths[0] / 2])
    assert {ax.collections[0].norm.vmax for ax in heats} == {2}
    assert [ax.get_xlabel() != "" for ax in heats] == [False, False, True]
    logos = [ax for ax in figure.axes if ax.get_ylabel() == "importance"]
    assert len({ax.get_ylim() for ax in logos}) == 1
    assert {"long", "the letter of the sequence"} <= set(texts(figure))


@pytest.mark.parametrize("own", [False, True])
def test_several_sequences_share_limits_unless_each_is_to_have_its_own(made, own):
    sequences = [plot.Effects(made[0] * n, made[1], f"s{n}") for n in (1, 3)]
    figure = plot.plot_sequences(sequences, look=plot.Look(own_limits=own, title="both"))
    heats = [ax for ax in figure.axes if ax.get_ylabel() == "changed to"]
    largest = np.abs(made[0]).max()
    expected = [largest if own else 3 * largest, 3 * largest]
    np.testing.assert_allclose([ax.collections[0].norm.vmax for ax in heats], expected)
    assert sum(ax.get_ylabel().startswith("effect") for ax in figure.axes) == (2 if own else 1)
    assert {"s1", "s3", "both"} <= set(texts(figure))


def test_highlights_and_bars_lie_where_they_belong_in_every_row(made):
    bars = [plot.Bar(1, 4, "GATA", "+"), plot.Bar(3, 8, "TATA", "-"), plot.Bar(10, 12, "far", ".")]
    effects = plot.Effects(*made, highlights=[(4, 9)], bars=bars)
    figure = plot.plot_sequences([effects], look=plot.Look(per_row=6))
    heats = [ax for ax in figure.axes if ax.get_ylabel() == "changed to"]
    frames = [[(p.get_x(), p.get_width()) for p in ax.patches] for ax in heats]
    assert frames == [[(3.5, 2)], [(-0.5, 3)]]
    tracks = [ax for ax in figure.axes if ax.texts]
    assert [[t.get_text() for t in ax.texts] for ax in tracks] == [
        ["GATA", "TATA"],
        ["TATA", "far"],
    ]
    ends = [[p.get_xy()[:, 0].min() for p in ax.patches if len(p.get_xy()) > 3] for ax in tracks]
    assert {0.5, 2.5} <= set(ends[0]) and {-0.5, 3.5} <= set(ends[1])


def test_colours_can_be_chosen(made):
    look = plot.Look(colours="coolwarm", letters={"A": "black"})
    axes, _ = heat_of(plot.plot_sequence(*made, look=look))
    assert axes.collections[0].cmap.name == "coolwarm"
    assert (look.letter("A"), look.letter("C")) == ("black", "#0072B2")


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"colours": "rainbow-ish"}, "no colour map 'rainbow-ish'; expected blue-orange"),
        ({"letters": {"A": "nothing"}}, "A=nothing is no colour"),
        ({"width": 1.0}, "expected 3 to 200"),
        ({"per_row": 0}, "at least 1"),
        ({"limit": -1.0}, "positive"),
        ({"limit": 1.0, "own_limits": True}, "choose one"),
    ],
    ids=["map", "letter", "width", "row", "limit", "both"],
)
def test_looks_that_cannot_be(chosen, message):
    with pytest.raises(FastISMError, match=message):
        plot.Look(**chosen)


@pytest.mark.parametrize("suffix", [".svg", ".png", ".pdf"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, made, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        plot.save(plot.plot_sequence(*made, title="one"), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    plot.save(plot.plot_sequence(2 * made[0], made[1], title="two"), paths[0])
    assert paths[0].read_bytes() != second
    if suffix == ".svg":  # text that can be searched
        assert b">two</text>" in paths[0].read_bytes()


def test_what_cannot_be_plotted_is_refused(tmp_path, made):
    deltas, one_hot = made
    with pytest.raises(FastISMError, match=r"shape \(12, 3\)"):
        plot.plot_sequence(deltas[:, :3], one_hot)
    with pytest.raises(FastISMError, match="no positions"):
        plot.plot_sequence(deltas[:0], one_hot[:0])
    with pytest.raises(FastISMError, match=r"must end in one of .*\.svg"):
        plot.save(plot.plot_sequence(deltas, one_hot), tmp_path / "x.gif")
    with pytest.raises(FastISMError, match="pixels along a side"):
        plot.save(plot.plot_sequence(deltas, one_hot), tmp_path / "x.png", dpi=99999)


def test_regions_are_found_within_the_sequence_and_on_either_strand(scores):
    with Store(scores) as opened:
        for row, place in zip(range(3), places(opened), strict=False):
            region = opened.regions[row]
            assert place.part(None) == (0, 20)
            assert place.part("7:11") == (2, 6)
            assert opened.header == HEADER
            if region.strand == "-":
                genomic = f"{region.chrom}:{region.end - 11}-{region.end - 7}"
                assert place.start(2) == region.end - 1 - 7
            else:
                genomic = f"{region.chrom}:{region.start + 7}-{region.start + 11}"
                assert place.start(2) == region.start + 7
            assert place.part(genomic) == (2, 6)
            for wrong in ("0:4", "24:26", "chr9:1-2", "x"):
                with pytest.raises(FastISMError, match="--region"):
                    place.part(wrong)


def test_the_command_draws_one_output_or_all(tmp_path, scores):
    given = ["plot", scores, "--sequence", "peak1"]
    one, every = tmp_path / "one.svg", tmp_path / "all.png"
    succeed(*given, "--output", "0:4", "--region", "6:20", "-o", one)
    assert one.read_text().lstrip().startswith("<?xml")
    succeed(*given, "--all-outputs", "-o", every)
    assert every.read_bytes().startswith(b"\x89PNG")


def test_the_command_finds_sequences_by_region_and_draws_tracks(tmp_path, scores):
    with Store(scores) as opened:
        near = [place for place in places(opened) if place.chrom == "chr1"][:2]
    low = max(min(place.start(0), place.start(19)) for place in near)
    region = f"chr1:{low}-{low + 3}"
    (tmp_path / "hits.bed").write_text(f"chr1\t{low}\t{low + 2}\tTATA\t0\t+\nbroken\n")
    out = tmp_path / "x.svg"
    given = ["plot", scores, "--output", "1", "-o", out, "--region", region]
    more = ["--highlight", f"chr1:{low}-{low + 1}", "--annotate", tmp_path / "hits.bed"]
    ended = succeed(*given, *more, "--title", "Two peaks", "--colours", "blue-red,A=black")
    text = out.read_text()
    assert all(f">{word}</text>" in text for word in ("Two peaks", "TATA", "peak1 é", "peak2 é"))
    assert "line 2 is passed over" in ended.stderr
    succeed(*given, "--sequence", "peak1", "--highlight", tmp_path / "hits.bed", "--force")
    assert ">peak2 é</text>" not in out.read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--output", "1"], Exit.USAGE, "choose with --sequence NAME"),
        (["--region", "chr1:1-2", "--output", "1"], Exit.USAGE, "lies in no sequence"),
        (["--sequence", "peak1", "--output", "1", "--highlight", "x"], Exit.USAGE, "or a BED file"),
        (["--sequence", "peak1", "--output", "1", "--highlight", "0:3"], Exit.USAGE, "nothing"),
        (["--sequence", "peak1", "--annotate", "no.bed"], Exit.USAGE, "2 outputs"),
        (["--sequence", "peak1", "--output", "1", "--annotate", "no.bed"], Exit.INPUT, "no.bed"),
        (["--sequence", "peak1", "--dpi", "1", "--output", "1"], Exit.USAGE, "pixels per inch"),
        (["--sequence", "peak1", "--colours", "a,b"], Exit.USAGE, "one colour map"),
        (["--sequence", "peak1"], Exit.USAGE, "2 outputs"),
        (["--sequence", "peak99", "--output", "1"], Exit.USAGE, "peak99"),
        (["--sequence", "peak1", "--output", "7"], Exit.USAGE, "no output 7"),
        (["--sequence", "peak1", "--output", "1", "--region", "0:9"], Exit.USAGE, "0:9"),
    ],
)
def test_what_the_command_cannot_draw_is_one_line(tmp_path, scores, arguments, code, message):
    ended = invoke("plot", scores, *arguments, "-o", tmp_path / "x.svg")
    assert ended.exit_code == code
    assert message in ended.stderr and len(ended.stderr.strip().splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_figure_that_exists_is_kept(tmp_path, scores):
    (tmp_path / "x.svg").write_text("mine")
    ended = invoke("plot", scores, "--sequence", "peak1", "--output", "1", "-o", tmp_path / "x.svg")
    assert ended.exit_code == Exit.OUTPUT
    assert (tmp_path / "x.svg").read_text() == "mine"


def test_a_scan_has_a_line_for_each_change_at_the_positions_of_the_sequence():
    deltas = np.arange(24.0).reshape(2, 12) - 10
    look = plot.Look(title="lost letters", limit=20.0)
    figure = plot.plot_scan(deltas, ("-1", "-3"), start=98, highlights=[(2, 4)], look=look)
    (panel,) = figure.axes
    lines = {line.get_label(): line.get_ydata() for line in panel.lines}
    np.testing.assert_array_equal([lines["-1"], lines["-3"]], deltas)
    assert panel.get_ylim() == (-20.0, 20.0)
    assert panel.get_title() == "lost letters"
    labels = [label.get_text() for label in panel.get_xticklabels()]
    ticks = dict(zip(panel.get_xticks(), labels, strict=True))
    assert ticks[2] == "100"
    assert [t.get_text() for t in panel.get_legend().get_texts()] == ["-1", "-3"]


@pytest.mark.parametrize("shape", [(2, 12, 1), (3, 12), (2, 0)], ids=["axes", "names", "empty"])
def test_a_scan_of_another_shape_is_refused(shape):
    with pytest.raises(FastISMError, match=r"expected \(changes, positions\)"):
        plot.plot_scan(np.zeros(shape), ("-1", "-3"))

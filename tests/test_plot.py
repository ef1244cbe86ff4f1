"""Plots show the numbers they are given, and `fastism plot` finds the right part of a store."""

import numpy as np
import pytest
from cli_cases import invoke, succeed
from score_files import HEADER, store

from fastism import plot
from fastism.cli.exit_codes import Exit
from fastism.cli.plot import Place
from fastism.errors import FastISMError
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


@pytest.mark.parametrize("suffix", [".svg", ".png"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, made, suffix):
    paths = [tmp_path / f"{name}{suffix}" for name in "ab"]
    for path in paths:
        plot.save(plot.plot_sequence(*made, title="one"), path)
    first, second = (path.read_bytes() for path in paths)
    assert first == second
    plot.save(plot.plot_sequence(2 * made[0], made[1], title="two"), paths[0])
    assert paths[0].read_bytes() != second


def test_what_cannot_be_plotted_is_refused(tmp_path, made):
    deltas, one_hot = made
    with pytest.raises(FastISMError, match=r"shape \(12, 3\)"):
        plot.plot_sequence(deltas[:, :3], one_hot)
    with pytest.raises(FastISMError, match="no positions"):
        plot.plot_sequence(deltas[:0], one_hot[:0])
    with pytest.raises(FastISMError, match=r"must end in one of .*\.svg"):
        plot.save(plot.plot_sequence(deltas, one_hot), tmp_path / "x.pdf")


def test_regions_are_found_within_the_sequence_and_on_either_strand(scores):
    with Store(scores) as opened:
        for row in range(3):
            place, region = Place(opened, row), opened.regions[row]
            assert place.part(None) == (0, 20)
            assert place.part("7:11") == (2, 6)
            assert opened.header == HEADER
            if region.strand == "-":
                genomic = f"{region.chrom}:{region.end - 11}-{region.end - 7}"
                assert place.start((2, 6)) == region.end - 1 - 7
            else:
                genomic = f"{region.chrom}:{region.start + 7}-{region.start + 11}"
                assert place.start((2, 6)) == region.start + 7
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


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
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

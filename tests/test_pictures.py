"""Pictures of the pages: each can be drawn again, and shows what its page says of it."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

for package in ("tensorflow", "torch", "typer", "h5py", "logomaker", "scipy", "psutil"):
    pytest.importorskip(package, reason="pictures are drawn by commands, from a Keras model")

import h5py  # noqa: E402
from matplotlib.image import imread  # noqa: E402

from benchmarks.studies.promoter.dataset import Upstream, read_upstream  # noqa: E402
from docs import pictures  # noqa: E402
from docs.pictures import (  # noqa: E402
    ASSETS,
    DRE,
    FASTA,
    PICTURES,
    ROOT,
    TATA,
    WITH_DRE,
    WITH_TATA,
    Desk,
    main,
    phased_variants,
)
from fastism.batch.scan_reader import ScanFile  # noqa: E402
from fastism.design import Evolution, evolve  # noqa: E402
from fastism.store import Store  # noqa: E402

pytestmark = [pytest.mark.tensorflow, pytest.mark.torch, pytest.mark.slow]

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
IMAGE = re.compile(r"!\[([^\]]*)\]\((?:docs/)?assets/([^)]+)\)")
#: What pages show and no command draws, and why.
NOT_DRAWN = {"report_page": "a browser shows it: a page of `fastism report`, from its top"}


@dataclass(frozen=True)
class Drawn:
    """Pictures of a few promoters and short trainings, and what they are drawn from.

    Attributes
    ----------
    desk : Desk
        Has the files of the commands.
    output : Path
    design : Evolution
    """

    desk: Desk
    output: Path
    design: Evolution


@pytest.fixture(scope="module")
def upstream() -> list[Upstream]:
    return read_upstream(FASTA)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory, upstream) -> Drawn:
    """Everything but several models is what is committed: only their training is made short."""
    whole = Desk(tmp_path_factory.mktemp("desk"), upstream)
    few = [*upstream[::200], *map(whole.promoter, (WITH_DRE, WITH_TATA))]
    desk = Desk(whole.folder, few, epochs=1, validation=("chr2L", "chr3R"))
    output = tmp_path_factory.mktemp("pictures")
    designs: list[Evolution] = []

    def kept(*given: Any, **settings: Any) -> Evolution:
        designs.append(evolve(*given, **settings))
        return designs[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "evolve", kept)
        for name, draw in PICTURES.items():
            draw(desk, output / f"{name}.png")
    return Drawn(desk, output, *designs)


# ---- which pictures there are -----------------------------------------------------------


def test_every_picture_of_a_page_can_be_drawn_again():
    shown = {Path(name).stem for page in PAGES for _, name in IMAGE.findall(page.read_text())}
    assert shown == {*PICTURES, *NOT_DRAWN}
    assert not PICTURES.keys() & NOT_DRAWN.keys()


def test_no_picture_is_kept_that_no_page_shows():
    assert {path.stem for path in ASSETS.glob("*.png")} == {*PICTURES, *NOT_DRAWN}


def test_pictures_are_as_large_as_those_that_are_committed(drawn):
    """One that was left behind, when its figure got another part, is mostly of another size."""
    for name in PICTURES:
        made, kept = (imread(folder / f"{name}.png") for folder in (drawn.output, ASSETS))
        assert made.shape == kept.shape, f"python -m docs.pictures {name}"
        assert made.std() > 0.05


def test_the_command_draws_what_is_named_and_knows_nothing_else(tmp_path, monkeypatch, capsys):
    def draw(desk: Desk, picture: Path) -> None:
        assert desk.promoter(WITH_DRE).promoter[slice(*DRE)] == "TATCGATA"
        picture.write_text("drawn")

    monkeypatch.setattr(pictures, "PICTURES", {"one": draw, "other": draw})
    main(["other", "--output", str(tmp_path / "new")])
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["other.png"]
    assert capsys.readouterr().out == f"{tmp_path / 'new' / 'other.png'}\n"
    with pytest.raises(SystemExit):
        main(["report_page", "--output", str(tmp_path)])
    assert "invalid choice: 'report_page'" in capsys.readouterr().err


# ---- what pages say of them -------------------------------------------------------------


def test_motifs_stand_where_bars_and_texts_say(upstream):
    desk = Desk(Path(), upstream)
    assert desk.promoter(WITH_DRE).promoter[slice(*DRE)] == "TATCGATA"
    assert desk.promoter(WITH_TATA).promoter[slice(*TATA)] == "TATAAA"


def test_letters_of_the_dre_are_the_highest_and_so_are_those_of_the_tata_box(drawn):
    for name, row, motif in (
        ("tutorial.h5", 0, DRE),
        ("promoters.h5", 0, DRE),
        ("promoters.h5", 1, TATA),
    ):
        with Store(drawn.desk.folder / name) as store:
            importance = store.importance(0, slice(row, row + 1))[0, :, 0]
        assert slice(*motif).start <= importance.argmax() < slice(*motif).stop
        means = np.convolve(importance, np.ones(motif[1] - motif[0]) / (motif[1] - motif[0]))
        assert means.max() == pytest.approx(importance[slice(*motif)].mean(), rel=0.01)


def test_deletions_do_what_their_page_says(drawn):
    with ScanFile(drawn.desk.folder / "scan.h5") as scan:
        assert list(scan.changes) == ["-1", "-3", "-10"]
        one, three, ten = scan.deltas(0, 0)[..., 0]
    assert max(one[slice(*DRE)].max(), three[slice(*DRE)].max()) < 0
    assert ten[DRE[0] - 10 : 356].max() < 0 < ten[356]


def test_pairs_depend_on_each_other_where_their_page_says(drawn):
    with h5py.File(drawn.desk.folder / "pairs.h5") as file:
        dependency = file["outputs/0/dependency"][0, ..., 0]
    first, last = (position - 320 for position in DRE)
    assert all(first <= end < last for end in np.unravel_index(dependency.argmax(), (60, 60)))
    on_dre = dependency[:, first:last].max(1)
    on_dre[first - 8 : last + 8] = 0
    assert sorted(320 + np.argsort(-on_dre)[:2]) == [326, 365]
    letters = drawn.desk.promoter(WITH_DRE).promoter
    assert (letters[326], letters[365]) == ("A", "C")


def test_the_design_rises_as_its_page_says_and_leaves_the_dre(drawn):
    found = drawn.design
    assert [round(float(x), 1) for x in (found.start[0], found.end[0])] == [1.5, 10.0]
    assert len(found.substitutions) == 8
    assert not [s for s in found.substitutions if DRE[0] <= s.position < DRE[1]]


def test_haplotypes_do_what_their_page_says(drawn):
    with (drawn.desk.folder / "effects.haplotypes.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    lowest = min(rows, key=lambda row: float(row["sum"]))
    assert [round(float(lowest[column])) for column in ("sum", "joint")] == [-5, -3]
    (column_names, *variants) = [
        line.split("\t")
        for line in phased_variants(drawn.desk.promoter(WITH_DRE).promoter).splitlines()
        if not line.startswith("##")
    ]
    assert (len(variants), len(column_names) - 9) == (19, 40)

"""Pictures of the pages, drawn from the trained model and the promoters that are committed.

    python -m docs.pictures                          # all, into docs/assets: about ten minutes
    python -m docs.pictures scan_dre pairs_dre --output results/pictures

Each is drawn by the commands, or the code, that its page shows. Most take seconds; for `folds_dre`
four models are trained, which come out a little different on each machine. `report_page.png` is no
drawing but a page of `fastism report` as a browser shows it, and stays as it is. To add one: a
function here, and its name in `PICTURES`.

Requirements: the extras cli, tensorflow, torch and bench.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType

import numpy as np

from benchmarks.records import environment
from benchmarks.studies.promoter import train as training
from benchmarks.studies.promoter.dataset import PROMOTER, Upstream, read_upstream, split
from fastism import FastISM
from fastism.design import evolve
from fastism.sequences import DNA, one_hot

ROOT = Path(__file__).resolve().parents[1]
ASSETS = ROOT / "docs" / "assets"
MODEL = ROOT / "data" / "promoter_model.keras"
FASTA = ROOT / "data" / "dm3_promoters_2kb.fa.gz"
#: Two sequences of the file, by their names there: what is shown is the promoter of each.
WITH_DRE, WITH_TATA = "chrX:21882248-21884247(+)", "chrX:161062-163061(-)"
#: Positions of the motifs in these promoters.
DRE, TATA = (349, 357), (372, 378)
#: Other frameworks compile first, which takes longer than so few mutants.
ON_TORCH = ("--backend", "torch")


@dataclass(frozen=True)
class Desk:
    """What pictures are drawn from, and where their commands leave files for each other.

    Attributes
    ----------
    folder : Path
        For files of commands.
    upstream : sequence of Upstream
        Has the two sequences that are shown; several models are trained on all of them.
    epochs : int, default 3
        Of the training of several models.
    validation : tuple of str
        The chromosome that each of these models is trained without, beside the held-out one.
    """

    folder: Path
    upstream: Sequence[Upstream]
    epochs: int = 3
    validation: tuple[str, ...] = ("chr2L", "chr2R", "chr3L", "chr3R")

    def promoter(self, name: str) -> Upstream:
        """The sequence of this name."""
        return next(u for u in self.upstream if _name_in_file(u) == name)

    def write(self, name: str, text: str) -> Path:
        """A file in the folder."""
        path = self.folder / name
        path.write_text(text)
        return path

    def fasta(self) -> Path:
        """The promoter with a DRE, named as the tutorial does: its axis shows positions in it."""
        return self.write("dre.fa", f">{WITH_DRE}\n{self.promoter(WITH_DRE).promoter}\n")


def tutorial_dre(desk: Desk, picture: Path) -> None:
    """Logo and heatmap of the promoter with a DRE."""
    scores = desk.folder / "tutorial.h5"
    _fastism("score", MODEL, desk.fasta(), *ON_TORCH, "-o", scores)
    _fastism("plot", scores, "--sequence", WITH_DRE, "--region", "300:400", "-o", picture)


def plot_promoters(desk: Desk, picture: Path) -> None:
    """Two promoters under each other, with bars, a highlight and genomic positions."""
    shown = [desk.promoter(name) for name in (WITH_DRE, WITH_TATA)]
    names = [_interval(one) for one in shown]
    records = (f">{name}\n{u.promoter}\n" for name, u in zip(names, shown, strict=True))
    bars = zip(names, (DRE, TATA), ("DRE", "TATA"), strict=True)
    lines = (f"{name}\t{first}\t{last}\t{label}\t0\t+\n" for name, (first, last), label in bars)
    scores, motifs = desk.folder / "promoters.h5", desk.write("motifs.bed", "".join(lines))
    fasta = desk.write("promoters.fa", "".join(records))
    _fastism("score", MODEL, fasta, *ON_TORCH, "-o", scores)
    chosen = [word for name in names for word in ("--sequence", name)]
    known = ("--annotate", motifs, "--highlight", "chrX:21884196-21884204")
    look = ("--title", "Two promoters", "--dpi", 130)
    _fastism("plot", scores, *chosen, "--region", "320:400", *known, *look, "-o", picture)


def scan_dre(desk: Desk, picture: Path) -> None:
    """Deletions of one, three and ten letters from every position on."""
    scan = desk.folder / "scan.h5"
    _fastism("scan", MODEL, desk.fasta(), "--delete", "1,3,10", *ON_TORCH, "-o", scan)
    look = ("--title", "One, three or ten letters deleted", "--dpi", 160)
    part = ("--region", "300:400", "--highlight", _span(DRE))
    _fastism("plot", scan, *part, *look, "-o", picture)


def pairs_dre(desk: Desk, picture: Path) -> None:
    """The map of which positions depend on each other."""
    pairs = desk.folder / "pairs.h5"
    _fastism("pairs", MODEL, desk.fasta(), "--positions", "320:380", *ON_TORCH, "-o", pairs)
    _fastism("plot", pairs, "--sequence", WITH_DRE, "-o", picture)


def haplotypes_dre(desk: Desk, picture: Path) -> None:
    """Joint effects of made-up haplotypes against the sums of single ones."""
    letters = desk.promoter(WITH_DRE).promoter
    genome = desk.write("genome.fa", f">promoter\n{letters}\n")
    regions = desk.write("region.bed", f"promoter\t0\t{len(letters)}\n")
    calls = desk.write("calls.vcf", phased_variants(letters))
    where = ("--genome", genome, "--regions", regions)
    table = desk.folder / "effects.tsv"
    _fastism("variants", MODEL, calls, *where, "--phased", *ON_TORCH, "-o", table)
    look = ("--title", "Haplotypes of one promoter", "--dpi", 150)
    _fastism("plot", desk.folder / "effects.haplotypes.tsv", *look, "-o", picture)


def design_dre(desk: Desk, picture: Path) -> None:
    """The objective of a design step by step, with logos of before and after."""
    import keras

    from fastism.plot import Effects, plot_design, save

    x = one_hot(desk.promoter(WITH_DRE).promoter)
    ism = FastISM(keras.saving.load_model(MODEL, compile=False), backend="torch")
    found = evolve(ism, x, steps=8, objective=0)
    shown = slice(320, 400)
    logos = [
        Effects(ism.saturate(y).delta()[0, shown, :, 0], y[0, shown], title, start=shown.start)
        for y, title in ((x, "before"), (found.sequences, "after 8 steps"))
    ]
    figure = plot_design(
        found.substitutions, found.start[0], logos=logos, output="logit of the promoter"
    )
    save(figure, picture, dpi=150)


def folds_dre(desk: Desk, picture: Path) -> None:
    """The mean and the spread over models that are trained without another chromosome each."""
    models = [desk.folder / f"{chromosome}.keras" for chromosome in desk.validation]
    for seed, (chromosome, path) in enumerate(zip(desk.validation, models, strict=True)):
        settings = training.Settings(seed=seed, epochs=desk.epochs)
        training.train(split(desk.upstream, chromosome), settings).model.save(path)
    scores = desk.folder / "folds.h5"
    _fastism("score", *models, desk.fasta(), "--sd", *ON_TORCH, "-o", scores)
    part = ("--region", "300:400", "--highlight", _span(DRE))
    _fastism("plot", scores, "--sequence", WITH_DRE, "--sd", *part, "--dpi", 150, "-o", picture)


#: Each picture by the name of its file; a function takes a `Desk` and the path of its picture.
PICTURES: Mapping[str, Callable[[Desk, Path], None]] = MappingProxyType(
    {
        draw.__name__: draw
        for draw in (
            tutorial_dre,
            plot_promoters,
            scan_dre,
            pairs_dre,
            haplotypes_dre,
            design_dre,
            folds_dre,
        )
    }
)


def phased_variants(letters: str, samples: int = 40) -> str:
    """A VCF of made-up substitutions, some of them in the DRE, with phased genotypes.

    Parameters
    ----------
    letters : str
        The sequence, which is the whole chromosome ``promoter``.
    samples : int, default 40
        Each copy of each carries a variant with a probability of 0.15.
    """
    rng = np.random.default_rng(7)
    anywhere = rng.choice(len(letters), 14, replace=False).tolist()
    names = "\t".join(f"S{number}" for number in range(samples))
    lines = ["##fileformat=VCFv4.2"]
    lines.append(f"#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\t{names}")
    for position in sorted({*anywhere, *range(346, 362, 3), 327, 355}):
        reference = letters[position]
        other = rng.choice([letter for letter in DNA if letter != reference])
        copies = rng.random((samples, 2)) < 0.15
        genotypes = "\t".join(f"{first:d}|{second:d}" for first, second in copies)
        start = f"promoter\t{position + 1}\t.\t{reference}\t{other}"
        lines.append(f"{start}\t.\t.\t.\tGT\t{genotypes}")
    return "\n".join(lines) + "\n"


def _fastism(*words: object) -> None:
    """Run a command of `fastism` in this process; what it prints on stdout is not shown."""
    from fastism.cli.app import application

    try:
        with redirect_stdout(io.StringIO()):
            application()([str(word) for word in words])
    except SystemExit as end:
        if end.code:
            raise


def _name_in_file(one: Upstream) -> str:
    """The first word of its header in the file: 1-based and closed."""
    return f"{one.chrom}:{one.start + 1}-{one.end}({one.strand})"


def _interval(one: Upstream) -> str:
    """Of its promoter, as ``bedtools getfasta -s`` writes it: 0-based and half-open."""
    start, end = one.window(PROMOTER)
    return f"{one.chrom}:{start}-{end}({one.strand})"


def _span(positions: tuple[int, int]) -> str:
    return "{}:{}".format(*positions)


def main(arguments: Sequence[str] | None = None) -> None:
    """Draw the pictures of the pages."""
    parser = argparse.ArgumentParser(prog="python -m docs.pictures", description=main.__doc__)
    parser.add_argument("pictures", nargs="*", choices=PICTURES, help="default: all")
    parser.add_argument("--output", type=Path, default=ASSETS, help="default: docs/assets")
    given = parser.parse_args(arguments)
    environment.prepare()
    names = given.pictures or list(PICTURES)
    if "folds_dre" in names:
        training.make_deterministic()
    given.output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder), read_upstream(FASTA))
        for name in names:
            path = given.output / f"{name}.png"
            PICTURES[name](desk, path)
            print(path, flush=True)


if __name__ == "__main__":
    main()

"""The promoter model: its data, its training, the committed weights, and what motifs show of it."""

import dataclasses
import hashlib
import json
import subprocess
import sys
import zipfile
from itertools import chain, pairwise, product
from pathlib import Path

import numpy as np
import pandas
import pytest

pytest.importorskip("scipy", reason="tests of enrichment are those of scipy")

from benchmarks.studies.promoter import attribute, dataset, enrichment, motifs
from benchmarks.studies.promoter import select as selecting
from benchmarks.studies.promoter import train as training_module
from benchmarks.studies.promoter.dataset import (
    Examples,
    Upstream,
    read_upstream,
    reverse_complement,
)
from benchmarks.studies.promoter.train import Settings, auc, evaluate, predict, train
from fastism.errors import FastISMError
from fastism.loading.model_files import hash_weights
from fastism.sequences import one_hot, read_fasta
from figures import style
from figures.promoter import Measured, draw

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "data"
FASTA = DATA / "dm3_promoters_2kb.fa.gz"
MOTIFS = DATA / "jaspar2026_promoter_motifs.pfm"
MODEL = DATA / "promoter_model.keras"
MEASURED = ROOT / "benchmarks" / "records" / "promoter.json"


def load(path):
    keras = pytest.importorskip("keras", reason="the model is a Keras model")
    return keras.saving.load_model(path, compile=False)


@pytest.fixture
def same_process(monkeypatch):
    """Leave this process as it is: the program settles its own for good."""
    monkeypatch.setattr(training_module, "make_deterministic", lambda: None)


@pytest.fixture(scope="module")
def upstream():
    return read_upstream(FASTA)


@pytest.fixture(scope="module")
def splits(upstream):
    return dataset.split(upstream)


@pytest.fixture(scope="module")
def training():
    return json.loads((DATA / "promoter_model.json").read_text())


# ---- the data ---------------------------------------------------------------------------


def test_windows_lie_where_the_file_says_on_either_strand():
    letters = "".join("ACGT"[i % 4] for i in range(2000))
    plus = Upstream("a", "chr2R", 10_000, 12_000, "+", letters)
    minus = dataclasses.replace(plus, strand="-")
    assert plus.window(dataset.PROMOTER) == (11_600, 12_000)
    assert plus.window(dataset.BACKGROUND) == (10_200, 10_600)
    # On the minus strand the start site is below the interval.
    assert minus.window(dataset.PROMOTER) == (10_000, 10_400)
    assert minus.window(dataset.BACKGROUND) == (11_400, 11_800)
    assert plus.promoter == minus.promoter == letters[-400:]
    assert plus.name == "chr2R:11601-12000(+) a"


def test_the_held_out_chromosome_is_not_trained_on(upstream, splits):
    """Looked up in the file, not in what the split says of itself."""
    chromosomes = {}
    for one in upstream:
        for part in (one.sequence[1600:], one.sequence[200:600]):
            chromosomes.setdefault(part, set()).add(one.chrom)
    for name, examples in splits.items():
        found = [chromosomes[letters] for letters in examples.sequences]
        if name == "held_out":
            assert all(where == {"chrX"} for where in found)
        elif name == "validation":
            assert all("chr2L" in where and "chrX" not in where for where in found)
        else:
            # A few windows have copies on scaffolds that are used for nothing.
            unused = {"chrX", "chrXHet", "chrU", "chrUextra", "chr2L"}
            assert all("chrX" not in where and where - unused for where in found)


def test_another_chromosome_to_stop_by_is_not_trained_on_either(upstream):
    few = upstream[::50]
    other = dataset.split(few, "chr3R")
    on_it = {one.promoter for one in few if one.chrom == "chr3R"}
    assert on_it & set(other["validation"].sequences)
    assert not on_it & set(other["train"].sequences)
    assert {one.promoter for one in few if one.chrom == "chr2L"} & set(other["train"].sequences)


def test_no_window_occurs_twice_in_either_orientation(splits):
    every = [s for name in dataset.SPLITS for s in splits[name].sequences]
    assert all(len(s) == dataset.LENGTH for s in every)
    assert len({min(s, reverse_complement(s)) for s in every}) == len(every)


def test_ambiguous_windows_are_those_that_overlap_a_promoter():
    def at(start, strand="+", chrom="chr3L"):
        letters = np.random.default_rng([start, len(chrom)]).choice(list("ACGT"), 2000)
        return Upstream(f"t{start}", chrom, start, start + 2000, strand, "".join(letters))

    # Of the first, the promoter is [1600, 2000) and the background [200, 600); of the second,
    # which begins at 599 or 600 and reads the other way, the promoter begins there as well.
    close, far = [at(0), at(599, "-")], [at(0), at(600, "-")]
    rest = [at(90_000), at(50_000, chrom="chr2L"), at(50_000, chrom="chrX")]
    assert len(dataset.split([*far, *rest])["train"]) == 6
    # One base nearer, either background meets the promoter of the other.
    assert len(dataset.split([*close, *rest])["train"]) == 4
    held_out = [dataclasses.replace(one, chrom="chrX") for one in close]
    marked = dataset.split([*held_out, *rest[:2]])["held_out"]
    assert marked.ambiguous.tolist() == [False, True, False, True]
    assert marked.labels.tolist() == [True, False, True, False]


def test_held_out_promoters_share_no_base(upstream):
    taken = dataset.held_out_promoters(upstream)
    windows = sorted(one.window(dataset.PROMOTER) for one in taken)
    assert all(a[1] <= b[0] for a, b in pairwise(windows))
    assert {one.chrom for one in taken} == {"chrX"}
    spelled = {min(one.promoter, reverse_complement(one.promoter)) for one in taken}
    assert len(spelled) == len(taken) > 2000
    assert len({one.name.split()[0] for one in taken}) == len(taken)


@pytest.mark.parametrize(
    ("text", "message"),
    [(">chr2L:1-2000 no strand\nACGT\n", "header"), (">chr2L:1-4(+) a\nACGT\n", "2000 letters")],
)
def test_other_files_are_refused(tmp_path, text, message):
    (tmp_path / "a.fa").write_text(text)
    with pytest.raises(FastISMError, match=message):
        read_upstream(tmp_path / "a.fa")


def test_a_split_without_both_kinds_is_refused(upstream):
    with pytest.raises(FastISMError, match="'held_out' has 0 examples"):
        dataset.split([one for one in upstream[:200] if one.chrom != "chrX"])


# ---- the committed model ----------------------------------------------------------------


def test_auc_is_the_share_of_pairs_in_order():
    rng = np.random.default_rng(0)
    labels, scores = rng.random(60) < 0.4, rng.integers(0, 20, 60).astype(np.float32)
    pairs = [(p > n) + 0.5 * (p == n) for p, n in product(scores[labels], scores[~labels])]
    assert auc(labels, scores) == pytest.approx(np.mean(pairs), abs=1e-12)


@pytest.mark.tensorflow
def test_the_committed_model_tells_promoters_of_the_held_out_chromosome(splits, training):
    model = load(MODEL)
    assert hash_weights(model) == training["model"]["weights_sha256"]
    found = evaluate(model, {"held_out": splits["held_out"]})
    assert found["held_out"] >= 0.78
    assert found == pytest.approx({name: training["auc"][name] for name in found}, abs=1e-3)


def test_the_record_belongs_to_the_committed_model_and_data(splits, training):
    assert training["model"]["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert training["data"]["sha256"] == hashlib.sha256(FASTA.read_bytes()).hexdigest()
    for name, examples in splits.items():
        kinds = training["data"]["counts"][name]
        assert (kinds["promoter"], kinds["background"]) == (
            examples.labels.sum(),
            (~examples.labels).sum(),
        )
    assert training["settings"] == dataclasses.asdict(Settings())
    history = training["history"]["validation_auc"]
    assert len(history) == training["epochs"]
    assert 1 + int(np.argmax(history)) == training["best_epoch"]
    assert training["auc"]["validation"] == pytest.approx(max(history), abs=1e-6)
    where = training["where"]
    assert where["cpu"] and where["threads"] and where["date"] and where["versions"]["keras"]


def test_the_committed_model_is_small_and_holds_no_optimizer():
    assert MODEL.stat().st_size < 3_000_000
    with zipfile.ZipFile(MODEL) as archive:
        config = json.loads(archive.read("config.json"))
        weights = archive.getinfo("model.weights.h5").file_size
    assert not config.get("compile_config")
    # Four bytes a weight and little else: an optimizer would hold two more numbers for each.
    assert weights < 1.2 * 4 * 380_000


# ---- training ---------------------------------------------------------------------------


def planted(count, seed):
    """Random letters, every other one with some DREs next to its end."""
    rng = np.random.default_rng(seed)
    letters = rng.choice(list("ACGT"), (count, dataset.LENGTH))
    labels = np.arange(count) % 2 == 0
    letters[labels, 340:380] = list("TATCGATA" * 5)
    sequences = tuple("".join(row) for row in letters)
    return Examples(sequences, labels, np.zeros(count, bool))


@pytest.mark.tensorflow
def test_training_learns_and_can_be_repeated():
    pytest.importorskip("tensorflow", reason="training runs on TensorFlow")
    splits = {"train": planted(384, 0), "validation": planted(96, 1)}
    settings = Settings(epochs=3, batch=32)
    told = []
    trained = train(splits, settings, lambda epoch, now: told.append((epoch, now)))
    assert [epoch for epoch, _ in told] == [1, 2, 3]
    history = trained.history["validation_auc"]
    assert history == [now["validation_auc"] for _, now in told]
    assert max(history) > 0.8
    # The model has the weights of the best epoch, and was never compiled.
    assert 1 + int(np.argmax(history)) == trained.best_epoch
    logits = predict(trained.model, splits["validation"])
    assert auc(splits["validation"].labels, logits) == pytest.approx(max(history))
    assert logits.min() < 0 < logits.max()  # log-odds, no probabilities
    assert not trained.model.compiled
    again = train(splits, dataclasses.replace(settings, epochs=1))
    assert again.history["loss"] == pytest.approx(trained.history["loss"][:1], rel=1e-4)


@pytest.mark.tensorflow
def test_training_writes_a_model_and_its_record(tmp_path, upstream, same_process):
    pytest.importorskip("tensorflow", reason="training runs on TensorFlow")
    some = [[u for u in upstream if u.chrom == c][:12] for c in ("chr3L", "chr2L", "chrX")]
    fasta = tmp_path / "some.fa"
    lines = [
        f">{u.chrom}:{u.start + 1}-{u.end}({u.strand}) {u.accession}\n{u.sequence}\n"
        for u in chain.from_iterable(some)
    ]
    fasta.write_text("".join(lines))
    files = ["--model", f"{tmp_path}/out/m.keras", "--record", f"{tmp_path}/out/m.json"]
    training_module.main(["--fasta", str(fasta), *files, "--epochs", "1"])
    record = json.loads((tmp_path / "out" / "m.json").read_text())
    model = load(tmp_path / "out" / "m.keras")
    assert model.output_shape == (None, 1)
    assert model.layers[-1].activation.__name__ == "linear"
    assert record["model"]["parameters"] == model.count_params()
    assert 300_000 < model.count_params() < 500_000
    assert record["epochs"] == record["best_epoch"] == 1
    splits = dataset.split(read_upstream(fasta))
    assert evaluate(model, splits) == pytest.approx(record["auc"], abs=1e-6)


# ---- motifs -----------------------------------------------------------------------------


def test_the_seven_matrices_are_read():
    found = motifs.read_motifs(MOTIFS)
    assert [m.name for m in found] == ["Dref", "M1BP", "Trl", "BEAF-32", "pho", "vfl", "TBP"]
    assert found[0].consensus == "TATCGATA"
    assert found[0].counts[0].tolist() == [0, 0, 0, 3112]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ACGT\n", "holds no matrices"),
        (">M1 a\nA [ 1 2 ]\nC [ 1 2 ]\nG [ 1 2 ]\n", "one row of counts per base"),
        (">M1 a\nA [ 1 2 ]\nC [ 1 2 ]\nG [ 1 2 ]\nT [ 1 ]\n", "equal lengths"),
    ],
)
def test_other_matrices_are_refused(tmp_path, text, message):
    (tmp_path / "m.pfm").write_text(text)
    with pytest.raises(FastISMError, match=message):
        motifs.read_motifs(tmp_path / "m.pfm")


BACKGROUND = np.array([0.3, 0.2, 0.2, 0.3])


@pytest.mark.parametrize("seed", range(5))
def test_the_threshold_is_that_of_all_words(seed):
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, 30, (5, 4)) + 1.0
    weights = motifs.log_odds(counts, BACKGROUND)
    words = np.array(list(product(range(4), repeat=5)))
    scores = weights[np.arange(5), words].sum(axis=1)
    chances = BACKGROUND[words].prod(axis=1)
    for p_value in (0.01, 0.1, 0.5):
        reached = [s for s in set(scores.tolist()) if chances[scores >= s].sum() <= p_value + 1e-12]
        if reached:
            assert motifs.threshold(weights, BACKGROUND, p_value) == min(reached)
    with pytest.raises(FastISMError, match="has no match with p <= 1e-09"):
        motifs.threshold(weights, BACKGROUND, 1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_matches_are_those_that_sliding_along_both_strands_finds(seed):
    rng = np.random.default_rng(seed)
    texts = ["".join(rng.choice(list("ACGT"), 40)) for _ in range(6)]
    weights = [motifs.log_odds(rng.integers(0, 9, (3, 4)), BACKGROUND) for _ in range(9)]
    found = motifs.scan(one_hot(texts), weights, 1500)
    expected = []
    for number, weight in enumerate(weights):
        for row, text in enumerate(texts):
            scored = []
            for start in range(38):
                word = text[start : start + 3]
                both = [
                    sum(weight[i, "ACGT".index(c)] for i, c in enumerate(w))
                    for w in (word, reverse_complement(word))
                ]
                if max(both) >= 1500:
                    scored.append((-max(both), start))
            kept = []
            for score, start in sorted(scored):
                if all(abs(start - other) >= 3 for _, other in kept):
                    kept.append((score, start))
            expected += [(number, row, start, -score / 1000) for score, start in kept]
    columns = (found.matrix, found.sequence, found.start, found.score)
    assert sorted(zip(*(c.tolist() for c in columns), strict=True)) == sorted(expected)
    assert len(expected) > 50


def test_a_palindrome_counts_once_and_other_letters_are_refused():
    (dref, *_) = motifs.read_motifs(MOTIFS)
    weights = motifs.log_odds(dref.counts, BACKGROUND)
    least = motifs.threshold(weights, BACKGROUND, 1e-4)
    found = motifs.scan(one_hot(["G" * 20 + "TATCGATA" + "G" * 20]), [weights], least)
    assert (len(found), found.start.tolist()) == (1, [20])
    with pytest.raises(FastISMError, match="A, C, G and T only"):
        motifs.scan(one_hot(["ACGTNACGTT"], ambiguous="zero"), [weights], least)


def test_shuffles_have_the_same_columns_and_spell_something_else():
    (dref, *_) = motifs.read_motifs(MOTIFS)
    shuffles = motifs.column_shuffles(dref.counts, 200, np.random.default_rng(0))
    assert len(shuffles) == 200
    own = sorted(map(tuple, dref.counts))
    assert all(sorted(map(tuple, s)) == own for s in shuffles)
    spelled = {motifs.consensus(s) for s in shuffles}
    assert "TATCGATA" not in spelled
    assert len(spelled) > 100
    with pytest.raises(FastISMError, match="has no shuffles"):
        motifs.column_shuffles(np.tile([9.0, 0, 0, 0], (4, 1)), 1, np.random.default_rng(0))


def test_means_are_over_the_positions_of_a_match():
    values = np.arange(20.0).reshape(2, 10)
    found = motifs.Matches(np.zeros(2, int), np.array([0, 1]), np.array([0, 7]), np.ones(2), 3)
    assert found.means(values).tolist() == [1.0, 18.0]
    assert found.within(5, 10).start.tolist() == [7]
    assert len(found.within(6, 9)) == 0


# ---- enrichment -------------------------------------------------------------------------

FEW = enrichment.Settings(shuffles=40, fewest=2, resamples=200)


@pytest.fixture(scope="module")
def invented():
    """Promoters with a DRE each, and importance that is high there, or anywhere."""
    rng = np.random.default_rng(3)
    letters = rng.choice(list("ACGT"), (150, 400))
    starts = rng.integers(310, 385, 150)
    noise = rng.normal(size=(150, 400)).astype(np.float32)
    lit = noise.copy()
    for row, start in enumerate(starts):
        letters[row, start : start + 8] = list("TATCGATA")
        lit[row, start : start + 8] += 4
    sequences = one_hot(["".join(row) for row in letters])
    importances = {"fast_ism": lit, "gradient_x_input": noise, "deepshap": -lit}
    return sequences, importances


@pytest.fixture(scope="module")
def measured(invented):
    sequences, importances = invented
    names = [f"chrX:{i}-{i + 400}(+)" for i in range(len(sequences))]
    outputs = np.linspace(-1, 1, len(sequences))
    known = motifs.read_motifs(MOTIFS)
    content = enrichment.measure(names, sequences, outputs, importances, [known[0], known[6]], FEW)
    return content


def places(found):
    return list(zip(found.sequence.tolist(), found.start.tolist(), strict=True))


def test_enrichment_is_found_where_it_is_and_nowhere_else(measured):
    rows = {(r["motif"], r["method"]): r for r in measured["enrichment"]}
    lit, noise, inverted = (
        rows["Dref", name] for name in ("fast_ism", "gradient_x_input", "deepshap")
    )
    assert lit["matches"] >= 140
    assert lit["superiority"] > 0.95
    assert lit["p_mann_whitney"] < 1e-20
    assert lit["exceeded"] == lit["matrices"] > 20
    assert lit["p_matrices"] == pytest.approx(1 / (lit["matrices"] + 1))
    assert noise["low"] < 0.5 < noise["high"]
    assert noise["p_mann_whitney"] > 0.01
    assert inverted["superiority"] == pytest.approx(1 - lit["superiority"], abs=1e-9)
    assert inverted["p_matrices"] == 1
    assert all(r["low"] <= r["superiority"] <= r["high"] for r in rows.values())


def test_enrichment_is_counted_pair_by_pair(invented):
    sequences, importances = invented
    values = importances["gradient_x_input"]
    (dref, *_) = motifs.read_motifs(MOTIFS)
    found = enrichment.find(dref, sequences, FEW)
    row = enrichment.compare(found, "gradient_x_input", values, FEW)

    def means(matches):
        inside = matches.within(300, 400)
        each = [values[i, j : j + 8].mean(dtype=float) for i, j in places(inside)]
        return inside.matrix, np.array(each)

    (_, own), (matrix, others) = means(found.matches), means(found.shuffled)
    assert (row.matches, row.shuffled_matches) == (len(own), len(others))
    assert row.u == pytest.approx((own[:, None] > others).sum())
    assert row.superiority == pytest.approx((own[:, None] > others).mean())
    by_matrix = [others[matrix == m] for m in range(40)]
    compared = [m.mean() for m in by_matrix if len(m) >= 2]
    assert row.matrices == len(compared)
    assert row.exceeded == sum(m < own.mean() for m in compared)


def test_no_control_overlaps_a_match_of_the_motif(invented):
    (dref, *_) = motifs.read_motifs(MOTIFS)
    found = enrichment.find(dref, invented[0], FEW)
    own = {(i, j + k) for i, j in places(found.matches) for k in range(8)}
    others = {(i, j + k) for i, j in places(found.shuffled) for k in range(8)}
    assert len(others) > len(own) > 1000
    assert not own & others


def test_a_motif_without_matches_is_refused(invented):
    sequences, importances = invented
    (dref, *_) = motifs.read_motifs(MOTIFS)
    found = enrichment.find(dref, sequences[:3], FEW)
    nothing = dataclasses.replace(found, matches=found.matches.where(found.matches.start < 0))
    with pytest.raises(FastISMError, match="Dref has 0 matches"):
        enrichment.compare(nothing, "fast_ism", importances["fast_ism"][:3], FEW)


def test_the_figure_is_drawn_in_every_format(measured, training, tmp_path):
    record = tmp_path / "promoter.json"
    record.write_text(json.dumps({**measured, "where": training["where"]}))
    paths = [tmp_path / f"p.{suffix}" for suffix in ("svg", "png", "csv", "md")]
    with style.styled():
        draw(Measured.read(record)).write(paths)
    assert paths[0].read_text().startswith("<?xml")
    assert paths[1].read_bytes().startswith(b"\x89PNG")
    assert list(pandas.read_csv(paths[2])["superiority"]) == pytest.approx(
        [row["superiority"] for row in measured["enrichment"]]
    )
    text = paths[3].read_text()
    assert "| DREF (MA1456.2) | TATCGATA |" in text
    assert training["where"]["cpu"] in text
    assert training["where"]["date"][:10] in text


# ---- the committed figure ---------------------------------------------------------------


def test_the_committed_figure_shows_the_committed_model_and_record():
    record = Measured.read(MEASURED)
    assert record.content["model"]["sha256"] == hashlib.sha256(MODEL.read_bytes()).hexdigest()
    assert record.content["settings"] == dataclasses.asdict(enrichment.Settings())
    with style.styled():
        drawing = draw(record)
    style.write(drawing.figure, [])
    reference = ROOT / "figures" / "reference"
    assert (reference / "promoter.md").read_text() == drawing.markdown()
    assert (reference / "promoter.png").stat().st_size < 300_000
    shown = pandas.read_csv(reference / "promoter.csv")
    assert len(shown) == 7 * 3
    dref = shown[(shown["motif"] == "Dref") & (shown["method"] == "fast_ism")].iloc[0]
    assert dref["low"] > 0.5
    assert dref["p_mann_whitney"] < 1e-50
    assert dref["p_matrices"] <= 0.01


@pytest.mark.tensorflow
@pytest.mark.slow
def test_from_promoters_to_a_record(tmp_path, same_process):
    """Selection, scores, other methods and enrichment, on a few promoters."""
    for package in ("tensorflow", "shap", "h5py", "typer"):
        pytest.importorskip(package, reason="the workflow needs all of them")
    import cli_cases

    fasta, few = tmp_path / "held_out.fa", tmp_path / "few.fa"
    selecting.main(["--fasta", str(FASTA), "--output", str(fasta)])
    chosen = [r for r in read_fasta(fasta) if "TATCGATA" in r.sequence[300:]][:12]
    few.write_text("".join(f">{r.name}\n{r.sequence}\n" for r in chosen))
    matrices = tmp_path / "dref.pfm"
    matrices.write_text("\n".join(MOTIFS.read_text().splitlines()[:5]) + "\n")
    scores, other, out = (str(tmp_path / name) for name in ("s.h5", "a.npz", "out.json"))
    assert cli_cases.succeed("score", MODEL, few, "--out", scores, "--quiet").exit_code == 0
    attribute.main(["--model", str(MODEL), "--fasta", str(few), "--output", other])
    given = ["--scores", scores, "--attributions", other, "--motifs", str(matrices)]
    enrichment.main([*given, "--output", out])
    record = json.loads(Path(out).read_text())
    assert record["promoters"] == 12
    assert [r["method"] for r in record["enrichment"]] == [
        "fast_ism",
        "gradient_x_input",
        "deepshap",
    ]
    assert record["enrichment"][0]["matches"] >= 12
    assert record["logos"][0]["output"] >= record["logos"][1]["output"]
    assert record["logos"][0]["name"] in {r.name.split()[0] for r in chosen}
    assert record["model"]["file"] == MODEL.name


def test_dry_run_of_training_and_of_the_figure(tmp_path):
    where = ["--snakefile", ROOT / "Snakefile", "--directory", tmp_path, "--cores", "2"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *where, "--dry-run", "train", "plot_promoters"],
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert done.returncode == 0, text
    for rule in ("train", "select_promoters", "score_promoters", "attribute_promoters"):
        assert f"rule {rule}:" in text
    assert "results/promoter/promoter.svg" in text

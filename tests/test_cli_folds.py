"""`fastism score` with several models: the mean and the spread of what each of them gives."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")
h5py = pytest.importorskip("h5py", reason="the command line needs it")

from cli_cases import invoke, promoters, succeed, write_fasta  # noqa: E402

from fastism.cli.interrupts import Interrupts  # noqa: E402
from fastism.store import Store  # noqa: E402

pytestmark = pytest.mark.torch
ALL = slice(None)
MODULES = """
import torch

def made(seed, outputs=2):
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv1d(4, 3, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(168, outputs)
    )

def a(): return made(0)
def b(): return made(1)
def listed(): return [made(0), made(1)]
def yielded():
    for seed in range(2):
        yield made(seed)
def wider(): return made(3, outputs=5)
def fails():
    yield made(0)
    raise RuntimeError("the second file is missing")
def random():
    yield torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 2))
class Logit(torch.nn.Module):
    # Infinite for a sequence that begins with A, and for mutants that do.
    def forward(self, x):
        return 1 / (1 - x[:, 0, :1])
def finite():
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(240, 1))
def logit(): return Logit()
"""


@pytest.fixture(autouse=True)
def nothing_is_timed(monkeypatch):
    """Kernels differ in rounding: which one is the fastest must not decide about bytes."""
    monkeypatch.setenv("FASTISM_MEASURE", "0")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("folds")
    (made / "modules.py").write_text(MODULES)
    write_fasta(made / "in.fa", [(f"p{i}", letters) for i, (_, letters) in enumerate(promoters(5))])
    return made


def words(folder, names, output, *more):
    models = [f"{folder / 'modules.py'}:{name}" for name in names.split()]
    given = (*models, folder / "in.fa", "-o", folder / output, "--input-shape", "4,60")
    fast = () if "--backend" in more else ("--naive",)
    return ("score", *given, "--batch", 2, "--positions", "20:30", *fast, *more)


@pytest.fixture(scope="module")
def whole(folder):
    path = folder / "whole.h5"
    succeed(*words(folder, "a b", "whole.h5", "--sd"))
    return path


@pytest.fixture(scope="module")
def each(folder):
    """Scores of every model alone: references and deltas, (models, ...)."""
    references, deltas = [], []
    for name in "ab":
        succeed(*words(folder, name, f"{name}.h5"))
        with Store(folder / f"{name}.h5") as store:
            references.append(store.reference(0, ALL))
            deltas.append(store.deltas(0, ALL))
    return np.array(references), np.array(deltas)


def test_mean_and_standard_deviation_are_those_over_the_models(whole, each):
    references, deltas = each
    with Store(whole) as store:
        assert store.header.sd == 2
        assert store.header.model.count("modules.py:") == 2
        assert [r.name for r in store.regions] == [f"p{i}" for i in range(5)]
        np.testing.assert_allclose(store.reference(0, ALL), references.mean(0), atol=1e-7)
        np.testing.assert_allclose(store.deltas(0, ALL), deltas.mean(0), atol=1e-7)
        np.testing.assert_allclose(store.scores_sd(0, ALL), deltas.std(0, ddof=1), atol=1e-7)
        np.testing.assert_allclose(store.reference_sd(0, ALL), references.std(0, ddof=1), atol=1e-7)
    assert deltas.std(0).max() > 0.01
    assert not list(whole.parent.glob("*.partial*"))


@pytest.mark.parametrize("function", ["listed", "yielded"])
def test_a_function_may_return_several_models(folder, whole, function):
    path = folder / f"{function}.h5"
    succeed(*words(folder, function, path.name, "--backend", "torch"))
    with Store(path) as store, Store(whole) as expected:
        np.testing.assert_allclose(store.deltas(0, ALL), expected.deltas(0, ALL), atol=1e-6)
        assert store.header.sd == 0
        with pytest.raises(Exception, match="no standard deviations"):
            store.scores_sd(0, ALL)
    ended = invoke("plan", f"{folder / 'modules.py'}:{function}", "--input-shape", "4,60")
    assert "returned several models, and one is taken here" in ended.stderr


def test_shards_joined_have_the_bytes_of_one_run(folder, whole):
    parts = [folder / f"part{number}.h5" for number in (2, 1)]
    for number, path in zip((2, 1), parts, strict=True):
        succeed(*words(folder, "a b", path.name, "--sd", "--shard", f"{number}/2"))
    succeed("export", *parts, "-o", folder / "joined.h5")
    assert (folder / "joined.h5").read_bytes() == whole.read_bytes()


def test_an_interrupted_run_goes_on_within_a_model(folder, whole, monkeypatch):
    command = words(folder, "a b", "late.h5", "--sd")
    calls = []

    def interrupt(self):
        calls.append(self)
        if len(calls) == 4:
            raise KeyboardInterrupt

    monkeypatch.setattr(Interrupts, "check", interrupt)
    ended = invoke(*command)
    assert ended.exit_code == 130
    assert "late.h5.partial.* keeps 2 of 5 sequences of model 2; the same" in ended.stderr
    monkeypatch.undo()
    again = invoke(*command)
    assert (again.exit_code, "did not finish" in again.stderr) == (5, True)
    other = invoke(*words(folder, "b a", "late.h5", "--sd", "--resume"))
    assert "begun with something else" in other.stderr
    resumed = succeed(*command, "--resume")
    assert "model 1 of 2" not in resumed.stderr
    assert "going on after 2 of 5 sequences" in resumed.stderr
    assert (folder / "late.h5").read_bytes() == whole.read_bytes()
    assert not list(folder.glob("late.h5.partial*"))


def test_what_one_model_cannot_score_is_left_out_of_the_mean(folder):
    skip = ("--not-finite", "skip", "--positions", "0:3")
    ended = succeed(*words(folder, "finite logit", "skip.h5", *skip))
    with Store(folder / "skip.h5") as store:
        assert {reason.split(":")[0] for _, reason in store.skipped} == {"not finite"}
        assert len(store) == 0
        assert [name for name, _ in store.skipped] == [f"p{i}" for i in range(5)]
    assert "5 records read, 0 sequences scored, 5 skipped (5 not finite)" in ended.stdout


@pytest.mark.parametrize(
    ("models", "more", "message"),
    [
        ("a wider", (), "modules.py:a takes 60 positions and 4 characters and gives outputs of"),
        ("a", ("--sd",), "--sd is over models"),
        ("fails", (), "the second file is missing"),
        ("random random", (), "has other weights than when it was made to be compared"),
        ("a b", ("--sd", "--out", "x.tsv"), "x.tsv holds no standard deviations"),
        ("a", ("--out", "x.bed"), "x.bed would hold intervals and no scores"),
    ],
)
def test_what_does_not_fit_is_said_before_anything_is_written(folder, models, more, message):
    before = sorted(folder.iterdir())
    ended = invoke(*words(folder, models, "wrong.h5", *more))
    assert ended.exit_code in (2, 4)
    assert message in ended.stderr
    assert sorted(folder.iterdir()) == before


def test_the_spread_over_the_models_is_drawn(folder, whole):
    out = folder / "spread.svg"
    command = ("plot", whole, "--sequence", "p1", "--sd", "-o", out)
    assert "2 outputs" in invoke(*command).stderr or "--output" in invoke(*command).stderr
    succeed(*command, "--output", "0:1", "--highlight", "22:24")
    assert ">1 sd of models</text>" in out.read_text()
    for more, message in (
        (("--all-outputs",), "two figures"),
        (("--output", "0:sum"), "no standard deviations"),
        (("--output", "0:1", "--per-row", 5), "not for --sd"),
    ):
        assert message in invoke(*command, "--force", *more).stderr

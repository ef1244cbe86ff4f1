"""The studies of haplotypes and of several models: what they time, on a small model."""

from __future__ import annotations

import argparse
import sys

import numpy as np
import pytest

pytest.importorskip("keras", reason="the architectures are Keras models")
pytest.importorskip("torch", reason="the studies run PyTorch twins")

import torch

from benchmarks.studies import folds, haplotypes
from benchmarks.studies.turns import Twins, in_turns
from fastism import FastISM, FastISMError, NaiveISM

pytestmark = [pytest.mark.keras, pytest.mark.torch]
LENGTH = 60


@pytest.fixture
def written(tmp_path):
    """A function that runs a study and gives the cells of its last row."""
    path = tmp_path / "table.md"

    def run(study, *words):
        given = ["--length", str(LENGTH), "--rounds", "2", "--markdown", str(path)]
        assert study.main([*words, *given]) == 0
        return [cell.strip() for cell in path.read_text().splitlines()[-1].strip("|").split("|")]

    return run


def test_haplotypes_are_timed(written, monkeypatch):
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 3, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(168, 2)
    )
    given = {"input_shape": (4, LENGTH), "test_correctness": False}
    letters = np.random.default_rng(0).integers(4, size=LENGTH)
    x = np.eye(4, dtype=np.float32)[letters].T[None]
    fast = FastISM(module, naive_below=0, **given)
    twins = Twins(fast, NaiveISM(module, **given), x)
    monkeypatch.setattr(haplotypes.Twins, "make", lambda *words: twins)
    cells = written(haplotypes, "--job", "basset:6:3", "--sample", "4")
    assert cells[:6] == ["basset", str(LENGTH), "6", "3", "32", "5 bp"]
    assert float(cells[-1]) < 0.01  # standard deviations of the effects
    drawn = haplotypes.Haplotypes.draw(x, haplotypes.Job("basset", 6, 3))
    assert [len(set(one)) for one in drawn.start] == [3] * 6
    for places, news in zip(drawn.start, drawn.replacement, strict=True):
        for place, new in zip(places, news, strict=True):
            assert new.sum() == 1 and (new != x[0, :, place : place + 1]).any()


def test_models_are_scored_one_by_one_and_together(written, monkeypatch):
    asked = []

    def run(words):
        asked.append([word for word in words if word.endswith(".keras")])
        count = len(asked[-1])
        return folds.Used(10.0 * count, 8.0 * count, (100 + count) << 20)

    monkeypatch.setattr(folds, "run", run)
    monkeypatch.setattr(folds, "build", lambda name, length: Saved())
    cells = written(folds, "--job", "basset", "--models", "2", "--sequences", "3")
    assert cells == [
        *("basset", str(LENGTH), "3", "2", "20", "20", "1 (1–1)", "1 (1–1)", "101", "102")
    ]
    assert [len(models) for models in asked] == [1, 1, 1, 2, 1, 1, 2]


class Saved:
    """In place of a model."""

    def save(self, path):
        path.write_text("")


def test_what_a_process_took_is_told():
    used = folds.run([sys.executable, "-c", "x = bytearray(50 << 20)"])
    assert used.clock > 0 and used.process > 0 and used.memory > 50 << 20
    with pytest.raises(FastISMError, match="ended with 3: why"):
        folds.run([sys.executable, "-c", "import sys; print('why', file=sys.stderr); sys.exit(3)"])


@pytest.mark.parametrize(
    ("job", "message"),
    [("resnet:4:2", "resnet is none of"), ("basset:4", "HAPLOTYPES"), ("basset:4:99", "32 sites")],
    ids=["architecture", "letters", "sites"],
)
def test_a_job_that_is_none_is_refused(job, message):
    with pytest.raises(argparse.ArgumentTypeError, match=message):
        haplotypes.Job.read(job)


def test_turns_are_paired_and_scaled():
    order = []
    turns, slow, fast = in_turns(
        lambda: order.append("slow") or 1, lambda: order.append("fast") or 2, 2, 1e6
    )
    assert order == ["slow", "fast"] * 2 and (slow, fast) == (1, 2)
    assert len(turns.slow.clock) == len(turns.fast.process) == 2
    assert turns.cells[0] == f"{np.median(turns.slow.clock):.3g}"

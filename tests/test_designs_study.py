"""The study of designs and the process that it asks, with a stand-in for CREsted."""

from __future__ import annotations

import argparse
import functools
import importlib
import io
import json
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="the architectures are Keras models")

import keras

from benchmarks.peers import designer
from benchmarks.studies import designs, steps
from benchmarks.studies.turns import Twins
from fastism import FastISM, NaiveISM
from fastism.design import evolve
from fastism.errors import FastISMError
from fastism.sequences import one_hot, to_string

pytestmark = [pytest.mark.keras]

LENGTH, STEPS = 24, 2
SEQUENCE = "ACGTTGCAAGGCTTACGATCAGTC"
#: A process that answers as `run_crested.py` does, with one and the same design.
SCRIPT = """
import json, sys
print(json.dumps({{"ready": True}}), flush=True)
for _ in sys.stdin:
    print(json.dumps({{"clock": 30.0, "process": 20.0, "design": {design!r}}}), flush=True)
"""


@pytest.fixture(scope="module")
def model():
    inputs = keras.Input((LENGTH, 4))
    x = keras.layers.Conv1D(3, 5, activation="relu")(inputs)
    return keras.Model(inputs, keras.layers.Dense(1)(keras.layers.Flatten()(x)))


def evolved(ism):
    """What exact greedy steps make of the sequence."""
    return to_string(evolve(ism, one_hot([SEQUENCE]), STEPS).sequences)[0]


@pytest.fixture
def ready(tmp_path, monkeypatch, model):
    """The study with a small model and one sequence; a function that says how CREsted answers."""
    fasta = tmp_path / "one.fa"
    fasta.write_text(f">a\n{SEQUENCE}\n")
    script = tmp_path / "answers.py"
    monkeypatch.setattr(designs, "build", lambda name, length: model)
    monkeypatch.setattr(designs, "KERAS", keras.backend.backend())
    monkeypatch.setattr(designs, "Crested", functools.partial(designer.Crested, script=script))
    path = tmp_path / "designs.md"
    words = ["--job", "basset", "--length", str(LENGTH), "--fasta", str(fasta), "--rounds", "2"]
    words += ["--steps", str(STEPS), "--python", sys.executable, "--markdown", str(path)]

    def run(answers):
        script.write_text(answers)
        status = designs.main(words)
        return status, path.read_text() if path.exists() else ""

    return run


@pytest.mark.parametrize("same", [True, False], ids=["same", "other"])
def test_a_table_is_written(ready, model, same):
    design = evolved(NaiveISM(model)) if same else SEQUENCE
    status, text = ready(SCRIPT.format(design=design))
    assert status == 0
    cells = [cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")]
    assert cells[:3] == ["basset", str(LENGTH), str(STEPS)]
    assert cells[4] == "15"  # seconds a step
    assert all(float(cell.split()[0]) > 0 for cell in cells[5:8])
    assert cells[-1] == ("the same" if same else "differ")


def test_a_process_that_ends_is_told(ready, capsys):
    status, text = ready("import sys\nsys.exit(3)\n")
    assert (status, text) == (1, "")
    told = capsys.readouterr()
    assert "ended with status 3" in " ".join((told.out + told.err).split())


def test_an_interpreter_that_is_none_is_told(tmp_path):
    with (
        pytest.raises(FastISMError, match=r"workflows/envs/crested\.txt"),
        designer.Crested(tmp_path / "python", tmp_path / "m.keras", "ACGT", 1),
    ):
        pass


def test_what_runs_in_the_environment_of_crested(tmp_path, monkeypatch, capsys, model):
    """The script, with a function in place of CREsted's that has its parameters."""
    asked = []

    def in_silico_evolution(
        n_mutations, target, model, n_sequences=1, target_len=None, starting_sequences=None
    ):
        print("What would be in the way of answers.")
        asked.append((n_mutations, target, target_len))
        x = one_hot([starting_sequences])
        return to_string(evolve(NaiveISM(model), x, n_mutations, target).sequences)

    for name in ("crested", "crested.tl", "crested.tl.design"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    sys.modules["crested.tl.design"].in_silico_evolution = in_silico_evolution
    for name in ("KERAS_BACKEND", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "")  # The script sets them: they are put back afterwards.
    monkeypatch.syspath_prepend(str(Path(designer.__file__).parent))
    script = importlib.import_module("run_crested")
    model.save(tmp_path / "m.keras")
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    words = ["--model", str(tmp_path / "m.keras"), "--sequence", SEQUENCE, "--steps", str(STEPS)]
    script.main(words)
    first, *answers = map(json.loads, capsys.readouterr().out.splitlines())
    assert first == {"ready": True}
    assert [a["design"] for a in answers] == [evolved(FastISM(model))] * 2
    assert all(a["clock"] > 0 and a["process"] >= 0 for a in answers)
    assert asked == [(1, 0, script.FEW), (STEPS, 0, None), (STEPS, 0, None)]


def test_jobs_are_read(monkeypatch):
    monkeypatch.setattr(designs, "KERAS", keras.backend.backend())
    assert designs.Job.read("basset").backend == keras.backend.backend()
    for text, message in (("resnet", "resnet is none of"), ("basset:mxnet", "mxnet is none of")):
        with pytest.raises(argparse.ArgumentTypeError, match=message):
            designs.Job.read(text)


@pytest.mark.torch
def test_what_steps_take_is_told(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch", reason="the study runs PyTorch twins")
    module = torch.nn.Sequential(
        torch.nn.Conv1d(4, 3, 5), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(60, 1)
    )
    given = {"input_shape": (4, LENGTH), "test_correctness": False}
    x = one_hot([SEQUENCE]).transpose(0, 2, 1).astype("float32")
    twins = Twins(FastISM(module, **given), NaiveISM(module, **given), x)
    monkeypatch.setattr(steps.Twins, "make", lambda *words: twins)
    path = tmp_path / "steps.md"
    words = ["--job", "basset", "--length", str(LENGTH), "--rounds", "1", "--steps", "2"]
    assert steps.main([*words, "--markdown", str(path)]) == 0
    cells = [cell.strip() for cell in path.read_text().splitlines()[-1].strip("|").split("|")]
    assert cells[:3] == ["basset", str(LENGTH), "5 bp"]
    assert float(cells[3].split()[0]) > 0
    assert cells[-1] == "the same"

"""`fastism evolve`: designs and their steps, against the library."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from cli_cases import LENGTH, files, invoke, succeed

pytestmark = pytest.mark.tensorflow
keras = pytest.importorskip("keras", reason="Keras is not installed.")

from fastism.cli.evolve import read_goals  # noqa: E402
from fastism.cli.exit_codes import Exit  # noqa: E402
from fastism.design import Goal  # noqa: E402
from fastism.errors import FastISMError  # noqa: E402
from fastism.sequences import one_hot, read_fasta  # noqa: E402


def predicted(outputs):
    """Outputs of a model as an array, on every backend of Keras."""
    return keras.ops.convert_to_numpy(outputs)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return files(tmp_path_factory.mktemp("evolve"), count=2)


def test_designs_reach_what_their_headers_say(given, tmp_path):
    out, table = tmp_path / "designs.fa", tmp_path / "steps.tsv"
    result = succeed(
        *("evolve", given.keras, given.fasta, "--steps", "3", "--goal", "1,2*-0.5"),
        *("--keep", "0:20,50:60", "-o", out, "--table", table, "-q"),
    )
    assert "substitutions in 2 sequences" in result.stdout
    designs = list(read_fasta(out))
    made = predicted(given.model(one_hot([d.sequence for d in designs])))
    before = predicted(given.model(one_hot(given.sequences)))
    headers = [line[1:].split() for line in out.read_text().splitlines() if line[0] == ">"]
    assert [h[0] for h in headers] == given.names
    goal = np.array([0, 1, -0.5])
    np.testing.assert_allclose([float(h[1]) for h in headers], before @ goal, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose([float(h[3]) for h in headers], made @ goal, rtol=1e-4, atol=1e-5)
    assert (made @ goal > before @ goal).all()
    steps = pandas.read_csv(table, sep="\t")
    assert list(steps.columns) == ["name", "step", "position", "from", "to", "objective"]
    for name, sequence, design in zip(given.names, given.sequences, designs, strict=True):
        letters = list(sequence.upper())
        for _, row in steps[steps["name"] == name].iterrows():
            assert letters[row["position"]] == row["from"]
            letters[row["position"]] = row["to"]
        assert "".join(letters) == design.sequence.upper()
        assert design.sequence[:20].upper() == sequence[:20].upper()


def test_torch_modules_are_made_small(given, tmp_path):
    out = tmp_path / "designs.fa"
    command = ("--steps", "2", "--minimise", "--positions", "10:30", "-o", out)
    succeed("evolve", given.torch, given.fasta, "--input-shape", f"4,{LENGTH}", *command)
    for line in out.read_text().splitlines()[::2]:
        _, start, _, end = line.split()
        assert float(end) < float(start)


SINGLE = """
import torch
from modules import build

class Single(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.two = build()
    def forward(self, x):
        return self.two(x)[:, :1].squeeze(-1)

def single():
    return Single(), (4, 60)
"""


@pytest.mark.parametrize("goal", [(), ("--goal", "0/")], ids=["default", "whole output"])
def test_a_single_number_is_a_goal(given, tmp_path, goal, monkeypatch):
    monkeypatch.syspath_prepend(given.folder)
    (tmp_path / "single.py").write_text(SINGLE)
    command = ("--steps", "2", "--positions", "10:30", "-q")
    models = {"one.fa": f"{tmp_path / 'single.py'}:single", "two.fa": given.torch}
    for name, model in models.items():
        more = goal if name == "one.fa" else ("--input-shape", f"4,{LENGTH}")
        succeed("evolve", model, given.fasta, *more, *command, "-o", tmp_path / name)
    assert (tmp_path / "one.fa").read_text() == (tmp_path / "two.fa").read_text()


def test_goals_are_read():
    assert read_goals("0") == [Goal((0,))]
    assert read_goals("1/3*-2,2/") == [Goal((3,), 1, -2.0), Goal((), 2)]
    for text in ("", "a", "1/3/4", "*2"):
        with pytest.raises(FastISMError, match="expected entries"):
            read_goals(text)


def test_letters_outside_the_alphabet(given, tmp_path):
    fasta, out, table = (tmp_path / name for name in ("in.fa", "out.fa", "steps.tsv"))
    first, second = given.sequences
    fasta.write_text(f">a\n{first}\n>b\nN{second[1:]}\n")
    command = ("evolve", given.keras, fasta, "--positions", "0:1", "-o", out, "--table", table)
    result = invoke(*command)
    assert (result.exit_code, "'b' has 'N' at position 0" in result.stderr) == (Exit.INPUT, True)
    assert "--ambiguous skip leaves such" in result.stderr
    result = succeed(*command, "--ambiguous", "skip")
    assert "in 1 sequences, 1 skipped (1 ambiguous letter)" in result.stdout
    assert "skipped b: ambiguous letter: 'N' at position 0" in result.stderr
    assert [record.name.split()[0] for record in read_fasta(out)] == ["a"]
    succeed(*command, "--ambiguous", "zero", "--force")
    made = pandas.read_csv(table, sep="\t").set_index("name").loc["b"]
    outputs = predicted(given.model(one_hot([f"{c}{second[1:]}" for c in "ACGT"])))[:, 0]
    assert made["from"] == "N" and made["to"] == "ACGT"[outputs.argmax()]
    assert list(read_fasta(out))[1].sequence[0] == made["to"]
    fasta.write_text(f">b\nN{second[1:]}\n")
    result = invoke(*command, "--ambiguous", "skip", "--force")
    assert (result.exit_code, result.stderr.count("\n")) == (Exit.INPUT, 1)
    assert "None of the 1 records" in result.stderr


MISTAKES = {
    "goal": (("--goal", "x"), Exit.USAGE, "expected entries"),
    "entry": (("--goal", "7"), Exit.MODEL, "no entry"),
    "nothing left": (("--keep", "0:60"), Exit.USAGE, "leave no position"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_a_mistake_is_one_line_and_leaves_nothing(given, case, tmp_path):
    options, code, message = MISTAKES[case]
    result = invoke("evolve", given.keras, given.fasta, *options, "-o", tmp_path / "out.fa")
    assert (result.exit_code, result.stderr.count("\n")) == (code, 1)
    assert message in result.stderr
    assert not list(tmp_path.iterdir())

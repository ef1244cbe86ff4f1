"""Errors say what to do, also where the mistake is made before anything else has begun."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fastism.batch.scoring import checked
from fastism.calls.inputs import check_inputs
from fastism.cli.start import FirstSignals
from fastism.errors import FastISMError, install
from fastism.genomics.regions import Region

ROOT = Path(__file__).parents[1]


def test_the_command_without_its_packages_says_which_extra_to_install():
    code = "import sys; sys.modules['typer'] = None; from fastism.cli.start import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr == (
        f"fastism: error: the command line needs the package typer. {install('cli')}\n"
    )
    assert "clone of the repository: pip install '.[cli]'" in done.stderr


def test_a_signal_before_a_command_has_begun_ends_at_once(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    monkeypatch.setattr(os, "write", lambda where, text: ended.append((where, text)))
    with pytest.raises(KeyboardInterrupt):  # only because the process goes on here
        FirstSignals().receive(signal.SIGINT, None)
    assert ended[:2] == [(2, b"fastism: interrupted\n"), 130]


def test_a_second_signal_ends_without_a_word(monkeypatch):
    ended = []
    monkeypatch.setattr(os, "_exit", ended.append)
    signals = FirstSignals()
    signals.importing = False
    with pytest.raises(KeyboardInterrupt):
        signals.receive(signal.SIGINT, None)
    assert ended == []
    with pytest.raises(KeyboardInterrupt):
        signals.receive(signal.SIGINT, None)
    assert ended == [130]


def test_letters_as_numbers_are_to_be_encoded():
    with pytest.raises(FastISMError, match=r"as if each were a letter.*one_hot"):
        check_inputs(np.zeros((3, 60), int), [(60, 4)], "float32")
    with pytest.raises(FastISMError, match="add a first axis"):
        check_inputs(np.zeros((60, 4), int), [(60, 4)], "float32")


def test_a_short_sequence_is_not_to_be_cut():
    for letters, remedy in (("ACG", "Give longer sequences"), ("ACGTA", "Cut all sequences")):
        with pytest.raises(FastISMError, match=remedy):
            list(checked([Region("a", letters)], 4, "ACGT", "error"))


def test_a_changed_input_is_said_in_words(tmp_path):
    pytest.importorskip("h5py", reason="stores are HDF5")
    from score_files import HEADER

    from fastism.store import StoreWriter

    path = tmp_path / "a.partial"
    StoreWriter.create(path, HEADER).close()
    for field, words in (("input_hash", "the input has changed"), ("model_hash", "the model has")):
        with pytest.raises(FastISMError, match=words):
            StoreWriter.resume(path, replace(HEADER, **{field: "ff"}))


@pytest.mark.torch
def test_saturation_mutagenesis_of_something_else_than_a_tensor():
    torch = pytest.importorskip("torch", reason="the function is for torch modules")
    from fastism.torch import saturation_mutagenesis

    module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(40, 1))
    x = np.eye(4, dtype="f4")[np.zeros((1, 10), int)]
    for given, said in (
        (x.swapaxes(1, 2), "X is a ndarray"),
        (["ACGTACGTAC"], "X is a list"),
        (torch.from_numpy(x), r"X\.transpose\(1, 2\)"),
    ):
        with pytest.raises(FastISMError, match=said):
            saturation_mutagenesis(module, given)

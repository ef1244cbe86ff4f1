"""Which framework is the fastest is measured, and what cannot run a model is left out."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest
from cli_cases import invoke, promoters, small_keras, succeed, write_fasta

from fastism import FastISM, FastISMError
from fastism.backends import available_backends
from fastism.cli.progress import slow
from fastism.running.fastest import time_each


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    pytest.importorskip("tensorflow", reason="The command line is tried with a Keras model.")
    folder = tmp_path_factory.mktemp("given")
    small_keras().save(folder / "model.keras")
    write_fasta(folder / "some.fa", promoters(1))
    return SimpleNamespace(keras=folder / "model.keras", fasta=folder / "some.fa")


class Machine:
    """Frameworks whose work takes known seconds, the first time more of them."""

    def __init__(self, **seconds: float) -> None:
        self.now, self.seconds, self.used = 0.0, seconds, ""
        self.compiled: set[str] = set()

    def use(self, name: str) -> None:
        if name not in self.seconds:
            raise FastISMError(f"{name} cannot run this.")
        self.used = name

    def run(self) -> None:
        self.now += self.seconds[self.used] + 100 * (self.used not in self.compiled)
        self.compiled.add(self.used)

    def times(self, *names: str) -> dict[str, float]:
        return time_each(names, self.use, self.run, lambda: self.now)


def test_the_time_of_compiling_does_not_count():
    assert Machine(slow=2.0, quick=1.0).times("slow", "quick") == {"slow": 2.0, "quick": 1.0}


def test_what_cannot_run_a_model_is_left_out_and_is_the_error_where_nothing_can():
    assert Machine(only=3.0).times("other", "only") == {"only": 3.0}
    with pytest.raises(FastISMError, match="other cannot run this"):
        Machine().times("other", "another")


@pytest.mark.keras
def test_a_model_runs_where_it_is_fastest():
    keras = pytest.importorskip("keras")
    layers = [
        keras.Input((40, 4)),
        keras.layers.Conv1D(6, 5, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(2),
    ]
    model = keras.Sequential(layers)
    ism = FastISM(model, backend="auto", test_correctness=False)
    assert set(ism.backend_seconds) == set(available_backends())
    assert ism.backend == min(ism.backend_seconds, key=ism.backend_seconds.__getitem__)
    x = np.eye(4, dtype="float32")[np.random.default_rng(0).integers(0, 4, (1, 40))]
    assert ism.verify(x, positions=range(3)) < 1e-5
    assert FastISM(model, test_correctness=False).backend_seconds == {}


def test_the_command_says_which_framework_it_took_and_why(given, tmp_path):
    result = succeed(
        "score", given.keras, given.fasta, "-o", tmp_path / "a.h5", "--backend", "auto"
    )
    assert re.search(
        r"backend: (\w+), the fastest on a few positions \(.*\1 [\d.e-]+ s", result.stderr
    )
    refused = invoke("plan", given.keras, "--backend", "fortran")
    assert "expected one of tensorflow, torch, jax, or auto" in refused.stderr


def test_what_takes_long_is_said_while_it_does(capfd):
    with slow("building", after=0.0):
        while "fastism: building ..." not in (said := capfd.readouterr().err):
            assert not said
    with slow("building", quiet=True, after=0.0):
        pass
    with slow("building", after=1e6):
        pass
    assert capfd.readouterr().err == ""


def test_the_plan_says_how_long_it_took(given):
    assert re.search(r"read and planned in \d+\.\d s", succeed("plan", given.keras).stderr)

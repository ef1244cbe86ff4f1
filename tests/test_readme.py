"""The README's code runs and gives what its comments say."""

import re
from pathlib import Path

import pytest

pytest.importorskip("keras", reason="the example is a Keras model")

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[1]


def test_the_example_runs_and_has_the_shapes_it_states(monkeypatch):
    monkeypatch.chdir(ROOT)
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(compile(code, "README.md", "exec"), names)
    stated = re.findall(r"(result\.\w+(?:\(\))?): (\([\d, ]+\))", code)
    assert len(stated) == 2
    for expression, shape in stated:
        assert eval(expression, names).shape == eval(shape), expression

"""Every process collects the same tests, whenever and wherever it starts; names say what is tested.

Where two processes of pytest-xdist disagree, not one test is run.
"""

import enum
import gzip
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from parameter_ids import LONGEST, digest, name_of

from benchmarks.clock import Repeats

ROOT = Path(__file__).resolve().parents[1]
#: What no test is read from; folders of results and environments may be large.
LEFT_OUT = shutil.ignore_patterns(".*", "results", "build", "dist", "site", "__pycache__")


@pytest.mark.slow
def test_two_processes_collect_the_same_at_another_time_and_place_and_with_other_hashes(tmp_path):
    elsewhere = shutil.copytree(ROOT, tmp_path / "a copy", ignore=LEFT_OUT)
    running = []
    for root, seed in ((ROOT, "1"), (elsewhere, "2")):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        command = [sys.executable, root / "tests" / "collected.py", tmp_path / seed]
        running.append(
            subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, text=True)
        )
        time.sleep(1.5)  # another second on every clock
    for process in running:
        printed, _ = process.communicate()
        assert process.returncode == 0, printed
    first, second = ((tmp_path / seed).read_text().splitlines() for seed in "12")
    assert len(first) > 1000
    assert first == second


class Colour(enum.Enum):
    RED = 1


def named_function():
    """Called by its name."""


@pytest.mark.parametrize("value", ["a", 1, 0.5, None, True, Colour.RED, int, named_function])
def test_pytest_names_values_classes_and_functions(value):
    assert name_of(value) is None


@pytest.mark.parametrize(
    ("value", "name"),
    [
        ([1, "a"], "[1, 'a']"),
        ({"pad": (0, 1)}, "{'pad': (0, 1)}"),
        (range(3), "range(0, 3)"),
    ],
    ids=["list", "dict", "range"],
)
def test_plain_data_is_its_own_name(value, name):
    assert name_of(value) == name


@pytest.mark.parametrize(
    "value",
    [b"a", gzip.compress(b"", mtime=0), np.zeros(2), {"a": b""}, lambda: 1, object(), {1, 2}],
    ids=["bytes", "gzip", "array", "bytes within", "lambda", "object", "set"],
)
def test_what_has_no_name_is_refused(value):
    with pytest.raises(TypeError, match=r"has no name of its own; give one with ids="):
        name_of(value)


def test_a_name_that_tells_nothing_is_refused():
    with pytest.raises(TypeError, match=f"of at most {LONGEST}"):
        name_of([0] * 100)


def test_a_file_whose_parameters_have_no_names_is_not_collected(tmp_path):
    shutil.copy(ROOT / "tests" / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n\n@pytest.mark.parametrize('content', [b'a'])\n"
        "def test_it(content):\n    assert content\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir", tmp_path]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(
        [*command, tmp_path], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == pytest.ExitCode.INTERRUPTED
    assert "content: a parameter of type bytes has no name of its own" in done.stdout


def test_digests_tell_parameters_apart():
    values = [
        *(b"a", b"b", "a", 1, 1.0, None, [1], (1,), {"a": 1}, {"a": 2}, range(1), int, float),
        *(np.zeros(2), np.zeros(3), np.zeros(2, int), np.ones(2), named_function),
        *(Repeats(1, 2, 3.0), Repeats(1, 2, 4.0), [np.zeros(2)], {"a": np.zeros(2)}),
    ]
    assert len({digest(value) for value in values}) == len(values)
    assert digest({"a": [Repeats(1, 2, 3.0)]}) == digest({"a": [Repeats(1, 2, 3.0)]})
    assert digest(object()) == digest(object())

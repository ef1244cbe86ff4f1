"""The tutorial: its commands run, in order and in an empty folder, and print what it shows."""

import doctest
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

for package in ("tensorflow", "typer", "h5py", "logomaker"):
    pytest.importorskip(package, reason="the tutorial's commands need it")

from fastism.store.reader import Store  # noqa: E402

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "tutorial.md"
BLOCK = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: `...` stands for anything, and blanks are alike; as in doctest.
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@dataclass(frozen=True)
class Command:
    """One command of the page, and what the page shows that it prints."""

    line: str
    shown: str


def commands(text):
    """Commands of ```console blocks: lines after ``$``, continued after a backslash or ``>``."""
    found = []
    for block in BLOCK.findall(text):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            count = 1
            while lines[count - 1].endswith("\\") or lines[count : count + 1] == [">"]:
                count += 1
            found.append(Command("\n".join(lines[:count]), "\n".join(lines[count:]).strip()))
    return found


def agrees(shown, printed):
    """Whether a command printed what the page shows; nothing shown means that nothing is said."""
    return not shown or doctest.OutputChecker().check_output(shown + "\n", printed + "\n", FLAGS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Every command has run here, one after another; with what each printed."""
    where = tmp_path_factory.mktemp("tutorial")
    (where / "data").symlink_to(ROOT / "data", target_is_directory=True)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "KERAS_BACKEND": "tensorflow",
        "COLUMNS": "100",
    }
    printed = []
    for command in commands(PAGE.read_text()):
        done = subprocess.run(
            ["bash", "-c", command.line],
            cwd=where,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {command.line}\n{done.stdout}{done.stderr}"
        printed.append(done.stdout.strip())
    return where, printed


def test_every_command_prints_what_the_page_shows(folder):
    _, printed = folder
    found = commands(PAGE.read_text())
    assert len(found) >= 8
    assert sum(bool(command.shown) for command in found) >= 5
    for command, text in zip(found, printed, strict=True):
        assert agrees(command.shown, text), f"$ {command.line}\n{text}\n--- shown:\n{command.shown}"


def test_what_the_commands_leave_can_be_used(folder):
    where, _ = folder
    one_hot, scores = (
        np.load(where / f"scores.{n}.npz")["arr_0"] for n in ("one_hot", "hypothetical")
    )
    assert one_hot.shape == scores.shape == (256, 4, 400)
    assert (one_hot.sum(axis=1) == 1).all()
    assert (where / "dre.png").read_bytes().startswith(b"\x89PNG")
    with Store(where / "scores.h5") as store:
        row = store.find("chrX:21882248-21884247(+)")
        importance = store.importance(0, slice(row, row + 1))[0, :, 0]
    # The DRE that the page shows stands at 349 to 356.
    assert importance[349:357].min() > 0
    assert importance[349:357].mean() > np.quantile(importance, 0.95)


def test_tf_modisco_lite_finds_the_dre_in_the_files(folder):
    """Its first stage, with the settings of its command line, which reads the files like this."""
    reason = "the page names tf-modisco-lite (modisco), of whose stages this is the short one"
    extract = pytest.importorskip("modiscolite.extract_seqlets", reason=reason)
    where, _ = folder
    one_hot, scores = (
        np.load(where / f"scores.{name}.npz")["arr_0"].transpose(0, 2, 1)
        for name in ("one_hot", "hypothetical")
    )
    seqlets, _ = extract.extract_seqlets(
        attribution_scores=(one_hot * scores).sum(axis=2),
        window_size=21,
        flank=10,
        suppress=20,
        target_fdr=0.2,
        min_passing_windows_frac=0.03,
        max_passing_windows_frac=0.2,
        weak_threshold_for_counting_sign=0.8,
    )
    with Store(where / "scores.h5") as store:
        row = store.find("chrX:21882248-21884247(+)")
    found = [(s.start, s.end) for s in seqlets if s.example_idx == row]
    assert any(start <= 349 and end >= 357 for start, end in found), found


def test_numbers_on_the_page_are_those_of_the_record():
    record = json.loads((ROOT / "benchmarks" / "records" / "promoter.json").read_text())
    dref = {r["method"]: r for r in record["enrichment"] if r["motif"] == "Dref"}
    ism, text = dref["fast_ism"], " ".join(PAGE.read_text().split())
    for stated in (
        f"{record['promoters']:,} promoters",
        f"{100 * ism['superiority']:.1f} % of pairs",
        f"{100 * ism['low']:.1f} to {100 * ism['high']:.1f}; Mann–Whitney U, one-sided",
        f"p = {ism['p_mann_whitney']:.1e}",
        f"{ism['matches']} matches of DREF",
        f"{ism['exceeded']} of {ism['matrices']} shuffled matrices (p = {ism['p_matrices']:g})",
        f"{100 * dref['gradient_x_input']['superiority']:.1f} % and "
        f"{100 * dref['deepshap']['superiority']:.1f} %",
    ):
        assert stated in text, stated


def test_other_output_than_shown_is_found():
    assert agrees("a ... c\n2", "a  b c\n2")
    assert not agrees("a ... c\n2", "a b c\n3")
    text = "```console\n$ echo a \\\n    b\na b\n$ true\n```\n\n```text\n$ false\n```\n"
    assert commands(text) == [Command("echo a \\\n    b", "a b"), Command("true", "")]

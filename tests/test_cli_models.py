"""`fastism plan`, `verify` and `info`, and how options are read."""

import doctest
import json
import os
import re

import numpy as np
import pytest
from cli_cases import files, invoke, small_keras, succeed

from fastism import FastISM, FastISMError, __version__
from fastism.cli import options, verify
from fastism.cli.opened import ModelOptions
from fastism.cli.progress import Lines, duration
from fastism.cli.verify import Difference
from fastism.store.reader import Store

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    return files(tmp_path_factory.mktemp("models"))


# ---- plan ----------------------------------------------------------------------------------


def test_plan_prints_what_python_prints(given):
    plan = FastISM(given.model, test_correctness=False).plan
    assert succeed("plan", given.keras).stdout == f"{plan}\n"


def test_plan_as_json_has_the_same_figures(given):
    plan = FastISM(given.model, test_correctness=False).plan
    read = json.loads(succeed("plan", given.keras, "--json").stdout)
    assert read["speedup"] == pytest.approx(plan.speedup)
    assert [layer["name"] for layer in read["layers"]] == [n.name for n in plan.graph.nodes]
    assert sum(layer["naive_multiply_adds"] for layer in read["layers"]) == plan.naive_macs
    assert read["opaque"] == []


# ---- verify --------------------------------------------------------------------------------


def test_verify_compares_random_and_given_sequences(given):
    result = succeed("verify", given.keras, given.fasta, "--positions", "20:26")
    lines = result.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines[:2]] == [
        "random sequences, expression",
        "promoters.fa, expression",
    ]
    assert lines[2:] == ["fast and naive ISM agree at 6 positions"]


@pytest.mark.torch
def test_verify_of_a_torch_module_samples_positions(given):
    result = succeed("verify", given.torch, "--input-shape", "4,60")
    assert "agree at 24 positions" in result.stdout


def test_verify_fails_where_results_differ(given, monkeypatch):
    saturate = FastISM.saturate_by_position

    def wrong(self, *args, **kwargs):
        result = saturate(self, *args, **kwargs)
        result.mutants[0, 3] += 0.5
        return result

    monkeypatch.setattr(FastISM, "saturate_by_position", wrong)
    result = invoke("verify", given.keras)
    assert result.exit_code == 6
    assert re.search(r"largest difference 0.5, \S+ standard deviations", result.stdout)
    assert "fast and naive ISM differ by" in result.stderr
    monkeypatch.setattr(verify, "one_hot", None)
    assert invoke("verify", given.keras, "--tolerance", "1e9").exit_code == 0


def test_differences_are_relative_to_the_effects():
    assert Difference("s", "y", 0.1, 2.0).relative == pytest.approx(0.05)
    assert Difference("s", "y", 0.1, 0.0).relative == float("inf")
    assert Difference("s", "y", 0.0, 0.0).relative == 0.0


# ---- torch modules -------------------------------------------------------------------------

MODULES = """
import torch
from torch import nn

class LettersLast(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv1d(4, 5, 7, padding=3)
    def forward(self, x):
        return torch.relu(self.conv(x.transpose(1, 2))).mean(2)

class LettersFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.module = LettersLast()
    def forward(self, x):
        return self.module(x.transpose(1, 2))

def last():
    return LettersLast()

def first():
    return LettersFirst(), (4, 60)

class Heads(LettersFirst):
    def forward(self, x):
        y = super().forward(x)
        return {"profile": y[:, :, None] * x[:, :1], "counts": y[:, :2]}

def heads():
    return Heads(), (4, 60)
"""


@pytest.fixture(scope="module")
def modules(tmp_path_factory):
    path = tmp_path_factory.mktemp("modules") / "own.py"
    path.write_text(MODULES)
    return path


@pytest.mark.torch
def test_a_module_of_letters_last_is_told_what_to_do_and_that_works(modules):
    asked = "verify", f"{modules}:last", "--input-shape", "60,4"
    refused = invoke(*asked)
    assert refused.exit_code == 4
    assert "channels_last=True (--channels-last on the command line)" in refused.stderr
    assert "agree at 24 positions" in succeed(*asked, "--channels-last").stdout


@pytest.mark.torch
@pytest.mark.parametrize("method", [(), ("--naive",)], ids=["fast", "naive"])
def test_letters_last_score_as_the_same_module_with_letters_first(given, modules, method):
    scores = []
    for name, more in (
        ("first", ()),
        ("last", ("--input-shape", "60,4", "--channels-last")),
    ):
        path = given.folder / f"{name}{len(method)}.h5"
        succeed("score", f"{modules}:{name}", given.fasta, "-o", path, *more, *method)
        with Store(path) as store:
            scores.append(store.deltas(0, slice(0, len(store))))
    assert np.abs(scores[0]).max() > 0.001
    np.testing.assert_allclose(scores[1], scores[0], atol=1e-6)


@pytest.mark.torch
def test_a_file_says_that_letters_were_last(given, modules):
    path = given.folder / "letters_last.h5"
    asked = ("--input-shape", "60,4", "--channels-last")
    succeed("score", f"{modules}:last", given.fasta, "-o", path, *asked)
    shown = succeed("info", path).stdout
    assert re.search(r"^command +fastism score .*--channels-last$", shown, re.MULTILINE)


@pytest.mark.torch
def test_keys_of_a_dict_name_the_outputs_of_a_module(given, modules):
    spec, path = f"{modules}:heads", given.folder / "heads.h5"
    shown = succeed("info", spec).stdout
    assert re.search(r"output 0 +profile \(5, 60\)\noutput 1 +counts \(2,\)", shown)
    succeed("score", spec, given.fasta, "-o", path, "--outputs", "counts")
    assert re.search(r"output 0 +counts \(2,\)", succeed("info", path).stdout)
    succeed("export", path, "-o", given.folder / "heads.tsv", "--output", "counts:1")


# ---- info ----------------------------------------------------------------------------------


def test_info_names_versions_and_processors():
    result = succeed("info")
    shown = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert shown["fastism-suite"] == __version__
    assert shown["numpy"] == np.__version__
    assert re.search(r"^tensorflow runs on +(CPU|\d+ GPU)", result.stdout, re.MULTILINE)
    assert re.search(r"^compiled kernel +(none|AVX2|AVX512)$", result.stdout, re.MULTILINE)


def test_info_of_a_model_and_of_scores(given):
    shown = succeed("info", given.keras).stdout
    assert "(60, 4), without the batch axis" in shown
    assert re.search(r"output 0 +expression \(3,\)", shown)
    assert re.search(rf"weights +{given.model.count_params():,}\n", shown)
    path = given.folder / "shard.h5"
    asked = ("--batch", 2, "--shard", "1/2", "--outputs", "0,2")
    succeed("score", given.keras, given.fasta, "-o", path, *asked)
    shown = succeed("info", path).stdout
    assert re.search(r"scores +4 sequences, 0 skipped", shown)
    assert re.search(r"state +complete \(4 of 4 records\)", shown)
    assert re.search(r"output 0 +expression \(2,\), entries 0,2", shown)
    assert re.search(r"shard +1 of 2", shown)
    assert "command" in shown


def test_info_tells_a_model_in_hdf5_from_scores(given):
    small_keras().save(given.folder / "small.h5")
    assert "weights" in succeed("info", given.folder / "small.h5").stdout


# ---- options and progress ------------------------------------------------------------------


def test_the_examples_run():
    assert doctest.testmod(options).failed == 0


@pytest.mark.parametrize(
    ("text", "shapes", "expected"),
    [
        (None, [(3,), ()], {0: None, 1: None}),
        ("1", [(3,)], {0: [1]}),
        ("1:,0", [(3,)], {0: [1, 2, 0]}),
        (":2", [(3, 5)], {0: [0, 1]}),
        ("0/2", [(3,)], {0: [2]}),
        ("0/", [()], {0: None}),
        ("1", [(3,), ()], {1: None}),
        ("0:2", [(3,), (1,), (2,)], {0: None, 1: None}),
        ("2/0,0/1,0/0", [(3,), (1,), (2,)], {0: [1, 0], 2: [0]}),
        ("0:2/0", [(3,), (1,)], {0: [0], 1: [0]}),
    ],
)
def test_outputs_and_entries(text, shapes, expected):
    assert options.read_outputs(text, shapes) == expected


@pytest.mark.parametrize(
    ("text", "shapes", "expected"),
    [
        ("counts", [(3,), ()], {1: None}),
        ("profile/1 , counts", [(3,), ()], {0: [1], 1: None}),
        ("profile/:2", [(3,)], {0: [0, 1]}),
        ("profile", [(3,)], {0: None}),
        # A name that looks like a number is none.
        ("0/2", [(3,), ()], {0: [2]}),
    ],
)
def test_outputs_by_name(text, shapes, expected):
    names = ["profile", "counts" if "counts" in text else "0"][: len(shapes)]
    assert options.read_outputs(text, shapes, names) == expected


def test_names_that_there_are_not_are_listed():
    message = "no output 'nope'; it has profile. Give names or numbers of outputs, or entries"
    with pytest.raises(FastISMError, match=message):
        options.read_outputs("nope", [(3,)], ["profile"])
    with pytest.raises(FastISMError, match="no output 'count'; it has profile, counts"):
        options.read_outputs("count/1", [(3,), ()], ["profile", "counts"])


@pytest.mark.parametrize(
    ("text", "shapes", "message"),
    [
        ("3", [(3,)], "outside the entries of output 0, which are 0:3"),
        ("2:1", [(3,)], "expected START:END"),
        ("x", [(3,)], "expected START:END"),
        ("-1", [(3,)], "expected START:END"),
        ("", [(3,), (3,)], "expected START:END"),
        ("0,0", [(3,)], "named twice"),
        ("0/,0/1", [(3,), ()], "named twice"),
        ("1/0", [(3,), ()], "output 1 is a single number"),
        ("2", [(3,), ()], "outside the outputs of the model"),
    ],
)
def test_outputs_that_there_are_not(text, shapes, message):
    with pytest.raises(FastISMError, match=message):
        options.read_outputs(text, shapes)


def test_sizes_ranges_shapes_and_alphabets():
    sizes = [options.read_size(text) for text in ("1000", "2k", "1.5G", "3 MiB", "1TB")]
    assert sizes == [1000, 2048, 3 << 29, 3 << 20, 1 << 40]
    assert options.read_positions(None, 9) == (0, 9)
    assert options.read_positions(":4", 9) == (0, 4)
    assert options.read_positions("4:", 9) == (4, 9)
    assert options.read_shape("(4, 1000)") == (4, 1000)
    assert options.read_shard("2/8") == (2, 8)
    assert options.read_alphabet("RNA") == "ACGU"
    assert options.read_alphabet("acgtn") == "ACGTN"
    assert len(options.read_alphabet("protein")) == 20


@pytest.mark.parametrize(
    ("read", "text"),
    [
        (options.read_size, "-1"),
        (options.read_size, "2X"),
        (options.read_range, "3"),
        (options.read_range, "5:5"),
        (options.read_shape, "4"),
        (options.read_shape, "4,0"),
        (options.read_shard, "0/2"),
        (options.read_shard, "1"),
        (options.read_alphabet, "A"),
        (options.read_alphabet, "ACGA"),
        (options.read_alphabet, "AC?T"),
    ],
)
def test_values_that_cannot_be_read(read, text):
    with pytest.raises(FastISMError):
        read(text)


def test_a_device_is_read_first_and_chosen_once(monkeypatch):
    # Chosen again, the second of two GPUs would be looked for among the one that is left.
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert ModelOptions(device="gpu:1").device == "gpu:1"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4,7"


def test_plain_progress_is_a_line_now_and_then(capsys):
    now = [100.0]
    lines = Lines(total=50, done=10, clock=lambda: now[0])
    for _ in range(4):
        now[0] += 4.0
        lines(2)
    said = capsys.readouterr().err.splitlines()
    assert said == [
        "fastism: 12 of 50 sequences, 0.5 per second, 1 min 16 s left",
        "fastism: 18 of 50 sequences, 0.5 per second, 1 min 4 s left",
    ]
    lines(2)
    for _ in range(2):
        lines.end()
    assert capsys.readouterr().err.splitlines() == [
        "fastism: 20 of 50 sequences, 0.625 per second, 48 s left"
    ]
    assert [duration(x) for x in (0.4, 59.6, 3700)] == ["0 s", "1 min 0 s", "1 h 1 min"]

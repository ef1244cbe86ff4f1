"""The command as a whole: help, exit codes, and one line for every mistake that users make."""

import gzip
import os
import subprocess
import sys
from functools import cache

import pytest
from cli_cases import LENGTH, damaged, files, invoke, promoters, small_keras, succeed, write_fasta

import fastism
from fastism.cli import opened
from fastism.cli.app import COMMANDS, application
from fastism.cli.exit_codes import Exit, Failure, stage

pytestmark = pytest.mark.tensorflow
RECORDS = promoters(3)


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    """Files that are right, and one of every kind that is wrong."""
    given = files(tmp_path_factory.mktemp("cli"), count=3)
    folder = given.folder

    def fasta(name, records):
        write_fasta(folder / name, records)

    name, letters = RECORDS[0]
    fasta("short.fa", [(name, letters[1:])])
    fasta("n.fa", [(name, "N" * LENGTH)])
    fasta("twice.fa", [(name, letters), (name, letters)])
    fasta("genome.fa", [("chr1", promoters(1, length=200)[0][1])])
    (folder / "empty.fa").touch()
    (folder / "text.fa").write_text("no FASTA at all\n")
    packed = gzip.compress((folder / "promoters.fa").read_bytes())
    (folder / "truncated.fa.gz").write_bytes(packed[:-20])
    (folder / "peaks.bed").write_text("chr1\t100\t120\n")
    (folder / "elsewhere.bed").write_text("chrX\t100\t120\n")
    (folder / "wrong.bed").write_text("chr1\t120\t100\n")
    (folder / "exists.h5").write_text("precious")
    (folder / "interrupted.h5.partial").write_text("some work")
    (folder / "locked").mkdir(mode=0o500)
    (folder / "nan.py").write_text(NAN)
    damaged(small_keras()).save(folder / "nan.keras")
    return given


NAN = """
import keras

def outputs():
    x = keras.Input((60, 4))
    return keras.Model(x, keras.layers.Flatten()(keras.ops.log(x - 1)))

def unbuilt():
    return keras.Sequential([keras.layers.Conv1D(2, 3)])

def two_inputs():
    x, y = keras.Input((60, 4)), keras.Input((60, 4))
    return keras.Model([x, y], keras.layers.Flatten()(keras.layers.Add()([x, y])))
"""

SCORE = ("score", "small.keras", "promoters.fa", "-o", "out.h5")
CASES = {
    "unknown option": (Exit.USAGE, "No such option", (*SCORE, "--colour")),
    "unknown command": (Exit.USAGE, "No such command", ("scour",)),
    "missing argument": (Exit.USAGE, "Missing argument", ("score", "small.keras")),
    "bad choice": (Exit.USAGE, "--ambiguous", (*SCORE, "--ambiguous", "guess")),
    "bad shard": (Exit.USAGE, "expected I/N", (*SCORE, "--shard", "9/8")),
    "shard of a table": (
        Exit.USAGE,
        "must end in .h5",
        ("score", "small.keras", "promoters.fa", "-o", "out.tsv", "--shard", "1/2"),
    ),
    "bad memory": (Exit.USAGE, "expected a size", (*SCORE, "--memory", "much")),
    "little memory": (Exit.USAGE, "at least 1M", (*SCORE, "--memory", "1k")),
    "bad device": (Exit.USAGE, "unknown", (*SCORE, "--device", "tpu")),
    "bad positions": (Exit.USAGE, "positions 0:60", (*SCORE, "--positions", "50:61")),
    "unknown output": (Exit.USAGE, "outside the entries of output 0", (*SCORE, "--outputs", "3")),
    "alphabet of another size": (
        Exit.USAGE,
        "the model takes 4",
        (*SCORE, "--alphabet", "protein"),
    ),
    "force and resume": (Exit.USAGE, "give one", (*SCORE, "--force", "--resume")),
    "backend of naive": (Exit.USAGE, "no effect", (*SCORE, "--naive", "--backend", "torch")),
    "unknown ending": (
        Exit.USAGE,
        ".h5",
        ("score", "small.keras", "promoters.fa", "-o", "out.xls"),
    ),
    "BED without genome": (
        Exit.USAGE,
        "needs --genome",
        ("score", "small.keras", "peaks.bed", "-o", "out.h5"),
    ),
    "FASTA with genome": (Exit.USAGE, "for BED files", (*SCORE, "--genome", "genome.fa")),
    "missing input": (
        Exit.INPUT,
        "There is no file nothing.fa",
        ("score", "small.keras", "nothing.fa", "-o", "out.h5"),
    ),
    "empty input": (Exit.INPUT, "is empty", ("score", "small.keras", "empty.fa", "-o", "out.h5")),
    "not FASTA": (Exit.INPUT, "is not FASTA", ("score", "small.keras", "text.fa", "-o", "out.h5")),
    "truncated gzip": (
        Exit.INPUT,
        "truncated or damaged",
        ("score", "small.keras", "truncated.fa.gz", "-o", "out.h5"),
    ),
    "wrong length": (
        Exit.INPUT,
        "has 59 characters; the model takes 60",
        ("score", "small.keras", "short.fa", "-o", "out.h5"),
    ),
    "other letters": (
        Exit.INPUT,
        "'N' at position 0",
        ("score", "small.keras", "n.fa", "-o", "out.h5"),
    ),
    "nothing left": (
        Exit.INPUT,
        "None of the 1 records",
        ("score", "small.keras", "n.fa", "-o", "out.h5", "--ambiguous", "skip"),
    ),
    "names twice": (
        Exit.INPUT,
        "Two sequences are called",
        ("score", "small.keras", "twice.fa", "-o", "out.h5"),
    ),
    "missing genome": (
        Exit.INPUT,
        "There is no file hg38.fa",
        ("score", "small.keras", "peaks.bed", "-o", "out.h5", "--genome", "hg38.fa"),
    ),
    "unknown chromosome": (
        Exit.INPUT,
        "no chromosome 'chrX'",
        ("score", "small.keras", "elsewhere.bed", "-o", "out.h5", "--genome", "genome.fa"),
    ),
    "not BED": (
        Exit.INPUT,
        "line 1",
        ("score", "small.keras", "wrong.bed", "-o", "out.h5", "--genome", "genome.fa"),
    ),
    "missing model": (
        Exit.MODEL,
        "There is no model",
        ("score", "nothing.keras", "promoters.fa", "-o", "out.h5"),
    ),
    "NaN weights": (
        Exit.MODEL,
        "holds NaN",
        ("score", "nan.keras", "promoters.fa", "-o", "out.h5"),
    ),
    "NaN outputs": (
        Exit.MODEL,
        "is not finite",
        ("score", "nan.py:outputs", "promoters.fa", "-o", "out.h5", "--naive"),
    ),
    "model not built": (
        Exit.MODEL,
        "is not built",
        ("score", "nan.py:unbuilt", "promoters.fa", "-o", "out.h5"),
    ),
    "two inputs": (Exit.MODEL, "has 2 inputs", ("plan", "nan.py:two_inputs")),
    "wrong shape": (
        Exit.MODEL,
        "(--input-shape 4,1000 on the command line)",
        ("plan", "modules.py:build", "--input-shape", "3,60"),
    ),
    "three axes": (
        Exit.MODEL,
        "the perturbed sequence needs (characters, length).\n",
        ("plan", "modules.py:build", "--input-shape", "4,60,1"),
    ),
    "two lengths": (
        Exit.MODEL,
        "seqlen=59 (--seqlen) was given, but the sequence length in input_shape is 60 "
        "(--input-shape)",
        ("plan", "modules.py:build", "--input-shape", "4,60", "--seqlen", "59"),
    ),
    "no shape": (Exit.USAGE, "--input-shape", ("plan", "modules.py:build")),
    "other length": (Exit.MODEL, "seqlen=61 (--seqlen)", (*SCORE, "--seqlen", "61")),
    "batch of nothing": (Exit.USAGE, "See: fastism score", (*SCORE, "--batch", "0")),
    "unknown backend": (Exit.USAGE, "--backend caffe", (*SCORE, "--backend", "caffe")),
    "output exists": (
        Exit.OUTPUT,
        "exists already",
        ("score", "small.keras", "promoters.fa", "-o", "exists.h5"),
    ),
    "work of another run": (
        Exit.OUTPUT,
        "--resume",
        ("score", "small.keras", "promoters.fa", "-o", "interrupted.h5"),
    ),
    "no folder": (
        Exit.OUTPUT,
        "There is no folder",
        ("score", "small.keras", "promoters.fa", "-o", "no/out.h5"),
    ),
    "no permission": (
        Exit.OUTPUT,
        "permission denied",
        ("score", "small.keras", "promoters.fa", "-o", "locked/out.h5"),
    ),
    "differences": (
        Exit.DIFFERENT,
        "tolerated are 0",
        ("verify", "small.keras", "--tolerance", "0"),
    ),
    "info of nothing": (
        Exit.INPUT,
        "There is no file nothing.h5. Expected scores or a model",
        ("info", "nothing.h5"),
    ),
    "info of text": (Exit.INPUT, "text.fa", ("info", "text.fa")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_mistake_is_one_line_and_an_exit_code(given, case, monkeypatch):
    code, message, command = CASES[case]
    monkeypatch.chdir(given.folder)
    monkeypatch.setattr(opened, "load_model", loaded_once)
    if case == "no permission" and os.geteuid() == 0:
        # Root may write anywhere.
        monkeypatch.setattr(os, "access", lambda path, mode: path.name != "locked")
    result = invoke(*command)
    assert result.stderr.startswith("fastism: error: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert (result.exit_code, result.stdout.count("Traceback")) == (code, 0)
    assert not (given.folder / "out.h5").exists()
    assert not (given.folder / "out.h5.partial").exists()
    assert (given.folder / "exists.h5").read_text() == "precious"


loaded_once = cache(opened.load_model)


def test_every_exit_code_has_a_case_and_a_sentence():
    # DONE and INTERRUPTED are shown in tests/test_cli_score.py, INTERNAL below.
    shown = {code for code, _, _ in CASES.values()}
    assert shown | {Exit.DONE, Exit.INTERNAL, Exit.INTERRUPTED} == set(Exit)
    assert all(code.meaning.endswith(".") for code in Exit)
    assert Exit(130).name == "INTERRUPTED"


def test_what_should_not_happen_is_said_to_be_a_mistake_of_the_program(given, monkeypatch):
    def broken(*args, **kwargs):
        raise TypeError("a and b")

    monkeypatch.setattr("fastism.cli.plan.open_model", broken)
    result = invoke("plan", given.keras)
    assert result.exit_code == 1
    assert result.stderr.startswith("fastism: error: internal: TypeError: a and b. Please report")
    assert "Traceback" not in result.stderr
    monkeypatch.setenv("FASTISM_DEBUG", "1")
    assert "Traceback" in invoke("plan", given.keras).stderr


def test_an_inner_stage_is_kept_by_an_outer_one():
    with pytest.raises(Failure) as caught, stage(Exit.MODEL), stage(Exit.INPUT):
        raise FileNotFoundError(2, "No such file or directory", "here")
    assert caught.value.code == Exit.INPUT
    assert caught.value.message == "here: No such file or directory."


class OutOfMemoryError(RuntimeError):
    """As PyTorch names it."""


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OutOfMemoryError("CUDA"), OutOfMemoryError()],
    ids=["Python", "CUDA", "nameless"],
)
def test_too_little_memory_names_the_options_that_help(error):
    message = r"Out of memory \(.*\) Give a smaller --batch"
    with pytest.raises(Failure, match=message) as caught, stage(Exit.MODEL):
        raise error
    assert caught.value.code == Exit.MODEL
    with pytest.raises(RuntimeError, match="something else"), stage(Exit.MODEL):
        raise RuntimeError("something else")


def test_help_and_version():
    page = succeed("--help").stdout
    assert all(f"\n  {name} " in page for name in COMMANDS)
    assert succeed().stdout == page
    assert succeed("--version").stdout == f"fastism-suite {fastism.__version__}\n"
    for command in COMMANDS:
        assert succeed(command, "--help").stdout.startswith(f"Usage: fastism {command} ")
    assert application() is application()


def test_help_imports_no_framework():
    program = "import sys; import fastism.__main__ as m; sys.argv = ['fastism', '--help']\n"
    program += "try: m.main()\nfinally: print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0
    heavy = {"keras", "tensorflow", "torch", "jax", "matplotlib", "h5py", "zarr", "pandas"}
    assert heavy & set(done.stderr.split()) == set()


def test_python_m_fastism_is_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "fastism", "score", "nothing.keras", "nothing.fa", "-o", "x.h5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == Exit.INPUT
    assert done.stderr.startswith("fastism: error: There is no file nothing.fa.")
    assert done.stderr.count("\n") == 1

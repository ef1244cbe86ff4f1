"""`fastism pairs` from files to files, and its map: the same numbers as in Python."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the model is a torch module")
for needed in ("h5py", "logomaker"):
    pytest.importorskip(needed, reason="the command line needs it")

from cli_cases import LENGTH, TORCH, invoke, promoters, succeed, write_fasta  # noqa: E402
from full_disk import Full, fill_disk  # noqa: E402

from fastism import FastISM  # noqa: E402
from fastism.cli import pairs as command  # noqa: E402
from fastism.cli.plot_kinds import Kind, kind_of  # noqa: E402
from fastism.sequences import one_hot  # noqa: E402
from fastism.store.pair_files import PairFile, PairWriter  # noqa: E402

pytestmark = pytest.mark.torch
RECORDS = [(f"p{i}", letters) for i, (_, letters) in enumerate(promoters(2))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pairs")
    (made / "model.py").write_text(TORCH)
    unknown = "N" + RECORDS[0][1][1:]
    write_fasta(made / "in.fa", [*RECORDS[:1], ("unknown", unknown), *RECORDS[1:]])
    return made


def words(folder, name, *more):
    given = ("pairs", f"{folder / 'model.py'}:with_shape", folder / "in.fa", "-o", folder / name)
    return (*given, "--positions", "20:40", "--ambiguous", "skip", *more)


@pytest.fixture(scope="module")
def whole(folder):
    result = succeed(*words(folder, "whole.h5"))
    assert result.stdout.startswith(
        "3 records read, 2 sequences scored, 1 skipped (1 ambiguous letter), in "
    )
    assert "strategy: interactions: effects of single edits add up" in result.stderr
    assert "skipped unknown: ambiguous letter: 'N' at position 0" in result.stderr
    return folder / "whole.h5"


@pytest.fixture(scope="module")
def expected(folder):
    scope = {}
    exec(TORCH, scope)
    ism = FastISM(scope["build"]().eval(), input_shape=(4, LENGTH), test_correctness=False)
    x = one_hot([letters for _, letters in RECORDS]).transpose(0, 2, 1)
    return ism.pairs(x, positions=slice(20, 40))


def test_the_file_holds_what_python_gives(folder, whole, expected):
    assert kind_of(whole) is Kind.PAIRS
    epistasis, dependency = expected.epistasis(), expected.dependency()
    with PairFile(whole) as file:
        assert file.names == ["p0", "unknown", "p1"]
        assert file.skipped == [("unknown", "ambiguous letter: 'N' at position 0")]
        assert file.done.tolist() == [20, 0, 20]
        assert file.letters(file.find("p1")) == RECORDS[1][1]
        for row, name in enumerate(("p0", "p1")):
            number = file.find(name)
            made = file.array("epistasis", 0, number)
            right = epistasis[row].transpose(1, 0, 3, 2, 4)
            np.testing.assert_allclose(made, right, atol=1e-6)
            made = file.array("dependency", 0, number)
            np.testing.assert_allclose(made, dependency[row], atol=1e-6)
            np.testing.assert_array_equal(made, made.swapaxes(0, 1))
            right = expected.singles[row].swapaxes(0, 1)
            np.testing.assert_allclose(file.array("singles", 0, number), right, atol=1e-6)
            right = expected.reference[row]
            np.testing.assert_allclose(file.array("reference", 0, number), right, atol=1e-6)
        assert np.abs(made).max() > 1e-4
        header = file.header
    assert (header.alphabet, header.length, header.positions) == ("ACGT", LENGTH, (20, 40))
    assert header.command.endswith(
        "in.fa --positions 20:40 --alphabet ACGT --ambiguous skip --content epistasis"
    )
    assert not (folder / "whole.h5.partial").exists()


def test_info_says_what_a_file_of_pairs_holds(whole):
    shown = dict(line.split(maxsplit=1) for line in succeed("info", whole).stdout.splitlines())
    assert shown["pairs"] == "2 sequences, 1 skipped"
    assert (shown["state"], shown["content"]) == ("complete", "epistasis")
    assert (shown["sequences"], shown["changed"]) == ("60 positions of ACGT", "positions 20:40")
    assert shown["output"].split(maxsplit=1)[1] == "output (2,)"
    assert shown["input"].startswith("in.fa (sha256 ")
    assert "--positions 20:40" in shown["command"]


def test_an_interrupted_run_goes_on(folder, whole, monkeypatch):
    monkeypatch.setattr(command, "ROWS", 6)
    append, count = PairWriter.append, 0

    def counted(self, number, block):
        nonlocal count
        if count == 5:
            raise KeyboardInterrupt
        append(self, number, block)
        count += 1

    monkeypatch.setattr(PairWriter, "append", counted)
    stopped = invoke(*words(folder, "late.h5"))
    assert stopped.exit_code == 130
    assert "the same command with --resume goes on from there" in stopped.stderr
    with PairFile(folder / "late.h5.partial") as file:
        assert file.done.tolist() == [20, 0, 6]
    other = invoke(*words(folder, "late.h5", "--outputs", "1", "--resume"))
    assert other.exit_code == 5
    assert "was begun with something else" in other.stderr
    assert "is left from a run that did not finish" in invoke(*words(folder, "late.h5")).stderr
    count = -10
    ended = succeed(*words(folder, "late.h5", "--resume"))
    assert "going on after" in ended.stderr
    assert count == -7  # blocks from row 6 on
    with PairFile(folder / "late.h5") as file, PairFile(whole) as right:
        for name in ("reference", "singles", "dependency", "epistasis"):
            for number in (0, 2):
                made, same = (f.array(name, 0, number) for f in (file, right))
                np.testing.assert_allclose(made, same, atol=1e-6)
    assert "is finished already" in succeed(*words(folder, "late.h5", "--resume")).stdout


def test_what_the_system_refuses_is_said(folder, monkeypatch):
    def full(*given):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PairWriter, "_write", full)
    result = invoke(*words(folder, "full.h5"))
    assert result.exit_code == 5
    assert "full.h5.partial cannot be written (No space left on device). Free" in result.stderr
    monkeypatch.undo()
    succeed(*words(folder, "full.h5", "--resume"))


def test_a_disk_that_fills_up_keeps_what_is_finished(folder, whole, monkeypatch):
    monkeypatch.setattr(command, "ROWS", 6)
    append = PairWriter.append

    def fuller(self, number, block):
        if block.first == 12:
            self._file._file = Full(self._file._file, 0)
        append(self, number, block)

    monkeypatch.setattr(PairWriter, "append", fuller)
    result = invoke(*words(folder, "fuller.h5", "-q"))
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1), result.stderr
    assert "fuller.h5.partial cannot be written (No space left on device). Free" in result.stderr
    with PairFile(folder / "fuller.h5.partial") as file:
        assert file.done.tolist() == [12, 0, 0]
    assert "not complete" in succeed("info", folder / "fuller.h5.partial").stdout
    monkeypatch.undo()
    succeed(*words(folder, "fuller.h5", "--resume"))
    with PairFile(folder / "fuller.h5") as file, PairFile(whole) as right:
        for number in (0, 2):
            made, same = (f.array("epistasis", 0, number) for f in (file, right))
            np.testing.assert_allclose(made, same, atol=1e-6)


@pytest.mark.parametrize("room", [0, 1000, 5000, 20_000])
def test_without_room_for_all_pairs_nothing_is_left(folder, tmp_path, room, monkeypatch):
    fill_disk(monkeypatch, room)
    result = invoke(*words(folder, tmp_path / "out.h5", "-q"))
    assert (result.exit_code, result.stderr.count("\n")) == (5, 1), result.stderr
    assert "out.h5.partial cannot be written (No space left on device). Free" in result.stderr
    assert not list(tmp_path.iterdir())


def test_a_file_that_another_run_writes_is_left_alone(folder, whole):
    held = folder / "held.h5.partial"
    held.write_bytes(whole.read_bytes())
    with PairWriter(held):
        result = invoke(*words(folder, "held.h5", "--force"))
    assert result.exit_code == 5
    assert "is being written by another process. Wait until it has finished" in result.stderr
    assert held.stat().st_size == whole.stat().st_size


def test_a_map_alone_and_one_number_of_an_output(folder, expected):
    options = ("--content", "dependency", "--reduce", "mean", "--naive", "-q")
    result = succeed(*words(folder, "map.h5", *options))
    assert result.stderr == ""
    mean = expected.epistasis().mean(-1)
    with PairFile(folder / "map.h5") as file:
        assert file.header.outputs[0].shape == ()
        made = file.array("dependency", 0, 0)
        np.testing.assert_allclose(made, np.abs(mean[0]).max((0, 2)), atol=1e-6)
        with pytest.raises(KeyError):
            file.array("epistasis", 0, 0)


@pytest.mark.parametrize(
    ("name", "more", "code", "message"),
    [
        ("out.tsv", (), 2, "must end in .h5"),
        ("whole.h5", (), 5, "exists already"),
        ("missing/out.h5", (), 5, "There is no folder"),
        ("out.h5", ("--resume", "--force"), 2, "give one of them"),
        ("out.h5", ("--positions", "50:70"), 2, "the sequence has positions 0:60"),
        ("out.h5", ("--alphabet", "ACGTU"), 2, "has 5 letters; the model takes 4"),
    ],
    ids=["ending", "exists", "no folder", "both", "positions", "alphabet"],
)
def test_what_is_refused(folder, whole, name, more, code, message):
    result = invoke(*words(folder, name, *more))
    assert (result.exit_code, message in result.stderr) == (code, True), result.stderr


def test_the_map_is_drawn(folder, whole):
    out = folder / "map.svg"
    given = ("plot", whole, "--sequence", "p1", "-o", out)
    assert "name one of them as I, or I:A,B,..." in invoke(*given).stderr
    succeed(*given, "--output", "0:1", "--region", "22:38")
    first = out.read_bytes()
    assert first.count(b"<path") > 2 * 16  # letters of both logos
    succeed(*given, "--output", "0:1", "--region", "22:38", "--force")
    assert out.read_bytes() == first
    for more, message in (
        (("--region", "1:30"), "is not within the scored positions 20:40"),
        (("--all-outputs",), "a map of pairs shows one output"),
    ):
        assert message in invoke(*given, "--output", "0:1", "--force", *more).stderr
    missing = invoke("plot", whole, "--sequence", "unknown", "-o", out, "--force")
    assert "'unknown' was skipped: ambiguous letter: 'N' at position 0" in missing.stderr


def test_the_look_of_a_map_can_be_chosen(folder, whole):
    out = folder / "look.svg"
    given = ("plot", whole, "--sequence", "p1", "-o", out, "--output", "0:1", "--force")
    succeed(*given)
    plain = out.read_text()
    assert "largest |epistasis| of" in plain and "without its sign" in plain
    succeed(*given, "--width", 5, "--limit", 0.5, "--highlight", "25:30", "--title", "Mine")
    chosen = out.read_text()
    assert 'width="360pt"' in chosen and "Mine" in chosen and "p1" not in chosen
    assert chosen.count("0.5") > 0
    assert "lies on nothing that is shown" in invoke(*given, "--highlight", "2:5").stderr
    for more in (("--annotate", folder / "in.fa"), ("--per-row", 5), ("--colours", "blue-red")):
        assert "Of a map of pairs --output, --region, --highlight" in invoke(*given, *more).stderr


def test_limits_and_highlights_are_drawn_on_both_axes():
    from fastism.plot import Look, plot_dependency

    values = np.arange(36.0).reshape(6, 6)
    letters = np.eye(4)[[0, 1, 2, 3, 0, 1]]
    figure = plot_dependency(values, -letters, letters, highlights=[(1, 3)], look=Look(limit=7.0))
    square = figure.axes[0]
    frames = [p.get_bbox().bounds for p in square.patches]
    assert frames == [(0.5, -0.5, 2, 6), (-0.5, 0.5, 6, 2)]
    assert square.collections[0].norm.vmax == 7.0


def test_shapes_of_a_map_must_fit():
    from fastism.errors import FastISMError
    from fastism.plot import plot_dependency

    with pytest.raises(FastISMError, match=r"expected \(P, P\) and twice \(P, 4\)"):
        plot_dependency(np.zeros((5, 5)), np.zeros((5, 4)), np.zeros((4, 4)))

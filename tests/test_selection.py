"""One number of outputs with several axes: named, summed up, plotted, reported and exported."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("typer", reason="the command line needs the extra cli")
pytest.importorskip("h5py", reason="scores are HDF5 files, of the extra cli")

from cli_cases import invoke, succeed
from score_files import HEADER, store

from fastism.errors import FastISMError
from fastism.store import OutputHeader, Store
from fastism.store.selection import Selected, read_selection

#: Positions by strands; labels are indices in the model's output.
PROFILE = OutputHeader("profile", (3, 2), ("4", "5", "8"))
SINGLE = OutputHeader("counts", ())


@pytest.fixture(scope="module")
def profiles(tmp_path_factory):
    path = tmp_path_factory.mktemp("profiles") / "profiles.h5"
    return store(path, replace(HEADER, outputs=(PROFILE,), dtype="float16"))


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("0:5,1", lambda y: y[..., 1, 1]),
        ("8,0", lambda y: y[..., 2, 0]),
        ("profile:sum,1", lambda y: y[..., 1].sum(-1)),
        ("0:mean,sum", lambda y: y.mean(-2).sum(-1)),
        ("0:mean", lambda y: y.mean(-2)),
    ],
    ids=["indices", "one output", "sum", "both", "the rest stays"],
)
def test_what_is_selected_is_what_was_named(profiles, text, taken):
    with Store(profiles) as opened:
        rows = slice(2, 7)
        chosen = Selected(opened, text)
        for name in ("reference", "deltas"):
            expected = taken(np.asarray(getattr(opened, name)(0, rows), np.float64))
            np.testing.assert_allclose(
                getattr(chosen, name)(0, rows), expected, rtol=2e-3, atol=1e-3
            )
        assert chosen.header.outputs[0].name == f"profile:{text.rpartition(':')[2]}"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0:6,1", "has no entry '6'. It has axis 1 of 2: 4, 5, 8; axis 2 of 2: 0, 1"),
        ("0:4,2", "Choose one of each, or mean or sum, such as --output 0:4,0 or --output 0:sum,0"),
        ("0:4,1,0", "has no entry '4,1,0'. It has axis 1 of 2"),
        ("strands", "names no output; expected a number or a name, of profile, counts"),
        ("1:0", "is a single number: select it as 1"),
        ("2", "There is no output 2; there are 2"),
        ("4,1", "names no output"),
    ],
    ids=["first axis", "second axis", "too many", "name", "number", "absent", "which output"],
)
def test_what_is_not_there_is_said_with_what_there_is(text, message):
    with pytest.raises(FastISMError) as caught:
        read_selection(text, [PROFILE, SINGLE])
    assert message in str(caught.value)


def test_profiles_are_plotted_reported_and_exported(tmp_path, profiles):
    given = ("plot", profiles, "--sequence", "peak1", "-o", tmp_path / "a.svg")
    refused = invoke(*given)
    assert (refused.exit_code, "axis 1 of 2: 4, 5, 8; axis 2 of 2: 0, 1" in refused.stderr) == (
        2,
        True,
    )
    succeed(*given, "--output", "4,1")
    assert "profile:4,1" in (tmp_path / "a.svg").read_text()
    every = (*given[:-1], tmp_path / "b.svg", "--output", "0:sum", "--all-outputs")
    succeed(*every)
    (tmp_path / "a.bed").write_text("chr1\t1\t2\n")
    refused = invoke(*every, "--force", "--annotate", tmp_path / "a.bed")
    assert (refused.exit_code, "--annotate is not for --all-outputs" in refused.stderr) == (2, True)
    succeed("report", profiles, "-o", tmp_path / "a.html", "--strongest", 0)
    assert "profile:mean,mean" in (tmp_path / "a.html").read_text()
    succeed("export", profiles, "-o", tmp_path / "sum.h5", "--output", "0:sum,sum")
    with Store(tmp_path / "sum.h5") as written, Store(profiles) as opened:
        made = written.deltas(0, slice(0, 3))
        assert (made.dtype, written.header.dtype) == (np.float32, "float32")
        whole = opened.deltas(0, slice(0, 3)).sum((-2, -1))
        np.testing.assert_allclose(made, whole, rtol=1e-5, atol=1e-5)
    assert invoke("export", profiles, "-o", tmp_path / "a.npz").exit_code == 2


def test_of_too_many_outputs_a_report_shows_the_one_that_is_compared(
    tmp_path, profiles, monkeypatch
):
    from fastism.report import page

    monkeypatch.setattr(page, "MOST_OUTPUTS", 5)
    succeed("report", profiles, "-o", tmp_path / "a.html", "--strongest", 0, "--output", "8,1")
    text = (tmp_path / "a.html").read_text()
    assert "The outputs are 6 numbers for a sequence" in text
    assert "profile:8,1" in text and "profile:4:0" not in text

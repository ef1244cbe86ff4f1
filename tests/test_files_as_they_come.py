"""Files as they come, and models that are not always finite, for commands other than score."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="the models are torch modules")
for needed in ("typer", "h5py", "pyfaidx"):
    pytest.importorskip(needed, reason="the command line needs it")

import h5py  # noqa: E402
from cli_cases import INFINITE, invoke, promoters, succeed, write_fasta  # noqa: E402
from genome_files import random_letters  # noqa: E402

from fastism.design import evolve  # noqa: E402
from fastism.errors import FastISMError  # noqa: E402
from fastism.store.pair_files import PairFile  # noqa: E402

pytestmark = pytest.mark.torch
PART = ("--positions", "28:32")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model, intervals of which some do not fit, and sequences for which it is not finite."""
    made = tmp_path_factory.mktemp("files")
    (made / "infinite.py").write_text(INFINITE)
    write_fasta(made / "genome.fa", [("chr1", random_letters(200, 4))])
    lines = ["chr1\t60\t120\ta", "chr1\tx\t9\tbad", "1\t100\t160\tb", "chr1\t0\t20\tc"]
    (made / "in.bed").write_text("\n".join(lines) + "\n")
    # One substitution away from a sequence of A and T alone, and such a sequence.
    records = [("low", "AT" * 30), *promoters(1), ("one", "AT" * 14 + "AG" + "AT" * 15)]
    write_fasta(made / "in.fa", [(name.split()[0], letters) for name, letters in records])
    return made


def words(folder, command, *more):
    model = f"{folder / 'infinite.py'}:fraction"
    given = {"scan": ("--delete", "1", *PART), "pairs": PART, "verify": PART}
    return (command, model, *more, *given.get(command, ()))


@pytest.mark.parametrize("command", ["scan", "pairs", "verify"])
def test_records_that_do_not_fit_are_counted_padded_and_renamed(folder, tmp_path, command):
    bed = (folder / "in.bed", "--genome", folder / "genome.fa")
    out = () if command == "verify" else ("-o", tmp_path / "out.h5")
    count = ("--sequences", 9) if command == "verify" else ()
    given = words(folder, command, *bed, *out, *count)
    ended = succeed(*given)
    said = ended.stdout + ended.stderr
    assert (
        "4 records read, 1 sequences scored, 3 skipped (1 bad line, 1 unknown contig, 1 bey" in said
    )
    assert "see --contigs rename" in ended.stderr
    strict = invoke(
        *words(folder, command, *bed, *count),
        *(("-o", tmp_path / "s.h5") if out else ()),
        "--strict",
    )
    assert (strict.exit_code, "cannot be scored" in strict.stderr) == (3, True)
    given = [word if word != tmp_path / "out.h5" else tmp_path / "more.h5" for word in given]
    ended = succeed(*given, "--pad", "N", "--contigs", "rename")
    assert (
        "4 records read, 3 sequences scored, 1 skipped (1 bad line)" in ended.stdout + ended.stderr
    )


@pytest.mark.parametrize("command", ["scan", "pairs"])
def test_sequences_for_which_a_model_is_not_finite(folder, tmp_path, command):
    given = words(folder, command, folder / "in.fa", "-o", tmp_path / "out.h5")
    ended = invoke(*given)
    assert (ended.exit_code, "--not-finite skip leaves such" in ended.stderr) == (4, True)
    ended = succeed(*given, "--not-finite", "skip", "--force")
    assert "3 records read, 1 sequences scored, 2 skipped (2 not finite)" in ended.stdout
    kept, naive = tmp_path / "kept.h5", tmp_path / "naive.h5"
    for path, more in ((kept, ()), (naive, ("--naive",))):
        succeed(
            *words(folder, command, folder / "in.fa", "-o", path), "--not-finite", "keep", *more
        )
    ended = invoke(*given, "--not-finite", "skip", "--strict", "--force")
    assert (ended.exit_code, "give one of them" in ended.stderr) == (2, True)
    if command == "scan":
        with (
            h5py.File(kept) as made,
            h5py.File(naive) as known,
            h5py.File(tmp_path / "out.h5") as cut,
        ):
            assert [len(made["names"]), len(cut["names"]), len(cut["output/delta"])] == [3, 1, 1]
            mutants, right = made["output/delta"][:], known["output/delta"][:]
            np.testing.assert_allclose(cut["output/delta"][0], right[1], atol=1e-5)
    else:
        with PairFile(kept) as made, PairFile(naive) as known, PairFile(tmp_path / "out.h5") as cut:
            assert [name for name, _ in cut.skipped] == ["low", "one"]
            mutants, right = (
                np.stack([f.array("epistasis", 0, i) for i in range(3)]) for f in (made, known)
            )
            np.testing.assert_allclose(cut.array("epistasis", 0, 1), right[1], atol=1e-5)
        ended = invoke("plot", kept, "--sequence", "low", "-o", tmp_path / "map.svg")
        assert (ended.exit_code, "there is nothing to plot" in ended.stderr) == (3, True)
    assert not np.isfinite(right).all()
    np.testing.assert_allclose(mutants, right, atol=1e-5)


def test_verify_compares_what_is_finite(folder, tmp_path):
    given = words(folder, "verify", folder / "in.fa", "--sequences", 3)
    ended = invoke(*given)
    assert (ended.exit_code, "is not finite for in.fa" in ended.stderr) == (4, True)
    for policy in ("skip", "keep"):
        ended = invoke(*given, "--not-finite", policy)
        assert "in.fa: the model is not finite for 2 of 3 sequences" in ended.stderr
        assert ended.exit_code == 0, ended.stderr


def test_designs_of_models_that_are_not_finite(folder, tmp_path):
    designs, table = tmp_path / "designs.fa", tmp_path / "steps.tsv"
    given = ("evolve", f"{folder / 'infinite.py'}:fraction", folder / "in.fa", "-o", designs)
    given = (*given, "--table", table, "--steps", 2, "--minimise")
    ended = invoke(*given)
    assert (ended.exit_code, "not finite for some mutants" in ended.stderr) == (4, True)
    ended = succeed(*given, "--not-finite", "skip")
    assert "in 1 sequences, 2 skipped (2 not finite)" in ended.stdout
    assert len(designs.read_text().splitlines()) == 2
    assert "low" not in table.read_text()
    ended = succeed(*given, "--not-finite", "keep", "--force")
    # Mutants without any C or G are passed over; a sequence without any is given up.
    assert "in 2 sequences, 1 skipped (1 not finite)" in ended.stdout
    with pytest.raises(FastISMError, match="not_finite is one of"):
        evolve(None, np.zeros((1, 4, 60)), 1, not_finite="no")

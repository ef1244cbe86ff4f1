"""`fastism variants` that is interrupted, killed, resumed, or done in shards."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="the model is a torch module")
pytest.importorskip("typer", reason="the command line needs the extra cli")
pytest.importorskip("pyfaidx", reason="genomes are read by pyfaidx, of the extra cli")

from cli_cases import TORCH, invoke  # noqa: E402
from genome_files import random_letters, write_fasta  # noqa: E402

from fastism.batch import effect_files  # noqa: E402
from fastism.cli import variants  # noqa: E402
from fastism.cli.exit_codes import Exit  # noqa: E402
from fastism.cli.opened import open_model  # noqa: E402
from fastism.genomics.variants import VariantRunner  # noqa: E402
from fastism.store.effects import Effects, EffectWriter  # noqa: E402

pytestmark = pytest.mark.torch

LETTERS = random_letters(900, 5)
SAMPLES = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\tFORMAT\tS1\tS2\n"
#: Ends of batches of four windows each, in variants.
BATCH = ["--batch", "4"]


def other(position: int) -> str:
    return "ACGT"[("ACGT".index(LETTERS[position - 1]) + 1) % 4]


def record(number: int) -> str:
    """A substitution, or where the number is odd a deletion; every fifth does not fit."""
    pos = 40 + 7 * number
    ref = LETTERS[pos - 1 : pos + number % 2]
    alt = LETTERS[pos - 1] if number % 2 else f"{other(pos)},<DEL>"
    ref = "N" if number % 5 == 4 else ref
    return f"chr1\t{pos}\tcaf\xe9\t{ref}\t{alt}\t.\t.\tDP=1\tGT\t0|1\t1|1\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    made = tmp_path_factory.mktemp("resumed")
    write_fasta(made / "genome.fa", {"chr1": LETTERS})
    (made / "modules.py").write_text(TORCH)
    lines = SAMPLES + "".join(record(i) for i in range(60))
    (made / "in.vcf").write_bytes(lines.encode("latin-1"))
    return made


@pytest.fixture(scope="module")
def whole(folder) -> dict[str, bytes]:
    """What runs without interruption write, by name."""
    assert run(folder, "whole.tsv", "--phased").exit_code == 0
    assert run(folder, "whole.vcf", "--share", 30).exit_code == 0
    return {path.name: path.read_bytes() for path in folder.glob("whole*")}


@pytest.fixture(autouse=True, scope="module")
def opened_once():
    """Models are read once: what the commands do with them is not what is tested here."""
    known = {}

    def opened(spec, options, **settings):
        if (spec, options) not in known:
            known[spec, options] = open_model(spec, options, **settings)
        return known[spec, options]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "open_model", opened)
        yield


def run(folder: Path, out: str, *options: object, vcf: str = "in.vcf", genome: str = "genome.fa"):
    model = f"{folder / 'modules.py'}:build"
    given = [model, folder / vcf, "--genome", folder / genome, "--input-shape", "4,60", *BATCH]
    return invoke("variants", *given, "-o", folder / out, *options)


@pytest.fixture
def batches(monkeypatch) -> list[int]:
    """Sizes of the batches that a model runs."""
    seen: list[int] = []
    original = VariantRunner.run

    def counted(self, batch):
        seen.append(len(batch.effects))
        return original(self, batch)

    monkeypatch.setattr(VariantRunner, "run", counted)
    return seen


def interrupt_after(monkeypatch, count: int, error: BaseException) -> None:
    original = EffectWriter.append
    left = [count]

    def append(self, *arguments):
        original(self, *arguments)
        left[0] -= 1
        if not left[0]:
            raise error

    monkeypatch.setattr(EffectWriter, "append", append)


@pytest.mark.parametrize(
    ("name", "options"),
    [("whole.tsv", ["--phased"]), ("whole.vcf", ["--share", 30])],
    ids=["phased", "vcf"],
)
def test_an_interrupted_run_goes_on_where_it_was(
    folder, whole, monkeypatch, batches, name, options
):
    out = f"again-{name}"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 3, KeyboardInterrupt())
        ended = run(folder, out, *options)
    assert ended.exit_code == Exit.INTERRUPTED
    done, total = map(int, re.search(r"keeps (\d+) of (\d+) variants", ended.stderr).groups())
    assert (done, total) == (sum(batches), 90)
    assert run(folder, out, *options).exit_code == Exit.OUTPUT
    first = len(batches)
    ended = run(folder, out, *options, "--resume")
    assert ended.exit_code == 0, ended.stderr
    assert f"going on after {done} of 90 variants" in ended.stderr
    assert sum(batches[first:]) == 90 - done
    for path in folder.glob(f"{out.rpartition('.')[0]}*"):
        assert path.read_bytes() == whole[path.name.removeprefix("again-")]
    ended = run(folder, out, *options, "--resume")
    assert (ended.exit_code, "is finished already" in ended.stdout) == (0, True)


@pytest.mark.parametrize("cut", [1, 20, 0], ids=["within-a-batch", "within-a-head", "whole"])
def test_a_killed_run_keeps_whole_batches(folder, whole, monkeypatch, batches, tmp_path, cut):
    """What is on the disk when a process is killed is a beginning of the journal."""
    kept = folder / "killed.tsv.partial"
    with monkeypatch.context() as patch:
        interrupt_after(patch, 4, KeyboardInterrupt())
        run(folder, "killed.tsv", "--phased", "--force")
    with Effects(kept) as journal:
        last, end = journal.frames[-1], journal.end
    os.truncate(kept, {1: end - 1, 20: last.meta - 20, 0: end}[cut])
    first, before = len(batches), sum(batches[: -1 if cut else None])
    assert run(folder, "killed.tsv", "--phased", "--resume").exit_code == 0
    assert sum(batches[first:]) == 90 - before
    for ending in (".tsv", ".haplotypes.tsv"):
        made = folder / f"killed{ending}"
        assert made.read_bytes() == whole[f"whole{ending}"]
        made.unlink()
    assert not kept.exists()


def test_a_run_that_was_made_from_something_else_is_not_continued(folder, monkeypatch):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2, KeyboardInterrupt())
        run(folder, "changed.tsv")
    kept = (folder / "changed.tsv.partial").read_bytes()
    (folder / "new").mkdir()
    changed = (folder / "in.vcf").read_bytes().replace(b"DP=1", b"DP=2")
    (folder / "new" / "in.vcf").write_bytes(changed)
    write_fasta(folder / "new" / "genome.fa", {"chr1": LETTERS[:300] + other(301) + LETTERS[301:]})
    for words, settings in [
        ("the input has changed", {"vcf": "new/in.vcf"}),
        ("the genome has changed, or the regions", {"genome": "new/genome.fa"}),
    ]:
        ended = run(folder, "changed.tsv", "--resume", **settings)
        assert (ended.exit_code, words in ended.stderr) == (Exit.OUTPUT, True), ended.stderr
    ended = run(folder, "changed.tsv", "--resume", "--outputs", "1")
    assert "labels: ('0', '1') and ('1',) now" in ended.stderr
    ended = run(folder, "changed.tsv", "--resume", "--naive")
    assert (ended.exit_code, "command" in ended.stderr) == (Exit.OUTPUT, True)
    opened = variants.open_model

    def retrained(*given, **settings):
        made = opened(*given, **settings)
        return replace(made, loaded=replace(made.loaded, hash="ff"))

    with monkeypatch.context() as patch:
        patch.setattr(variants, "open_model", retrained)
        ended = run(folder, "changed.tsv", "--resume")
    assert (ended.exit_code, "the model has changed" in ended.stderr) == (Exit.OUTPUT, True)
    assert (folder / "changed.tsv.partial").read_bytes() == kept


@pytest.mark.skipif(os.name == "nt", reason="Windows lacks such locks")
@pytest.mark.parametrize("option", ["--resume", "--force"])
def test_two_runs_on_one_output_refuse_each_other(folder, monkeypatch, option):
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1, KeyboardInterrupt())
        run(folder, "held.tsv", "--force")
    partial = folder / "held.tsv.partial"
    with Effects(partial) as journal:
        header = journal.header
    with EffectWriter.resume(partial, header):
        ended = run(folder, "held.tsv", option)
    assert ended.exit_code == Exit.OUTPUT
    assert "being written by another process" in ended.stderr
    assert not (folder / "held.tsv").exists()


def test_a_full_disk_while_the_output_is_written_costs_nothing(folder, whole, monkeypatch, batches):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(effect_files, "opened", full)
        ended = run(folder, "full.tsv", "--phased")
    assert ended.exit_code == Exit.OUTPUT
    assert "No space left on device" in ended.stderr
    assert "keeps 90 of 90 variants" in ended.stderr
    batches.clear()
    assert run(folder, "full.tsv", "--phased", "--resume").exit_code == 0
    assert batches == []
    assert (folder / "full.tsv").read_bytes() == whole["whole.tsv"]


@pytest.fixture(scope="module")
def shards(folder) -> list[Path]:
    """Three shards, the last of which comes first."""
    made = [folder / f"{i}.effects" for i in (3, 1, 2)]
    for path in made:
        ended = run(folder, path.name, "--phased", "--shard", f"{path.stem}/3")
        assert ended.exit_code == 0, ended.stderr
    return made


def test_shards_join_to_the_bytes_of_one_run(folder, whole, shards):
    assert invoke("export", *shards, "-o", folder / "joined.tsv").exit_code == 0
    for ending in (".tsv", ".haplotypes.tsv"):
        assert (folder / f"joined{ending}").read_bytes() == whole[f"whole{ending}"]
    counts = []
    for path in shards:
        with Effects(path) as part:
            counts.append(part.header.expected)
    assert sum(counts) == 90 and min(counts) > 0
    ended = run(folder, "1.effects", "--phased", "--shard", "1/3", "--resume")
    assert (ended.exit_code, "it was made from the same" in ended.stdout) == (0, True)
    ended = run(folder, "1.effects", "--phased", "--shard", "2/3", "--resume")
    assert (ended.exit_code, "made from something else" in ended.stderr) == (Exit.OUTPUT, True)


def test_a_vcf_is_joined_from_shards_and_its_source(folder, whole, shards):
    out = folder / "annotated.vcf"
    assert invoke("export", *shards, "-o", out, "--vcf", folder / "in.vcf").exit_code == 0
    records = [x for x in out.read_bytes().splitlines() if not x.startswith(b"#")]
    assert len(records) == 60 and all(b"caf\xe9" in x and b"FASTISM_STATUS" in x for x in records)
    ended = invoke("export", *shards, "-o", folder / "no.vcf")
    assert (ended.exit_code, "give --vcf VCF too" in ended.stderr) == (Exit.USAGE, True)
    wrong = folder / "wrong.vcf"
    wrong.write_bytes((folder / "in.vcf").read_bytes() + b"\n")
    ended = invoke("export", *shards, "-o", folder / "no.vcf", "--vcf", wrong)
    assert (ended.exit_code, "is not the file that the variants" in ended.stderr) == (5, True)


def test_what_does_not_join_is_refused(folder, shards, tmp_path):
    ended = invoke("export", *shards[:2], "-o", tmp_path / "x.tsv")
    assert "1 of them are not given: 2" in ended.stderr
    cut = tmp_path / "1.effects"
    cut.write_bytes(shards[1].read_bytes()[:-10])
    ended = invoke("export", shards[0], cut, shards[2], "-o", tmp_path / "x.tsv")
    assert (ended.exit_code, "is not finished" in ended.stderr) == (Exit.INPUT, True)
    cut.write_bytes(b"something else")
    ended = invoke("export", cut, "-o", tmp_path / "x.tsv")
    assert (ended.exit_code, "no readable header" in ended.stderr) == (Exit.INPUT, True)
    ended = run(folder, "shard.tsv", "--shard", "1/2")
    assert (ended.exit_code, "must end in .effects" in ended.stderr) == (Exit.USAGE, True)
    assert list(tmp_path.iterdir()) == [cut]

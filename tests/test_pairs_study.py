"""The study of double mutants: what it times, on regions of a few positions."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras", reason="the architectures are Keras models")
pytest.importorskip("torch", reason="the study runs their PyTorch twins")

from benchmarks.studies import pairs

pytestmark = [pytest.mark.tensorflow, pytest.mark.torch]


@pytest.fixture
def kept_threads():
    """The study sets the number of threads of the process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("job", "blocks", "named"),
    [("basset:6", 0, ["basset", "all"]), ("bpnet:6:1", 2, ["bpnet", "1"])],
    ids=["all", "blocks"],
)
def test_a_table_is_written(tmp_path, monkeypatch, capsys, kept_threads, job, blocks, named):
    monkeypatch.setattr(pairs, "ROWS", 2)
    path = tmp_path / "pairs.md"
    words = ["--job", job, "--length", "200", "--rounds", "1", "--sample", "3"]
    words += ["--threads", "1", "--blocks", str(blocks), "--markdown", str(path)]
    assert pairs.main(words) == 0
    cells = [cell.strip() for cell in path.read_text().splitlines()[-1].strip("|").split("|")]
    assert cells[:5] == [named[0], "200", "6", named[1], "135"]
    assert float(cells[-1]) < 0.05  # standard deviations of the effects
    assert f"| {named[0]} | 200 | 6 |" in capsys.readouterr().out


def test_blocks_are_scaled_to_all_pairs():
    class Counting:
        def pair_rows(self, x, region, outputs, rows, first):
            seen.append((first, rows))
            return iter([None])

    seen: list[tuple[int, int]] = []
    call, scale = pairs.in_blocks(Counting(), np.zeros((1, 4, 200)), np.arange(200), None, 2)
    call()
    assert seen == [(38, 48), (114, 48)]
    run = sum(199 - row for first, rows in seen for row in range(first, first + rows))
    assert scale == pytest.approx(199 * 100 / run)


def test_an_unknown_architecture_is_refused(capsys):
    with pytest.raises(SystemExit):
        pairs.main(["--job", "resnet:200"])
    assert "resnet is none of" in capsys.readouterr().err

"""The study of deletions and insertions: what it times, on a short sequence."""

from __future__ import annotations

import pytest

pytest.importorskip("keras", reason="the architectures are Keras models")
pytest.importorskip("torch", reason="the study runs their PyTorch twins")

from benchmarks.studies import scans

pytestmark = [pytest.mark.keras, pytest.mark.torch]


@pytest.fixture
def kept_threads():
    """The study sets the number of threads of the process."""
    import torch

    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_table_is_written(tmp_path, capsys, kept_threads):
    path = tmp_path / "scans.md"
    words = ["--job", "basset:2", "--length", "200", "--rounds", "1", "--sample", "3"]
    assert scans.main([*words, "--threads", "1", "--markdown", str(path)]) == 0
    cells = [cell.strip() for cell in path.read_text().splitlines()[-1].strip("|").split("|")]
    assert cells[:4] == ["basset", "200", "deletion of 2", "200"]
    assert float(cells[-1]) < 0.05  # standard deviations of the effects
    assert "| basset | 200 | deletion of 2 |" in capsys.readouterr().out


def test_a_word_is_inserted():
    class Asked:
        def insertions(self, x, words, positions):
            return words, positions

    job = scans.Job.read("bpnet:gata")
    assert job.told == "+GATA"
    assert job.run(Asked(), None, [3]) == ("GATA", [3])


@pytest.mark.parametrize(
    ("job", "message"),
    [("resnet:1", "resnet is none of"), ("basset:", "how many"), ("basset:GAUA", "how many")],
    ids=["architecture", "nothing", "letters"],
)
def test_a_job_that_is_none_is_refused(capsys, job, message):
    with pytest.raises(SystemExit):
        scans.main(["--job", job])
    assert message in capsys.readouterr().err

"""Jobs as JSON documents: what is written is read, and what is not a job is refused by name."""

import json
import shlex
from pathlib import Path

import pytest
from benchmark_fakes import make_job

from benchmarks.jobs.document import job_parser, read_job, write_job
from benchmarks.jobs.job import FirstCallJob, TimingJob
from benchmarks.workflow.config import load_config
from fastism.errors import FastISMError

ROOT = Path(__file__).resolve().parents[1]
CONFIGS = sorted((ROOT / "workflows" / "config").glob("*.yaml"))
FIRST = {"study": "s", "architecture": "basset", "length": 100, "data": "d", "backend": "torch"}


def document(**changes):
    """The document of a timing job with what is changed; None takes a key away."""
    content = {**json.loads(write_job(make_job())), **changes}
    return json.dumps({key: value for key, value in content.items() if value is not None})


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_job_of_every_config_is_read_as_it_was_written(path):
    jobs = load_config(path).measured
    assert jobs
    for case, job in jobs.items():
        (text,) = shlex.split(shlex.quote(write_job(job)))  # as the workflow hands it over
        assert read_job(type(job), text) == job
        assert job.case == case


def test_a_document_may_stand_in_a_file(tmp_path):
    path = tmp_path / "job.json"
    path.write_text(json.dumps(FIRST, indent=2))
    job = read_job(FirstCallJob, str(path))
    assert job == FirstCallJob(**FIRST)
    assert (job.sequences, job.device) == (1, "cpu")  # what is left out has its default


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"colour": "red"}, "unknown key 'colour'; expected some of study, architecture"),
        ({"length": None}, "missing key 'length'"),
        ({"length": "10"}, "length: got '10'; expected int"),
        ({"length": True}, "length: got True; expected int"),
        ({"seconds": "long"}, "seconds: got 'long'; expected float"),
        ({"seconds": float("nan")}, "seconds: got nan; expected float"),
        ({"sequences": 1}, "sequences: got 1; expected a list of int"),
        ({"sequences": [1, "2"]}, r"sequences: got \[1, '2'\]; expected a list of int"),
        ({"device": "tpu"}, "device: got 'tpu'; expected one of 'cpu', 'gpu'"),
        ({"architecture": "enformer"}, "unknown 'enformer'; expected one of basset"),
    ],
    ids=[
        "unknown",
        "missing",
        "text for a number",
        "truth for a number",
        "text for seconds",
        "not a number",
        "no list",
        "mixed list",
        "no such choice",
        "no such architecture",
    ],
)
def test_what_does_not_fit_is_named(changes, message):
    with pytest.raises(FastISMError, match=message):
        read_job(TimingJob, document(**changes))


def test_all_that_does_not_fit_is_named_at_once():
    with pytest.raises(FastISMError) as caught:
        read_job(TimingJob, document(colour="red", length=None, budget="little"))
    lines = str(caught.value).splitlines()
    assert lines[0] == "The job is not a valid TimingJob:"
    assert len(lines) == 4


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{", "The job is not a JSON document"),
        ('{"study": "a", "study": "b"}', "the key 'study' is given twice"),
        ("nowhere.json", "in nowhere.json cannot be read"),
    ],
    ids=["torn", "twice", "no file"],
)
def test_what_is_no_document_is_refused(given, message):
    with pytest.raises(FastISMError, match=message):
        read_job(TimingJob, given)


def test_a_list_is_no_job(tmp_path):
    (tmp_path / "jobs.json").write_text("[]")
    with pytest.raises(FastISMError, match="is list; expected a JSON object"):
        read_job(TimingJob, str(tmp_path / "jobs.json"))


def test_the_command_line_says_what_is_wrong_with_a_job(capsys):
    parser = job_parser(FirstCallJob, "measure", None)
    text = json.dumps({**FIRST, "sequences": 8})
    assert parser.parse_args(["--job", text, "--output", "x"]).job.sequences == 8
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--job", json.dumps({**FIRST, "colour": "red"}), "--output", "x"])
    assert ended.value.code == 2
    assert "unknown key 'colour'" in capsys.readouterr().err


def test_rules_of_timing_spell_no_settings():
    """What is measured is said once, in the document; flags say where things lie."""
    allowed = {"--job", "--fasta", "--threads", "--output", "--partial", "--environment"}
    allowed |= {"--status", "--log"}
    for name in ("timing", "peers", "extras"):
        text = (ROOT / "workflows" / "rules" / f"{name}.smk").read_text()
        for rule in text.split("\nrule ")[1:]:
            flags = {word for word in rule.replace('"', " ").split() if word.startswith("--")}
            assert "--job" not in flags or flags <= allowed, rule.splitlines()[0]
        assert "--job {params.job}" in text

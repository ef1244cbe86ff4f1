"""Effects of variants in shards, with Snakemake on this machine."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip("snakemake", reason="workflows need the extra cluster")
pytest.importorskip("torch", reason="the model is a torch module")

from cli_cases import TORCH, invoke
from genome_files import random_letters, write_fasta
from sharded_runs import ROOT, environment

from fastism.cli.variants import variants
from fastism.cli.workflow_options import config_schema, passed_on

#: Keys of the config that the workflow itself needs.
OWN = {"model", "vcf", "output", "shards", "threads"}
#: Sums of whole numbers are the same with any number of threads.
WHOLE_NUMBERS = """

def whole_numbers():
    model = build()
    for weights in model.parameters():
        weights.data = torch.randint(-3, 4, weights.shape).float()
    return model
"""
LETTERS = random_letters(400, 3)


def test_keys_of_the_config_are_options_of_the_command():
    schema = config_schema(ROOT / "workflows", "variants")
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) - OWN == set(passed_on(variants))
    assert set(schema["required"]) == {"model", "vcf", "genome", "output", "shards"}


@pytest.mark.torch
def test_shards_are_run_and_merged_in_the_order_of_the_vcf(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_fasta(tmp_path / "genome.fa", {"chr1": LETTERS})
    (tmp_path / "modules.py").write_text(TORCH + WHOLE_NUMBERS)
    lines = "##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
    for pos in range(320, 60, -20):
        lines += f"chr1\t{pos}\t.\t{LETTERS[pos - 1]}\t{LETTERS[pos - 1]}GT\t.\t.\t.\n"
    (tmp_path / "in.vcf").write_text(lines)
    common = {"genome": "genome.fa", "batch": "2", "input_shape": "'4,60'", "naive": True}
    config = {"model": "modules.py:whole_numbers", "vcf": "in.vcf", "output": "out.vcf", **common}
    snakefile = ["--snakefile", str(ROOT / "workflows" / "variants.smk")]
    command = [sys.executable, "-m", "snakemake", *snakefile, "--cores", "1"]
    pairs = [f"{key}={value}" for key, value in {**config, "shards": 2}.items()]
    done = subprocess.run(
        [*command, "--config", *pairs],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "out.vcf.shards" / "2-of-2.effects").exists()
    options = ["--genome", "genome.fa", "--batch", 2, "--input-shape", "4,60", "--naive"]
    ended = invoke("variants", config["model"], "in.vcf", *options, "-o", "whole.vcf")
    assert ended.exit_code == 0
    assert (tmp_path / "out.vcf").read_bytes() == (tmp_path / "whole.vcf").read_bytes()

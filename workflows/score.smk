# Scores of many sequences, in shards that are jobs of their own, merged into one file.
#
#   snakemake -s workflows/score.smk --cores 2 --config model=M input=I output=O shards=N
#   snakemake -s workflows/score.smk --cores 2 --configfile X.yaml
#   snakemake -s workflows/score.smk --profile workflows/profiles/slurm --configfile X.yaml
#
# workflows/score.schema.json describes the keys of the config; docs/cluster.md how to choose them.
#
# A shard is written beside the output, in OUTPUT.shards. What Snakemake is told of is not the shard but
# a mark that it is done: Snakemake deletes the outputs of jobs that failed or were going on when it was
# killed, and hours of work may be in there. So the scores of a killed job stay, and the next try goes on
# with them; a shard that is finished already is recognised and not scored again. `fastism score` refuses
# to go on with scores that were made from something else, which the header of a shard says.

import json
import os
import shlex
import sys
from pathlib import Path

import jsonschema
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("8.20")


def checked(given):
    """The config with defaults filled in; one line says what is wrong with a key and what it means."""
    schema = json.loads((Path(workflow.basedir) / "score.schema.json").read_text())
    known = schema["properties"]
    wrong = [
        f"unknown key {key!r}; expected some of {', '.join(known)}" for key in given if key not in known
    ]
    wrong += [f"missing key {key!r}: {known[key]['description']}" for key in schema["required"] if key not in given]
    wrong += [
        f"{key}: {error.message}. {known[key]['description']}"
        for key, value in given.items()
        if key in known
        for error in jsonschema.Draft202012Validator(known[key]).iter_errors(value)
    ]
    if wrong:
        raise WorkflowError("The config is not valid: " + "; ".join(wrong))
    defaults = {key: value["default"] for key, value in known.items() if "default" in value}
    return {**defaults, **given}


config = checked(config)

# In a clone of the repository it is this clone that is run, otherwise what is installed.
ROOT = Path(workflow.basedir).parent
if (ROOT / "fastism").is_dir():
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )

from fastism.cli.score import score
from fastism.cli.workflow_options import words
from fastism.errors import FastISMError
from fastism.store.export import output_files

FASTISM = f"{shlex.quote(sys.executable)} -m fastism"

OUTPUT = config["output"]
FOLDER = f"{OUTPUT}.shards"
COUNT = config["shards"]
MODELS = [config["model"]] if isinstance(config["model"], str) else config["model"]
SHARDS = range(1, COUNT + 1)

def merged_files():
    """The files that the output consists of: two for X.npz."""
    try:
        files = output_files(Path(OUTPUT))
    except FastISMError as error:
        raise WorkflowError(f"The config is not valid: output: {error}") from None
    return [directory(str(file)) if file.suffix == ".zarr" else str(file) for file in files]


def shard_file(number):
    """Where the scores of a shard are."""
    return f"{FOLDER}/{number}-of-{COUNT}.h5"


def sources():
    """The files that scores are made from; a model that module:function returns has none."""
    files = []
    for model in MODELS:
        file, _, function = model.rpartition(":")
        files += [file] if file.endswith(".py") else [] if file else [function]
    return [config["input"], *files, *([config["genome"]] if "genome" in config else [])]


def score_options():
    """The options of `fastism score`, as words for a shell: whatever it has, this workflow has."""
    return words(score, config)


def export_options():
    """The options of `fastism export`, as words for a shell."""
    return [f"--output={config['select']}"] if "select" in config else []


wildcard_constraints:
    number="[1-9][0-9]*",


rule merge_shards:
    input:
        expand(f"{FOLDER}/{{number}}-of-{COUNT}.done", number=SHARDS),
        sources(),
    output:
        merged_files(),
    params:
        output=OUTPUT,
        # Not a list of thousands of names, which a command may be too short for; `fastism export` finds
        # out whether one is missing.
        folder=FOLDER,
        options=export_options(),
        # The marks are gone by then: without this, other settings would not be noticed.
        settings=[*MODELS, *score_options()],
    log:
        f"{OUTPUT}.log",
    shell:
        "{FASTISM} export {params.folder:q}/*-of-{COUNT}.h5 -o {params.output:q} {params.options:q}"
        " > {log:q} 2>&1"


# The numbers of threads are for PyTorch, TensorFlow and the libraries below them; without them each of
# the jobs that share a node would start as many threads as it has processors.
rule score_shard:
    input:
        sources(),
    output:
        # A mark is deleted once the output is there, so that the folder can go without being missed.
        touch(temp(f"{FOLDER}/{{number}}-of-{COUNT}.done")),
    params:
        shard=lambda w: shard_file(w.number),
        part=lambda w: f"{w.number}/{COUNT}",
        models=MODELS,
        input=config["input"],
        options=score_options(),
    log:
        f"{FOLDER}/{{number}}-of-{COUNT}.log",
    threads: config["threads"]
    shell:
        # A finished shard is compared with what is asked for, and not scored again.
        "export OMP_NUM_THREADS={threads} TF_NUM_INTRAOP_THREADS={threads} TF_NUM_INTEROP_THREADS=1;"
        " {FASTISM} score {params.models:q} {params.input:q} {params.options:q}"
        " --shard {params.part} --resume -o {params.shard:q} >> {log:q} 2>&1"

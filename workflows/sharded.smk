# What workflows of shards have in common: a job for every part of an input, merged into one file.
#
# Whoever includes this says COMMAND (of fastism), INPUT_KEY (of the config), SHARD_ENDING (of the
# file of a shard), outputs_of(config) and export_options(config), and asks for merged_files().
#
# A shard is written beside the output, in OUTPUT.shards. What Snakemake is told of is not the shard but
# a mark that it is done: Snakemake deletes the outputs of jobs that failed or were going on when it was
# killed, and hours of work may be in there. So what a killed job made stays, and the next try goes on
# with it; a shard that is finished already is recognised and not made again. The command refuses to go
# on with what was made from something else, which the header of a shard says.

import importlib
import os
import shlex
import sys
from pathlib import Path

import jsonschema
from snakemake.exceptions import WorkflowError
from snakemake.utils import min_version

min_version("8.20")

# In a clone of the repository it is this clone that is run, otherwise what is installed.
ROOT = Path(workflow.basedir).parent
if (ROOT / "fastism").is_dir():
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join(
        filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])
    )

from fastism.cli.workflow_options import config_schema, words
from fastism.errors import FastISMError


def checked(given):
    """The config with defaults filled in; one line says what is wrong with a key and what it means."""
    schema = config_schema(Path(workflow.basedir), COMMAND)
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

FASTISM = f"{shlex.quote(sys.executable)} -m fastism"

OUTPUT = config["output"]
FOLDER = f"{OUTPUT}.shards"
COUNT = config["shards"]
MODELS = [config["model"]] if isinstance(config["model"], str) else config["model"]
SHARDS = range(1, COUNT + 1)


def merged_files():
    """The files that the output consists of."""
    try:
        files = outputs_of(config)
    except FastISMError as error:
        raise WorkflowError(f"The config is not valid: output: {error}") from None
    return [directory(str(file)) if file.suffix == ".zarr" else str(file) for file in files]


def shard_file(number):
    """Where what a job makes is."""
    return f"{FOLDER}/{number}-of-{COUNT}{SHARD_ENDING}"


def sources():
    """The files that the output is made from; a model that module:function returns has none."""
    files = []
    for model in MODELS:
        file, _, function = model.rpartition(":")
        files += [file] if file.endswith(".py") else [] if file else [function]
    others = [config[key] for key in ("genome", "regions") if key in config]
    return [config[INPUT_KEY], *files, *others]


def command_options():
    """The options of the command, as words for a shell: whatever it has, this workflow has."""
    command = getattr(importlib.import_module(f"fastism.cli.{COMMAND}"), COMMAND)
    return words(command, config)


def gpus_of_shard():
    """A GPU for each shard where the config asks for one: as many run at a time as there are."""
    wanted = str(config.get("device", "")).lower().startswith(("gpu", "cuda"))
    return {"gpu": 1} if wanted else {}


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
        options=export_options(config),
        # The marks are gone by then: without this, other settings would not be noticed.
        settings=[*MODELS, *command_options()],
    log:
        f"{OUTPUT}.log",
    shell:
        "{FASTISM} export {params.folder:q}/*-of-{COUNT}{SHARD_ENDING} -o {params.output:q} {params.options:q}"
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
        input=config[INPUT_KEY],
        options=command_options(),
    log:
        f"{FOLDER}/{{number}}-of-{COUNT}.log",
    threads: config["threads"]
    resources:
        **gpus_of_shard(),
    shell:
        # A finished shard is compared with what is asked for, and not made again.
        "export OMP_NUM_THREADS={threads} TF_NUM_INTRAOP_THREADS={threads} TF_NUM_INTEROP_THREADS=1;"
        " {FASTISM} {COMMAND} {params.models:q} {params.input:q} {params.options:q}"
        " --shard {params.part} --resume -o {params.shard:q} >> {log:q} 2>&1"

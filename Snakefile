# The benchmark, from real sequences to tables and figures.
#
#   snakemake --cores all                      the quick config: results/quick
#   snakemake --cores all library              any other config in workflows/config, by its name
#   snakemake --cores all paper                every table and figure of the paper; takes hours,
#                                              goes on where it was interrupted, and leaves
#                                              records of what failed or would take too long
#   snakemake --cores all --configfile X.yaml  a config of your own; workflows/config/schema.json
#                                              describes its keys
#   snakemake --cores all write_readme_table   the README's rows and figure and the long tables of
#                                              docs/results.md, from the records in
#                                              benchmarks/records
#   snakemake --cores all write_targets_table  the targets beside what was measured, from the same
#   snakemake --cores all regression           fails where speedups fell below the committed baseline
#   snakemake --cores all train                trains the promoter model of data/ anew
#   snakemake --cores all plot_promoters       what the promoter model relies on: results/promoter

import os
import shlex
import sys
from pathlib import Path

from snakemake.utils import min_version

min_version("8.20")

ROOT = Path(workflow.basedir)
# What is imported here and run by the rules is this repository, wherever results are written.
sys.path.insert(0, str(ROOT))
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")

from benchmarks.jobs.document import write_job
from benchmarks.workflow.config import load_config, parse_config
from benchmarks.peers import PEERS
from figures.drawings import DRAWINGS, SUFFIXES

PYTHON = shlex.quote(sys.executable)
CONFIGS = {
    settings.name: settings
    for settings in map(load_config, sorted(ROOT.glob("workflows/config/*.yaml")))
}
DEFAULT = "quick"
if config:
    given = parse_config(config, "given with --configfile or --config")
    CONFIGS[given.name] = given
    DEFAULT = given.name


include: "workflows/rules/common.smk"


wildcard_constraints:
    study="|".join(CONFIGS),
    case=names_in("jobs"),
    first_call=names_in("first_calls"),
    peer_case=names_in("peers"),
    breakdown=names_in("breakdowns"),
    agreement=names_in("agreements"),
    peer="|".join(PEERS),
    drawing="|".join(DRAWINGS),


include: "workflows/rules/data.smk"
include: "workflows/rules/timing.smk"
include: "workflows/rules/peers.smk"
include: "workflows/rules/extras.smk"
include: "workflows/rules/figures.smk"
include: "workflows/rules/readme.smk"
include: "workflows/rules/regression.smk"
include: "workflows/rules/train.smk"


# What can be asked for by name: `run`, the default, and every config.


rule run:
    input:
        results_of(DEFAULT),
        records=f"results/{DEFAULT}/records.jsonl",
    log:
        f"results/{DEFAULT}/logs/show_results.log",
    shell:
        "{PYTHON} -m figures.summary --records {input.records} --files {input} 2> {log}"


for study in CONFIGS:

    rule:
        name:
            study
        input:
            results_of(study),
            records=f"results/{study}/records.jsonl",
        log:
            f"results/{study}/logs/show_results.log",
        shell:
            "{PYTHON} -m figures.summary --records {input.records} --files {input} 2> {log}"
